//! Babelbit's part of the validator: the scores of the current challenge, and the weights derived
//! from them.
//!
//! The epoch loop, the signer and the subtensor gateway are in `taonet-validator`, for all subnets.
//! This crate supplies the parts that are specific to Babelbit:
//!
//! - [`Babelbit`] implements [`Subnet`]: the engine names the current challenge, the scoring API
//!   returns its scores, and `taonet-babelbit-core` computes weights from them.
//!   [`BabelbitSettings`] selects the contest ([`CurrentChallenge`]), the scoring rules and the
//!   arena's share of the weights;
//! - [`PayloadPolicy`] decides which texts the signer signs: by default, only texts of Babelbit's
//!   protocols that name the signer's hotkey.
//!
//! `bb validate` creates a [`Babelbit`] from the two clients and passes it to a
//! [`taonet_validator::Validator`]. `bb signer` passes a policy to a
//! [`taonet_validator::signer::Signer`]:
//!
//! ```
//! use taonet_babelbit_validator::{PayloadKind, PayloadPolicy};
//! use taonet_primitives::Hotkey;
//!
//! let (me, miner) = (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]));
//! let policy = PayloadPolicy::new(me);
//! let request = format!("1700000000000000000.{me}.{miner}.67e55044-10b1-426f-9247-bb680e5fe0c8.");
//! assert_eq!(policy.kind_of(&request), Ok(PayloadKind::MinerRequest));
//! assert!(policy.kind_of("any other text").is_err());
//! ```
//!
//! A challenge without scores is not an error: the validator's policy then decides on fallback
//! weights. An unreachable engine is an error ([`MissingScores`]), and so is an unreachable scoring
//! API for a contest with a share of the weights; once the epoch is nearly over, the available
//! scores decide. A score counts only for a hotkey that is registered on the subnet. The crate
//! keeps no state, plays no challenges and computes no scores of replies.
//!
//! Uses `taonet-validator` (epoch loop, signer, gateway), `taonet-babelbit-engine` and
//! `taonet-babelbit-scoring-api` (their clients), `taonet-babelbit-core`, `taonet-wire`,
//! `taonet-http` and `taonet-primitives`. Used by `bb validate` and `bb signer`.

mod error;
mod payload;
mod rows;
mod score_metrics;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

use taonet_babelbit_core::Rules;
use taonet_babelbit_core::contest_scores::ContestScores;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_engine::client::EngineClient;
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_primitives::{Uid, Weights};
use taonet_validator::{Neurons, RoundScores, Subnet};

pub use error::MissingScores;
pub use payload::{PayloadKind, PayloadPolicy, PayloadProblem};

/// The contest whose current challenge determines the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CurrentChallenge {
    /// Interpretation of speech: the engine's `POST /source-audio/start`.
    #[default]
    Speech,
    /// Prediction of text: the engine's `GET /start`.
    Text,
}

/// Settings for computing weights.
#[derive(Debug, Clone)]
pub struct BabelbitSettings {
    /// The contest whose current challenge determines the weights.
    pub current: CurrentChallenge,
    /// The arena's share of the weights.
    pub arena_share: ArenaShare,
    /// Scoring rules.
    pub rules: Rules,
    /// Cache directory, whose number of files is reported as a metric.
    pub cache_dir: PathBuf,
}

/// Babelbit's implementation of a validator's subnet.
#[derive(Debug)]
pub struct Babelbit {
    engine: EngineClient,
    scores: ScoresClient,
    settings: BabelbitSettings,
    /// Uids whose scores are in the metrics.
    reported_uids: BTreeSet<Uid>,
}

impl Babelbit {
    /// Creates the subnet: `engine` names the current challenge, and `scores` fetches its scores.
    pub const fn new(
        engine: EngineClient,
        scores: ScoresClient,
        settings: BabelbitSettings,
    ) -> Self {
        Self { engine, scores, settings, reported_uids: BTreeSet::new() }
    }
}

impl Subnet for Babelbit {
    type Scores = ContestScores;
    type Error = MissingScores;

    async fn scores(
        &self,
        neurons: &Neurons,
        is_late: bool,
    ) -> Result<RoundScores<ContestScores>, MissingScores> {
        let uid_of = |hotkey: &str| neurons.uid_of(&hotkey.parse().ok()?);
        let mut rows = self.fetch_rows().await;
        rows.check_missing(is_late)?;
        let mut scores = rows.scores(uid_of);
        if scores.is_empty() {
            self.fetch_combined_rows(&mut rows).await;
            rows.check_missing(is_late)?;
            scores = rows.scores(uid_of);
        }
        Ok(RoundScores { round: rows.challenge_uid, scores })
    }

    fn weights(&self, scores: &ContestScores, burn_uid: Option<Uid>) -> Option<Weights> {
        scores.weights(self.settings.arena_share, burn_uid, self.settings.rules)
    }

    fn unearned_reason(&self) -> &'static str {
        if self.settings.arena_share.get() < 1.0 {
            "no score is above 0, and BB_DEFAULT_FALLBACK_UID is not registered on the subnet"
        } else {
            "the arena has the full share (BB_ARENA_INCENTIVE_PERCENT) but no scores, and BB_DEFAULT_FALLBACK_UID is \
             not registered on the subnet"
        }
    }

    fn measure(&mut self, scores: &ContestScores) {
        self.record_score_metrics(scores);
    }
}

/// Registers the help texts of this crate's metrics. Call it after the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_gauge!("scores_by_uid", "Weighted sum of the main and arena scores, by uid");
    metrics::describe_gauge!(
        "current_winner_uid",
        "Uid of the winner of the main contest, or else of the arena; NaN without a winner"
    );
    metrics::describe_gauge!("cache_files", "Number of .jsonl files in the cache directory");
}
