//! One round: selection of miners, play, and report.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_engine::client::EngineClient;
use taonet_neuron::{AddressPolicy, MinerDirectory, MinerEntry, Neurons, SelectedMiners};

use super::chain_view::{ChainView, ChainViewError};
use super::measure::CountingObserver;
use super::schedule::{DueRound, Retry};
use super::{
    ArenaUnavailable, ConnectMiner, ListArenaMiners, MinerSource, PlayedRound, RoundPlayer,
    Shuffle, auth_pause,
};
use crate::events::RunObserver;
use crate::{Miner, PlaySettings, RunError, RunOutcome, RunReport, Runner, RunnerSettings};
use taonet_babelbit_core::records::MinerKey;

/// Pause before the next attempt to fetch the metagraph.
const METAGRAPH_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Why a round was not completed. The ledger retains the results so far, and the next attempt
/// resumes from them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoundError {
    /// The metagraph is unavailable.
    #[error("cannot get the subnet's miners: {0}")]
    Chain(#[from] ChainViewError),
    /// The arena's list of miners is unavailable.
    #[error(transparent)]
    Arena(#[from] ArenaUnavailable),
    /// The round has no eligible miners.
    #[error("the round has no eligible miners")]
    NoMiners,
    /// The engine has no challenge.
    #[error("the engine has no challenge")]
    NoChallenge,
    /// The engine delivered only part of the challenge, which the runner played, scored and wrote.
    #[error("the engine returned only part of challenge {challenge_uid}: {error}")]
    Partial {
        /// ID of the challenge.
        challenge_uid: String,
        /// Why the delivery is incomplete.
        error: String,
    },
    /// No miner has a score.
    #[error(
        "no miner of the round has a score; hint: the log lists the failed calls at level debug"
    )]
    NoScore {
        /// ID of the challenge.
        challenge_uid: String,
    },
    /// The engine, the ledger or a file operation failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A step of another contest failed.
    #[error(transparent)]
    Contest(Box<dyn std::error::Error + Send + Sync>),
}

impl RoundError {
    /// Returns the name of the error in metrics and reports.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Chain(_) => "no_chain",
            Self::Arena(_) => "no_arena",
            Self::NoMiners => "no_miners",
            Self::NoChallenge => "no_challenge",
            Self::Partial { .. } => "partial",
            Self::NoScore { .. } => "no_score",
            Self::Run(RunError::Engine(error)) if error.is_auth() => "unauthorized",
            Self::Run(RunError::Engine(_)) => "no_engine",
            Self::Run(_) | Self::Contest(_) => "failed",
        }
    }

    /// Returns the ID of the challenge, if there was one.
    pub fn challenge_uid(&self) -> Option<&str> {
        match self {
            Self::Partial { challenge_uid, .. } | Self::NoScore { challenge_uid } => {
                Some(challenge_uid)
            }
            _ => None,
        }
    }

    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Chain(_) => Retry::After(METAGRAPH_RETRY_DELAY),
            Self::Run(RunError::Engine(error)) if error.is_auth() => {
                Retry::After(auth_pause(error))
            }
            _ => Retry::Counted,
        }
    }
}

/// Report of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundReport {
    /// Contest of the round.
    pub contest: ChallengeType,
    /// Epoch of the round, or of the main round of a solo round; `None` if the chain was
    /// unreadable.
    pub epoch: Option<u32>,
    /// Number of the attempt in this epoch, from 1.
    pub attempt: u32,
    /// Outcome of the round: `played`, `already_done`, or the value of [`RoundError::outcome`].
    pub outcome: &'static str,
    /// ID of the challenge, if there was one.
    pub challenge_uid: Option<String>,
    /// ID of the main challenge that a solo round accompanies.
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

/// Returns the miners announced in a subnet's metagraph at addresses permitted by `policy`, sorted
/// by uid.
///
/// # Errors
/// [`ChainViewError`] when the metagraph cannot be fetched.
pub async fn registered_miners(
    chain: &ChainView,
    policy: &AddressPolicy,
) -> Result<Vec<MinerEntry>, ChainViewError> {
    Ok(announced_miners(&chain.neurons().await?, policy))
}

