use subxt::ext::scale_value::Value;
use taonet_primitives::{Hotkey, NetUid};

use super::{SUBTENSOR, account, number};
use crate::{Call, Relative, Share};

/// Builds a call that replaces the children of a hotkey on a subnet. Sign it with the hotkey's
/// coldkey.
pub fn set_children(hotkey: Hotkey, netuid: NetUid, children: &[Relative]) -> Call {
    let children = children.iter().map(|child| {
        Value::unnamed_composite([number(child.proportion.parts()), account(child.hotkey)])
    });
    let args = vec![
        ("hotkey", account(hotkey)),
        ("netuid", number(netuid.0)),
        ("children", Value::unnamed_composite(children)),
    ];
    Call::new(SUBTENSOR, "set_children", args)
}

/// Builds a call that sets the childkey take of a hotkey. Sign it with the hotkey's coldkey.
pub fn set_childkey_take(hotkey: Hotkey, netuid: NetUid, take: Share) -> Call {
    let args = vec![
        ("hotkey", account(hotkey)),
        ("netuid", number(netuid.0)),
        ("take", number(take.parts())),
    ];
    Call::new(SUBTENSOR, "set_childkey_take", args)
}
