//! Rounds of the text contest in the loop of `bb runner`.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use metrics::{counter, describe_counter};
use rand::seq::SliceRandom as _;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_engine::client::{ChallengeKind, EngineClient};
use taonet_babelbit_runner::{
    ChainView, DueRound, MinerEntry, MinerSource, PlayedRound, RoundError, RoundPlayer, RunError,
};
use taonet_wire::PeerError;

use super::{
    PlayError, PlayOptions, TextConnection, TextMiner, TextOutcome, TextRunError, TextRunner,
};

const WORDS: &str = "taonet_runner_words_total";
const FAILED: &str = "taonet_runner_failed_predictions_total";

/// Source of a round's miners.
pub trait TextMiners: Send + Sync {
    /// Lists the miners of a round.
    fn miners(&self) -> BoxFuture<'_, Result<Vec<TextMiner>, RoundError>>;
}

/// Function that creates a connection to a miner's axon.
pub type ConnectTextMiner =
    Arc<dyn Fn(&MinerEntry) -> Result<Arc<dyn TextConnection>, PeerError> + Send + Sync>;

/// Miners that serve an axon: those of a list, or those that the metagraph announces.
pub struct AxonMiners {
    /// Source of the miners' addresses.
    pub source: MinerSource,
    /// Source of the metagraph.
    pub chain: Arc<ChainView>,
    /// Function that creates connections to miners.
    pub connect: ConnectTextMiner,
    /// Selection of the miners if there are too many.
    pub selection: MinerSelection,
}

/// Function that orders miners.
pub type ShuffleMiners = Arc<dyn Fn(&mut [TextMiner]) + Send + Sync>;

/// Selection of a round's miners.
#[derive(Clone)]
pub struct MinerSelection {
    /// Maximum number of miners in a round.
    pub max_miners: usize,
    /// Function that orders the miners, if there are more; a round selects the first ones.
    pub shuffle: ShuffleMiners,
}

impl MinerSelection {
    /// Creates a random selection.
    pub fn random(max_miners: usize) -> Self {
        Self { max_miners, shuffle: Arc::new(|miners| miners.shuffle(&mut rand::rng())) }
    }

    /// Selects among the miners.
    pub(super) fn select(&self, mut miners: Vec<TextMiner>) -> Vec<TextMiner> {
        if miners.len() > self.max_miners {
            (self.shuffle)(&mut miners);
            miners.truncate(self.max_miners);
        }
        miners
    }
}

impl AxonMiners {
    /// Opens a connection to a miner; logs an error.
    pub(super) fn connect_axon(
        connect: &ConnectTextMiner,
        entry: &MinerEntry,
    ) -> Option<TextMiner> {
        let connection = connect(entry)
            .inspect_err(|error| tracing::warn!(miner = %entry.uid, %error, "cannot set up the client of a miner"))
            .ok()?;
        let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
        Some(TextMiner { key, name: entry.name.clone(), connection })
    }
}

impl TextMiners for AxonMiners {
    fn miners(&self) -> BoxFuture<'_, Result<Vec<TextMiner>, RoundError>> {
        async {
            let entries = self.source.registered(&self.chain).await?;
            let miners =
                entries.iter().filter_map(|entry| Self::connect_axon(&self.connect, entry));
            Ok(self.selection.select(miners.collect()))
        }
        .boxed()
    }
}

/// Player of the text contest's rounds: main rounds, the solo rounds that accompany them, and arena
/// rounds.
pub struct TextRounds {
    /// Runner of the main rounds. Solo rounds use it with the engine's solo challenge, arena rounds
    /// with the main one.
    pub runner: TextRunner,
    /// Client of the engine.
    pub engine: EngineClient,
    /// Source of the miners for main and solo rounds.
    pub miners: Arc<dyn TextMiners>,
    /// Settings of arena rounds; without them, an arena round has no miners.
    pub arena: Option<TextArenaRounds>,
}

/// Settings of the text contest's arena rounds.
#[derive(Clone)]
pub struct TextArenaRounds {
    /// Source of the miners; see [`TextArena`](super::TextArena).
    pub miners: Arc<dyn TextMiners>,
    /// Timeout of each prediction after a miner's first one.
    pub step_timeout: Duration,
}

impl TextRounds {
    /// Registers the help texts of the contest's metrics. Call it after the metrics recorder is
    /// installed.
    pub fn describe_metrics() {
        describe_counter!(WORDS, "Words revealed to miners in the text contest, by contest");
        describe_counter!(FAILED, "Failed predictions of miners in the text contest, by contest");
    }

    /// Returns the runner with the settings of this round.
    fn runner_of(&self, round: &DueRound) -> TextRunner {
        let stream = if round.contest == ChallengeType::Solo {
            ChallengeKind::Solo
        } else {
            ChallengeKind::Main
        };
        let defaults = PlayOptions { stream, ..self.runner.options };
        let options = match &self.arena {
            Some(TextArenaRounds { step_timeout, .. }) if round.contest == ChallengeType::Arena => {
                PlayOptions {
                    step_timeout: *step_timeout,
                    continues_without_miners: true,
                    ..defaults
                }
            }
            _ => defaults,
        };
        TextRunner {
            challenge_type: round.contest,
            main_challenge_uid: round.main_challenge_uid.clone(),
            options,
            ..self.runner.clone()
        }
    }

    /// Returns the miners of a round.
    async fn miners(&self, contest: ChallengeType) -> Result<Vec<TextMiner>, RoundError> {
        match &self.arena {
            _ if contest != ChallengeType::Arena => self.miners.miners().await,
            Some(arena) => arena.miners.miners().await,
            None => Ok(Vec::new()),
        }
    }

    async fn run(&self, round: &DueRound) -> Result<PlayedRound, RoundError> {
        let contest = round.contest.as_str();
        let miners = self.miners(round.contest).await?;
        if miners.is_empty() {
            return Err(RoundError::NoMiners);
        }
        self.engine.authenticate_with_retry().await.map_err(RunError::Engine)?;
        let words = counter!(WORDS, "contest" => contest);
        let played = self
            .runner_of(round)
            .run_once(&self.engine, &miners, |_token| words.increment(1))
            .await;
        let report = played.map_err(round_error)?;
        let challenge_uid = report.challenge_uid.unwrap_or_else(|| "unknown".to_owned());
        let failed: u64 = report.miners.iter().map(|miner| u64::from(miner.errors)).sum();
        counter!(FAILED, "contest" => contest).increment(failed);
        let scored = report.miners.iter().filter(|miner| miner.score.is_some()).count();
        match report.outcome {
            TextOutcome::NoChallenge => Err(RoundError::NoChallenge),
            TextOutcome::AlreadyDone => {
                Ok(PlayedRound { challenge_uid, miners: 0, was_already_played: true })
            }
            _ if scored == 0 => Err(RoundError::NoScore { challenge_uid }),
            _ => Ok(PlayedRound { challenge_uid, miners: scored, was_already_played: false }),
        }
    }
}

impl RoundPlayer for TextRounds {
    fn play<'a>(&'a self, round: &'a DueRound) -> BoxFuture<'a, Result<PlayedRound, RoundError>> {
        self.run(round).boxed()
    }
}

fn round_error(error: TextRunError) -> RoundError {
    match error {
        TextRunError::Play(PlayError::Engine(error)) => RunError::Engine(error).into(),
        TextRunError::Ledger(error) => RunError::Ledger(error).into(),
        other => RoundError::Contest(Box::new(other)),
    }
}

#[cfg(test)]
mod tests;
