//! The block author: the single thread that produces blocks.
//!
//! A block is announced after its commit, never before: everything that a client has seen survives
//! `kill -9`. Blocks that are due at the same time (after `mine 1000`, or on the fastest clock)
//! share a commit as long as none of them includes a submitted extrinsic. A second thread writes
//! one group of such blocks while the author builds the next.

mod build;
mod error;
mod group;
mod import;
mod shield;
mod simulate;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use codec::Encode;
use sp_core::H256;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{Backend, BackendTransaction};
use taonet_localnet_runtime::dev::{Directive, StorageEntry, impersonate};
use taonet_localnet_runtime::mev_shield::{ShieldKey, development_key};
use taonet_localnet_runtime::{AccountId, RuntimeCall};
use tokio::sync::oneshot;

use crate::chain::{Chain, NewBlock};
use crate::clock::{Clock, difference, wall_millis};
use crate::execute::{CallError, Overlay, call_as, execute_with};
use crate::meter;
use crate::pool::QueuedExtrinsic;
use crate::store::{Head, RevertTarget, StagedBlock, StoreError, TimeSetting};
use build::{DevPayload, SkipReason, build, timestamp_of};
use group::{BlockGroup, Committer, PendingBlock};

pub(crate) use build::AppliedCommand;
pub use build::BuildError;
pub use error::AuthorError;
pub use import::ImportError;
pub(crate) use import::{Block, Checkpoint};
pub(crate) use simulate::simulate;

/// The number of blocks on the fastest clock between two polls of the command queue.
const BLOCKS_PER_POLL: u32 = 64;
/// The interval between flushes to disk: roughly how much of the chain a power failure may lose.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// The capacity of the command queue.
pub(crate) const MAX_COMMANDS: usize = 64;
/// The pause before a retry when block production fails.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The latest time that can be set, in milliseconds: clients show no years beyond 9999.
const MAX_TIME: u64 = 253_402_207_200_000;

/// An action of the block author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Produces a number of blocks.
    MineBlocks(u32),
    /// Only wakes the author after a submission, for [`Clock::Instant`].
    Wake,
    /// Produces blocks up to the next one in which this subnet's epoch runs.
    MineToEpoch(u16),
    /// Reverts the chain to the block of a named snapshot.
    Revert(String),
    /// Adds this many milliseconds to the timestamps of the following blocks.
    Advance(u64),
    /// Produces a block with a call of this account, whose key is not needed.
    Impersonate(AccountId, Box<RuntimeCall>),
    /// Produces a block that sets these storage keys, or removes those without a value.
    SetStorage(Vec<StorageEntry>),
    /// Imports blocks of the followed node, in order.
    Import(Vec<Block>),
    /// Reverts the chain to a stored block, as the followed node did.
    Rewind(H256),
    /// Restarts the chain from a block of the followed node and its state.
    Restart(Box<Checkpoint>),
}

/// The result of a successful command.
#[derive(Debug, Clone)]
pub(crate) struct CommandOutput {
    /// The newest block.
    pub(crate) head: Head,
    /// The extrinsic that the command added to this block.
    pub(crate) applied: Option<AppliedCommand>,
}

/// A queued action, with the channel on which its result is sent.
pub(crate) struct Command {
    pub(crate) action: Action,
    pub(crate) reply: oneshot::Sender<Result<CommandOutput, AuthorError>>,
}

/// Returns the block time in the chain's state, in milliseconds.
pub(crate) fn slot_millis(state: &impl Backend<BlakeTwo256>) -> Result<u64, CallError> {
    call_as(&mut Overlay::default(), state, "AuraApi_slot_duration", &[])
}

/// Returns the time after which the block after `head` is stamped, in milliseconds.
fn next_timestamp(
    head: &Head,
    state: &impl Backend<BlakeTwo256, Error = String>,
    time: TimeSetting,
) -> Result<u64, BuildError> {
    match head.number() {
        // The genesis block has no timestamp.
        0 if time.floor == 0 => Ok(wall_millis()),
        0 => Ok(time.floor),
        number => {
            let timestamp = timestamp_of(state)
                .map_err(|reason| BuildError::UnreadableState { number, reason })?;
            Ok(timestamp.max(time.floor))
        }
    }
}

/// The state of the author's thread.
pub(crate) struct Author {
    chain: Arc<Chain>,
    clock: Clock,
    stopping: Arc<AtomicBool>,
    /// The chain's block time, in milliseconds.
    slot_millis: u64,
    tip: Head,
    /// The timestamp of the tip in milliseconds, or a later time that was set since.
    last_timestamp: u64,
    time: TimeSetting,
    shield_key: ShieldKey,
    group: BlockGroup,
    last_flush: Instant,
}

