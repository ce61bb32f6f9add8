use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;
use thiserror::Error;

use super::delivered_work::{WorkAccounts, WorkRules};
use super::seed::{ProofOutcome, SeedRules};
use super::shares;

/// Why a proof request counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The connection failed or was lost.
    Unreachable,
    /// The miner did not respond before the timeout.
    Timeout,
    /// The miner refused the request or failed.
    Refused,
    /// The response is malformed.
    Malformed,
    /// The outputs differ from those of the circuit.
    WrongOutput,
    /// The proof is for a different circuit.
    OtherCircuit,
    /// The proof was made for an earlier request.
    ReplayedProof,
    /// The proof was made by another miner.
    CopiedProof,
    /// The proof does not verify.
    Invalid,
}

impl Fault {
    /// All faults, in order.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Refused,
        Self::Malformed,
        Self::WrongOutput,
        Self::OtherCircuit,
        Self::ReplayedProof,
        Self::CopiedProof,
        Self::Invalid,
    ];

    /// Returns the fault's name in documents and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::WrongOutput => "wrong_output",
            Self::OtherCircuit => "other_circuit",
            Self::ReplayedProof => "replayed_proof",
            Self::CopiedProof => "copied_proof",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "no answer in time",
            Self::Refused => "refuses requests",
            Self::Malformed => "malformed answer",
            Self::WrongOutput => "wrong output",
            Self::OtherCircuit => "another circuit's proof",
            Self::ReplayedProof => "replayed proof",
            Self::CopiedProof => "another miner's proof",
            Self::Invalid => "proof does not verify",
        })
    }
}

/// Outcome of one proof request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The proof verified.
    Verified {
        /// Time from request to response.
        time: Duration,
        /// Size of the proof in bytes.
        bytes: u64,
    },
    /// The request failed or the proof was rejected.
    Failed(Fault),
}

/// One request and its outcome: the unit in which scores change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Hotkey of the miner.
    pub miner: Hotkey,
    /// Kind of work: `circuit:slice`.
    pub kind: String,
    /// Time of the outcome since the Unix epoch.
    pub at: Duration,
    /// Number of miners on the subnet at the time of the outcome.
    pub miners: usize,
    /// Outcome of the request.
    pub outcome: Outcome,
}

/// Scoring profile that turns outcomes into weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Profile {
    /// The [`seed`](super::seed) profile.
    Seed,
    /// The [`delivered_work`](super::delivered_work) profile.
    DeliveredWork(WorkRules),
}

/// The text does not name a profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown profile `{0}`, expected seed or delivered-work")]
pub struct ProfileError(String);

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        match text {
            "seed" => Ok(Self::Seed),
            "delivered-work" => Ok(Self::DeliveredWork(WorkRules::default())),
            other => Err(ProfileError(other.to_owned())),
        }
    }
}

/// Outcome counts of one miner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Number of verified proofs.
    pub verified: u64,
    /// Number of failures by reason.
    pub faults: BTreeMap<Fault, u64>,
    /// Sum of the times from request to response over all verified proofs.
    pub time: Duration,
    /// Total size of all verified proofs, in bytes.
    pub bytes: u64,
}

impl Tally {
    /// Returns the total number of outcomes.
    pub fn answers(&self) -> u64 {
        self.verified + self.faults.values().sum::<u64>()
    }

    /// Returns the most frequent fault, if any.
    pub fn main_fault(&self) -> Option<Fault> {
        self.faults.iter().max_by_key(|(_, count)| **count).map(|(fault, _)| *fault)
    }
}

/// The scores of all miners under both profiles: a pure function of the events, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoreboard {
    work: WorkAccounts,
    seed: BTreeMap<Hotkey, f64>,
    tallies: BTreeMap<Hotkey, Tally>,
}

impl Scoreboard {
    /// Applies one event to the scores of both profiles.
    pub fn apply(&mut self, event: &Event) {
        let tally = self.tallies.entry(event.miner).or_default();
        let proof_outcome = match event.outcome {
            Outcome::Verified { time, bytes } => {
                tally.verified += 1;
                tally.time = tally.time.saturating_add(time);
                tally.bytes = tally.bytes.saturating_add(bytes);
                self.work.credit(event.miner, &event.kind, time, event.at);
                ProofOutcome::Verified { time, bytes }
            }
            Outcome::Failed(fault) => {
                *tally.faults.entry(fault).or_default() += 1;
                self.work.debit(event.miner, &event.kind, event.at);
                ProofOutcome::Failed
            }
        };
        let score = self.seed.entry(event.miner).or_default();
        *score = SeedRules::default().next_score(*score, proof_outcome, event.miners);
    }

    /// Returns each miner's share of the weight, in the order of `miners`. The sum is 1, or 0 if no
    /// miner is eligible: eligible miners have a positive score and, under
    /// [`Profile::DeliveredWork`], enough responses.
    pub fn weights(&self, profile: &Profile, miners: &[Hotkey], now: Duration) -> Vec<f64> {
        match profile {
            Profile::DeliveredWork(rules) => self.work.weights(miners, rules, now),
            Profile::Seed => {
                let score = |miner: &Hotkey| self.seed.get(miner).copied().unwrap_or_default();
                shares(&miners.iter().map(score).collect::<Vec<_>>())
            }
        }
    }

    /// Returns a miner's score under a profile: for [`Profile::DeliveredWork`], its work in seconds
    /// at unit prices; for [`Profile::Seed`], the moving average of the quality of its
    /// responses.
    pub fn score(&self, profile: &Profile, miner: &Hotkey, now: Duration) -> f64 {
        match profile {
            Profile::DeliveredWork(_) => self.work.work(miner, now),
            Profile::Seed => self.seed.get(miner).copied().unwrap_or_default(),
        }
    }

