//! Tests of the fees and classes of calls, the call filter, and the numbering of errors.

use std::collections::{BTreeMap, BTreeSet};

use codec::{Decode, Encode};
use frame_support::dispatch::{GetDispatchInfo, Pays};
use frame_support::traits::Contains;
use taonet_localnet_runtime::genesis::genesis;
use taonet_localnet_runtime::runtime::{CallFilter, RuntimeOrigin, SafeMode};
use taonet_localnet_runtime::{Runtime, RuntimeCall};

use crate::vectors;

#[test]
fn error_indices_are_contiguous() {
    // The Python tools look up an error by its position in the list.
    let metadata = vectors::localnet_metadata();
    for (pallet, errors) in
        metadata.pallets.iter().filter_map(|pallet| Some((pallet, pallet.error.as_ref()?)))
    {
        let scale_info::TypeDef::Variant(errors) =
            &metadata.types.resolve(errors.ty.id).unwrap().type_def
        else {
            panic!("errors are an enum")
        };
        let indices: Vec<usize> = errors.variants.iter().map(|error| error.index.into()).collect();
        assert_eq!(indices, (0..indices.len()).collect::<Vec<_>>(), "{}", pallet.name);
    }
}

/// Table of the real chain's call classes, fees and filter.
const TABLE: &str = include_str!("dispatch.txt");

/// A call's row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    class: &'static str,
    pays: &'static str,
    filter: &'static str,
}

/// Returns the rows of the table by name of the call.
fn table() -> BTreeMap<&'static str, Row> {
    let mut table = BTreeMap::new();
    for row in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [call, class, pays, filter] = row.split(' ').collect::<Vec<_>>()[..] else {
            panic!("malformed row: {row}")
        };
        assert!(table.insert(call, Row { class, pays, filter }).is_none(), "{call} has two rows");
    }
    table
}

/// Returns every supported call, by name, with arguments that are all zeros when encoded.
pub(crate) fn served_calls() -> Vec<(String, RuntimeCall)> {
    let metadata = vectors::localnet_metadata();
    let variants = |id: u32| match &metadata.types.resolve(id).unwrap().type_def {
        scale_info::TypeDef::Variant(variants) => variants.variants.clone(),
        other => panic!("calls are an enum: {other:?}"),
    };
    let pallets =
        metadata.pallets.iter().filter_map(|pallet| Some((pallet, pallet.calls.as_ref()?.ty.id)));
    pallets
        .flat_map(|(pallet, id)| variants(id).into_iter().map(move |call| (pallet, call)))
        .map(|(pallet, call)| {
            let mut bytes = vec![pallet.index, call.index];
            bytes.resize(512, 0);
            let decoded = RuntimeCall::decode(&mut bytes.as_slice()).unwrap();
            (format!("{}.{}", pallet.name, call.name), decoded)
        })
        .collect()
}

#[test]
fn call_table_lists_exactly_the_served_calls() {
    let served: Vec<String> = served_calls().into_iter().map(|(name, _)| name).collect();
    let (served, rows): (BTreeSet<&str>, BTreeSet<&str>) =
        (served.iter().map(String::as_str).collect(), table().into_keys().collect());
    let missing: Vec<_> = served.difference(&rows).collect();
    let extra: Vec<_> = rows.difference(&served).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "without a row: {missing:?}; not served: {extra:?}"
    );
}

#[test]
fn every_call_has_the_class_and_the_fee_of_the_real_chain() {
    let table = table();
    let served = served_calls();
    assert!(served.len() > 170, "{}", served.len());
    for (name, call) in served {
        let info = call.get_dispatch_info();
        let pays = if info.pays_fee == Pays::Yes { "Yes" } else { "No" };
        let row = table[name.as_str()];
        assert_eq!((format!("{:?}", info.class).as_str(), pays), (row.class, row.pays), "{name}");
    }
}

#[test]
fn only_expected_calls_are_fee_free() {
    let free_calls: Vec<&str> =
        table().into_iter().filter(|(_, row)| row.pays == "No").map(|(name, _)| name).collect();
    let expected = [
        "Commitments.set_commitment",
        "SubtensorModule.associate_evm_key",
        "SubtensorModule.batch_commit_weights",
        "SubtensorModule.batch_reveal_weights",
        "SubtensorModule.batch_set_weights",
        "SubtensorModule.commit_crv3_mechanism_weights",
        "SubtensorModule.commit_mechanism_weights",
        "SubtensorModule.commit_timelocked_mechanism_weights",
        "SubtensorModule.commit_timelocked_weights",
        "SubtensorModule.commit_weights",
        "SubtensorModule.decrease_take",
        "SubtensorModule.faucet",
        "SubtensorModule.increase_take",
        "SubtensorModule.pow_register",
        "SubtensorModule.reveal_mechanism_weights",
        "SubtensorModule.reveal_weights",
        "SubtensorModule.serve_axon",
        "SubtensorModule.serve_axon_tls",
        "SubtensorModule.serve_prometheus",
        "SubtensorModule.set_mechanism_weights",
        "SubtensorModule.set_weights",
    ];
    assert_eq!(free_calls, expected);
}

/// The whitelist of the safe mode: complete pallets, then single calls.
#[test]
fn safe_mode_calls_match_the_whitelist() {
    let calls =
        ["Commitments.set_commitment", "SubtensorModule.serve_axon", "SubtensorModule.set_weights"];
    for (name, row) in table() {
        let is_complete_pallet = ["Multisig.", "SafeMode.", "Sudo.", "System.", "Timestamp."]
            .iter()
            .any(|pallet| name.starts_with(pallet));
        assert_eq!(
            row.filter == "safe-mode",
            is_complete_pallet || calls.contains(&name),
            "{name}"
        );
    }
}

#[test]
fn safe_mode_allows_only_recorded_calls() {
    let (table, served) = (table(), served_calls());
    let passes =
        |call: &RuntimeCall| <Runtime as frame_system::Config>::BaseCallFilter::contains(call);
    sp_io::TestExternalities::new(genesis(&[]).unwrap()).execute_with(|| {
        for (name, call) in &served {
            assert!(passes(call), "{name}");
        }
        SafeMode::force_enter(RuntimeOrigin::root()).unwrap();
        for (name, call) in &served {
            assert_eq!(
                passes(call),
                table[name.as_str()].filter == "safe-mode",
                "{name} in safe mode"
            );
        }
    });
}

#[test]
fn call_filter_refuses_only_nested_batches() {
    let (table, served) = (table(), served_calls());
    let batch = |index: u8, inner: &[Vec<u8>]| {
        let mut bytes = vec![11, index];
        codec::Compact(inner.len() as u32).encode_to(&mut bytes);
        bytes.extend(inner.concat());
        RuntimeCall::decode(&mut bytes.as_slice()).unwrap()
    };
    let remark = vec![0, 0, 0];
    let mut unnested = Vec::new();
    for (name, call) in &served {
        assert!(CallFilter::contains(call), "{name}");
        let is_unnested = match table[name.as_str()].filter {
            "unnested" => true,
            "open" | "safe-mode" => false,
            other => panic!("{name}: unknown filter {other}"),
        };
        unnested.extend(is_unnested.then_some(name.as_str()));
        for outer in [0, 2, 4] {
            let nested = batch(outer, &[remark.clone(), call.encode()]);
            assert_eq!(CallFilter::contains(&nested), !is_unnested, "{name} in a batch");
        }
    }
    assert_eq!(unnested, ["Utility.batch", "Utility.batch_all", "Utility.force_batch"]);
}
