use codec::Encode as _;
use proptest::prelude::*;
use serde_json::json;
use subxt::config::substrate::MultiSignature;
use subxt::ext::scale_value::scale::encode_as_type;
use taonet_primitives::{AccountId, BlockNumber, Rao, with_causes};

use super::*;

mod call_data;
mod hostile;

use crate::runtime::events::fee_of;
use crate::vectors::{bytes, genesis, golden, parse, read, runtime};
use crate::{Block, Decoded, Era, Phase, SignOptions, calls};

fn items<'a>(golden: &'a Json, name: &str, count: usize) -> &'a [Json] {
    let items = golden[name].as_array().unwrap();
    assert_eq!(items.len(), count, "{name}");
    items
}

fn list(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

fn bob() -> AccountId {
    "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty".parse().unwrap()
}

#[test]
fn extrinsics_and_calls_are_inspected() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let mut eras = Vec::new();
    for case in items(&golden, "extrinsics", 2) {
        let raw = bytes(&case["extrinsic_hex"]);
        let Decoded::Extrinsic(extrinsic) = runtime.inspect(&raw).unwrap() else {
            panic!("an extrinsic")
        };
        assert_eq!(extrinsic.hash.to_string(), text(&case["extrinsic_hash"]));
        assert_eq!(extrinsic.nonce, case["nonce"].as_u64());
        assert_eq!(extrinsic.tip.map(Rao::get), case["tip"].as_u64());
        assert_eq!(extrinsic.call.args, json!({ "dest": bob().to_string(), "value": 12345 }));
        eras.push(extrinsic.era.map(|era| (u64::from(era.period), u64::from(era.phase))));
        let expected = case["era"]["period"].as_u64().map(|period| {
            let current = case["era"]["current"].as_u64().unwrap();
            (period, current % period)
        });
        assert_eq!(eras.last(), Some(&expected));
        // The call alone, as it stands in the extrinsic.
        assert_eq!(
            runtime.inspect(&extrinsic.call.data).unwrap(),
            Decoded::Call(extrinsic.call.clone())
        );
        let error = runtime.inspect(&raw[..raw.len() - 1]).unwrap_err().to_string();
        assert!(error.contains("length prefix is") && error.contains("version 461"), "{error}");
    }
    assert!(eras.contains(&None) && eras.iter().any(Option::is_some), "{eras:?}");
    for case in items(&golden, "calls", 10) {
        let raw = bytes(&case["data_hex"]);
        let Decoded::Call(call) = runtime.inspect(&raw).unwrap() else { panic!("a call") };
        assert_eq!((&*call.pallet, &*call.name), (text(&case["module"]), text(&case["function"])));
        assert_eq!((&call.data, call.hash()), (&raw, crate::hash::blake2_256(&raw)));
        assert!(runtime.inspect(&[&raw[..], &[0]].concat()).is_err(), "trailing data");
    }
}

#[test]
fn storage_items_are_listed_with_their_keys() {
    let Some(runtime) = runtime() else { return };
    let items = runtime.storage_items();
    for (pallet, name, keys) in [
        ("SubtensorModule", "Tempo", 1),
        ("SubtensorModule", "Uids", 2),
        ("Timestamp", "Now", 0),
        ("System", "Account", 1),
    ] {
        let actual = items.iter().find(|item| item.pallet == pallet && item.name == name);
        assert_eq!(actual.map(|item| item.keys), Some(keys), "{pallet}.{name}");
    }
    assert!(items.iter().any(|item| !item.summary.is_empty()));
}

#[test]
fn nested_call_result_is_the_dispatch_result() {
    let Some(runtime) = runtime() else { return };
    let event = |pallet: &str, name: &str, fields: Json| crate::Event {
        index: 0,
        phase: Phase::ApplyExtrinsic(1),
        pallet: pallet.to_owned(),
        name: name.to_owned(),
        fields,
    };
    let success = event("System", "ExtrinsicSuccess", json!({}));
    for (pallet, name, field) in [
        ("Sudo", "Sudid", "sudo_result"),
        ("Proxy", "ProxyExecuted", "result"),
        ("Multisig", "MultisigExecuted", "result"),
    ] {
        let dispatch_result = |result: Json| {
            runtime
                .dispatch_result(&[
                    event(pallet, name, json!({ (field): result })),
                    success.clone(),
                ])
                .unwrap()
        };
        assert_eq!(dispatch_result(json!({ "Ok": [] })), Ok(()), "{pallet}");
        assert_eq!(
            dispatch_result(json!({ "Err": "BadOrigin" }))
                .unwrap_err()
                .to_string()
                .matches("BadOrigin")
                .count(),
            1
        );
    }
}

