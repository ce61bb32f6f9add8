//! The runner's loop: main, solo and arena rounds, triggered by blocks.
//!
//! ```text
//! gateway, else chain ── newest block ── Schedule: which round is due? ─┐
//!                     ── metagraph ── miners, shuffled ─────────────────┤
//! arena ── its miners ──────────────────────────────────────────────────┤
//! engine ── the current challenge ── Runner ◀───────────────────────────┘
//!                                      │ results, and completed epochs
//!                                    ledger
//! ```
//!
//! A round is due at the first observed block of a new epoch; the ledger records each contest's
//! last epoch, so that neither a restart nor an outage of the engine at the boundary of an epoch
//! loses a round. Due rounds are queued, and a solo round directly follows its main round: no arena
//! round is skipped because a main round takes hours, and no solo round because of a short tempo.
//! The loop retries a failed round within its epoch, with backoff, and never exits because of a
//! failure. After the current challenge, the loop resumes unfinished earlier challenges, each a
//! limited number of times. Without an engine token, the loop requests no challenge and contacts no
//! miner.
//!
//! The loop serves every contest: a [`RoundPlayer`], such as [`SpeechRounds`], plays the rounds.

mod chain_view;
mod measure;
mod round;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rand::seq::SliceRandom as _;
use taonet_primitives::with_causes;
use taonet_service::Shutdown;
use taonet_wire::PeerError;

use super::connection::MinerConnection;
use super::ledger::{Ledger, LedgerError, RoundRow};
use super::run::Miner;
use taonet_babelbit_engine::client::{EngineClient, EngineError};
use taonet_neuron::{AddressPolicy, MinerEntry};
use taonet_service::Clock;
use taonet_service::Sleeper;

pub use chain_view::{ChainView, ChainViewError, ConnectChain};
pub use round::{RoundError, RoundReport, SpeechRounds, announced_miners, registered_miners};
pub use schedule::{ArenaSchedule, DueRound, ScheduleSettings};

use schedule::{LastRounds, Schedule};
use taonet_babelbit_core::records::ChallengeType;

/// Timeout for waiting for a block.
const BLOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause after a gateway error.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(3);
/// Pause when the block height has not advanced after a wait.
const PAUSE_WITHOUT_NEW_BLOCK: Duration = Duration::from_secs(1);
/// Pause after the engine has rejected the hotkey.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_mins(5);
/// Pause after any other authentication failure.
const PAUSE_AFTER_AUTH_FAILURE: Duration = Duration::from_mins(1);

/// Function that lists the arena miners that are ready, restricted to those registered miners of
/// the metagraph that it gets. `M` is the kind of miner of the contest.
pub type ListArenaMiners<M = Miner> = Arc<
    dyn Fn(Vec<MinerEntry>) -> BoxFuture<'static, Result<Vec<M>, ArenaUnavailable>> + Send + Sync,
>;

/// The arena's list of miners is unavailable.
#[derive(Debug, thiserror::Error)]
#[error("cannot get the arena's miners: {0}")]
pub struct ArenaUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Source of the miners for main and solo rounds.
#[derive(Debug, Clone)]
pub enum MinerSource {
    /// A fixed list; the chain is not queried.
    Listed(Vec<MinerEntry>),
    /// The metagraph, restricted to permitted addresses.
    Metagraph(AddressPolicy),
}

impl MinerSource {
    /// Lists all registered miners.
    ///
    /// # Errors
    /// [`ChainViewError`] when the metagraph cannot be fetched.
    pub async fn registered(&self, chain: &ChainView) -> Result<Vec<MinerEntry>, ChainViewError> {
        match self {
            Self::Listed(miners) => Ok(miners.clone()),
            Self::Metagraph(policy) => registered_miners(chain, policy).await,
        }
    }
}

/// Function that creates a connection to a miner.
pub type ConnectMiner =
    Arc<dyn Fn(&MinerEntry) -> Result<Arc<dyn MinerConnection>, PeerError> + Send + Sync>;
