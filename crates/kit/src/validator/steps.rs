//! One step: which miners are queried, and how their rewards become scores.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use taonet_neuron::{MinerDirectory, MinerEntry, Neuron, Neurons};
use taonet_primitives::{BlockNumber, Hotkey, Uid, counted, with_causes};
use taonet_service::{Clock, Shutdown};
use taonet_validator::{ReadError, WeightService};
use taonet_wire::SignedClient;

use super::{BoxError, Challenge, ValidatorSettings};
use crate::metrics;
use crate::query::{QueryError, Reply, common_failure, query};
use crate::request_hash::RequestHash;
use crate::scores::{Averaging, CompletedStep, Scores, ScoresError, StepResults};

/// Minimum pause between two steps, also after an error.
const MIN_STEP_PAUSE: Duration = Duration::from_secs(1);

/// Result of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The block at which the neurons were read.
    pub block: BlockNumber,
    /// The rewards of the miners that were queried, in the order of their uids.
    pub rewards: Vec<(Uid, f64)>,
    /// All scores after the step.
    pub scores: BTreeMap<Hotkey, f64>,
    /// Whether the validator is registered on the subnet. Otherwise, the chain rejects its weights.
    pub is_registered: bool,
}

/// Why a step failed. No score has changed then, unless a commit of the scores failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The neurons of the subnet cannot be read.
    #[error("cannot read the neurons of the subnet")]
    Neurons(#[from] ReadError),
    /// The node lags behind the one of the last step: its neurons are those of the past.
    #[error(
        "the node is at block {block}, but the last step was at block {last}; hint: use a synchronised node"
    )]
    OldBlock {
        /// The node's newest block.
        block: BlockNumber,
        /// Block of the last step.
        last: BlockNumber,
    },
    /// The challenge failed.
    #[error("the challenge failed")]
    Challenge(#[source] BoxError),
    /// The challenge did not return its request or its rewards in time.
    #[error("the challenge took longer than {after:?}; hint: increase `challenge_timeout`")]
    Timeout {
        /// Timeout of the challenge.
        after: Duration,
    },
    /// The challenge's request cannot be sent to any miner.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The challenge returned more or fewer rewards than there are replies.
    #[error("the challenge returned {} for {}", counted(.rewards, "reward"), counted(.replies, "reply"))]
    Rewards {
        /// Number of rewards.
        rewards: usize,
        /// Number of replies.
        replies: usize,
    },
    /// The scores cannot be read or written.
    #[error(transparent)]
    Scores(#[from] ScoresError),
}

/// Runs a validator's steps at intervals.
pub(super) struct StepLoop<C> {
    pub(super) challenge: C,
    pub(super) service: WeightService,
    pub(super) client: SignedClient,
    pub(super) scores: Scores,
    pub(super) directory: MinerDirectory,
    pub(super) settings: ValidatorSettings,
    pub(super) clock: Clock,
}

impl<C: Challenge> StepLoop<C> {
    /// Runs a step per interval until shutdown. The first one waits for the rest of the interval
    /// since the last step before the start: otherwise each restart would add a step to the
    /// averages.
    pub(super) async fn run(&self, shutdown: &Shutdown) {
        let mut pause = self.initial_pause().await;
        loop {
            let next_step = async move {
                tokio::time::sleep(pause).await;
                let start = Instant::now();
                self.step_and_log().await;
                self.settings.interval.saturating_sub(start.elapsed()).max(MIN_STEP_PAUSE)
            };
            pause = tokio::select! {
                () = shutdown.requested() => return,
                pause = next_step => pause,
            };
        }
    }

    async fn step_and_log(&self) {
        match self.step().await {
            Ok(report) => {
                metrics::count_step("complete");
                // The sum of no numbers is -0.
                let total = report.rewards.iter().fold(0.0, |total, (_, reward)| total + reward);
                tracing::info!(block = %report.block, miners = report.rewards.len(), total, "step complete");
                if !report.is_registered {
                    tracing::warn!(
                        netuid = self.settings.epochs.netuid.0,
                        "this validator is not registered, and cannot set weights; hint: check the netuid and the \
                         hotkey, or register it with `tao register`"
                    );
                }
            }
            Err(error) => {
                metrics::count_step("failed");
                tracing::warn!(error = with_causes(&error), "step failed");
            }
        }
    }

    async fn initial_pause(&self) -> Duration {
        let last_step = match self.scores.last_step().await {
            Ok(last_step) => last_step,
            Err(error) => {
                tracing::warn!(
                    error = with_causes(&error),
                    "cannot read the time of the last step"
                );
                return self.settings.interval;
            }
        };
        let pause = last_step.map_or(Duration::ZERO, |last_step| {
            remaining(self.settings.interval, last_step.started_at, (self.clock)())
        });
        if !pause.is_zero() {
            tracing::info!(
                seconds = pause.as_secs(),
                "waiting for the rest of the interval since the last step"
            );
        }
        pause
    }

    pub(super) async fn step(&self) -> Result<StepReport, StepError> {
        let (settings, start) = (&self.settings, (self.clock)());
        let neurons = self.service.neurons(settings.epochs.netuid).await?;
        let block = neurons.block;
        check_block(self.scores.last_step().await?, block, settings.epochs.tempo)?;
        let StepNeurons { miners, unavailable } = self.select_miners(&neurons);
        let request =
            with_timeout(settings.challenge_timeout, self.challenge.request(&miners)).await?;
        let replies = query(&self.client, &miners, &request, settings.query).await?;
        if let Some(outcome) = common_failure(&replies) {
            tracing::warn!(
                outcome,
                miners = replies.len(),
                "every miner failed alike; hint: check this machine's network and clock, and the protocol's class"
            );
        }
        let rewards =
            with_timeout(settings.challenge_timeout, self.challenge.rewards(&request, &replies))
                .await?;
        let rewarded_miners = zip_rewards(&replies, &rewards)?;
        let queried_rewards = rewarded_miners.iter().map(|(_, hotkey, reward)| (*hotkey, *reward));
        let results = StepResults {
            step: CompletedStep { block, started_at: start },
            request: RequestHash::of(&request).map_err(QueryError::from)?,
            rewards: unavailable
                .into_iter()
                .map(|hotkey| (hotkey, 0.0))
                .chain(queried_rewards)
                .collect(),
            registered: neurons.list.iter().map(|neuron| (neuron.hotkey, neuron.uid)).collect(),
        };
        let averaging = Averaging { alpha: settings.alpha, absence: settings.absence };
        let scores = self.scores.update(&results, averaging).await?;
        let rewards = rewarded_miners.iter().map(|(uid, _, reward)| (*uid, *reward)).collect();
        let is_registered =
            neurons.list.iter().any(|neuron| Some(neuron.hotkey) == self.directory.own_hotkey);
        Ok(StepReport { block, rewards, scores, is_registered })
    }

    /// Draws the miners of a step from the eligible neurons. A drawn neuron that cannot be called
    /// has the reward 0: otherwise a miner could keep its score by withdrawing its address. Neurons
    /// that are not eligible have the reward 0, too.
    fn select_miners(&self, neurons: &Neurons) -> StepNeurons {
        let (eligible, ineligible): (Vec<Neuron>, Vec<Neuron>) =
            neurons.list.iter().copied().partition(|neuron| self.directory.is_eligible(neuron));
        let mut selected = self.challenge.select(eligible, self.settings.selection);
        selected.sort_unstable_by_key(|neuron| neuron.uid);
        selected.dedup_by_key(|neuron| neuron.uid);
        let miners = self.directory.select(&Neurons::new(neurons.block, selected.clone())).miners;
        selected.retain(|neuron| miners.iter().all(|miner| miner.uid != neuron.uid));
        StepNeurons {
            miners,
            unavailable: selected
                .into_iter()
                .chain(ineligible)
                .map(|neuron| neuron.hotkey)
                .collect(),
        }
    }
}

/// Neurons drawn for a step.
struct StepNeurons {
    /// The miners to query, in the order of their uids.
    miners: Vec<MinerEntry>,
    /// Hotkeys of drawn neurons that cannot be called: the step gives them the reward 0.
    unavailable: Vec<Hotkey>,
}

/// Returns the remaining part of the interval. A clock that was set back delays a step by one
/// interval at most.
fn remaining(interval: Duration, start: SystemTime, now: SystemTime) -> Duration {
    interval.saturating_sub(now.duration_since(start).unwrap_or_default())
}

/// Rejects neurons that are older than those of the last step. A block more than an epoch behind is
/// accepted: a development chain was restarted from genesis, as the epoch loop assumes, too.
fn check_block(
    last_step: Option<CompletedStep>,
    block: BlockNumber,
    tempo: u32,
) -> Result<(), StepError> {
    match last_step {
        Some(CompletedStep { block: last, .. }) if (1..=tempo).contains(&last.since(block)) => {
            Err(StepError::OldBlock { block, last })
        }
        _ => Ok(()),
    }
}

/// Applies the timeout of the challenge.
async fn with_timeout<T>(
    timeout: Duration,
    future: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, StepError> {
    match tokio::time::timeout(timeout, future).await {
        Ok(result) => result.map_err(StepError::Challenge),
        Err(_) => Err(StepError::Timeout { after: timeout }),
    }
}

fn clamp_reward(reward: f64) -> f64 {
    if reward.is_nan() { 0.0 } else { reward.clamp(0.0, 1.0) }
}

/// Returns uid, hotkey and reward of each queried miner.
fn zip_rewards<P>(
    replies: &[Reply<P>],
    rewards: &[f64],
) -> Result<Vec<(Uid, Hotkey, f64)>, StepError> {
    if rewards.len() != replies.len() {
        return Err(StepError::Rewards { rewards: rewards.len(), replies: replies.len() });
    }
    let pairs = replies.iter().zip(rewards);
    Ok(pairs.map(|(reply, reward)| (reply.uid, reply.hotkey, clamp_reward(*reward))).collect())
}

#[cfg(test)]
mod tests;
