//! The loop: main, solo and arena rounds, as blocks go by.
//!
//! ```text
//! gateway, else chain ── newest block ── Schedule: which round is due? ─┐
//!                     ── metagraph ── miners, shuffled ─────────────────┤
//! arena ── its miners ──────────────────────────────────────────────────┤
//! engine ── the current challenge ── Runner ◀───────────────────────────┘
//!                                      │ what was played, and which epoch is over
//!                                    ledger
//! ```
//!
//! A round is due as soon as a block of a new epoch is seen, however late; which epoch was the last stands in the ledger.
//! Rounds that are due wait in line. One that fails is tried again in its epoch, with pauses; whatever happens, the loop
//! goes on. A challenge that was left unfinished and is no longer the current one is taken up after the current one, a few
//! times at most. Without a token of the engine it neither asks for a challenge nor calls a miner.

mod chain_view;
mod measure;
mod metagraph;
mod round;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rand::seq::SliceRandom as _;
use taonet_service::Shutdown;
use taonet_wire::PeerError;

use super::connection::MinerConnection;
use super::error::chain_of;
use super::events::RunObserver;
use super::ledger::{LedgerError, RoundRow};
use super::miners::{AddressPolicy, MinerEntry};
use super::run::{Miner, Runner};
use super::settings::PlaySettings;
use super::{RunOutcome, RunReport};
use taonet_babelbit_engine::client::{EngineClient, EngineError};
use taonet_service::Clock;
use taonet_service::Sleeper;

pub use chain_view::{ChainView, ChainViewError, ConnectChain};
pub use round::{RoundError, RoundReport, registered_miners};
pub use schedule::{ArenaSchedule, ScheduleSettings};

use schedule::{Due, Saved, Schedule};
use taonet_babelbit_core::records::ChallengeType;

/// Time to wait for a block.
const WAITING: Duration = Duration::from_mins(1);
/// Pause after a gateway that failed.
const AFTER_ERROR: Duration = Duration::from_secs(3);
/// Pause after a gateway that announced a block and has none.
const AFTER_STANDSTILL: Duration = Duration::from_secs(1);
/// Pause after the engine has refused this hotkey.
const AFTER_REFUSAL: Duration = Duration::from_mins(5);
/// Pause after another failure to authenticate.
const AFTER_AUTH_FAILURE: Duration = Duration::from_mins(1);

/// Knows the arena's miners.
pub trait ArenaMiners: Send + Sync {
    /// Those that can be played now, among the ones that the metagraph announces.
    fn miners<'a>(&'a self, registered: &'a [MinerEntry]) -> BoxFuture<'a, Result<Vec<Miner>, ArenaUnavailable>>;
}

/// The arena does not say who its miners are.
#[derive(Debug, thiserror::Error)]
#[error("the arena's miners are not known: {0}")]
pub struct ArenaUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where the miners of main and solo rounds come from.
#[derive(Debug, Clone)]
pub enum MinerSource {
    /// A list; the chain is not asked.
    Listed(Vec<MinerEntry>),
    /// The metagraph, as far as addresses are permitted.
    Metagraph(AddressPolicy),
}

impl MinerSource {
    /// All of them.
    async fn registered(&self, chain: &ChainView) -> Result<Vec<MinerEntry>, ChainViewError> {
        match self {
            Self::Listed(miners) => Ok(miners.clone()),
            Self::Metagraph(policy) => registered_miners(chain, policy).await,
        }
    }
}

/// Opens the way to a miner.
pub type ConnectMiner = Arc<dyn Fn(&MinerEntry) -> Result<Arc<dyn MinerConnection>, PeerError> + Send + Sync>;
/// Puts miners into the order in which they are taken.
pub type Shuffle = Arc<dyn Fn(&mut [MinerEntry]) + Send + Sync>;
/// Is told what came of each round.
pub type RoundObserver = Arc<dyn Fn(&RoundReport) + Send + Sync>;

/// A random order.
pub fn random_order() -> Shuffle {
    Arc::new(|miners| miners.shuffle(&mut rand::rng()))
}

/// How the loop goes about its work. How many miners play a main or solo round at most is among the
/// [runner's settings](super::RunnerSettings::max_miners).
#[derive(Debug, Clone)]
pub struct RoundsSettings {
    /// When rounds are due.
    pub schedule: ScheduleSettings,
    /// How arena rounds are played; others are as the runner's settings say.
    pub arena_play: PlaySettings,
}

/// What the loop works with.
pub struct RoundsParts {
    /// Plays.
    pub runner: Runner,
    /// Has the challenges.
    pub engine: EngineClient,
    /// Has blocks and neurons.
    pub chain: ChainView,
    /// Who plays.
    pub miners: MinerSource,
    /// How they are reached.
    pub connect: ConnectMiner,
    /// Knows the arena's miners; without it there are no arena rounds.
    pub arena: Option<Arc<dyn ArenaMiners>>,
    /// In which order miners are taken where there are too many.
    pub shuffle: Shuffle,
    /// Is told what happens during a round.
    pub observer: Arc<dyn RunObserver>,
    /// Is told what came of it.
    pub tell: RoundObserver,
    /// What time it is.
    pub clock: Clock,
    /// How pauses are waited.
    pub sleeper: Sleeper,
}

/// The runner's loop.
pub struct Rounds {
    parts: RoundsParts,
    settings: RoundsSettings,
    schedule: Schedule,
    block: Option<u32>,
    /// Whether the gateway answered last time.
    is_well: bool,
}

