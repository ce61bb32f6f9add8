//! Metrics of the runner's loop.

use std::sync::Arc;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use taonet_babelbit_core::records::ChallengeType;

use crate::events::{RunEvent, RunObserver};

const ROUNDS: &str = "taonet_runner_rounds_total";
const ROUND_SECONDS: &str = "taonet_runner_round_seconds";
const UTTERANCES: &str = "taonet_runner_utterances_total";
const BLOCK: &str = "taonet_runner_block";
const MINERS: &str = "taonet_runner_round_miners";

pub(super) fn describe() {
    describe_counter!(ROUNDS, "Rounds by contest and outcome");
    describe_histogram!(ROUND_SECONDS, Unit::Seconds, "Duration of complete rounds");
    describe_counter!(UTTERANCES, "Utterances played to miners, by contest and result");
    describe_gauge!(BLOCK, "Height of the newest block");
    describe_gauge!(MINERS, "Miners with a score in the last complete round, by contest");
    // Initialise the counters to 0, so that alerts detect the first round, and a lack of rounds.
    for contest in [ChallengeType::Main, ChallengeType::Solo, ChallengeType::Arena] {
        counter!(ROUNDS, "contest" => contest.as_str(), "outcome" => "played").increment(0);
    }
}

pub(super) fn record_block(height: u32) {
    gauge!(BLOCK).set(f64::from(height));
}

pub(super) fn count_round(contest: ChallengeType, outcome: &'static str) {
    counter!(ROUNDS, "contest" => contest.as_str(), "outcome" => outcome).increment(1);
}

pub(super) fn record_played_round(contest: ChallengeType, elapsed: Duration, miners: usize) {
    histogram!(ROUND_SECONDS, "contest" => contest.as_str()).record(elapsed);
    gauge!(MINERS, "contest" => contest.as_str()).set(miners as f64);
}

/// Observer that counts utterances and forwards events.
pub(super) struct CountingObserver {
    pub(super) contest: ChallengeType,
    pub(super) inner: Arc<dyn RunObserver>,
}

impl RunObserver for CountingObserver {
    fn observe(&self, event: RunEvent) {
        let result = match &event {
            RunEvent::Played { .. } => Some("played"),
            RunEvent::Failed { .. } => Some("failed"),
            _ => None,
        };
        if let Some(result) = result {
            counter!(UTTERANCES, "contest" => self.contest.as_str(), "result" => result)
                .increment(1);
        }
        self.inner.observe(event);
    }
}
