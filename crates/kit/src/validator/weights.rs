use std::collections::BTreeMap;

use taonet_primitives::{Hotkey, Uid, Weights};
use taonet_validator::{Neurons, RoundScores, Subnet};

use crate::measures;
use crate::scores::{Scores, ScoresError};

/// Weights in proportion to the scores, for the epoch loop. The weight service applies the limits of the chain: the
/// minimum number of weights and the maximum weight.
pub(super) struct AverageWeights {
    scores: Scores,
}

impl AverageWeights {
    pub(super) fn new(scores: Scores) -> Self {
        Self { scores }
    }
}

impl Subnet for AverageWeights {
    /// Scores of the registered miners, in the order of their uids.
    type Scores = Vec<(Uid, f64)>;
    type Error = ScoresError;

    async fn scores(&self, neurons: &Neurons, _is_late: bool) -> Result<RoundScores<Self::Scores>, ScoresError> {
        Ok(RoundScores { round: None, scores: by_uid(neurons, &self.scores.read().await?) })
    }

    fn weights(&self, scores: &Self::Scores, burn_uid: Option<Uid>) -> Option<Weights> {
        if scores.is_empty() {
            return None;
        }
        let (uids, weights) = scores.iter().copied().filter(|(_, score)| *score > 0.0).unzip();
        let weights = Weights { uids, weights }.normalised();
        if weights.uids.is_empty() {
            let burned = |uid| Weights { uids: vec![uid], weights: vec![1.0] };
            return Some(burn_uid.map_or_else(Weights::default, burned));
        }
        Some(weights)
    }

    fn why_unearned(&self) -> &'static str {
        "no miner has earned a reward, and the burn uid is not on the subnet"
    }

    fn measure(&mut self, scores: &Self::Scores) {
        measures::scored(scores.iter().filter(|(_, score)| *score > 0.0).count());
    }
}

/// Returns the scores of the hotkeys that are registered now, by their current uids.
fn by_uid(neurons: &Neurons, scores: &BTreeMap<Hotkey, f64>) -> Vec<(Uid, f64)> {
    neurons.list.iter().filter_map(|neuron| Some((neuron.uid, *scores.get(&neuron.hotkey)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use taonet_neuron::Neuron;
    use taonet_primitives::{BlockNumber, NetUid};

    use super::*;

    fn key(byte: u8) -> Hotkey {
        Hotkey::from_bytes([byte; 32])
    }

    /// Returns a subnet whose uids 0, 1, … have these hotkeys.
    fn neurons(hotkeys: &[u8]) -> Neurons {
        let list = (0..).zip(hotkeys).map(|(uid, byte)| Neuron::new(Uid(uid), key(*byte), None)).collect();
        Neurons::new(BlockNumber::new(1), list)
    }

    /// Columns: hotkeys by uid · weights
    #[tokio::test]
    async fn weights_follow_hotkeys_to_their_uids() {
        let directory = tempfile::tempdir().unwrap();
        let scores = Scores::open(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap();
        let subnet = AverageWeights::new(scores.clone());
        let weights = async |hotkeys: &[u8], burn_uid| {
            let scores = subnet.scores(&neurons(hotkeys), false).await.unwrap().scores;
            subnet.weights(&scores, burn_uid)
        };
        assert_eq!(weights(&[1, 2], Some(Uid(0))).await, None, "no step yet");
        let rewards = BTreeMap::from([(key(1), 0.0), (key(2), 0.75), (key(3), 0.25)]);
        let registered: BTreeSet<_> = rewards.keys().copied().collect();
        scores.update(&rewards, &registered, 1.0).await.unwrap();
        let expected = |pairs: &[(u16, f64)]| {
            let (uids, weights) = pairs.iter().map(|(uid, weight)| (Uid(*uid), *weight)).unzip();
            Some(Weights { uids, weights })
        };
        for (hotkeys, pairs) in [
            (&[1, 2, 3][..], &[(1, 0.75), (2, 0.25)][..]),
            // Grown: hotkey 9 has no score. Shrunk and reordered: hotkey 2 is gone. Replaced: hotkey 9 took uid 1.
            (&[1, 2, 3, 9], &[(1, 0.75), (2, 0.25)]),
            (&[3, 1], &[(0, 1.0)]),
            (&[1, 9, 3], &[(2, 1.0)]),
            // Only miners without a reward are left.
            (&[9, 1], &[(0, 1.0)]),
        ] {
            assert_eq!(weights(hotkeys, Some(Uid(0))).await, expected(pairs), "{hotkeys:?}");
        }
        assert_eq!(weights(&[9, 1], None).await, Some(Weights::default()), "the burn uid is not registered");
    }
}
