use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use codec::Decode;
use serde_json::{Value as Json, json};
use taonet_primitives::BlockHash;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::nonce::Nonces;
use crate::rpc::{BlockTiming, Rpc, equal_part};
use crate::runtime::Runtime;
use crate::{At, Block, Call, CallInfo, ChainError, Decoded, DecodedCall, Network, TransportError};

mod accounts;
mod blocks;
mod chain;
mod explorer;
mod heads;
mod holdings;
mod hotkey;
mod inclusion;
mod metagraph;
mod raw;
mod registrations;
mod state;
mod submit;
mod subnets;
pub(crate) mod tracking;

pub use accounts::DatedCommitment;
#[cfg(any(test, doc, feature = "testing"))]
pub(crate) use blocks::Header;
pub use raw::RawState;

/// Timeout for connecting and fetching the metadata: two block times of the main network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(24);
/// Metadata version to request: the first one that describes the runtime APIs.
const METADATA_VERSION: u32 = 15;
/// Number of recent blocks in the cache.
const CACHED_BLOCKS: usize = 256;

/// A client of a Subtensor chain. Clones share its connections and caches.
///
/// The client fetches the runtime's metadata, and fetches it again after a runtime upgrade. The
/// program contains only the names of the chain's types and fields, not their definitions.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
    _head_task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct Inner {
    weak_self: Weak<Inner>,
    rpc: Rpc,
    genesis: BlockHash,
    nonces: Nonces,
    heads: watch::Sender<Option<Block>>,
    cache: Mutex<Cache>,
    /// Lock held while metadata is fetched, so that only one caller fetches it.
    metadata_lock: Arc<tokio::sync::Mutex<()>>,
}

/// Cache of immutable data: runtimes, and the runtime versions and hashes of recent blocks.
#[derive(Debug, Default)]
struct Cache {
    runtimes: HashMap<u32, Arc<Runtime>>,
    /// The runtime versions of recent blocks, newest last.
    versions: VecDeque<(BlockHash, u32)>,
    /// Hashes of recent blocks announced by any node. A node that does not know one of them lags
    /// behind.
    announced: VecDeque<BlockHash>,
}

impl Cache {
    fn add_announced(&mut self, block: BlockHash) {
        if self.announced.back() != Some(&block) {
            self.announced.push_back(block);
        }
        if self.announced.len() > CACHED_BLOCKS {
            self.announced.pop_front();
        }
    }
}

/// Aborts the task that publishes new blocks once the last clone of the client is dropped.
#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Connects to the first node that responds.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if every node fails or serves a different chain, or after a
    /// timeout of 24 seconds; [`ChainError::Decode`] if the chain's metadata cannot be read.
    pub async fn connect(network: &Network) -> Result<Self, ChainError> {
        timeout(CONNECT_TIMEOUT, Self::connect_without_timeout(network)).await.unwrap_or_else(
            |_| {
                let source = TransportError::TimedOut {
                    method: "connecting".to_owned(),
                    after: CONNECT_TIMEOUT,
                };
                Err(ChainError::Unreachable { endpoint: network.to_string(), source })
            },
        )
    }

    async fn connect_without_timeout(network: &Network) -> Result<Self, ChainError> {
        let rpc = Rpc::new(network, BlockTiming::new(equal_part(CONNECT_TIMEOUT, 2)));
        // With a known genesis, the connection to a node of another chain is refused immediately.
        let genesis: BlockHash = rpc.request_once("chain_getBlockHash", json!([0])).await?;
        rpc.set_genesis(genesis);
        let (heads, _) = watch::channel(None);
        let (nonces, cache, metadata_lock) = (Nonces::default(), Mutex::default(), Arc::default());
        let inner = Arc::new_cyclic(|weak_self| Inner {
            weak_self: Weak::clone(weak_self),
            rpc,
            genesis,
            nonces,
            heads,
            cache,
            metadata_lock,
        });
        let head = inner.head().await?;
        let runtime = inner.runtime(head.hash).await?;
        inner
            .rpc
            .timing
            .set_block_time(Duration::from_millis(runtime.constant("Aura", "SlotDuration")?));
        inner.heads.send_replace(Some(head));
        let head_task = tokio::spawn(heads::publish_heads(Arc::downgrade(&inner))).abort_handle();
        Ok(Self { inner, _head_task: Arc::new(AbortOnDrop(head_task)) })
    }

    /// Returns the genesis hash, which identifies the chain.
    pub fn genesis(&self) -> BlockHash {
        self.inner.genesis
    }

    /// Builds any call of the newest runtime from its name and a JSON object of arguments: accounts
    /// are SS58 addresses, bytes are text or `0x…`, nested calls are `{"Pallet": {"name": {…}}}`.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] for an unknown call, [`ChainError::Encode`] if the arguments do
    /// not match its types.
    pub async fn call(&self, pallet: &str, name: &str, args: &Json) -> Result<Call, ChainError> {
        let read = async { self.inner.newest_runtime().await?.call(pallet, name, args) };
        self.inner.rpc.with_timeout("call", read).await
    }

    /// Returns all calls of the newest runtime, by pallet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn calls(&self) -> Result<Vec<CallInfo>, ChainError> {
        let read = async { Ok(self.inner.newest_runtime().await?.calls()) };
        self.inner.rpc.with_timeout("calls", read).await
    }

    /// Encodes a call for the newest runtime, and decodes it as signers and wallets see it.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] and [`ChainError::Encode`] if the runtime has no such call.
    pub async fn decoded(&self, call: &Call) -> Result<DecodedCall, ChainError> {
        let read = async { self.inner.newest_runtime().await?.decoded(call) };
        self.inner.rpc.with_timeout("decoded call", read).await
    }

    /// Decodes an extrinsic with its length prefix, or a call, with the runtime of a block.
    ///
    /// # Errors
    /// [`ChainError::Undecodable`] if the bytes are neither, or another [`ChainError`] if the read
    /// fails.
    pub async fn inspect(&self, bytes: &[u8], at: At) -> Result<Decoded, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            self.inner.runtime(block).await?.inspect(bytes)
        };
        self.inner.rpc.with_timeout("inspect", read).await
    }

    /// Returns the names of a call's arguments, in order; `None` if the newest runtime has no such
    /// call.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn call_fields(
        &self,
        pallet: &str,
        name: &str,
    ) -> Result<Option<Vec<String>>, ChainError> {
        let read = async { Ok(self.inner.newest_runtime().await?.call_fields(pallet, name)) };
        self.inner.rpc.with_timeout("call fields", read).await
    }
}

