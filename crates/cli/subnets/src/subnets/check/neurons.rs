use taonet_chain::{Metagraph, Neuron};
use taonet_primitives::{BlockNumber, Rao};

/// How many neurons of a subnet have a property.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Neurons {
    /// They have a validator permit.
    pub(super) permits: u16,
    /// They have a permit, and get dividends or have set weights within the activity cutoff.
    pub(super) validating: u16,
    /// They have a permit, or the owner's hotkey, which needs none; and enough stake to set
    /// weights.
    pub(super) able: u16,
    /// A registration on a full subnet can replace them. The owner's hotkey is never replaced.
    pub(super) not_immune: u16,
    /// They have the owner's hotkey.
    pub(super) owners: u16,
}

impl Neurons {
    pub(super) fn count(
        metagraph: &Metagraph,
        stake_threshold: Rao,
        immunity_blocks: u64,
        activity_cutoff_blocks: u64,
    ) -> Self {
        let count = |is: &dyn Fn(&Neuron) -> bool| {
            metagraph.neurons.iter().filter(|neuron| is(neuron)).count() as u16
        };
        let age = |since: BlockNumber| {
            u64::from(metagraph.block.number.get().saturating_sub(since.get()))
        };
        let is_owner = |neuron: &Neuron| neuron.hotkey == metagraph.owner_hotkey;
        // A registration also sets the block of the last update.
        let is_recent = |neuron: &Neuron| {
            neuron.last_update > neuron.registered_at
                && age(neuron.last_update) <= activity_cutoff_blocks
        };
        let validates = |neuron: &Neuron| {
            neuron.validator_permit && (neuron.dividends > 0 || is_recent(neuron))
        };
        let is_able = |neuron: &Neuron| {
            (neuron.validator_permit || is_owner(neuron)) && neuron.total_stake >= stake_threshold
        };
        let can_go =
            |neuron: &Neuron| !is_owner(neuron) && age(neuron.registered_at) >= immunity_blocks;
        Self {
            permits: count(&|neuron: &Neuron| neuron.validator_permit),
            validating: count(&validates),
            able: count(&is_able),
            not_immune: count(&can_go),
            owners: count(&is_owner),
        }
    }
}

#[cfg(test)]
mod tests {
    use taonet_chain::Block;
    use taonet_chain::testing::{metagraph, neuron};
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
    fn counted(neurons: Vec<Neuron>) -> Neurons {
        let metagraph = Metagraph {
            block: Block { number: BlockNumber::new(1_000), hash: BlockHash::from_bytes([1; 32]) },
            owner_hotkey: Hotkey::from_bytes([0; 32]),
            neurons,
            ..metagraph(NetUid(59), &Keypair::from_uri("//owner").unwrap())
        };
        Neurons::count(&metagraph, Rao::new(10), 900, 50)
    }

    /// Columns: neuron · permits · validating · able · not immune · owners
    #[test]
    fn neurons_count_by_what_they_can_do() {
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
            let Neurons { permits, validating, able, not_immune, owners } =
                counted(vec![neuron.clone()]);
            assert_eq!([permits, validating, able, not_immune, owners], expected, "{neuron:?}");
        }
    }
}