/// Function that orders the miners; a round selects the first ones, up to its maximum.
pub type Shuffle = Arc<dyn Fn(&mut [MinerEntry]) + Send + Sync>;
/// Called after each round with its report.
pub type RoundObserver = Arc<dyn Fn(&RoundReport) + Send + Sync>;

/// Returns a [`Shuffle`] that produces a random order.
pub fn random_order() -> Shuffle {
    Arc::new(|miners| miners.shuffle(&mut rand::rng()))
}

/// Player of due rounds, one at a time. Dropping the future cancels a round.
pub trait RoundPlayer: Send + Sync {
    /// Plays a round to its end.
    fn play<'a>(&'a self, round: &'a DueRound) -> BoxFuture<'a, Result<PlayedRound, RoundError>>;
}

/// Result of a completed round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayedRound {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Number of miners with a score.
    pub miners: usize,
    /// Whether an earlier round had already scored the challenge.
    pub was_already_played: bool,
}

/// Dependencies of [`Rounds`].
pub struct RoundDependencies {
    /// Player of the rounds.
    pub player: Arc<dyn RoundPlayer>,
    /// Ledger of the completed epochs.
    pub ledger: Arc<Ledger>,
    /// Client of the engine, which must accept the hotkey before the first round.
    pub engine: EngineClient,
    /// Source of blocks.
    pub chain: Arc<ChainView>,
    /// Called after each round with its report.
    pub on_round: RoundObserver,
    /// Source of the current time.
    pub clock: Clock,
    /// Function that sleeps for a given duration.
    pub sleeper: Sleeper,
}

/// Loop of main, solo and arena rounds.
pub struct Rounds {
    dependencies: RoundDependencies,
    schedule: Schedule,
    last_block: Option<u32>,
    /// Whether the last request to the gateway succeeded.
    is_connected: bool,
}

