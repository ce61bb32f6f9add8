use taonet_primitives::{Alpha, BlockHash, BlockNumber, Coldkey, Hotkey, MechId, NetUid, Rao, Uid};
use taonet_wallet::Keypair;

use crate::{Block, Metagraph, Neuron};

/// Returns a subnet without neurons, whose weight epochs are 100 blocks long. Its block is that of
/// genesis, which [`MockChain::set_metagraph`](super::MockChain::set_metagraph) replaces by the
/// newest one in each read.
pub fn metagraph(netuid: NetUid, owner: &Keypair) -> Metagraph {
    Metagraph {
        netuid,
        mech: MechId(0),
        block: Block { number: BlockNumber::new(0), hash: BlockHash::from_bytes([0; 32]) },
        name: String::new(),
        symbol: String::new(),
        tempo: 100,
        max_uids: 256,
        owner_hotkey: owner.hotkey(),
        owner_coldkey: owner.public().coldkey(),
        tao_in: Rao::new(0),
        alpha_in: Alpha::new(0),
        alpha_out: Alpha::new(0),
        burn: Rao::new(0),
        neurons: Vec::new(),
        weights: None,
        bonds: None,
    }
}

/// Returns a neuron without stake, validator permit, axon and results, registered in block 0.
pub fn neuron(uid: Uid, hotkey: Hotkey, coldkey: Coldkey) -> Neuron {
    Neuron {
        uid,
        hotkey,
        coldkey,
        active: true,
        validator_permit: false,
        axon: None,
        total_stake: Rao::new(0),
        alpha_stake: Alpha::new(0),
        tao_stake: Rao::new(0),
        rank: 0,
        trust: 0,
        consensus: 0,
        incentive: 0,
        dividends: 0,
        validator_trust: 0,
        emission: Alpha::new(0),
        pruning_score: 0,
        last_update: BlockNumber::new(0),
        registered_at: BlockNumber::new(0),
    }
}
