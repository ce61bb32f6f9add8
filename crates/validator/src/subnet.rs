use std::error::Error;

use taonet_neuron::Neurons;
use taonet_primitives::{Uid, Weights};

/// A subnet's contribution to its [`Validator`](crate::Validator): the scores of the current round,
/// and the weights derived from them.
pub trait Subnet: Send + Sync {
    /// Scores of a round.
    type Scores: Send + Sync;
    /// Why required scores are unavailable.
    type Error: Error + Send + Sync + 'static;

    /// Fetches the scores of the current round. A round without scores yet is not an error.
    ///
    /// `is_late` means that the epoch is nearly over: weights are then decided without waiting for
    /// unavailable scores.
    ///
    /// # Errors
    /// When required scores are unavailable and there is time for a retry.
    fn scores(
        &self,
        neurons: &Neurons,
        is_late: bool,
    ) -> impl Future<Output = Result<RoundScores<Self::Scores>, Self::Error>> + Send;

    /// Converts scores to weights; `None` if there are no scores. Unearned weight goes to
    /// `burn_uid`, which is `None` if that uid is not registered on the subnet.
    fn weights(&self, scores: &Self::Scores, burn_uid: Option<Uid>) -> Option<Weights>;

    /// Explains to operators why no miner earned weight. Called when [`Subnet::weights`] returns
    /// empty weights.
    fn unearned_reason(&self) -> &'static str;

    /// Records the subnet's own metrics of the scores.
    fn measure(&mut self, scores: &Self::Scores);
}

/// Scores of the current round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundScores<T> {
    /// Name of the round, if known.
    pub round: Option<String>,
    /// Scores of the round, possibly empty.
    pub scores: T,
}