fn era(case: &Json) -> (Era, BlockNumber) {
    match case["era"]["period"].as_u64() {
        None => (Era::Immortal, BlockNumber::new(66)),
        Some(period) => {
            let current = case["era"]["current"].as_u64().unwrap();
            (Era::Blocks(period as u32), BlockNumber::new(current as u32))
        }
    }
}

#[test]
fn signature_payloads_and_extrinsics_match_recordings() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let call = calls::transfer_keep_alive(bob(), Rao::new(12345));
    let sign = |case: &Json, signature: MultiSignature| {
        let (era, number) = era(case);
        let hash = case["era_birth_block_hash"]
            .as_str()
            .map_or(genesis().unwrap(), |hash| hash.parse().unwrap());
        let nonce = case["nonce"].as_u64().unwrap() as u32;
        let options = SignOptions { nonce, era, tip: Rao::new(case["tip"].as_u64().unwrap()) };
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".parse().unwrap();
        runtime.build_signed(&call, alice, options, Block { number, hash }, |_| signature).unwrap()
    };
    for case in items(&golden, "signature_payloads", 2) {
        let (_, payload) = sign(case, MultiSignature::Sr25519([0; 64]));
        assert_eq!(payload, bytes(&case["payload_hex"]));
    }
    for case in items(&golden, "extrinsics", 2) {
        let signature = bytes(&case["signature_hex"]).try_into().unwrap();
        let (extrinsic, _) = sign(case, MultiSignature::Sr25519(signature));
        assert_eq!(hex::encode(&extrinsic), hex::encode(bytes(&case["extrinsic_hex"])));
        assert_eq!(crate::hash::blake2_256(&extrinsic).to_vec(), bytes(&case["extrinsic_hash"]));
    }
}

#[test]
fn storage_keys_and_values_match_recordings() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let pallet_and_item = |case: &Json| {
        (text(&case["pallet"]).to_owned(), text(&case["storage_function"]).to_owned())
    };
    for case in items(&golden, "storage_keys", 10) {
        let (pallet, item) = pallet_and_item(case);
        let key = runtime.storage_key_of_json(&pallet, &item, list(&case["params"])).unwrap();
        assert_eq!(key, bytes(&case["key_hex"]), "{pallet}.{item}");
    }
    for case in items(&golden, "storage_values", 8) {
        let (pallet, item) = pallet_and_item(case);
        let raw = (!case["raw_hex"].is_null()).then(|| bytes(&case["raw_hex"]));
        let value = runtime.storage_value_json(&pallet, &item, raw.as_deref()).unwrap().unwrap();
        assert_eq!(value, case["decoded"], "{pallet}.{item}");
    }
    for case in items(&golden, "query_maps", 4) {
        let (pallet, item) = pallet_and_item(case);
        let prefix = runtime.storage_key_of_json(&pallet, &item, list(&case["params"])).unwrap();
        assert_eq!(prefix, bytes(&case["prefix_hex"]), "{pallet}.{item}");
        let fixed = list(&case["params"]).len();
        for (change, pair) in list(&case["raw_changes"]).iter().zip(list(&case["pairs"])) {
            let keys: Vec<Json> = runtime.storage_keys(&pallet, &item, &bytes(&change[0])).unwrap();
            assert_eq!(keys[fixed..], [pair[0].clone()], "{pallet}.{item}");
            let value = runtime
                .storage_value_json(&pallet, &item, Some(&bytes(&change[1])))
                .unwrap()
                .unwrap();
            assert_eq!(value, pair[1], "{pallet}.{item}");
            let keys = [list(&case["params"]), &keys[fixed..]].concat();
            let entry = runtime.storage_entry_of_json(&pallet, &item, &keys, Some(&value)).unwrap();
            assert_eq!(entry, (bytes(&change[0]), Some(bytes(&change[1]))), "{pallet}.{item}");
            let (key, none) = runtime.storage_entry_of_json(&pallet, &item, &keys, None).unwrap();
            assert_eq!((key, none), (bytes(&change[0]), None));
            let error =
                runtime.storage_entry_of_json(&pallet, &item, &keys[1..], None).unwrap_err();
            assert!(
                with_causes(&error).contains("expected 1 key, not 0") || keys.len() > 1,
                "{error:?}"
            );
        }
    }
}

