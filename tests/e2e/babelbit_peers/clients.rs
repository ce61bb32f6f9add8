//! The Python runner with our engine and miner.

use serde_json::{Value, json};

use super::{engine, miner, peer, query_peer};
use crate::chain::BOB;
use crate::support::repository;

#[test]
fn python_client_plays_engine() {
    let Some(peer) = peer() else { return };
    let engine = engine();
    let actual = query_peer(&peer, &json!({ "against": "engine", "url": engine.url() }));
    assert_eq!(actual["expires_in"], 86_400);
    let file = std::fs::read_to_string(repository("tests/e2e/data/ferry.json")).unwrap();
    let challenge: Value = serde_json::from_str(&file).unwrap();
    let texts: Vec<_> = challenge["utterances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["target"]["text"])
        .collect();
    assert_eq!(actual["transcription"], json!({ "challenge_uid": "ferry", "texts": texts }));
    for kind in ["main", "solo"] {
        let utterances = actual[kind].as_array().unwrap();
        assert_eq!(utterances.len(), texts.len(), "{kind}");
        for (index, utterance) in utterances.iter().enumerate() {
            let uid = utterance["challenge_uid"].as_str().unwrap();
            assert_eq!(utterance["utterance_id"], format!("{uid}:{index}"));
            assert_eq!(
                (&utterance["index"], &utterance["language"]),
                (&json!(index), &json!("en"))
            );
            assert!(utterance["seconds"].as_f64() > Some(3.0), "{utterance}");
            assert_eq!(utterance["reference"], true, "{utterance}");
        }
    }
    assert_eq!(actual["slashes"], texts.len());
    assert_eq!(
        actual["refused"],
        json!({
            "signature": 401, "hotkey": 401, "message": 401, "timestamp": 401, "no_token": 401, "token": 401,
            "session": 404, "other_session": 404, "other_kind": 409, "no_session": 422,
        })
    );
}

#[test]
fn python_client_plays_miners() {
    let Some(peer) = peer() else { return };
    let engine = engine();
    for profile in ["interpreter", "patient", "parrot", "mumbler"] {
        let miner = miner(profile);
        let question = json!({ "against": "miner", "engine": engine.url(), "url": miner.url(), "hotkey": BOB });
        let actual = query_peer(&peer, &question);
        for played in [&actual["plain"], &actual["hashed"]] {
            assert_eq!(played["ended"], true, "{profile}: {played}");
            assert!(played["seconds"].as_f64() > Some(0.5), "{profile}: {played}");
            assert!(played["loudest"].as_f64() > Some(0.05), "{profile}: {played}");
        }
        assert_eq!(
            actual["refused"],
            json!({
                "unsigned": 401, "receiver": 401, "signature": 401, "nonce": 401, "uuid": 401, "body_hash": 401,
                "replay": [200, 401],
            }),
            "{profile}"
        );
        for health in actual["health"].as_array().unwrap() {
            assert_eq!(
                (&health["status"], &health["model_loaded"]),
                (&json!("healthy"), &json!(true)),
                "{profile}"
            );
        }
    }
}
