//! A snapshot of the chain, on which one decision is based.

use std::cmp::Ordering;

use taonet_chain::{At, Block, Chain, DEFAULT_ERA_BLOCKS, Era, HotkeyState, Schedule, WeightRules};
use taonet_primitives::{BlockNumber, NetUid};

use super::MechanismState;
use crate::SubmitError;

/// The minimum number of blocks remaining in the era at signing, since inclusion takes one or two
/// blocks.
const MIN_REMAINING_BLOCKS: u32 = 2;
/// The chain's shortest era, in blocks.
const MIN_ERA_BLOCKS: u32 = 4;

/// A subnet's state after the newest block.
pub(super) struct ChainView {
    pub(super) head: Block,
    pub(super) finalized: Block,
    pub(super) rules: WeightRules,
    /// The epoch of the next block.
    pub(super) epoch: u64,
    /// The first block of that epoch.
    first: BlockNumber,
    /// The last block of that epoch.
    last: BlockNumber,
}

impl ChainView {
    pub(super) async fn read(chain: &dyn Chain, netuid: NetUid) -> Result<Self, SubmitError> {
        let (finalized, head) = (chain.finalized_head().await?, chain.head().await?);
        let rules = chain.weight_rules(netuid, head.into()).await?;
        let next = rules.schedule.next_epoch(head.number).ok_or(SubmitError::NoEpochs(netuid))?;
        let epoch = epoch_of(&rules.schedule, head.number.plus(1));
        // If the next block begins an epoch, `epoch` is that epoch.
        let is_new = next == head.number.plus(1);
        let end = if is_new { next.plus(u32::from(rules.schedule.tempo)) } else { next };
        let first = if is_new { next } else { rules.schedule.last_epoch };
        Ok(Self { head, finalized, rules, epoch, first, last: end.minus(1) })
    }

    /// Returns the block in which the hotkey last set or committed weights, if it is in the epoch
    /// of the next block. The chain begins an epoch before it executes the extrinsics of the
    /// epoch's first block.
    pub(super) fn update_in_epoch(&self, state: &HotkeyState) -> Option<BlockNumber> {
        state.last_update.filter(|block| *block >= self.first)
    }

    /// Refuses the first weights after a start if they are based on state older than one tempo: a
    /// validator that was offline would otherwise submit outdated weights.
    pub(super) fn check_age(
        &self,
        state_block: BlockNumber,
        mechanism: &MechanismState,
    ) -> Result<(), SubmitError> {
        let (age, tempo) = (self.head.number.since(state_block), self.rules.schedule.tempo);
        if mechanism.has_signed || age <= u32::from(tempo) {
            Ok(())
        } else {
            Err(SubmitError::StaleState { state_block, age, tempo })
        }
    }

    /// Returns an era that ends with the epoch, so that no extrinsic is included in a later one;
    /// `None` if too few blocks remain.
    pub(super) fn era(&self) -> Option<Era> {
        // An epoch shorter than the shortest era cannot contain an era.
        let last = if u32::from(self.rules.schedule.tempo) < MIN_ERA_BLOCKS {
            self.head.number.plus(MIN_ERA_BLOCKS)
        } else {
            self.last.min(self.head.number.plus(DEFAULT_ERA_BLOCKS))
        };
        let era = Era::Until(last);
        let end = era.last_block(self.finalized.number)?;
        (end <= last && end >= self.head.number.plus(MIN_REMAINING_BLOCKS)).then_some(era)
    }

    /// Returns whether an epoch is in the future, current, or past.
    pub(super) fn epoch_time(&self, epoch: u64) -> EpochTime {
        match epoch.cmp(&self.epoch) {
            Ordering::Greater => EpochTime::Future,
            Ordering::Equal => EpochTime::Current,
            Ordering::Less => EpochTime::Past,
        }
    }
}

/// The time of an epoch relative to the current epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpochTime {
    Future,
    Current,
    Past,
}

/// Returns the epoch to which the chain assigns a block's extrinsics, given the schedule at the
/// parent block or at the block itself. An epoch due in the block counts as begun.
pub(super) fn epoch_of(schedule: &Schedule, block: BlockNumber) -> u64 {
    let is_due = schedule.next_epoch(block.minus(1)) == Some(block);
    schedule.epoch_index.saturating_add(u64::from(is_due))
}

/// Returns the epoch to which the chain assigns a block's extrinsics, read from the chain at that
/// block.
pub(super) async fn epoch_at(
    chain: &dyn Chain,
    netuid: NetUid,
    block: Block,
) -> Result<u64, SubmitError> {
    let rules = chain.weight_rules(netuid, At::Hash(block.hash)).await?;
    Ok(epoch_of(&rules.schedule, block.number))
}
