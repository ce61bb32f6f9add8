//! Tests of the fees and classes of calls, the call filter, and the numbering of errors.

use std::collections::BTreeMap;

use codec::{Decode, Encode};
use frame_support::dispatch::{GetDispatchInfo, Pays};
use frame_support::traits::Contains;
use taonet_localnet_runtime::RuntimeCall;
use taonet_localnet_runtime::runtime::CallFilter;

use crate::vectors;

#[test]
fn errors_stand_at_their_index() {
    // The Python tools take the error of an index from the list by its position.
    let metadata = vectors::ours();
    for (pallet, errors) in metadata.pallets.iter().filter_map(|pallet| Some((pallet, pallet.error.as_ref()?))) {
        let scale_info::TypeDef::Variant(errors) = &metadata.types.resolve(errors.ty.id).unwrap().type_def else {
            panic!("errors are an enum")
        };
        let indices: Vec<usize> = errors.variants.iter().map(|error| error.index.into()).collect();
        assert_eq!(indices, (0..indices.len()).collect::<Vec<_>>(), "{}", pallet.name);
    }
}

/// Table of the real chain's call classes and fees.
const TABLE: &str = include_str!("dispatch.txt");

/// Returns class and fee flag of each call, by name.
fn table() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| {
        let [call, class, pays] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("malformed row: {row}") };
        (call, (class, pays))
    })
    .collect()
}

/// Returns every supported call, by name, with arguments that are all zeros when encoded.
fn served() -> Vec<(String, RuntimeCall)> {
    let metadata = vectors::ours();
    let variants = |id: u32| match &metadata.types.resolve(id).unwrap().type_def {
        scale_info::TypeDef::Variant(variants) => variants.variants.clone(),
        other => panic!("calls are an enum: {other:?}"),
    };
    let pallets = metadata.pallets.iter().filter_map(|pallet| Some((pallet, pallet.calls.as_ref()?.ty.id)));
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
fn every_call_has_the_class_and_the_fee_of_the_real_chain() {
    let table = table();
    let served = served();
    assert!(served.len() > 130, "{}", served.len());
    for (name, call) in served {
        let info = call.get_dispatch_info();
        let pays = if info.pays_fee == Pays::Yes { "Yes" } else { "No" };
        let found = (format!("{:?}", info.class), pays.to_owned());
        let (class, pays) = table.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no row"));
        assert_eq!(found, ((*class).to_owned(), (*pays).to_owned()), "{name}");
    }
}

#[test]
fn the_calls_without_a_fee_are_those_that_the_specification_lists() {
    let free: Vec<&str> = table().into_iter().filter(|(_, (_, pays))| *pays == "No").map(|(name, _)| name).collect();
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
        "SubtensorModule.reveal_mechanism_weights",
        "SubtensorModule.reveal_weights",
        "SubtensorModule.serve_axon",
        "SubtensorModule.serve_axon_tls",
        "SubtensorModule.serve_prometheus",
        "SubtensorModule.set_mechanism_weights",
        "SubtensorModule.set_weights",
    ];
    assert_eq!(free, expected);
}

#[test]
fn only_batches_within_batches_are_filtered() {
    for (name, call) in served() {
        assert!(CallFilter::contains(&call), "{name}");
    }
    let batch = |index: u8, inner: &[Vec<u8>]| {
        let mut bytes = vec![11, index];
        codec::Compact(inner.len() as u32).encode_to(&mut bytes);
        bytes.extend(inner.concat());
        bytes
    };
    let decoded = |bytes: &[u8]| RuntimeCall::decode(&mut &bytes[..]).unwrap();
    let remark = vec![0, 0, 0];
    for outer in [0, 2, 4] {
        assert!(CallFilter::contains(&decoded(&batch(outer, std::slice::from_ref(&remark)))));
        for inner in [0, 2, 4] {
            let nested = batch(inner, std::slice::from_ref(&remark));
            assert!(!CallFilter::contains(&decoded(&batch(outer, &[remark.clone(), nested]))), "{outer} {inner}");
        }
    }
}
