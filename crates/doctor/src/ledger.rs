use std::path::Path;

use taonet_chain::HotkeyState;
use taonet_ledger::{IntentKey, LedgerError, LedgerReader, Record, Step};
use taonet_primitives::{BlockHash, BlockNumber, Hotkey, NetUid};

use crate::{Check, Finding};

/// How many of the latest intents are compared with the chain: those of several days.
const INTENTS: u32 = 100;

/// The side of the chain in the comparison with a ledger.
#[derive(Debug, Clone)]
pub struct LedgerView<'a> {
    /// The genesis hash of the connected chain.
    pub genesis: BlockHash,
    /// The subnet.
    pub netuid: NetUid,
    /// The hotkey that submits weights.
    pub hotkey: Hotkey,
    /// The state of the hotkey on the chain.
    pub state: &'a HotkeyState,
    /// The block in which the hotkey was registered.
    pub registered_at: BlockNumber,
}

/// Compares the weight ledger in a directory with the hotkey's `LastUpdate` on the chain. The ledger is read while a
/// gateway uses it.
pub async fn ledger(directory: &Path, view: &LedgerView<'_>) -> Finding {
    let subject = directory.display().to_string();
    let records = match LedgerReader::open(directory).await {
        Ok(reader) => reader.latest(INTENTS).await,
        Err(LedgerError::Missing(_)) => return missing(subject, view.state.last_update),
        Err(error) => Err(error),
    };
    match records {
        Ok(records) => compare(subject, &records, view),
        Err(error) => {
            let remedy = "check the owner of the directory, and restore a backup if the database is damaged";
            Finding::error(Check::Ledger, subject, &error, remedy)
        }
    }
}

const OTHER: &str = "stop other validators with this hotkey; if you restored a backup or moved here from another \
                     program, the next submission of this ledger ends the difference";

fn missing(subject: String, last_update: Option<BlockNumber>) -> Finding {
    match last_update {
        None => Finding::skipped(Check::Ledger, subject, "no ledger yet, and no weights on the chain"),
        Some(block) => Finding::warning(
            Check::Ledger,
            subject,
            format!("no ledger, but the chain has weights of the hotkey from block {block}"),
            "pass the directory given to the gateway as --state with --ledger; without one, it was another program that \
             submitted: stop it before you start the gateway",
        ),
    }
}

fn compare(subject: String, records: &[Record], view: &LedgerView<'_>) -> Finding {
    let is_own = |key: &IntentKey| key.netuid == view.netuid && key.hotkey == view.hotkey && key.mech.0 == 0;
    let (here, elsewhere): (Vec<_>, Vec<_>) = records
        .iter()
        .filter(|record| is_own(&record.intent.plan.key))
        .partition(|record| record.intent.plan.key.genesis == view.genesis);
    if let (true, Some(other)) = (here.is_empty(), elsewhere.first()) {
        let genesis = other.intent.plan.key.genesis;
        return Finding::fault(
            Check::Ledger,
            subject,
            format!("the ledger is of the chain {genesis}, and the connected chain is {}", view.genesis),
            "select the network of the ledger with BT_NETWORK, or give this network its own --state directory",
        );
    }
    let extrinsics = || here.iter().flat_map(|record| &record.extrinsics);
    let included = |step: Step| {
        let blocks = extrinsics().filter(move |extrinsic| extrinsic.step == step);
        blocks
            .filter_map(|extrinsic| extrinsic.signed.outcome.as_ref()?.inclusion())
            .filter(|inclusion| inclusion.result.is_ok())
            .map(|inclusion| inclusion.block.number)
    };
    let is_known = |block| included(Step::Submit).chain(included(Step::Reveal)).any(|known| known == block);
    let is_pending = extrinsics().any(|extrinsic| extrinsic.signed.state.is_pending());
    // The chain forgets the updates of an earlier registration.
    let newest = included(Step::Submit).max().filter(|block| *block > view.registered_at);
    match (newest, view.state.last_update) {
        (None, None) => Finding::ok(Check::Ledger, subject, "no weights in the ledger and on the chain"),
        (Some(newest), Some(chain)) if chain == newest || is_known(chain) && chain > newest => {
            Finding::ok(Check::Ledger, subject, format!("last weights in block {newest}, as on the chain"))
        }
        (_, Some(chain)) if is_pending && newest.is_none_or(|newest| newest < chain) => {
            Finding::ok(Check::Ledger, subject, format!("the submission in block {chain} is being recorded"))
        }
        (newest, Some(chain)) if newest.is_none_or(|newest| newest < chain) => {
            let last = newest.map_or_else(|| "none".to_owned(), |block| format!("block {block}"));
            Finding::fault(
                Check::Ledger,
                subject,
                format!("behind the chain: the chain has weights from block {chain}, the ledger's last are of {last}"),
                OTHER,
            )
        }
        (newest, chain) => {
            let on_chain = chain.map_or_else(|| "none".to_owned(), |block| format!("those of block {block}"));
            let newest = newest.unwrap_or_default();
            Finding::fault(
                Check::Ledger,
                subject,
                format!(
                    "ahead of the chain: the ledger's last weights are of block {newest}, the chain has {on_chain}"
                ),
                "the node lags behind or its chain was reverted: select another node with BT_CHAIN_ENDPOINT; on a \
                 development chain, move the ledger away",
            )
        }
    }
}
