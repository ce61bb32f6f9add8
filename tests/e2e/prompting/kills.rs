//! A validator that is killed in its steps: none is lost, and none counts twice.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::chain_with_permit;
use super::evidence::{ANSWER, start_miner, start_validator, wait_for_explanation};
use crate::chain::BOB;
use crate::kill::random_seed;
use crate::support::kill_count;

/// Returns the number of complete lines of the log with the answer of the miner.
fn logged_answers(state: &Path) -> usize {
    let bytes = fs::read(state.join("events.jsonl")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let complete = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok());
    complete.filter(|line| line.contains(ANSWER)).count()
}

/// Waits until the log has another answer.
fn wait_for_next_answer(state: &Path) {
    let (before, start) = (logged_answers(state), Instant::now());
    while logged_answers(state) == before {
        assert!(start.elapsed() < Duration::from_mins(1), "no step is recorded");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns the steps of the explanation that have the answer of the miner.
fn answer_count(explained: &Value) -> usize {
    let steps = explained["steps"].as_array().unwrap();
    steps.iter().filter(|step| step["completion"] == ANSWER).count()
}

/// A step is due each second. It saves the gate, then its record, then the scores.
/// `TAONET_TEST_SEED` repeats the times of the kills.
#[test]
fn killed_validator_neither_loses_nor_repeats_steps() {
    let mut random = StdRng::seed_from_u64(random_seed());
    let chain = chain_with_permit();
    let state = chain.path("state");
    let _miner = start_miner(&chain);
    let validator = start_validator(&chain, &state);
    wait_for_explanation(BOB, &state, 1);
    drop(validator);

    for kill in 0..kill_count() {
        let mut validator = start_validator(&chain, &state);
        let pauses = match kill % 3 {
            // At any time, such as within the start.
            0 => 0..2_500,
            // While the scores of a step are written.
            1 => 0..40,
            // About the next request, and while the gate and the record are written.
            _ => 900..1_150,
        };
        if kill % 3 > 0 {
            wait_for_next_answer(&state);
        }
        std::thread::sleep(Duration::from_millis(random.random_range(pauses)));
        assert!(validator.0.try_wait().unwrap().is_none(), "kill {kill}: the validator has ended");
        // With SIGKILL.
        drop(validator);
        let gate = fs::read(state.join("gate.json")).unwrap();
        assert!(serde_json::from_slice::<Value>(&gate).is_ok(), "kill {kill}: a truncated gate");
    }

    // The next validator goes on with gate and scores.
    let validator = start_validator(&chain, &state);
    let before = answer_count(&wait_for_explanation(BOB, &state, 1));
    wait_for_explanation(BOB, &state, before + 1);
    drop(validator);
    let result = wait_for_explanation(BOB, &state, before + 1);
    assert_eq!(result["consistent"], true, "{result}");
    let steps = result["steps"].as_array().unwrap();
    let numbers: Vec<u64> = steps.iter().map(|step| step["step"].as_u64().unwrap()).collect();
    // The newest one is first.
    assert!(numbers.iter().rev().copied().eq(1..=steps.len() as u64), "{numbers:?}");
    for step in steps.iter().filter(|step| step["reward"].as_f64() > Some(0.0)) {
        assert_eq!(step["completion"], ANSWER, "a score without its record: {step}");
    }
    // Each kill can leave the record of a step that does not count.
    let repeated = logged_answers(&state) - answer_count(&result);
    assert!(repeated <= kill_count() as usize + 2, "{repeated} of {} steps", steps.len());
}