/// Returns the miners announced in a metagraph at addresses permitted by `policy`, sorted by uid.
pub fn announced_miners(neurons: &Neurons, policy: &AddressPolicy) -> Vec<MinerEntry> {
    let SelectedMiners { miners, forbidden } = MinerDirectory::new(policy.clone()).select(neurons);
    if forbidden > 0 || neurons.malformed > 0 {
        tracing::warn!(
            neurons = neurons.registered,
            miners = miners.len(),
            not_public = forbidden,
            malformed = neurons.malformed,
            "miners skipped: addresses not allowed"
        );
    } else {
        tracing::info!(neurons = neurons.registered, miners = miners.len(), "metagraph read");
    }
    miners
}

/// Player of the speech contest's rounds.
pub struct SpeechRounds {
    /// Runner that plays the challenges. Its settings have the maximum number of miners in a main
    /// or solo round.
    pub runner: Runner,
    /// Client of the engine, which serves the challenges.
    pub engine: EngineClient,
    /// Source of neurons.
    pub chain: Arc<ChainView>,
    /// Source of the miners for main and solo rounds.
    pub miners: MinerSource,
    /// Function that creates connections to miners.
    pub connect: ConnectMiner,
    /// Function that lists the arena's miners; `None` without arena rounds.
    pub arena: Option<ListArenaMiners>,
    /// Function that orders the miners; a round selects the first ones, up to its maximum.
    pub shuffle: Shuffle,
    /// Observer of a round's events.
    pub observer: Arc<dyn RunObserver>,
    /// Play settings of arena rounds; other rounds use the runner's settings.
    pub arena_play: PlaySettings,
}

impl RoundPlayer for SpeechRounds {
    fn play<'a>(&'a self, round: &'a DueRound) -> BoxFuture<'a, Result<PlayedRound, RoundError>> {
        async move {
            let report = self.run(round).await?;
            let was_already_played = report.outcome == RunOutcome::AlreadyDone;
            Ok(PlayedRound {
                challenge_uid: report.challenge_uid,
                miners: report.miners.len(),
                was_already_played,
            })
        }
        .boxed()
    }
}

impl SpeechRounds {
    /// Plays a round: first the engine's current challenge, then unfinished earlier ones.
    async fn run(&self, round: &DueRound) -> Result<RunReport, RoundError> {
        let miners = self.eligible_miners(round.contest).await?;
        if miners.is_empty() {
            return Err(RoundError::NoMiners);
        }
        let runner = self.runner_for(round);
        let counting =
            CountingObserver { contest: round.contest, inner: Arc::clone(&self.observer) };
        let observer: Arc<dyn RunObserver> = Arc::new(counting);
        let report = runner.run_once(&self.engine, &miners, observer).await?;
        match report.outcome {
            RunOutcome::Finished | RunOutcome::AlreadyDone => Ok(report),
            RunOutcome::NoChallenge => Err(RoundError::NoChallenge),
            RunOutcome::Partial => Err(RoundError::Partial {
                challenge_uid: report.challenge_uid,
                error: report.error.unwrap_or_default(),
            }),
        }
    }

    /// Returns the runner with the settings of this round.
    fn runner_for(&self, round: &DueRound) -> Runner {
        let defaults = self.runner.settings();
        let is_arena = round.contest == ChallengeType::Arena;
        self.runner.with_settings(RunnerSettings {
            challenge_type: round.contest,
            main_challenge_uid: round.main_challenge_uid.clone(),
            // The arena gateway limits the number of arena miners.
            max_miners: if is_arena { usize::MAX } else { defaults.max_miners },
            play: if is_arena { self.arena_play.clone() } else { defaults.play.clone() },
            ..defaults.clone()
        })
    }

    /// Returns the eligible miners, in order of preference.
    async fn eligible_miners(&self, contest: ChallengeType) -> Result<Vec<Miner>, RoundError> {
        let mut entries = self.miners.registered(&self.chain).await?;
        if contest == ChallengeType::Arena {
            return match &self.arena {
                Some(list_miners) => Ok(list_miners(entries).await?),
                None => Ok(Vec::new()),
            };
        }
        (self.shuffle)(&mut entries);
        let connect = |entry: &MinerEntry| {
            let connection = (self.connect)(entry)
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
