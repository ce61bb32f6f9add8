use std::collections::HashMap;

use serde_json::{Value as Json, json};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use taonet_primitives::BlockHash;

use super::{Client, HexBytes, Inner, hex_text};
use crate::runtime::{Runtime, StorageKeys};
use crate::{At, ChainError};

/// Number of map keys per request.
pub(super) const KEYS_PER_REQUEST: usize = 512;
/// Maximum number of entries of a map to read: about the number of accounts on the main network.
const MAX_ENTRIES: usize = 1 << 20;
/// Maximum size of a map to read, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// Untyped queries by name, with JSON keys and values.
impl Client {
    /// Reads a storage value. If the value is unset, returns the item's default, or `null` if the
    /// item has no default.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] for an unknown item, [`ChainError::Encode`] if the keys do not
    /// match its types, or another [`ChainError`] if the read fails.
    pub async fn storage(
        &self,
        pallet: &str,
        item: &str,
        keys: &[Json],
        at: At,
    ) -> Result<Json, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            let runtime = self.inner.runtime(block).await?;
            let key = runtime.storage_key_of_json(pallet, item, keys)?;
            let bytes = self.inner.storage_bytes(&key, block).await?;
            Ok(runtime.storage_value_json(pallet, item, bytes.as_deref())?.unwrap_or_default())
        };
        self.inner.rpc.with_timeout("storage", read).await
    }

    /// Encodes the storage key of an item, and its new value if given, with the newest runtime's
    /// metadata, for a development chain whose user can set storage.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] for an unknown item, [`ChainError::Encode`] if the keys or the
    /// value do not match its types.
    pub async fn encode_storage(
        &self,
        pallet: &str,
        item: &str,
        keys: &[Json],
        value: Option<&Json>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), ChainError> {
        let read = async {
            self.inner.newest_runtime().await?.storage_entry_of_json(pallet, item, keys, value)
        };
        self.inner.rpc.with_timeout("storage types", read).await
    }

    /// Reads the entries of a map whose keys begin with `first_keys`, as pairs of the entry's keys
    /// and its value. The read timeout applies to each page of 512 entries.
    ///
    /// # Errors
    /// The errors of [`Client::storage`], and [`ChainError::Decode`] if the map's hashers do not
    /// preserve the keys.
    pub async fn storage_map(
        &self,
        pallet: &str,
        item: &str,
        first_keys: &[Json],
        at: At,
    ) -> Result<Vec<(Vec<Json>, Json)>, ChainError> {
        let block = self.inner.hash(at).await?;
        let runtime = self.inner.runtime(block).await?;
        let prefix = runtime.storage_key_of_json(pallet, item, first_keys)?;
        let mut entries = Vec::new();
        for (key, bytes) in self.inner.storage_entries(&prefix, block).await? {
            let keys = runtime.storage_keys::<Vec<Json>>(pallet, item, &key)?;
            let value = runtime.storage_value_json(pallet, item, Some(&bytes))?;
            entries.push((keys, value.unwrap_or_default()));
        }
        Ok(entries)
    }

    /// Calls a method of a runtime API.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] for an unknown method, [`ChainError::Encode`] if the arguments
    /// do not match its types, or another [`ChainError`] if the read fails.
    pub async fn runtime_api(
        &self,
        api: &str,
        method: &str,
        args: &[Json],
        at: At,
    ) -> Result<Json, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            let runtime = self.inner.runtime(block).await?;
            let args = runtime.api_args_of_json(api, method, args)?;
            let encoded = self.inner.api_bytes(api, method, &args, block).await?;
            runtime.api_result_json(api, method, &encoded)
        };
        self.inner.rpc.with_timeout("runtime API", read).await
    }

    /// Reads a constant of the newest runtime.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] for an unknown constant, or another [`ChainError`] if the read
    /// fails.
    pub async fn constant(&self, pallet: &str, name: &str) -> Result<Json, ChainError> {
        let read = async { self.inner.newest_runtime().await?.constant_json(pallet, name) };
        self.inner.rpc.with_timeout("constant", read).await
    }
}