impl Rounds {
    /// A loop that goes on where the runner's ledger says.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub async fn new(parts: RoundsParts, mut settings: RoundsSettings) -> Result<Self, LedgerError> {
        if parts.arena.is_none() {
            settings.schedule.arena = None;
        }
        let ledger = parts.runner.ledger();
        let saved = Saved {
            main: ledger.last_round(ChallengeType::Main).await?,
            solo: ledger.last_round(ChallengeType::Solo).await?,
            arena: ledger.last_round(ChallengeType::Arena).await?,
        };
        let schedule = Schedule::new(settings.schedule.clone(), &saved, (parts.clock)());
        Ok(Self { parts, settings, schedule, block: None, is_well: true })
    }

    /// Gives the loop's metrics their help texts. Call after the recorder is installed.
    pub fn describe_metrics() {
        measure::describe();
    }

    /// Plays round after round until the end is asked for. A round that is under way is left at once; what is played stays,
    /// and the next start goes on from there.
    pub async fn run(&mut self, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        self.authenticate().await;
        loop {
            self.step().await;
        }
    }

    /// Tries until the engine takes this hotkey.
    async fn authenticate(&self) {
        while let Err(error) = self.parts.engine.authenticate_with_retry().await {
            let pause = auth_pause(&error);
            tracing::warn!(%error, pause_s = pause.as_secs(), "no rounds without a token of the engine, trying again");
            (self.parts.sleeper)(pause).await;
        }
    }

    /// Looks at the newest block; plays one round if any is due, otherwise waits for the next block.
    async fn step(&mut self) {
        let read = self.parts.chain.block().await;
        match &read {
            Ok(block) => {
                measure::block(*block);
                for row in self.schedule.see(*block, self.now()) {
                    tracing::info!(contest = %row.challenge_type, block, epoch = row.epoch, "waiting for the next epoch");
                    self.note(&row).await;
                }
            }
            Err(_) => self.schedule.see_nothing(self.now()),
        }
        let now = self.now();
        match (self.schedule.next(now), read) {
            (Some(due), _) => self.round(&due).await,
            (None, Ok(block)) => self.wait(block).await,
            (None, Err(error)) => self.unwell(&error).await,
        }
    }

    async fn round(&mut self, due: &Due) {
        let Due { contest, epoch, attempt, .. } = due;
        tracing::info!(%contest, epoch, attempt, "a round begins");
        let began = Instant::now();
        let result = self.play(due).await;
        let (now, took) = (self.now(), began.elapsed());
        let mut report = RoundReport {
            contest: due.contest,
            epoch: due.epoch,
            attempt: due.attempt,
            outcome: "played",
            challenge_uid: None,
            main_challenge_uid: due.main_challenge_uid.clone(),
            miners: 0,
            error: None,
            is_tried_again: false,
            wall_sec: took.as_secs_f64(),
        };
        let row = match result {
            Ok(RunReport { outcome, challenge_uid, miners, .. }) => {
                if outcome == RunOutcome::AlreadyDone {
                    report.outcome = "already_done";
                }
                tracing::info!(%contest, epoch, challenge_uid, miners = miners.len(), outcome = report.outcome, "a round ends");
                measure::played(due.contest, took, miners.len());
                let row = self.schedule.played(due, &challenge_uid, now);
                (report.challenge_uid, report.miners) = (Some(challenge_uid), miners.len());
                Some(row)
            }
            Err(error) => {
                let row = self.schedule.failed(due, error.challenge_uid(), error.retry(), now);
                report.outcome = error.outcome();
                report.challenge_uid = error.challenge_uid().map(str::to_owned);
                report.is_tried_again = row.is_none();
                let error = chain_of(&error);
                if row.is_none() {
                    tracing::warn!(%contest, epoch, attempt, error, "a round failed and is tried again");
                } else {
                    tracing::error!(%contest, epoch, attempt, error, "a round failed for good: the next epoch has the next one");
                }
                report.error = Some(error);
                row
            }
        };
        measure::round(due.contest, report.outcome);
        if let Some(row) = row {
            self.note(&row).await;
        }
        (self.parts.tell)(&report);
    }

    /// Waits for a block after `block`, or until a round is tried again.
    async fn wait(&mut self, block: u32) {
        if self.block.replace(block) == Some(block) {
            (self.parts.sleeper)(AFTER_STANDSTILL).await;
        }
        let rest = self.schedule.rest(self.now()).unwrap_or(WAITING);
        match self.parts.chain.wait(rest.clamp(AFTER_STANDSTILL, WAITING)).await {
            Ok(has_come) => {
                if !std::mem::replace(&mut self.is_well, true) {
                    tracing::info!("the gateway answers again");
                }
                if !has_come && rest >= WAITING {
                    tracing::warn!(block, "no new block within {} s", WAITING.as_secs());
                }
            }
            Err(error) => self.unwell(&error).await,
        }
    }

    /// Says once, however long it lasts, that the gateway does not answer.
    async fn unwell(&mut self, error: &(impl std::fmt::Display + Sync)) {
        if std::mem::replace(&mut self.is_well, false) {
            tracing::warn!(%error, "the chain cannot be asked, trying again");
        } else {
            tracing::debug!(%error, "the chain still cannot be asked");
        }
        (self.parts.sleeper)(AFTER_ERROR).await;
    }

    async fn note(&self, row: &RoundRow) {
        if let Err(error) = self.parts.runner.ledger().end_round(row).await {
            tracing::error!(%error, "which epoch is over is not on disk: after a restart it is looked at again");
        }
    }

    fn now(&self) -> std::time::SystemTime {
        (self.parts.clock)()
    }
}

impl std::fmt::Debug for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rounds")
            .field("settings", &self.settings)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

/// How long to wait after a failure to authenticate.
fn auth_pause(error: &EngineError) -> Duration {
    if error.is_permanent_auth() { AFTER_REFUSAL } else { AFTER_AUTH_FAILURE }
}

#[cfg(test)]
mod tests;
