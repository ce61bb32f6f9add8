//! Credits for TAO that buyers transfer to the deposit addresses of their API keys.
//!
//! ```text
//! Store::deposit_address ── a derivative account of the operator's account for each API key
//! TopUpWatcher ──────────── finalized blocks after the last recorded one, 64 at a time, linked by their parents
//!   │  events Balances.Transfer to deposit addresses and to the operator's account
//! Store::record_transfers ─ one transaction: a row for each event, the credits, the last recorded block
//! tao nineteen collect ──── Utility.as_derivative with the operator's key; reads addresses, writes nothing
//! ```
//!
//! A separate address for each key needs no memo, which could be forgotten: any wallet and
//! exchange can pay. The validator needs no key, and one extrinsic collects many addresses.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use taonet_chain::{At, Block, BlockHeader, Chain, ChainError, Client, Event};
use taonet_nineteen_store::{Deposit, Store, StoreError, TopUpTerms, TopUps, Transfer};
use taonet_primitives::{AccountId, Backoff, BlockHash, BlockNumber, Rao};
use taonet_service::{Clock, Shutdown, unix_millis};
use tokio::sync::watch;

mod derivatives;
mod metrics;

use derivatives::Derivatives;
pub(crate) use metrics::describe as describe_metrics;

/// Maximum number of blocks whose transfers are recorded in one transaction.
const MAX_BLOCKS: u32 = 64;
/// Number of transfers to deposit addresses after which no further block is recorded in the same
/// transaction.
const MAX_TRANSFERS_PER_BATCH: usize = 256;
/// Maximum number of blocks that are read at the same time.
const MAX_CONCURRENT_READS: usize = 4;
/// Interval at which the chain is read if no block is announced: the block time of the main
/// network.
const POLL_INTERVAL: Duration = Duration::from_secs(12);
/// Pauses after failures that an operator must resolve.
const BACKOFF: Backoff = Backoff::new(POLL_INTERVAL, Duration::from_mins(10));

/// Why transfers cannot be credited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopUpError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain could not be read. A node that has pruned the state of a block cannot return its
    /// events.
    #[error("cannot read the transfers of finalized blocks")]
    Chain(#[from] ChainError),
    /// The last recorded block is not an ancestor of the newest finalized block.
    #[error(
        "block {0}, up to which transfers are credited, is no longer part of the finalized chain, so no transfers are \
         credited; hint: connect to another node; after a revert of a development chain, use a new database"
    )]
    Reverted(Block),
    /// The blocks that were read by their heights are not those of the finalized chain.
    #[error(
        "the node does not have the finalized block {0}; hint: connect to a single node, since nodes behind a load \
         balancer can differ"
    )]
    Lagging(BlockNumber),
    /// The node returned the header of another block.
    #[error(
        "the node returned the header of block {returned} for block {requested}; hint: use a node of your own"
    )]
    WrongHeader {
        /// The requested block.
        requested: Block,
        /// The header's block.
        returned: Block,
    },
    /// A transfer has unknown fields.
    #[error("an event Balances.Transfer of block {block} has unknown fields")]
    Event {
        /// The block.
        block: Block,
        /// Why the fields cannot be read.
        source: serde_json::Error,
    },
}

impl TopUpError {
    /// Whether an operator must resolve the failure. Others may be resolved by the next attempt.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Store(_) | Self::Lagging(_) => false,
            Self::Chain(error) => !error.is_retryable(),
            Self::Reverted(_) | Self::WrongHeader { .. } | Self::Event { .. } => true,
        }
    }

    /// Kind of the failure, which is logged again when it changes.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "database",
            Self::Chain(ChainError::NoSuchBlock(_) | ChainError::NoEvents(_)) => "pruned",
            Self::Chain(_) => "chain",
            Self::Reverted(_) => "reverted",
            Self::Lagging(_) => "lagging",
            Self::WrongHeader { .. } => "header",
            Self::Event { .. } => "event",
        }
    }
}

/// Source of finalized blocks and their events. Events have no proof, so the source must be
/// trusted.
#[async_trait]
pub trait FinalizedBlocks: Send + Sync {
    /// Returns the newest finalized block.
    async fn newest(&self) -> Result<Block, ChainError>;

    /// Returns the hash of the block with a height; `None` above the newest block.
    async fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError>;

    /// Returns the header of a block, with the hash that is computed from it.
    async fn block_header(&self, block: BlockHash) -> Result<BlockHeader, ChainError>;

    /// Returns the events of the block with a header.
    async fn events_of(&self, header: &BlockHeader) -> Result<Vec<Event>, ChainError>;

    /// Subscribes to new blocks, finalized or not.
    fn announcements(&self) -> watch::Receiver<Option<Block>>;
}

#[async_trait]
impl FinalizedBlocks for Client {
    async fn newest(&self) -> Result<Block, ChainError> {
        self.finalized_head().await
    }

