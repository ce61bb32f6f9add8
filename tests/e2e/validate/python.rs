//! Validator, signer and subtensor gateway with Babelbit's Python services.

use serde_json::{Value, json};

use super::Network;
use crate::babelbit_peers::{Service, peer, query_peer};
use crate::chain::BOB;
use crate::support::{document, repository};

#[test]
fn validator_queries_python_scoring_api() {
    let Some(peer) = peer() else { return };
    let network = Network::start();
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let engine = Service::start(
        &peer,
        "engine",
        &json!({ "challenge": repository("tests/e2e/data/ferry.json") }),
    );
    // The first row of a hotkey wins; unknown hotkeys and values that are not numbers are ignored.
    let main = json!([
        { "hotkey": "5Nobody", "score": 1.0 }, { "miner_hotkey": BOB, "score": "none" },
        { "hotkey": BOB, "main_score": 0.5 }, { "miner_hotkey": BOB, "challenge_mean_score": 0.0 },
    ]);
    let arena =
        json!([{ "miner_hotkey": BOB, "challenge_mean_score": 0.9, "challenge_round": "round2" }]);
    let scoring = Service::start(
        &peer,
        "scoring-api",
        &json!({ "scores": { "main": main, "arena": arena } }),
    );
    let mut validator = network.validator(signer.url(), gateway.url());
    validator.env("BB_SUBMIT_API_URL", scoring.url()).env("BB_UTTERANCE_ENGINE_URL", engine.url());
    let report = document(&validator.arg("--once").output().unwrap());
    assert_eq!(
        (&report["decision"], &report["success"]),
        (&json!("scored"), &json!(true)),
        "{report}"
    );
    assert_eq!(report["weights"], json!({ "uids": [network.miner_uid], "weights": [1.0] }));
    assert_eq!(network.weights(), json!([[network.miner_uid, 65_535]]));

    let service_report = scoring.report();
    let mut queries = service_report["queries"].as_array().unwrap().clone();
    // The requests are concurrent.
    queries.sort_by_key(|query| query["challenge_type"].to_string());
    let query = |kind| json!({ "challenge_uid": "ferry", "challenge_type": kind, "hotkey": network.hotkey });
    assert_eq!(queries, [query("arena"), query("qualifying")]);
    let service_report = engine.report();
    assert_eq!(service_report["hotkeys"], json!([network.hotkey]));
    assert_eq!(
        service_report["requests"],
        json!(["POST /auth", "POST /auth/verify", "POST /source-audio/start"])
    );
}

#[test]
fn python_client_uses_signer_and_gateway() {
    let Some(peer) = peer() else { return };
    let network = Network::start();
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let token = std::fs::read_to_string(network.path("token")).unwrap();
    let uid = network.miner_uid;
    let report = query_peer(
        &peer,
        &json!({
            "against": "operator", "signer": signer.url(), "gateway": gateway.url(), "token": token.trim(), "netuid": 59,
            "hotkey": network.hotkey, "weights": { "uids": [uid], "weights": [1.0] },
        }),
    );
    assert_eq!(report["health"], json!([{ "ok": true }, { "ok": true }]));
    assert_eq!(
        report["signed"],
        json!({ "payloads": [true, true], "text": [true], "list": [true] })
    );
    let blocks: Vec<_> =
        report["blocks"].as_array().unwrap().iter().map(|block| block.as_u64().unwrap()).collect();
    // The node has the current block a moment before it tells its subscribers, who wait for the
    // next one.
    let [current, waited, forever] = blocks[..] else { panic!("{blocks:?}") };
    assert!(current <= waited && waited < forever, "{blocks:?}");
    let snapshot = &report["snapshot"];
    let lengths =
        ["hotkeys", "last_update", "axons"].map(|list| snapshot[list].as_array().unwrap().len());
    assert!(lengths[0] > 2 && lengths == [lengths[0]; 3], "{snapshot}");
    assert_eq!(snapshot["hotkeys"][usize::try_from(uid).unwrap()], BOB);
    assert_eq!(
        snapshot["axons"][usize::try_from(uid).unwrap()],
        json!({ "ip": "0.0.0.0", "port": 0 })
    );
    assert_eq!(report["context"], json!({ "commitments": {}, "same": true }));
    for step in ["set", "confirm"] {
        let [status, body] = [&report[step][0], &report[step][1]];
        assert_eq!((status, &body["success"]), (&json!(200), &json!(true)), "{step}: {body}");
        let details = &body["details"];
        assert_eq!(
            (&details["uid_count"], &details["nonzero_weights"]),
            (&json!(1), &json!(1)),
            "{details}"
        );
        assert_eq!(details["top_weights"], json!([{ "uid": uid, "weight": 1.0 }]));
    }
    assert_eq!(network.weights(), json!([[uid, 65_535]]));
    let assert_refused = |response: &Value| {
        assert_eq!(
            (&response[0], &response[1]["success"]),
            (&json!(400), &json!(false)),
            "{response}"
        );
        assert_eq!(response[1]["error"], "uids/weights mismatch or empty");
    };
    report["mismatch"].as_array().unwrap().iter().for_each(assert_refused);
    assert_eq!((&report["too_large"], &report["no_wait"]), (&json!(413), &json!(504)));
    assert_eq!(report["no_token"], json!([401, 401]));
}
