//! A weighted pool of TAO and alpha, and its trading formulas.

use sp_core::U256;
use sp_runtime::{PerThing, Perquintill};
use substrate_fixed::types::U64F64;

use super::power::{Ratio, decrease_by_power, increase_by_power};
use crate::types::{AlphaBalance, TaoBalance};

/// Minimum weight of either side of a pool.
pub const MIN_WEIGHT: Perquintill = Perquintill::from_parts(10_000_000_000_000_000);
/// Maximum weight of either side of a pool.
pub const MAX_WEIGHT: Perquintill = Perquintill::from_parts(990_000_000_000_000_000);
/// Number of rao per TAO; as a limit price, one TAO per alpha.
pub const UNIT: u64 = 1_000_000_000;

/// Reserves and weights of a pool. With x alpha, y TAO, and weights w₁ of alpha and w₂ of TAO,
/// where w₁ + w₂ = 1, trades keep x^w₁ · y^w₂, and one alpha costs w₁ y / (w₂ x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// TAO reserve y.
    pub tao: TaoBalance,
    /// Alpha reserve x.
    pub alpha: AlphaBalance,
    /// Weight w₂ of TAO.
    pub quote: Perquintill,
}

impl Pool {
    /// Returns the price in TAO per alpha; 0 if there is no alpha.
    pub fn price(&self) -> U64F64 {
        let numerator = (U256::from(self.tao.0) * U256::from(self.base())) << 64;
        let denominator = U256::from(self.alpha.0) * U256::from(self.quote.deconstruct());
        let price = numerator.checked_div(denominator).unwrap_or_default();
        U64F64::from_bits(u128::try_from(price).unwrap_or(u128::MAX))
    }

    /// Returns the alpha that `tao` buys: x (1 − (y / (y + `tao`))^(w₂ / w₁)), rounded down.
    pub fn buy(&self, tao: TaoBalance) -> AlphaBalance {
        let exponent = Ratio { numerator: self.quote.deconstruct(), denominator: self.base() };
        AlphaBalance(decrease_by_power(self.alpha.0, self.tao.0, tao.0, exponent))
    }

    /// Returns the TAO that `alpha` sells for: y (1 − (x / (x + `alpha`))^(w₁ / w₂)), rounded down.
    pub fn sell(&self, alpha: AlphaBalance) -> TaoBalance {
        let exponent = Ratio { numerator: self.base(), denominator: self.quote.deconstruct() };
        TaoBalance(decrease_by_power(self.tao.0, self.alpha.0, alpha.0, exponent))
    }

    /// Returns the TAO that raises the price to `limit` rao for one alpha: y ((limit / price)^w₁ −
    /// 1), rounded down; 0 if the price is already at or above the limit.
    pub fn tao_to_reach(&self, limit: TaoBalance) -> TaoBalance {
        let (price_numerator, price_denominator) = self.price_fraction();
        let exponent = Ratio { numerator: self.base(), denominator: Perquintill::ACCURACY };
        TaoBalance(increase_by_power(
            self.tao.0,
            U256::from(limit.0) * price_denominator,
            price_numerator,
            exponent,
        ))
    }

    /// Returns the alpha that lowers the price to `limit` rao for one alpha: x ((price / limit)^w₂
    /// − 1), rounded down; 0 if the price is already at or below the limit.
    pub fn alpha_to_reach(&self, limit: TaoBalance) -> AlphaBalance {
        let (price_numerator, price_denominator) = self.price_fraction();
        let exponent =
            Ratio { numerator: self.quote.deconstruct(), denominator: Perquintill::ACCURACY };
        AlphaBalance(increase_by_power(
            self.alpha.0,
            price_numerator,
            U256::from(limit.0) * price_denominator,
            exponent,
        ))
    }

    /// Returns the weight w₂ with which adding these amounts to the reserves keeps the price;
    /// `None` if a weight would be out of bounds. It is computed, and rounded, as in the published
    /// source (`update_weights_for_added_liquidity`, opentensor/subtensor 14bc6f9f).
    pub fn weight_after_adding(&self, tao: TaoBalance, alpha: AlphaBalance) -> Option<Perquintill> {
        let (old_tao, old_alpha) = (u128::from(self.tao.0), u128::from(self.alpha.0));
        let new_tao = old_tao.saturating_add(tao.0.into());
        let new_alpha = old_alpha.saturating_add(alpha.0.into());
        // w₂' / w₁' = (w₂ x y') / (w₁ y x')
        let quote_side = rounded_part(old_alpha.saturating_mul(new_tao), self.quote.deconstruct());
        let base_side = rounded_part(old_tao.saturating_mul(new_alpha), self.base());
        let sum = quote_side.saturating_add(base_side);
        let quote = if sum == 0 {
            Perquintill::from_percent(50)
        } else {
            Perquintill::from_rational(quote_side, sum)
        };
        (MIN_WEIGHT..=MAX_WEIGHT).contains(&quote).then_some(quote)
    }

    /// Returns the weight w₁ of alpha, in parts of 10¹⁸.
    fn base(&self) -> u64 {
        Perquintill::ACCURACY.saturating_sub(self.quote.deconstruct())
    }

    /// Returns the price in rao for one alpha, as numerator and denominator.
    fn price_fraction(&self) -> (U256, U256) {
        let numerator = U256::from(self.tao.0) * U256::from(self.base()) * U256::from(UNIT);
        (numerator, U256::from(self.alpha.0) * U256::from(self.quote.deconstruct()))
    }
}

/// Returns `value` · `weight` / 10¹⁸, rounded to the nearest integer.
fn rounded_part(value: u128, weight: u64) -> u128 {
    let accuracy = U256::from(Perquintill::ACCURACY);
    let part = (U256::from(value) * U256::from(weight) + accuracy / 2) / accuracy;
    u128::try_from(part).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests;
