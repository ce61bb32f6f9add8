use serde::{Deserialize, Serialize};
use taonet_primitives::BlockNumber;

/// What decides how and when weights may be set on a subnet's mechanism, read at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightRules {
    /// How many neurons the subnet has.
    pub neurons: u16,
    /// Weights for fewer neurons than this are refused (or than there are neurons).
    pub min_allowed_weights: u16,
    /// The largest share of one neuron, 65535 being all.
    pub max_weights_limit: u16,
    /// The lowest version key that is accepted; 0 accepts all.
    pub version_key: u64,
    /// So many blocks must lie between two submissions.
    pub rate_limit_blocks: u64,
    /// How weights are hidden until later, where they are.
    pub commit_reveal: Option<CommitReveal>,
    /// How many mechanisms the subnet has.
    pub mechanisms: u8,
    /// When the epochs are.
    pub schedule: Schedule,
}

/// How a subnet hides weights until later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReveal {
    /// A commit is revealed so many epochs after it was made.
    pub period_epochs: u64,
    /// The version that a timelocked commit must name.
    pub version: u16,
}

/// When a subnet's epochs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// So many blocks lie between two epochs.
    pub tempo: u16,
    /// The block of the last epoch.
    pub last_epoch: BlockNumber,
    /// The block at which an epoch was ordered out of turn.
    pub pending_epoch: Option<BlockNumber>,
    /// How many epochs there have been.
    pub epoch_index: u64,
}

impl Schedule {
    /// The block of the next epoch after `now`: the one ordered out of turn, else a tempo after the last one. `None`
    /// for a subnet without epochs (tempo 0).
    pub fn next_epoch(&self, now: BlockNumber) -> Option<BlockNumber> {
        if self.tempo == 0 {
            return None;
        }
        let regular = self.last_epoch.plus(u32::from(self.tempo));
        let next = self.pending_epoch.map_or(regular, |pending| pending.min(regular));
        Some(next.max(now.plus(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_epoch() {
        let at = |tempo, pending: Option<u32>| Schedule {
            tempo,
            last_epoch: BlockNumber::new(100),
            pending_epoch: pending.map(BlockNumber::new),
            epoch_index: 3,
        };
        for (tempo, pending, now, next) in [
            (10, None, 100, Some(110)),
            (10, None, 109, Some(110)),
            // Put off, because too many were due in one block.
            (10, None, 110, Some(111)),
            (10, Some(105), 100, Some(105)),
            (10, Some(115), 100, Some(110)),
            (0, Some(115), 100, None),
        ] {
            let found = at(tempo, pending).next_epoch(BlockNumber::new(now));
            assert_eq!(found, next.map(BlockNumber::new), "tempo {tempo}, pending {pending:?}, now {now}");
        }
    }
}
