use taonet_primitives::{Hotkey, NetUid, Rao};

use super::{SUBTENSOR, account, number};
use crate::{Call, Share};

/// Registers a hotkey at the current price, without a limit. Signed by the coldkey.
pub fn burned_register(netuid: NetUid, hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "burned_register", vec![("netuid", number(netuid.0)), ("hotkey", account(hotkey))])
}

/// Registers a hotkey, unless the price is above `limit`. Signed by the coldkey.
pub fn register_limit(netuid: NetUid, hotkey: Hotkey, limit: Rao) -> Call {
    let args = vec![("netuid", number(netuid.0)), ("hotkey", account(hotkey)), ("limit_price", number(limit.get()))];
    Call::new(SUBTENSOR, "register_limit", args)
}

/// Registers a hotkey on the root network. Signed by the coldkey.
pub fn root_register(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "root_register", vec![("hotkey", account(hotkey))])
}

/// Creates a subnet with `hotkey` as its first neuron. The signing coldkey becomes the owner and pays the lock cost.
pub fn register_network(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "register_network", vec![("hotkey", account(hotkey))])
}

/// Starts a subnet's emission. Signed by its owner.
pub fn start_call(netuid: NetUid) -> Call {
    Call::new(SUBTENSOR, "start_call", vec![("netuid", number(netuid.0))])
}

/// Raises the take of a delegate. Signed by its coldkey; at most once a month.
pub fn increase_take(hotkey: Hotkey, take: Share) -> Call {
    Call::new(SUBTENSOR, "increase_take", vec![("hotkey", account(hotkey)), ("take", number(take.parts()))])
}

/// Lowers the take of a delegate. Signed by its coldkey.
pub fn decrease_take(hotkey: Hotkey, take: Share) -> Call {
    Call::new(SUBTENSOR, "decrease_take", vec![("hotkey", account(hotkey)), ("take", number(take.parts()))])
}
