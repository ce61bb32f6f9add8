//! Babelbit's part of the validator: the scores of the current challenge, and the weights derived from them.
//!
//! - [`Babelbit`] implements [`Subnet`]: the engine names the current challenge, the scoring
//!   API has its scores, `taonet-babelbit-core` computes weights from them;
//! - [`PayloadPolicy`] decides which texts the signer signs: those of Babelbit's own protocols in its own name.
//!
//! The epoch loop, the signer and the subtensor gateway are `taonet-validator`. The command line combines the parts
//! (`bb validate`, `bb signer`).
//!
//! Uses `taonet-validator` (epoch loop, signer, gateway), the clients of engine and scoring API, and
//! `taonet-babelbit-core`. Used by `bb validate` and `bb signer`.

mod error;
mod figures;
mod payload;
mod rows;
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

/// The contest whose current challenge counts.
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
    /// The contest whose current challenge counts.
    pub current: CurrentChallenge,
    /// The arena's share of the weights.
    pub arena_share: ArenaShare,
    /// Scoring rules.
    pub rules: Rules,
    /// Cache directory; its number of files is a metric.
    pub cache_dir: PathBuf,
}

/// Babelbit's implementation of a validator's subnet.
#[derive(Debug)]
pub struct Babelbit {
    engine: EngineClient,
    scores: ScoresClient,
    settings: BabelbitSettings,
    /// Uids whose scores are in the metrics.
    shown: BTreeSet<Uid>,
}

impl Babelbit {
    /// Creates the subnet: `engine` names the current challenge, `scores` has its scores.
    pub const fn new(engine: EngineClient, scores: ScoresClient, settings: BabelbitSettings) -> Self {
        Self { engine, scores, settings, shown: BTreeSet::new() }
    }
}

impl Subnet for Babelbit {
    type Scores = ContestScores;
    type Error = MissingScores;

    async fn scores(&self, neurons: &Neurons<'_>, is_late: bool) -> Result<RoundScores<ContestScores>, MissingScores> {
        let uid_of = |hotkey: &str| neurons.uid_of(hotkey);
        let mut rows = self.rows().await;
        rows.check(is_late)?;
        let mut scores = rows.scores(uid_of);
        if scores.is_empty() {
            self.older_rows(&mut rows).await;
            rows.check(is_late)?;
            scores = rows.scores(uid_of);
        }
        Ok(RoundScores { round: rows.challenge_uid, scores })
    }

    fn weights(&self, scores: &ContestScores, burn_uid: Option<Uid>) -> Option<Weights> {
        scores.weights(self.settings.arena_share, burn_uid, self.settings.rules)
    }

    fn why_unearned(&self) -> &'static str {
        if self.settings.arena_share.get() < 1.0 {
            "no score is above 0, and BB_DEFAULT_FALLBACK_UID is not registered on the subnet"
        } else {
            "the arena has the full share (BB_ARENA_INCENTIVE_PERCENT) but no scores, and BB_DEFAULT_FALLBACK_UID is \
             not registered on the subnet"
        }
    }

    fn measure(&mut self, scores: &ContestScores) {
        self.show(scores);
    }
}

/// Registers the help texts of this crate's metrics. Call it after the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_gauge!("scores_by_uid", "Main and arena scores, weighted by their shares");
    metrics::describe_gauge!(
        "current_winner_uid",
        "Uid of the winner of the main contest, otherwise of the arena; NaN without one"
    );
    metrics::describe_gauge!("cache_files", "Number of cache files");
}
