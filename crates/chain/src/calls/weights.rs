use subxt::ext::scale_value::Value;
use taonet_primitives::{MechId, NetUid, Uid};

use super::{SUBTENSOR, number, numbers};
use crate::Call;

/// Builds a call that sets the weights of the signing hotkey's neuron unencrypted, from pairs of
/// uid and weight.
pub fn set_mechanism_weights(
    netuid: NetUid,
    mech: MechId,
    weights: &[(Uid, u16)],
    version_key: u64,
) -> Call {
    let (uids, values) = uid_and_weight_columns(weights);
    let mut args = mechanism_args(netuid, mech);
    args.extend([("dests", uids), ("weights", values), ("version_key", number(version_key))]);
    Call::new(SUBTENSOR, "set_mechanism_weights", args)
}

/// Builds a call that commits to weights by hash: BLAKE2b-256 of hotkey, storage index, uids,
/// values, salt and version key.
pub fn commit_mechanism_weights(netuid: NetUid, mech: MechId, hash: [u8; 32]) -> Call {
    let mut args = mechanism_args(netuid, mech);
    args.push(("commit_hash", Value::from_bytes(hash)));
    Call::new(SUBTENSOR, "commit_mechanism_weights", args)
}

/// Builds a call that reveals weights committed by hash.
pub fn reveal_mechanism_weights(
    netuid: NetUid,
    mech: MechId,
    weights: &[(Uid, u16)],
    salt: &[u16],
    version_key: u64,
) -> Call {
    let (uids, values) = uid_and_weight_columns(weights);
    let mut args = mechanism_args(netuid, mech);
    args.extend([
        ("uids", uids),
        ("values", values),
        ("salt", numbers(salt.iter().copied())),
        ("version_key", number(version_key)),
    ]);
    Call::new(SUBTENSOR, "reveal_mechanism_weights", args)
}

/// Builds a call that commits to weights encrypted until a drand round, after which the chain
/// decrypts them.
pub fn commit_timelocked_mechanism_weights(
    netuid: NetUid,
    mech: MechId,
    ciphertext: &[u8],
    reveal_round: u64,
    version: u16,
) -> Call {
    let mut args = mechanism_args(netuid, mech);
    args.extend([
        ("commit", Value::from_bytes(ciphertext)),
        ("reveal_round", number(reveal_round)),
        ("commit_reveal_version", number(version)),
    ]);
    Call::new(SUBTENSOR, "commit_timelocked_mechanism_weights", args)
}

fn mechanism_args(netuid: NetUid, mech: MechId) -> Vec<(&'static str, Value)> {
    vec![("netuid", number(netuid.0)), ("mecid", number(mech.0))]
}

fn uid_and_weight_columns(weights: &[(Uid, u16)]) -> (Value, Value) {
    (
        numbers(weights.iter().map(|(uid, _)| uid.0)),
        numbers(weights.iter().map(|(_, weight)| *weight)),
    )
}