    async fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        self.block_hash(number).await
    }

    async fn block_header(&self, block: BlockHash) -> Result<BlockHeader, ChainError> {
        self.header(At::Hash(block)).await
    }

    async fn events_of(&self, header: &BlockHeader) -> Result<Vec<Event>, ChainError> {
        self.block_events(header).await
    }

    fn announcements(&self) -> watch::Receiver<Option<Block>> {
        self.heads()
    }
}

/// Fields of the event `Balances.Transfer`.
#[derive(Debug, Deserialize)]
struct TransferFields {
    from: AccountId,
    to: AccountId,
    amount: Rao,
}

/// Consecutive finalized blocks after the last recorded one.
struct BlockBatch {
    last: Block,
    /// Transfers to derivatives of the operator's account, such as deposit addresses, and to the
    /// account itself.
    transfers: Vec<Transfer>,
    /// Number of such transfers whose amount is too small for a credit.
    worthless: u64,
}

/// Consecutive failures of the watcher.
#[derive(Default)]
struct Failures {
    kind: Option<&'static str>,
    is_permanent: bool,
    /// Number of permanent failures.
    count: u32,
}

impl Failures {
    /// Counts the result of an attempt, and returns the pause after it. Logs a failure once,
    /// regardless of how long it lasts, and again when its kind changes.
    fn record(&mut self, result: Result<(), TopUpError>) -> Duration {
        metrics::set_deposits_failing(result.is_err());
        let Err(error) = result else {
            if std::mem::take(self).kind.is_some() {
                tracing::info!("transfers are credited again");
            }
            return POLL_INTERVAL;
        };
        self.is_permanent = error.is_permanent();
        if self.kind.replace(error.kind()) != Some(error.kind()) {
            let (error, kind) = (&error as &dyn std::error::Error, error.kind());
            if self.is_permanent {
                tracing::error!(error, kind, "transfers are not credited");
            } else {
                tracing::warn!(error, kind, "transfers are not credited");
            }
        }
        if !self.is_permanent {
            self.count = 0;
            return POLL_INTERVAL;
        }
        let pause = BACKOFF.delay(self.count);
        self.count = self.count.saturating_add(1);
        pause
    }
}

/// Credits the transfers of finalized blocks to the API keys that own the deposit addresses.
///
/// Blocks are read by their heights, upwards from the last recorded one, and each must be the child
/// of the one before. A node that lags behind, or has another fork, can therefore add no transfer.
pub struct TopUpWatcher {
    blocks: Arc<dyn FinalizedBlocks>,
    store: Store,
    clock: Clock,
    derivatives: Derivatives,
}

impl TopUpWatcher {
    /// Creates a watcher. It credits nothing until top-ups are enabled ([`Store::enable_topups`]).
    pub fn new(blocks: Arc<dyn FinalizedBlocks>, store: Store, clock: Clock) -> Self {
        Self { blocks, store, clock, derivatives: Derivatives::default() }
    }

