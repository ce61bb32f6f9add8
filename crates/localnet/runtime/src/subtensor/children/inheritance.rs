//! Stake that children inherit, and dividends that they pay to their parents.
//!
//! The arithmetic is the real chain's: fixed-point numbers with 32 fraction bits, truncated after
//! each operation.

use sp_runtime::AccountId32;
use substrate_fixed::types::U96F32;

use super::super::shares::weighted_root;
use super::super::{CKBurn, Config, Owner, Pallet, SubnetAlphaOut, TaoWeight};
use crate::alpha_assets;
use crate::types::{AlphaBalance, NetUid};

/// Dividends by the hotkey that receives them.
pub(crate) type DividendShares = Vec<(AccountId32, u64)>;

/// Converts a proportion in parts of 2⁶⁴ − 1 to a number.
fn proportion(parts: u64) -> U96F32 {
    U96F32::from_num(parts).checked_div(U96F32::from_num(u64::MAX)).unwrap_or_default()
}

fn scale_stake(stake: AlphaBalance, proportion: U96F32) -> U96F32 {
    U96F32::from_num(stake.0).saturating_mul(proportion)
}

impl<T: Config> Pallet<T> {
    /// Returns the stake with which a hotkey validates on `netuid`: its own stake on
    /// `stake_netuid`, minus the stake lent to its children, plus the stake lent by its parents.
    pub(crate) fn inherited_stake(
        hotkey: &AccountId32,
        netuid: NetUid,
        stake_netuid: NetUid,
    ) -> AlphaBalance {
        let own_stake = Self::total_alpha(hotkey, stake_netuid);
        let (children, parents) =
            (Self::children_of(hotkey, netuid), Self::parents_of(hotkey, netuid));
        if netuid == NetUid::ROOT || (children.is_empty() && parents.is_empty()) {
            return own_stake;
        }
        let lent_stake = children
            .iter()
            .map(|(parts, _)| scale_stake(own_stake, proportion(*parts)))
            .fold(U96F32::default(), U96F32::saturating_add);
        let inherited = parents
            .iter()
            .map(|(parts, parent)| {
                scale_stake(Self::total_alpha(parent, stake_netuid), proportion(*parts))
            })
            .fold(U96F32::default(), U96F32::saturating_add);
        let stake =
            U96F32::from_num(own_stake.0).saturating_sub(lent_stake).saturating_add(inherited);
        AlphaBalance(stake.saturating_to_num())
    }

    /// Divides the dividends of a validator among itself and its parents, by their contributions to
    /// its stake. Of the part of a parent with another owner, the validator keeps its child key
    /// take, and `CKBurn` of it is recycled.
    pub(in crate::subtensor) fn split_dividends(
        hotkey: &AccountId32,
        netuid: NetUid,
        dividends: u64,
    ) -> DividendShares {
        let parents = Self::parents_of(hotkey, netuid);
        if parents.is_empty() {
            return vec![(hotkey.clone(), dividends)];
        }
        let own_proportion = Self::children_of(hotkey, netuid)
            .iter()
            .fold(U96F32::from_num(1), |remaining, (parts, _)| {
                remaining.saturating_sub(proportion(*parts))
            });
        // The real chain cuts a validator's own contribution to a whole number, but not those of
        // its parents.
        let own_contribution: u64 =
            Self::contribution(hotkey, netuid, own_proportion).saturating_to_num();
        let contributions: Vec<(AccountId32, U96F32)> = parents
            .into_iter()
            .map(|(parts, parent)| {
                let contribution = Self::contribution(&parent, netuid, proportion(parts));
                (parent, contribution)
            })
            .collect();
        let total_contribution = contributions
            .iter()
            .fold(U96F32::from_num(own_contribution), |sum, (_, contribution)| {
                sum.saturating_add(*contribution)
            });
        let take = U96F32::from_num(Self::childkey_take(hotkey, netuid).deconstruct())
            .checked_div(U96F32::from_num(u16::MAX))
            .unwrap_or_default();
        let recycled_proportion = proportion(CKBurn::<T>::get());
        let (owner, dividends) = (Owner::<T>::get(hotkey), U96F32::from_num(dividends));
        let (mut remaining, mut shares) = (dividends, DividendShares::new());
        for (parent, contribution) in contributions {
            let share = dividends
                .saturating_mul(contribution.checked_div(total_contribution).unwrap_or_default());
            remaining = remaining.saturating_sub(share);
            let mut payout = share;
            if Owner::<T>::get(&parent) != owner {
                let (recycled, take_amount) =
                    (recycled_proportion.saturating_mul(share), take.saturating_mul(share));
                payout = payout.saturating_sub(recycled).saturating_sub(take_amount);
                remaining = remaining.saturating_add(take_amount);
                Self::recycle_issued(netuid, AlphaBalance(recycled.saturating_to_num()));
            }
            shares.push((parent, payout.saturating_to_num()));
        }
        shares.push((hotkey.clone(), remaining.saturating_to_num()));
        shares
    }

    /// Returns the stake that a proportion of a hotkey's own stake (alpha and weighted TAO)
    /// contributes to a validator.
    fn contribution(hotkey: &AccountId32, netuid: NetUid, proportion: U96F32) -> U96F32 {
        let tao_weight = self::proportion(TaoWeight::<T>::get());
        let weighted_root_stake = scale_stake(Self::total_alpha(hotkey, NetUid::ROOT), proportion)
            .saturating_mul(tao_weight);
        scale_stake(Self::total_alpha(hotkey, netuid), proportion)
            .saturating_add(weighted_root_stake)
    }

    /// Returns a hotkey's own stake on a subnet: alpha, and weighted TAO.
    pub(in crate::subtensor) fn own_stake(hotkey: &AccountId32, netuid: NetUid) -> (u64, u64) {
        let root_stake = Self::total_alpha(hotkey, NetUid::ROOT);
        (Self::total_alpha(hotkey, netuid).0, weighted_root(root_stake, TaoWeight::<T>::get()).0)
    }

    /// Removes alpha from a subnet's issuance, so that it can be issued again.
    pub(in crate::subtensor) fn recycle_issued(netuid: NetUid, alpha: AlphaBalance) {
        if alpha != AlphaBalance::ZERO {
            SubnetAlphaOut::<T>::mutate(netuid, |alpha_out| {
                *alpha_out = alpha_out.saturating_sub(alpha);
            });
            alpha_assets::Pallet::<T>::recycle(netuid, alpha);
        }
    }
}
