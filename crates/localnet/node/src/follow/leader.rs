//! The followed node: the connection to it, its responses, and its status.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use jsonrpsee::core::client::{ClientT, Error as ClientError, Subscription, SubscriptionClientT};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee::ws_client::{PingConfig, WsClient, WsClientBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sp_core::{Bytes, H256};
use taonet_localnet_runtime::{Header, VERSION};

use super::FollowError;
use crate::author::Block;
use crate::meter;
use crate::pool::SubmitError;
use crate::rpc::{CLIENT_ERROR, NODE_NAME, PRODUCER_ROLE, RpcLimits, RpcResult};
use crate::store::Head;

/// Timeout of the connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval of the pings that detect a leader which no longer responds.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Duration without any message after which the connection is closed.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of storage keys or block numbers in a request.
pub(super) const PAGE_SIZE: u32 = 1_000;
/// Maximum number of keys of a state to fetch.
const MAX_KEYS: usize = 4 << 20;
/// Maximum size of a state to fetch, in bytes.
const MAX_BYTES: usize = 512 << 20;
/// Refusal of keys that do not follow the previous ones.
const UNORDERED_KEYS: &str = "the keys are not in ascending order";
/// Refusal of a state that exceeds [`MAX_KEYS`] or [`MAX_BYTES`].
const STATE_TOO_LARGE: &str = "the state has more than 4 million keys or 512 MiB";

/// A followed node.
#[derive(Debug)]
pub(crate) struct Leader {
    url: String,
    state: RwLock<ConnectionState>,
}

#[derive(Debug, Default)]
struct ConnectionState {
    /// The connection, while the leader is followed.
    client: Option<Arc<WsClient>>,
    height: u32,
    error: Option<String>,
}

impl Leader {
    pub(crate) fn new(url: String) -> Self {
        meter::set_leader_up(false);
        Self { url, state: RwLock::default() }
    }

    /// Returns the URL of the leader.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn read(&self) -> RwLockReadGuard<'_, ConnectionState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ConnectionState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this node is connected to the leader and imports its blocks.
    pub(crate) fn is_connected(&self) -> bool {
        self.read().client.as_ref().is_some_and(|client| client.is_connected())
    }

    /// Returns the height of the leader's newest known block.
    pub(crate) fn height(&self) -> u32 {
        self.read().height
    }

    /// Returns the state of the connection for `dev_status`.
    pub(crate) fn status(&self) -> Value {
        let connected = self.is_connected();
        let state = self.read();
        json!({"url": self.url, "connected": connected, "height": state.height, "error": state.error})
    }

    pub(super) fn set_height(&self, height: u32) {
        self.write().height = height;
        meter::set_leader_height(height);
    }

    /// Whether the leader is followed; a connection that has just been lost still counts.
    pub(super) fn is_followed(&self) -> bool {
        self.read().client.is_some()
    }

    /// Marks the leader as followed through this connection.
    pub(super) fn mark_followed(&self, connection: &LeaderConnection) {
        let mut state = self.write();
        (state.client, state.error) = (Some(connection.client.clone()), None);
        meter::set_leader_up(true);
    }

    /// Marks the leader as not followed.
    pub(super) fn mark_disconnected(&self, error: &str) {
        let mut state = self.write();
        (state.client, state.error) = (None, Some(error.to_owned()));
        meter::set_leader_up(false);
    }

    /// Connects to the leader, and checks that it can be followed.
    pub(super) async fn connect(&self) -> Result<LeaderConnection, FollowError> {
        let limits = RpcLimits::default();
        let pings = PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(SILENCE_TIMEOUT);
        let client = WsClientBuilder::new()
            .max_request_size(limits.request_bytes)
            .max_response_size(limits.response_bytes)
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(RESPONSE_TIMEOUT)
            .enable_ws_ping(pings)
            .build(&self.url)
            .await
            .map_err(|error| FollowError::Unreachable {
                url: self.url.clone(),
                reason: error.to_string(),
            })?;
        let connection = LeaderConnection { client: Arc::new(client), url: self.url.clone() };
        connection.check_node().await?;
        Ok(connection)
    }

    fn client(&self) -> Option<Arc<WsClient>> {
        self.read().client.clone()
    }

    /// Forwards a request; `None` if the leader does not respond.
    pub(crate) async fn forward(
        &self,
        method: &'static str,
        params: &[Value],
    ) -> Option<RpcResult> {
        match self.client()?.request(method, params).await {
            Ok(response) => Some(Ok(response)),
            Err(ClientError::Call(error)) => Some(Err(error)),
            Err(error) => {
                tracing::debug!(method, %error, "request was not forwarded");
                None
            }
        }
    }

