//! The pool of a subnet: what it holds, what its alpha costs, and the TAO that goes in and out.

use frame_support::ensure;
use frame_support::traits::fungible::{Inspect, Mutate};
use frame_support::traits::tokens::{Fortitude, Precision, Preservation};
use sp_runtime::{AccountId32, DispatchResult};
use substrate_fixed::types::U64F64;

use super::{
    Config, Error, NetworksAdded, Pallet, SubnetAlphaIn, SubnetAlphaOut, SubnetMechanism, SubnetOwner, SubnetTAO,
    TotalIssuance, TotalStake,
};
use crate::swap::{self, Pool};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> swap::Subnets<AccountId32> for Pallet<T> {
    fn exists(netuid: NetUid) -> bool {
        NetworksAdded::<T>::get(netuid)
    }

    fn is_owner(netuid: NetUid, account: &AccountId32) -> bool {
        Self::exists(netuid) && SubnetOwner::<T>::get(netuid) == *account
    }
}

impl<T: Config> Pallet<T> {
    /// TAO that one alpha costs: 1 on root and in subnets without a pool, 0 where the pool is empty.
    pub fn alpha_price(netuid: NetUid) -> U64F64 {
        if Self::has_pool(netuid) { Self::pool_of(netuid).price() } else { U64F64::from_num(1) }
    }

    /// Fills the pool of a new subnet. The TAO must have been taken from somewhere, see [`Self::charge`].
    pub fn init_pool(netuid: NetUid, tao: TaoBalance, alpha: AlphaBalance) {
        SubnetTAO::<T>::insert(netuid, tao);
        SubnetAlphaIn::<T>::insert(netuid, alpha);
        SubnetAlphaOut::<T>::insert(netuid, AlphaBalance::ZERO);
        swap::SwapBalancer::<T>::remove(netuid);
        swap::PalSwapInitialized::<T>::insert(netuid, true);
        TotalStake::<T>::mutate(|total| *total = total.saturating_add(tao));
    }

    /// Puts TAO into the pool of a subnet and destroys the alpha that it buys. Returns that alpha.
    pub fn buy_and_burn(netuid: NetUid, tao: TaoBalance) -> AlphaBalance {
        let bought = if Self::has_pool(netuid) { Self::pool_of(netuid).buy(tao) } else { AlphaBalance::ZERO };
        Self::grow_tao(netuid, tao);
        SubnetAlphaIn::<T>::mutate(netuid, |alpha| *alpha = alpha.saturating_sub(bought));
        bought
    }

    /// Takes TAO from an account, which stays above the existential deposit.
    ///
    /// # Errors
    /// `NotEnoughBalanceToStake` when it would not.
    pub fn charge(coldkey: &AccountId32, rao: u64) -> DispatchResult {
        let available = T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(rao <= available, Error::<T>::NotEnoughBalanceToStake);
        T::Currency::burn_from(coldkey, rao, Preservation::Preserve, Precision::Exact, Fortitude::Polite)
            .map_err(|_| Error::<T>::NotEnoughBalanceToStake)?;
        Ok(())
    }

    /// Gives TAO to an account. What is too little to open an account with is lost.
    pub fn credit(coldkey: &AccountId32, rao: u64) {
        if T::Currency::mint_into(coldkey, rao).is_err() {
            TotalIssuance::<T>::mutate(|total| *total = total.saturating_sub(TaoBalance(rao)));
        }
    }

    /// Counts the TAO that exists: that of accounts and that in pools. For the end of genesis.
    pub fn count_issuance() {
        let free = TaoBalance(T::Currency::total_issuance());
        TotalIssuance::<T>::put(free.saturating_add(TotalStake::<T>::get()));
    }

    /// Whether alpha is traded on a pool. Otherwise one alpha is one TAO.
    pub fn has_pool(netuid: NetUid) -> bool {
        netuid != NetUid::ROOT && SubnetMechanism::<T>::get(netuid) == 1
    }

    /// The pool as it stands.
    pub fn pool_of(netuid: NetUid) -> Pool {
        Pool {
            tao: SubnetTAO::<T>::get(netuid),
            alpha: SubnetAlphaIn::<T>::get(netuid),
            quote: swap::SwapBalancer::<T>::get(netuid).quote,
        }
    }

    pub(super) fn grow_tao(netuid: NetUid, tao: TaoBalance) {
        SubnetTAO::<T>::mutate(netuid, |held| *held = held.saturating_add(tao));
        TotalStake::<T>::mutate(|total| *total = total.saturating_add(tao));
    }

    pub(super) fn shrink_tao(netuid: NetUid, tao: TaoBalance) {
        SubnetTAO::<T>::mutate(netuid, |held| *held = held.saturating_sub(tao));
        TotalStake::<T>::mutate(|total| *total = total.saturating_sub(tao));
    }
}