#[test]
fn constants_and_runtime_apis_match_recordings() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    for case in items(&golden, "constants", 3) {
        let value = runtime.constant_json(text(&case["module"]), text(&case["name"])).unwrap();
        assert_eq!(value, case["decoded"], "{}", case["name"]);
    }
    assert_eq!(runtime.constant::<u64>("Aura", "SlotDuration").unwrap(), 250);
    for case in items(&golden, "runtime_calls", 4) {
        let (api, method) = (text(&case["api"]), text(&case["method"]));
        let args = runtime.api_args_of_json(api, method, list(&case["params"])).unwrap();
        assert_eq!(args, bytes(&case["encoded_params_hex"]), "{api}.{method}");
        let result = runtime.api_result_json(api, method, &bytes(&case["raw_hex"])).unwrap();
        assert_eq!(result, case["decoded"], "{api}.{method}");
    }
}

#[test]
fn decoded_events_equal_recorded_events() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let raw = bytes(&golden["events"]["raw_hex"]);
    let events = runtime.decode_events(&raw).unwrap();
    let recorded = items(&golden["events"], "decoded", 8);
    assert_eq!(events.len(), recorded.len());
    for (event, recorded) in events.iter().zip(recorded) {
        assert!(event.is(text(&recorded["module_id"]), text(&recorded["event_id"])), "{event:?}");
        assert_eq!(event.fields, recorded["attributes"]);
        let phase = match recorded["extrinsic_idx"].as_u64() {
            Some(index) => Phase::ApplyExtrinsic(index as u32),
            None => Phase::Initialization,
        };
        assert_eq!(event.phase, phase);
    }
    let events: Vec<_> =
        events.into_iter().filter(|event| event.phase == Phase::ApplyExtrinsic(2)).collect();
    assert_eq!(events.len(), list(&golden["receipt"]["triggered_events"]).len());
    assert_eq!(
        fee_of(&events),
        Some(Rao::new(golden["receipt"]["total_fee_amount"].as_u64().unwrap()))
    );
    assert_eq!(runtime.dispatch_result(&events), Some(Ok(())));
    for end in 1..raw.len() {
        assert!(runtime.decode_events(&raw[..end]).is_err(), "cut after {end}");
    }
}

#[test]
fn decoded_extrinsics_match_recordings() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let events = runtime.decode_events(&bytes(&golden["events"]["raw_hex"])).unwrap();
    let raw = items(&golden["block"]["raw"]["block"], "extrinsics", 3);
    let recorded = items(&golden["block"], "decoded_extrinsics", 3);
    for ((index, raw), recorded) in (0..).zip(raw).zip(recorded) {
        let raw = bytes(raw);
        let extrinsic = runtime.extrinsic(index, &raw, &events).unwrap();
        let call = &recorded["call"];
        assert_eq!(extrinsic.hash.to_string(), text(&recorded["extrinsic_hash"]));
        assert_eq!(
            (&*extrinsic.pallet, &*extrinsic.name),
            (text(&call["call_module"]), text(&call["call_function"]))
        );
        let args = list(&call["call_args"])
            .iter()
            .map(|arg| (text(&arg["name"]).to_owned(), arg["value"].clone()));
        assert_eq!(extrinsic.args, Json::Object(args.collect()), "{}", extrinsic.name);
        assert_eq!(
            extrinsic.signer.map(|signer| Json::from(signer.to_string())),
            recorded.get("address").cloned()
        );
        assert_eq!(extrinsic.result, Some(Ok(())));
        for end in 0..raw.len() {
            assert!(runtime.extrinsic(index, &raw[..end], &events).is_err(), "cut after {end}");
        }
    }
    let paid = golden["receipt"]["total_fee_amount"].as_u64().map(Rao::new);
    let fee = |index: u32, raw: &Json| runtime.extrinsic(index, &bytes(raw), &events).unwrap().fee;
    assert_eq!((fee(0, &raw[0]), fee(2, &raw[2])), (None, paid));
    assert_eq!(
        runtime.extrinsic(9, &bytes(&raw[2]), &events).unwrap().result,
        None,
        "no events, no result"
    );
    for case in items(&golden, "extrinsics", 2) {
        let extrinsic = runtime.extrinsic(0, &bytes(&case["extrinsic_hex"]), &[]).unwrap();
        assert_eq!(extrinsic.hash.to_string(), text(&case["extrinsic_hash"]));
        assert_eq!(extrinsic.signer.unwrap().to_string(), text(&case["address"]));
        assert_eq!(extrinsic.args, json!({ "dest": bob().to_string(), "value": 12345 }));
    }
}

