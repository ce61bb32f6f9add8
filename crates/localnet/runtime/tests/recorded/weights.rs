//! Tests of the weights of calls, from which fees are derived.

use std::collections::{BTreeMap, BTreeSet};

use codec::Decode;
use frame_support::dispatch::{DispatchClass, GetDispatchInfo};
use frame_support::weights::Weight;
use sp_runtime::traits::TransactionExtension;
use taonet_localnet_runtime::extensions::SubtensorTransactionExtension;
use taonet_localnet_runtime::genesis::genesis;
use taonet_localnet_runtime::runtime::{BlockWeights, TransactionPayment};
use taonet_localnet_runtime::{Runtime, RuntimeCall, mev_shield};

use crate::dispatch::served_calls;
use crate::golden::{list, part};
use crate::vectors;

/// Table of the real chain's weights.
const TABLE: &str = include_str!("weights.txt");
/// Pallets whose calls have polkadot-sdk's weights.
const SDK_PALLETS: [&str; 8] =
    ["System", "Timestamp", "Balances", "Sudo", "Multisig", "Preimage", "Scheduler", "SafeMode"];
/// Calls in extrinsics without a signature, whose checks are part of the call's weight.
const BARE_CALLS: [&str; 3] = ["Timestamp.set", "Drand.write_pulse", "MevShield.announce_next_key"];

/// Returns the rows of the table by name of the call.
fn table() -> BTreeMap<&'static str, Weight> {
    let mut table = BTreeMap::new();
    for row in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [call, time, proof] = row.split(' ').collect::<Vec<_>>()[..] else {
            panic!("malformed row: {row}")
        };
        let weight = Weight::from_parts(time.parse().unwrap(), proof.parse().unwrap());
        assert!(table.insert(call, weight).is_none(), "{call} has two rows");
    }
    table
}

/// Returns the weight of an extrinsic with a call.
fn weight(name: &str, call: &RuntimeCall) -> Weight {
    let checks = if BARE_CALLS.contains(&name) {
        Weight::zero()
    } else {
        SubtensorTransactionExtension.weight(call)
    };
    call.get_dispatch_info().call_weight.saturating_add(checks)
}

fn remark() -> RuntimeCall {
    frame_system::Call::<Runtime>::remark { remark: Vec::new() }.into()
}

/// Returns the number of calls within a call whose weights it includes; each is `System.remark`.
fn inner_call_count(name: &str) -> u64 {
    match name {
        "Proxy.proxy"
        | "Proxy.proxy_announced"
        | "Utility.as_derivative"
        | "Utility.dispatch_as"
        | "Utility.dispatch_as_fallible" => 1,
        "Utility.if_else" => 2,
        _ => 0,
    }
}

#[test]
fn weight_table_lists_exactly_the_calls_of_our_pallets() {
    let served = served_calls();
    let is_ours = |name: &str| {
        // The weight of this call is an argument.
        name != "Utility.with_weight"
            && name.split('.').next().is_some_and(|pallet| !SDK_PALLETS.contains(&pallet))
    };
    let ours: BTreeSet<&str> =
        served.iter().map(|(name, _)| name.as_str()).filter(|name| is_ours(name)).collect();
    let rows: BTreeSet<&str> = table().into_keys().collect();
    let missing: Vec<_> = ours.difference(&rows).collect();
    let extra: Vec<_> = rows.difference(&ours).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "without a row: {missing:?}; not served: {extra:?}"
    );
}

