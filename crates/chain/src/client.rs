use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codec::Decode;
use serde_json::{Value as Json, json};
use taonet_primitives::BlockHash;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::nonce::Nonces;
use crate::rpc::{Pace, Rpc, part};
use crate::runtime::Runtime;
use crate::{Block, Call, ChainError, Network, TransportError};

mod accounts;
mod blocks;
mod chain;
mod heads;
mod inclusion;
mod metagraph;
mod state;
mod submit;
mod subnets;

/// How long connecting may take, metadata included: two blocks of the main network.
const CONNECTING: Duration = Duration::from_secs(24);
/// The metadata version that has runtime APIs and that every client of the chain reads.
const METADATA_VERSION: u32 = 15;
/// Of how many blocks it is remembered which runtime they have.
const REMEMBERED_BLOCKS: usize = 256;

/// A connection to a Subtensor chain. Clones share it.
///
/// It reads the chain's metadata, and reads it again when the runtime is upgraded; nothing about the chain's types is
/// compiled in but the names of fields.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
    _watcher: Arc<StopOnDrop>,
}

#[derive(Debug)]
struct Inner {
    rpc: Rpc,
    genesis: BlockHash,
    nonces: Nonces,
    heads: watch::Sender<Option<Block>>,
    cache: Mutex<Cache>,
}

/// What never changes once it is known.
#[derive(Debug, Default)]
struct Cache {
    runtimes: HashMap<u32, Arc<Runtime>>,
    /// Which runtime a block has, the newest last.
    versions: VecDeque<(BlockHash, u32)>,
    /// The newest blocks that nodes have named: one that does not have them yet lags behind.
    named: VecDeque<BlockHash>,
}

impl Cache {
    fn named(&mut self, block: BlockHash) {
        if self.named.back() != Some(&block) {
            self.named.push_back(block);
        }
        if self.named.len() > REMEMBERED_BLOCKS {
            self.named.pop_front();
        }
    }
}

/// Ends the task that follows the chain with the last clone of the client.
#[derive(Debug)]
struct StopOnDrop(AbortHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Connects to the first node that answers.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] where each of them fails, or none answers within 24 seconds, or all are of another chain;
    /// [`ChainError::Decode`] where the chain's metadata cannot be read.
    pub async fn connect(network: &Network) -> Result<Self, ChainError> {
        let rpc = Rpc::new(network, Pace::new(part(CONNECTING, 2)));
        let genesis: BlockHash = rpc.request_once("chain_getBlockHash", json!([0])).await?;
        if let Some(wanted) = network.genesis().filter(|wanted| *wanted != genesis) {
            tracing::error!(%wanted, %genesis, "the node is of another chain");
            let endpoint = network.to_string();
            return Err(ChainError::Unreachable { endpoint, source: TransportError::AnotherChain(genesis) });
        }
        rpc.set_genesis(genesis);
        let (heads, _) = watch::channel(None);
        let inner = Arc::new(Inner { rpc, genesis, nonces: Nonces::default(), heads, cache: Mutex::default() });
        let head = inner.head().await?;
        let runtime = inner.runtime(head.hash).await?;
        inner.rpc.pace.set(Duration::from_millis(runtime.constant("Aura", "SlotDuration")?));
        inner.heads.send_replace(Some(head));
        let watcher = tokio::spawn(heads::follow(Arc::downgrade(&inner))).abort_handle();
        Ok(Self { inner, _watcher: Arc::new(StopOnDrop(watcher)) })
    }

    /// The hash of the first block, which names the chain.
    pub fn genesis(&self) -> BlockHash {
        self.inner.genesis
    }

    /// The version of the newest block's runtime.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    pub async fn spec_version(&self) -> Result<u32, ChainError> {
        let head = self.inner.head().await?;
        Ok(self.inner.runtime(head.hash).await?.spec_version)
    }

    /// Makes any call of the newest runtime from its name and its arguments as a JSON object: accounts are addresses,
    /// bytes are text or `0x…`, other calls are `{"Pallet": {"name": {…}}}`.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] where there is no such call, [`ChainError::Encode`] where the arguments do not fit.
    pub async fn call(&self, pallet: &str, name: &str, args: &Json) -> Result<Call, ChainError> {
        let head = self.inner.head().await?;
        self.inner.runtime(head.hash).await?.call(pallet, name, args)
    }

    /// The names of a call's arguments, in their order; `None` where the newest runtime has no such call.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    pub async fn call_fields(&self, pallet: &str, name: &str) -> Result<Option<Vec<String>>, ChainError> {
        let head = self.inner.head().await?;
        Ok(self.inner.runtime(head.hash).await?.call_fields(pallet, name))
    }

    /// The bytes of a call, as the newest runtime has it.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] and [`ChainError::Encode`] where the runtime has no such call.
    pub async fn encode_call(&self, call: &Call) -> Result<Vec<u8>, ChainError> {
        let head = self.inner.head().await?;
        self.inner.runtime(head.hash).await?.call_data(call)
    }
}

impl Inner {
    /// The runtime that a block's state is of.
    async fn runtime(&self, block: BlockHash) -> Result<Arc<Runtime>, ChainError> {
        let known = self.cache().versions.iter().rev().find(|(hash, _)| *hash == block).map(|(_, version)| *version);
        if let Some(runtime) = known.and_then(|version| self.cache().runtimes.get(&version).cloned()) {
            return Ok(runtime);
        }
        let version: RuntimeVersion = self.at_block("state_getRuntimeVersion", json!([block]), block).await?;
        let known = self.cache().runtimes.get(&version.spec_version).cloned();
        let runtime = match known {
            Some(runtime) => runtime,
            None => Arc::new(self.read_runtime(block, version).await?),
        };
        let mut cache = self.cache();
        cache.runtimes.insert(runtime.spec_version, Arc::clone(&runtime));
        cache.versions.push_back((block, runtime.spec_version));
        if cache.versions.len() > REMEMBERED_BLOCKS {
            cache.versions.pop_front();
        }
        Ok(runtime)
    }

    async fn read_runtime(&self, block: BlockHash, version: RuntimeVersion) -> Result<Runtime, ChainError> {
        tracing::info!(version = version.spec_version, "reading the metadata of the runtime");
        let method = "Metadata_metadata_at_version";
        let params = json!([method, hex_text(&METADATA_VERSION.to_le_bytes()), block]);
        let answer: HexBytes = self.rpc.request_within("state_call", params, CONNECTING).await?;
        let metadata: Option<Vec<u8>> =
            Decode::decode(&mut answer.0.as_slice()).map_err(|error| ChainError::decode(method, error))?;
        let metadata = metadata.ok_or_else(|| ChainError::NotInRuntime {
            what: format!("metadata of version {METADATA_VERSION}"),
            spec_version: version.spec_version,
        })?;
        Runtime::new(&metadata, self.genesis, version.spec_version, version.transaction_version)
    }

    /// Whether a node has named the block as the newest one lately.
    fn knows(&self, block: BlockHash) -> bool {
        self.cache().named.contains(&block)
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

/// Bytes as JSON-RPC has them: `0x…`.
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
