use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

use super::super::resolve::{Endpoints, resolve};
use super::super::testing::{hotkey, policy, registered};
use super::*;

fn read(rows: &[Value]) -> Listing {
    let mut list = ListingBuilder::new("v1/predict");
    list.add(rows);
    list.into_listing()
}

fn read_one(row: &Value) -> Row {
    let mut listing = read(std::slice::from_ref(row));
    assert_eq!(listing.rows.len(), 1, "{row}");
    listing.rows.remove(0)
}

/// Columns: row · hotkey · endpoint
#[test]
fn route_fields_have_aliases() {
    for (row, hotkey, endpoint) in [
        (
            json!({ "miner_hotkey": "a", "hotkey": "b", "endpoint_url": "http://x/1", "url": "http://x/2" }),
            "a",
            "http://x/1",
        ),
        (json!({ "hotkey": "b", "axon_hotkey": "c", "url": "http://x/2" }), "b", "http://x/2"),
        (json!({ "axon_hotkey": "c", "container_url": "x:80/3" }), "c", "http://x/3"),
        (json!({ "wallet_hotkey": "d", "endpoint": "https://x" }), "d", "https://x/"),
        (json!({ "miner_hotkey": " ", "hotkey": " e ", "endpoint": " x:9 " }), "e", "http://x:9/"),
        (
            json!({ "hotkey": "a", "ip": "1.2.3.4", "port": 9000 }),
            "a",
            "http://1.2.3.4:9000/v1/predict",
        ),
        (
            json!({ "hotkey": "a", "host": "x", "container_port": "9000", "path": "/p" }),
            "a",
            "http://x:9000/p",
        ),
        (
            json!({ "hotkey": "a", "container_ip": "::1", "port": 9, "predict_path": "q" }),
            "a",
            "http://[::1]:9/q",
        ),
        (json!({ "metadata": { "hotkey": "a", "url": "http://x" } }), "a", "http://x/"),
        (
            json!({ "hotkey": "a", "metadata": r#"{"hotkey": "b", "url": "http://x"}"# }),
            "a",
            "http://x/",
        ),
        (
            json!({ "hotkey": null, "url": "", "metadata": { "hotkey": "b", "url": "http://x" } }),
            "b",
            "http://x/",
        ),
    ] {
        let read = read_one(&row);
        assert_eq!((read.hotkey.as_str(), read.endpoint.as_str()), (hotkey, endpoint), "{row}");
    }
}

#[test]
fn optional_row_fields_are_parsed() {
    let row = read_one(&json!({
        "hotkey": "a", "url": "http://x", "uid": "7", "platform": "RunPod", "metadata": {
            "endpoint_id": "pod1", "endpoint_type": "POD", "status": "IDLE", "termination_reason": "Idle timeout",
        },
    }));
    assert_eq!((row.uid, row.provider.as_str(), row.status.as_str()), (Some(7), "runpod", "idle"));
    assert_eq!(
        (row.endpoint_id.as_deref(), row.endpoint_type.as_deref()),
        (Some("pod1"), Some("POD"))
    );
    assert_eq!(row.reason, "idle timeout");
    let without_optional =
        read_one(&json!({ "hotkey": "a", "url": "http://x", "miner_uid": 70_000, "uid": 3 }));
    assert_eq!(
        (
            without_optional.uid,
            without_optional.provider.as_str(),
            without_optional.status.as_str()
        ),
        (Some(3), "managed_container", "")
    );
}

#[test]
fn duplicate_rows_are_dropped_and_malformed_ones_counted() {
    let valid = json!({ "hotkey": "a", "url": "http://x" });
    let listing = read(&[
        valid.clone(),
        valid.clone(),
        json!({ "hotkey": "a", "url": "http://x", "status": "idle" }),
        json!({ "hotkey": "a", "url": "http://x", "submission_id": 2 }),
        json!({ "hotkey": "a" }),
        json!({ "url": "http://x" }),
        json!({ "hotkey": "b", "url": "http://" }),
        json!({ "hotkey": "c", "ip": "1.2.3.4" }),
        json!({ "hotkey": "d", "ip": "1.2.3.4", "port": 70_000 }),
        json!({ "hotkey": "x".repeat(3_000), "url": "http://long" }),
        json!({}),
        json!([1]),
        json!(null),
        json!(null),
    ]);
    assert_eq!((listing.rows.len(), listing.malformed), (2, 9));
}

#[test]
fn number_of_route_rows_is_limited() {
    let rows: Vec<_> =
        (0..MAX_ROWS + 10).map(|n| json!({ "hotkey": n.to_string(), "url": "http://x" })).collect();
    assert_eq!(read(&rows).rows.len(), MAX_ROWS);
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "running",
            "terminated",
            "idle",
            "POD",
            "gateway",
            "http://",
            "http://127.0.0.1:1/x?y",
            "1.2.3.4",
            "65536",
            "{\"hotkey\":[]}",
            "::1",
            "[::1",
            "//",
            "http://a@b",
            "not_in_list",
        ])
        .prop_map(str::to_owned),
        Just(hotkey(1)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 64, 8, |inner| {
        let names = prop::sample::select(vec![
            "miner_hotkey",
            "hotkey",
            "endpoint_url",
            "url",
            "endpoint",
            "ip",
            "host",
            "port",
            "path",
            "uid",
            "miner_uid",
            "provider",
            "endpoint_type",
            "endpoint_id",
            "status",
            "reason",
            "metadata",
            "submission_id",
            "container_name",
        ]);
        let key = prop_oneof![8 => names.prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(key, inner, 0..12).prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    /// Any list from the gateway is parsed without a panic, and only registered miners are
    /// returned.
    #[test]
    fn arbitrary_list_never_panics_and_returns_registered_miners_only(rows in vec(value(), 0..20), dev_mode: bool) {
        let listing = read(&rows);
        prop_assert!(listing.rows.len() + listing.malformed <= rows.len());
        let (registered, policy) = (registered(&[1, 2]), policy(dev_mode));
        let endpoints = Endpoints { policy: &policy, gateway: &"http://127.0.0.1:1".parse().unwrap() };
        let resolved = resolve(&listing.rows, &registered, &endpoints);
        prop_assert!(resolved.routes.len() <= 2);
        for route in resolved.routes {
            prop_assert!(registered.contains(&route.miner));
        }
    }
}
