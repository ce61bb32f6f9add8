//! Shares of the subnets in the TAO emission: by moving prices, passed through the emission gate.
//!
//! The arithmetic is the real chain's, fixed point included (its published source,
//! `pallets/subtensor/src/coinbase/subnet_emissions.rs` of RaoFoundation/subtensor at f8ff769a).

use std::cmp::Reverse;

use substrate_fixed::transcendental::{exp, ln};
use substrate_fixed::types::{I32F32, U64F64};

use crate::subtensor::{
    Config, EmissionBarQuantile, EmissionBarRank, EmissionGateBar, EmissionGateExponent,
    MinerBurned, Pallet, SubnetEmissionEnabled,
};
use crate::types::NetUid;

/// Number of blocks between updates of the emission bar.
const BAR_INTERVAL: u64 = 360;

impl<T: Config> Pallet<T> {
    /// Returns the shares of emitting subnets in this block's TAO emission. Updates the emission
    /// bar if that is due.
    ///
    /// A share is proportional to the moving price times the fraction of miner emission that was
    /// not withheld. The gate then lowers the shares below the bar. Subnets with TAO emission
    /// disabled leave their share to the others.
    pub(super) fn emission_shares(netuids: &[NetUid]) -> Vec<U64F64> {
        let prices: Vec<U64F64> =
            netuids.iter().map(|netuid| Self::moving_alpha_price(*netuid)).collect();
        let Some(price_shares) = normalize(&prices) else { return prices };
        let weighted_shares: Vec<U64F64> = netuids
            .iter()
            .zip(&price_shares)
            .map(|(netuid, share)| {
                let withheld = U64F64::saturating_from_num(MinerBurned::<T>::get(netuid));
                share.saturating_mul(U64F64::from_num(1).saturating_sub(withheld))
            })
            .collect();
        // If all miner emission was withheld, prices alone determine the shares.
        let shares = normalize(&weighted_shares).unwrap_or(price_shares);
        Self::update_emission_bar(&shares);
        let shares =
            apply_gate(shares, EmissionGateBar::<T>::get(), EmissionGateExponent::<T>::get());
        if netuids.iter().all(|netuid| SubnetEmissionEnabled::<T>::get(*netuid)) {
            return shares;
        }
        let enabled_shares: Vec<U64F64> =
            netuids
                .iter()
                .zip(shares)
                .map(|(netuid, share)| {
                    if SubnetEmissionEnabled::<T>::get(*netuid) { share } else { U64F64::default() }
                })
                .collect();
        normalize(&enabled_shares).unwrap_or(enabled_shares)
    }

    /// Sets the emission bar to the share with the rank `EmissionBarRank`, or to the lowest share
    /// if there are fewer shares. With rank 0, `EmissionBarQuantile` determines the bar.
    fn update_emission_bar(shares: &[U64F64]) {
        if EmissionGateBar::<T>::get() > 0 && !Self::current_block().is_multiple_of(BAR_INTERVAL) {
            return;
        }
        let mut sorted = shares.to_vec();
        sorted.sort_unstable_by_key(|share| Reverse(*share));
        let bar = match EmissionBarRank::<T>::get() {
            0 => share_at_quantile(&sorted, EmissionBarQuantile::<T>::get()),
            rank => sorted.into_iter().take(usize::from(rank)).rfind(|share| *share > 0),
        };
        if let Some(bar) = bar.filter(|bar| *bar > 0) {
            EmissionGateBar::<T>::put(bar);
        }
    }
}

/// Returns values divided by their sum; `None` if all are 0.
fn normalize(values: &[U64F64]) -> Option<Vec<U64F64>> {
    let sum = values.iter().copied().fold(U64F64::default(), U64F64::saturating_add);
    values.iter().map(|value| value.checked_div(sum)).collect()
}

/// Returns the share at which the running sum of the descending shares reaches `quantile`, or the
/// last share.
fn share_at_quantile(sorted: &[U64F64], quantile: U64F64) -> Option<U64F64> {
    let mut sum = U64F64::default();
    let share = sorted.iter().find(|share| {
        sum = sum.saturating_add(**share);
        sum >= quantile
    });
    share.or(sorted.last()).copied()
}

/// Returns shares after the gate, which multiplies a share s by sʰ / (sʰ + barʰ), for the exponent
/// h. Shares that would all become 0 stay as they are, and so do all shares without a bar.
fn apply_gate(shares: Vec<U64F64>, bar: U64F64, exponent: U64F64) -> Vec<U64F64> {
    if bar == 0 {
        return shares;
    }
    let one = U64F64::from_num(1);
    let gated_shares: Vec<U64F64> = shares
        .iter()
        .map(|share| {
            let ratio = bar.checked_div(*share).unwrap_or_default();
            let gate =
                one.checked_div(one.saturating_add(power(ratio, exponent))).unwrap_or_default();
            share.saturating_mul(gate)
        })
        .collect();
    normalize(&gated_shares).unwrap_or(shares)
}

/// Returns a power with 32 fraction bits: at most 2³¹ − 1, and 0 if the base has no logarithm with
/// 32 fraction bits.
fn power(base: U64F64, exponent: U64F64) -> U64F64 {
    let Ok(logarithm) = ln::<I32F32, I32F32>(I32F32::saturating_from_num(base)) else {
        return U64F64::default();
    };
    let product = I32F32::saturating_from_num(exponent).saturating_mul(logarithm);
    let power: I32F32 = exp(product).unwrap_or(I32F32::from_num(i32::MAX));
    U64F64::saturating_from_num(power)
}

#[cfg(test)]
mod tests;
