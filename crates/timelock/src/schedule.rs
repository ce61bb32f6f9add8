//! The schedule of a subnet's epochs, and the round to encrypt weights to.

use std::time::Duration;

use crate::{Beacon, Round};

/// The safety margin between the epoch and the reveal, in blocks.
const MARGIN_BLOCKS: u64 = 3;

/// The longest interval between two epochs, in blocks.
const MAX_INTERVAL_BLOCKS: u64 = 50_401;

/// Why the reveal round cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The subnet's tempo is 0, so it has no epochs.
    #[error(
        "the subnet has no epochs (tempo 0), so weights are never revealed; hint: wait until its tempo is set"
    )]
    NoEpochs,
    /// A block number or time overflows.
    #[error(
        "the reveal round overflows; hint: check the block numbers, the reveal period and the block time"
    )]
    Overflow,
    /// The clock is set to a time before the beacon's first round.
    #[error(
        "the reveal would precede the first round of the beacon; hint: check the clock of this machine"
    )]
    BeforeGenesis,
}

/// The epoch schedule of a subnet, read from chain storage at one block. The commit is assumed to
/// be in the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSchedule {
    /// The block at which the other fields were read.
    pub current_block: u64,
    /// The block of the last epoch (storage item `LastEpochBlock`).
    pub last_epoch_block: u64,
    /// The block of a manually triggered epoch (storage item `PendingEpochAt`); `None` if the item
    /// is 0.
    pub pending_epoch_at: Option<u64>,
    /// The number of blocks since the last epoch (storage item `BlocksSinceLastStep`).
    pub blocks_since_last_step: u64,
    /// The tempo in blocks, at most 50 400 on the chain (storage item `Tempo`).
    pub tempo: u16,
    /// The number of epochs from commit to reveal (storage item `RevealPeriodEpochs`).
    pub reveal_period_epochs: u64,
}

impl EpochSchedule {
    /// Returns the first block in which weights committed in the next block can safely be revealed:
    /// three blocks after the epoch whose index is the commit's plus the reveal period. An epoch in
    /// the commit's own block precedes the commit, as on the chain.
    ///
    /// # Errors
    /// [`ScheduleError`] when there is no such block.
    pub fn reveal_block(&self) -> Result<u64, ScheduleError> {
        if self.tempo == 0 {
            return Err(ScheduleError::NoEpochs);
        }
        self.reveal_epoch_block()
            .and_then(|block| block.checked_add(MARGIN_BLOCKS))
            .ok_or(ScheduleError::Overflow)
    }

    /// Returns the latest round that is certain to be published by [`EpochSchedule::reveal_block`]:
    /// floor((time − genesis) / period), where time is extrapolated with `block_time` from `now`,
    /// the time of the current block since the Unix epoch.
    ///
    /// # Errors
    /// [`ScheduleError`] when there is no such round.
    pub fn reveal_round(
        &self,
        beacon: &Beacon,
        block_time: Duration,
        now: Duration,
    ) -> Result<Round, ScheduleError> {
        let blocks = self.reveal_block()?.saturating_sub(self.current_block);
        let wait_duration =
            u32::try_from(blocks).ok().and_then(|blocks| block_time.checked_mul(blocks));
        let time = wait_duration
            .and_then(|wait_duration| now.checked_add(wait_duration))
            .ok_or(ScheduleError::Overflow)?;
        let round = beacon.periods_until(time).filter(|round| *round > 0);
        round.map(Round).ok_or(ScheduleError::BeforeGenesis)
    }

