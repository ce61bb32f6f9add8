//! Groups: blocks that share a commit, and the thread that commits one while the author builds the
//! next.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use crate::chain::{Chain, NewBlock};
use crate::pool::{IncludedExtrinsic, TxEvent};
use crate::store::{StagedBlock, StoreError};

/// Maximum number of blocks per group. The memory of so few blocks stays in the caches of the
/// threads that build and commit them: with 64, an empty block takes a quarter longer.
pub(super) const MAX_GROUP_BLOCKS: usize = 8;
/// Maximum bytes of uncommitted trie nodes.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// A block that is not committed yet, with the status senders of its extrinsics.
pub(super) struct PendingBlock {
    pub(super) block: NewBlock,
    pub(super) included: Vec<IncludedExtrinsic>,
}

/// Blocks that share a commit.
#[derive(Default)]
pub(super) struct BlockGroup {
    staged: Vec<StagedBlock>,
    pending: Vec<PendingBlock>,
    node_bytes: usize,
}

impl BlockGroup {
    pub(super) fn push(&mut self, staged: StagedBlock, pending: PendingBlock) {
        self.node_bytes += staged.node_bytes();
        self.staged.push(staged);
        self.pending.push(pending);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.staged.len() >= MAX_GROUP_BLOCKS || self.node_bytes >= MAX_GROUP_BYTES
    }

    /// Commits the blocks, then announces them.
    pub(super) fn commit(self, chain: &Chain) -> Result<(), StoreError> {
        if let Err(error) = chain.store.commit(&self.staged) {
            self.drop_extrinsics();
            return Err(error);
        }
        for PendingBlock { block, included } in self.pending {
            let hash = block.head.hash;
            chain.publish(block);
            for extrinsic in included {
                extrinsic.status_sender.send(TxEvent::InBlock(hash));
                extrinsic.status_sender.send(TxEvent::Finalized(hash));
            }
        }
        Ok(())
    }

    /// Reports the extrinsics of uncommitted blocks as dropped.
    pub(super) fn drop_extrinsics(self) {
        for extrinsic in self.pending.into_iter().flat_map(|pending| pending.included) {
            extrinsic.status_sender.send(TxEvent::Dropped);
        }
    }
}

/// A thread that commits groups one after another; it ends when the committer is dropped.
pub(super) struct Committer<'scope> {
    groups: Sender<BlockGroup>,
    results: Receiver<Result<(), StoreError>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope> Committer<'scope> {
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, chain: Arc<Chain>) -> Self {
        let (groups, queue) = channel::<BlockGroup>();
        let (sender, results) = channel();
        let thread = scope.spawn(move || {
            for group in queue {
                let _ = sender.send(group.commit(&chain));
            }
        });
        Self { groups, results, thread: Some(thread) }
    }

    /// Queues a group. The results arrive in the order of the groups.
    pub(super) fn send(&self, group: BlockGroup) {
        // If the thread panicked, `recv_result` resumes the panic.
        let _ = self.groups.send(group);
    }

    /// Waits for the commit of the oldest queued group.
    ///
    /// # Errors
    /// The error of the commit.
    ///
    /// # Panics
    /// If the commit panicked.
    pub(super) fn recv_result(&mut self) -> Result<(), StoreError> {
        if let Ok(result) = self.results.recv() {
            return result;
        }
        match self.thread.take().map(ScopedJoinHandle::join) {
            Some(Err(panic)) => resume_unwind(panic),
            _ => unreachable!("the thread ends without a panic only after its queue"),
        }
    }
}