    /// Forwards an extrinsic, and returns its hash.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub(crate) async fn submit(&self, extrinsic: Vec<u8>) -> Result<H256, SubmitError> {
        let params = [json!(Bytes(extrinsic))];
        match self
            .forward("author_submitExtrinsic", &params)
            .await
            .ok_or_else(|| self.unreachable())?
        {
            Ok(hash) => serde_json::from_value(hash).map_err(|_| self.unreachable()),
            Err(error) => Err(SubmitError::forwarded(&error)),
        }
    }

    /// Forwards an extrinsic, and subscribes to its status events.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub(crate) async fn watch(
        &self,
        extrinsic: Vec<u8>,
    ) -> Result<Subscription<Value>, SubmitError> {
        let client = self.client().ok_or_else(|| self.unreachable())?;
        let params = (Bytes(extrinsic),);
        let (method, unsubscribe) = ("author_submitAndWatchExtrinsic", "author_unwatchExtrinsic");
        client.subscribe(method, params, unsubscribe).await.map_err(|error| match error {
            ClientError::Call(error) => SubmitError::forwarded(&error),
            _ => self.unreachable(),
        })
    }

    fn unreachable(&self) -> SubmitError {
        SubmitError::Unreachable(self.url.clone())
    }
}

/// A connection to the leader.
pub(super) struct LeaderConnection {
    client: Arc<WsClient>,
    url: String,
}

#[derive(Deserialize)]
struct SignedBlock {
    block: BlockContent,
}

#[derive(Deserialize)]
struct BlockContent {
    header: Header,
    extrinsics: Vec<Bytes>,
}

#[derive(Deserialize)]
struct StorageChanges {
    changes: Vec<(Bytes, Option<Bytes>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    spec_version: u32,
}

impl LeaderConnection {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn leader_changed(&self) -> FollowError {
        FollowError::LeaderChanged(self.url.clone())
    }

    pub(super) fn connection_closed(&self) -> FollowError {
        FollowError::Unreachable {
            url: self.url.clone(),
            reason: "the connection was closed".to_owned(),
        }
    }

    pub(super) fn malformed_response(
        &self,
        method: &'static str,
        reason: &impl Display,
    ) -> FollowError {
        FollowError::ErrorResponse { url: self.url.clone(), method, reason: reason.to_string() }
    }

    async fn request_as<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl ToRpcParams + Send,
    ) -> Result<T, FollowError> {
        self.client.request(method, params).await.map_err(|error| match error {
            // The block was reverted or pruned.
            ClientError::Call(error) if error.code() == CLIENT_ERROR => self.leader_changed(),
            error @ (ClientError::Call(_) | ClientError::ParseError(_)) => {
                self.malformed_response(method, &error)
            }
            error => FollowError::Unreachable { url: self.url.clone(), reason: error.to_string() },
        })
    }

    /// Checks that the node produces blocks of this node's runtime.
    async fn check_node(&self) -> Result<(), FollowError> {
        let actual: String = self.request_as("system_name", ArrayParams::new()).await?;
        if actual != NODE_NAME {
            return Err(FollowError::NotLocalnet { url: self.url.clone(), actual });
        }
        let roles: Vec<String> = self.request_as("system_nodeRoles", ArrayParams::new()).await?;
        if !roles.iter().any(|role| role == PRODUCER_ROLE) {
            return Err(FollowError::LeaderIsFollower(self.url.clone()));
        }
        let Version { spec_version: actual } =
            self.request_as("state_getRuntimeVersion", ArrayParams::new()).await?;
        if actual != VERSION.spec_version {
            return Err(FollowError::RuntimeVersion { url: self.url.clone(), actual });
        }
        Ok(())
    }

    /// Subscribes to the leader's heads.
    pub(super) async fn subscribe_heads(&self) -> Result<Subscription<Header>, FollowError> {
        let subscription = self.client.subscribe(
            "chain_subscribeNewHeads",
            ArrayParams::new(),
            "chain_unsubscribeNewHeads",
        );
        subscription.await.map_err(|error| FollowError::Unreachable {
            url: self.url.clone(),
            reason: error.to_string(),
        })
    }

    /// Returns the leader's newest block.
    pub(super) async fn fetch_head(&self) -> Result<Head, FollowError> {
        Ok(Head::of(self.request_as("chain_getHeader", ArrayParams::new()).await?))
    }

    /// Returns the leader's genesis block.
    pub(super) async fn fetch_genesis(&self) -> Result<Head, FollowError> {
        let hash: H256 = self.request_as("chain_getBlockHash", (0,)).await?;
        self.verify_head(self.request_as("chain_getHeader", (hash,)).await?, hash)
    }

    fn verify_head(&self, header: Header, hash: H256) -> Result<Head, FollowError> {
        let head = Head::of(header);
        if head.hash == hash {
            return Ok(head);
        }
        Err(self.malformed_response(
            "chain_getBlock",
            &format!("block {hash:?} has the hash {:?}", head.hash),
        ))
    }

    /// Returns the hashes of blocks; `None` for blocks that the leader does not have.
    pub(super) async fn fetch_hashes(
        &self,
        numbers: RangeInclusive<u32>,
    ) -> Result<Vec<Option<H256>>, FollowError> {
        let numbers: Vec<u32> = numbers.collect();
        let hashes: Vec<Option<H256>> = self.request_as("chain_getBlockHash", (&numbers,)).await?;
        if hashes.len() != numbers.len() {
            let reason = format!("{} hashes for {} blocks", hashes.len(), numbers.len());
            return Err(self.malformed_response("chain_getBlockHash", &reason));
        }
        Ok(hashes)
    }