    /// Credits the transfers of each finalized block until shutdown. Logs failures and retries
    /// them.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut announcements = self.blocks.announcements();
        let mut failures = Failures::default();
        loop {
            let result = tokio::select! {
                () = shutdown.requested() => return,
                result = self.advance() => result,
            };
            let pause = failures.record(result);
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
                () = wait_for_announcement(&mut announcements), if !failures.is_permanent => {}
            }
        }
    }

    /// Credits the transfers up to the newest finalized block, unless top-ups are disabled.
    ///
    /// # Errors
    /// [`TopUpError`] when the chain or the database fails; the next call continues after the last
    /// recorded block.
    pub async fn advance(&self) -> Result<(), TopUpError> {
        let topups = self.store.topups().await?.filter(|topups| topups.is_enabled);
        let Some(TopUps { terms, block: number, hash, .. }) = topups else { return Ok(()) };
        let mut last_recorded = Block { number, hash };
        let newest = self.blocks.newest().await?;
        if newest.number == last_recorded.number && newest != last_recorded {
            return Err(TopUpError::Reverted(last_recorded));
        }
        // A node that lags behind has no further blocks.
        while last_recorded.number < newest.number {
            let BlockBatch { last, transfers, worthless } =
                self.read_batch(last_recorded, newest, &terms).await?;
            let now_ms = unix_millis((self.clock)());
            let hash = last_recorded.hash;
            let deposits = self
                .store
                .record_transfers(hash, (last.number, last.hash), &transfers, now_ms)
                .await?;
            // Another process has recorded these blocks, or has disabled top-ups.
            let Some(deposits) = deposits else { return Ok(()) };
            deposits.iter().for_each(log_deposit);
            metrics::record_worthless_deposits(worthless);
            metrics::set_deposit_block(last.number.get());
            last_recorded = last;
        }
        Ok(())
    }

    /// Reads finalized blocks after the last recorded one, up to the newest one.
    async fn read_batch(
        &self,
        last_recorded: Block,
        newest: Block,
        terms: &TopUpTerms,
    ) -> Result<BlockBatch, TopUpError> {
        let end = newest.number.min(last_recorded.number.plus(MAX_BLOCKS));
        // Read the first block alone, so that a node that has pruned it gets few requests.
        let first = self.read_block(last_recorded.number.plus(1)).await?;
        let later_blocks = last_recorded.number.plus(2).get()..=end.get();
        let later_blocks = stream::iter(later_blocks)
            .map(|number| self.read_block(BlockNumber::new(number)))
            .buffered(MAX_CONCURRENT_READS);
        let mut blocks = pin!(stream::iter([Ok(first)]).chain(later_blocks));
        let mut batch = BlockBatch { last: last_recorded, transfers: Vec::new(), worthless: 0 };
        while batch.transfers.len() < MAX_TRANSFERS_PER_BATCH
            && let Some((header, events)) = blocks.try_next().await?
        {
            if header.parent != batch.last.hash {
                let is_first = batch.last == last_recorded;
                let lagging_error = TopUpError::Lagging(header.block.number);
                return Err(if is_first {
                    TopUpError::Reverted(last_recorded)
                } else {
                    lagging_error
                });
            }
            batch.last = header.block;
            let transfers = self.incoming_transfers(header.block, events, terms.account).await?;
            let (creditable, worthless): (Vec<_>, Vec<_>) =
                transfers.into_iter().partition(|transfer| terms.credits(transfer.amount) > 0);
            batch.transfers.extend(creditable);
            batch.worthless += worthless.len() as u64;
        }
        // Blocks that the node which returned them has not finalized may belong to a fork.
        let is_newest = batch.last.number == newest.number;
        let hash = if is_newest {
            Some(batch.last.hash)
        } else {
            self.blocks.hash_at(newest.number).await?
        };
        if hash == Some(newest.hash) { Ok(batch) } else { Err(TopUpError::Lagging(newest.number)) }
    }

    /// Reads a block below the newest finalized one.
    async fn read_block(
        &self,
        number: BlockNumber,
    ) -> Result<(BlockHeader, Vec<Event>), TopUpError> {
        let hash = self.blocks.hash_at(number).await?.ok_or(TopUpError::Lagging(number))?;
        let header = self.blocks.block_header(hash).await?;
        let requested = Block { number, hash };
        if header.block != requested {
            return Err(TopUpError::WrongHeader { requested, returned: header.block });
        }
        let events = self.blocks.events_of(&header).await?;
        // At least the extrinsic that sets the block's time has an event.
        if events.is_empty() {
            return Err(ChainError::NoEvents(hash).into());
        }
        Ok((header, events))
    }

    /// Returns the transfers of a block to deposit addresses, to other derivatives of the
    /// operator's account and to this account. Another derivative can be the address of a key that
    /// a restored, older database lacks. Transfers from these addresses, with which the operator
    /// collects the TAO, are not payments.
    async fn incoming_transfers(
        &self,
        block: Block,
        events: Vec<Event>,
        operator: AccountId,
    ) -> Result<Vec<Transfer>, TopUpError> {
        let mut transfers = Vec::new();
        for event in events.into_iter().filter(|event| event.is("Balances", "Transfer")) {
            let fields = serde_json::from_value(event.fields);
            let TransferFields { from, to, amount } =
                fields.map_err(|source| TopUpError::Event { block, source })?;
            let Block { number: block, hash } = block;
            transfers.push(Transfer { block, hash, event: event.index, from, to, amount });
        }
        if !transfers.is_empty() {
            // Read after the block: a buyer knows an address before the block with the transfer
            // exists.
            let accounts: HashSet<AccountId> =
                transfers.iter().flat_map(|transfer| [transfer.from, transfer.to]).collect();
            let deposit_addresses = self.store.deposit_addresses_among(accounts).await?;
            let involves_deposit_address = |transfer: &Transfer| {
                deposit_addresses.contains(&transfer.to)
                    || deposit_addresses.contains(&transfer.from)
            };
            let derivatives = (!transfers.iter().all(involves_deposit_address))
                .then(|| self.derivatives.of_account(operator));
            let is_derivative = |account: &AccountId| {
                deposit_addresses.contains(account)
                    || derivatives.as_ref().is_some_and(|derivatives| derivatives.contains(account))
            };
            transfers.retain(|transfer| {
                (is_derivative(&transfer.to) || transfer.to == operator)
                    && !is_derivative(&transfer.from)
            });
        }
        Ok(transfers)
    }
}

/// Waits for the next announced block.
async fn wait_for_announcement(announcements: &mut watch::Receiver<Option<Block>>) {
    if announcements.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Logs and counts a deposit.
fn log_deposit(deposit: &Deposit) {
    let Deposit { block, event, from, amount_rao, credits, .. } = deposit;
    let rao = amount_rao.get();
    metrics::record_deposit(deposit.key_id.is_some(), *credits);
    if let Some(key) = &deposit.key_id {
        tracing::info!(%block, event, %from, rao, key, credits, "transfer credited");
    } else {
        tracing::warn!(
            %block, event, %from, rao,
            "transfer belongs to no active API key; hint: `tao nineteen keys deposits --unattributed` lists it"
        );
    }
}

#[cfg(test)]
mod tests;
