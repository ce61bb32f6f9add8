use taonet_chain::Metagraph;
use taonet_primitives::{BlockNumber, Rao};

/// Numbers of a subnet's neurons by role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeuronCounts {
    /// Number of neurons with a validator permit.
    pub(super) permits: u16,
    /// Number of neurons with a permit that get dividends or have set weights within the activity
    /// cutoff.
    pub(super) validating: u16,
    /// Number of neurons with enough stake to set weights, and with a permit or the owner's hotkey,
    /// which needs none.
    pub(super) can_set_weights: u16,
    /// Number of neurons that a registration on a full subnet can replace. The owner's hotkey is
    /// never replaced.
    pub(super) not_immune: u16,
    /// Number of neurons with the owner's hotkey.
    pub(super) owners: u16,
}

/// Returns the number of blocks since a block.
fn age(metagraph: &Metagraph, since: BlockNumber) -> u64 {
    u64::from(metagraph.block.number.get().saturating_sub(since.get()))
}

impl NeuronCounts {
    pub(super) fn count(
        metagraph: &Metagraph,
        stake_threshold: Rao,
        immunity_blocks: u64,
        activity_cutoff_blocks: u64,
    ) -> Self {
        let mut counts =
            Self { permits: 0, validating: 0, can_set_weights: 0, not_immune: 0, owners: 0 };
        for neuron in &metagraph.neurons {
            let has_permit = neuron.validator_permit;
            let is_owner = neuron.hotkey == metagraph.owner_hotkey;
            // A registration also sets the block of the last update.
            let is_recent = neuron.last_update > neuron.registered_at
                && age(metagraph, neuron.last_update) <= activity_cutoff_blocks;
            let validates = has_permit && (neuron.dividends > 0 || is_recent);
            let can_validate = (has_permit || is_owner) && neuron.total_stake >= stake_threshold;
            let is_prunable = !is_owner && age(metagraph, neuron.registered_at) >= immunity_blocks;
            counts.permits += u16::from(has_permit);
            counts.validating += u16::from(validates);
            counts.can_set_weights += u16::from(can_validate);
            counts.not_immune += u16::from(is_prunable);
            counts.owners += u16::from(is_owner);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use taonet_chain::testing::{metagraph, neuron};
    use taonet_chain::{Block, Neuron};
    use taonet_primitives::{Alpha, BlockHash, Coldkey, Hotkey, NetUid, Uid};
    use taonet_wallet::Keypair;

    use super::*;

    /// A miner without a permit that was registered in block 100.
    fn miner(uid: u16) -> Neuron {
        Neuron {
            total_stake: Rao::new(10),
            alpha_stake: Alpha::new(10),
            last_update: BlockNumber::new(100),
            registered_at: BlockNumber::new(100),
            ..neuron(Uid(uid), Hotkey::from_bytes([uid as u8; 32]), Coldkey::from_bytes([99; 32]))
        }
    }

    /// Counts neurons in block 1000, with a threshold of 10, an immunity of 900 blocks and a cutoff
    /// of 50.
    fn count_at_block(neurons: Vec<Neuron>) -> NeuronCounts {
        let metagraph = Metagraph {
            block: Block { number: BlockNumber::new(1_000), hash: BlockHash::from_bytes([1; 32]) },
            owner_hotkey: Hotkey::from_bytes([0; 32]),
            neurons,
            ..metagraph(NetUid(59), &Keypair::from_uri("//owner").unwrap())
        };
        NeuronCounts::count(&metagraph, Rao::new(10), 900, 50)
    }

    /// Columns: neuron · permits · validating · able to set weights · not immune · owners
    #[test]
    fn neurons_are_counted_by_role() {
        let block = BlockNumber::new;
        let validator = || Neuron { validator_permit: true, ..miner(1) };
        for (neuron, expected) in [
            (miner(1), [0, 0, 0, 1, 0]),
            (
                Neuron { registered_at: block(101), last_update: block(101), ..miner(1) },
                [0, 0, 0, 0, 0],
            ),
            // The owner's hotkey needs stake, but no permit, and is never replaced.
            (miner(0), [0, 0, 1, 0, 1]),
            (Neuron { total_stake: Rao::new(9), ..miner(0) }, [0, 0, 0, 0, 1]),
            // A miner with stake can have a permit and never set weights.
            (validator(), [1, 0, 1, 1, 0]),
            (Neuron { total_stake: Rao::new(9), ..validator() }, [1, 0, 0, 1, 0]),
            (Neuron { last_update: block(950), ..validator() }, [1, 1, 1, 1, 0]),
            (Neuron { last_update: block(949), ..validator() }, [1, 0, 1, 1, 0]),
            (Neuron { last_update: block(949), dividends: 1, ..validator() }, [1, 1, 1, 1, 0]),
            (
                Neuron { registered_at: block(990), last_update: block(990), ..validator() },
                [1, 0, 1, 0, 0],
            ),
        ] {
            let NeuronCounts { permits, validating, can_set_weights, not_immune, owners } =
                count_at_block(vec![neuron.clone()]);
            assert_eq!(
                [permits, validating, can_set_weights, not_immune, owners],
                expected,
                "{neuron:?}"
            );
        }
    }
}
