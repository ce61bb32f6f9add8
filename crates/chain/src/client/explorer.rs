use serde_json::{Value as Json, json};
use subxt::ext::scale_decode::DecodeAsType;
use taonet_primitives::AccountId;

use super::accounts::account_key;
use super::{Client, HexBytes, hex_text};
use crate::{At, BlockHeader, ChainError, Event, StorageItem};

/// Number of values per request: some have several MiB.
const VALUES_PER_REQUEST: usize = 8;

/// Queries for block explorers: headers, nonces, storage items and the first entries of a map.
impl Client {
    /// Returns the header of a block.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`], or another [`ChainError`] if the read fails.
    pub async fn header(&self, at: At) -> Result<BlockHeader, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            Ok(self.inner.header(block).await?.into_block_header())
        };
        self.inner.rpc.with_timeout("header", read).await
    }

    /// Returns the events of the block with a header, as [`Chain::events`](crate::Chain::events)
    /// does, with one request fewer.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`], [`ChainError::NoEvents`], or another [`ChainError`] if the read
    /// fails.
    pub async fn block_events(&self, header: &BlockHeader) -> Result<Vec<Event>, ChainError> {
        self.inner
            .rpc
            .with_timeout("events", self.inner.events_after(header.parent, header.block.hash))
            .await
    }

    /// Returns the nonce of an account's next extrinsic after a block, without the extrinsics in
    /// the pool; 0 for an unknown account.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn nonce(&self, account: AccountId, at: At) -> Result<u32, ChainError> {
        let info: Option<AccountNonce> =
            self.value_at("nonce", "System", "Account", &[account_key(account)], at).await?;
        Ok(info.map(|info| info.nonce).unwrap_or_default())
    }

    /// Returns all storage items of the newest runtime, by pallet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn storage_items(&self) -> Result<Vec<StorageItem>, ChainError> {
        let read = async { Ok(self.inner.newest_runtime().await?.storage_items()) };
        self.inner.rpc.with_timeout("storage items", read).await
    }

    /// Reads the first `count` entries of a map whose keys begin with `first_keys`, in the order of
    /// the node's storage keys; fewer if their values exceed `max_bytes`, but at least one. Returns
    /// them, and whether there are more. Otherwise like [`Client::storage_map`].
    ///
    /// # Errors
    /// The errors of [`Client::storage_map`].
    pub async fn storage_page(
        &self,
        pallet: &str,
        item: &str,
        first_keys: &[Json],
        count: usize,
        max_bytes: usize,
        at: At,
    ) -> Result<(Vec<(Vec<Json>, Json)>, bool), ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            let runtime = self.inner.runtime(block).await?;
            let prefix = runtime.storage_key_of_json(pallet, item, first_keys)?;
            let params = json!([hex_text(&prefix), count.saturating_add(1), null, block]);
            let hex_keys: Vec<HexBytes> =
                self.inner.request_at_block("state_getKeysPaged", params, block).await?;
            // A node may ignore the count.
            let keys: Vec<Vec<u8>> = hex_keys.iter().take(count).map(|key| key.0.clone()).collect();
            let (mut entries, mut bytes_read) = (Vec::new(), 0_usize);
            for chunk in keys.chunks(VALUES_PER_REQUEST) {
                let values = self.inner.storage_batch(chunk, block).await?;
                for (key, bytes) in chunk.iter().filter_map(|key| Some((key, values.get(key)?))) {
                    bytes_read = bytes_read.saturating_add(bytes.len());
                    if bytes_read > max_bytes && !entries.is_empty() {
                        return Ok((entries, true));
                    }
                    let keys = runtime.storage_keys::<Vec<Json>>(pallet, item, key)?;
                    let value = runtime.storage_value_json(pallet, item, Some(bytes))?;
                    entries.push((keys, value.unwrap_or_default()));
                }
            }
            Ok((entries, hex_keys.len() > count))
        };
        self.inner.rpc.with_timeout("storage entries", read).await
    }
}

/// The nonce in an account's data.
#[derive(Debug, DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
pub(super) struct AccountNonce {
    pub(super) nonce: u32,
}
