use std::collections::HashMap;
use std::error::Error;

use taonet_primitives::{Uid, Weights};

use crate::api::MetagraphSnapshot;

/// What a subnet contributes to its [`Validator`](crate::Validator): the scores of the current round, and the weights
/// that follow from them.
pub trait Subnet: Send + Sync {
    /// The scores of a round.
    type Scores: Send + Sync;
    /// Why scores that count cannot be had.
    type Error: Error + Send + Sync + 'static;

    /// Fetches the scores of the current round. That a round has no scores yet is no error.
    ///
    /// `is_late` says that the epoch is nearly over: weights are then decided without what cannot be had.
    ///
    /// # Errors
    /// When scores that count cannot be had and there is time to ask again.
    fn scores(
        &self,
        neurons: &Neurons<'_>,
        is_late: bool,
    ) -> impl Future<Output = Result<RoundScores<Self::Scores>, Self::Error>> + Send;

    /// The weights by these scores; `None` where there are none. `burn_uid` receives what nobody has earned, where it is
    /// on the subnet.
    fn weights(&self, scores: &Self::Scores, burn_uid: Option<Uid>) -> Option<Weights>;

    /// Records the subnet's own metrics of these scores.
    fn measure(&mut self, scores: &Self::Scores);
}

/// The scores of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundScores<T> {
    /// The name of the round, where it is known.
    pub round: Option<String>,
    /// Its scores, possibly none.
    pub scores: T,
}

/// The neurons of a subnet by hotkey.
#[derive(Debug)]
pub struct Neurons<'a>(HashMap<&'a str, Uid>);

impl<'a> Neurons<'a> {
    /// The neurons of a snapshot; of a hotkey with several uids, the lowest counts.
    pub fn new(snapshot: &'a MetagraphSnapshot) -> Self {
        let mut uids = HashMap::new();
        for (hotkey, uid) in snapshot.hotkeys.iter().zip(0..) {
            uids.entry(hotkey.as_str()).or_insert(Uid(uid));
        }
        Self(uids)
    }

    /// The uid of a hotkey, where it is registered.
    pub fn uid_of(&self, hotkey: &str) -> Option<Uid> {
        self.0.get(hotkey).copied()
    }
}
