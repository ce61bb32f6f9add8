//! A hotkey's weights on the mock chain, derived from the calls in its blocks.

use std::time::{Duration, SystemTime};

use subxt::ext::scale_value::{Composite, Value};
use taonet_primitives::{AccountId, BlockNumber, MechId, NetUid};

use super::State;
use crate::{Call, HotkeyState};

impl State {
    pub(super) fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: AccountId,
        block: BlockNumber,
    ) -> HotkeyState {
        let mut last_update = None;
        let mut commits = Vec::new();
        let blocks =
            (0..).map(BlockNumber::new).zip(&self.blocks).take(block.plus(1).get() as usize);
        for (number, extrinsic, result) in blocks.flat_map(|(number, block)| {
            block.extrinsics.iter().map(move |(extrinsic, result)| (number, extrinsic, result))
        }) {
            let Some(call) = self.signed_calls.get(&extrinsic.hash) else { continue };
            let is_of_mechanism = argument(call, "netuid") == Some(&Value::u128(netuid.0.into()))
                && argument(call, "mecid") == Some(&Value::u128(mech.0.into()));
            if extrinsic.signer != hotkey || result.is_err() || !is_of_mechanism {
                continue;
            }
            match call.name() {
                "set_mechanism_weights" | "commit_timelocked_mechanism_weights" => {
                    last_update = Some(number);
                }
                "commit_mechanism_weights" => {
                    last_update = Some(number);
                    commits.extend(argument(call, "commit_hash").and_then(decode_bytes));
                }
                // The mock cannot hash weights: it assumes that commits are revealed in order.
                "reveal_mechanism_weights" if !commits.is_empty() => drop(commits.remove(0)),
                _ => {}
            }
        }
        let system_time =
            || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        HotkeyState {
            nonce: self.next_nonce_after(hotkey, block),
            last_update,
            commits,
            time: self.time.unwrap_or_else(system_time),
            is_development: false,
        }
    }
}

fn argument<'a>(call: &'a Call, name: &str) -> Option<&'a Value> {
    let Composite::Named(arguments) = &call.args else { return None };
    arguments.iter().find(|(argument_name, _)| argument_name == name).map(|(_, value)| value)
}

/// Returns the bytes of a value that [`Value::from_bytes`] created.
fn decode_bytes(value: &Value) -> Option<[u8; 32]> {
    let subxt::ext::scale_value::ValueDef::Composite(Composite::Unnamed(values)) = &value.value
    else {
        return None;
    };
    let bytes: Option<Vec<u8>> =
        values.iter().map(|value| u8::try_from(value.as_u128()?).ok()).collect();
    bytes?.try_into().ok()
}
