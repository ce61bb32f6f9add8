//! Tests of invalid documents and the errors that they cause.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a document that is not refused fails the test"
)]

use serde_json::{Value, json};
use taonet_consensus::Case;

fn document() -> Value {
    json!({"id": "pair", "input": {
        "n": 2, "block": 2, "tempo": 360, "activity_cutoff": 5000, "emission": 1000,
        "stake": [100, 0], "stake_threshold": 0, "max_validators": 1,
        "validator_permit": [true, false], "last_update": [2, 0], "block_at_registration": [0, 0],
        "weights": [[[1, 65535]], []], "bonds": [[], []],
        "kappa": 32767, "bonds_penalty": 65535, "bonds_moving_average": 900_000, "yuma3": true,
        "liquid_alpha": false, "alpha_low": 45875, "alpha_high": 58982, "alpha_sigmoid_steepness": 1000}})
}

fn error_with(field: &str, value: Value) -> String {
    let mut document = document();
    document["input"][field] = value;
    Case::from_json(document.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn optional_fields_may_be_absent() {
    assert!(Case::from_json(document().to_string().as_bytes()).is_ok());
}

#[test]
fn every_error_names_the_field() {
    for (field, value, start) in [
        ("stake", json!([100]), "stake: 1 item for 2 neurons"),
        ("stake", json!([100, -1]), "input.stake[1]: invalid value: integer `-1`"),
        ("stake", json!("much"), "input.stake: invalid type: string \"much\""),
        ("n", json!(65536), "input.n: invalid value: integer `65536`"),
        ("n", json!(3), "stake: 2 items for 3 neurons"),
        ("kappa", json!(0.5), "input.kappa: invalid type: floating point `0.5`"),
        ("owner_uid", json!(2), "owner_uid: 2 is not below n = 2"),
        ("commit_blocks", json!([null]), "commit_blocks: 1 item for 2 neurons"),
        ("liquid_alpha_consensus", json!([1]), "liquid_alpha_consensus: 1 item for 2 neurons"),
        ("weights", json!([[[1, 5], [0, 1], [1, 6]], []]), "weights[0]: uid 1 appears twice"),
        ("bonds", json!([[], [[0, 1], [0, 1]]]), "bonds[1]: uid 0 appears twice"),
        ("weights", json!([[[1]], []]), "input.weights[0][0]: invalid length 1"),
        (
            "weights",
            json!([[[1, 65536]], []]),
            "input.weights[0][0][1]: invalid value: integer `65536`",
        ),
        ("commit_block", json!(null), "input.commit_block: unknown field `commit_block`"),
    ] {
        let error = error_with(field, value);
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn missing_field_is_reported() {
    let mut document = document();
    document["input"].as_object_mut().unwrap().remove("tempo");
    let error = Case::from_json(document.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("input: missing field `tempo`"), "{error}");
}

#[test]
fn malformed_document_is_an_error() {
    for text in ["", "null", "[]", "{}", "{\"input\": 5}", "\u{0}", "{\"id\": \"x\"", "1e999"] {
        assert!(Case::from_json(text.as_bytes()).is_err(), "{text}");
    }
    let repeated_document = format!("{0} {0}", document());
    assert!(Case::from_json(repeated_document.as_bytes()).is_err());
}
