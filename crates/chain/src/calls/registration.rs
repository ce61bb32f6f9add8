use subxt::ext::scale_value::Value;
use taonet_primitives::{BlockNumber, Hotkey, NetUid, Rao};

use super::{SUBTENSOR, account, number};
use crate::{Call, Share};

/// Builds a call that registers a hotkey at the current price, without a price limit. Sign it with
/// the coldkey.
pub fn burned_register(netuid: NetUid, hotkey: Hotkey) -> Call {
    Call::new(
        SUBTENSOR,
        "burned_register",
        vec![("netuid", number(netuid.0)), ("hotkey", account(hotkey))],
    )
}

/// Builds a call that registers a hotkey unless the price is above `limit`. Sign it with the
/// coldkey.
pub fn register_limit(netuid: NetUid, hotkey: Hotkey, limit: Rao) -> Call {
    let args = vec![
        ("netuid", number(netuid.0)),
        ("hotkey", account(hotkey)),
        ("limit_price", number(limit.get())),
    ];
    Call::new(SUBTENSOR, "register_limit", args)
}

/// Builds a call that registers a hotkey for proof of work, without a price: a nonce whose seal,
/// computed for a recent block, the hotkey and the signing coldkey, meets the subnet's difficulty.
/// The main network's runtime 461 does not have the call.
pub fn pow_register(
    netuid: NetUid,
    work_block: BlockNumber,
    nonce: u64,
    seal: &[u8; 32],
    hotkey: Hotkey,
) -> Call {
    let args = vec![
        ("netuid", number(netuid.0)),
        ("work_block", number(work_block.get())),
        ("nonce", number(nonce)),
        ("work", Value::from_bytes(seal)),
        ("hotkey", account(hotkey)),
    ];
    Call::new(SUBTENSOR, "pow_register", args)
}

/// Builds a call that registers a hotkey on the root network. Sign it with the coldkey.
pub fn root_register(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "root_register", vec![("hotkey", account(hotkey))])
}

/// Builds a call that creates a subnet with `hotkey` as its first neuron. The signing coldkey
/// becomes the subnet's owner and pays the lock cost.
pub fn register_network(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "register_network", vec![("hotkey", account(hotkey))])
}

/// Builds a call that starts a subnet's emission. Sign it with the owner's coldkey.
pub fn start_call(netuid: NetUid) -> Call {
    Call::new(SUBTENSOR, "start_call", vec![("netuid", number(netuid.0))])
}

/// Builds a call that raises the take of a delegate; the chain allows one increase per month. Sign
/// it with the delegate's coldkey.
pub fn increase_take(hotkey: Hotkey, take: Share) -> Call {
    Call::new(
        SUBTENSOR,
        "increase_take",
        vec![("hotkey", account(hotkey)), ("take", number(take.parts()))],
    )
}

/// Builds a call that lowers the take of a delegate. Sign it with the delegate's coldkey.
pub fn decrease_take(hotkey: Hotkey, take: Share) -> Call {
    Call::new(
        SUBTENSOR,
        "decrease_take",
        vec![("hotkey", account(hotkey)), ("take", number(take.parts()))],
    )
}