    fn reveal_epoch_block(&self) -> Option<u64> {
        let commit_block = self.current_block.checked_add(1)?;
        let blocks_to_max_interval =
            MAX_INTERVAL_BLOCKS.saturating_sub(self.blocks_since_last_step);
        let next_epoch_by_tempo = self.last_epoch_block.checked_add(u64::from(self.tempo))?;
        let next_epoch_by_tempo =
            next_epoch_by_tempo.min(self.pending_epoch_at.unwrap_or(u64::MAX)).max(commit_block);
        let next_epoch = next_epoch_by_tempo
            .min(self.current_block.checked_add(blocks_to_max_interval)?.max(commit_block));
        // At the start of a block, the chain predicts the next epoch in order to reveal commits. An
        // epoch forced by the maximum interval is predicted one block late.
        let predicted_epoch =
            next_epoch_by_tempo.min(commit_block.checked_add(blocks_to_max_interval)?);
        let precedes_commit = predicted_epoch == commit_block;
        match self.reveal_period_epochs {
            0 => Some(commit_block),
            1 if !precedes_commit => Some(predicted_epoch),
            period => {
                let later_epochs = period.saturating_sub(u64::from(!precedes_commit));
                next_epoch.checked_add(
                    later_epochs.checked_mul(u64::from(self.tempo).min(MAX_INTERVAL_BLOCKS))?,
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: EpochSchedule = EpochSchedule {
        current_block: 1_100,
        last_epoch_block: 1_000,
        pending_epoch_at: None,
        blocks_since_last_step: 100,
        tempo: 360,
        reveal_period_epochs: 1,
    };

    /// Expected values from the Python helper of bittensor-drand 2.0.0.
    #[test]
    fn reveal_blocks_match_bittensor_drand() {
        let cases = [
            (SCHEDULE, 1_363),
            (EpochSchedule { current_block: 1_358, ..SCHEDULE }, 1_363),
            // The epoch is in the commit's block.
            (EpochSchedule { current_block: 1_359, ..SCHEDULE }, 1_723),
            (EpochSchedule { current_block: 1_500, ..SCHEDULE }, 1_864),
            (EpochSchedule { pending_epoch_at: Some(1_102), ..SCHEDULE }, 1_105),
            (EpochSchedule { pending_epoch_at: Some(1_101), ..SCHEDULE }, 1_464),
            (EpochSchedule { pending_epoch_at: Some(1_050), ..SCHEDULE }, 1_464),
            (EpochSchedule { pending_epoch_at: Some(2_000), ..SCHEDULE }, 1_363),
            (
                EpochSchedule {
                    pending_epoch_at: Some(1_150),
                    reveal_period_epochs: 2,
                    ..SCHEDULE
                },
                1_513,
            ),
            (EpochSchedule { reveal_period_epochs: 0, ..SCHEDULE }, 1_104),
            (EpochSchedule { reveal_period_epochs: 100, ..SCHEDULE }, 37_003),
            // The maximum interval between epochs ends before the tempo does.
            (EpochSchedule { blocks_since_last_step: 50_390, ..SCHEDULE }, 1_115),
            (
                EpochSchedule {
                    blocks_since_last_step: 50_390,
                    reveal_period_epochs: 2,
                    ..SCHEDULE
                },
                1_474,
            ),
            (EpochSchedule { blocks_since_last_step: 50_399, ..SCHEDULE }, 1_106),
            (EpochSchedule { blocks_since_last_step: 50_400, ..SCHEDULE }, 1_105),
            (EpochSchedule { blocks_since_last_step: 50_401, ..SCHEDULE }, 1_464),
            (EpochSchedule { tempo: 50_400, reveal_period_epochs: 3, ..SCHEDULE }, 152_203),
            // A last epoch after the current block, as after a fork.
            (EpochSchedule { last_epoch_block: 2_000, ..SCHEDULE }, 2_363),
        ];
        for (schedule, block) in cases {
            assert_eq!(schedule.reveal_block(), Ok(block), "{schedule:?}");
        }
    }

    #[test]
    fn invalid_schedules_are_refused() {
        let quicknet = Beacon::quicknet();
        let round = |schedule: EpochSchedule, block_seconds, now| {
            schedule.reveal_round(
                quicknet,
                Duration::from_secs(block_seconds),
                Duration::from_secs(now),
            )
        };
        let now = 1_763_650_000;
        assert!(round(SCHEDULE, 12, now).is_ok());
        assert_eq!(
            round(EpochSchedule { tempo: 0, ..SCHEDULE }, 12, now),
            Err(ScheduleError::NoEpochs)
        );
        assert_eq!(round(SCHEDULE, 12, 0), Err(ScheduleError::BeforeGenesis));
        assert_eq!(round(SCHEDULE, u64::MAX, now), Err(ScheduleError::Overflow));
        assert_eq!(round(SCHEDULE, 12, u64::MAX), Err(ScheduleError::Overflow));
        for schedule in [
            EpochSchedule { current_block: u64::MAX, ..SCHEDULE },
            EpochSchedule { last_epoch_block: u64::MAX, ..SCHEDULE },
            EpochSchedule { reveal_period_epochs: u64::MAX, ..SCHEDULE },
            EpochSchedule { reveal_period_epochs: u64::MAX / 360, ..SCHEDULE },
        ] {
            assert_eq!(round(schedule, 12, now), Err(ScheduleError::Overflow), "{schedule:?}");
        }
    }
}