#[test]
fn every_call_has_the_weight_of_the_real_chain() {
    let table = table();
    let remark = weight("System.remark", &remark());
    let mut wrong = Vec::new();
    for (name, call) in served_calls() {
        let Some(row) = table.get(name.as_str()) else { continue };
        let expected = row.saturating_add(remark.saturating_mul(inner_call_count(&name)));
        let actual = weight(&name, &call);
        if actual != expected {
            wrong.push(format!("{name}: {actual:?} is not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn call_weights_depend_on_arguments() {
    use taonet_localnet_runtime::subtensor::Call;
    use taonet_localnet_runtime::types::{MechId, NetUid};

    let table = table();
    let (netuid, mecid, dests, weights) = (NetUid(1), MechId(0), vec![0; 64], vec![0; 64]);
    let set: RuntimeCall =
        Call::<Runtime>::set_mechanism_weights { netuid, mecid, dests, weights, version_key: 0 }
            .into();
    let per_neuron = Weight::from_parts(26_961_926, 2_520).saturating_mul(64);
    let name = "SubtensorModule.set_mechanism_weights";
    assert_eq!(weight(name, &set), table[name].saturating_add(per_neuron));

    let batch: RuntimeCall =
        pallet_utility::Call::<Runtime>::batch { calls: vec![set.clone(), remark()] }.into();
    let calls = weight(name, &set).saturating_add(weight("System.remark", &remark()));
    let per_call = Weight::from_parts(5_450_264, 0).saturating_mul(2);
    assert_eq!(
        weight("Utility.batch", &batch),
        table["Utility.batch"].saturating_add(per_call).saturating_add(calls)
    );
}

#[test]
fn block_has_room_for_26_weight_submissions() {
    let limits = BlockWeights::get();
    let limits = limits.get(DispatchClass::Normal);
    let each = table()["SubtensorModule.set_weights"].saturating_add(limits.base_extrinsic);
    assert_eq!(limits.max_total.unwrap().ref_time() / each.ref_time(), 26);
}

/// Returns the call of the recorded transfer.
fn transfer() -> Option<RuntimeCall> {
    let calls = part("calls")?;
    let call = list(&calls).iter().find(|call| call["function"] == "transfer_keep_alive").unwrap();
    Some(RuntimeCall::decode(&mut vectors::bytes(&call["data_hex"]).as_slice()).unwrap())
}

fn parse_weight(json: &serde_json::Value) -> Weight {
    Weight::from_parts(json["ref_time"].as_u64().unwrap(), json["proof_size"].as_u64().unwrap())
}

#[test]
fn transfer_fee_matches_recording() {
    let (Some(info), Some(transfer)) = (part("payment_info"), transfer()) else { return };
    let mut dispatch = transfer.get_dispatch_info();
    dispatch.extension_weight = SubtensorTransactionExtension.weight(&transfer);
    assert_eq!(dispatch.total_weight(), parse_weight(&info["weight"]));

    let (block, receipt) = (part("block").unwrap(), part("receipt").unwrap());
    let index = usize::try_from(receipt["extrinsic_idx"].as_u64().unwrap()).unwrap();
    let extrinsic = vectors::bytes(&block["raw"]["block"]["extrinsics"][index]);
    let length = u32::try_from(extrinsic.len()).unwrap();
    let fee = sp_io::TestExternalities::new(genesis(&[]).unwrap())
        .execute_with(|| TransactionPayment::compute_fee(length, &dispatch, 0));
    assert_eq!(Some(fee), receipt["total_fee_amount"].as_u64());
}

#[test]
fn extrinsic_weights_match_the_recorded_block() {
    let (Some(events), Some(transfer)) = (part("events"), transfer()) else { return };
    let calls = [
        ("Timestamp.set", RuntimeCall::from(pallet_timestamp::Call::<Runtime>::set { now: 0 })),
        (
            "MevShield.announce_next_key",
            mev_shield::Call::<Runtime>::announce_next_key { enc_key: None }.into(),
        ),
        ("Balances.transfer_keep_alive", transfer),
    ];
    let mut compared = 0;
    for event in
        list(&events["decoded"]).iter().filter(|event| event["event_id"] == "ExtrinsicSuccess")
    {
        let (name, call) =
            &calls[usize::try_from(event["extrinsic_idx"].as_u64().unwrap()).unwrap()];
        let base = BlockWeights::get().get(call.get_dispatch_info().class).base_extrinsic;
        let expected = parse_weight(&event["attributes"]["dispatch_info"]["weight"]);
        assert_eq!(weight(name, call).saturating_add(base), expected, "{name}");
        compared += 1;
    }
    assert_eq!(compared, calls.len());
}
