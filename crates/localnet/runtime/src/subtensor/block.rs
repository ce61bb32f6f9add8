//! Work at the start of every block, before its extrinsics.

use super::{
    BlockEmission, BlocksSinceLastStep, Config, Event, LastEpochBlock, MaxEpochsPerBlock, Pallet,
    PendingEpochAt, SubnetEpochIndex, TotalIssuance,
};
use crate::types::NetUid;

impl<T: Config> Pallet<T> {
    pub(crate) fn begin_block() {
        let subnets = Self::awake_netuids();
        Self::reset_registration_counters_and_decay_burn(&subnets);
        let emission = super::emission::block_emission(TotalIssuance::<T>::get().0);
        if BlockEmission::<T>::get() != emission {
            BlockEmission::<T>::put(emission);
        }
        Self::reveal_timelocked(&subnets);
        Self::issue_block_emission(&subnets, emission);
        Self::run_due_epochs(&subnets);
        Self::update_moving_prices(&subnets);
        Self::store_root_proportions(&subnets);
        Self::apply_scheduled_children(&subnets);
    }

    /// Runs due epochs up to the maximum per block; the others stay due.
    fn run_due_epochs(subnets: &[NetUid]) {
        let block = Self::current_block();
        let mut remaining_epochs = MaxEpochsPerBlock::<T>::get();
        for &netuid in subnets {
            if !Self::is_epoch_due(netuid, block) {
                BlocksSinceLastStep::<T>::mutate(netuid, |blocks| {
                    *blocks = blocks.saturating_add(1);
                });
                continue;
            }
            let Some(remaining) = remaining_epochs.checked_sub(1) else {
                BlocksSinceLastStep::<T>::mutate(netuid, |blocks| {
                    *blocks = blocks.saturating_add(1);
                });
                let to_block = block.saturating_add(1);
                Self::deposit_event(Event::EpochDeferred { netuid, from_block: block, to_block });
                continue;
            };
            remaining_epochs = remaining;
            BlocksSinceLastStep::<T>::insert(netuid, 0);
            LastEpochBlock::<T>::insert(netuid, block);
            PendingEpochAt::<T>::remove(netuid);
            SubnetEpochIndex::<T>::mutate(netuid, |index| *index = index.saturating_add(1));
            Self::change_owner_by_conviction(netuid);
            if Self::run_epoch(netuid, block).is_err() {
                Self::deposit_event(Event::EpochSkipped { netuid, block });
            }
        }
    }
}

#[cfg(test)]
mod tests;
