//! Following another node: a node imports the blocks of its leader, and forwards extrinsics to it.
//!
//! The follower only uses the leader's public JSON-RPC methods, and trusts none of its responses:
//! it executes each block and compares the result with the header. If the leader reverts, its new
//! head does not descend from the follower's head: the follower then reverts to the newest block
//! that both chains have. Only if there is none, or if the leader has pruned the next block, does
//! the follower fetch a complete state and continue from there.

mod leader;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sp_core::H256;
use taonet_localnet_runtime::VERSION;
use taonet_primitives::Backoff;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::author::{Action, AuthorError, Block, Checkpoint, ImportError};
use crate::chain::Chain;
use crate::meter;
use crate::node::Control;
use crate::store::{FirstBlock, Head, History, StoreError};
pub(crate) use leader::Leader;
use leader::{LeaderConnection, PAGE_SIZE};

/// Pauses before a reconnect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// The pause after the leader's chain changed while it was read.
const LEADER_CHANGED_PAUSE: Duration = Duration::from_millis(50);
/// Maximum number of blocks that are imported at once.
const MAX_IMPORT_BLOCKS: u32 = 64;
/// Maximum time for which a report on an extrinsic waits for the import of its block.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a node cannot follow its leader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The leader does not respond.
    #[error(
        "cannot reach the node to follow at {url}: {reason}; hint: start that node first, or check the URL"
    )]
    Unreachable {
        /// URL of the leader.
        url: String,
        /// The error of the connection.
        reason: String,
    },
    /// The leader refused a request, or its response is malformed.
    #[error("the followed node at {url} answered {method} with an error: {reason}")]
    ErrorResponse {
        /// URL of the leader.
        url: String,
        /// The JSON-RPC method.
        method: &'static str,
        /// The error.
        reason: String,
    },
    /// The node at the URL runs other software.
    #[error(
        "the node at {url} is {actual:?}, which cannot be followed; hint: follow a tao localnet"
    )]
    NotLocalnet {
        /// URL of the node.
        url: String,
        /// The name of the node software.
        actual: String,
    },
    /// The leader follows another node, possibly this one.
    #[error("the node at {0} follows another node; hint: follow that one")]
    LeaderIsFollower(String),
    /// The leader has a different runtime.
    #[error(
        "the node at {url} has runtime version {actual}, expected {}; hint: run the same version of tao on both nodes",
        VERSION.spec_version
    )]
    RuntimeVersion {
        /// URL of the leader.
        url: String,
        /// The runtime version of the leader.
        actual: u32,
    },
    /// The leader has a different chain.
    #[error(
        "the node at {url} has genesis {actual:?}, but this node's chain has {local:?}; hint: delete this node's chain \
         with tao localnet reset, or follow another node"
    )]
    Genesis {
        /// URL of the leader.
        url: String,
        /// Hash of the leader's genesis block.
        actual: H256,
        /// Hash of this node's genesis block.
        local: H256,
    },
    /// The leader's chain changed while it was read; a retry reads the new one.
    #[error("the chain of the node at {0} changed while it was read")]
    LeaderChanged(String),
    /// A block of the leader was refused, or not written.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// Reading this node's chain failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Fetches the first block of a new chain that follows a leader.
///
/// # Errors
/// [`FollowError`].
pub(crate) async fn fetch_first_block(
    leader: &Leader,
    history: History,
) -> Result<FirstBlock, FollowError> {
    let connection = leader.connect().await?;
    loop {
        match fetch_checkpoint(&connection, history, &connection.fetch_head().await?).await {
            Err(FollowError::LeaderChanged(_)) => sleep(LEADER_CHANGED_PAUSE).await,
            checkpoint => return Ok(checkpoint?.into_first_block().map_err(AuthorError::from)?),
        }
    }
}

