use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::blocks::is_unknown_block;
use super::state::ChangeSet;
use super::{CONNECT_TIMEOUT, Client, HexBytes, RuntimeVersion, hex_text};
use crate::{At, Block, ChainError};

/// The undecoded state after one block, for tools that copy state. Each read has a timeout of 24
/// seconds, and is repeated until then if the connection fails.
#[derive(Debug, Clone)]
pub struct RawState {
    client: Client,
    block: Block,
    spec_version: u32,
}

impl Client {
    /// Returns access to the undecoded state after a block.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`] if the node does not know the block, or has pruned its state;
    /// another [`ChainError`] if the node does not respond.
    pub async fn raw_state(&self, at: At) -> Result<RawState, ChainError> {
        let block = self.inner.block(at).await?;
        let mut state = RawState { client: self.clone(), block, spec_version: 0 };
        let version: RuntimeVersion =
            state.request("state_getRuntimeVersion", json!([block.hash])).await?;
        state.spec_version = version.spec_version;
        Ok(state)
    }

    /// Returns the chain's name as the node states it, such as `Bittensor`.
    ///
    /// # Errors
    /// [`ChainError`] if the node does not respond.
    pub async fn chain_name(&self) -> Result<String, ChainError> {
        self.inner.rpc.request("system_chain", json!([])).await
    }
}

impl RawState {
    /// Returns the block.
    pub const fn block(&self) -> Block {
        self.block
    }

    /// Returns the spec version of the runtime that produced the state.
    pub const fn spec_version(&self) -> u32 {
        self.spec_version
    }

    /// Reads the runtime's metadata of version 14.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn metadata(&self) -> Result<Vec<u8>, ChainError> {
        let metadata: HexBytes =
            self.request("state_getMetadata", json!([self.block.hash])).await?;
        Ok(metadata.0)
    }

    /// Reads up to `count` storage keys that begin with `prefix`, in their order, after the key
    /// `after`.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::Decode`] if the keys are not in order.
    pub async fn keys(
        &self,
        prefix: &[u8],
        count: usize,
        after: Option<&[u8]>,
    ) -> Result<Vec<Vec<u8>>, ChainError> {
        let params = json!([hex_text(prefix), count, after.map(hex_text), self.block.hash]);
        let keys: Vec<HexBytes> = self.request("state_getKeysPaged", params).await?;
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.0).collect();
        // A node that repeats keys would cause an endless loop.
        let is_later =
            keys.first().is_none_or(|key| after.is_none_or(|after| key.as_slice() > after));
        if !keys.is_sorted_by(|previous, key| previous < key) || !is_later {
            return Err(ChainError::decode("storage keys", super::state::MapError::Unordered));
        }
        Ok(keys)
    }

    /// Reads the values of storage keys, by key. Keys without a value are missing.
    ///
    /// # Errors
    /// [`ChainError`].
    pub async fn values(&self, keys: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, Vec<u8>>, ChainError> {
        let hex_keys: Vec<String> = keys.iter().map(|key| hex_text(key)).collect();
        let change_sets: Vec<ChangeSet> =
            self.request("state_queryStorageAt", json!([hex_keys, self.block.hash])).await?;
        let changes = change_sets.into_iter().flat_map(|set| set.changes);
        Ok(changes.filter_map(|(key, value)| Some((key.0, value?.0))).collect())
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Json,
    ) -> Result<T, ChainError> {
        match self.client.inner.rpc.request_within(method, params, CONNECT_TIMEOUT).await {
            Err(ChainError::Refused { message, .. }) if is_unknown_block(&message) => {
                Err(ChainError::NoSuchBlock(At::Hash(self.block.hash)))
            }
            result => result,
        }
    }
}