    /// Returns the block with this hash; `None` if the leader does not have its extrinsics and its
    /// state.
    pub(super) async fn fetch_block(&self, hash: H256) -> Result<Option<Block>, FollowError> {
        let response: Option<SignedBlock> = self.request_as("chain_getBlock", (hash,)).await?;
        let Some(SignedBlock { block: BlockContent { header, extrinsics } }) = response else {
            return Ok(None);
        };
        let extrinsics = extrinsics.into_iter().map(|bytes| bytes.0).collect();
        Ok(Some(Block { head: self.verify_head(header, hash)?, extrinsics }))
    }

    /// Returns the block with this number.
    pub(super) async fn fetch_block_at(&self, number: u32) -> Result<Option<Block>, FollowError> {
        match self.fetch_hashes(number..=number).await?.first() {
            Some(Some(hash)) => self.fetch_block(*hash).await,
            _ => Ok(None),
        }
    }

    /// Returns the complete state after the block with this hash.
    pub(super) async fn fetch_state(
        &self,
        hash: H256,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, FollowError> {
        let mut fetched = FetchedState::default();
        loop {
            let keys: Vec<Bytes> = self
                .request_as("state_getKeysPaged", ("0x", PAGE_SIZE, &fetched.last_key, hash))
                .await?;
            if keys.is_empty() {
                return Ok(fetched.state);
            }
            fetched
                .check_keys(&keys)
                .map_err(|reason| self.malformed_response("state_getKeysPaged", &reason))?;
            let values: Vec<StorageChanges> =
                self.request_as("state_queryStorageAt", (&keys, hash)).await?;
            fetched
                .add_values(values)
                .map_err(|reason| self.malformed_response("state_queryStorageAt", &reason))?;
        }
    }
}

/// The part of a state that was fetched so far.
#[derive(Default)]
struct FetchedState {
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The last key that the leader returned.
    last_key: Option<Bytes>,
    /// The number of keys that the leader returned.
    key_count: usize,
    /// The size of the keys and values in bytes.
    byte_count: usize,
}

impl FetchedState {
    /// Checks and counts the next page of keys; fails with the reason if it is refused.
    fn check_keys(&mut self, keys: &[Bytes]) -> Result<(), &'static str> {
        // Without this check, a leader that repeats keys would cause an endless loop.
        let is_later =
            keys.first().is_none_or(|key| self.last_key.as_ref().is_none_or(|last| key > last));
        if !keys.is_sorted_by(|before, key| before < key) || !is_later {
            return Err(UNORDERED_KEYS);
        }
        self.key_count = self.key_count.saturating_add(keys.len());
        if self.key_count > MAX_KEYS {
            return Err(STATE_TOO_LARGE);
        }
        self.last_key = keys.last().cloned();
        Ok(())
    }

    /// Adds the values of a page; fails with the reason if they are refused.
    fn add_values(&mut self, values: Vec<StorageChanges>) -> Result<(), &'static str> {
        for (key, value) in values.into_iter().flat_map(|values| values.changes) {
            let Some(value) = value else { continue };
            self.byte_count = self.byte_count.saturating_add(key.len()).saturating_add(value.len());
            self.state.insert(key.0, value.0);
            // The leader may also return values of keys that were not requested.
            if self.byte_count > MAX_BYTES || self.state.len() > MAX_KEYS {
                return Err(STATE_TOO_LARGE);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unordered_state_keys_are_refused() {
        let keys =
            |keys: &[u8]| -> Vec<Bytes> { keys.iter().map(|key| Bytes(vec![*key])).collect() };
        let mut fetched = FetchedState::default();
        assert_eq!(fetched.check_keys(&keys(&[1, 2])), Ok(()));
        for refused in [&[1, 2][..], &[2], &[3, 3], &[4, 3]] {
            assert_eq!(fetched.check_keys(&keys(refused)), Err(UNORDERED_KEYS), "{refused:?}");
        }
        assert_eq!(fetched.check_keys(&keys(&[3, 4])), Ok(()));
    }

    #[test]
    fn oversized_state_is_refused() {
        let mut fetched = FetchedState { key_count: MAX_KEYS, ..FetchedState::default() };
        assert_eq!(fetched.check_keys(&[Bytes(vec![1])]), Err(STATE_TOO_LARGE));
        let values = |bytes: usize| {
            vec![StorageChanges { changes: vec![(Bytes(vec![1]), Some(Bytes(vec![0; bytes])))] }]
        };
        let mut fetched = FetchedState { byte_count: MAX_BYTES - 10, ..FetchedState::default() };
        assert_eq!(fetched.add_values(values(9)), Ok(()));
        assert_eq!(fetched.add_values(values(9)), Err(STATE_TOO_LARGE));
    }
}
