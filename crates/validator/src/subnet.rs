use std::collections::HashMap;
use std::error::Error;

use taonet_primitives::{Uid, Weights};

use crate::api::MetagraphSnapshot;

/// A subnet's contribution to its [`Validator`](crate::Validator): the scores of the current round, and the weights
/// derived from them.
pub trait Subnet: Send + Sync {
    /// Scores of a round.
    type Scores: Send + Sync;
    /// Why required scores are unavailable.
    type Error: Error + Send + Sync + 'static;

    /// Fetches the scores of the current round. A round without scores yet is not an error.
    ///
    /// `is_late` means that the epoch is nearly over: weights are then decided without waiting for unavailable scores.
    ///
    /// # Errors
    /// When required scores are unavailable and there is time for a retry.
    fn scores(
        &self,
        neurons: &Neurons<'_>,
        is_late: bool,
    ) -> impl Future<Output = Result<RoundScores<Self::Scores>, Self::Error>> + Send;

    /// Converts scores to weights; `None` if there are no scores. Unearned weight goes to `burn_uid`, which is `None`
    /// if that uid is not registered on the subnet.
    fn weights(&self, scores: &Self::Scores, burn_uid: Option<Uid>) -> Option<Weights>;

    /// Explains to operators why no miner earned weight. Called when [`Subnet::weights`] returns empty weights.
    fn why_unearned(&self) -> &'static str;

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

/// Neurons of a subnet by hotkey.
#[derive(Debug)]
pub struct Neurons<'a>(HashMap<&'a str, Uid>);

impl<'a> Neurons<'a> {
    /// Creates an index of the neurons of a snapshot; a hotkey with several uids maps to the lowest.
    pub fn new(snapshot: &'a MetagraphSnapshot) -> Self {
        let mut uids = HashMap::new();
        for (hotkey, uid) in snapshot.hotkeys.iter().zip(0..) {
            uids.entry(hotkey.as_str()).or_insert(Uid(uid));
        }
        Self(uids)
    }

    /// Returns the uid of a hotkey, if it is registered.
    pub fn uid_of(&self, hotkey: &str) -> Option<Uid> {
        self.0.get(hotkey).copied()
    }
}
