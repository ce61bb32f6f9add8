//! One step: which miners are queried, and how their rewards become scores.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use taonet_neuron::{MinerDirectory, MinerEntry, Neurons};
use taonet_primitives::{BlockNumber, Hotkey, Uid, counted, with_causes};
use taonet_service::Shutdown;
use taonet_validator::{ReadError, WeightService};
use taonet_wire::SignedClient;

use super::{Challenge, ValidatorSettings};
use crate::measures;
use crate::query::{Reply, query};
use crate::scores::{Scores, ScoresError};

/// Minimum pause between two steps, also after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Result of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The block at which the neurons were read.
    pub block: BlockNumber,
    /// The rewards of the miners that were queried, in the order of their uids.
    pub rewards: Vec<(Uid, f64)>,
    /// The scores of all miners after the step.
    pub scores: BTreeMap<Hotkey, f64>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The neurons of the subnet cannot be read.
    #[error("cannot read the neurons of the subnet")]
    Neurons(#[from] ReadError),
    /// The challenge's request cannot be serialised.
    #[error("cannot serialise the request")]
    Request(#[source] serde_json::Error),
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

/// The loop of steps.
pub(super) struct Steps<C> {
    pub(super) challenge: C,
    pub(super) service: WeightService,
    pub(super) client: SignedClient,
    pub(super) scores: Scores,
    pub(super) directory: MinerDirectory,
    pub(super) settings: ValidatorSettings,
}

impl<C: Challenge> Steps<C> {
    /// Runs a step per interval until shutdown.
    pub(super) async fn run(&self, shutdown: &Shutdown) {
        loop {
            let turn = async {
                let began = Instant::now();
                match self.step().await {
                    Ok(report) => {
                        measures::step("complete");
                        let total: f64 = report.rewards.iter().map(|(_, reward)| reward).sum();
                        tracing::info!(block = %report.block, miners = report.rewards.len(), total, "step complete");
                    }
                    Err(error) => {
                        measures::step("failed");
                        tracing::warn!(error = with_causes(&error), "step failed");
                    }
                }
                tokio::time::sleep(self.settings.interval.saturating_sub(began.elapsed()).max(PAUSE)).await;
            };
            tokio::select! {
                () = shutdown.requested() => return,
                () = turn => {}
            }
        }
    }

    pub(super) async fn step(&self) -> Result<StepReport, StepError> {
        let settings = &self.settings;
        let neurons = self.service.neurons(settings.epochs.netuid).await?;
        let callable = self.directory.select(&neurons).miners;
        let absent = absent(&neurons, &callable);
        let chosen = settings.select.choose(callable);
        let request = self.challenge.request();
        let replies = query(&self.client, &chosen, &request, settings.query).await.map_err(StepError::Request)?;
        let rewards = self.challenge.rewards(&request, &replies).await;
        let queried = earned(&replies, &rewards)?;
        let earned = queried.iter().map(|(_, hotkey, reward)| (*hotkey, *reward));
        let rewards: BTreeMap<_, _> = absent.into_iter().map(|hotkey| (hotkey, 0.0)).chain(earned).collect();
        let registered: BTreeSet<_> = neurons.list.iter().map(|neuron| neuron.hotkey).collect();
        let scores = self.scores.update(&rewards, &registered, settings.alpha.clamp(0.0, 1.0)).await?;
        let rewards = queried.iter().map(|(uid, _, reward)| (*uid, *reward)).collect();
        Ok(StepReport { block: neurons.block, rewards, scores })
    }
}

/// Returns the hotkeys that publish no address at which they can be called. Their reward is 0: otherwise a miner could
/// keep its score by withdrawing its address.
fn absent(neurons: &Neurons, callable: &[MinerEntry]) -> BTreeSet<Hotkey> {
    let callable: BTreeSet<_> = callable.iter().map(|miner| miner.hotkey).collect();
    neurons.list.iter().map(|neuron| neuron.hotkey).filter(|hotkey| !callable.contains(hotkey)).collect()
}

/// Returns uid, hotkey and reward of each queried miner.
fn earned<P>(replies: &[Reply<P>], rewards: &[f64]) -> Result<Vec<(Uid, Hotkey, f64)>, StepError> {
    if rewards.len() != replies.len() {
        return Err(StepError::Rewards { rewards: rewards.len(), replies: replies.len() });
    }
    let limited = |reward: f64| if reward.is_nan() { 0.0 } else { reward.clamp(0.0, 1.0) };
    let pairs = replies.iter().zip(rewards);
    Ok(pairs.map(|(reply, reward)| (reply.uid, reply.hotkey, limited(*reward))).collect())
}

#[cfg(test)]
mod tests {
    use taonet_neuron::Neuron;

    use super::*;
    use crate::testing::{Sum, entry, key};

    fn replies(count: u16) -> Vec<Reply<Sum>> {
        let response = || Ok(Sum { a: 1, b: 2, sum: Some(3) });
        let reply = |uid| Reply { uid: Uid(uid), hotkey: key("//miner").hotkey(), response: response(), took: PAUSE };
        (0..count).map(reply).collect()
    }

    #[test]
    fn rewards_are_limited_to_their_range() {
        let rewards = [0.5, -1.0, 7.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let earned = earned(&replies(6), &rewards).unwrap();
        let found: Vec<_> = earned.iter().map(|(_, _, reward)| *reward).collect();
        assert_eq!(found, [0.5, 0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn other_number_of_rewards_is_an_error() {
        for (count, rewards, text) in [
            (1, &[][..], "the challenge returned 0 rewards for 1 reply"),
            (2, &[1.0], "the challenge returned 1 reward for 2 replies"),
        ] {
            assert_eq!(earned(&replies(count), rewards).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn neurons_that_cannot_be_called_are_absent() {
        let neuron = |uid: u16, uri: &str| Neuron::new(Uid(uid), key(uri).hotkey(), None);
        let list = vec![neuron(0, "//owner"), neuron(1, "//miner"), neuron(2, "//hidden")];
        let neurons = Neurons::new(BlockNumber::new(1), list);
        let absent = absent(&neurons, &[entry(1, key("//miner").hotkey(), 8091)]);
        assert_eq!(absent, BTreeSet::from(["//owner", "//hidden"].map(|uri| key(uri).hotkey())));
    }
}
