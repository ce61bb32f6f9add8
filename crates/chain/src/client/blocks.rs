use codec::{Compact, Encode};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use taonet_primitives::{BlockHash, BlockNumber};
use tokio::time::Instant;

use super::{HexBytes, Inner};
use crate::hash::blake2_256;
use crate::runtime::Runtime;
use crate::{At, Block, BlockHeader, ChainError, Event};

/// A block header as returned by JSON-RPC.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    pub(super) parent_hash: BlockHash,
    #[serde(deserialize_with = "deserialize_number")]
    pub(super) number: BlockNumber,
    state_root: BlockHash,
    extrinsics_root: BlockHash,
    digest: Digest,
}

#[derive(Debug, serde::Deserialize)]
struct Digest {
    logs: Vec<HexBytes>,
}

impl Header {
    /// Returns the height and hash of the header's block; the hash is computed from the
    /// SCALE-encoded header.
    pub(crate) fn block(&self) -> Block {
        let mut bytes = self.parent_hash.as_bytes().to_vec();
        Compact(self.number.get()).encode_to(&mut bytes);
        bytes.extend_from_slice(self.state_root.as_bytes());
        bytes.extend_from_slice(self.extrinsics_root.as_bytes());
        Compact(u32::try_from(self.digest.logs.len()).unwrap_or(u32::MAX)).encode_to(&mut bytes);
        for log in &self.digest.logs {
            bytes.extend_from_slice(&log.0);
        }
        Block { number: self.number, hash: BlockHash::from_bytes(blake2_256(&bytes)) }
    }

    /// Returns all fields of the header.
    pub(super) fn into_block_header(self) -> BlockHeader {
        BlockHeader {
            block: self.block(),
            parent: self.parent_hash,
            state_root: self.state_root,
            extrinsics_root: self.extrinsics_root,
            digest: self.digest.logs.into_iter().map(|log| log.0).collect(),
        }
    }
}

impl Inner {
    pub(super) async fn head(&self) -> Result<Block, ChainError> {
        let header: Header = self.rpc.request("chain_getHeader", json!([])).await?;
        let head = header.block();
        self.cache().add_announced(head.hash);
        Ok(head)
    }

    pub(super) async fn finalized(&self) -> Result<Block, ChainError> {
        let hash: BlockHash = self.rpc.request("chain_getFinalizedHead", json!([])).await?;
        let header = self.header(hash).await?;
        Ok(Block { number: header.number, hash })
    }

    pub(super) async fn header(&self, hash: BlockHash) -> Result<Header, ChainError> {
        let header: Option<Header> =
            self.request_at_block("chain_getHeader", json!([hash]), hash).await?;
        header.ok_or(ChainError::NoSuchBlock(At::Hash(hash)))
    }

    pub(super) async fn block_hash(
        &self,
        number: BlockNumber,
    ) -> Result<Option<BlockHash>, ChainError> {
        self.rpc.request("chain_getBlockHash", json!([number])).await
    }

    /// Resolves a block reference to height and hash.
    pub(super) async fn block(&self, at: At) -> Result<Block, ChainError> {
        match at {
            At::Head => self.head().await,
            At::Finalized => self.finalized().await,
            At::Number(number) => {
                let hash = self.block_hash(number).await?.ok_or(ChainError::NoSuchBlock(at))?;
                Ok(Block { number, hash })
            }
            At::Hash(hash) => Ok(Block { number: self.header(hash).await?.number, hash }),
        }
    }

    /// Resolves a block reference to its hash.
    pub(super) async fn hash(&self, at: At) -> Result<BlockHash, ChainError> {
        match at {
            At::Hash(hash) => Ok(hash),
            At::Finalized => self.rpc.request("chain_getFinalizedHead", json!([])).await,
            at => Ok(self.block(at).await?.hash),
        }
    }

    /// Requests data of a block. If another node has announced the block, retries until this node
    /// knows it or the read times out.
    pub(super) async fn request_at_block<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Json,
        block: BlockHash,
    ) -> Result<T, ChainError> {
        let started = Instant::now();
        loop {
            match self.rpc.request(method, params.clone()).await {
                Err(ChainError::Refused { message, .. }) if is_unknown_block(&message) => {
                    let would_time_out =
                        started.elapsed().saturating_add(self.rpc.timing.retry_delay())
                            >= self.rpc.timing.read_timeout();
                    if would_time_out || !self.is_announced(block) {
                        return Err(ChainError::NoSuchBlock(At::Hash(block)));
                    }
                    tokio::time::sleep(self.rpc.timing.retry_delay()).await;
                }
                result => return result,
            }
        }
    }

    /// Reads the events of a block, decoded with the runtime of its parent block, which emitted
    /// them. Each block after the genesis block has events, at least the result of the extrinsic
    /// that sets its time: if there are none, the node has lost them.
    pub(super) async fn events(&self, block: BlockHash) -> Result<Vec<Event>, ChainError> {
        let parent = self.header(block).await?.parent_hash;
        self.events_after(parent, block).await
    }

    pub(super) async fn events_after(
        &self,
        parent: BlockHash,
        block: BlockHash,
    ) -> Result<Vec<Event>, ChainError> {
        let is_genesis = *parent.as_bytes() == [0; 32];
        let runtime = self.runtime(if is_genesis { block } else { parent }).await?;
        let key = runtime.storage_key("System", "Events", &[])?;
        let bytes = self.storage_bytes(&key, block).await?;
        decode_events(
            &runtime,
            bytes.as_deref().unwrap_or_default(),
            (!is_genesis).then_some(block),
        )
    }
}

/// Decodes the value of `System.Events`, which is empty if it is unset: an error for a `block`
/// after the genesis block.
fn decode_events(
    runtime: &Runtime,
    bytes: &[u8],
    block: Option<BlockHash>,
) -> Result<Vec<Event>, ChainError> {
    let events = if bytes.is_empty() { Vec::new() } else { runtime.decode_events(bytes)? };
    match block.filter(|_| events.is_empty()) {
        Some(block) => Err(ChainError::NoEvents(block)),
        None => Ok(events),
    }
}

/// Whether an error message means "unknown block", for which nodes have no error code.
pub(super) fn is_unknown_block(message: &str) -> bool {
    ["UnknownBlock", "Unknown block", "State already discarded", "not found in the database"]
        .iter()
        .any(|pattern| message.contains(pattern))
}

fn deserialize_number<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BlockNumber, D::Error> {
    use serde::de::Error;
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
    let number = u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16)
        .map_err(D::Error::custom)?;
    Ok(BlockNumber::new(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors;

    #[test]
    fn missing_events_are_an_error_after_the_genesis_block() {
        let Some(runtime) = vectors::runtime() else { return };
        let block = BlockHash::from_bytes([7; 32]);
        // Unset, and an empty list.
        for bytes in [[].as_slice(), &[0]] {
            assert_eq!(decode_events(runtime, bytes, None).unwrap(), []);
            let error = decode_events(runtime, bytes, Some(block)).unwrap_err();
            assert!(matches!(error, ChainError::NoEvents(found) if found == block), "{error:?}");
            assert!(!error.is_retryable());
        }
    }
}
