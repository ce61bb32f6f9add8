use subxt::ext::futures::future::BoxFuture;
use subxt::ext::futures::{StreamExt as _, TryStreamExt as _, stream};
use taonet_primitives::{Hotkey, NetUid, Uid};

use super::Client;
use super::accounts::account_key;
use super::state::{KEYS_PER_REQUEST, StorageValues};
use super::subnets::number;
use crate::runtime::LastKey;
use crate::{At, ChainError};

const SUBTENSOR: &str = "SubtensorModule";
const UIDS: &str = "Uids";
/// Maximum number of requests in flight.
const MAX_CONCURRENT_READS: usize = 8;

/// Queries for the registrations of many hotkeys.
impl Client {
    /// Returns the netuids of all subnets, in order.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn netuids(&self, at: At) -> Result<Vec<NetUid>, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            let networks: Vec<(LastKey<NetUid>, bool)> =
                self.inner.read_map(SUBTENSOR, "NetworksAdded", &[], block).await?;
            let mut netuids: Vec<_> = networks
                .into_iter()
                .filter_map(|(LastKey(netuid), is_added)| is_added.then_some(netuid))
                .collect();
            netuids.sort_unstable();
            Ok(netuids)
        };
        self.inner.rpc.with_timeout("netuids", read).await
    }

    /// Returns where hotkeys are registered, ordered by subnet: netuid, hotkey and uid. Reads 512
    /// pairs of hotkey and subnet per request; the read timeout applies to each request.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    pub async fn registrations(
        &self,
        hotkeys: &[Hotkey],
        netuids: &[NetUid],
        at: At,
    ) -> Result<Vec<(NetUid, Hotkey, Uid)>, ChainError> {
        let block = self.inner.hash(at).await?;
        let runtime = self.inner.runtime(block).await?;
        let (mut pairs, mut keys) = (Vec::new(), Vec::new());
        for (netuid, hotkey) in
            netuids.iter().flat_map(|netuid| hotkeys.iter().map(move |hotkey| (*netuid, *hotkey)))
        {
            keys.push(runtime.storage_key(
                SUBTENSOR,
                UIDS,
                &[number(netuid.0), account_key(hotkey)],
            )?);
            pairs.push((netuid, hotkey));
        }
        let reads: Vec<BoxFuture<'_, Result<StorageValues, ChainError>>> = keys
            .chunks(KEYS_PER_REQUEST)
            .map(|keys| {
                self.inner.rpc.with_timeout("registrations", self.inner.storage_batch(keys, block))
            })
            .collect();
        let batches: Vec<StorageValues> =
            stream::iter(reads).buffered(MAX_CONCURRENT_READS).try_collect().await?;
        let mut registrations = Vec::new();
        for ((pairs, keys), batch) in
            pairs.chunks(KEYS_PER_REQUEST).zip(keys.chunks(KEYS_PER_REQUEST)).zip(&batches)
        {
            for ((netuid, hotkey), key) in pairs.iter().zip(keys) {
                let uid =
                    batch.get(key).map(|bytes| runtime.storage_value(SUBTENSOR, UIDS, Some(bytes)));
                if let Some(uid) = uid.transpose()?.flatten() {
                    registrations.push((*netuid, *hotkey, uid));
                }
            }
        }
        Ok(registrations)
    }
}