impl Inner {
    /// Returns the runtime whose metadata describes a block's state.
    async fn runtime(&self, block: BlockHash) -> Result<Arc<Runtime>, ChainError> {
        let cached = self
            .cache()
            .versions
            .iter()
            .rev()
            .find(|(hash, _)| *hash == block)
            .map(|(_, version)| *version);
        if let Some(runtime) =
            cached.and_then(|version| self.cache().runtimes.get(&version).cloned())
        {
            return Ok(runtime);
        }
        let version: RuntimeVersion =
            self.request_at_block("state_getRuntimeVersion", json!([block]), block).await?;
        let cached = self.cache().runtimes.get(&version.spec_version).cloned();
        let runtime = match cached {
            Some(runtime) => runtime,
            None => self.read_runtime_once(block, version).await?,
        };
        let mut cache = self.cache();
        cache.versions.push_back((block, runtime.spec_version));
        if cache.versions.len() > CACHED_BLOCKS {
            cache.versions.pop_front();
        }
        Ok(runtime)
    }

    /// Returns the runtime of the newest block.
    async fn newest_runtime(&self) -> Result<Arc<Runtime>, ChainError> {
        self.runtime(self.head().await?.hash).await
    }

    /// Fetches a runtime once for all concurrent callers. The fetch continues even after every
    /// caller has timed out, since on a slow connection the fetch takes longer than one caller's
    /// timeout.
    async fn read_runtime_once(
        &self,
        block: BlockHash,
        version: RuntimeVersion,
    ) -> Result<Arc<Runtime>, ChainError> {
        let guard = Arc::clone(&self.metadata_lock).lock_owned().await;
        if let Some(runtime) = self.cache().runtimes.get(&version.spec_version).cloned() {
            return Ok(runtime);
        }
        let Some(client) = self.weak_self.upgrade() else {
            return self.read_runtime(block, version).await.map(Arc::new);
        };
        let task = tokio::spawn(async move {
            let runtime = Arc::new(client.read_runtime(block, version).await?);
            client.cache().runtimes.insert(version.spec_version, Arc::clone(&runtime));
            drop(guard);
            Ok(runtime)
        });
        task.await.unwrap_or_else(|error| Err(ChainError::decode("the runtime metadata", error)))
    }

    async fn read_runtime(
        &self,
        block: BlockHash,
        version: RuntimeVersion,
    ) -> Result<Runtime, ChainError> {
        tracing::info!(version = version.spec_version, "fetching the runtime metadata");
        let method = "Metadata_metadata_at_version";
        let params = json!([method, hex_text(&METADATA_VERSION.to_le_bytes()), block]);
        let response: HexBytes =
            self.rpc.request_within("state_call", params, CONNECT_TIMEOUT).await?;
        let metadata: Option<Vec<u8>> = Decode::decode(&mut response.0.as_slice())
            .map_err(|error| ChainError::decode(method, error))?;
        let metadata = metadata.ok_or_else(|| ChainError::NotInRuntime {
            subject: format!("metadata of version {METADATA_VERSION}"),
            spec_version: version.spec_version,
        })?;
        Runtime::new(&metadata, self.genesis, version.spec_version, version.transaction_version)
    }

    /// Whether any node has announced the block recently.
    fn is_announced(&self, block: BlockHash) -> bool {
        self.cache().announced.contains(&block)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeVersion {
    spec_version: u32,
    transaction_version: u32,
}

/// Bytes as encoded in JSON-RPC: hex with the prefix `0x`.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "String")]
struct HexBytes(Vec<u8>);

impl TryFrom<String> for HexBytes {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map(Self)
    }
}

fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests;