#[test]
fn unsigned_extrinsics_of_both_formats_are_read() {
    let Some(runtime) = runtime() else { return };
    let call = runtime.call("Timestamp", "set", &json!({ "now": 5 })).unwrap();
    let call = runtime.call_data(&call).unwrap();
    let extrinsic = |format: u8| {
        let body = [&[format][..], &call].concat();
        runtime.extrinsic(0, &[codec::Compact(body.len() as u32).encode(), body].concat(), &[])
    };
    for format in [4, 5] {
        let extrinsic = extrinsic(format).unwrap();
        assert_eq!((extrinsic.signer, extrinsic.args), (None, json!({ "now": 5 })), "{format}");
    }
    for format in [0, 3, 6, 0x85, 0xc4] {
        assert!(
            format!("{:?}", extrinsic(format).unwrap_err()).contains("UnknownFormat"),
            "{format}"
        );
    }
}

#[test]
fn dispatch_errors_have_name_and_description() {
    let Some(runtime) = runtime() else { return };
    let error = runtime.dispatch_error(&json!({ "Module": { "index": 7, "error": "0x4c000000" } }));
    assert_eq!(
        error.to_string(),
        "SubtensorModule.SubnetNotExists: Trying to perform action on non-existent subnet."
    );
    let unknown =
        runtime.dispatch_error(&json!({ "Module": { "index": 200, "error": "0x4c000000" } }));
    assert!(unknown.to_string().contains("200"), "{unknown}");
    assert_eq!(
        runtime.dispatch_error(&json!("BadOrigin")).to_string(),
        "the runtime refused the call: BadOrigin"
    );
    let token_error = runtime.dispatch_error(&json!({ "Token": "FundsUnavailable" }));
    assert_eq!(token_error.to_string(), "the runtime refused the call: Token(FundsUnavailable)");
}

#[test]
fn recorded_samples_of_every_type_round_trip() {
    let (Some(runtime), Some(corpus)) = (runtime(), read("scale_type_corpus_spec461.json.gz"))
    else {
        return;
    };
    let corpus = parse(&String::from_utf8(corpus).unwrap());
    let (mut refused_count, mut read_count, mut equal_count, mut written_count) = (0, 0, 0, 0);
    for case in items(&corpus, "types", 797) {
        let type_id = case["id"].as_u64().unwrap() as u32;
        for sample in list(&case["samples"]) {
            let raw = bytes(&sample["scale_hex"]);
            // Some samples have compact numbers that do not fit their type.
            let Ok(value) = runtime.decode_json("a sample", &raw, type_id) else {
                refused_count += 1;
                continue;
            };
            read_count += 1;
            // The recording formats events and calls differently.
            equal_count += u32::from(value == sample["decoded"]);
            // Maps and 256-bit numbers can be decoded but not encoded.
            let Ok(back) = to_value(&value, type_id, runtime.types(), "sample") else { continue };
            let mut out = Vec::new();
            encode_as_type(&back, type_id, runtime.types(), &mut out).unwrap();
            assert_eq!(hex::encode(out), hex::encode(raw), "{} {value}", case["name"]);
            written_count += 1;
        }
    }
    assert_eq!((refused_count, read_count, equal_count, written_count), (143, 2756, 2647, 2643));
}

