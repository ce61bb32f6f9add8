//! What everybody shares: the store, the pool, the head that clients see.

use std::sync::{Arc, PoisonError, RwLock};

use sp_core::H256;
use taonet_localnet_runtime::AccountId;
use tokio::sync::{broadcast, oneshot};

use crate::execute::{CallError, Overlay, call};
use crate::pool::{Pool, SubmitError, Watcher};
use crate::store::{Head, State, Store, StoreError};

/// New blocks that a subscriber may lag behind before it skips some.
const BACKLOG: usize = 256;

/// A block that is on disk, as subscribers hear of it.
#[derive(Debug)]
pub(crate) struct NewBlock {
    pub(crate) head: Head,
    /// Storage that the block changed.
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A state that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StateError {
    /// No block has this hash.
    #[error("UnknownBlock: Header was not found in the database: {0:?}")]
    UnknownBlock(H256),
    /// The block is older than the history that is kept.
    #[error("UnknownBlock: State already discarded for {0:?}")]
    Discarded(H256),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trie failed.
    #[error("{0}")]
    Trie(String),
    /// The runtime failed.
    #[error("Execution failed: {0}")]
    Call(#[from] CallError),
}

/// The chain as the RPC and the author see it.
pub(crate) struct Chain {
    pub(crate) store: Store,
    pub(crate) pool: Pool,
    pub(crate) genesis: H256,
    head: RwLock<Head>,
    news: broadcast::Sender<Arc<NewBlock>>,
    /// Dropped after the store: whoever holds the other end knows then that the file is closed.
    _closed: oneshot::Sender<()>,
}

impl Chain {
    /// A chain, and what ends when its last user is gone and its file is closed.
    pub(crate) fn new(store: Store, pool: Pool, genesis: H256, head: Head) -> (Self, oneshot::Receiver<()>) {
        let (closing, closed) = oneshot::channel();
        let (head, news) = (RwLock::new(head), broadcast::channel(BACKLOG).0);
        (Self { store, pool, genesis, head, news, _closed: closing }, closed)
    }

    /// The newest block on disk.
    pub(crate) fn head(&self) -> Head {
        self.head.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hears of every block from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<NewBlock>> {
        self.news.subscribe()
    }

    /// A block is on disk.
    pub(crate) fn publish(&self, block: NewBlock) {
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = block.head.clone();
        // Nobody listens: fine.
        let _ = self.news.send(Arc::new(block));
    }

    /// The state after the block of this hash, or after the newest one.
    pub(crate) fn state(&self, at: Option<H256>) -> Result<(Head, State), StateError> {
        let hash = at.unwrap_or_else(|| self.head().hash);
        let (head, state) = self.store.state(hash)?.ok_or(StateError::UnknownBlock(hash))?;
        Ok((head, state.ok_or(StateError::Discarded(hash))?))
    }

    /// Calls the runtime on the state after the block of this hash, or after the newest one; changes are forgotten.
    pub(crate) fn call(&self, at: Option<H256>, method: &str, data: &[u8]) -> Result<Vec<u8>, StateError> {
        let (_, state) = self.state(at)?;
        Ok(call(&mut Overlay::default(), &state, method, data)?)
    }

    pub(crate) fn submit(&self, bytes: Vec<u8>, watcher: Watcher) -> Result<H256, SubmitError> {
        self.pool.submit(&self.store, bytes, watcher)
    }

    pub(crate) fn next_nonce(&self, account: &AccountId) -> Result<u32, SubmitError> {
        self.pool.next_nonce(&self.store, account)
    }
}
