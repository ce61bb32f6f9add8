//! The chain at the moment of a decision.

use std::cmp::Ordering;

use taonet_chain::{At, Block, Chain, DEFAULT_ERA_BLOCKS, Era, Schedule, WeightRules};
use taonet_primitives::{BlockNumber, NetUid};

use super::Turn;
use crate::SubmitError;

/// So many blocks at least must be left to an extrinsic that is signed: it takes one or two into a block.
const ROOM: u32 = 2;
/// The shortest era that the chain has, in blocks.
const SHORTEST_ERA: u32 = 4;

/// A subnet after the newest block.
pub(super) struct Now {
    pub(super) head: Block,
    pub(super) finalized: Block,
    pub(super) rules: WeightRules,
    /// The epoch that the next block belongs to.
    pub(super) epoch: u64,
    /// The last block of that epoch.
    last: BlockNumber,
}

impl Now {
    pub(super) async fn read(chain: &dyn Chain, netuid: NetUid) -> Result<Self, SubmitError> {
        let (finalized, head) = (chain.finalized_head().await?, chain.head().await?);
        let rules = chain.weight_rules(netuid, head.into()).await?;
        let next = rules.schedule.next_epoch(head.number).ok_or(SubmitError::NoEpochs(netuid))?;
        let epoch = epoch_of(&rules.schedule, head.number.plus(1));
        // Where the next block begins an epoch, that one is meant.
        let is_new = next == head.number.plus(1);
        let end = if is_new { next.plus(u32::from(rules.schedule.tempo)) } else { next };
        Ok(Self { head, finalized, rules, epoch, last: end.minus(1) })
    }

    /// Refuses weights from before the last tempo, as the first since the start: a validator that was away would
    /// otherwise set weights that nobody has checked since.
    pub(super) fn check_age(&self, state_block: BlockNumber, turn: &Turn) -> Result<(), SubmitError> {
        let (age, tempo) = (self.head.number.since(state_block), self.rules.schedule.tempo);
        if turn.has_signed || age <= u32::from(tempo) {
            Ok(())
        } else {
            Err(SubmitError::StaleState { state_block, age, tempo })
        }
    }

    /// An era that ends with the epoch, so that no extrinsic lands in a later one; `None` where too few blocks are left.
    pub(super) fn era(&self) -> Option<Era> {
        // An epoch that is shorter than any era cannot hold one.
        let last = if u32::from(self.rules.schedule.tempo) < SHORTEST_ERA {
            self.head.number.plus(SHORTEST_ERA)
        } else {
            self.last.min(self.head.number.plus(DEFAULT_ERA_BLOCKS))
        };
        let era = Era::Until(last);
        let end = era.last_block(self.finalized.number)?;
        (end <= last && end >= self.head.number.plus(ROOM)).then_some(era)
    }

    /// Whether an epoch is to come, is now, or is over.
    pub(super) fn when(&self, epoch: u64) -> When {
        match epoch.cmp(&self.epoch) {
            Ordering::Greater => When::Later,
            Ordering::Equal => When::Now,
            Ordering::Less => When::Past,
        }
    }
}

/// When something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Later,
    Now,
    Past,
}

/// The epoch that extrinsics of a block count to, by the schedule of the block before it or of its own end: an epoch
/// that is due in the very block is counted already.
pub(super) fn epoch_of(schedule: &Schedule, block: BlockNumber) -> u64 {
    let is_due = schedule.next_epoch(block.minus(1)) == Some(block);
    schedule.epoch_index.saturating_add(u64::from(is_due))
}

/// The epoch that the chain counts a block's extrinsics to, read after that block.
pub(super) async fn epoch_at(chain: &dyn Chain, netuid: NetUid, block: Block) -> Result<u64, SubmitError> {
    let rules = chain.weight_rules(netuid, At::Hash(block.hash)).await?;
    Ok(epoch_of(&rules.schedule, block.number))
}
