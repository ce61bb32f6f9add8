use subxt::ext::scale_value::Value;
use taonet_primitives::{Coldkey, Hotkey, NetUid};

use super::{SUBTENSOR, account, number, option};
use crate::hash::blake2_256;
use crate::{Call, Identity};

/// Builds a call that replaces a hotkey on one subnet, or on all. Sign it with the hotkeys'
/// coldkey.
pub fn swap_hotkey(old: Hotkey, new: Hotkey, netuid: Option<NetUid>, keep_stake: bool) -> Call {
    let args = vec![
        ("hotkey", account(old)),
        ("new_hotkey", account(new)),
        ("netuid", option(netuid.map(|netuid| number(netuid.0)))),
        ("keep_stake", Value::bool(keep_stake)),
    ];
    Call::new(SUBTENSOR, "swap_hotkey_v2", args)
}

/// Builds a call that announces the replacement of the signing coldkey, by the hash of the new
/// coldkey.
pub fn announce_coldkey_swap(new: Coldkey) -> Call {
    let hash = Value::from_bytes(blake2_256(new.as_bytes()));
    Call::new(SUBTENSOR, "announce_coldkey_swap", vec![("new_coldkey_hash", hash)])
}

/// Builds a call that replaces the signing coldkey by the announced one.
pub fn swap_coldkey_announced(new: Coldkey) -> Call {
    Call::new(SUBTENSOR, "swap_coldkey_announced", vec![("new_coldkey", account(new))])
}

/// Builds a call that disputes the announced replacement of the signing coldkey.
pub fn dispute_coldkey_swap() -> Call {
    Call::new(SUBTENSOR, "dispute_coldkey_swap", Vec::new())
}

/// Builds a call that withdraws the announced replacement of the signing coldkey.
pub fn clear_coldkey_swap_announcement() -> Call {
    Call::new(SUBTENSOR, "clear_coldkey_swap_announcement", Vec::new())
}

/// Builds a call that records the signing coldkey as the owner of a hotkey that has none.
pub fn associate_hotkey(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "try_associate_hotkey", vec![("hotkey", account(hotkey))])
}

/// Builds a call that publishes the identity of the signing coldkey.
pub fn set_identity(identity: &Identity) -> Call {
    let args = identity.fields().map(|(name, text)| (name, Value::from_bytes(text.as_bytes())));
    Call::new(SUBTENSOR, "set_identity", args.into())
}
