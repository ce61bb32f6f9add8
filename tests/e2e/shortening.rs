//! `bb miner --lm`: a language model in the process says the phrases of the rewriting rules in
//! fewer words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::axon::{BOB, get};
use crate::support::{
    Daemon, are_installed, assert_metrics_described, bb, document, local_bb, refusal, repository,
    require_sentence_model,
};

const CHAT_MODEL: &str = "SmolLM2-135M-Instruct";

/// Starts a miner on a local network with these options and settings.
fn miner(options: &[&str], variables: &[(&str, &str)]) -> Daemon {
    let mut miner = local_bb();
    miner.args(["miner", "--key-uri", "//Bob"]).args(options).envs(variables.iter().copied());
    Daemon::start(&mut miner)
}

/// Returns the numbers of phrases for the language model by outcome.
fn outcomes(miner: &Daemon) -> BTreeMap<String, f64> {
    let metrics = get(miner.url().trim_start_matches("http://"), "/metrics");
    assert_metrics_described(&metrics, "miner");
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("taonet_miner_lm_phrases_total{outcome=\""));
    let counts = lines.map(|line| line.split_once("\"} ").unwrap());
    counts.map(|(outcome, count)| (outcome.to_owned(), count.parse().unwrap())).collect()
}

/// Plays a challenge to the miner; returns the report.
fn play(miner: &Daemon) -> Value {
    let ferry = repository("tests/e2e/data/ferry.json");
    let mut bench = bb();
    bench.args(["bench", "interpret", ferry.to_str().unwrap(), "--json"]);
    bench.args(["--miner", miner.url(), "--miner-hotkey", BOB]);
    for name in ["BB_MINER_TIMEOUT_SEC", "BB_S2S_CHUNK_TIMEOUT_SEC", "BB_S2S_DRAIN_TIMEOUT_SEC"] {
        bench.env(name, "600");
    }
    document(&bench.output().unwrap())
}

fn transcripts(report: &Value) -> Vec<&str> {
    report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["transcript"].as_str().unwrap())
        .collect()
}

#[test]
fn in_process_model_shortens_phrases() {
    require_sentence_model();
    if !are_installed(&[CHAT_MODEL]) {
        return;
    }
    // No phrase may take too long on a busy machine.
    let options = ["--server-timeout", "300", "--frame-timeout", "600"];
    let miner = miner(&options, &[("BB_MINER_LM", CHAT_MODEL)]);
    let report = play(&miner);
    assert_eq!(
        (&report["total"]["replies"], &report["total"]["failed"]),
        (&json!(4), &json!(0)),
        "{report:#}"
    );
    // Whatever the model proposes, the guard keeps the meaning.
    assert!(report["total"]["chrf"].as_f64() > Some(20.0), "{report:#}");
    let outcomes = outcomes(&miner);
    let failures =
        ["error", "timeout", "busy", "skipped"].map(|outcome| outcomes.contains_key(outcome));
    assert_eq!(failures, [false; 4], "{outcomes:?}");
    assert!(outcomes.get("complete").is_some_and(|count| *count >= 1.0), "{outcomes:?}");
}

#[test]
fn slow_model_falls_back_to_rules() {
    require_sentence_model();
    if !are_installed(&[CHAT_MODEL]) {
        return;
    }
    let slow = miner(&["--lm", CHAT_MODEL, "--server-timeout", "0.001"], &[]);
    let (actual, expected) = (play(&slow), play(&miner(&[], &[])));
    assert_eq!(transcripts(&actual), transcripts(&expected));
    let outcomes = outcomes(&slow);
    let allowed = |outcome: &String| ["timeout", "skipped"].contains(&outcome.as_str());
    assert!(!outcomes.is_empty() && outcomes.keys().all(allowed), "{outcomes:?}");
}

/// Columns: options · exit status · part of the error
#[test]
fn language_model_that_cannot_shorten_phrases_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    // A model without a chat template.
    let completing = repository("vectors/lm/qwen3-q8_0.gguf");
    let completing = completing.to_str().unwrap();
    let table: [(&[&str], i32, &str); 7] = [
        (&["--lm", empty], 1, "hint: a model is a GGUF file"),
        (&["--lm", "no-such-model"], 1, "no-such-model does not exist"),
        (&["--lm", "tiny-ctc"], 2, "tiny-ctc is no language model"),
        (&["--lm", completing], 1, "or a model that was trained to chat"),
        (&["--lm", empty, "--profile", "parrot"], 2, "--lm needs an interpreting profile"),
        (&["--lm", empty, "--lm-sessions", "2"], 2, "hint: add --contest text"),
        (
            &["--lm", empty, "--llm-url", "http://127.0.0.1:9/v1", "--llm-model", "m"],
            2,
            "cannot be used with",
        ),
    ];
    for (options, status, expected) in table {
        let mut miner = local_bb();
        miner.args(["miner", "--key-uri", "//Bob", "--listen", "127.0.0.1:0"]).args(options);
        let error = refusal(&miner.output().unwrap(), status);
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}
