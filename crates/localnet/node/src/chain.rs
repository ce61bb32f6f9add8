//! State shared by the RPC server and the author: the store, the pool, and the published head.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sp_core::H256;
use taonet_localnet_runtime::AccountId;
use taonet_localnet_runtime::dev::StorageEntry;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};

use crate::execute::{CallError, Overlay, call};
use crate::follow::Leader;
use crate::pool::{Pool, StatusSender, SubmitError};
use crate::store::{FirstBlock, Head, SnapshotError, State, Store, StoreError, TimeSetting};

/// Capacity of a subscriber's block channel; a subscriber that lags further behind misses blocks.
const EVENT_CAPACITY: usize = 256;

/// A committed block, as published to subscribers.
#[derive(Debug)]
pub(crate) struct NewBlock {
    pub(crate) head: Head,
    /// The storage changes of the block.
    pub(crate) changes: Vec<StorageEntry>,
}

/// An event for subscribers.
#[derive(Debug)]
pub(crate) enum ChainEvent {
    /// A block was committed.
    Block(NewBlock),
    /// The chain was reverted to this block.
    Reverted(Head),
}

/// Why a state is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StateError {
    /// The hash does not belong to a known block.
    #[error("UnknownBlock: Header was not found in the database: {0:?}")]
    UnknownBlock(H256),
    /// The block's state was pruned.
    #[error("UnknownBlock: State already discarded for {0:?}")]
    Discarded(H256),
    /// The chain is being replaced.
    #[error("the chain is being replaced by a fetched state; hint: retry")]
    Restarting,
    /// Reading the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading the trie failed.
    #[error("{0}")]
    Trie(String),
    /// A call to the runtime failed.
    #[error("Execution failed: {0}")]
    Call(#[from] CallError),
}

/// The chain, as used by the RPC server and the author.
pub(crate) struct Chain {
    pub(crate) store: Store,
    pub(crate) pool: Pool,
    pub(crate) genesis: H256,
    /// The node that this one follows, if any.
    pub(crate) leader: Option<Arc<Leader>>,
    /// The number of newest blocks that are not finalized.
    pub(crate) finality_lag: u32,
    head: RwLock<Head>,
    /// Whether [`Self::restart`] is running.
    is_restarting: AtomicBool,
    events: broadcast::Sender<Arc<ChainEvent>>,
    /// Dropped after `store`, which signals the receiver that the database file is closed.
    _closed: oneshot::Sender<()>,
}

impl Chain {
    /// Creates a chain, and a receiver that resolves when the last reference is dropped and the
    /// database file is closed.
    pub(crate) fn new(
        store: Store,
        pool: Pool,
        genesis: H256,
        head: Head,
    ) -> (Self, oneshot::Receiver<()>) {
        let (closing, closed) = oneshot::channel();
        let (head, events) = (RwLock::new(head), broadcast::channel(EVENT_CAPACITY).0);
        let is_restarting = AtomicBool::new(false);
        let chain = Self {
            store,
            pool,
            genesis,
            leader: None,
            finality_lag: 0,
            head,
            is_restarting,
            events,
            _closed: closing,
        };
        (chain, closed)
    }

