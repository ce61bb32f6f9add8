//! Voting power: a moving average of each validator's stake, for subnets that track it.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::{
    Config, Error, Event, IsNetworkMember, Neurons, Pallet, StakeThreshold, TotalVotingPower,
    ValidatorPermit, VotingPower, VotingPowerDisableAtBlock, VotingPowerEmaAlpha,
    VotingPowerTrackingEnabled,
};
use crate::types::NetUid;

/// The number one, as a smoothing factor.
const ALPHA_ONE: u64 = 1_000_000_000_000_000_000;
/// Number of blocks for which voting power is still tracked after it was disabled.
const DISABLE_DELAY: u64 = 100_800;

impl<T: Config> Pallet<T> {
    /// Enables tracking of voting power on a subnet; a scheduled end is cancelled.
    pub(crate) fn do_enable_voting_power_tracking(netuid: NetUid) {
        VotingPowerTrackingEnabled::<T>::insert(netuid, true);
        VotingPowerDisableAtBlock::<T>::remove(netuid);
        Self::deposit_event(Event::VotingPowerTrackingEnabled { netuid });
    }

    /// Schedules the end of tracking on a subnet.
    ///
    /// # Errors
    /// `VotingPowerTrackingNotEnabled`.
    pub(crate) fn do_disable_voting_power_tracking(netuid: NetUid) -> DispatchResult {
        ensure!(
            VotingPowerTrackingEnabled::<T>::get(netuid),
            Error::<T>::VotingPowerTrackingNotEnabled
        );
        let disable_at_block = Self::current_block().saturating_add(DISABLE_DELAY);
        VotingPowerDisableAtBlock::<T>::insert(netuid, disable_at_block);
        Self::deposit_event(Event::VotingPowerTrackingDisableScheduled {
            netuid,
            disable_at_block,
        });
        Ok(())
    }

    /// Sets the smoothing factor of a subnet, in parts of 10¹⁸.
    ///
    /// # Errors
    /// `InvalidVotingPowerEmaAlpha` above one.
    pub(crate) fn do_set_voting_power_ema_alpha(netuid: NetUid, alpha: u64) -> DispatchResult {
        ensure!(alpha <= ALPHA_ONE, Error::<T>::InvalidVotingPowerEmaAlpha);
        VotingPowerEmaAlpha::<T>::insert(netuid, alpha);
        Self::deposit_event(Event::VotingPowerEmaAlphaSet { netuid, alpha });
        Ok(())
    }

    /// Updates the voting power of a subnet's validators after an epoch. Neurons without a permit
    /// have none.
    pub(super) fn update_voting_power(netuid: NetUid, neurons: &Neurons) {
        if !VotingPowerTrackingEnabled::<T>::get(netuid) {
            return;
        }
        let disable_at_block = VotingPowerDisableAtBlock::<T>::get(netuid);
        if disable_at_block > 0 && Self::current_block() >= disable_at_block {
            Self::remove_voting_power(netuid);
            Self::deposit_event(Event::VotingPowerTrackingDisabled { netuid });
            return;
        }
        let (alpha, min) = (VotingPowerEmaAlpha::<T>::get(netuid), StakeThreshold::<T>::get());
        let permits =
            ValidatorPermit::<T>::get(netuid).into_iter().chain(core::iter::repeat(false));
        for ((hotkey, stake), has_permit) in
            neurons.hotkeys.iter().zip(neurons.stake()).zip(permits)
        {
            let previous_power = VotingPower::<T>::get(netuid, hotkey);
            let power = if has_permit { moving_average(stake, previous_power, alpha) } else { 0 };
            if power == 0 || (power < min && previous_power >= min) {
                VotingPower::<T>::remove(netuid, hotkey);
            } else {
                VotingPower::<T>::insert(netuid, hotkey, power);
            }
        }
        let unregistered: Vec<AccountId32> = VotingPower::<T>::iter_key_prefix(netuid)
            .filter(|hotkey| !IsNetworkMember::<T>::get(hotkey, netuid))
            .collect();
        for hotkey in unregistered {
            VotingPower::<T>::remove(netuid, hotkey);
        }
        let total_power = VotingPower::<T>::iter_prefix_values(netuid).fold(0, u64::saturating_add);
        TotalVotingPower::<T>::insert(netuid, total_power);
    }

    /// Moves the voting power of a hotkey to another one.
    pub(super) fn move_voting_power(netuid: NetUid, old: &AccountId32, new: &AccountId32) {
        let power = VotingPower::<T>::take(netuid, old);
        if power > 0 {
            VotingPower::<T>::mutate(netuid, new, |new_power| {
                *new_power = new_power.saturating_add(power);
            });
        }
    }

    /// Removes the voting power of a subnet's validators, and disables tracking.
    pub(super) fn remove_voting_power(netuid: NetUid) {
        let _ = VotingPower::<T>::clear_prefix(netuid, u32::MAX, None);
        TotalVotingPower::<T>::remove(netuid);
        VotingPowerTrackingEnabled::<T>::remove(netuid);
        VotingPowerDisableAtBlock::<T>::remove(netuid);
    }
}

