//! Tests of storage keys and values, constants, and results of runtime APIs.

use codec::{DecodeAll, Encode};
use serde_json::{Value as Json, json};
use taonet_localnet_runtime::info::hyperparams::SubnetHyperparams;
use taonet_localnet_runtime::info::neuron::NeuronInfoLite;
use taonet_localnet_runtime::info::stake::StakeInfo;

use super::{list, part, text};
use crate::values;
use crate::vectors::{self, bytes};

/// Recorded storage entry that is unsupported: the old encoding of stakes.
const UNSUPPORTED_ITEMS: [&str; 1] = ["SubtensorModule.Alpha"];

#[test]
fn storage_keys_match_recording() {
    let Some(keys) = part("storage_keys") else { return };
    let (mut compared, mut skipped) = (0, Vec::new());
    for recorded in list(&keys) {
        let (pallet, item) = (text(&recorded["pallet"]), text(&recorded["storage_function"]));
        let Some((prefix, entry)) = values::storage(pallet, item) else {
            skipped.push(format!("{pallet}.{item}"));
            continue;
        };
        let parameters: Vec<&Json> = list(&recorded["params"]).iter().collect();
        assert_eq!(
            values::storage_key(prefix, entry, &parameters),
            bytes(&recorded["key_hex"]),
            "{recorded}"
        );
        compared += 1;
    }
    assert_eq!((compared, skipped), (9, UNSUPPORTED_ITEMS.map(String::from).to_vec()));
}

#[test]
fn stored_values_are_read_as_recorded() {
    let Some(stored) = part("storage_values") else { return };
    for recorded in list(&stored) {
        let (pallet, item) = (text(&recorded["pallet"]), text(&recorded["storage_function"]));
        let (prefix, entry) = values::storage(pallet, item).unwrap();
        let parameters: Vec<&Json> = list(&recorded["params"]).iter().collect();
        assert_eq!(
            values::storage_key(prefix, entry, &parameters),
            bytes(&recorded["key_hex"]),
            "{recorded}"
        );
        let raw = match &recorded["raw_hex"] {
            Json::Null => values::default(entry).unwrap().to_vec(),
            raw => bytes(raw),
        };
        let value = values::round_trip(values::value_type(entry), &raw).unwrap();
        values::assert_agrees(&value, &recorded["decoded"]);
    }
    assert_eq!(list(&stored).len(), 8);
}

#[test]
fn maps_are_read_as_recorded() {
    let Some(maps) = part("query_maps") else { return };
    let mut pairs = 0;
    for recorded in list(&maps) {
        let (pallet, item) = (text(&recorded["pallet"]), text(&recorded["storage_function"]));
        let (prefix, entry) = values::storage(pallet, item).unwrap();
        let parameters: Vec<&Json> = list(&recorded["params"]).iter().collect();
        assert_eq!(values::storage_key(prefix, entry, &parameters), bytes(&recorded["prefix_hex"]));
        for (change, pair) in list(&recorded["raw_changes"]).iter().zip(list(&recorded["pairs"])) {
            let parameters: Vec<&Json> = parameters.iter().copied().chain([&pair[0]]).collect();
            assert_eq!(
                values::storage_key(prefix, entry, &parameters),
                bytes(&change[0]),
                "{pair}"
            );
            let value = values::round_trip(values::value_type(entry), &bytes(&change[1])).unwrap();
            values::assert_agrees(&value, &pair[1]);
            pairs += 1;
        }
        assert_eq!(
            recorded["raw_keys"].as_array().map(Vec::len),
            recorded["pairs"].as_array().map(Vec::len)
        );
    }
    assert_eq!((list(&maps).len(), pairs), (4, PAIRS));
}

/// Total number of entries of the four recorded maps.
const PAIRS: usize = 16;

#[test]
fn constants_match_recording() {
    let Some(constants) = part("constants") else { return };
    for recorded in list(&constants) {
        let pallets = &vectors::localnet_metadata().pallets;
        let pallet =
            pallets.iter().find(|pallet| pallet.name == text(&recorded["module"])).unwrap();
        let constant = pallet
            .constants
            .iter()
            .find(|constant| constant.name == text(&recorded["name"]))
            .unwrap();
        let value = values::round_trip(constant.ty.id, &constant.value).unwrap();
        values::assert_agrees(&value, &recorded["decoded"]);
    }
    assert_eq!(list(&constants).len(), 3);
}

#[test]
fn runtime_api_results_are_read_as_recorded() {
    let Some(calls) = part("runtime_calls") else { return };
    for recorded in list(&calls) {
        let (api, method) = (text(&recorded["api"]), text(&recorded["method"]));
        let api = vectors::localnet_metadata().apis.iter().find(|ours| ours.name == api).unwrap();
        let method = api.methods.iter().find(|ours| ours.name == method).unwrap();
        let parameters = method.inputs.iter().zip(list(&recorded["params"]));
        let parameters: Vec<u8> = parameters
            .flat_map(|(input, json)| values::encode_parameter(input.ty.id, json))
            .collect();
        assert_eq!(parameters, bytes(&recorded["encoded_params_hex"]), "{recorded}");
        let result = bytes(&recorded["raw_hex"]);
        let value = values::round_trip(method.output.id, &result).unwrap();
        values::assert_agrees(&value, &recorded["decoded"]);
        assert_eq!(reencode_result(&method.name, &result), result, "{recorded}");
    }
    assert_eq!(list(&calls).len(), 4);
}

/// Decodes a runtime API result into our struct, and encodes it again.
fn reencode_result(method: &str, result: &[u8]) -> Vec<u8> {
    fn reencode<Output: DecodeAll + Encode>(mut result: &[u8]) -> Vec<u8> {
        Output::decode_all(&mut result).unwrap().encode()
    }
    match method {
        "get_neurons_lite" => reencode::<Vec<NeuronInfoLite>>(result),
        "get_subnet_hyperparams" => reencode::<Option<SubnetHyperparams>>(result),
        "get_stake_info_for_hotkey_coldkey_netuid" => reencode::<Option<StakeInfo>>(result),
        "account_nonce" => reencode::<u32>(result),
        other => panic!("{other} is not in the recorded results"),
    }
}

#[test]
fn fee_info_has_the_recorded_fields() {
    let Some(info) = part("payment_info") else { return };
    let types = &vectors::localnet_metadata().types;
    let api = vectors::localnet_metadata()
        .apis
        .iter()
        .find(|api| api.name == "TransactionPaymentApi")
        .unwrap();
    let output = api.methods.iter().find(|method| method.name == "query_info").unwrap().output.id;
    let scale_info::TypeDef::Composite(fields) = &types.resolve(output).unwrap().type_def else {
        panic!()
    };
    let mut names: Vec<_> = fields.fields.iter().filter_map(|field| field.name.clone()).collect();
    names.sort();
    assert_eq!(json!(names), info["keys"]);
}
