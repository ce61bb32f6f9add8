use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_chain::{
    At, Block, Chain, ChainError, Client, Detail, Hyperparameters, Metagraph, Network, Schedule,
    Subnet,
};
use taonet_primitives::{BlockNumber, MechId, NetUid};
use tokio::time::{Instant, sleep, timeout};

use super::contents::BlockContents;
use super::epochs::{self, EpochResults, MAX_EPOCHS};
use super::reads::Reader;
use crate::changes::Changes;

/// Maximum number of blocks in memory.
pub(super) const MAX_BLOCKS: usize = 256;
/// Maximum number of extrinsics and events in memory, which limits the memory of large blocks.
const MAX_ITEMS: usize = 20_000;
/// Maximum number of blocks to read that were not the newest at any read.
const MAX_SKIPPED: u32 = 10;
/// Minimum interval between two reads of the metagraph.
const METAGRAPH_INTERVAL: Duration = Duration::from_secs(6);
/// Minimum interval between two reports, for chains with fast blocks.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between two reads of the hyperparameters and of the list of subnets.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum interval between two reads of the epoch schedule, which the subnet's owner can change.
const SCHEDULE_INTERVAL: Duration = Duration::from_mins(1);
/// Minimum interval between two reads of the epoch schedule, for chains with fast blocks.
const SCHEDULE_PAUSE: Duration = Duration::from_secs(1);
/// Interval between two reads of earlier blocks, which leaves the node time for other requests.
const HISTORY_PAUSE: Duration = Duration::from_millis(250);
/// Delay before reconnecting to the chain.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Latest known state of the chain.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The latest blocks, newest first.
    pub(super) blocks: VecDeque<Arc<BlockContents>>,
    /// The subnet's hyperparameters at the last successful read.
    pub(super) hyperparameters: Option<Arc<Hyperparameters>>,
    /// The subnet's metagraph at the last successful read.
    pub(super) metagraph: Option<Arc<Metagraph>>,
    /// All subnets of the chain at the last successful read.
    pub(super) subnets: Option<Arc<[Subnet]>>,
    /// The subnet's epoch schedule at the last successful read.
    pub(super) schedule: Option<Schedule>,
    /// The results of the latest epochs, newest first.
    pub(super) epochs: VecDeque<Arc<EpochResults>>,
    /// Why the latest read of the chain failed, if it did. The other fields then contain the data
    /// of the last successful read.
    pub(super) problem: Option<String>,
}

impl State {
    /// Adds a block that is newer than all others. Known blocks of the same or a greater height
    /// have been reverted.
    pub(super) fn push_newest(&mut self, contents: BlockContents) {
        let number = contents.block.number;
        self.blocks.retain(|seen_block| seen_block.block.number < number);
        self.blocks.push_front(Arc::new(contents));
        let mut items = 0;
        let block_count = self.blocks.iter().take(MAX_BLOCKS).take_while(|seen_block| {
            items += seen_block.items();
            items <= MAX_ITEMS
        });
        let block_count = block_count.count().max(1);
        self.blocks.truncate(block_count);
    }

    /// Returns the number of the block before the oldest one in memory; `None` without space for
    /// it, or at block 0.
    fn next_earlier(&self) -> Option<BlockNumber> {
        let items: usize = self.blocks.iter().map(|seen_block| seen_block.items()).sum();
        let oldest = self.blocks.back()?.block.number;
        let has_space = self.blocks.len() < MAX_BLOCKS && items < MAX_ITEMS;
        (has_space && oldest.get() > 0).then(|| oldest.minus(1))
    }
}

/// Follower of the chain, with the latest state, and the reader for single pages.
#[derive(Default)]
pub(super) struct Source {
    state: RwLock<Arc<State>>,
    pub(super) reader: Reader,
}