/// Returns the moving average after one more stake: α · stake + (1 − α) · average.
fn moving_average(stake: u64, average: u64, alpha: u64) -> u64 {
    // Both factors have at most 64 bits, and α is at most one: the sum has at most 124 bits.
    let sum = u128::from(alpha) * u128::from(stake)
        + u128::from(ALPHA_ONE.saturating_sub(alpha)) * u128::from(average);
    u64::try_from(sum / u128::from(ALPHA_ONE)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use crate::subtensor::Call;
    use crate::testing::{
        BABELBIT, Subtensor, account, at_first_block, attempt, jump_to, key, last_event, outcome,
        run_to, send_as_root,
    };
    use crate::types::AlphaBalance;

    fn power() -> u64 {
        VotingPower::<Runtime>::get(BABELBIT, account("Alice_hk"))
    }

    #[test]
    fn owner_and_root_control_voting_power_tracking() {
        at_first_block(|| {
            let (alice, bob) = (account("Alice"), account("Bob"));
            let enable = |netuid| Call::<Runtime>::enable_voting_power_tracking { netuid };
            let disable = |netuid| Call::<Runtime>::disable_voting_power_tracking { netuid };
            let smooth =
                |netuid, alpha| Call::<Runtime>::sudo_set_voting_power_ema_alpha { netuid, alpha };
            for call in
                [enable(BABELBIT), disable(BABELBIT), smooth(BABELBIT, 1), enable(NetUid(77))]
            {
                assert_eq!(attempt(&bob, call), "BadOrigin");
            }
            for call in [enable(NetUid(77)), disable(NetUid(77)), smooth(NetUid(77), 1)] {
                assert_eq!(outcome(send_as_root(call)), "SubnetNotExists");
            }
            assert_eq!(attempt(&alice, smooth(BABELBIT, 1)), "BadOrigin", "not the owner's");
            assert_eq!(
                outcome(send_as_root(smooth(BABELBIT, ALPHA_ONE + 1))),
                "InvalidVotingPowerEmaAlpha"
            );
            assert_eq!(
                outcome(send_as_root(smooth(BABELBIT, u64::MAX))),
                "InvalidVotingPowerEmaAlpha"
            );
            assert_eq!(attempt(&alice, disable(BABELBIT)), "VotingPowerTrackingNotEnabled");
            assert_eq!(attempt(&alice, enable(BABELBIT)), "ok");
            assert_eq!(last_event(), Event::VotingPowerTrackingEnabled { netuid: BABELBIT });
            assert_eq!(outcome(send_as_root(smooth(BABELBIT, ALPHA_ONE))), "ok");
            assert_eq!(
                last_event(),
                Event::VotingPowerEmaAlphaSet { netuid: BABELBIT, alpha: ALPHA_ONE }
            );
            assert_eq!(attempt(&alice, disable(BABELBIT)), "ok");
            let disable_at_block = 1 + DISABLE_DELAY;
            assert_eq!(
                last_event(),
                Event::VotingPowerTrackingDisableScheduled { netuid: BABELBIT, disable_at_block }
            );
        });
    }

    #[test]
    fn voting_power_approaches_the_stake_of_validators() {
        at_first_block(|| {
            let stake = AlphaBalance(1_000_000_000_000);
            Subtensor::increase_stake(&account("Alice_hk"), &account("Alice"), BABELBIT, stake);
            Subtensor::do_enable_voting_power_tracking(BABELBIT);
            VotingPowerEmaAlpha::<Runtime>::insert(BABELBIT, ALPHA_ONE / 2);
            run_to(11);
            assert!(power().abs_diff(stake.0 / 2) < stake.0 / 100, "{}", power());
            assert_eq!(TotalVotingPower::<Runtime>::get(BABELBIT), power());
            run_to(21);
            assert!(power().abs_diff(stake.0 / 4 * 3) < stake.0 / 100, "{}", power());
            VotingPower::<Runtime>::insert(BABELBIT, key(9), 5);
            StakeThreshold::<Runtime>::put(power() * 2);
            run_to(31);
            assert_eq!(VotingPower::<Runtime>::get(BABELBIT, key(9)), 0, "it is no neuron");
            assert!(power() > stake.0 / 4 * 3, "it was below the threshold already");
            Subtensor::do_disable_voting_power_tracking(BABELBIT).unwrap();
            let end = VotingPowerDisableAtBlock::<Runtime>::get(BABELBIT);
            jump_to(u32::try_from(end).unwrap());
            Subtensor::update_voting_power(BABELBIT, &Subtensor::neurons(BABELBIT).unwrap());
            assert_eq!(last_event(), Event::VotingPowerTrackingDisabled { netuid: BABELBIT });
            assert!(power() == 0 && !VotingPowerTrackingEnabled::<Runtime>::get(BABELBIT));
        });
    }

    #[test]
    fn moving_average_stays_within_its_inputs() {
        for (stake, before, alpha, expected) in [
            (0, 0, 0, 0),
            (u64::MAX, u64::MAX, ALPHA_ONE, u64::MAX),
            (u64::MAX, u64::MAX, ALPHA_ONE / 3, u64::MAX),
            (100, 0, ALPHA_ONE / 4, 25),
            (0, 100, ALPHA_ONE / 4, 75),
            (1, 0, ALPHA_ONE / 2, 0),
        ] {
            assert_eq!(moving_average(stake, before, alpha), expected);
        }
    }
}
