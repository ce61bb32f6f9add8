//! Distribution of an epoch's emission.

use std::collections::BTreeMap;

use sp_runtime::{AccountId32, PerThing, PerU16};
use substrate_fixed::types::U96F32;

use super::epoch::{EpochEmission, Neurons, PendingEmission};
use super::types::RecycleOrBurnEnum;
use super::{
    AlphaDividendsPerSubnet, Config, Delegates, MinerBurned, Owner, Pallet, RecycleOrBurn,
    RootAlphaDividendsPerSubnet, SubnetOwner, SubnetOwnerHotkey, TotalHotkeyAlphaLastEpoch,
};
use crate::alpha_assets;
use crate::types::{AlphaBalance, NetUid};

/// Dividends of a validator, in alpha.
struct Dividend {
    hotkey: AccountId32,
    /// Dividends of the validator's alpha stake.
    alpha: u64,
    /// Dividends of the validator's root stake.
    root: u64,
}

impl<T: Config> Pallet<T> {
    /// Pays the owner, the miners and the validators of a subnet.
    pub(super) fn distribute_emission(
        netuid: NetUid,
        neurons: &Neurons,
        emission: &EpochEmission,
        pending: &PendingEmission,
    ) {
        let owner = SubnetOwner::<T>::get(netuid);
        let owner_hotkey = SubnetOwnerHotkey::<T>::get(netuid);
        // Dividends are based on the stake at the epoch, which the payments below change.
        let dividends = Self::split_pending_dividends(netuid, neurons, emission, pending);
        Self::increase_stake(&owner_hotkey, &owner, netuid, AlphaBalance(pending.owner));
        Self::pay_lease_dividends(netuid, AlphaBalance(pending.owner));
        Self::lock_owner_cut(netuid, &owner, AlphaBalance(pending.owner));
        Self::pay_miners(netuid, neurons, emission, (&owner, &owner_hotkey));
        Self::pay_validators(netuid, &dividends);
    }

    /// Stakes each miner's emission; the part that becomes collateral is staked on the miner's own
    /// hotkey. Miners of the subnet's owner receive nothing.
    fn pay_miners(
        netuid: NetUid,
        neurons: &Neurons,
        emission: &EpochEmission,
        owner: (&AccountId32, &AccountId32),
    ) {
        let mut withheld = 0_u64;
        for (hotkey, &amount) in
            neurons.hotkeys.iter().zip(&emission.server).filter(|(_, amount)| **amount > 0)
        {
            let coldkey = Owner::<T>::get(hotkey);
            if coldkey == *owner.0 || hotkey == owner.1 {
                withheld = withheld.saturating_add(amount);
            } else {
                let amount = AlphaBalance(amount);
                let captured = Self::settle_collateral(netuid, hotkey, &coldkey, amount, amount);
                Self::increase_stake(hotkey, &coldkey, netuid, captured);
                let remaining = amount.saturating_sub(captured);
                if remaining != AlphaBalance::ZERO {
                    Self::stake_miner_emission(hotkey, &coldkey, netuid, remaining);
                }
            }
        }
        let total_emission: u128 = emission.server.iter().copied().map(u128::from).sum();
        let withheld_fraction =
            (u128::from(withheld) << 32).checked_div(total_emission).unwrap_or_default();
        MinerBurned::<T>::insert(netuid, U96F32::from_bits(withheld_fraction));
        match RecycleOrBurn::<T>::get(netuid) {
            RecycleOrBurnEnum::Recycle => Self::recycle_issued(netuid, AlphaBalance(withheld)),
            RecycleOrBurnEnum::Burn => {
                alpha_assets::Pallet::<T>::burn(netuid, AlphaBalance(withheld));
            }
        }
    }

