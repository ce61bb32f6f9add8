//! One round: selection of miners, play, and report.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use taonet_babelbit_core::records::ChallengeType;

use super::Rounds;
use super::chain_view::{ChainView, ChainViewError};
use super::measure::Counting;
use super::metagraph::announced;
use super::schedule::{Due, Retry};
use super::{ArenaUnavailable, auth_pause};
use crate::events::RunObserver;
use crate::miners::{AddressPolicy, MinerEntry};
use crate::{Miner, RunError, RunOutcome, RunReport, Runner, RunnerSettings};
use taonet_babelbit_core::records::MinerKey;

/// Pause before the metagraph is fetched again.
const CHAIN_PAUSE: Duration = Duration::from_secs(30);

/// Why a round was not completed. Results so far are in the ledger, and the next attempt resumes from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoundError {
    /// The metagraph is unavailable.
    #[error("cannot get the subnet's miners: {0}")]
    Chain(#[from] ChainViewError),
    /// The arena's list of miners is unavailable.
    #[error(transparent)]
    Arena(#[from] ArenaUnavailable),
    /// There are no miners to play.
    #[error("no miners to play")]
    NoMiners,
    /// The engine has no challenge.
    #[error("the engine has no challenge")]
    NoChallenge,
    /// The engine delivered only a part of the challenge. That part is played, scored and written.
    #[error("the engine returned challenge {challenge_uid} incompletely: {error}")]
    Partial {
        /// ID of the challenge.
        challenge_uid: String,
        /// Why the delivery is incomplete.
        error: String,
    },
    /// Engine, ledger or files failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl RoundError {
    /// Name of the error in metrics and reports.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Chain(_) => "no_chain",
            Self::Arena(_) => "no_arena",
            Self::NoMiners => "no_miners",
            Self::NoChallenge => "no_challenge",
            Self::Partial { .. } => "partial",
            Self::Run(RunError::Engine(error)) if error.is_auth() => "unauthorized",
            Self::Run(RunError::Engine(_)) => "no_engine",
            Self::Run(_) => "failed",
        }
    }

    /// ID of the challenge, if there was one.
    pub fn challenge_uid(&self) -> Option<&str> {
        match self {
            Self::Partial { challenge_uid, .. } => Some(challenge_uid),
            _ => None,
        }
    }

    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Chain(_) => Retry::After(CHAIN_PAUSE),
            Self::Run(RunError::Engine(error)) if error.is_auth() => Retry::After(auth_pause(error)),
            _ => Retry::Counted,
        }
    }
}

/// Report of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundReport {
    /// The contest.
    pub contest: ChallengeType,
    /// The epoch; of a solo round, its main round's. `None` if the chain was unreadable.
    pub epoch: Option<u32>,
    /// Number of the attempt in this epoch, from 1.
    pub attempt: u32,
    /// `played`, `already_done`, or the value of [`RoundError::outcome`].
    pub outcome: &'static str,
    /// ID of the challenge, if there was one.
    pub challenge_uid: Option<String>,
    /// Main challenge of a solo round.
    pub main_challenge_uid: Option<String>,
    /// Number of miners with a score.
    pub miners: usize,
    /// Why the round was not completed.
    pub error: Option<String>,
    /// Whether the round is retried in this epoch.
    pub is_tried_again: bool,
    /// Duration of the round in seconds.
    pub wall_sec: f64,
}

/// Miners announced in a subnet's metagraph at addresses permitted by `policy`, sorted by uid.
///
/// # Errors
/// [`ChainViewError`].
pub async fn registered_miners(chain: &ChainView, policy: &AddressPolicy) -> Result<Vec<MinerEntry>, ChainViewError> {
    let snapshot = chain.metagraph().await?;
    let found = announced(&snapshot, policy);
    let (miners, neurons) = (found.miners.len(), snapshot.hotkeys.len());
    if found.refused > 0 || found.malformed > 0 {
        tracing::warn!(
            neurons,
            miners,
            not_public = found.refused,
            malformed = found.malformed,
            "miners skipped: their addresses are not allowed"
        );
    } else {
        tracing::info!(neurons, miners, "metagraph read");
    }
    Ok(found.miners)
}

impl Rounds {
    /// Plays a round: first the engine's current challenge, then unfinished earlier ones.
    pub(super) async fn play(&self, due: &Due) -> Result<RunReport, RoundError> {
        let miners = self.miners(due.contest).await?;
        if miners.is_empty() {
            return Err(RoundError::NoMiners);
        }
        let runner = self.runner_of(due);
        let counting = Counting { contest: due.contest, further: Arc::clone(&self.parts.observer) };
        let observer: Arc<dyn RunObserver> = Arc::new(counting);
        let report = runner.run_once(&self.parts.engine, &miners, observer).await?;
        match report.outcome {
            RunOutcome::Finished | RunOutcome::AlreadyDone => Ok(report),
            RunOutcome::NoChallenge => Err(RoundError::NoChallenge),
            RunOutcome::Partial => Err(RoundError::Partial {
                challenge_uid: report.challenge_uid,
                error: report.error.unwrap_or_default(),
            }),
        }
    }

    /// The runner with this round's settings.
    fn runner_of(&self, due: &Due) -> Runner {
        let usual = self.parts.runner.settings();
        let is_arena = due.contest == ChallengeType::Arena;
        self.parts.runner.with_settings(RunnerSettings {
            challenge_type: due.contest,
            main_challenge_uid: due.main_challenge_uid.clone(),
            // The arena's gateway limits its miners.
            max_miners: if is_arena { usize::MAX } else { usual.max_miners },
            play: if is_arena { self.settings.arena_play.clone() } else { usual.play.clone() },
            ..usual.clone()
        })
    }

    /// Eligible miners, in the order of selection when there are too many.
    async fn miners(&self, contest: ChallengeType) -> Result<Vec<Miner>, RoundError> {
        let mut entries = self.parts.miners.registered(&self.parts.chain).await?;
        if contest == ChallengeType::Arena {
            return match &self.parts.arena {
                Some(arena) => Ok(arena.miners(&entries).await?),
                None => Ok(Vec::new()),
            };
        }
        (self.parts.shuffle)(&mut entries);
        let connect = |entry: &MinerEntry| {
            let connection = (self.parts.connect)(entry)
                .inspect_err(|error| {
                    tracing::warn!(
                        miner = %entry.uid, %error,
                        "cannot set up the client of a miner"
                    );
                })
                .ok()?;
            let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
            Some(Miner { key, name: entry.name.clone(), connection })
        };
        Ok(entries.iter().filter_map(connect).collect())
    }
}
