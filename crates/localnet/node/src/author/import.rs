//! Import of blocks that another node produced: executes them, and compares the results with their
//! headers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use codec::Encode;
use sp_core::H256;
use sp_core::storage::StateVersion;
use sp_runtime::ApplyExtrinsicResult;
use sp_runtime::traits::{BlakeTwo256, Header as _};
use sp_state_machine::BackendTransaction;
use taonet_localnet_runtime::Header;
use taonet_localnet_runtime::dev::StorageEntry;

use super::{Author, AuthorError, PendingBlock};
use crate::chain::NewBlock;
use crate::execute::{CallError, Overlay, call, call_as};
use crate::meter;
use crate::store::{CachedState, FirstBlock, Head, RevertTarget, StoreError};

/// Why a block of another node was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The block does not follow the newest block.
    #[error("block {number} ({hash:?}) has parent {parent:?}, but the newest block is {newest:?}")]
    NotNext {
        /// The block's height.
        number: u32,
        /// The block's hash.
        hash: H256,
        /// The parent in the block's header.
        parent: H256,
        /// The newest block.
        newest: H256,
    },
    /// A call to the runtime failed.
    #[error("cannot execute block {number} ({hash:?}): {source}")]
    Call {
        /// The block's height.
        number: u32,
        /// The block's hash.
        hash: H256,
        /// The error of the call.
        source: CallError,
    },
    /// The runtime refused an extrinsic of the block.
    #[error("cannot execute block {number} ({hash:?}): its extrinsic {index} is refused: {reason}")]
    Extrinsic {
        /// The block's height.
        number: u32,
        /// The block's hash.
        hash: H256,
        /// The index of the extrinsic in the block.
        index: usize,
        /// The runtime's reason.
        reason: String,
    },
    /// The state of the block's parent cannot be read.
    #[error("cannot execute block {number} ({hash:?}): {reason}")]
    UnreadableState {
        /// The block's height.
        number: u32,
        /// The block's hash.
        hash: H256,
        /// Why the state cannot be read.
        reason: String,
    },
    /// The result of the block's execution here differs from the block's header.
    #[error(
        "block {number} ({hash:?}) differs from its result on this node: its {part} is {received}, here it is {computed}; \
         hint: run the same version of tao on both nodes"
    )]
    HeaderMismatch {
        /// The block's height.
        number: u32,
        /// The block's hash.
        hash: H256,
        /// The part of the header that differs.
        part: &'static str,
        /// The value in the block's header.
        received: String,
        /// The value on this node.
        computed: String,
    },
}

/// A block that another node produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) head: Head,
    pub(crate) extrinsics: Vec<Vec<u8>>,
}

impl Block {
    fn call_failed(&self, source: CallError) -> ImportError {
        ImportError::Call { number: self.head.number(), hash: self.head.hash, source }
    }

    /// Returns the error for a part of the block's header that differs from the result on this
    /// node.
    fn mismatch(
        &self,
        part: &'static str,
        received: &impl Debug,
        computed: &impl Debug,
    ) -> ImportError {
        let (received, computed) = (format!("{received:?}"), format!("{computed:?}"));
        ImportError::HeaderMismatch {
            number: self.head.number(),
            hash: self.head.hash,
            part,
            received,
            computed,
        }
    }
}

/// A block that another node produced, with its complete state and the genesis block of its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) genesis: Head,
    pub(crate) block: Block,
    pub(crate) state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Checkpoint {
    /// Builds the first block of a chain.
    ///
    /// # Errors
    /// [`ImportError::HeaderMismatch`] if the state is not that of the block.
    pub(crate) fn into_first_block(self) -> Result<FirstBlock, ImportError> {
        let Self { genesis, block, state } = self;
        FirstBlock::from_leader(genesis, block.head.clone(), block.extrinsics.clone(), state)
            .map_err(|computed| {
                block.mismatch("state root", block.head.header.state_root(), &computed)
            })
    }
}

impl Author {
    /// Reverts the chain to a stored block.
    pub(super) fn rewind(&mut self, hash: H256) -> Result<(), AuthorError> {
        match self.chain.store.state(hash)? {
            Some((head, Some(state))) => {
                self.revert_to(RevertTarget { head, state, time: self.time })
            }
            _ => Err(StoreError::Damaged("the state of a block is missing").into()),
        }
    }

