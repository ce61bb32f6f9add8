//! Schedule of a subnet's epochs, and the changes to it.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::rate_limits::LimitedAction;
use super::types::Hyperparameter;
use super::{
    ActivityCutoffFactorMilli, AdminFreezeWindow, CommitRevealWeightsEnabled, Config, Error, Event,
    LastEpochBlock, Pallet, PendingEpochAt, Schedule, SubnetOwner, Tempo,
};
use crate::types::NetUid;

/// Tempos that an owner may set, in blocks.
pub(crate) const OWNER_TEMPOS: core::ops::RangeInclusive<u16> = 360..=50_400;
/// Maximum number of blocks between two epochs, regardless of the tempo.
const MAX_BLOCKS_BETWEEN_EPOCHS: u64 = 50_400;
/// Activity cutoff factors that an owner may set, in thousandths of an epoch.
pub(crate) const CUTOFF_FACTORS: core::ops::RangeInclusive<u32> = 1_000..=50_000;

impl<T: Config> Pallet<T> {
    /// Whether an epoch is due at this block: since the last epoch the tempo or the maximum
    /// interval has passed, or the block of a triggered epoch has been reached. Never due if the
    /// tempo is 0.
    pub fn is_epoch_due(netuid: NetUid, block: u64) -> bool {
        let tempo = u64::from(Tempo::<T>::get(netuid));
        let pending_at = PendingEpochAt::<T>::get(netuid);
        let Schedule { last_epoch, blocks_since_epoch, .. } = Self::schedule(netuid);
        tempo > 0
            && (block.saturating_sub(last_epoch) >= tempo
                || (pending_at != 0 && block >= pending_at)
                || blocks_since_epoch > MAX_BLOCKS_BETWEEN_EPOCHS)
    }

    /// Returns the block of the next epoch after this block, on the current schedule; `None` if the
    /// tempo is 0.
    pub fn next_epoch_block(netuid: NetUid) -> Option<u64> {
        let next_block = Self::current_block().saturating_add(1);
        let blocks_since_epoch = Self::schedule(netuid).blocks_since_epoch;
        let pending_at = PendingEpochAt::<T>::get(netuid);
        let earliest =
            Self::scheduled_epoch_block(netuid)?
                .min(next_block.saturating_add(
                    (MAX_BLOCKS_BETWEEN_EPOCHS + 1).saturating_sub(blocks_since_epoch),
                ))
                .min(if pending_at == 0 { u64::MAX } else { pending_at });
        Some(earliest.max(next_block))
    }

    /// Returns the block at which the tempo has passed; `None` if the tempo is 0.
    fn scheduled_epoch_block(netuid: NetUid) -> Option<u64> {
        let tempo = u64::from(Tempo::<T>::get(netuid));
        (tempo > 0).then(|| Self::schedule(netuid).last_epoch.saturating_add(tempo))
    }

    /// Returns the number of epochs so far, including one that is due in this block and has not run
    /// yet.
    pub fn epoch_index_now(netuid: NetUid) -> u64 {
        let is_due = Self::is_epoch_due(netuid, Self::current_block());
        Self::schedule(netuid).index.saturating_add(is_due.into())
    }

    /// Whether the owner's settings are frozen: fewer than `AdminFreezeWindow` blocks remain until
    /// the next epoch, or a triggered epoch is not due yet. Never frozen if the tempo is 0.
    pub fn is_in_freeze_window(netuid: NetUid) -> bool {
        let is_triggered = PendingEpochAt::<T>::get(netuid) > Self::current_block();
        Tempo::<T>::get(netuid) > 0 && (is_triggered || Self::is_epoch_imminent(netuid))
    }

    fn is_epoch_imminent(netuid: NetUid) -> bool {
        let window = u64::from(AdminFreezeWindow::<T>::get());
        Self::scheduled_epoch_block(netuid)
            .is_some_and(|block| block.saturating_sub(Self::current_block()) < window)
    }

    /// Returns the activity cutoff of validators, in blocks: at least 1.
    pub fn activity_cutoff(netuid: NetUid) -> u64 {
        let thousandths = u64::from(ActivityCutoffFactorMilli::<T>::get(netuid));
        (thousandths * u64::from(Tempo::<T>::get(netuid)) / 1_000).max(1)
    }

    /// Sets the tempo, and restarts the epoch cycle at this block.
    pub(crate) fn restart_with_tempo(netuid: NetUid, tempo: u16) {
        Tempo::<T>::insert(netuid, tempo);
        LastEpochBlock::<T>::insert(netuid, Self::current_block());
        Self::deposit_event(Event::TempoSet(netuid, tempo));
    }

    /// Sets the activity cutoff factor, in thousandths of an epoch.
    ///
    /// # Errors
    /// `ActivityCutoffFactorMilliOutOfBounds` outside 1 000..=50 000.
    pub(crate) fn set_activity_cutoff_factor_within_bounds(
        netuid: NetUid,
        factor_milli: u32,
    ) -> DispatchResult {
        ensure!(
            CUTOFF_FACTORS.contains(&factor_milli),
            Error::<T>::ActivityCutoffFactorMilliOutOfBounds
        );
        ActivityCutoffFactorMilli::<T>::insert(netuid, factor_milli);
        Self::deposit_event(Event::ActivityCutoffFactorMilliSet { netuid, factor_milli });
        Ok(())
    }

    /// Triggers an epoch `AdminFreezeWindow` blocks from now, on behalf of the subnet's owner.
    ///
    /// # Errors
    /// `BadOrigin` for others, `DynamicTempoBlockedByCommitReveal`, `EpochTriggerAlreadyPending`,
    /// `AutoEpochAlreadyImminent`, `TxRateLimitExceeded`.
    pub(crate) fn do_trigger_epoch(who: &AccountId32, netuid: NetUid) -> DispatchResult {
        let action = LimitedAction::Hyperparameter(Hyperparameter::TriggerEpoch);
        let is_owner = SubnetOwner::<T>::try_get(netuid).is_ok_and(|owner| owner == *who);
        ensure!(is_owner, DispatchError::BadOrigin);
        ensure!(
            !CommitRevealWeightsEnabled::<T>::get(netuid),
            Error::<T>::DynamicTempoBlockedByCommitReveal
        );
        ensure!(PendingEpochAt::<T>::get(netuid) == 0, Error::<T>::EpochTriggerAlreadyPending);
        ensure!(!Self::is_epoch_imminent(netuid), Error::<T>::AutoEpochAlreadyImminent);
        Self::ensure_within_rate(who, netuid, action)?;
        let fires_at = Self::current_block().saturating_add(AdminFreezeWindow::<T>::get().into());
        Self::wake(netuid);
        PendingEpochAt::<T>::insert(netuid, fires_at);
        Self::record_action(who, netuid, action);
        Self::deposit_event(Event::EpochTriggered { netuid, by: who.clone(), fires_at });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
