//! The first block of a chain: the genesis block, the recorded block of a fork, or a block of
//! another node.

use codec::Encode;
use redb::{ReadableDatabase, WriteTransaction};
use sp_core::H256;
use sp_core::storage::{StateVersion, Storage, StorageMap};
use sp_runtime::Digest;
use sp_runtime::traits::{BlakeTwo256, Hash as _, Header as _};
use sp_state_machine::{BackendTransaction, InMemoryBackend};
use sp_trie::{LayoutV1, empty_trie_root};
use taonet_localnet_runtime::Header;
use taonet_localnet_runtime::genesis::{block_number, set_genesis_hash};
use taonet_localnet_trie::Tree;

use super::named::SNAPSHOTS;
use super::nodes::{NODES, RECENT_NODES};
use super::{
    BODIES, HEADERS, Head, META, NUMBERS, OBSOLETE_NODES, OLDEST_STATE_KEY, Store, StoreError,
};

/// Key of the flag of chains that follow another node.
const FOLLOWER_KEY: u8 = 4;

/// The first block with a state, which is the genesis block unless the chain is a fork or follows
/// another node.
pub(crate) struct FirstBlock {
    pub(super) genesis: Head,
    head: Head,
    extrinsics: Vec<Vec<u8>>,
    nodes: BackendTransaction<BlakeTwo256>,
    is_follower: bool,
}

/// Builds a block without extrinsics that has this state.
fn empty_block(
    number: u32,
    state: &StorageMap,
    parent: H256,
) -> Result<(Head, BackendTransaction<BlakeTwo256>), StoreError> {
    let values = state.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
    let tree = Tree::new(empty_trie_root::<LayoutV1<BlakeTwo256>>());
    // Inserting into a trie of `sp-trie` took a quarter of the instructions of a chain's start.
    let result = tree.with_changes(values, &BackendTransaction::<BlakeTwo256>::default());
    let (state, nodes) = result.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let extrinsics_root = BlakeTwo256::ordered_trie_root(Vec::new(), StateVersion::V0);
    let header = Header::new(number, extrinsics_root, state.root(), parent, Digest::default());
    Ok((Head::of(header), nodes))
}

impl FirstBlock {
    /// Builds the first block of a new chain. A fork begins with the block after which it
    /// continues, whose parent is the genesis block.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the state has child tries, which no pallet uses.
    pub(crate) fn from_genesis(mut genesis: Storage) -> Result<Self, StoreError> {
        if !genesis.children_default.is_empty() {
            return Err(StoreError::Corrupt("the genesis state has child tries".to_owned()));
        }
        let (genesis, (head, nodes)) = match block_number(&genesis) {
            0 => {
                let (head, nodes) = empty_block(0, &genesis.top, H256::zero())?;
                (head.clone(), (head, nodes))
            }
            number => {
                let (genesis_head, _) = empty_block(0, &genesis.top, H256::zero())?;
                set_genesis_hash(&mut genesis, genesis_head.hash);
                (genesis_head.clone(), empty_block(number, &genesis.top, genesis_head.hash)?)
            }
        };
        Ok(Self { genesis, head, nodes, extrinsics: Vec::new(), is_follower: false })
    }

    /// Builds the first block of a chain that follows another node, from a block of that node and
    /// its state.
    ///
    /// # Errors
    /// The root of `state`, if it is not the state root of the block.
    pub(crate) fn from_leader(
        genesis: Head,
        head: Head,
        extrinsics: Vec<Vec<u8>>,
        state: StorageMap,
    ) -> Result<Self, H256> {
        let storage = Storage { top: state, ..Storage::default() };
        let state: InMemoryBackend<BlakeTwo256> = (storage, StateVersion::V1).into();
        if state.root() != head.header.state_root() {
            return Err(*state.root());
        }
        Ok(Self { genesis, head, nodes: state.into_storage(), extrinsics, is_follower: true })
    }

    /// Returns the head of the block.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

impl Store {
    /// Writes the first block into empty tables.
    pub(super) fn write_first_block(
        &self,
        write_txn: &WriteTransaction,
        first_block: FirstBlock,
    ) -> Result<(), StoreError> {
        let FirstBlock { genesis, head, extrinsics, nodes, is_follower } = first_block;
        if is_follower {
            write_txn.open_table(META)?.insert(FOLLOWER_KEY, 1)?;
        }
        // In a fork, the blocks between genesis and the first one then count as pruned.
        write_txn.open_table(HEADERS)?.insert(0, genesis.encode().as_slice())?;
        write_txn.open_table(NUMBERS)?.insert(&genesis.hash.0, 0)?;
        self.write_blocks(write_txn, &[self.stage(head, extrinsics, nodes)])
    }

    /// Replaces all blocks, states and named snapshots with a first block, in one transaction. No
    /// block may be staged.
    ///
    /// # Errors
    /// [`StoreError`]; the chain is then unchanged.
    pub(crate) fn restart(&self, first_block: FirstBlock) -> Result<(), StoreError> {
        let write_txn = self.database.begin_write()?;
        write_txn.delete_table(HEADERS)?;
        write_txn.delete_table(BODIES)?;
        write_txn.delete_table(NUMBERS)?;
        write_txn.delete_table(OBSOLETE_NODES)?;
        write_txn.delete_table(NODES)?;
        write_txn.delete_table(RECENT_NODES)?;
        write_txn.delete_table(SNAPSHOTS)?;
        write_txn.open_table(META)?.remove(OLDEST_STATE_KEY)?;
        let result = self
            .write_first_block(&write_txn, first_block)
            .and_then(|()| self.commit_and_clear_cache(write_txn));
        if result.is_err() {
            self.discard_staged();
        }
        result
    }

    /// Whether the chain follows another node.
    pub(crate) fn is_follower(&self) -> Result<bool, StoreError> {
        let meta = self.database.begin_read()?.open_table(META)?;
        Ok(meta.get(FOLLOWER_KEY)?.is_some())
    }

    /// Marks the chain as independent: this node produces its next blocks.
    pub(crate) fn clear_follower(&self) -> Result<(), StoreError> {
        let write_txn = self.database.begin_write()?;
        write_txn.open_table(META)?.remove(FOLLOWER_KEY)?;
        Ok(write_txn.commit()?)
    }
}
