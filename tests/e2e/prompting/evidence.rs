//! Explanation of a miner's score, and its export to another directory.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{chain_with_permit, neuron, number};
use crate::chain::{BABELBIT, BOB, Chain};
use crate::outputs::check_keys;
use crate::support::{Daemon, KillOnDrop, document, free_address, refusal, stderr, tao};

pub(super) const ANSWER: &str = "The capital of Texas is Austin.";

/// Starts Bob's miner at a published address: not 127.0.0.1, which the chain rejects.
pub(super) fn start_miner(chain: &Chain) -> Daemon {
    let (answers, log) = (chain.path("answers.jsonl"), chain.path("replay.log"));
    fs::write(
        &answers,
        format!("{{\"question\": \"What is the capital of Texas?\", \"answer\": \"{ANSWER}\"}}\n"),
    )
    .unwrap();
    let address = free_address().replace("127.0.0.1", "127.0.0.2");
    let mut miner = neuron(chain, "miner", "//Bob");
    miner.args(["--listen", &address, "--announce", &address]);
    Daemon::launch(miner.arg("--canned").arg(answers).arg("--replay-log").arg(log))
}

/// Starts Alice's validator, with a step each second.
pub(super) fn start_validator(chain: &Chain, state: &Path) -> KillOnDrop {
    let questions = chain.path("questions.jsonl");
    fs::write(&questions, "{\"question\": \"What is the capital of Texas?\"}\n").unwrap();
    let mut validator = neuron(chain, "validator", "//Alice");
    validator
        .args(["--embedder", "words", "--interval", "1", "--allow-private", "--questions"])
        .arg(questions);
    KillOnDrop(validator.arg("--state").arg(state).stdout(Stdio::null()).spawn().unwrap())
}

/// A command of `tao prompting` with the state of a validator.
fn command(words: &[&str], state: &Path) -> Command {
    let mut command = tao();
    command.arg("prompting").args(words).args(["--netuid", BABELBIT, "--state"]).arg(state);
    command
}

fn explain(miner: &str, state: &Path, extra_args: &[&str]) -> Output {
    command(&["explain", miner], state).args(extra_args).output().unwrap()
}

/// Words of the standard output: lines can be wrapped.
fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits until a miner has completed this many questions, and returns its explained score.
pub(super) fn wait_for_explanation(miner: &str, state: &Path, questions: usize) -> Value {
    let start = Instant::now();
    loop {
        // Before the first step there is no score.
        let output = explain(miner, state, &["--json"]);
        if output.status.success() {
            let explained = document(&output);
            let steps = explained["steps"].as_array().unwrap();
            if steps.iter().filter(|step| step["completion"] == ANSWER).count() >= questions {
                return explained;
            }
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{}", stderr(&output));
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn score_is_explained_and_moved_between_directories() {
    let chain = chain_with_permit();
    let [state, other] = ["state", "other"].map(|name| chain.path(name));
    let [older, newer] =
        ["older.jsonl", "newer.jsonl"].map(|name| chain.path(name).display().to_string());
    let _miner = start_miner(&chain);
    let validator = start_validator(&chain, &state);
    wait_for_explanation(BOB, &state, 1);
    let exported =
        document(&command(&["state", "export", &older], &state).arg("--json").output().unwrap());
    wait_for_explanation(BOB, &state, 3);
    drop(validator);

    let result = document(&explain(BOB, &state, &["--json"]));
    assert_eq!((&result["hotkey"], &result["consistent"]), (&json!(BOB), &json!(true)), "{result}");
    // The newest one is first.
    let steps = result["steps"].as_array().unwrap();
    let score = steps.iter().rev().fold(number(&result, "initial_score"), |score, step| {
        score + number(step, "alpha") * (number(step, "reward") - score)
    });
    let contributions: f64 = steps.iter().map(|step| number(step, "contribution")).sum();
    for recomputed in
        [score, contributions + number(&result, "remainder"), number(&result, "recomputed_score")]
    {
        assert!(
            (number(&result, "score") - recomputed).abs() < 1e-9 && recomputed > 0.1,
            "{recomputed}: {result}"
        );
    }
    assert!(steps.iter().any(|step| step["parts"]["relevance"].as_f64() > Some(0.5)), "{result}");
    let uid = steps[0]["uid"].to_string();
    assert_eq!(document(&explain(&uid, &state, &["--json"])), result);

    let answered =
        steps.iter().find(|step| step["completion"] == ANSWER).unwrap()["step"].to_string();
    let text = text_of(&explain(BOB, &state, &["--step", &answered]));
    assert!(
        text.contains(&format!("completion: {ANSWER}")) && text.contains("contributes "),
        "{text}"
    );
    let text = text_of(&explain(BOB, &state, &[]));
    assert!(text.contains("which follows from ") && text.contains(ANSWER), "{text}");
    let error = refusal(&explain(BOB, &state, &["--step", "100000"]), 2);
    assert!(error.contains("step 100000 has no recorded reward"), "{error}");
    let error = refusal(&explain(BOB, &chain.path("nothing"), &[]), 1);
    assert!(error.contains("is --state that of the validator?"), "{error}");

    let error = refusal(&command(&["state", "import", &older], &state).output().unwrap(), 1);
    assert!(error.contains("the scores here are newer"), "{error}");
    document(&command(&["state", "export", &newer], &state).arg("--json").output().unwrap());
    document(&command(&["state", "import", &older], &other).arg("--json").output().unwrap());
    let imported =
        document(&command(&["state", "import", &newer], &other).arg("--json").output().unwrap());
    let moved = document(&explain(BOB, &other, &["--json"]));
    assert_eq!(
        (&moved["score"], &moved["consistent"]),
        (&result["score"], &result["consistent"]),
        "{moved}"
    );
    assert_eq!(moved["steps"].as_array().unwrap().len(), steps.len());
    check_keys(&[
        ("prompting explain", result),
        ("prompting state export", exported),
        ("prompting state import", imported),
    ]);
}
