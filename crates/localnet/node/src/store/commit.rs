//! Commits: staged blocks are written, and old ones pruned, in one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use codec::{Decode, Encode};
use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::BackendTransaction;

use super::nodes::{
    MAX_RECENT_NODES, NODES, Node, NodeName, RECENT_NODES, creation_block_of, find_node, nodes_in,
    recent_row, row_key,
};
use super::{
    BODIES, HEADERS, Head, History, META, NUMBERS, OBSOLETE_NODES, OLDEST_STATE_KEY, Store,
    StoreError, decode_head, named, oldest_state,
};

/// Maximum number of blocks that a commit prunes in addition to the number of blocks that it adds.
/// Applies when a chain is opened with a shorter history.
pub(super) const MAX_EXTRA_PRUNED: u32 = 64;

/// A block that is built but not committed.
pub(crate) struct StagedBlock {
    pub(crate) head: Head,
    pub(crate) extrinsics: Vec<Vec<u8>>,
    new_nodes: Vec<(NodeName, Arc<Vec<u8>>)>,
    removed_nodes: Vec<(Vec<u8>, Option<u32>)>,
}

impl StagedBlock {
    /// Returns the size of the block's new trie nodes, in bytes.
    pub(crate) fn node_bytes(&self) -> usize {
        self.new_nodes.iter().map(|(name, node)| name.len() + node.len()).sum()
    }

    /// Whether the block's trie nodes become one row of [`RECENT_NODES`].
    pub(super) fn has_recent_row(&self) -> bool {
        self.new_nodes.len() <= MAX_RECENT_NODES
    }
}

impl Store {
    /// Stages a new block in memory until [`Self::commit`].
    pub(crate) fn stage(
        &self,
        head: Head,
        extrinsics: Vec<Vec<u8>>,
        mut nodes: BackendTransaction<BlakeTwo256>,
    ) -> StagedBlock {
        let created_in = head.number();
        let memory = self.node_memory();
        let (mut new_nodes, mut removed_nodes) = (Vec::new(), Vec::new());
        for (name, (bytes, references)) in nodes.drain() {
            if references > 0 {
                new_nodes.push((NodeName::from(name), Arc::new(bytes)));
            } else if references < 0 {
                let created_in = memory.created_in_block(&name);
                removed_nodes.push((name, created_in));
            }
        }
        // Staged after the removals, because one block may remove a node and insert it again under
        // the same name.
        for (name, bytes) in &new_nodes {
            memory.stage(name.clone(), Node { created_in, bytes: bytes.clone() });
        }
        StagedBlock { head, extrinsics, new_nodes, removed_nodes }
    }