impl Author {
    /// Creates an author that continues from the chain's head; the time of a new chain begins at
    /// `start`, and its first block is stamped at least one slot later.
    ///
    /// # Errors
    /// [`AuthorError::BlockTime`]; also if the head's state cannot be read.
    pub(crate) fn new(
        chain: Arc<Chain>,
        clock: Clock,
        start: Option<u64>,
        stopping: Arc<AtomicBool>,
    ) -> Result<Self, AuthorError> {
        let tip = chain.head();
        let state = chain.store.tip_state(&tip)?;
        let slot_millis = slot_millis(&state)?;
        if let Clock::Every(requested) = clock
            && clock.slot_millis() != slot_millis
        {
            return Err(AuthorError::BlockTime {
                actual: Duration::from_millis(slot_millis),
                requested,
            });
        }
        let mut time = chain.store.time()?;
        if let Some(floor) = start
            && chain.store.is_new()?
            && time == TimeSetting::default()
        {
            time = TimeSetting { offset: difference(floor, wall_millis()), floor };
            chain.store.set_time(time)?;
        }
        let timestamp = next_timestamp(&tip, &state, time)?;
        let (shield_key, last_flush) = (development_key(), Instant::now());
        Ok(Self {
            chain,
            clock,
            stopping,
            slot_millis,
            tip,
            last_timestamp: timestamp,
            time,
            shield_key,
            group: BlockGroup::default(),
            last_flush,
        })
    }