/// Fetches the leader's oldest block that belongs to the history, with its state.
async fn fetch_checkpoint(
    connection: &LeaderConnection,
    history: History,
    newest: &Head,
) -> Result<Checkpoint, FollowError> {
    let mut oldest = match history {
        History::Last(blocks) => newest.number().saturating_add(1).saturating_sub(blocks),
        History::Archive => 0,
    };
    let genesis = connection.fetch_genesis().await?;
    let mut block =
        connection.fetch_block(newest.hash).await?.ok_or_else(|| connection.leader_changed())?;
    while oldest < block.head.number() {
        let middle = oldest.midpoint(block.head.number());
        match connection.fetch_block_at(middle).await? {
            Some(available) => block = available,
            None => oldest = middle.saturating_add(1),
        }
    }
    let mut step = MAX_IMPORT_BLOCKS;
    loop {
        let number = block.head.number();
        tracing::info!(block = number, "fetching the state of the followed node");
        match connection.fetch_state(block.head.hash).await {
            Ok(state) => {
                meter::count_state_fetch();
                return Ok(Checkpoint { genesis, block, state });
            }
            // The leader has pruned the block in the meantime, and keeps later ones for longer.
            Err(FollowError::LeaderChanged(_)) if number < newest.number() => {
                let later = number.saturating_add(step).min(newest.number());
                step = step.saturating_mul(2);
                block = connection
                    .fetch_block_at(later)
                    .await?
                    .ok_or_else(|| connection.leader_changed())?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits until the chain has the block with this hash, for at most [`IMPORT_TIMEOUT`].
pub(crate) async fn wait_for_import(chain: &Chain, hash: H256) {
    let (_, mut events) = chain.subscribe();
    let import = async {
        while !has_block(chain, hash) {
            if let Err(RecvError::Closed) = events.recv().await {
                break;
            }
        }
    };
    // After the timeout, the report is still correct.
    let _ = timeout(IMPORT_TIMEOUT, import).await;
}

fn has_block(chain: &Chain, hash: H256) -> bool {
    match chain.store.header(hash) {
        Ok(header) => header.is_some_and(|header| header.number <= chain.head().number()),
        Err(_) => false,
    }
}

/// The task that follows a leader; dropping it cancels the task.
pub(crate) struct FollowTask(JoinHandle<Infallible>);

impl Drop for FollowTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Imports the blocks of a leader into this node's chain.
pub(crate) struct Follower {
    chain: Arc<Chain>,
    leader: Arc<Leader>,
    control: Control,
    history: History,
}

impl Follower {
    /// Starts to follow a leader.
    pub(crate) fn start(
        chain: Arc<Chain>,
        leader: Arc<Leader>,
        control: Control,
        history: History,
    ) -> FollowTask {
        let follower = Self { chain, leader, control, history };
        FollowTask(tokio::spawn(follower.run()))
    }

    /// Follows the leader, and reconnects when it is lost.
    async fn run(self) -> Infallible {
        let (mut failures, mut reported_error) = (0_u32, None);
        loop {
            let Err(error) = self.follow().await;
            if self.leader.is_followed() {
                (failures, reported_error) = (0, None);
            }
            let error = error.to_string();
            if reported_error.as_ref() != Some(&error) {
                tracing::warn!(leader = self.leader.url(), error, "not following");
            }
            self.leader.mark_disconnected(&error);
            reported_error = Some(error);
            sleep(BACKOFF.delay(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Follows the leader until the connection is lost, or a block is refused.
    async fn follow(&self) -> Result<Infallible, FollowError> {
        let connection = self.leader.connect().await?;
        let actual = connection.fetch_genesis().await?.hash;
        if actual != self.chain.genesis {
            return Err(FollowError::Genesis {
                url: connection.url().to_owned(),
                actual,
                local: self.chain.genesis,
            });
        }
        let mut heads = connection.subscribe_heads().await?;
        let (head_sender, mut head_receiver) = watch::channel(());
        // Reads without pause: the client drops a subscription whose notifications are not read.
        let read_heads = async {
            while let Some(head) = heads.next().await {
                let head = head.map_err(|error| {
                    connection.malformed_response("chain_subscribeNewHeads", &error)
                })?;
                self.leader.set_height(head.number);
                head_sender.send_replace(());
            }
            Err::<Infallible, _>(connection.connection_closed())
        };
        let import_blocks = async {
            loop {
                self.catch_up(&connection).await?;
                if head_receiver.changed().await.is_err() {
                    return Err::<Infallible, FollowError>(connection.connection_closed());
                }
            }
        };
        tokio::select! {
            result = read_heads => result,
            result = import_blocks => result,
        }
    }

    /// Imports blocks until this node has the leader's newest one.
    async fn catch_up(&self, connection: &LeaderConnection) -> Result<(), FollowError> {
        loop {
            let (newest, local) = (connection.fetch_head().await?, self.chain.head());
            self.leader.set_height(newest.number());
            let is_caught_up = local.hash == newest.hash;
            if !is_caught_up {
                match self.sync_step(connection, &local, &newest).await {
                    Err(FollowError::LeaderChanged(_)) => {
                        sleep(LEADER_CHANGED_PAUSE).await;
                        continue;
                    }
                    result => result?,
                }
            }
            if !self.leader.is_followed() {
                tracing::info!(
                    leader = self.leader.url(),
                    block = self.chain.head().number(),
                    "following"
                );
                self.leader.mark_followed(connection);
            }
            if is_caught_up {
                return Ok(());
            }
        }
    }

    /// Imports the next blocks of the leader, reverts to a block that it has, or fetches its state.
    async fn sync_step(
        &self,
        connection: &LeaderConnection,
        local: &Head,
        newest: &Head,
    ) -> Result<(), FollowError> {
        if newest.header.parent_hash == local.hash {
            let block = connection
                .fetch_block(newest.hash)
                .await?
                .ok_or_else(|| connection.leader_changed())?;
            return self.import(connection, vec![block]).await;
        }
        match self.newest_common_block(connection, local, newest).await? {
            Some((number, _)) if number == local.number() => {
                let first = number.saturating_add(1);
                let last = number.saturating_add(MAX_IMPORT_BLOCKS).min(newest.number());
                let hashes = connection.fetch_hashes(first..=last).await?;
                let mut blocks = Vec::new();
                // A hash is missing if the leader has reverted.
                for hash in hashes.into_iter().map_while(|hash| hash) {
                    let Some(block) = connection.fetch_block(hash).await? else { break };
                    blocks.push(block);
                }
                if !blocks.is_empty() {
                    return self.import(connection, blocks).await;
                }
                // The leader still has the newest block, so it has pruned the next one.
                let later = newest.number();
                match connection.fetch_hashes(later..=later).await?.first() {
                    Some(Some(_)) => self.restart_from_state(connection, newest).await,
                    _ => Err(connection.leader_changed()),
                }
            }
            Some((_, hash)) => {
                self.control.send_and_wait(Action::Rewind(hash)).await?;
                Ok(())
            }
            None => self.restart_from_state(connection, newest).await,
        }
    }

    /// Returns the newest block that both chains have, among those whose state is stored here.
    async fn newest_common_block(
        &self,
        connection: &LeaderConnection,
        local: &Head,
        newest: &Head,
    ) -> Result<Option<(u32, H256)>, FollowError> {
        let oldest = self.chain.store.oldest_state()?;
        let mut last = local.number().min(newest.number());
        let mut count = 1;
        while last >= oldest {
            let first = last.saturating_add(1).saturating_sub(count).max(oldest);
            let hashes = connection.fetch_hashes(first..=last).await?;
            for (number, hash) in (first..=last).rev().zip(hashes.into_iter().rev()) {
                if let Some(hash) = hash
                    && self.chain.store.hash(number)? == Some(hash)
                {
                    return Ok(Some((number, hash)));
                }
            }
            let Some(previous) = first.checked_sub(1) else { break };
            (last, count) = (previous, PAGE_SIZE);
        }
        Ok(None)
    }

    async fn import(
        &self,
        connection: &LeaderConnection,
        blocks: Vec<Block>,
    ) -> Result<(), FollowError> {
        match self.control.send_and_wait(Action::Import(blocks)).await {
            Err(AuthorError::Import(ImportError::NotNext { .. })) => {
                Err(connection.leader_changed())
            }
            result => result.map(drop).map_err(FollowError::from),
        }
    }

    /// Replaces the chain by a state of the leader.
    async fn restart_from_state(
        &self,
        connection: &LeaderConnection,
        newest: &Head,
    ) -> Result<(), FollowError> {
        let checkpoint = fetch_checkpoint(connection, self.history, newest).await?;
        self.control.send_and_wait(Action::Restart(Box::new(checkpoint))).await?;
        Ok(())
    }
}