fn any_json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "(0x)?[0-9a-f]{0,70}|5[A-Za-z0-9]{40,50}|[A-Z][a-z]{0,9}".prop_map(Json::from),
    ];
    scalar.prop_recursive(4, 32, 6, |inner| {
        let names = "Id|Some|System|remark|call|calls|fields|bits|[a-z]{1,4}";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            proptest::collection::vec((names, inner), 0..4)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn deeply_nested_calls_are_refused() {
    let Some(runtime) = runtime() else { return };
    let remark = runtime.call("System", "remark", &json!({ "remark": "0xdeadbeef" })).unwrap();
    let remark = runtime.call_data(&remark).unwrap();
    let batch = runtime
        .call_data(&runtime.call("Utility", "batch", &json!({ "calls": [] })).unwrap())
        .unwrap();
    let call = runtime.metadata().outer_enums().call_enum_ty();
    // Nested batches of one call each.
    let nested = |times: usize| {
        let mut bytes = [&batch[..2], &codec::Compact(1_u32).encode()].concat().repeat(times);
        bytes.extend(&remark);
        runtime.decode_json("a call", &bytes, call)
    };
    let remark = json!({ "System": { "remark": { "remark": "0xdeadbeef" } } });
    assert_eq!(nested(1).unwrap(), json!({ "Utility": { "batch": { "calls": [remark] } } }));
    assert!(nested(30).is_ok());
    for times in [50, 1_000_000] {
        let error = nested(times).unwrap_err();
        assert!(format!("{error:?}").contains("more than 128 levels deep"), "{error:?}");
    }
}

#[test]
fn bytes_with_length_prefix_are_not_metadata() {
    for length in [1_u32, 63, 64, 6_491, 16_384] {
        let mut bytes = codec::Compact(length).encode();
        bytes.resize(length as usize, 0);
        assert!(Runtime::new(&bytes, BlockHash::from_bytes([0; 32]), 1, 1).is_err(), "{length}");
    }
    // Decoded as a length, the bytes of `meta` are 6491.
    let mut bytes = b"meta".to_vec();
    bytes.resize(6_491, 0);
    assert!(Runtime::new(&bytes, BlockHash::from_bytes([0; 32]), 1, 1).is_err());
}

proptest! {
    #[test]
    fn random_node_responses_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..400), flip: usize, to: u8) {
        let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return Ok(()) };
        let _ = runtime.decode_events(&raw);
        let mut events = bytes(&golden["events"]["raw_hex"]);
        let index = flip % events.len();
        events[index] = to;
        let _ = runtime.decode_events(&events);
        let _ = runtime.extrinsic(0, &[codec::Compact(raw.len() as u32).encode(), raw.clone()].concat(), &[]);
        let mut signed = bytes(&golden["extrinsics"][1]["extrinsic_hex"]);
        let index = flip % signed.len();
        signed[index] = to;
        let _ = runtime.extrinsic(0, &signed, &[]);
        for item in ["Account", "Events", "Number"] {
            let _ = runtime.storage_value_json("System", item, Some(&raw));
            let _ = runtime.storage_keys::<Vec<Json>>("System", item, &raw);
        }
        let mut key = runtime.storage_key("SubtensorModule", "Uids", &[]).unwrap();
        key.extend_from_slice(&raw);
        let _ = runtime.storage_keys::<Vec<Json>>("SubtensorModule", "Uids", &key);
        let _ = runtime.storage_keys::<LastKey<AccountId>>("SubtensorModule", "Uids", &key);
        let _ = runtime.api_result_json("SubnetInfoRuntimeApi", "get_selective_metagraph", &raw);
        let _ = Runtime::new(&raw, BlockHash::from_bytes([0; 32]), 1, 1);
    }

    #[test]
    fn random_json_never_panics(json in any_json()) {
        let Some(runtime) = runtime() else { return Ok(()) };
        for (pallet, name) in [("Balances", "transfer_all"), ("Sudo", "sudo"), ("Commitments", "set_commitment")] {
            let _ = runtime.call(pallet, name, &json);
            if let Ok(call) = runtime.call(pallet, name, &json!({ "call": json, "info": json, "netuid": 1, "dest": json, "keep_alive": true })) {
                let _ = runtime.call_data(&call);
            }
        }
        let _ = runtime.storage_key_of_json("System", "Account", std::slice::from_ref(&json));
        let _ = runtime.api_args_of_json("SubnetInfoRuntimeApi", "get_selective_metagraph", &[json.clone(), json]);
    }
}

#[test]
fn length_beyond_the_input_is_refused() {
    let Some(runtime) = runtime() else { return };
    // A list of 2³⁰ − 1 items, and one of 2³² − 1 items.
    for raw in [&[0xfe, 0xff, 0xff, 0xff][..], &[0x03, 0xff, 0xff, 0xff, 0xff]] {
        assert!(runtime.storage_value_json("System", "Events", Some(raw)).is_err());
        assert!(
            runtime.api_result_json("SubnetInfoRuntimeApi", "get_all_dynamic_info", raw).is_err()
        );
        assert!(
            runtime
                .api_result::<Vec<u16>>("SubnetInfoRuntimeApi", "get_all_dynamic_info", raw)
                .is_err()
        );
    }
}