    /// Produces blocks until shutdown, or until every sender of commands is dropped.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut next_block_at = Instant::now();
        while !self.is_stopping() {
            let command = match self.clock {
                Clock::Manual | Clock::Instant => {
                    commands.recv().map_err(|_| TryRecvError::Disconnected)
                }
                Clock::Fastest | Clock::Every(_) => commands
                    .recv_timeout(next_block_at.saturating_duration_since(Instant::now()))
                    .map_err(|error| match error {
                        RecvTimeoutError::Timeout => TryRecvError::Empty,
                        RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
                    }),
            };
            match command {
                Ok(command) => {
                    self.execute(command);
                    self.include_submitted();
                }
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    let blocks = if self.clock == Clock::Fastest { BLOCKS_PER_POLL } else { 1 };
                    if let Err(error) = self.produce_blocks(blocks) {
                        tracing::error!(%error, "block production failed");
                        next_block_at = Instant::now() + RETRY_DELAY;
                    }
                    next_block_at = self.following_block_at(next_block_at);
                }
            }
        }
        while let Ok(command) = commands.try_recv() {
            let _ = command.reply.send(Err(AuthorError::Stopping));
        }
    }

    /// Returns when the block after the one at `block_at` is produced. Missed blocks are skipped
    /// and not produced later.
    fn following_block_at(&self, block_at: Instant) -> Instant {
        match self.clock {
            Clock::Every(interval) => (block_at + interval).max(Instant::now()),
            Clock::Fastest | Clock::Manual | Clock::Instant => block_at,
        }
    }

    /// On the clock [`Clock::Instant`], produces blocks with the extrinsics that are ready in the
    /// pool.
    fn include_submitted(&mut self) {
        while self.clock == Clock::Instant && !self.is_stopping() {
            let (ready, _) = self.chain.pool.ready_and_total();
            if ready == 0 {
                return;
            }
            if let Err(error) = self.produce_blocks(1) {
                tracing::error!(%error, "block production failed");
                return;
            }
            // No extrinsic fit into the block. One submitted in the meantime wakes the author
            // again.
            if self.chain.pool.ready_and_total().0 >= ready {
                return;
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Executes a command and replies with its result; stops early if the caller disconnects.
    fn execute(&mut self, command: Command) {
        let Command { action, reply } = command;
        let executed = match action {
            Action::Wake => Ok(None),
            Action::MineBlocks(blocks) => {
                self.produce_blocks_while(blocks, || !reply.is_closed()).map(|()| None)
            }
            Action::MineToEpoch(netuid) => self
                .blocks_to_epoch(netuid)
                .and_then(|blocks| self.produce_blocks_while(blocks, || !reply.is_closed()))
                .map(|()| None),
            Action::Revert(name) => self.revert(&name).map(|()| None),
            Action::Advance(millis) => self.advance(millis).map(|()| None),
            Action::Impersonate(account, call) => self.impersonate(account, *call),
            Action::SetStorage(items) => self.set_storage(items),
            Action::Import(blocks) => self.import(blocks).map(|()| None),
            Action::Rewind(hash) => self.rewind(hash).map(|()| None),
            Action::Restart(checkpoint) => self.restart(*checkpoint).map(|()| None),
        };
        // The caller may have stopped waiting.
        let _ =
            reply.send(executed.map(|applied| CommandOutput { head: self.tip.clone(), applied }));
    }

    /// Reverts the chain to the block of a named snapshot.
    fn revert(&mut self, name: &str) -> Result<(), AuthorError> {
        self.revert_to(self.chain.store.revert_target(name)?)
    }

    fn revert_to(&mut self, target: RevertTarget) -> Result<(), AuthorError> {
        let RevertTarget { head, state, time } = target;
        let timestamp = next_timestamp(&head, &state, time)?;
        drop(state);
        self.chain.revert(&head, time)?;
        tracing::info!(block = head.number(), left = self.tip.number(), "chain reverted");
        meter::set_height(head.number());
        (self.tip, self.last_timestamp, self.time) = (head, timestamp, time);
        Ok(())
    }

    /// Stages a block as the new tip.
    fn stage(
        &mut self,
        head: &Head,
        extrinsics: Vec<Vec<u8>>,
        nodes: BackendTransaction<BlakeTwo256>,
    ) -> StagedBlock {
        self.tip = head.clone();
        self.chain.store.stage(head.clone(), extrinsics, nodes)
    }

    /// Sets the last timestamp to that of the tip.
    fn refresh_last_timestamp(&mut self) -> Result<(), AuthorError> {
        let state = self.chain.store.tip_state(&self.tip)?;
        self.last_timestamp = next_timestamp(&self.tip, &state, self.time)?;
        Ok(())
    }

    /// Adds to the timestamps of the following blocks.
    fn advance(&mut self, millis: u64) -> Result<(), AuthorError> {
        let floor = self
            .last_timestamp
            .checked_add(millis)
            .filter(|floor| *floor <= MAX_TIME)
            .ok_or(AuthorError::TimeLimitExceeded)?;
        let time = TimeSetting { offset: self.time.offset.saturating_add_unsigned(millis), floor };
        self.chain.store.set_time(time)?;
        (self.last_timestamp, self.time) = (floor, time);
        Ok(())
    }

    /// Produces a block with a call of an account whose key is not needed.
    fn impersonate(
        &mut self,
        account: AccountId,
        call: RuntimeCall,
    ) -> Result<Option<AppliedCommand>, AuthorError> {
        let state = self.chain.store.tip_state(&self.tip)?;
        let result = execute_with(&mut Overlay::default(), &state, || {
            impersonate(&self.tip.header, account, call)
        })?;
        let (extrinsic, directive) = result.map_err(|error| BuildError::Refused(error.into()))?;
        self.produce_dev_block(&DevPayload { directive, extrinsic: Some(extrinsic.encode()) })
    }

    /// Produces a block that sets storage.
    fn set_storage(
        &mut self,
        items: Vec<StorageEntry>,
    ) -> Result<Option<AppliedCommand>, AuthorError> {
        self.produce_dev_block(&DevPayload {
            directive: Directive::SetStorage(items),
            extrinsic: None,
        })
    }

    fn blocks_to_epoch(&self, netuid: u16) -> Result<u32, AuthorError> {
        let state = self.chain.store.tip_state(&self.tip)?;
        let method = "SubnetInfoRuntimeApi_get_next_epoch_start_block";
        let next: Option<u64> = call_as(&mut Overlay::default(), &state, method, &netuid.encode())?;
        let next = next.ok_or(AuthorError::NoEpoch(netuid))?;
        let blocks = next.saturating_sub(u64::from(self.tip.number())).max(1);
        u32::try_from(blocks).map_err(|_| AuthorError::NoEpoch(netuid))
    }

    /// Produces and commits a number of blocks.
    fn produce_blocks(&mut self, blocks: u32) -> Result<(), AuthorError> {
        self.produce_blocks_while(blocks, || true)
    }

    /// Produces and commits a number of blocks; stops early when `should_continue` returns false.
    fn produce_blocks_while(
        &mut self,
        blocks: u32,
        should_continue: impl Fn() -> bool,
    ) -> Result<(), AuthorError> {
        let mut remaining = blocks;
        thread::scope(|scope| {
            let mut committer = None;
            loop {
                let group = std::mem::take(&mut self.group);
                let is_committing = !group.is_empty();
                if is_committing {
                    committer
                        .get_or_insert_with(|| Committer::start(scope, self.chain.clone()))
                        .send(group);
                }
                let result = self.produce_group(&mut remaining, &should_continue);
                if is_committing && let Some(committer) = &mut committer {
                    self.finish_commit(committer.recv_result())?;
                }
                match result {
                    Ok(true) => {}
                    Ok(false) => return self.commit(),
                    Err(error) => {
                        self.commit()?;
                        return Err(error);
                    }
                }
            }
        })
    }

    /// Produces blocks that share a commit. Returns whether more blocks are to be produced.
    fn produce_group(
        &mut self,
        remaining: &mut u32,
        should_continue: impl Fn() -> bool,
    ) -> Result<bool, AuthorError> {
        while *remaining > 0 && should_continue() {
            if self.is_stopping() {
                return Err(AuthorError::Stopping);
            }
            let included = self.produce_from_pool()?;
            *remaining -= 1;
            if included > 0 || self.group.is_full() {
                return Ok(*remaining > 0);
            }
        }
        Ok(false)
    }

    /// Produces one block, and returns the number of included extrinsics from the pool.
    fn produce_from_pool(&mut self) -> Result<usize, AuthorError> {
        let queued = self.chain.pool.queued();
        self.produce_block(&queued, None).map(|(included, _)| included)
    }

    /// Produces and commits one block for a development command, without the pool's extrinsics.
    fn produce_dev_block(
        &mut self,
        payload: &DevPayload,
    ) -> Result<Option<AppliedCommand>, AuthorError> {
        let (_, applied) = self.produce_block(&[], Some(payload))?;
        self.commit()?;
        Ok(applied)
    }

    /// Produces one block from queued extrinsics or the payload of a development command.
    fn produce_block(
        &mut self,
        queued: &[QueuedExtrinsic],
        payload: Option<&DevPayload>,
    ) -> Result<(usize, Option<AppliedCommand>), AuthorError> {
        let start = Instant::now();
        let now = wall_millis().saturating_add_signed(self.time.offset);
        let millis = self.clock.stamp(self.last_timestamp, self.slot_millis, now);
        let state = self.chain.store.tip_state(&self.tip)?;
        let built =
            build(&self.tip, &state, millis, self.slot_millis, queued, &self.shield_key, payload)?;
        state.advance(built.head.header.state_root, &built.changes);
        let included: Vec<_> =
            built.included.iter().filter_map(|position| Some(queued.get(*position)?.seq)).collect();
        let invalid = built.skipped.iter().filter(|(_, reason)| *reason == SkipReason::Invalid);
        let invalid: Vec<_> =
            invalid.filter_map(|(position, _)| Some(queued.get(*position)?.seq)).collect();
        let staged = self.stage(&built.head, built.extrinsics, built.nodes);
        let included_extrinsics = self.chain.pool.advance(built.head.clone(), &included, &invalid);
        self.last_timestamp = millis;
        let block = NewBlock { head: built.head, changes: built.changes };
        self.group.push(staged, PendingBlock { block, included: included_extrinsics });
        meter::record_block(self.tip.number(), included.len(), invalid.len(), start.elapsed());
        Ok((included.len(), built.applied))
    }

    /// Commits the produced blocks, then announces them.
    fn commit(&mut self) -> Result<(), AuthorError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let result = std::mem::take(&mut self.group).commit(&self.chain);
        self.finish_commit(result)
    }

    /// Handles the result of a commit: if it failed, the author continues from the newest committed
    /// block.
    fn finish_commit(&mut self, result: Result<(), StoreError>) -> Result<(), AuthorError> {
        if let Err(error) = result {
            self.discard_uncommitted();
            return Err(error.into());
        }
        self.flush();
        Ok(())
    }

    /// Drops the blocks that are not committed.
    fn discard_uncommitted(&mut self) {
        self.chain.store.discard_staged();
        std::mem::take(&mut self.group).drop_extrinsics();
        self.tip = self.chain.head();
        self.chain.pool.roll_back(self.tip.clone());
        // The next block follows the newest committed one in time.
        if let Err(error) = self.refresh_last_timestamp() {
            tracing::error!(%error, "cannot read the timestamp of the newest block");
        }
    }

    /// Flushes to disk if [`FLUSH_INTERVAL`] has passed since the last flush.
    fn flush(&mut self) {
        if self.last_flush.elapsed() < FLUSH_INTERVAL {
            return;
        }
        let start = Instant::now();
        match self.chain.store.flush_once() {
            Ok(()) => tracing::debug!(took = ?start.elapsed(), "chain database flushed"),
            Err(error) => {
                tracing::error!(
                    %error,
                    "cannot flush the chain database: a power failure would lose its newest blocks"
                );
            }
        }
        self.last_flush = Instant::now();
    }
}