    /// Pays each validator's take to its owner, and the remainder to its nominators: to their
    /// stake, and the dividends of root stake to the validator's basket.
    fn pay_validators(netuid: NetUid, dividends: &[Dividend]) {
        let _ = AlphaDividendsPerSubnet::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = RootAlphaDividendsPerSubnet::<T>::clear_prefix(netuid, u32::MAX, None);
        for Dividend { hotkey, alpha, root } in dividends {
            TotalHotkeyAlphaLastEpoch::<T>::insert(
                hotkey,
                netuid,
                Self::total_alpha(hotkey, netuid),
            );
            let coldkey = Owner::<T>::get(hotkey);
            let take = Delegates::<T>::get(hotkey);
            let (alpha_take, root_take) = (take_amount(take, *alpha), take_amount(take, *root));
            let (nominator_alpha, nominator_root) =
                (alpha.saturating_sub(alpha_take), root.saturating_sub(root_take));
            for (dividend, take) in [(*alpha, alpha_take), (*root, root_take)] {
                // The take is staked on the hotkey in any case.
                Self::settle_collateral(
                    netuid,
                    hotkey,
                    &coldkey,
                    AlphaBalance(dividend),
                    AlphaBalance(take),
                );
            }
            let total_take = AlphaBalance(alpha_take.saturating_add(root_take));
            Self::increase_stake(hotkey, &coldkey, netuid, total_take);
            Self::distribute_to_stakers(hotkey, netuid, AlphaBalance(nominator_alpha));
            AlphaDividendsPerSubnet::<T>::insert(netuid, hotkey, AlphaBalance(*alpha));
            if *root > 0 {
                Self::fill_basket_with_dividends(hotkey, netuid, AlphaBalance(nominator_root));
                RootAlphaDividendsPerSubnet::<T>::insert(
                    netuid,
                    hotkey,
                    AlphaBalance(nominator_root),
                );
            }
        }
    }

    /// Splits the pending dividends of validators and their parents: the alpha part by the alpha
    /// share of each hotkey's consensus dividends, the root part by the root share.
    fn split_pending_dividends(
        netuid: NetUid,
        neurons: &Neurons,
        emission: &EpochEmission,
        pending: &PendingEmission,
    ) -> Vec<Dividend> {
        let mut dividends_by_hotkey: BTreeMap<AccountId32, u64> = BTreeMap::new();
        for (validator, &earned) in
            neurons.hotkeys.iter().zip(&emission.validator).filter(|(_, earned)| **earned > 0)
        {
            for (hotkey, share) in Self::split_dividends(validator, netuid, earned) {
                let hotkey_dividends = dividends_by_hotkey.entry(hotkey).or_default();
                *hotkey_dividends = hotkey_dividends.saturating_add(share);
            }
        }
        let dividends_by_stake: Vec<(AccountId32, u64, u64)> = dividends_by_hotkey
            .into_iter()
            .map(|(hotkey, earned)| {
                let (alpha, root) = Self::own_stake(&hotkey, netuid);
                let stake = u128::from(alpha) + u128::from(root);
                let root_dividends = (u128::from(earned) * u128::from(root))
                    .checked_div(stake)
                    .unwrap_or_default() as u64;
                (hotkey, earned.saturating_sub(root_dividends), root_dividends)
            })
            .collect();
        let total_alpha: u128 =
            dividends_by_stake.iter().map(|(_, alpha, _)| u128::from(*alpha)).sum();
        let total_root: u128 =
            dividends_by_stake.iter().map(|(_, _, root)| u128::from(*root)).sum();
        dividends_by_stake
            .into_iter()
            .map(|(hotkey, alpha, root)| Dividend {
                hotkey,
                alpha: share_of(pending.validator, alpha, total_alpha),
                root: share_of(pending.root, root, total_root),
            })
            .collect()
    }
}

/// Returns ⌊`amount` · `take`⌋.
fn take_amount(take: PerU16, amount: u64) -> u64 {
    (u128::from(amount) * u128::from(take.deconstruct()) / u128::from(PerU16::ACCURACY)) as u64
}

fn share_of(pending: u64, part: u64, total: u128) -> u64 {
    (u128::from(pending) * u128::from(part)).checked_div(total).unwrap_or_default() as u64
}

#[cfg(test)]
mod tests;