    /// Commits the oldest staged blocks and prunes old ones, in one transaction. Later blocks may
    /// be staged meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; the blocks then stay staged until [`Self::discard_staged`].
    pub(crate) fn commit(&self, blocks: &[StagedBlock]) -> Result<(), StoreError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let write_txn = self.database.begin_write()?;
        self.write_blocks(&write_txn, blocks)?;
        let removed = self.prune(&write_txn, blocks)?;
        write_txn.commit()?;
        self.update_memory(blocks);
        self.node_memory().remove_recent(&removed);
        Ok(())
    }

    /// Marks the nodes of blocks as committed.
    fn update_memory(&self, blocks: &[StagedBlock]) {
        let memory = self.node_memory();
        for block in blocks.iter().filter(|block| block.has_recent_row()) {
            memory.add_recent(block.head.number(), block.new_nodes.iter().map(|(name, _)| &**name));
        }
        if let Some(newest) = blocks.last() {
            memory.drop_committed(newest.head.number());
        }
    }

    /// Discards all staged blocks.
    pub(crate) fn discard_staged(&self) {
        self.node_memory().discard_staged();
    }

    #[allow(clippy::unused_self, reason = "operates on the tables of this store")]
    pub(super) fn write_blocks(
        &self,
        write_txn: &WriteTransaction,
        blocks: &[StagedBlock],
    ) -> Result<(), StoreError> {
        let mut nodes = write_txn.open_table(NODES)?;
        let mut recent = write_txn.open_table(RECENT_NODES)?;
        let mut headers = write_txn.open_table(HEADERS)?;
        let mut bodies = write_txn.open_table(BODIES)?;
        let mut numbers = write_txn.open_table(NUMBERS)?;
        let mut obsolete = write_txn.open_table(OBSOLETE_NODES)?;
        for block in blocks {
            let number = block.head.number();
            // If a block without a row has recreated a node, the creation block in memory is
            // outdated.
            let oldest = recent.first()?.map_or(number, |(oldest, _)| oldest.value());
            let has_all_rows = recent.len()? == u64::from(number.saturating_sub(oldest));
            let mut removed_keys = Vec::with_capacity(block.removed_nodes.len());
            for (name, created_in) in &block.removed_nodes {
                let created_in = match created_in {
                    Some(created_in) if has_all_rows => Some(*created_in),
                    created_in => (*created_in).max(
                        find_node(&nodes, name, number.saturating_sub(1))?
                            .map(|(created_in, _)| created_in),
                    ),
                };
                removed_keys.extend(created_in.map(|created_in| row_key(name, created_in)));
            }
            if block.has_recent_row() {
                recent.insert(number, recent_row(&block.new_nodes).as_slice())?;
            } else {
                for (name, bytes) in &block.new_nodes {
                    nodes.insert(row_key(name, number).as_slice(), bytes.as_slice())?;
                }
            }
            obsolete.insert(number, removed_keys.encode().as_slice())?;
            headers.insert(number, block.head.encode().as_slice())?;
            bodies.insert(number, block.extrinsics.encode().as_slice())?;
            numbers.insert(&block.head.hash.0, number)?;
        }
        Ok(())
    }

    /// Prunes the oldest states and blocks, and moves nodes that are still in use from
    /// [`RECENT_NODES`] to [`NODES`]. Returns the nodes that were in removed rows of
    /// [`RECENT_NODES`], with the blocks that created them.
    ///
    /// The state of block `n` still needs the nodes that block `n + 1` made obsolete.
    fn prune(
        &self,
        write_txn: &WriteTransaction,
        added: &[StagedBlock],
    ) -> Result<Vec<(u32, Vec<u8>)>, StoreError> {
        let Some(newest) = added.last().map(|block| block.head.number()) else {
            return Ok(Vec::new());
        };
        let max_pruned =
            u32::try_from(added.len()).unwrap_or(u32::MAX).saturating_add(MAX_EXTRA_PRUNED);
        let mut bodies = write_txn.open_table(BODIES)?;
        let mut recent = write_txn.open_table(RECENT_NODES)?;
        let mut nodes = write_txn.open_table(NODES)?;
        let mut headers = write_txn.open_table(HEADERS)?;
        let mut numbers = write_txn.open_table(NUMBERS)?;
        let mut obsolete = write_txn.open_table(OBSOLETE_NODES)?;
        let mut meta = write_txn.open_table(META)?;
        let oldest = oldest_state(&meta, &bodies)?;
        // A named snapshot keeps the history that the chain had when it was taken.
        let end = named::oldest_snapshot(write_txn)?
            .map_or(newest, |snapshot_block| snapshot_block.min(newest))
            + 1;
        let (first_kept_state, first_kept_block) = match self.history {
            History::Last(max_states) => (
                end.saturating_sub(max_states),
                end.saturating_sub(max_states.max(self.kept_blocks)),
            ),
            History::Archive => (0, 0),
        };
        let mut removed = Vec::new();
        let oldest_kept = oldest.max(first_kept_state.min(oldest.saturating_add(max_pruned)));
        for number in oldest..oldest_kept {
            meta.insert(OLDEST_STATE_KEY, u64::from(number) + 1)?;
            let encoded_keys = obsolete.remove(number + 1)?;
            let encoded_keys = encoded_keys
                .ok_or(StoreError::Damaged("a block's list of obsolete trie nodes is missing"))?;
            let obsolete_keys = HashSet::<Vec<u8>>::from_iter(
                Vec::decode(&mut encoded_keys.value())
                    .map_err(|_| StoreError::Damaged("malformed list of obsolete trie nodes"))?,
            );
            let is_recent =
                move_row(&mut recent, &mut nodes, number, &obsolete_keys, &mut removed)?;
            for key in obsolete_keys
                .iter()
                .filter(|key| !is_recent || creation_block_of(key) != Some(number))
            {
                nodes.remove(key.as_slice())?;
            }
        }
        // The genesis block stays, because clients identify the chain by it. So do blocks whose
        // states are kept.
        let oldest =
            headers.range(1..)?.next().transpose()?.map_or(0, |(number, _)| number.value());
        for number in
            oldest..first_kept_block.min(oldest_kept).min(oldest.saturating_add(max_pruned))
        {
            bodies.remove(number)?;
            let head =
                headers.remove(number)?.ok_or(StoreError::Damaged("a block header is missing"))?;
            let head = decode_head(head.value())?;
            numbers.remove(&head.hash.0)?;
        }
        // The states of these blocks are kept for longer: all their nodes are still in use.
        let first_recent = (newest + 1).saturating_sub(self.history.recent_blocks());
        let oldest = recent.first()?.map_or(first_recent, |(number, _)| number.value());
        for number in oldest..first_recent.min(oldest.saturating_add(max_pruned)) {
            move_row(&mut recent, &mut nodes, number, &HashSet::new(), &mut removed)?;
        }
        Ok(removed)
    }
}

/// Moves a block's nodes from [`RECENT_NODES`] to [`NODES`], except those in `obsolete`, and adds
/// all of them to `moved`. Returns whether the block had a row in [`RECENT_NODES`].
fn move_row(
    recent: &mut Table<'_, u32, &'static [u8]>,
    nodes: &mut Table<'_, &'static [u8], &'static [u8]>,
    number: u32,
    obsolete: &HashSet<Vec<u8>>,
    moved: &mut Vec<(u32, Vec<u8>)>,
) -> Result<bool, StoreError> {
    let Some(row) = recent.remove(number)? else { return Ok(false) };
    for node in nodes_in(row.value()) {
        let (name, bytes) = node?;
        let key = row_key(name, number);
        if !obsolete.contains(&key) {
            nodes.insert(key.as_slice(), bytes)?;
        }
        moved.push((number, name.to_vec()));
    }
    Ok(true)
}
