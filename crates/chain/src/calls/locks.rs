use subxt::ext::scale_value::Value;
use taonet_primitives::{Alpha, Hotkey, NetUid};

use super::{SUBTENSOR, account, number};
use crate::Call;

/// Builds a call that locks stake of the signing coldkey on a subnet to a hotkey, in addition to
/// its lock.
pub fn lock_stake(hotkey: Hotkey, netuid: NetUid, amount: Alpha) -> Call {
    let args = vec![
        ("hotkey", account(hotkey)),
        ("netuid", number(netuid.0)),
        ("amount", number(amount.get())),
    ];
    Call::new(SUBTENSOR, "lock_stake", args)
}

/// Builds a call that moves the lock of the signing coldkey on a subnet to another hotkey.
pub fn move_lock(to: Hotkey, netuid: NetUid) -> Call {
    Call::new(
        SUBTENSOR,
        "move_lock",
        vec![("destination_hotkey", account(to)), ("netuid", number(netuid.0))],
    )
}

/// Builds a call that makes the lock of the signing coldkey on a subnet perpetual, or lets it
/// decay.
pub fn set_perpetual_lock(netuid: NetUid, enabled: bool) -> Call {
    let args = vec![("netuid", number(netuid.0)), ("enabled", Value::bool(enabled))];
    Call::new(SUBTENSOR, "set_perpetual_lock", args)
}
