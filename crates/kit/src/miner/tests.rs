use std::collections::HashMap;

use http::Method;
use serde_json::{Value, json};
use taonet_neuron::MinerEntry;
use taonet_wire::{Call, SignedClient, Standing};

use super::*;
use crate::testing::{Sum, client, entry, key};

async fn add(request: Sum, _: Caller) -> Result<Sum, SynapseError> {
    let sum = request.a.checked_add(request.b);
    let sum = sum.ok_or_else(|| SynapseError::new(StatusCode::BAD_REQUEST, "the sum is too large"))?;
    Ok(Sum { sum: Some(sum), ..request })
}

fn settings() -> MinerSettings {
    MinerSettings::new(NetUid(7))
}

/// Serves a miner whose chain has the validator `//validator` and the neuron `//neuron`, which has no permit.
async fn start(settings: MinerSettings) -> MinerEntry {
    let miner = Miner::new(key("//miner"), settings).serve(add);
    let standing = |uri: &str, validator_permit| (key(uri).hotkey(), Standing { stake: 5, validator_permit });
    let standings = HashMap::from([standing("//validator", true), standing("//neuron", false)]);
    let router = miner.router(Arc::new(StandingTable::new(standings))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { serve(listener, router, &Shutdown::new(), ServeLimits::default()).await });
    entry(1, key("//miner").hotkey(), port)
}

async fn post(client: &SignedClient, miner: &MinerEntry, class: &str, body: &Value) -> (u16, Value) {
    let call = Call { name: class.to_owned(), ..Call::new(Method::POST, class, body.to_string()) };
    let answer = client.call(&miner.peer().unwrap(), &call).await.unwrap();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
}

#[tokio::test]
async fn response_is_the_request_with_the_answer() {
    let miner = start(settings()).await;
    let client = client(key("//validator"), &[]);
    let request = json!({ "name": "Sum", "timeout": 12.0, "axon": {}, "a": 2, "b": 3, "sum": null });
    let (status, response) = post(&client, &miner, "Sum", &request).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!((&response["a"], &response["b"], &response["sum"]), (&json!(2), &json!(3), &json!(5)));
    assert_eq!((&response["name"], &response["axon"]["status_code"]), (&json!("Sum"), &json!(200)));
    assert_eq!(response["dendrite"]["hotkey"], json!(key("//validator").hotkey()));
}

/// Columns: caller · class · body · status
#[tokio::test]
async fn each_request_has_its_status() {
    let miner = start(settings()).await;
    for (caller, class, body, expected) in [
        ("//validator", "Sum", json!({ "a": 1, "b": 2 }), 200),
        ("//validator", "Synapse", json!({}), 200),
        ("//validator", "Sum", json!({ "a": 1, "b": "two" }), 422),
        ("//validator", "Sum", json!({ "a": i64::MAX, "b": 1 }), 400),
        ("//validator", "Other", json!({}), 404),
        ("//neuron", "Sum", json!({ "a": 1, "b": 2 }), 403),
        ("//stranger", "Sum", json!({ "a": 1, "b": 2 }), 403),
    ] {
        let (status, response) = post(&client(key(caller), &["Other"]), &miner, class, &body).await;
        assert_eq!(status, expected, "{caller} {class} {body}: {response}");
    }
}

#[tokio::test]
async fn caller_above_its_rate_is_refused() {
    let load = Load { rate: Some(Rate { per_second: 1, burst: 2 }), concurrency: None };
    let miner = start(MinerSettings { load, ..settings() }).await;
    let client = client(key("//validator"), &[]);
    let mut statuses = Vec::new();
    // On a busy machine, the allowance grows while the requests are sent.
    while statuses.len() < 100 && !statuses.contains(&429) {
        statuses.push(post(&client, &miner, "Sum", &json!({ "a": 1, "b": 2 })).await.0);
    }
    assert_eq!((statuses.first(), statuses.get(1), statuses.last()), (Some(&200), Some(&200), Some(&429)));
}

#[tokio::test]
async fn blocked_validator_is_refused() {
    let policy = settings().policy.block([key("//validator").hotkey()]);
    let miner = start(MinerSettings { policy, ..settings() }).await;
    let (status, _) = post(&client(key("//validator"), &[]), &miner, "Sum", &json!({ "a": 1, "b": 2 })).await;
    assert_eq!(status, 403);
}
