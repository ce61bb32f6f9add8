use std::collections::BTreeMap;

use taonet_primitives::{BlockNumber, Hotkey, Uid, Weights};
use taonet_validator::{Neurons, RoundScores, Subnet};

use crate::metrics;
use crate::scores::{Scores, ScoresError};

/// Weights in proportion to the scores, for the epoch loop. The weight service applies the limits
/// of the chain: the minimum number of weights and the maximum weight.
pub(super) struct AverageWeights {
    scores: Scores,
    /// Maximum age of the scores in blocks.
    max_age: u32,
}

impl AverageWeights {
    pub(super) fn new(scores: Scores, max_age: u32) -> Self {
        Self { scores, max_age }
    }

    /// Whether no step has completed for too long, such as after downtime: the scores do not say
    /// which miners work now, and the weights of an epoch cannot be replaced.
    async fn is_stale(&self, now: BlockNumber) -> Result<bool, ScoresError> {
        let last = self.scores.last_step().await?;
        // After a restart of a development chain from genesis, block numbers are lower.
        Ok(last.is_none_or(|last| last.block.get().abs_diff(now.get()) > self.max_age))
    }
}

impl Subnet for AverageWeights {
    /// Scores of the registered miners, in the order of their uids.
    type Scores = Vec<(Uid, f64)>;
    type Error = ScoresError;

    async fn scores(
        &self,
        neurons: &Neurons,
        is_late: bool,
    ) -> Result<RoundScores<Self::Scores>, ScoresError> {
        let is_stale = self.is_stale(neurons.block).await?;
        if is_stale && !is_late {
            return Err(ScoresError::Stale { max_age: self.max_age });
        }
        let scores =
            if is_stale { Vec::new() } else { scores_by_uid(neurons, &self.scores.read().await?) };
        Ok(RoundScores { round: None, scores })
    }

    fn weights(&self, scores: &Self::Scores, burn_uid: Option<Uid>) -> Option<Weights> {
        Weights::proportional(scores, burn_uid)
    }

    fn unearned_reason(&self) -> &'static str {
        "no miner has earned a reward, and the burn uid is not on the subnet"
    }

    fn measure(&mut self, scores: &Self::Scores) {
        metrics::set_scored_miners(scores.iter().filter(|(_, score)| *score > 0.0).count());
    }
}

/// Returns the scores of the hotkeys that are registered now, by their current uids.
fn scores_by_uid(neurons: &Neurons, scores: &BTreeMap<Hotkey, f64>) -> Vec<(Uid, f64)> {
    neurons
        .list
        .iter()
        .filter_map(|neuron| Some((neuron.uid, *scores.get(&neuron.hotkey)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use taonet_neuron::Neuron;
    use taonet_primitives::NetUid;
    use tempfile::TempDir;

    use super::*;
    use crate::request_hash::RequestHash;
    use crate::scores::{Averaging, CompletedStep, StepResults};

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    /// Returns a subnet at a block whose uids 0, 1, … have these hotkeys.
    fn neurons(block: u32, hotkeys: &[u8]) -> Neurons {
        let list =
            (0..).zip(hotkeys).map(|(uid, byte)| Neuron::new(Uid(uid), key(*byte), None)).collect();
        Neurons::new(BlockNumber::new(block), list)
    }

    /// Returns weights whose scores are at most 300 blocks old.
    async fn subnet(directory: &TempDir) -> AverageWeights {
        let scores =
            Scores::open(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap();
        AverageWeights::new(scores, 300)
    }

    /// Completes a step at a block.
    async fn step(scores: &Scores, block: u32, rewards: &[(u8, f64)]) {
        let results = StepResults {
            step: CompletedStep { block: BlockNumber::new(block), started_at: UNIX_EPOCH },
            request: RequestHash::from_bytes([0; 32]),
            rewards: rewards.iter().map(|(byte, reward)| (key(*byte), *reward)).collect(),
            registered: rewards
                .iter()
                .map(|(byte, _)| (key(*byte), Uid(u16::from(*byte))))
                .collect(),
        };
        scores.update(&results, Averaging { alpha: 1.0, absence: 100 }).await.unwrap();
    }

    /// Columns: hotkeys by uid · weights
    #[tokio::test]
    async fn weights_are_assigned_by_hotkey() {
        let directory = tempfile::tempdir().unwrap();
        let subnet = subnet(&directory).await;
        step(&subnet.scores, 1, &[(1, 0.0), (2, 0.75), (3, 0.25)]).await;
        let weights = async |hotkeys: &[u8], burn_uid| {
            let scores = subnet.scores(&neurons(1, hotkeys), false).await.unwrap().scores;
            subnet.weights(&scores, burn_uid)
        };
        let expected = |pairs: &[(u16, f64)]| {
            let (uids, weights) = pairs.iter().map(|(uid, weight)| (Uid(*uid), *weight)).unzip();
            Some(Weights { uids, weights })
        };
        for (hotkeys, pairs) in [
            (&[1, 2, 3][..], &[(1, 0.75), (2, 0.25)][..]),
            // Grown: hotkey 9 has no score. Shrunk and reordered: hotkey 2 is gone. Replaced:
            // hotkey 9 took uid 1.
            (&[1, 2, 3, 9], &[(1, 0.75), (2, 0.25)]),
            (&[3, 1], &[(0, 1.0)]),
            (&[1, 9, 3], &[(2, 1.0)]),
            // Only miners without a reward are left.
            (&[9, 1], &[(0, 1.0)]),
        ] {
            assert_eq!(weights(hotkeys, Some(Uid(0))).await, expected(pairs), "{hotkeys:?}");
        }
        assert_eq!(
            weights(&[9, 1], None).await,
            Some(Weights::default()),
            "the burn uid is not registered"
        );
    }

    /// Columns: block of the last step · block of the epoch · whether the scores are submitted
    #[tokio::test]
    async fn old_scores_are_not_submitted() {
        for (last, now, is_fresh) in [
            (None, 1_000, false),
            (Some(700), 1_000, true),
            (Some(699), 1_000, false),
            // The node of the epoch lags behind that of the step.
            (Some(1_002), 1_000, true),
            // The development chain was restarted from genesis.
            (Some(1_000), 5, false),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let subnet = subnet(&directory).await;
            if let Some(last) = last {
                step(&subnet.scores, last, &[(1, 1.0)]).await;
            }
            let neurons = neurons(now, &[1]);
            match subnet.scores(&neurons, false).await {
                Ok(round_scores) => assert_eq!(
                    (is_fresh, round_scores.scores),
                    (true, vec![(Uid(0), 1.0)]),
                    "{last:?} {now}"
                ),
                Err(error) => assert!(
                    !is_fresh && matches!(error, ScoresError::Stale { .. }),
                    "{last:?}: {error}"
                ),
            }
            // In the last third of an epoch, the weights are decided without them.
            let late_scores = subnet.scores(&neurons, true).await.unwrap().scores;
            assert_eq!(late_scores.is_empty(), !is_fresh, "{last:?} {now}");
            assert_eq!(
                subnet.weights(&late_scores, Some(Uid(0))).is_some(),
                is_fresh,
                "{last:?} {now}"
            );
        }
    }
}