impl Client {
    /// Calls a method of a runtime API at a block, within the timeout of one read; `subject` names
    /// the read in errors.
    pub(super) async fn api_at<T: DecodeAsType + Send>(
        &self,
        subject: &'static str,
        api: &str,
        method: &str,
        args: &[Value],
        at: At,
    ) -> Result<T, ChainError> {
        let read =
            async { self.inner.call_api(api, method, args, self.inner.hash(at).await?).await };
        self.inner.rpc.with_timeout(subject, read).await
    }

    /// Reads a storage value at a block, within the timeout of one read; see [`Inner::read_value`].
    pub(super) async fn value_at<T: DecodeAsType + Send>(
        &self,
        subject: &'static str,
        pallet: &str,
        item: &str,
        keys: &[Value],
        at: At,
    ) -> Result<Option<T>, ChainError> {
        let read =
            async { self.inner.read_value(pallet, item, keys, self.inner.hash(at).await?).await };
        self.inner.rpc.with_timeout(subject, read).await
    }
}

impl Inner {
    /// Calls a method of a runtime API and decodes the result, matching fields by name.
    pub(super) async fn call_api<T: DecodeAsType>(
        &self,
        api: &str,
        method: &str,
        args: &[Value],
        block: BlockHash,
    ) -> Result<T, ChainError> {
        let runtime = self.runtime(block).await?;
        let args = runtime.api_args(api, method, args)?;
        let encoded = self.api_bytes(api, method, &args, block).await?;
        runtime.api_result(api, method, &encoded)
    }

    pub(super) async fn api_bytes(
        &self,
        api: &str,
        method: &str,
        args: &[u8],
        block: BlockHash,
    ) -> Result<Vec<u8>, ChainError> {
        let params = json!([format!("{api}_{method}"), hex_text(args), block]);
        let response: HexBytes = self.request_at_block("state_call", params, block).await?;
        Ok(response.0)
    }

    /// Reads a storage value or, if it is unset, the item's default; `None` if the item has no
    /// default.
    pub(super) async fn read_value<T: DecodeAsType>(
        &self,
        pallet: &str,
        item: &str,
        keys: &[Value],
        block: BlockHash,
    ) -> Result<Option<T>, ChainError> {
        let runtime = self.runtime(block).await?;
        let key = runtime.storage_key(pallet, item, keys)?;
        let bytes = self.storage_bytes(&key, block).await?;
        runtime.storage_value(pallet, item, bytes.as_deref())
    }

    /// Reads the entries of a map whose keys begin with `first_keys`.
    pub(super) async fn read_map<K: StorageKeys, T: DecodeAsType>(
        &self,
        pallet: &str,
        item: &str,
        first_keys: &[Value],
        block: BlockHash,
    ) -> Result<Vec<(K, T)>, ChainError> {
        let runtime = self.runtime(block).await?;
        let prefix = runtime.storage_key(pallet, item, first_keys)?;
        let mut entries = Vec::new();
        for (key, bytes) in self.storage_entries(&prefix, block).await? {
            let keys = runtime.storage_keys(pallet, item, &key)?;
            if let Some(value) = runtime.storage_value(pallet, item, Some(&bytes))? {
                entries.push((keys, value));
            }
        }
        Ok(entries)
    }

    pub(super) async fn storage_bytes(
        &self,
        key: &[u8],
        block: BlockHash,
    ) -> Result<Option<Vec<u8>>, ChainError> {
        let bytes: Option<HexBytes> =
            self.request_at_block("state_getStorage", json!([hex_text(key), block]), block).await?;
        Ok(bytes.map(|bytes| bytes.0))
    }

    /// Reads many storage values of one block in one request.
    pub(super) async fn storage_batch(
        &self,
        keys: &[Vec<u8>],
        block: BlockHash,
    ) -> Result<StorageValues, ChainError> {
        let hex_keys: Vec<String> = keys.iter().map(|key| hex_text(key)).collect();
        let change_sets: Vec<ChangeSet> =
            self.request_at_block("state_queryStorageAt", json!([hex_keys, block]), block).await?;
        let changes = change_sets.into_iter().flat_map(|set| set.changes);
        Ok(StorageValues(changes.filter_map(|(key, value)| Some((key.0, value?.0))).collect()))
    }