    /// Replaces the whole chain by a block of the followed node.
    pub(super) fn restart(&mut self, checkpoint: Checkpoint) -> Result<(), AuthorError> {
        let first = checkpoint.into_first_block()?;
        let head = first.head().clone();
        self.chain.restart(first)?;
        tracing::info!(
            block = head.number(),
            left = self.tip.number(),
            "chain replaced by a fetched state"
        );
        meter::set_height(head.number());
        self.tip = head;
        self.refresh_last_timestamp()
    }

    /// Imports and commits blocks of the followed node, up to the first one that is refused.
    pub(super) fn import(&mut self, blocks: Vec<Block>) -> Result<(), AuthorError> {
        let mut result = Ok(());
        for block in blocks {
            result = self.import_block(block);
            if result.is_err() {
                break;
            }
            if self.group.is_full() {
                self.commit()?;
            }
        }
        self.commit()?;
        self.refresh_last_timestamp()?;
        result
    }

    fn import_block(&mut self, block: Block) -> Result<(), AuthorError> {
        let start = Instant::now();
        let state = self.chain.store.tip_state(&self.tip)?;
        let ExecutedBlock { nodes, changes } = execute(&self.tip, &state, &block)?;
        let Block { head, extrinsics } = block;
        state.advance(head.header.state_root, &changes);
        let staged = self.stage(&head, extrinsics, nodes);
        let included = self.chain.pool.advance(head.clone(), &[], &[]);
        self.group.push(staged, PendingBlock { block: NewBlock { head, changes }, included });
        meter::record_import(self.tip.number(), start.elapsed());
        Ok(())
    }
}

/// The effect of an imported block.
struct ExecutedBlock {
    nodes: BackendTransaction<BlakeTwo256>,
    changes: Vec<StorageEntry>,
}

/// Executes a block on the state of its parent.
///
/// # Errors
/// [`ImportError`] if the block does not follow `parent`, is invalid, or its result differs from
/// its header.
fn execute(
    parent: &Head,
    state: &CachedState,
    block: &Block,
) -> Result<ExecutedBlock, ImportError> {
    let (hash, header, number) = (block.head.hash, &block.head.header, block.head.number());
    if *header.parent_hash() != parent.hash || number != parent.number().saturating_add(1) {
        return Err(ImportError::NotNext {
            number,
            hash,
            parent: *header.parent_hash(),
            newest: parent.hash,
        });
    }
    let mut overlay = Overlay::default();
    call(&mut overlay, state, "Core_initialize_block", &header.encode())
        .map_err(|source| block.call_failed(source))?;
    for (index, extrinsic) in block.extrinsics.iter().enumerate() {
        let applied: ApplyExtrinsicResult =
            call_as(&mut overlay, state, "BlockBuilder_apply_extrinsic", extrinsic)
                .map_err(|source| block.call_failed(source))?;
        // A call that fails is part of a valid block.
        let _ = applied.map_err(|error| {
            let reason = error.to_string();
            ImportError::Extrinsic { number, hash, index, reason }
        })?;
    }
    let computed_header: Header = call_as(&mut overlay, state, "BlockBuilder_finalize_block", &[])
        .map_err(|source| block.call_failed(source))?;
    if computed_header.extrinsics_root() != header.extrinsics_root() {
        return Err(block.mismatch(
            "extrinsics root",
            header.extrinsics_root(),
            computed_header.extrinsics_root(),
        ));
    }
    if computed_header.digest() != header.digest() {
        return Err(block.mismatch("digest", header.digest(), computed_header.digest()));
    }
    let changes = overlay
        .drain_storage_changes(state, StateVersion::V1)
        .and_then(|changes| state.check_roots().map(|()| changes))
        .map_err(|reason| ImportError::UnreadableState { number, hash, reason })?;
    if changes.transaction_storage_root != *header.state_root() {
        return Err(block.mismatch(
            "state root",
            header.state_root(),
            &changes.transaction_storage_root,
        ));
    }
    if computed_header != *header {
        return Err(block.mismatch("header", header, &computed_header));
    }
    Ok(ExecutedBlock { nodes: changes.transaction, changes: changes.main_storage_changes })
}

#[cfg(test)]
mod tests;
