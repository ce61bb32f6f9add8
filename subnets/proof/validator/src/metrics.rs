//! Metrics of the validator; docs/metrics.md lists them.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use taonet_proof_core::scoring::Outcome;

const ANSWERS: &str = "taonet_proof_validator_answers_total";
const ANSWER_SECONDS: &str = "taonet_proof_validator_answer_seconds";
const VERIFY_SECONDS: &str = "taonet_proof_validator_verify_seconds";
const MINERS: &str = "taonet_proof_validator_miners";
const WEIGHTED: &str = "taonet_proof_validator_weighted_miners";

/// Registers help texts of this crate's metrics. Call after the recorder is installed.
pub fn describe() {
    describe_counter!(
        ANSWERS,
        "Requests to miners, by outcome: verified, busy, or the reason for the failure"
    );
    describe_histogram!(ANSWER_SECONDS, "Time from a request to a proof that verified");
    describe_histogram!(VERIFY_SECONDS, "Time to verify a proof");
    describe_gauge!(MINERS, "Miners that receive requests");
    describe_gauge!(WEIGHTED, "Miners with a weight in the last epoch");
}

pub(crate) fn record_outcome(outcome: &Outcome) {
    let result = match outcome {
        Outcome::Verified { time, .. } => {
            histogram!(ANSWER_SECONDS).record(time.as_secs_f64());
            "verified"
        }
        Outcome::Failed(fault) => fault.as_str(),
    };
    counter!(ANSWERS, "result" => result).increment(1);
}

pub(crate) fn count_busy() {
    counter!(ANSWERS, "result" => "busy").increment(1);
}

pub(crate) fn record_verification(time: Duration) {
    histogram!(VERIFY_SECONDS).record(time.as_secs_f64());
}

pub(crate) fn set_miners(count: usize) {
    gauge!(MINERS).set(count as f64);
}

pub(crate) fn set_weighted_miners(count: usize) {
    gauge!(WEIGHTED).set(count as f64);
}
