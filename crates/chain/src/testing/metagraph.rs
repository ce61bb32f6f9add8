use taonet_primitives::{Alpha, BlockHash, BlockNumber, MechId, NetUid, Rao};
use taonet_wallet::Keypair;

use crate::{Block, Metagraph};

/// Returns a subnet without neurons, whose weight epochs are 100 blocks long. Its block is that of genesis, which
/// [`MockChain::set_metagraph`](super::MockChain::set_metagraph) replaces by the newest one in each read.
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
