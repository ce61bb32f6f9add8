use taonet_primitives::BlockNumber;

use crate::{CommitReveal, Schedule, WeightRules};

/// Returns the weight rules of a subnet of nine neurons, whose last epoch was the seventh, at block 0.
pub fn weight_rules(tempo: u16, commit_reveal: Option<CommitReveal>) -> WeightRules {
    WeightRules {
        neurons: 9,
        min_allowed_weights: 1,
        max_weights_limit: u16::MAX,
        version_key: 0,
        rate_limit_blocks: 100,
        commit_reveal,
        mechanisms: 1,
        schedule: Schedule {
            tempo,
            last_epoch: BlockNumber::new(0),
            pending_epoch: None,
            epoch_index: 7,
        },
    }
}
