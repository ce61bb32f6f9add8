//! Reads for single pages, with a timeout and a limit on concurrent reads, and cached by block.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;
use taonet_chain::{At, Block, BlockHeader, ChainError, Client, StorageItem};
use taonet_primitives::{AccountId, BlockHash, NetUid};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::account::Account;
use super::contents::BlockContents;
use super::storage::StorageEntries;
use super::subnet::SubnetDetails;

/// Timeout of a read, including the wait for the reads of other pages.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of concurrent reads.
const MAX_CONCURRENT_READS: usize = 8;
/// Number of results in a cache.
const CACHE_CAPACITY: usize = 64;

/// Source of the data for the pages of a block, an account, a subnet and a storage item.
#[async_trait]
pub(super) trait Node: Send + Sync {
    async fn header(&self, at: At) -> Result<BlockHeader, ChainError>;
    async fn contents(&self, block: Block) -> Result<BlockContents, ChainError>;
    async fn account(&self, account: AccountId, at: At) -> Result<Account, ChainError>;
    async fn subnet(&self, netuid: NetUid, at: At) -> Result<SubnetDetails, ChainError>;
    async fn storage_items(&self) -> Result<Vec<StorageItem>, ChainError>;
    async fn entries(
        &self,
        item: &StorageItem,
        keys: &[Json],
        at: At,
    ) -> Result<StorageEntries, ChainError>;
}

#[async_trait]
impl Node for Client {
    async fn header(&self, at: At) -> Result<BlockHeader, ChainError> {
        Self::header(self, at).await
    }

    async fn contents(&self, block: Block) -> Result<BlockContents, ChainError> {
        BlockContents::read(self, block).await
    }

    async fn account(&self, account: AccountId, at: At) -> Result<Account, ChainError> {
        Account::read(self, account, at).await
    }

    async fn subnet(&self, netuid: NetUid, at: At) -> Result<SubnetDetails, ChainError> {
        SubnetDetails::read(self, netuid, at).await
    }

    async fn storage_items(&self) -> Result<Vec<StorageItem>, ChainError> {
        Self::storage_items(self).await
    }

    async fn entries(
        &self,
        item: &StorageItem,
        keys: &[Json],
        at: At,
    ) -> Result<StorageEntries, ChainError> {
        StorageEntries::read(self, item, keys, at).await
    }
}

/// Why data for a page could not be read from the node.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFailure {
    /// The dashboard has no connection to a node.
    #[error(
        "the dashboard is not connected to the chain; hint: check the node, and the address in --chain"
    )]
    Disconnected,
    /// The node did not respond in time.
    #[error("the node did not respond within {} s; hint: reload the page", TIMEOUT.as_secs())]
    TimedOut,
    /// The read failed.
    #[error(transparent)]
    Failed(#[from] ChainError),
}

impl ReadFailure {
    /// Whether the node responded that the block or subnet does not exist.
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Failed(ChainError::NoSuchBlock(_) | ChainError::NoSuchSubnet(_)))
    }
}

/// Reads data for single pages from the connected node.
pub(super) struct Reader {
    node: RwLock<Option<Arc<dyn Node>>>,
    permits: Semaphore,
    headers: Cache<BlockHash, BlockHeader>,
    blocks: Cache<BlockHash, BlockContents>,
    accounts: Cache<(AccountId, BlockHash), Account>,
    subnets: Cache<(NetUid, BlockHash), SubnetDetails>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            node: RwLock::default(),
            permits: Semaphore::new(MAX_CONCURRENT_READS),
            headers: Cache::default(),
            blocks: Cache::default(),
            accounts: Cache::default(),
            subnets: Cache::default(),
        }
    }
}

impl Reader {
    /// Reads from this node until the returned guard is dropped.
    pub(super) fn connect(&self, node: Arc<dyn Node>) -> Connected<'_> {
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = Some(node);
        Connected(self)
    }

    /// Returns the header of a block.
    pub(super) async fn header(&self, at: At) -> Result<Arc<BlockHeader>, ReadFailure> {
        if let At::Hash(hash) = at
            && let Some(header) = self.headers.get(&hash)
        {
            return Ok(header);
        }
        let node = self.node()?;
        let header = self.with_timeout(node.header(at)).await?;
        Ok(self.headers.insert(header.block.hash, header))
    }

    /// Returns the extrinsics and events of a block.
    pub(super) async fn contents(&self, block: Block) -> Result<Arc<BlockContents>, ReadFailure> {
        if let Some(cached) = self.blocks.get(&block.hash) {
            return Ok(cached);
        }
        let node = self.node()?;
        Ok(self.blocks.insert(block.hash, self.with_timeout(node.contents(block)).await?))
    }

    /// Returns an account after a block.
    pub(super) async fn account(
        &self,
        account: AccountId,
        block: BlockHash,
    ) -> Result<Arc<Account>, ReadFailure> {
        let key = (account, block);
        if let Some(cached) = self.accounts.get(&key) {
            return Ok(cached);
        }
        let node = self.node()?;
        Ok(self.accounts.insert(key, self.with_timeout(node.account(account, block.into())).await?))
    }

    /// Returns a subnet after a block.
    pub(super) async fn subnet(
        &self,
        netuid: NetUid,
        block: BlockHash,
    ) -> Result<Arc<SubnetDetails>, ReadFailure> {
        let key = (netuid, block);
        if let Some(cached) = self.subnets.get(&key) {
            return Ok(cached);
        }
        let node = self.node()?;
        Ok(self.subnets.insert(key, self.with_timeout(node.subnet(netuid, block.into())).await?))
    }

    /// Returns all storage items.
    pub(super) async fn storage_items(&self) -> Result<Vec<StorageItem>, ReadFailure> {
        let node = self.node()?;
        self.with_timeout(node.storage_items()).await
    }

    /// Returns the first entries of a storage item whose keys begin with `keys`.
    pub(super) async fn entries(
        &self,
        item: &StorageItem,
        keys: &[Json],
        at: At,
    ) -> Result<StorageEntries, ReadFailure> {
        let node = self.node()?;
        self.with_timeout(node.entries(item, keys, at)).await
    }

    fn node(&self) -> Result<Arc<dyn Node>, ReadFailure> {
        self.node
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(ReadFailure::Disconnected)
    }

    async fn with_timeout<T>(
        &self,
        read: impl Future<Output = Result<T, ChainError>>,
    ) -> Result<T, ReadFailure> {
        let permitted = async {
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            read.await
        };
        Ok(timeout(TIMEOUT, permitted).await.map_err(|_| ReadFailure::TimedOut)??)
    }
}

/// Guard of the connection of a [`Reader`], which ends when the guard is dropped.
pub(super) struct Connected<'a>(&'a Reader);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        *self.0.node.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The latest results by key, newest first.
struct Cache<K, V>(Mutex<VecDeque<(K, Arc<V>)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V> Cache<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.entries()
            .iter()
            .find(|(cached_key, _)| cached_key == key)
            .map(|(_, value)| Arc::clone(value))
    }

    fn insert(&self, key: K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        let mut entries = self.entries();
        entries.push_front((key, Arc::clone(&value)));
        entries.truncate(CACHE_CAPACITY);
        value
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<(K, Arc<V>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