    pub(super) async fn storage_entries(
        &self,
        prefix: &[u8],
        block: BlockHash,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ChainError> {
        let mut entries = Vec::new();
        let (mut last_key, mut key_count, mut total_bytes) = (None::<Vec<u8>>, 0_usize, 0_usize);
        loop {
            let start = last_key.as_ref().map(|key| hex_text(key));
            let params = json!([hex_text(prefix), KEYS_PER_REQUEST, start, block]);
            let keys: Vec<HexBytes> =
                self.request_at_block("state_getKeysPaged", params, block).await?;
            let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.0).collect();
            // Without this check, a node that repeats keys would cause an endless loop.
            let is_later = keys
                .first()
                .is_none_or(|key| last_key.as_ref().is_none_or(|last_key| key > last_key));
            if !keys.is_sorted_by(|previous, key| previous < key) || !is_later {
                return Err(ChainError::decode("the keys of a map", MapError::Unordered));
            }
            key_count = key_count.saturating_add(keys.len());
            let mut values = self.storage_batch(&keys, block).await?;
            let is_last = keys.len() < KEYS_PER_REQUEST;
            last_key = keys.last().cloned();
            total_bytes = values.0.iter().fold(total_bytes, |sum, (key, value)| {
                sum.saturating_add(key.len()).saturating_add(value.len())
            });
            if key_count > MAX_ENTRIES || total_bytes > MAX_BYTES {
                return Err(ChainError::decode("a map", MapError::TooLarge));
            }
            entries.extend(
                keys.into_iter().filter_map(|key| values.0.remove(&key).map(|value| (key, value))),
            );
            if is_last {
                return Ok(entries);
            }
        }
    }
}

/// Storage values by key.
#[derive(Debug)]
pub(super) struct StorageValues(HashMap<Vec<u8>, Vec<u8>>);

impl StorageValues {
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }
}

/// Storage items to read in one request.
pub(super) struct StorageQuery<'a> {
    runtime: &'a Runtime,
    keys: Vec<(&'static str, &'static str, Vec<u8>)>,
}

impl<'a> StorageQuery<'a> {
    pub(super) fn new(runtime: &'a Runtime) -> Self {
        Self { runtime, keys: Vec::new() }
    }

    /// Adds an item of the pallet `SubtensorModule`.
    pub(super) fn with_item(
        mut self,
        item: &'static str,
        keys: &[Value],
    ) -> Result<Self, ChainError> {
        let pallet = "SubtensorModule";
        self.keys.push((pallet, item, self.runtime.storage_key(pallet, item, keys)?));
        Ok(self)
    }

    pub(super) async fn read(
        self,
        inner: &Inner,
        block: BlockHash,
    ) -> Result<StorageQueryResult<'a>, ChainError> {
        let keys: Vec<Vec<u8>> = self.keys.iter().map(|(.., key)| key.clone()).collect();
        Ok(StorageQueryResult { values: inner.storage_batch(&keys, block).await?, query: self })
    }
}

/// The values of [`StorageQuery`], decoded on access.
pub(super) struct StorageQueryResult<'a> {
    query: StorageQuery<'a>,
    values: StorageValues,
}

impl StorageQueryResult<'_> {
    /// Decodes an item's value; the type's default if the item has neither a value nor a default.
    pub(super) fn get<T: DecodeAsType + Default>(&self, item: &str) -> Result<T, ChainError> {
        let Some((pallet, item, key)) = self.query.keys.iter().find(|(_, name, _)| *name == item)
        else {
            return Ok(T::default());
        };
        Ok(self
            .query
            .runtime
            .storage_value(pallet, item, self.values.get(key))?
            .unwrap_or_default())
    }
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct ChangeSet {
    pub(super) changes: Vec<(HexBytes, Option<HexBytes>)>,
}

/// Why the entries of a map are rejected.
#[derive(Debug, thiserror::Error)]
pub(super) enum MapError {
    /// The keys are not in ascending order.
    #[error("the node returned duplicate or unsorted keys")]
    Unordered,
    #[error("the map exceeds {MAX_ENTRIES} entries or {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}
