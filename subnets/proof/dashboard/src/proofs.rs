//! The proofs of a validator at the last read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use taonet_dashboard::{Condition, Health, ago};
use taonet_primitives::Hotkey;
use taonet_proof_core::scoring::delivered_work::WorkRules;
use taonet_proof_core::scoring::{Profile, Tally};
use taonet_proof_validator::StoredScores;

/// Duration over which proofs per second are averaged.
const RATE_WINDOW: Duration = Duration::from_mins(5);
/// Time without a new outcome after which the validator counts as stopped, in seconds. Requests
/// follow each other within seconds, and time out after minutes.
const MAX_SILENCE_SECONDS: i64 = 600;
/// Why no outcome is recorded.
const SILENCE_HINT: &str = "the validator has recorded no proof and no failure for more than 10 minutes; hint: is `tao proof \
                      validator` running, and does it know a miner? Its log has the reason";

/// Latest known state of a validator's proofs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Proofs {
    /// Miners by hotkey.
    pub(crate) miners: Vec<MinerProofs>,
    /// Unit price of each circuit in seconds, by the circuit's identity.
    pub(crate) prices: BTreeMap<String, Option<f64>>,
    /// Time of the last outcome, in seconds since the Unix epoch; `None` before the first read.
    pub(crate) written_unix: Option<i64>,
    /// Verified proofs per second over the last minutes; `None` until two reads.
    pub(crate) rate: Option<f64>,
    /// Descriptions of circuits by identity.
    pub(crate) circuits: Arc<BTreeMap<String, CircuitSummary>>,
    /// Why the latest read of the scores failed, if it did. The data is then that of the last
    /// successful read.
    pub(crate) scores_problem: Option<String>,
    /// Why the circuits cannot be read, if so.
    pub(crate) circuits_problem: Option<String>,
}

/// Proofs of one miner.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MinerProofs {
    pub(crate) hotkey: Hotkey,
    pub(crate) tally: Tally,
    /// Delivered work, in seconds at unit prices.
    pub(crate) work: f64,
}

/// Description of a circuit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CircuitSummary {
    pub(crate) name: String,
    pub(crate) backend: String,
    pub(crate) multiply_adds: u64,
    pub(crate) constraints: u64,
}

/// Sums over all miners.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Totals {
    pub(crate) verified: u64,
    pub(crate) failed: u64,
    /// Mean time from request to answer, in seconds, and mean size in bytes; `None` without proofs.
    pub(crate) seconds: Option<f64>,
    pub(crate) bytes: Option<f64>,
}

impl Totals {
    pub(crate) fn of<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Self {
        let (mut verified, mut failed, mut time, mut bytes) = (0_u64, 0_u64, Duration::ZERO, 0_u64);
        for tally in tallies {
            verified = verified.saturating_add(tally.verified);
            failed = failed.saturating_add(tally.answers().saturating_sub(tally.verified));
            time = time.saturating_add(tally.time);
            bytes = bytes.saturating_add(tally.bytes);
        }
        let mean = |sum: f64| (verified > 0).then(|| sum / verified as f64);
        Self { verified, failed, seconds: mean(time.as_secs_f64()), bytes: mean(bytes as f64) }
    }
}

impl Proofs {
    /// Replaces the data with that of stored scores. `now` is the time since the Unix epoch.
    pub(crate) fn update(&mut self, stored: &StoredScores, now: Duration) {
        let profile = Profile::DeliveredWork(WorkRules::default());
        let miner = |(hotkey, tally): (&Hotkey, &Tally)| MinerProofs {
            hotkey: *hotkey,
            tally: tally.clone(),
            work: stored.board.score(&profile, hotkey, now),
        };
        self.miners = stored.board.tallies().iter().map(miner).collect();
        // A kind of work is `circuit:slice`; each slice of a model is a separate circuit.
        let circuit = |kind: &str| kind.split(':').next().unwrap_or_default().to_owned();
        self.prices = stored.board.prices().map(|(kind, price)| (circuit(kind), price)).collect();
        let written_unix = taonet_service::unix_time(stored.written).as_secs();
        self.written_unix = i64::try_from(written_unix).ok();
    }

    /// Returns whether the last outcome at `now_unix`, in seconds since the Unix epoch, was long
    /// ago.
    pub(crate) fn is_silent(&self, now_unix: i64) -> bool {
        self.written_unix
            .is_some_and(|written_unix| now_unix.saturating_sub(written_unix) > MAX_SILENCE_SECONDS)
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals::of(self.miners.iter().map(|miner| &miner.tally))
    }

    /// Returns the current problems at `now_unix`, in seconds since the Unix epoch: titles and
    /// reasons.
    pub(crate) fn problems(&self, now_unix: i64) -> impl Iterator<Item = (&'static str, &str)> {
        let scores_problem = self
            .scores_problem
            .as_deref()
            .map(|reason| ("The validator's scores are unavailable", reason));
        let circuits_problem =
            self.circuits_problem.as_deref().map(|reason| ("The circuits are unavailable", reason));
        let silence_problem = self.is_silent(now_unix).then_some(("No new outcome", SILENCE_HINT));
        scores_problem.into_iter().chain(circuits_problem).chain(silence_problem)
    }

    /// Returns the subnet's entry in the strip of the page at `now_unix`, in seconds since the Unix
    /// epoch.
    pub(crate) fn health(&self, now_unix: i64) -> Health {
        let last_outcome =
            self.written_unix.map(|unix| format!("last outcome {}", ago(unix, now_unix)));
        let problem = self.problems(now_unix).next();
        let (condition, summary) = match (last_outcome, problem) {
            (Some(last_outcome), _) if self.is_silent(now_unix) => {
                (Condition::Stopped, last_outcome)
            }
            (_, Some((title, _))) => (Condition::Degraded, title.to_owned()),
            (Some(last_outcome), None) => (Condition::Healthy, last_outcome),
            (None, None) => (Condition::Waiting, "no outcome yet".to_owned()),
        };
        Health { name: "Proof", path: "/proof", condition, fact: summary }
    }
}

/// Numbers of verified proofs at the latest reads.
#[derive(Debug, Default)]
pub(crate) struct RateMeter(VecDeque<(Duration, u64)>);

impl RateMeter {
    /// Adds a number of verified proofs at a time on any steady clock; returns the proofs per
    /// second since the oldest read of the last minutes, or `None` without one.
    pub(crate) fn add(&mut self, at: Duration, verified: u64) -> Option<f64> {
        // When the scores are deleted, the numbers restart at 0.
        self.0.retain(|(read_at, count)| {
            at.saturating_sub(*read_at) <= RATE_WINDOW && *count <= verified
        });
        self.0.push_back((at, verified));
        let (first_read_at, count) = self.0.front()?;
        let seconds = at.saturating_sub(*first_read_at).as_secs_f64();
        (seconds > 0.0).then(|| (verified - count) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_covers_the_last_minutes() {
        let mut meter = RateMeter::default();
        let second = Duration::from_secs;
        assert_eq!(meter.add(second(0), 100), None);
        assert_eq!(meter.add(second(10), 120), Some(2.0));
        assert_eq!(meter.add(second(310), 420), Some(1.0));
        assert_eq!(meter.add(second(320), 0), None, "the scores were deleted");
        assert_eq!(meter.add(second(330), 5), Some(0.5));
    }
}
