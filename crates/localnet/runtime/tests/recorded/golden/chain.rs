//! Tests with a recorded block, its events, and a client's decoding of them.

use codec::{DecodeAll, Encode};
use frame_system::EventRecord;
use scale_value::{Value, ValueDef};
use serde_json::Value as Json;
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::generic::Digest;
use sp_runtime::traits::Header as _;
use taonet_localnet_runtime::{Header, RuntimeEvent, UncheckedExtrinsic};

use super::{list, part, text};
use crate::values;
use crate::vectors::bytes;

#[test]
fn block_has_the_recorded_hash_and_extrinsics() {
    let Some(block) = part("block") else { return };
    let raw = &block["raw"]["block"];
    let header = &raw["header"];
    let hash = |name: &str| H256::from_slice(&bytes(&header[name]));
    let number = u32::from_str_radix(text(&header["number"]).trim_start_matches("0x"), 16).unwrap();
    let logs = list(&header["digest"]["logs"]).iter();
    let logs = logs.map(|log| DecodeAll::decode_all(&mut &bytes(log)[..]).unwrap()).collect();
    let header = Header::new(
        number,
        hash("extrinsicsRoot"),
        hash("stateRoot"),
        hash("parentHash"),
        Digest { logs },
    );
    assert_eq!(header.hash(), H256::from_slice(&bytes(&block["block_hash"])));

    let (mut compared, mut skipped) = (0, Vec::new());
    for (extrinsic, decoded) in
        list(&raw["extrinsics"]).iter().zip(list(&block["decoded_extrinsics"]))
    {
        let call = &decoded["call"];
        if call["call_module"] == "MevShield" {
            skipped.push(text(&call["call_function"]));
            continue;
        }
        let bytes = bytes(extrinsic);
        assert_eq!(
            UncheckedExtrinsic::decode_all(&mut &bytes[..]).unwrap().encode(),
            bytes,
            "{decoded}"
        );
        assert_eq!(format!("0x{}", hex::encode(blake2_256(&bytes))), decoded["extrinsic_hash"]);
        compared += 1;
    }
    assert_eq!((compared, skipped), (2, vec!["announce_next_key"]));
}

/// Returns the recorded events without the first one, `Balances.Issued`: its index is 15 in the
/// recording and 17 in our runtime, whose newer framework has two more events before it. Clients
/// look up events in the metadata and decode both.
fn events_without_issued(events: &Json) -> Vec<u8> {
    const INITIALIZATION: u8 = 2;
    const ISSUED_EVENT_BYTES: usize = 1 + 2 + 8 + 1;
    let raw = bytes(&events["raw_hex"]);
    assert_eq!(raw[..4], [8 << 2, INITIALIZATION, 5, 15]);
    let (_, entry) = values::storage("System", "Events").unwrap();
    let mut expected = raw[..=ISSUED_EVENT_BYTES].to_vec();
    (expected[0], expected[3]) = (1 << 2, 17);
    values::round_trip(values::value_type(entry), &expected).unwrap();
    [&[7 << 2], &raw[1 + ISSUED_EVENT_BYTES..]].concat()
}

#[test]
fn decoded_events_equal_recorded_events() {
    let Some(events) = part("events") else { return };
    let raw = events_without_issued(&events);
    let records = Vec::<EventRecord<RuntimeEvent, H256>>::decode_all(&mut &raw[..]).unwrap();
    assert_eq!(records.encode(), raw);

    let (_, entry) = values::storage("System", "Events").unwrap();
    let read = values::round_trip(values::value_type(entry), &raw).unwrap();
    let ValueDef::Composite(read) = read.value else { panic!("the events are not a list") };
    let decoded = &list(&events["decoded"])[1..];
    assert_eq!((read.len(), decoded.len()), (7, 7));
    for ((record, value), json) in records.iter().zip(read.values()).zip(decoded) {
        assert_event(record, value, json);
    }
}

#[test]
fn receipt_has_the_events_of_its_call() {
    let (Some(receipt), Some(events)) = (part("receipt"), part("events")) else { return };
    let raw = events_without_issued(&events);
    let records = Vec::<EventRecord<RuntimeEvent, H256>>::decode_all(&mut &raw[..]).unwrap();
    let index = u32::try_from(receipt["extrinsic_idx"].as_u64().unwrap()).unwrap();
    let is_of_call = |record: &&EventRecord<RuntimeEvent, H256>| {
        record.phase == frame_system::Phase::ApplyExtrinsic(index)
    };
    let triggered: Vec<_> = records.iter().filter(is_of_call).collect();
    let recorded = list(&receipt["triggered_events"]);
    assert_eq!(triggered.len(), recorded.len());
    for (record, json) in triggered.iter().zip(recorded) {
        assert_eq!(hex::encode(&record.event.encode()[..2]), json["event"]["event_index"]);
    }
    let fee = triggered.iter().find_map(|record| match &record.event {
        RuntimeEvent::TransactionPayment(
            pallet_transaction_payment::Event::TransactionFeePaid { actual_fee, .. },
        ) => Some(*actual_fee),
        _ => None,
    });
    assert_eq!(fee, receipt["total_fee_amount"].as_u64());
    let succeeded = matches!(
        triggered.last().map(|record| &record.event),
        Some(RuntimeEvent::System(frame_system::Event::ExtrinsicSuccess { .. }))
    );
    assert_eq!(Some(succeeded), receipt["is_success"].as_bool());
}

fn assert_event(record: &EventRecord<RuntimeEvent, H256>, value: &Value<u32>, json: &Json) {
    assert_eq!(hex::encode(&record.event.encode()[..2]), json["event"]["event_index"], "{json}");
    let scale_value::Composite::Named(fields) = (match &value.value {
        ValueDef::Composite(fields) => fields,
        _ => panic!("an event record is a struct"),
    }) else {
        panic!("an event record has names")
    };
    let event = &fields.iter().find(|(name, _)| name == "event").unwrap().1;
    let ValueDef::Variant(pallet) = &event.value else { panic!("an event is an enum") };
    assert_eq!(pallet.name, text(&json["module_id"]));
    let ValueDef::Variant(event) = &pallet.values.values().next().unwrap().value else {
        panic!("not a pallet's enum")
    };
    assert_eq!(event.name, text(&json["event_id"]));
    assert!(values::composite_agrees(&event.values, &json["attributes"]), "{json}");
}
