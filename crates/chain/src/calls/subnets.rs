use subxt::ext::scale_value::Value;
use taonet_primitives::NetUid;

use super::{SUBTENSOR, number};
use crate::{Call, SubnetIdentity};

/// Builds a call that publishes the identity of a subnet. Sign it with the owner's coldkey.
pub fn set_subnet_identity(netuid: NetUid, identity: &SubnetIdentity) -> Call {
    let fields = identity.fields().map(|(name, text)| (name, Value::from_bytes(text.as_bytes())));
    let args = [("netuid", number(netuid.0))].into_iter().chain(fields).collect();
    Call::new(SUBTENSOR, "set_subnet_identity", args)
}

/// Builds a call that changes the symbol of a subnet's alpha. The owner signs it, or root makes it.
pub fn update_symbol(netuid: NetUid, symbol: &str) -> Call {
    let args = vec![("netuid", number(netuid.0)), ("symbol", Value::from_bytes(symbol.as_bytes()))];
    Call::new(SUBTENSOR, "update_symbol", args)
}

/// Builds a call that triggers an epoch of a subnet. Sign it with the owner's coldkey.
pub fn trigger_epoch(netuid: NetUid) -> Call {
    Call::new(SUBTENSOR, "trigger_epoch", vec![("netuid", number(netuid.0))])
}
