use std::convert::Infallible;
use std::sync::Arc;

use taonet_primitives::{Hotkey, Uid, Weights};
use taonet_proof_core::scoring::Profile;
use taonet_service::{Clock, unix_time};
use taonet_validator::{Neurons, RoundScores, Subnet};

use crate::ScoreStore;

/// The proof subnet in the validator's epoch loop.
pub struct ProofSubnet {
    score_store: Arc<ScoreStore>,
    profile: Profile,
    clock: Clock,
}

impl ProofSubnet {
    /// Creates a subnet whose weights come from `score_store` under `profile`.
    pub fn new(score_store: Arc<ScoreStore>, profile: Profile, clock: Clock) -> Self {
        Self { score_store, profile, clock }
    }
}

impl Subnet for ProofSubnet {
    /// Weight share of each registered miner that has at least one outcome.
    type Scores = Vec<(Uid, f64)>;
    type Error = Infallible;

    async fn scores(
        &self,
        neurons: &Neurons,
        _: bool,
    ) -> Result<RoundScores<Self::Scores>, Infallible> {
        let now = unix_time((self.clock)());
        let scores = self.score_store.read(|board| {
            let registered = |hotkey: &Hotkey| neurons.uid_of(hotkey).map(|uid| (uid, *hotkey));
            let (uids, hotkeys): (Vec<_>, Vec<_>) =
                board.tallies().keys().filter_map(registered).unzip();
            let shares = board.weights(&self.profile, &hotkeys, now);
            let mut scores: Vec<_> = uids.into_iter().zip(shares).collect();
            scores.sort_by_key(|(uid, _)| *uid);
            scores
        });
        Ok(RoundScores { round: None, scores })
    }

    fn weights(&self, scores: &Self::Scores, burn_uid: Option<Uid>) -> Option<Weights> {
        Weights::proportional(scores, burn_uid)
    }

    fn unearned_reason(&self) -> &'static str {
        "no miner has enough verified proofs, and the burn uid is not on the subnet"
    }

    fn measure(&mut self, scores: &Self::Scores) {
        crate::metrics::set_weighted_miners(
            scores.iter().filter(|(_, share)| *share > 0.0).count(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taonet_neuron::Neuron;
    use taonet_primitives::BlockNumber;
    use taonet_proof_core::scoring::{Event, Fault, Outcome, shares};
    use taonet_service::system_clock;

    use super::*;

    #[tokio::test]
    async fn registered_miners_share_by_their_scores() {
        let folder = tempfile::tempdir().unwrap();
        let score_store = Arc::new(ScoreStore::open(folder.path()).await.unwrap());
        let subnet = ProofSubnet::new(Arc::clone(&score_store), Profile::Seed, system_clock());
        let key = |byte| Hotkey::from_bytes([byte; 32]);
        let list = (0..)
            .zip([3, 2, 1])
            .map(|(uid, byte)| Neuron::new(Uid(uid), key(byte), None))
            .collect();
        let neurons = Neurons::new(BlockNumber::new(1), list);
        let scores = async || subnet.scores(&neurons, false).await.unwrap().scores;
        assert_eq!(subnet.weights(&scores().await, Some(Uid(0))), None, "no miner was queried");
        let event = |miner, outcome| Event {
            miner: key(miner),
            kind: "c:0".to_owned(),
            at: unix_time(system_clock()()),
            miners: 2,
            outcome,
        };
        score_store.record(event(2, Outcome::Failed(Fault::Invalid))).unwrap();
        let burned = Weights { uids: vec![Uid(0)], weights: vec![1.0] };
        assert_eq!(subnet.weights(&scores().await, Some(Uid(0))), Some(burned));
        assert_eq!(subnet.weights(&scores().await, None), Some(Weights::default()));
        let verified = Outcome::Verified { time: Duration::from_secs(1), bytes: 128 };
        score_store.record(event(1, verified)).unwrap();
        score_store.record(event(9, verified)).unwrap();
        let weights = Weights { uids: vec![Uid(2)], weights: vec![1.0] };
        assert_eq!(
            subnet.weights(&scores().await, Some(Uid(0))),
            Some(weights),
            "hotkey 9 is not registered"
        );
    }

    /// Shares have a sum of 1 up to rounding, so that normalisation changes none of them.
    #[tokio::test]
    async fn weights_equal_the_shares() {
        let folder = tempfile::tempdir().unwrap();
        let score_store = Arc::new(ScoreStore::open(folder.path()).await.unwrap());
        let subnet = ProofSubnet::new(score_store, Profile::Seed, system_clock());
        for miners in [1, 2, 3, 7, 64, 255, 256] {
            // Amounts of 21 orders of magnitude; every fifth miner earns nothing.
            let amount = |uid: i32| match uid % 5 {
                4 => 0.0,
                _ => 10_f64.powi(uid % 21 - 10) / f64::from(uid + 3),
            };
            let amounts: Vec<f64> = (0..miners).map(amount).collect();
            let scores: Vec<_> = (0..).map(Uid).zip(shares(&amounts)).collect();
            let (uids, weights) = scores.iter().copied().filter(|(_, share)| *share > 0.0).unzip();
            let expected = Weights { uids, weights };
            assert_eq!(subnet.weights(&scores, Some(Uid(0))), Some(expected), "{miners} miners");
        }
    }
}
