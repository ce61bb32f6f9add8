//! Moving prices of subnets, and root's share of dividends.

use substrate_fixed::types::{I96F32, U64F64, U96F32};

use super::{
    Config, EMAPriceHalvingBlocks, FirstEmissionBlockNumber, Pallet, RootProp, SubnetMovingAlpha,
    SubnetMovingPrice, SubnetTAO, TaoWeight,
};
use crate::types::NetUid;

impl<T: Config> Pallet<T> {
    /// Updates the moving price of each started subnet towards its alpha price, capped at one TAO.
    /// The smoothing factor grows with the age t of the subnet: α' = α t / (t +
    /// `EMAPriceHalvingBlocks`).
    pub(super) fn update_moving_prices(subnets: &[NetUid]) {
        let block = Self::current_block();
        for &netuid in subnets {
            let Some(start) = FirstEmissionBlockNumber::<T>::get(netuid) else { continue };
            let price: I96F32 =
                Self::alpha_price(netuid).min(U64F64::from_num(1)).saturating_to_num();
            let age = I96F32::saturating_from_num(block.saturating_sub(start));
            let age_plus_halving = age.saturating_add(I96F32::saturating_from_num(
                EMAPriceHalvingBlocks::<T>::get(netuid),
            ));
            let alpha = SubnetMovingAlpha::<T>::get()
                .saturating_mul(age.checked_div(age_plus_halving).unwrap_or_default());
            let old_price = SubnetMovingPrice::<T>::get(netuid);
            let complement = I96F32::from_num(1).saturating_sub(alpha);
            let new_price =
                alpha.saturating_mul(price).saturating_add(complement.saturating_mul(old_price));
            if new_price != old_price {
                SubnetMovingPrice::<T>::insert(netuid, new_price);
            }
        }
    }

    /// Returns the moving price of one alpha in TAO: 1 on subnets without a pool.
    pub(super) fn moving_alpha_price(netuid: NetUid) -> U64F64 {
        if Self::has_pool(netuid) {
            SubnetMovingPrice::<T>::get(netuid).max(I96F32::default()).saturating_to_num()
        } else {
            U64F64::from_num(1)
        }
    }

    /// Returns root's share of a subnet's dividends: the ratio of the weighted TAO on root to the
    /// sum of that TAO and the subnet's issued alpha. As on the real chain, all numbers have 32
    /// fraction bits.
    pub fn root_proportion(netuid: NetUid) -> U64F64 {
        let weight = (u128::from(TaoWeight::<T>::get()) << 32) / u128::from(u64::MAX);
        let weighted_root_tao = u128::from(SubnetTAO::<T>::get(NetUid::ROOT).0) * weight;
        let total = weighted_root_tao + (u128::from(Self::alpha_issuance(netuid).0) << 32);
        U64F64::from_bits((weighted_root_tao << 32).checked_div(total).unwrap_or_default() << 32)
    }

    pub(super) fn store_root_proportions(subnets: &[NetUid]) {
        for &netuid in subnets {
            let proportion = U96F32::saturating_from_num(Self::root_proportion(netuid));
            if RootProp::<T>::get(netuid) != proportion {
                RootProp::<T>::insert(netuid, proportion);
            }
        }
    }
}
