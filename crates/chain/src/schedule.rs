use serde::{Deserialize, Serialize};
use taonet_primitives::BlockNumber;

/// The weight limits and the epoch schedule of a subnet, read at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightRules {
    /// The number of neurons on the subnet.
    pub neurons: u16,
    /// The minimum number of weights in a row. On a subnet with fewer neurons, a row needs a weight
    /// for each of them.
    pub min_allowed_weights: u16,
    /// The maximum share of one weight, in parts of 65535.
    pub max_weights_limit: u16,
    /// The minimum version key; 0 accepts every version.
    pub version_key: u64,
    /// The minimum number of blocks between two weight submissions of a neuron.
    pub rate_limit_blocks: u64,
    /// The commit-reveal parameters; `None` if commit-reveal is disabled.
    pub commit_reveal: Option<CommitReveal>,
    /// The number of mechanisms on the subnet.
    pub mechanisms: u8,
    /// The epoch schedule.
    pub schedule: Schedule,
}

/// The commit-reveal parameters of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitReveal {
    /// The number of epochs between commit and reveal.
    pub period_epochs: u64,
    /// The commit-reveal version required in a timelocked commit.
    pub version: u16,
}

/// The epoch schedule of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The number of blocks between two epochs.
    pub tempo: u16,
    /// The block of the last epoch.
    pub last_epoch: BlockNumber,
    /// The block of a manually triggered epoch; `None` if none is pending.
    pub pending_epoch: Option<BlockNumber>,
    /// The number of epochs so far.
    pub epoch_index: u64,
}

impl Schedule {
    /// Returns the block of the next epoch after `current_block`: one tempo after the last epoch,
    /// or earlier if an epoch was triggered manually. `None` for a subnet without epochs (tempo 0).
    pub fn next_epoch(&self, current_block: BlockNumber) -> Option<BlockNumber> {
        if self.tempo == 0 {
            return None;
        }
        let tempo_epoch = self.last_epoch.plus(u32::from(self.tempo));
        let next = self.pending_epoch.map_or(tempo_epoch, |pending| pending.min(tempo_epoch));
        Some(next.max(current_block.plus(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_epoch_is_the_earliest_of_tempo_and_pending() {
        let schedule = |tempo, pending: Option<u32>| Schedule {
            tempo,
            last_epoch: BlockNumber::new(100),
            pending_epoch: pending.map(BlockNumber::new),
            epoch_index: 3,
        };
        for (tempo, pending, current_block, next) in [
            (10, None, 100, Some(110)),
            (10, None, 109, Some(110)),
            // Deferred, because too many epochs were due in one block.
            (10, None, 110, Some(111)),
            (10, Some(105), 100, Some(105)),
            (10, Some(115), 100, Some(110)),
            (0, Some(115), 100, None),
        ] {
            let next_epoch = schedule(tempo, pending).next_epoch(BlockNumber::new(current_block));
            assert_eq!(
                next_epoch,
                next.map(BlockNumber::new),
                "tempo {tempo}, pending {pending:?}, now {current_block}"
            );
        }
    }
}