impl Rounds {
    /// Creates a loop that resumes from the ledger; `dependencies.player` plays its rounds.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub async fn new(
        dependencies: RoundDependencies,
        settings: ScheduleSettings,
    ) -> Result<Self, LedgerError> {
        let ledger = &dependencies.ledger;
        let last_rounds = LastRounds {
            main: ledger.last_round(ChallengeType::Main).await?,
            solo: ledger.last_round(ChallengeType::Solo).await?,
            arena: ledger.last_round(ChallengeType::Arena).await?,
        };
        let schedule = Schedule::new(settings, &last_rounds, (dependencies.clock)());
        Ok(Self { dependencies, schedule, last_block: None, is_connected: true })
    }

    /// Registers the help texts of the loop's metrics. Call it after the metrics recorder is
    /// installed.
    pub fn describe_metrics() {
        measure::describe();
    }

    /// Plays rounds until shutdown, which cancels a round in progress immediately. The ledger
    /// retains its results, and the next start resumes the round.
    pub async fn run(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.play_rounds() => {}
        }
    }

    async fn play_rounds(&mut self) {
        self.authenticate().await;
        loop {
            self.step().await;
        }
    }

    /// Retries authentication until it succeeds.
    async fn authenticate(&self) {
        while let Err(error) = self.dependencies.engine.authenticate_with_retry().await {
            let pause = auth_pause(&error);
            tracing::warn!(%error, pause_s = pause.as_secs(), "no engine token: rounds paused, retrying");
            (self.dependencies.sleeper)(pause).await;
        }
    }

    /// Reads the newest block; plays the next due round, or waits for the next block.
    async fn step(&mut self) {
        let block_result = self.dependencies.chain.block().await;
        match &block_result {
            Ok(block) => {
                measure::record_block(*block);
                for row in self.schedule.observe(*block, self.now()) {
                    tracing::info!(contest = %row.challenge_type, block, epoch = row.epoch, "waiting for the next epoch");
                    self.record_round(&row).await;
                }
            }
            Err(_) => self.schedule.observe_outage(self.now()),
        }
        let now = self.now();
        match (self.schedule.next(now), block_result) {
            (Some(round), _) => self.play_round(&round).await,
            (None, Ok(block)) => self.wait_for_block(block).await,
            (None, Err(error)) => self.log_outage(&error).await,
        }
    }

    async fn play_round(&mut self, round: &DueRound) {
        let DueRound { contest, epoch, attempt, .. } = round;
        tracing::info!(%contest, epoch, attempt, "round started");
        let start = Instant::now();
        let result = self.dependencies.player.play(round).await;
        let (now, elapsed) = (self.now(), start.elapsed());
        let mut report = RoundReport {
            contest: round.contest,
            epoch: round.epoch,
            attempt: round.attempt,
            outcome: "played",
            challenge_uid: None,
            main_challenge_uid: round.main_challenge_uid.clone(),
            miners: 0,
            error: None,
            is_tried_again: false,
            wall_sec: elapsed.as_secs_f64(),
        };
        let row = match result {
            Ok(PlayedRound { challenge_uid, miners, was_already_played }) => {
                if was_already_played {
                    report.outcome = "already_done";
                }
                tracing::info!(
                    %contest, epoch, challenge_uid, miners, outcome = report.outcome,
                    "round finished"
                );
                measure::record_played_round(round.contest, elapsed, miners);
                let row = self.schedule.record_played(round, &challenge_uid, now);
                (report.challenge_uid, report.miners) = (Some(challenge_uid), miners);
                Some(row)
            }
            Err(error) => {
                let row =
                    self.schedule.record_failed(round, error.challenge_uid(), error.retry(), now);
                report.outcome = error.outcome();
                report.challenge_uid = error.challenge_uid().map(str::to_owned);
                report.is_tried_again = row.is_none();
                let error = with_causes(&error);
                if row.is_none() {
                    tracing::warn!(%contest, epoch, attempt, error, "round failed, retrying");
                } else {
                    tracing::error!(
                        %contest, epoch, attempt, error,
                        "round failed permanently, waiting for the next epoch"
                    );
                }
                report.error = Some(error);
                row
            }
        };
        measure::count_round(round.contest, report.outcome);
        if let Some(row) = row {
            self.record_round(&row).await;
        }
        (self.dependencies.on_round)(&report);
    }

    /// Waits for a block after `block`, or until a retry is due.
    async fn wait_for_block(&mut self, block: u32) {
        if self.last_block.replace(block) == Some(block) {
            (self.dependencies.sleeper)(PAUSE_WITHOUT_NEW_BLOCK).await;
        }
        let max_wait = self.schedule.remaining_backoff(self.now()).unwrap_or(BLOCK_TIMEOUT);
        match self
            .dependencies
            .chain
            .wait_for_block(max_wait.clamp(PAUSE_WITHOUT_NEW_BLOCK, BLOCK_TIMEOUT))
            .await
        {
            Ok(is_new) => {
                if !std::mem::replace(&mut self.is_connected, true) {
                    tracing::info!("connection to the gateway restored");
                }
                if !is_new && max_wait >= BLOCK_TIMEOUT {
                    tracing::warn!(block, "no new block within {} s", BLOCK_TIMEOUT.as_secs());
                }
            }
            Err(error) => self.log_outage(&error).await,
        }
    }

    /// Logs once per outage that the gateway is unreachable.
    async fn log_outage(&mut self, error: &(impl std::fmt::Display + Sync)) {
        if std::mem::replace(&mut self.is_connected, false) {
            tracing::warn!(%error, "cannot reach the chain, retrying");
        } else {
            tracing::debug!(%error, "still cannot reach the chain");
        }
        (self.dependencies.sleeper)(PAUSE_AFTER_ERROR).await;
    }

    async fn record_round(&self, row: &RoundRow) {
        if let Err(error) = self.dependencies.ledger.end_round(row).await {
            tracing::error!(%error, "cannot record the last round of the contest; a restart may repeat that round");
        }
    }

    fn now(&self) -> std::time::SystemTime {
        (self.dependencies.clock)()
    }
}

/// Returns the pause after an authentication failure.
fn auth_pause(error: &EngineError) -> Duration {
    if error.is_permanent_auth() { PAUSE_AFTER_REFUSAL } else { PAUSE_AFTER_AUTH_FAILURE }
}

#[cfg(test)]
mod tests;
