//! Registration of neurons.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::{
    BlockAtRegistration, Burn, Config, Delegates, Error, Event, MaxAllowedUids,
    MaxRegistrationsPerBlock, NetworkRegistrationAllowed, Pallet, RAORecycledForRegistration,
    RegistrationsThisBlock, RegistrationsThisInterval, TargetRegistrationsPerInterval,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_burned_register(
        who: &AccountId32,
        netuid: NetUid,
        hotkey: AccountId32,
    ) -> DispatchResult {
        ensure!(netuid != NetUid::ROOT, Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(
            NetworkRegistrationAllowed::<T>::get(netuid),
            Error::<T>::SubNetRegistrationDisabled
        );
        ensure!(
            Self::uid_of(netuid, &hotkey).is_none(),
            Error::<T>::HotKeyAlreadyRegisteredInSubNet
        );
        let charge = Self::registration_charge(netuid, &hotkey, who);
        ensure!(Self::can_pay(who, charge.total()), Error::<T>::NotEnoughBalanceToStake);
        Self::own_hotkey(who, &hotkey)?;
        let pruned_uid = if Self::neuron_count(netuid) < MaxAllowedUids::<T>::get(netuid) {
            None
        } else {
            Some(Self::neuron_to_prune(netuid).ok_or(Error::<T>::NoNeuronIdAvailable)?)
        };

        Self::pay_registration(netuid, &hotkey, who, charge)?;
        let uid = Self::assign_slot(netuid, pruned_uid, &hotkey);
        Self::raise_burn(netuid);
        RegistrationsThisBlock::<T>::mutate(netuid, |count| *count = count.saturating_add(1));
        RAORecycledForRegistration::<T>::mutate(netuid, |sum| {
            *sum = sum.saturating_add(charge.recycled);
        });
        Self::deposit_event(Event::NeuronRegistered(netuid, uid, hotkey));
        Ok(())
    }

    // The price limit is checked before all other conditions, as on the real chain.
    pub(crate) fn do_register_limit(
        who: &AccountId32,
        netuid: NetUid,
        hotkey: AccountId32,
        limit_price: u64,
    ) -> DispatchResult {
        ensure!(netuid != NetUid::ROOT, Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(
            Burn::<T>::get(netuid) <= TaoBalance(limit_price),
            Error::<T>::RegistrationPriceLimitExceeded
        );
        Self::do_burned_register(who, netuid, hotkey)
    }

    /// Registers a hotkey on root at the current registration price. On a full root, it replaces
    /// the member with the lowest stake that is not immune, and needs as much stake. As on the real
    /// chain, the hotkey may belong to another coldkey, and becomes the parent of the owner hotkeys
    /// of the existing subnets.
    ///
    /// # Errors
    /// In this order: `TooManyRegistrationsThisBlock`, `TooManyRegistrationsThisInterval`,
    /// `HotKeyAlreadyRegisteredInSubNet`, `CannotUseSystemAccount`, `NoNeuronIdAvailable`,
    /// `StakeTooLowForRoot`, `InsufficientTaoBalance`. The order is that of the real chain's
    /// published source (`pallets/subtensor/src/coinbase/root.rs` of RaoFoundation/subtensor),
    /// except that the position of `StakeTooLowForRoot` is a guess: the version at 0bb2cb30 has no
    /// price, and the one with a price requires no stake.
    pub(crate) fn do_root_register(who: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        let root = NetUid::ROOT;
        ensure!(
            RegistrationsThisBlock::<T>::get(root) < MaxRegistrationsPerBlock::<T>::get(root),
            Error::<T>::TooManyRegistrationsThisBlock
        );
        ensure!(
            RegistrationsThisInterval::<T>::get(root)
                < TargetRegistrationsPerInterval::<T>::get(root).saturating_mul(3),
            Error::<T>::TooManyRegistrationsThisInterval
        );
        ensure!(Self::uid_of(root, hotkey).is_none(), Error::<T>::HotKeyAlreadyRegisteredInSubNet);
        Self::do_try_associate_hotkey(who, hotkey)?;
        let pruned_uid = if Self::neuron_count(root) < MaxAllowedUids::<T>::get(root) {
            None
        } else {
            let (lowest_stake, uid) =
                Self::lowest_staked_root_member().ok_or(Error::<T>::NoNeuronIdAvailable)?;
            ensure!(
                Self::total_alpha(hotkey, root) >= lowest_stake,
                Error::<T>::StakeTooLowForRoot
            );
            Some(uid)
        };
        let price = Burn::<T>::get(root);
        Self::recycle_tao(who, price).map_err(|_| Error::<T>::InsufficientTaoBalance)?;
        RAORecycledForRegistration::<T>::mutate(root, |sum| *sum = sum.saturating_add(price));
        Self::raise_burn(root);

        if let Some(uid) = pruned_uid {
            Self::end_delegation_to_owners(&Self::hotkey_at(root, uid));
        }
        let uid = Self::assign_slot(root, pruned_uid, hotkey);
        // Members of root become delegates.
        if !Delegates::<T>::contains_key(hotkey) {
            Delegates::<T>::insert(hotkey, Delegates::<T>::get(hotkey));
        }
        RegistrationsThisBlock::<T>::mutate(root, |count| *count = count.saturating_add(1));
        RegistrationsThisInterval::<T>::mutate(root, |count| *count = count.saturating_add(1));
        Self::deposit_event(Event::NeuronRegistered(root, uid, hotkey.clone()));
        Self::delegate_to_owners_of_all_subnets(hotkey);
        Ok(())
    }

    /// Returns the stake and the uid of the member of root with the lowest stake that is not
    /// immune; on a tie, of the oldest.
    fn lowest_staked_root_member() -> Option<(AlphaBalance, u16)> {
        let root = NetUid::ROOT;
        (0..Self::neuron_count(root))
            .filter(|uid| !Self::is_immune(root, *uid))
            .map(|uid| {
                let stake = Self::total_alpha(&Self::hotkey_at(root, uid), root);
                (stake, BlockAtRegistration::<T>::get(root, uid), uid)
            })
            .min()
            .map(|(stake, _, uid)| (stake, uid))
    }

    /// Registers a hotkey as a neuron: with the uid of the pruned neuron, or with a new uid if
    /// `pruned_uid` is `None`. Returns the uid.
    pub(super) fn assign_slot(
        netuid: NetUid,
        pruned_uid: Option<u16>,
        hotkey: &AccountId32,
    ) -> u16 {
        Self::wake(netuid);
        match pruned_uid {
            Some(uid) => {
                Self::replace_neuron(netuid, uid, hotkey);
                uid
            }
            None => Self::append_neuron(netuid, hotkey),
        }
    }
}

#[cfg(test)]
mod tests;
