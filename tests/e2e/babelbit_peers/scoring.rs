//! Submission to the Python scoring API, and Python validators with our scoring API.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taonet_wallet::Keypair;

use super::servers::Round;
use super::{Service, engine, miner, peer, query_peer};
use crate::chain::{ALICE, BOB};
use crate::support::{Daemon, document, local_bb};

const KINDS: [&str; 4] = ["audio_bundle", "challenge_scores", "dialogue_logs", "dialogue_scores"];

#[test]
fn runner_submits_to_python_scoring_api() {
    let Some(peer) = peer() else { return };
    let (first, second) = (
        miner("parrot"),
        Daemon::start(local_bb().args(["miner", "--profile", "silent", "--key-uri", "//Dave"])),
    );
    let dave = Keypair::from_uri("//Dave").unwrap().hotkey().to_string();
    let round = Round::with(&[(BOB, first.url()), (&dave, second.url())]);
    let engine = engine();
    let faults = [json!(500), json!(429), json!("garbage"), json!("silence"), json!(503)];
    let scoring = Service::start(&peer, "scoring-api", &json!({ "faults": faults }));
    let play = || {
        let mut runner = round.runner(engine.url(), &round.path("run"));
        document(&runner.env("BB_SUBMIT_API_URL", scoring.url()).output().unwrap())
    };
    let report = play();
    assert_eq!(report["outcome"], "finished");
    // Accepted submissions are not sent again.
    assert_eq!(play()["outcome"], "already_done");

    let service_report = scoring.report();
    assert_eq!(
        service_report["requests"].as_array().unwrap().len(),
        2 * KINDS.len() + faults.len(),
        "{}",
        service_report["requests"]
    );
    let mut accepted_items: BTreeMap<(u64, &str), &Value> = BTreeMap::new();
    for item in service_report["taken"].as_array().unwrap() {
        assert_eq!(
            (&item["challenge_uid"], &item["challenge_type"]),
            (&json!("ferry"), &json!("main"))
        );
        let key = (item["miner_uid"].as_u64().unwrap(), item["kind"].as_str().unwrap());
        assert!(accepted_items.insert(key, item).is_none(), "{item}");
    }
    let expected: Vec<_> =
        [1, 2].into_iter().flat_map(|uid| KINDS.map(|kind| (uid, kind))).collect();
    assert_eq!(accepted_items.keys().copied().collect::<Vec<_>>(), expected);
    for (uid, played) in (1..).zip(report["miners"].as_array().unwrap()) {
        let score = accepted_items[&(uid, "challenge_scores")];
        assert_eq!(score["miner_hotkey"], played["hotkey"]);
        let difference = score["score"].as_f64().unwrap() - played["score"].as_f64().unwrap();
        assert!(difference.abs() < 1e-6, "{score}, {played}");
    }
}

#[test]
fn python_client_submits_to_scoring_api() {
    let Some(peer) = peer() else { return };
    let folder = tempfile::tempdir().unwrap();
    let validators = ["//Alice", "//Bob", "//Charlie"];
    let mut api = local_bb();
    api.arg("scoring-api").arg("--state").arg(folder.path());
    for validator in validators {
        api.args(["--validators", &Keypair::from_uri(validator).unwrap().hotkey().to_string()]);
    }
    let api = Daemon::start(&mut api);
    let submitted: Vec<_> = validators
        .into_iter()
        .zip([0.5, 0.7, 0.9])
        .flat_map(|(validator, score)| {
            let submission = |kind, uid, hotkey, score| {
                json!({ "validator": validator, "type": kind, "uid": uid, "hotkey": hotkey, "score": score })
            };
            [submission("main", 1, BOB, score), submission("arena", 2, ALICE, score / 2.0)]
        })
        .collect();
    let question = json!({ "against": "scoring-api", "url": api.url(), "challenge_uid": "ch", "scores": submitted });
    let actual = query_peer(&peer, &question);
    assert_eq!(actual["submitted"], json!([[200; 4]].repeat(6)));
    assert_eq!(actual["again"], json!([200, 200]));
    // Without stake, the plain median over the validators counts.
    let row = |kind, uid, hotkey, score| {
        json!({
            "miner_hotkey": hotkey, "miner_uid": uid, "challenge_uid": "ch", "challenge_type": kind,
            "challenge_mean_score": score,
        })
    };
    let (main, arena) = (row("main", 1, BOB, 0.7), row("arena", 2, ALICE, 0.45));
    let rows = |rows: &[&Value]| json!({ "status": 200, "rows": rows });
    assert_eq!(actual["qualifying"], rows(&[&main]));
    assert_eq!(actual["arena"], rows(&[&arena]));
    assert_eq!(actual["all"], rows(&[&main, &arena]));
    assert_eq!(actual["unknown"], rows(&[]));
    assert_eq!(
        actual["refused"],
        json!({
            "signature": 401, "content": 401, "kind": 400, "artifact": 401, "stranger": 403, "query": 401,
            "strangers_query": 403, "contest": 401,
        })
    );
}
