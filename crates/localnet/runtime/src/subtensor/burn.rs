//! Registration price: every registration raises it, every block lowers it.

use substrate_fixed::types::U64F64;

use super::{
    Burn, BurnHalfLife, BurnIncreaseMult, Config, MaxBurn, MinBurn, Pallet, RegistrationsThisBlock,
    RegistrationsThisInterval, Tempo,
};
use crate::types::{NetUid, TaoBalance};

/// The number one with 32 fraction bits.
const ONE: u64 = 1 << 32;

impl<T: Config> Pallet<T> {
    /// Resets the per-block registration counters and lowers the registration prices of `subnets`
    /// and of root.
    pub fn reset_registration_counters_and_decay_burn(subnets: &[NetUid]) {
        for &netuid in subnets.iter().chain([&NetUid::ROOT]) {
            Self::decay_burn(netuid);
            if RegistrationsThisBlock::<T>::get(netuid) != 0 {
                RegistrationsThisBlock::<T>::remove(netuid);
            }
        }
        // Only root limits registrations per interval; its interval is its tempo.
        let tempo = u64::from(Tempo::<T>::get(NetUid::ROOT));
        if Self::current_block().checked_rem(tempo).is_none_or(|remainder| remainder == 0) {
            RegistrationsThisInterval::<T>::remove(NetUid::ROOT);
        }
    }

    /// Lowers the registration price by one block's decay at its half-life. The first block only
    /// applies the bounds.
    pub fn decay_burn(netuid: NetUid) {
        let burn = Burn::<T>::get(netuid);
        // The price is already at its minimum: the minimum is always below the maximum.
        if burn == MinBurn::<T>::get(netuid) {
            return;
        }
        let half_life = BurnHalfLife::<T>::get(netuid);
        let decayed_burn = if half_life > 0 && Self::current_block() > 1 {
            TaoBalance(multiply(burn.0, decay_factor(half_life)))
        } else {
            burn
        };
        let decayed_burn = Self::clamp_burn(netuid, decayed_burn);
        if decayed_burn != burn {
            Burn::<T>::insert(netuid, decayed_burn);
        }
    }

    /// Raises the registration price after a registration.
    pub(crate) fn raise_burn(netuid: NetUid) {
        let factor = BurnIncreaseMult::<T>::get(netuid).max(U64F64::from_num(1));
        let raised_burn =
            U64F64::from_num(Burn::<T>::get(netuid).0).saturating_mul(factor).saturating_to_num();
        Burn::<T>::insert(netuid, Self::clamp_burn(netuid, TaoBalance(raised_burn)));
    }

    fn clamp_burn(netuid: NetUid, burn: TaoBalance) -> TaoBalance {
        burn.max(MinBurn::<T>::get(netuid)).min(MaxBurn::<T>::get(netuid))
    }
}

/// Returns the largest factor with 32 fraction bits whose `half_life`th power is at most one half.
fn decay_factor(half_life: u16) -> u64 {
    let (mut low, mut high) = (0, ONE);
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        if power(middle, half_life) > ONE / 2 {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}

/// Returns the power of a number with 32 fraction bits; each product is truncated to 32 fraction
/// bits.
fn power(mut base: u64, mut exponent: u16) -> u64 {
    let mut result = ONE;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    result
}

/// Returns the product of an integer and a number with 32 fraction bits, truncated to an integer.
fn multiply(number: u64, factor: u64) -> u64 {
    u64::try_from((u128::from(number) * u128::from(factor)) >> 32).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
