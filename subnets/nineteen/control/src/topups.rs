//! Credits for TAO that buyers transfer to the deposit addresses of their API keys.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use taonet_chain::{At, Block, Chain, ChainError, Client, Event};
use taonet_nineteen_store::{Deposit, Store, StoreError, TopUps, Transfer};
use taonet_primitives::{AccountId, BlockHash, Rao};
use taonet_service::{Clock, Shutdown, unix_time};
use tokio::sync::watch;

use crate::measures;

/// Maximum number of blocks whose transfers are recorded in one transaction.
const BLOCKS: usize = 64;
/// Interval at which the chain is read if no block is announced: the block time of the main network.
const POLL: Duration = Duration::from_secs(12);

/// Why transfers cannot be credited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopUpError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain could not be read. A node that has pruned the state of a block cannot return its events.
    #[error("cannot read the transfers of finalized blocks")]
    Chain(#[from] ChainError),
    /// The last recorded block is not an ancestor of the newest finalized block.
    #[error(
        "block {0}, up to which transfers are credited, is no longer part of the finalized chain, so no transfers are \
         credited; hint: connect to another node; after a revert of a development chain, use a new database"
    )]
    Reverted(Block),
    /// A transfer has unknown fields.
    #[error("an event Balances.Transfer of block {block} has unknown fields")]
    Event {
        /// The block.
        block: Block,
        /// Why the fields cannot be read.
        source: serde_json::Error,
    },
}

/// Source of finalized blocks and their events.
#[async_trait]
pub trait FinalizedBlocks: Send + Sync {
    /// Returns the newest finalized block.
    async fn newest(&self) -> Result<Block, ChainError>;

    /// Returns the hash of a block's parent.
    async fn parent(&self, block: BlockHash) -> Result<BlockHash, ChainError>;

    /// Returns the events of a block.
    async fn block_events(&self, block: BlockHash) -> Result<Vec<Event>, ChainError>;

    /// Subscribes to new blocks, finalized or not.
    fn announcements(&self) -> watch::Receiver<Option<Block>>;
}

#[async_trait]
impl FinalizedBlocks for Client {
    async fn newest(&self) -> Result<Block, ChainError> {
        self.finalized_head().await
    }

    async fn parent(&self, block: BlockHash) -> Result<BlockHash, ChainError> {
        Ok(self.header(At::Hash(block)).await?.parent)
    }

    async fn block_events(&self, block: BlockHash) -> Result<Vec<Event>, ChainError> {
        self.events(At::Hash(block)).await
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

/// Credits the transfers of finalized blocks to the API keys to whose deposit addresses they are.
///
/// Blocks are read by the hashes of their ancestry from the newest finalized block back to the last recorded one, so
/// that blocks of a fork, or of a node that lags behind, are never read.
pub struct TopUpWatcher {
    blocks: Arc<dyn FinalizedBlocks>,
    store: Store,
    clock: Clock,
}

impl TopUpWatcher {
    /// Creates a watcher. It credits nothing until top-ups are enabled ([`Store::enable_topups`]).
    pub fn new(blocks: Arc<dyn FinalizedBlocks>, store: Store, clock: Clock) -> Self {
        Self { blocks, store, clock }
    }

    /// Credits the transfers of each finalized block until shutdown. Logs failures and retries them.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut announcements = self.blocks.announcements();
        let mut is_failing = false;
        loop {
            let credited = tokio::select! {
                () = shutdown.requested() => return,
                credited = self.advance() => credited,
            };
            match credited {
                Ok(()) if std::mem::take(&mut is_failing) => tracing::info!("transfers are credited again"),
                Ok(()) => {}
                // Logged once, regardless of how long the failure lasts.
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "transfers are not credited");
                    }
                }
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(POLL) => {}
                () = announced(&mut announcements) => {}
            }
        }
    }

    /// Credits the transfers up to the newest finalized block.
    ///
    /// # Errors
    /// [`TopUpError`] when the chain or the database fails; the next call continues after the last recorded block.
    pub async fn advance(&self) -> Result<(), TopUpError> {
        let Some(TopUps { terms, block: number, hash, .. }) = self.store.topups().await? else { return Ok(()) };
        let ancestry = self.ancestry(Block { number, hash }).await?;
        let mut after = hash;
        for part in ancestry.chunks(BLOCKS) {
            let Some(last) = part.last() else { continue };
            let transfers = self.transfers(part, terms.account).await?;
            let now_ms = i64::try_from(unix_time((self.clock)()).as_millis()).unwrap_or(i64::MAX);
            let recorded = self.store.record_transfers(after, (last.number, last.hash), &transfers, now_ms).await?;
            // Another process has recorded these blocks.
            let Some(deposits) = recorded else { return Ok(()) };
            deposits.iter().for_each(report);
            measures::deposit_block(last.number.get());
            after = last.hash;
        }
        Ok(())
    }

    /// Returns the finalized blocks after a recorded one, oldest first.
    async fn ancestry(&self, recorded: Block) -> Result<Vec<Block>, TopUpError> {
        let mut block = self.blocks.newest().await?;
        let mut ancestry = Vec::new();
        // A node that lags behind has none of them.
        if block.number < recorded.number {
            return Ok(ancestry);
        }
        while block.number > recorded.number {
            ancestry.push(block);
            block = Block { number: block.number.minus(1), hash: self.blocks.parent(block.hash).await? };
        }
        if block != recorded {
            return Err(TopUpError::Reverted(recorded));
        }
        ancestry.reverse();
        Ok(ancestry)
    }

    /// Returns the transfers in blocks to deposit addresses and to the operator's account. Those from deposit addresses,
    /// with which the operator collects the TAO, are no payments.
    async fn transfers(&self, blocks: &[Block], operator: AccountId) -> Result<Vec<Transfer>, TopUpError> {
        let mut transfers = Vec::new();
        for block in blocks {
            for event in self.blocks.block_events(block.hash).await? {
                if !event.is("Balances", "Transfer") {
                    continue;
                }
                let fields = serde_json::from_value(event.fields);
                let TransferFields { from, to, amount } =
                    fields.map_err(|source| TopUpError::Event { block: *block, source })?;
                transfers.push(Transfer {
                    block: block.number,
                    hash: block.hash,
                    event: event.index,
                    from,
                    to,
                    amount,
                });
            }
        }
        if !transfers.is_empty() {
            // Read after the blocks: a buyer knows an address before the block with the transfer exists.
            let addresses = self.store.deposit_addresses().await?;
            let addresses: HashSet<AccountId> = addresses.into_iter().map(|address| address.address).collect();
            transfers.retain(|transfer| {
                (addresses.contains(&transfer.to) || transfer.to == operator) && !addresses.contains(&transfer.from)
            });
        }
        Ok(transfers)
    }
}

/// Waits for the next announced block.
async fn announced(announcements: &mut watch::Receiver<Option<Block>>) {
    if announcements.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Logs and counts a deposit.
fn report(deposit: &Deposit) {
    let Deposit { block, event, from, amount_rao, credits, .. } = deposit;
    let rao = amount_rao.get();
    measures::deposit(deposit.key_id.is_some(), *credits);
    match &deposit.key_id {
        Some(key) => tracing::info!(%block, event, %from, rao, key, credits, "transfer credited"),
        None => tracing::warn!(
            %block, event, %from, rao,
            "transfer belongs to no active API key; hint: `tao nineteen keys deposits --unattributed` lists it"
        ),
    }
}

#[cfg(test)]
mod tests;