    /// Returns the newest committed block.
    pub(crate) fn head(&self) -> Head {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the newest finalized block.
    pub(crate) fn finalized(&self) -> Result<Head, StoreError> {
        self.finalized_at(&self.head())
    }

    /// Returns the newest finalized block while `head` is the newest committed one. If the chain
    /// begins later, as a fork does, that is its first block.
    pub(crate) fn finalized_at(&self, head: &Head) -> Result<Head, StoreError> {
        for number in head.number().saturating_sub(self.finality_lag)..head.number() {
            if let Some(hash) = self.store.hash(number)?
                && let Some(header) = self.store.header(hash)?
            {
                return Ok(Head { hash, header });
            }
        }
        Ok(head.clone())
    }

    /// Waits until a committed block is finalized; returns false if it is reverted before.
    pub(crate) async fn wait_until_final(&self, hash: H256) -> bool {
        loop {
            let (head, mut events) = self.subscribe();
            match self.store.header(hash) {
                Ok(Some(header))
                    if header.number.saturating_add(self.finality_lag) <= head.number() =>
                {
                    return true;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
            if let Err(RecvError::Closed) = events.recv().await {
                return false;
            }
        }
    }

    /// Returns the newest committed block, and subscribes to the events after it.
    pub(crate) fn subscribe(&self) -> (Head, broadcast::Receiver<Arc<ChainEvent>>) {
        let head = self.head.read().unwrap_or_else(PoisonError::into_inner);
        (head.clone(), self.events.subscribe())
    }

    /// Publishes a committed block.
    pub(crate) fn publish(&self, block: NewBlock) {
        self.set_head_and_notify(block.head.clone(), ChainEvent::Block(block));
    }

    /// Sets the head and notifies subscribers, without a gap in which [`Self::subscribe`] could
    /// miss or repeat an event.
    fn set_head_and_notify(&self, head: Head, event: ChainEvent) {
        let mut newest = self.head.write().unwrap_or_else(PoisonError::into_inner);
        *newest = head;
        // Without subscribers the send fails, which is fine.
        let _ = self.events.send(Arc::new(event));
    }

    /// Reverts the chain to an earlier block and time: deletes the later blocks, and drops all
    /// pooled extrinsics.
    ///
    /// # Errors
    /// [`StoreError`]; the chain is then unchanged, but the pool is empty.
    pub(crate) fn revert(&self, target: &Head, time: TimeSetting) -> Result<(), StoreError> {
        let previous_head = self.head();
        // Published first: this block exists before and after the deletion, so every request finds
        // a state.
        self.pool.reset(target.clone());
        self.set_head_and_notify(target.clone(), ChainEvent::Reverted(target.clone()));
        let result = self.store.revert(target, time);
        if result.is_err() {
            self.pool.reset(previous_head.clone());
            self.set_head_and_notify(previous_head.clone(), ChainEvent::Reverted(previous_head));
        }
        result
    }

    /// Replaces the chain with one that begins with another block.
    ///
    /// # Errors
    /// [`StoreError`]; the chain is then unchanged.
    pub(crate) fn restart(&self, first: FirstBlock) -> Result<(), StoreError> {
        let head = first.head().clone();
        // Writing a whole state takes seconds. Until then, requests read the old chain.
        self.is_restarting.store(true, Ordering::SeqCst);
        let result = self.store.restart(first);
        if result.is_ok() {
            self.pool.reset(head.clone());
            self.set_head_and_notify(head.clone(), ChainEvent::Reverted(head));
        }
        self.is_restarting.store(false, Ordering::SeqCst);
        result
    }

    /// Returns the state after the block with this hash; without a hash, after the newest block.
    pub(crate) fn state(&self, at: Option<H256>) -> Result<(Head, State), StateError> {
        let mut hash = at.unwrap_or_else(|| self.head().hash);
        loop {
            if let Some((head, state)) = self.store.state(hash)? {
                return Ok((head, state.ok_or(StateError::Discarded(hash))?));
            }
            // The newest block may have been replaced meanwhile.
            let newest = self.head().hash;
            if at.is_none() && newest == hash && self.is_restarting.load(Ordering::SeqCst) {
                return Err(StateError::Restarting);
            }
            if at.is_some() || newest == hash {
                return Err(StateError::UnknownBlock(hash));
            }
            hash = newest;
        }
    }

    /// Calls the runtime on the state after the block with this hash; without a hash, after the
    /// newest block. Discards all changes.
    pub(crate) fn call(
        &self,
        at: Option<H256>,
        method: &str,
        data: &[u8],
    ) -> Result<Vec<u8>, StateError> {
        let (_, state) = self.state(at)?;
        Ok(call(&mut Overlay::default(), &state, method, data)?)
    }

    /// Submits an extrinsic to this node's pool.
    ///
    /// # Errors
    /// [`SubmitError`]; [`SubmitError::Unreachable`] if the node follows another one, whose pool
    /// has all extrinsics.
    pub(crate) fn submit(
        &self,
        bytes: Vec<u8>,
        status_sender: StatusSender,
    ) -> Result<H256, SubmitError> {
        if let Some(leader) = &self.leader {
            return Err(SubmitError::Unreachable(leader.url().to_owned()));
        }
        self.pool.submit(&self.store, bytes, status_sender)
    }

    /// Returns the store for changes of its named snapshots, which a node that follows another one
    /// refuses.
    ///
    /// # Errors
    /// [`SnapshotError::Following`] if the node follows another one.
    pub(crate) fn snapshot_store(&self) -> Result<&Store, SnapshotError> {
        match &self.leader {
            Some(leader) => Err(SnapshotError::Following(leader.url().to_owned())),
            None => Ok(&self.store),
        }
    }

    pub(crate) fn next_nonce(&self, account: &AccountId) -> Result<u32, SubmitError> {
        self.pool.next_nonce(&self.store, account)
    }
}
