//! Locks of stake, and the conviction that they give to hotkeys.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use std::cmp::Reverse;
use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use taonet_chain::{At, Client};
use taonet_primitives::{Alpha, BlockNumber, Coldkey, Hotkey, NetUid};

use super::chain_error;

const SUBTENSOR: &str = "SubtensorModule";
const STAKE_INFO_API: &str = "StakeInfoRuntimeApi";

/// A lock of a coldkey's stake on a subnet. A coldkey has at most one lock on each subnet.
#[derive(Debug, Clone, Copy)]
pub struct StakeLock {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// Hotkey to which the stake is locked.
    pub hotkey: Hotkey,
    /// Locked stake at the block that was read.
    pub locked: Alpha,
    /// Locked stake, weighted by the time for which it has been locked.
    pub conviction: Alpha,
    /// Whether the lock remains until its coldkey changes its mode; otherwise it decays.
    pub is_perpetual: bool,
    /// Block for which `locked` and `conviction` are computed.
    pub last_update: BlockNumber,
}

/// The conviction of a hotkey on a subnet.
#[derive(Debug, Clone, Copy)]
pub struct HotkeyConviction {
    /// Hotkey to which the stake is locked.
    pub hotkey: Hotkey,
    /// Stake locked to the hotkey, weighted by the time for which it has been locked.
    pub conviction: Alpha,
    /// Whether the hotkey is that of the subnet's owner.
    pub is_owner: bool,
}

/// Returns the locks of a coldkey, by subnet. `at` must not be the newest block, which can change
/// between the reads.
pub async fn locks_of(chain: &Client, coldkey: Coldkey, at: At) -> anyhow::Result<Vec<StakeLock>> {
    let mut locks = Vec::new();
    for (keys, _) in
        chain.storage_map(SUBTENSOR, "Lock", &[json!(coldkey)], at).await.map_err(chain_error)?
    {
        let mut keys = keys.into_iter().rev();
        let hotkey: Hotkey = deserialize(keys.next().unwrap_or_default())?;
        let netuid: NetUid = deserialize(keys.next().unwrap_or_default())?;
        let keys = [json!(coldkey), json!(netuid)];
        let lock = chain
            .runtime_api(STAKE_INFO_API, "get_coldkey_lock", &keys, at)
            .await
            .map_err(chain_error)?;
        if lock.is_null() {
            continue;
        }
        let decays =
            chain.storage(SUBTENSOR, "DecayingLock", &keys, at).await.map_err(chain_error)?;
        locks.push(StakeLock {
            netuid,
            hotkey,
            locked: deserialize(lock["locked_mass"].clone())?,
            conviction: alpha_from_fixed_point(&lock["conviction"])?,
            // A lock decays unless its coldkey made it perpetual.
            is_perpetual: decays == json!(false),
            last_update: deserialize(lock["last_update"].clone())?,
        });
    }
    locks.sort_unstable_by_key(|lock| lock.netuid);
    Ok(locks)
}

/// Returns the lock of a coldkey on a subnet; `None` if it has none.
pub async fn lock_on(
    chain: &Client,
    coldkey: Coldkey,
    netuid: NetUid,
    at: At,
) -> anyhow::Result<Option<StakeLock>> {
    Ok(locks_of(chain, coldkey, at).await?.into_iter().find(|lock| lock.netuid == netuid))
}

/// Returns the hotkeys with conviction on a subnet, highest conviction first.
pub async fn convictions(
    chain: &Client,
    netuid: NetUid,
    at: At,
) -> anyhow::Result<Vec<HotkeyConviction>> {
    let owner = chain.subnet(netuid, at).await.map_err(chain_error)?.owner_hotkey;
    let mut hotkeys = BTreeSet::from([owner]);
    for item in ["HotkeyLock", "DecayingHotkeyLock"] {
        for (keys, _) in
            chain.storage_map(SUBTENSOR, item, &[json!(netuid)], at).await.map_err(chain_error)?
        {
            hotkeys.insert(deserialize(keys.into_iter().next_back().unwrap_or_default())?);
        }
    }
    let mut convictions = Vec::new();
    for hotkey in hotkeys {
        let keys = [json!(hotkey), json!(netuid)];
        let fixed_point = chain
            .runtime_api(STAKE_INFO_API, "get_hotkey_conviction", &keys, at)
            .await
            .map_err(chain_error)?;
        let conviction = alpha_from_fixed_point(&fixed_point)?;
        if conviction > Alpha::ZERO {
            convictions.push(HotkeyConviction { hotkey, conviction, is_owner: hotkey == owner });
        }
    }
    convictions.sort_by_key(|hotkey| Reverse(hotkey.conviction));
    Ok(convictions)
}

fn deserialize<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).context("malformed lock")
}

/// Converts a U64F64 fixed-point number to an amount, without its fraction below the smallest unit.
fn alpha_from_fixed_point(fixed_point: &Value) -> anyhow::Result<Alpha> {
    // Large numbers are serialised as text.
    let bits = match fixed_point.get("bits").unwrap_or(fixed_point) {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().map(u128::from),
    };
    let bits: u128 = bits.with_context(|| format!("malformed conviction {fixed_point}"))?;
    Ok(Alpha::new((bits >> u64::BITS) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conviction_is_truncated_to_whole_units() {
        for (fixed, amount) in [
            (json!({ "bits": 0 }), 0),
            (json!({ "bits": u64::MAX }), 0),
            (json!({ "bits": (5_u128 << 64).to_string() }), 5),
            (json!((5_u128 << 64).to_string()), 5),
            (json!({ "bits": u128::MAX.to_string() }), u64::MAX),
        ] {
            assert_eq!(alpha_from_fixed_point(&fixed).unwrap(), Alpha::new(amount), "{fixed}");
        }
        for fixed in [json!(null), json!({ "bits": "x" }), json!({ "bits": -1 })] {
            assert!(alpha_from_fixed_point(&fixed).is_err(), "{fixed}");
        }
    }
}
