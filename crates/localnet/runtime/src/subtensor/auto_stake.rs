//! Automatic staking of miner emission.

use frame_support::ensure;
use sp_runtime::{AccountId32, DispatchResult};

use super::{
    AutoStakeDestination, AutoStakeDestinationColdkeys, Config, Error, Event, Pallet, Uids,
};
use crate::types::{AlphaBalance, NetUid};

impl<T: Config> Pallet<T> {
    /// Sets the hotkey on which the emission of a coldkey's miners is staked.
    ///
    /// # Errors
    /// `SubnetNotExists`, `HotKeyNotRegisteredInSubNet`, `SameAutoStakeHotkeyAlreadySet`.
    pub(crate) fn do_set_coldkey_auto_stake_hotkey(
        who: &AccountId32,
        netuid: NetUid,
        hotkey: &AccountId32,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(Uids::<T>::contains_key(netuid, hotkey), Error::<T>::HotKeyNotRegisteredInSubNet);
        if let Some(previous) = AutoStakeDestination::<T>::get(who, netuid) {
            ensure!(previous != *hotkey, Error::<T>::SameAutoStakeHotkeyAlreadySet);
            AutoStakeDestinationColdkeys::<T>::mutate(&previous, netuid, |coldkeys| {
                coldkeys.retain(|coldkey| coldkey != who);
            });
        }
        AutoStakeDestination::<T>::insert(who, netuid, hotkey);
        AutoStakeDestinationColdkeys::<T>::mutate(hotkey, netuid, |coldkeys| {
            coldkeys.push(who.clone());
        });
        let (coldkey, hotkey) = (who.clone(), hotkey.clone());
        Self::deposit_event(Event::AutoStakeDestinationSet { coldkey, netuid, hotkey });
        Ok(())
    }

    /// Stakes a miner's emission: on the hotkey that its coldkey selected, otherwise on the miner's
    /// own hotkey.
    pub(super) fn stake_miner_emission(
        hotkey: &AccountId32,
        owner: &AccountId32,
        netuid: NetUid,
        incentive: AlphaBalance,
    ) {
        let Some(destination) = AutoStakeDestination::<T>::get(owner, netuid) else {
            return Self::increase_stake(hotkey, owner, netuid, incentive);
        };
        Self::increase_stake(&destination, owner, netuid, incentive);
        let (hotkey, owner) = (hotkey.clone(), owner.clone());
        Self::deposit_event(Event::AutoStakeAdded {
            netuid,
            destination,
            hotkey,
            owner,
            incentive,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use crate::subtensor::Call;
    use crate::testing::{
        BABELBIT, Subtensor, account, at_first_block, key, last_event, outcome, send,
    };

    #[test]
    fn earnings_are_staked_on_the_selected_hotkey() {
        at_first_block(|| {
            let (bob, first, second) = (account("Bob"), key(1), key(2));
            let choose = |netuid, hotkey: &AccountId32| {
                let hotkey = hotkey.clone();
                outcome(send(&bob, Call::set_coldkey_auto_stake_hotkey { netuid, hotkey }))
            };
            for hotkey in [&first, &second] {
                let hotkey = hotkey.clone();
                assert_eq!(
                    outcome(send(&bob, Call::burned_register { netuid: BABELBIT, hotkey })),
                    "ok"
                );
            }
            assert_eq!(choose(NetUid(77), &first), "SubnetNotExists");
            assert_eq!(choose(BABELBIT, &key(3)), "HotKeyNotRegisteredInSubNet");
            assert_eq!(choose(BABELBIT, &first), "ok");
            assert_eq!(choose(BABELBIT, &first), "SameAutoStakeHotkeyAlreadySet");
            Subtensor::stake_miner_emission(&second, &bob, BABELBIT, AlphaBalance(7));
            assert_eq!(Subtensor::stake_of(&first, &bob, BABELBIT), AlphaBalance(7));
            let (destination, hotkey, owner) = (first.clone(), second.clone(), bob.clone());
            let event = Event::AutoStakeAdded {
                netuid: BABELBIT,
                destination,
                hotkey,
                owner,
                incentive: AlphaBalance(7),
            };
            assert_eq!(last_event(), event);
            assert_eq!(choose(BABELBIT, &second), "ok");
            assert!(AutoStakeDestinationColdkeys::<Runtime>::get(&first, BABELBIT).is_empty());
            assert_eq!(
                AutoStakeDestinationColdkeys::<Runtime>::get(&second, BABELBIT),
                std::slice::from_ref(&bob)
            );
            Subtensor::stake_miner_emission(&first, &bob, BABELBIT, AlphaBalance(5));
            assert_eq!(Subtensor::stake_of(&second, &bob, BABELBIT), AlphaBalance(5));
        });
    }
}