impl Source {
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&current);
        change(&mut state);
        *current = Arc::new(state);
    }

    /// Connects to the chain and follows it forever; reconnects after errors.
    pub(super) async fn follow(&self, network: &Network, netuid: NetUid, changes: &Changes) {
        loop {
            match Client::connect(network).await {
                Ok(client) => {
                    let _connected = self.reader.connect(Arc::new(client.clone()));
                    tokio::select! {
                        () = self.follow_blocks(&client, netuid, changes) => {}
                        () = self.follow_settings(&client, netuid, changes) => {}
                        () = self.follow_epochs(&client, netuid, changes) => {}
                        () = self.follow_history(&client, changes) => {}
                    }
                }
                Err(error) => self.report_problem(&error, changes),
            }
            sleep(RETRY_AFTER).await;
        }
    }

    /// Reads the hyperparameters of a subnet and the list of subnets at intervals, until the future
    /// is dropped.
    async fn follow_settings(&self, client: &Client, netuid: NetUid, changes: &Changes) {
        loop {
            match client.hyperparameters(netuid, At::Head).await {
                Ok(read) if self.state().hyperparameters.as_deref() != Some(&read) => {
                    self.change(|state| state.hyperparameters = Some(Arc::new(read)));
                    changes.report();
                }
                Ok(_) => {}
                // `follow_blocks` reports an unreachable chain.
                Err(error) => tracing::debug!(%error, "cannot read the hyperparameters"),
            }
            match client.subnets(At::Head).await {
                Ok(read) if self.state().subnets.as_deref() != Some(read.as_slice()) => {
                    self.change(|state| state.subnets = Some(read.into()));
                    changes.report();
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "cannot read the list of subnets"),
            }
            sleep(SETTINGS_INTERVAL).await;
        }
    }

    /// Reads the blocks before the first one that was read, from the newest to the oldest, as far
    /// as the node has them; then waits until the future is dropped.
    pub(super) async fn follow_history(&self, chain: &dyn Chain, changes: &Changes) {
        while self.state().blocks.is_empty() {
            sleep(HISTORY_PAUSE).await;
        }
        while let Some(number) = self.state().next_earlier() {
            match self.read_earlier(chain, number).await {
                Ok(true) => sleep(HISTORY_PAUSE).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(%error, "cannot read an earlier block");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
        changes.report();
        pending::<()>().await;
    }

    /// Reads the block before the oldest one; returns whether the node still has the block and its
    /// state.
    async fn read_earlier(
        &self,
        chain: &dyn Chain,
        number: BlockNumber,
    ) -> Result<bool, ChainError> {
        let Some(hash) = chain.block_hash(number).await? else { return Ok(false) };
        let contents = BlockContents::read(chain, Block { number, hash }).await?;
        if contents.extrinsics.problem.is_some() || contents.events.problem.is_some() {
            return Ok(false);
        }
        self.change(|state| {
            // The chain may have reverted the block in the meantime.
            if state.next_earlier() == Some(number) {
                state.blocks.push_back(Arc::new(contents));
            }
        });
        Ok(true)
    }

    /// Reads the results of each epoch when it has ended, until the future is dropped. Begins with
    /// the earlier epochs whose state the node still has.
    pub(super) async fn follow_epochs(&self, chain: &dyn Chain, netuid: NetUid, changes: &Changes) {
        let mut heads = chain.heads();
        loop {
            if let Err(error) = self.read_epochs(chain, netuid, changes).await {
                // `follow_blocks` reports an unreachable chain.
                tracing::debug!(%error, "cannot read the results of the epochs");
                sleep(RETRY_AFTER).await;
                continue;
            }
            sleep(SCHEDULE_PAUSE).await;
            let schedule = self.state().schedule;
            let next_epoch = schedule.and_then(|schedule| schedule.next_epoch(schedule.last_epoch));
            let is_due = |head: &Option<Block>| {
                next_epoch.zip(*head).is_some_and(|(next_epoch, head)| head.number >= next_epoch)
            };
            // After the timeout, the loop continues without a new epoch.
            let _ = timeout(SCHEDULE_INTERVAL, heads.wait_for(is_due)).await;
        }
    }

    /// Reads the schedule, and the results of the epochs since the last read. Drops the results
    /// that were read at reverted blocks.
    async fn read_epochs(
        &self,
        chain: &dyn Chain,
        netuid: NetUid,
        changes: &Changes,
    ) -> Result<(), ChainError> {
        let before = self.state();
        let read_at: Vec<Block> = before.epochs.iter().map(|epoch| epoch.read_at).collect();
        let reverted = count_reverted(chain, &read_at).await?;
        let epoch_index = before.epochs.get(reverted).map(|epoch| epoch.index);
        let (schedule, new) = epochs::read_after(epoch_index, chain, netuid).await?;
        if reverted == 0 && new.is_empty() && self.state().schedule == Some(schedule) {
            return Ok(());
        }
        self.change(|state| {
            state.schedule = Some(schedule);
            state
                .epochs
                .retain(|epoch| epoch_index.is_some_and(|epoch_index| epoch.index <= epoch_index));
            if epoch_index.is_some_and(|epoch_index| epoch_index > schedule.epoch_index) {
                // A different chain, or one that was reset.
                state.epochs.clear();
            }
            let newest = state.epochs.front().map(|epoch| epoch.index);
            for epoch in new
                .into_iter()
                .rev()
                .filter(|epoch| newest.is_none_or(|newest| epoch.index > newest))
            {
                state.epochs.push_front(Arc::new(epoch));
            }
            state.epochs.truncate(MAX_EPOCHS);
        });
        changes.report();
        Ok(())
    }

    /// Reads the newest block, the subnet and the latest epochs once.
    pub(super) async fn read(&self, chain: &dyn Chain, netuid: NetUid, changes: &Changes) {
        let read = async {
            let head = chain.head().await?;
            self.observe_head(chain, head, netuid, &mut None).await?;
            self.read_epochs(chain, netuid, changes).await
        };
        match read.await {
            Ok(()) => changes.report(),
            Err(error) => self.report_problem(&error, changes),
        }
    }

    /// Follows the blocks of a connection until the connection ends.
    pub(super) async fn follow_blocks(&self, chain: &dyn Chain, netuid: NetUid, changes: &Changes) {
        let mut heads = chain.heads();
        let mut read_at: Option<Instant> = None;
        loop {
            let head = *heads.borrow_and_update();
            let head = match head {
                Some(head) => Ok(head),
                None => chain.head().await,
            };
            let observed = match head {
                Ok(head) => self.observe_head(chain, head, netuid, &mut read_at).await,
                Err(error) => Err(error),
            };
            match observed {
                Ok(()) => changes.report(),
                Err(error) => {
                    read_at = None;
                    self.report_problem(&error, changes);
                }
            }
            sleep(REPORT_INTERVAL).await;
            // Without a new block the loop continues after a timeout, so that a failed read is
            // retried.
            if let Ok(Err(_)) = tokio::time::timeout(RETRY_AFTER, heads.changed()).await {
                return;
            }
        }
    }

    async fn observe_head(
        &self,
        chain: &dyn Chain,
        head: Block,
        netuid: NetUid,
        read_at: &mut Option<Instant>,
    ) -> Result<(), ChainError> {
        let is_due = read_at.is_none_or(|at| at.elapsed() >= METAGRAPH_INTERVAL);
        let (mut metagraph, mut problem) = (None, None);
        if is_due {
            match chain.metagraph(netuid, MechId(0), Detail::Full, head.into()).await {
                Ok(read) => {
                    *read_at = Some(Instant::now());
                    metagraph = Some(Arc::new(read));
                }
                // The other pages do not need the subnet, which may be created later.
                Err(error @ ChainError::NoSuchSubnet(_)) => {
                    problem = Some(format!("{error}; hint: select a subnet with --netuid"));
                }
                Err(error) => return Err(error),
            }
        }
        let (mut new_blocks, mut reverted) = (Vec::new(), Vec::<Block>::new());
        if is_unknown(&self.state(), head) {
            reverted = self.state().blocks.iter().map(|seen_block| seen_block.block).collect();
            let count = count_reverted(chain, &reverted).await?;
            let newest = reverted.split_off(count).first().map(|block| block.number);
            for number in skipped_numbers(newest, head) {
                if let Some(hash) = chain.block_hash(number).await? {
                    new_blocks.push(BlockContents::read(chain, Block { number, hash }).await?);
                }
            }
            new_blocks.push(BlockContents::read(chain, head).await?);
        }
        self.change(|state| {
            state.problem = problem;
            // Another read may have added the blocks in the meantime.
            if is_unknown(state, head) {
                state.blocks.retain(|seen_block| !reverted.contains(&seen_block.block));
                for block in new_blocks {
                    state.push_newest(block);
                }
            }
            if let Some(metagraph) = metagraph {
                state.metagraph = Some(metagraph);
            }
        });
        Ok(())
    }

    fn report_problem(&self, error: &ChainError, changes: &Changes) {
        let problem = Some(format!("{error}; hint: check the node, and the address in --chain"));
        if self.state().problem != problem {
            tracing::warn!(%error, "cannot read the chain");
            self.change(|state| state.problem = problem);
            changes.report();
        }
    }
}

/// Returns whether a block differs from the newest known one.
fn is_unknown(state: &State, block: Block) -> bool {
    state.blocks.front().is_none_or(|newest| newest.block.hash != block.hash)
}

/// Returns how many blocks the chain has reverted, given blocks that were read before, newest
/// first.
async fn count_reverted(chain: &dyn Chain, blocks: &[Block]) -> Result<usize, ChainError> {
    let mut count = 0;
    for block in blocks {
        if chain.block_hash(block.number).await? == Some(block.hash) {
            break;
        }
        count += 1;
    }
    Ok(count)
}

/// Returns the latest blocks between the newest known one of the chain and `head`, which chains
/// with fast blocks add between two reads.
fn skipped_numbers(newest: Option<BlockNumber>, head: Block) -> impl Iterator<Item = BlockNumber> {
    let next = newest.map_or(head.number, |newest| newest.plus(1));
    let first = next.max(head.number.minus(MAX_SKIPPED)).get();
    (first..head.number.get()).map(BlockNumber::new)
}