    /// Returns the unit price of a kind of work, in seconds; `None` until there are enough
    /// responses.
    pub fn price(&self, kind: &str) -> Option<f64> {
        self.work.price(kind)
    }

    /// Returns all kinds of work that were verified, with their unit prices in seconds, ordered by
    /// kind.
    pub fn prices(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.work.prices()
    }

    /// Returns the outcome counts by miner.
    pub fn tallies(&self) -> &BTreeMap<Hotkey, Tally> {
        &self.tallies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_hours(1000);

    fn event(miner: u8, outcome: Outcome) -> Event {
        Event {
            miner: Hotkey::from_bytes([miner; 32]),
            kind: "c:0".to_owned(),
            at: NOW,
            miners: 3,
            outcome,
        }
    }

    fn verified_outcome(millis: u64) -> Outcome {
        Outcome::Verified { time: Duration::from_millis(millis), bytes: 128 }
    }

    #[test]
    fn fault_costs_more_than_an_answer_earns() {
        let mut board = Scoreboard::default();
        for _ in 0..20 {
            board.apply(&event(1, verified_outcome(500)));
            board.apply(&event(3, Outcome::Failed(Fault::CopiedProof)));
        }
        board.apply(&event(2, verified_outcome(500)));
        board.apply(&event(2, Outcome::Failed(Fault::ReplayedProof)));
        let miners = [1, 2, 3].map(|miner| Hotkey::from_bytes([miner; 32]));
        let rules = WorkRules { minimum_answers: 2, ..WorkRules::default() };
        assert_eq!(board.weights(&Profile::DeliveredWork(rules), &miners, NOW), [1.0, 0.0, 0.0]);
        let seed = board.weights(&Profile::Seed, &miners, NOW);
        assert!(seed[0] > 0.9 && seed[1] > 0.0 && seed[2] == 0.0, "{seed:?}");
        assert_eq!(board.prices().collect::<Vec<_>>(), [("c:0", Some(0.5))]);
        let tally = &board.tallies()[&miners[1]];
        assert_eq!((tally.answers(), tally.main_fault()), (2, Some(Fault::ReplayedProof)));
    }

    /// Outcome of a miner's answer in a round of the recorded period: miner 2 is slow and has large
    /// proofs, miner 3 misses every sixth answer, and miner 4 proves nothing.
    fn recorded_outcome(miner: u8, round: u64) -> Outcome {
        let verified =
            |millis, bytes| Outcome::Verified { time: Duration::from_millis(millis), bytes };
        match miner {
            3 if round % 6 == 5 => Outcome::Failed(Fault::Timeout),
            1 | 3 => verified(400 + 10 * (round % 7), 128),
            2 => verified(900 + 25 * (round % 5), 300_000),
            _ => Outcome::Failed(Fault::WrongOutput),
        }
    }

    /// The expected values are those of the formulas in the pages of both profiles, computed by
    /// another program.
    #[test]
    fn scores_and_weights_of_a_period_are_as_recorded() {
        let (mut board, miners) = (Scoreboard::default(), [1, 2, 3, 4]);
        for round in 0..120 {
            for miner in miners {
                board.apply(&Event {
                    kind: format!("diabetes:{}", round % 2),
                    at: NOW + Duration::from_mins(2 * round),
                    miners: 4,
                    ..event(miner, recorded_outcome(miner, round))
                });
            }
        }
        let prices = [("diabetes:0", Some(0.41)), ("diabetes:1", Some(0.41))];
        assert_eq!(board.prices().collect::<Vec<_>>(), prices);
        let (hotkeys, end) =
            (miners.map(|miner| Hotkey::from_bytes([miner; 32])), NOW + Duration::from_hours(5));
        for (profile, scores, weights) in [
            (
                Profile::Seed,
                [0.243_770_842_847, 0.214_981_513_621, 0.092_719_886_275, 0.0],
                [0.442_036_468_843, 0.389_831_975_135, 0.168_131_556_021, 0.0],
            ),
            (
                Profile::DeliveredWork(WorkRules::default()),
                [15.201_443_173_992, 15.344_632_297_182, 7.470_602_268_959, 0.0],
                [0.415_045_628_904, 0.420_135_142_202, 0.164_819_228_894, 0.0],
            ),
        ] {
            let actual = hotkeys.map(|hotkey| board.score(&profile, &hotkey, end)).to_vec();
            for (actual, expected) in
                [(actual, scores), (board.weights(&profile, &hotkeys, end), weights)]
            {
                for (actual, expected) in actual.iter().zip(expected) {
                    assert!((actual - expected).abs() < 1e-11, "{profile:?}: {actual} {expected}");
                }
            }
        }
    }

    #[test]
    fn boards_and_events_round_trip_as_json() {
        let mut board = Scoreboard::default();
        for fault in Fault::ALL {
            let event = event(1, Outcome::Failed(fault));
            let text = serde_json::to_string(&event).unwrap();
            assert!(text.contains(&format!("\"{}\"", fault.as_str())), "{text}");
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
            board.apply(&event);
        }
        board.apply(&event(2, verified_outcome(3)));
        let text = serde_json::to_string(&board).unwrap();
        let read: Scoreboard = serde_json::from_str(&text).unwrap();
        assert_eq!(read.tallies(), board.tallies());
        for miner in board.tallies().keys() {
            for profile in [Profile::Seed, Profile::DeliveredWork(WorkRules::default())] {
                // The conversion to decimal text may round a score once more.
                let difference =
                    read.score(&profile, miner, NOW) - board.score(&profile, miner, NOW);
                assert!(difference.abs() < 1e-12, "{difference}");
            }
        }
    }
}
