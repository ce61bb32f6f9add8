//! The text-prediction contest: training, miner, engine, runner, demonstration.

mod completion_server;
mod hub;
mod language_models;
mod page;
mod settings;
mod startup;
mod usage;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::chain::BOB;
use crate::kill::address;
use crate::support::{Daemon, bb, document, local_bb, require_sentence_model, tao};

pub(crate) use self::hub::{HUB_TOKEN, Hub};

const SMALL_TALK: &str = r#"{"challenge_uid": "small-talk", "dialogues": [
    {"dialogue_uid": "bus", "utterances": ["Is this seat free?", "Yes, it is."]},
    {"dialogue_uid": "end", "utterances": ["Goodbye."]}]}"#;

/// Writes a text challenge, which is also a training file.
pub(crate) fn small_talk(folder: &Path) -> PathBuf {
    let path = folder.join("small-talk.json");
    std::fs::write(&path, SMALL_TALK).unwrap();
    path
}

/// `bb engine` with a text challenge.
pub(crate) fn text_engine(challenge: &Path) -> Daemon {
    Daemon::start(local_bb().arg("engine").arg(challenge))
}

/// A model trained on [`small_talk`].
fn train_model(folder: &Path) -> PathBuf {
    let model = folder.join("ngram.model");
    let trained = bb()
        .args(["text", "train", "--json", "--output"])
        .arg(&model)
        .arg(small_talk(folder))
        .output();
    let trained = document(&trained.unwrap());
    assert_eq!((&trained["utterances"], &trained["words"]), (&json!(3), &json!(8)), "{trained}");
    model
}

/// `bb miner --contest text` with the key `//Bob`, trained on [`small_talk`].
pub(crate) fn text_miner(folder: &Path) -> Daemon {
    let model = train_model(folder);
    Daemon::start(
        local_bb().args(["miner", "--contest", "text", "--key-uri", "//Bob", "--model"]).arg(model),
    )
}

fn miner<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap()
}

#[test]
fn demo_ranks_trained_model_first() {
    require_sentence_model();
    let demo =
        document(&tao().args(["demo", "--contest", "text", "--once", "--json"]).output().unwrap());
    assert_eq!(demo["schema"], "taonet.demo-text/1");
    assert_eq!((&demo["dialogues"], &demo["utterances"]), (&json!(4), &json!(20)));
    let [trained, random, silent] = ["n-gram", "random", "silent"].map(|name| miner(&demo, name));
    let score = |miner: &Value| miner["score"].as_f64().unwrap();
    assert!(score(trained) > score(random) && score(random) > score(silent), "{demo}");
    assert_eq!(
        (score(silent), silent["weight"].as_f64().unwrap(), &silent["emission"]),
        (0.0, 0.0, &json!(0))
    );
    let ranked: Vec<_> =
        demo["miners"].as_array().unwrap().iter().map(|miner| &miner["name"]).collect();
    assert_eq!(ranked, ["n-gram", "random", "silent"]);
    assert_eq!(
        (&trained["weight_submitted"], &trained["weight_on_chain"]),
        (&json!(65_535), &json!(65_535)),
        "{demo}"
    );
    assert!(
        trained["incentive"].as_f64().unwrap() > random["incentive"].as_f64().unwrap(),
        "{demo}"
    );
    let weights: f64 = demo["miners"]
        .as_array()
        .unwrap()
        .iter()
        .map(|miner| miner["weight"].as_f64().unwrap())
        .sum();
    assert!((weights - 1.0).abs() < 1e-6, "{demo}");
}

/// Runs `bb runner` once with the miner of `//Bob`, and returns its report.
fn run_challenge(engine: &Daemon, miner: &Daemon, folder: &Path) -> Value {
    let miners = folder.join("miners.json");
    let entry =
        json!([{ "uid": 7, "hotkey": BOB, "address": address(miner.url()), "name": "trained" }]);
    std::fs::write(&miners, entry.to_string()).unwrap();
    let mut runner = local_bb();
    runner.args([
        "runner",
        "--contest",
        "text",
        "--once",
        "--json",
        "--key-uri",
        "//Alice",
        "--engine",
        engine.url(),
    ]);
    runner.arg("--miners").arg(&miners).arg("--keep").arg(folder.join("kept"));
    runner.env("BB_ENABLE_VALIDATION_SUBMISSIONS", "0");
    document(&runner.output().unwrap())
}

#[test]
fn scores_of_trained_miner_can_be_recomputed() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let challenge = small_talk(folder.path());
    let (engine, miner) = (text_engine(&challenge), text_miner(folder.path()));
    let run = || run_challenge(&engine, &miner, folder.path());
    let report = run();
    assert_eq!(
        (&report["outcome"], &report["utterances"]),
        (&json!("finished"), &json!(3)),
        "{report}"
    );
    let score = report["miners"][0]["score"].as_f64().unwrap();
    assert!(score > 0.9, "it has learned every utterance: {report}");
    assert_eq!(run()["outcome"], "already_done");

    // `bb score-text` without sentence vectors finds the same steps in the log.
    let log = folder.path().join(format!(
        "kept/logs/dialogue_run_small-talk_type_main_miner_7__hk_{BOB}__dlg_bus.jsonl"
    ));
    let events: Vec<Value> = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let file = folder.path().join("events.json");
    std::fs::write(&file, json!({ "events": events, "lex_weight": 1.0 }).to_string()).unwrap();
    let scored = document(&bb().arg("score-text").arg(&file).output().unwrap());
    assert_eq!(scored["utterances"][0]["total_steps"], 4);
    assert_eq!(scored["utterances"][0]["steps"][0]["prediction"], "Is this seat free?");
    assert_eq!(scored["utterances"][0]["U_best"], 1.0);
}
