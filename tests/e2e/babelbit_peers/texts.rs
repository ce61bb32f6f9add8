//! The text contest with a Python validator, a Python miner and a Python engine.

use serde_json::{Value, json};

use super::servers::Round;
use super::{Service, peer, query_peer};
use crate::chain::{ALICE, BOB};
use crate::support::{document, repository};
use crate::text_contest::{small_talk, text_engine, text_miner};

#[test]
fn python_validator_plays_text_miner() {
    let Some(peer) = peer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let challenge = small_talk(folder.path());
    let (engine, miner) = (text_engine(&challenge), text_miner(folder.path()));
    let question = json!({ "against": "text-miner", "engine": engine.url(), "url": miner.url(), "hotkey": BOB });
    let actual = query_peer(&peer, &question);
    assert_eq!(
        actual["seen"],
        json!([
            ["Is", "bus", 0, 0],
            ["this", "bus", 0, 1],
            ["seat", "bus", 0, 2],
            ["free?", "bus", 0, 3],
            ["EOF", "bus", 0, 4],
            ["Yes,", "bus", 1, 0],
            ["it", "bus", 1, 1],
            ["is.", "bus", 1, 2],
            ["EOF", "bus", 1, 3],
            ["EOF EOF", "bus", 2, 0],
            ["Goodbye.", "end", 0, 0],
            ["EOF", "end", 0, 1],
            ["EOF EOF", "end", 1, 0],
        ])
    );
    // The reference's runner completes utterances at `EOF` only.
    assert_eq!(actual["complete"], json!(["Is this seat free?", "Yes, it is.", "Goodbye."]));
    assert_eq!(
        actual["predictions"],
        json!([
            ["Is", "Is this seat free?"],
            ["Is this", "Is this seat free?"],
            ["Is this seat", "Is this seat free?"],
            ["Is this seat free?", "Is this seat free?"],
            ["Yes,", "Yes, it is."],
            ["Yes, it", "Yes, it is."],
            ["Yes, it is.", "Yes, it is."],
            ["Goodbye.", "Goodbye."],
        ])
    );
    assert_eq!(actual["health"], json!(["healthy", true]));
    let unknown = json!([400, "invalid or missing session_id"]);
    assert_eq!(actual["sessions"], json!([unknown, unknown]));
    assert_eq!(
        actual["refused"],
        json!({ "unsigned": 401, "index": 422, "prefix": 413, "empty": 422 })
    );
}

#[test]
fn text_runner_plays_python_engine_and_miners() {
    let Some(peer) = peer() else { return };
    let challenge = repository("subnets/babelbit/challenges/text/01-the-ferry.json");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ferry.json");
    let mut document_of_challenge: Value =
        serde_json::from_slice(&std::fs::read(challenge).unwrap()).unwrap();
    document_of_challenge["challenge_uid"] = json!("ferry");
    std::fs::write(&file, document_of_challenge.to_string()).unwrap();
    // Busy at first, a token that is revoked midway, and a call that fails once.
    let engine = json!({ "challenge": file, "busy": 1, "revoke": 20, "fails": 30 });
    let engine = Service::start(&peer, "text-engine", &engine);
    let miner = |uri: &str, fails: bool| {
        Service::start(
            &peer,
            "text-miner",
            &json!({ "uri": uri, "challenge": file, "fails": fails }),
        )
    };
    let (oracle, broken) = (miner("//Bob", false), miner("//Charlie", true));
    let hotkey = |service: &Service| service.hello("hotkey").as_str().unwrap().to_owned();
    let (bob, charlie) = (hotkey(&oracle), hotkey(&broken));
    let round = Round::with(&[(&bob, oracle.url()), (&charlie, broken.url())]);
    let mut runner = round.runner(engine.url(), &round.path("text"));
    let report = document(&runner.args(["--contest", "text"]).output().unwrap());
    assert_eq!(
        (&report["outcome"], &report["challenge_uid"]),
        (&json!("finished"), &json!("ferry")),
        "{report}"
    );
    assert_eq!((&report["dialogues"], &report["utterances"]), (&json!(4), &json!(20)));
    let score = report["miners"][0]["score"].as_f64().unwrap();
    assert!(score > 0.6, "it knows every utterance: {report}");
    assert_eq!(
        (&report["miners"][1]["score"], &report["miners"][1]["errors"]),
        (&Value::Null, &json!(5))
    );
    let service_report = oracle.report();
    assert_eq!(service_report["callers"], json!([ALICE]));
    let first = "Good morning, I would like two tickets to the island, please.";
    assert_eq!(service_report["asked"][0], json!(["Good", ""]));
    assert_eq!(service_report["asked"][11], json!(["The", first]), "{}", service_report["asked"]);
    assert_eq!(
        broken.report()["asked"].as_array().unwrap().len(),
        5,
        "five errors in a row end a miner's part"
    );
    assert_eq!(engine.report()["hotkeys"], json!([ALICE, ALICE]));
}
