//! One round: who plays, what is played, and what came of it.

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

/// The pause before the chain is asked again for miners.
const CHAIN_PAUSE: Duration = Duration::from_secs(30);

/// Why a round was not played to its end. What was played is in the ledger, and the next attempt goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoundError {
    /// Nobody knows who the miners are.
    #[error("the subnet's miners are not known: {0}")]
    Chain(#[from] ChainViewError),
    /// The arena does not say who its miners are.
    #[error(transparent)]
    Arena(#[from] ArenaUnavailable),
    /// There is nobody to play.
    #[error("there are no miners to play")]
    NoMiners,
    /// The engine has no challenge.
    #[error("the engine has no challenge")]
    NoChallenge,
    /// The engine gave a part of the challenge only. That part is played, scored and written.
    #[error("the engine gave a part of challenge {challenge_uid} only: {error}")]
    Partial {
        /// The challenge.
        challenge_uid: String,
        /// Why there is no more.
        error: String,
    },
    /// Engine, ledger or files failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl RoundError {
    /// How metrics and reports call it.
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

    /// The challenge, where there was one.
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

/// What came of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundReport {
    /// The contest.
    pub contest: ChallengeType,
    /// The epoch of blocks; of a solo round, its main round's. Nothing where the chain could not be read.
    pub epoch: Option<u32>,
    /// Counts the attempts in this epoch, from 1.
    pub attempt: u32,
    /// `played`, `already_done`, or what [`RoundError::outcome`] gives.
    pub outcome: &'static str,
    /// The challenge, where there was one.
    pub challenge_uid: Option<String>,
    /// Of a solo round, the main challenge that it goes with.
    pub main_challenge_uid: Option<String>,
    /// Miners with a score.
    pub miners: usize,
    /// Why it was not played to its end.
    pub error: Option<String>,
    /// Whether it is tried again in this epoch.
    pub is_tried_again: bool,
    /// How long it took.
    pub wall_sec: f64,
}

/// The miners that a subnet's metagraph announces at addresses that `policy` permits, by uid.
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
            "miners are left out for their addresses"
        );
    } else {
        tracing::info!(neurons, miners, "the metagraph is read");
    }
    Ok(found.miners)
}

impl Rounds {
    /// Plays a round: first the engine's current challenge, then what earlier ones left unfinished.
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

    /// The runner as this round needs it.
    fn runner_of(&self, due: &Due) -> Runner {
        let usual = self.parts.runner.settings();
        let is_arena = due.contest == ChallengeType::Arena;
        self.parts.runner.with_settings(RunnerSettings {
            challenge_type: due.contest,
            main_challenge_uid: due.main_challenge_uid.clone(),
            // The arena's gateway says who is in the arena.
            max_miners: if is_arena { usize::MAX } else { usual.max_miners },
            play: if is_arena { self.settings.arena_play.clone() } else { usual.play.clone() },
            ..usual.clone()
        })
    }

    /// Who may take part, in the order in which miners are taken where there are too many.
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
                .inspect_err(|error| tracing::warn!(miner = %entry.uid, %error, "a miner cannot be called"))
                .ok()?;
            let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
            Some(Miner { key, name: entry.name.clone(), connection })
        };
        Ok(entries.iter().filter_map(connect).collect())
    }
}
