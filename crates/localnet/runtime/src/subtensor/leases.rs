//! Leases: subnets that the contributors of a crowdloan pay for, and that one of them operates.
//!
//! The owner of a leased subnet is the coldkey of the lease, an account without a key. The creator
//! of the crowdloan is the beneficiary: it operates the subnet as a proxy of that coldkey. A share
//! of the owner's cut is paid to the contributors in proportion to their contributions. After the
//! lease has ended, the beneficiary can become the owner.

use codec::Encode;
use frame_support::ensure;
use frame_support::storage::with_storage_layer;
use frame_support::traits::fungible::{Inspect, Mutate};
use frame_support::traits::tokens::Preservation;
use sp_io::hashing::blake2_256;
use sp_runtime::{AccountId32, DispatchError, DispatchResult, Percent};
use substrate_fixed::types::U64F64;

use super::types::SubnetLease;
use super::{
    AccumulatedLeaseDividends, Config, Crowdloans, Delegates, Error, Event,
    LEASE_DIVIDENDS_INTERVAL, NextSubnetLeaseId, Pallet, Proxies, SubnetLeaseShares, SubnetLeases,
    SubnetOwner, SubnetUidToLeaseId,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Creates a leased subnet with the TAO of the crowdloan that is being finalized. TAO that
    /// remains is returned to the contributors in proportion to their contributions.
    ///
    /// # Errors
    /// In this order: the crowdloan pallet's `InvalidCrowdloanId` outside a finalization,
    /// `InvalidLeaseBeneficiary` unless the caller created the crowdloan,
    /// `LeaseCannotEndInThePast`, `Overflow`, the errors of `create_network`, and the proxy
    /// pallet's and the balances' errors if the TAO does not suffice.
    pub(crate) fn do_register_leased_network(
        who: &AccountId32,
        emissions_share: Percent,
        end_block: Option<u32>,
    ) -> DispatchResult {
        let crowdloan = T::Crowdloans::finalizing_crowdloan()?;
        ensure!(*who == crowdloan.creator, Error::<T>::InvalidLeaseBeneficiary);
        ensure!(
            end_block.is_none_or(|end| end > Self::block_number()),
            Error::<T>::LeaseCannotEndInThePast
        );

        let lease_id = NextSubnetLeaseId::<T>::get();
        NextSubnetLeaseId::<T>::put(lease_id.checked_add(1).ok_or(Error::<T>::Overflow)?);
        let [coldkey, hotkey] =
            ["leasing/coldkey", "leasing/hotkey"].map(|name| lease_account(name, lease_id));
        for account in [&coldkey, &hotkey] {
            // Keeps the account alive while it is empty.
            frame_system::Pallet::<T>::inc_providers(account);
        }
        Self::transfer_tao(&crowdloan.funds_account, &coldkey, crowdloan.raised)?;
        let netuid = Self::create_network(&coldkey, &hotkey, None)?;
        T::Proxies::add_beneficiary(&coldkey, who)?;

        let unused = TaoBalance(T::Currency::balance(&coldkey));
        let lease = SubnetLease {
            beneficiary: who.clone(),
            coldkey: coldkey.clone(),
            hotkey: hotkey.clone(),
            emissions_share,
            end_block,
            netuid,
            cost: crowdloan.raised.saturating_sub(unused),
        };
        SubnetLeases::<T>::insert(lease_id, lease);
        SubnetUidToLeaseId::<T>::insert(netuid, lease_id);
        // Stakers on the hotkey receive their dividends in full.
        Delegates::<T>::insert(&hotkey, sp_runtime::PerU16::zero());

        let mut remaining = unused;
        for (contributor, amount) in
            crowdloan.contributions.iter().filter(|(contributor, _)| contributor != who)
        {
            let share =
                U64F64::from_num(amount.0).checked_div(U64F64::from_num(crowdloan.raised.0));
            let share = share.unwrap_or_default();
            SubnetLeaseShares::<T>::insert(lease_id, contributor, share);
            let refund =
                TaoBalance(share.saturating_mul(U64F64::from_num(unused.0)).saturating_to_num());
            Self::transfer_tao(&coldkey, contributor, refund)?;
            remaining = remaining.saturating_sub(refund);
        }
        Self::transfer_tao(&coldkey, who, remaining)?;
        Self::deposit_event(Event::SubnetLeaseCreated {
            beneficiary: who.clone(),
            lease_id,
            netuid,
            end_block,
        });
        Ok(())
    }

    /// Ends a lease: the beneficiary becomes the owner of the subnet, with one of its hotkeys.
    /// Unpaid dividends stay with the coldkey of the lease. Returns the number of contributors with
    /// a share.
    ///
    /// # Errors
    /// In this order: `LeaseDoesNotExist`, `ExpectedBeneficiaryOrigin`, `LeaseHasNoEndBlock`,
    /// `LeaseHasNotEnded`, `BeneficiaryDoesNotOwnHotkey`, `CannotUseSystemAccount`, and the proxy
    /// pallet's `NotFound` if the beneficiary is no longer a proxy.
    pub(crate) fn do_terminate_lease(
        who: &AccountId32,
        lease_id: u32,
        hotkey: &AccountId32,
    ) -> Result<u64, DispatchError> {
        let lease = SubnetLeases::<T>::get(lease_id).ok_or(Error::<T>::LeaseDoesNotExist)?;
        ensure!(lease.beneficiary == *who, Error::<T>::ExpectedBeneficiaryOrigin);
        let end_block = lease.end_block.ok_or(Error::<T>::LeaseHasNoEndBlock)?;
        ensure!(Self::block_number() >= end_block, Error::<T>::LeaseHasNotEnded);
        ensure!(Self::owns(who, hotkey), Error::<T>::BeneficiaryDoesNotOwnHotkey);
        Self::set_owner_hotkey(lease.netuid, hotkey.clone())?;
        SubnetOwner::<T>::insert(lease.netuid, who);
        let contributors = SubnetLeaseShares::<T>::iter_key_prefix(lease_id).count() as u64;
        Self::remove_lease(lease.netuid);
        T::Proxies::remove_beneficiary(&lease.coldkey, who)?;
        for account in [&lease.coldkey, &lease.hotkey] {
            // Accounts with a balance have another provider.
            let _ = frame_system::Pallet::<T>::dec_providers(account);
        }
        Self::deposit_event(Event::SubnetLeaseTerminated {
            beneficiary: who.clone(),
            netuid: lease.netuid,
        });
        Ok(contributors)
    }

    /// Adds the contributors' share of an owner's cut to the dividends of the subnet's lease, and
    /// pays them if the block's number is a multiple of 100, as the real chain does. Dividends that
    /// are not paid accumulate; on a subnet whose epochs never run in such a block, they are never
    /// paid. Nothing happens without a lease, or after its end.
    pub(super) fn pay_lease_dividends(netuid: NetUid, owner_cut: AlphaBalance) {
        let Some(lease_id) = SubnetUidToLeaseId::<T>::get(netuid) else { return };
        let Some(lease) = SubnetLeases::<T>::get(lease_id) else { return };
        let now = Self::block_number();
        if lease.end_block.is_some_and(|end| end <= now) {
            return;
        }
        let contributor_cut = AlphaBalance(lease.emissions_share.mul_ceil(owner_cut.0));
        let dividends =
            AccumulatedLeaseDividends::<T>::get(lease_id).saturating_add(contributor_cut);
        let are_paid = now.is_multiple_of(LEASE_DIVIDENDS_INTERVAL)
            && with_storage_layer(|| Self::pay_contributors(lease_id, &lease, dividends)).is_ok();
        AccumulatedLeaseDividends::<T>::insert(
            lease_id,
            if are_paid { AlphaBalance::ZERO } else { dividends },
        );
    }

    /// Removes the lease of a subnet.
    pub(super) fn remove_lease(netuid: NetUid) {
        let Some(lease_id) = SubnetUidToLeaseId::<T>::take(netuid) else { return };
        SubnetLeases::<T>::remove(lease_id);
        // There are at most as many shares as contributors of a crowdloan.
        let _ = SubnetLeaseShares::<T>::clear_prefix(lease_id, u32::MAX, None);
        AccumulatedLeaseDividends::<T>::remove(lease_id);
    }

    /// Pays dividends to the contributors, as stake on the hotkey of the lease: each its share,
    /// rounded up, and the beneficiary the remainder.
    ///
    /// # Errors
    /// The errors of `reassign_stake` for one of the contributors, such as `AmountTooLow`.
    fn pay_contributors(
        lease_id: u32,
        lease: &SubnetLease<AccountId32>,
        dividends: AlphaBalance,
    ) -> DispatchResult {
        let shares: Vec<(AccountId32, U64F64)> =
            SubnetLeaseShares::<T>::iter_prefix(lease_id).collect();
        let mut remaining = dividends;
        let mut payments = Vec::with_capacity(shares.len().saturating_add(1));
        for (contributor, share) in shares {
            let exact = share.saturating_mul(U64F64::from_num(dividends.0));
            let alpha = AlphaBalance(exact.checked_ceil().unwrap_or(exact).saturating_to_num());
            remaining = remaining.saturating_sub(alpha);
            payments.push((contributor, alpha));
        }
        payments.push((lease.beneficiary.clone(), remaining));
        for (contributor, alpha) in payments {
            Self::reassign_stake(&lease.coldkey, &contributor, &lease.hotkey, lease.netuid, alpha)?;
            Self::deposit_event(Event::SubnetLeaseDividendsDistributed {
                lease_id,
                contributor,
                alpha,
            });
        }
        Ok(())
    }

    fn transfer_tao(from: &AccountId32, to: &AccountId32, tao: TaoBalance) -> DispatchResult {
        T::Currency::transfer(from, to, tao.0, Preservation::Expendable).map(|_| ())
    }
}

/// Returns the account of a lease: its coldkey or its hotkey, by name.
fn lease_account(name: &str, lease_id: u32) -> AccountId32 {
    AccountId32::new((name, lease_id).using_encoded(blake2_256))
}

#[cfg(test)]
mod tests;
