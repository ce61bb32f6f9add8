//! Arithmetic on shares: 36-digit decimal floating point with an explicit rounding direction.
//!
//! A stake is less than 2⁶⁴ rao, so it has at most 20 digits. The other 16 digits prevent the
//! rounding of shares from affecting the stake.

use sp_core::U256;

use super::types::SafeFloat;

/// Number of digits of every mantissa except that of zero.
const DIGITS: u32 = 36;

/// Rounding direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Round towards zero.
    Down,
    /// Round away from zero.
    Up,
}

impl SafeFloat {
    /// The number zero.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// Whether the number is zero.
    pub const fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// Converts an integer without rounding.
    pub(super) fn from_integer(value: u64) -> Self {
        Self::rounded(value.into(), 0, Rounding::Down)
    }

    /// Returns `self` + `other`.
    pub(super) fn plus(self, other: Self, rounding: Rounding) -> Self {
        self.combine(other, rounding, |large, small| large + small)
    }

    /// Returns `self` − `other`, at least zero.
    pub(super) fn minus(self, other: Self, rounding: Rounding) -> Self {
        if self.exponent_excess_over(other).is_none() {
            return Self::ZERO;
        }
        self.combine(other, rounding, U256::saturating_sub)
    }

    /// Whether `self` has fewer digits than `other`: after a subtraction, its last digits may be
    /// rounding errors.
    pub(super) fn has_fewer_digits_than(self, other: Self) -> bool {
        self.is_zero() || self.exponent < other.exponent
    }

    /// Returns `self` · `factor` / `divisor`; zero if the divisor is zero.
    pub(super) fn scaled(self, factor: u64, divisor: u64, rounding: Rounding) -> Self {
        if divisor == 0 {
            return Self::ZERO;
        }
        // 36 + 20 + 20 digits fit in 256 bits; the 20 zeros keep 36 digits after the division.
        let numerator = U256::from(self.mantissa) * U256::from(factor) * power_of_ten(20);
        Self::rounded(
            divide(numerator, divisor.into(), rounding),
            self.exponent.saturating_sub(20),
            rounding,
        )
    }

    /// Returns ⌊`amount` · `self` / `total`⌋, at most `amount`; zero if `total` is zero.
    pub(super) fn part_of(self, total: Self, amount: u64) -> u64 {
        if total.is_zero() || self.is_zero() {
            return 0;
        }
        let numerator = U256::from(self.mantissa) * U256::from(amount);
        let denominator = U256::from(total.mantissa);
        let shift = self.exponent.saturating_sub(total.exponent);
        let part = match u32::try_from(shift.unsigned_abs()) {
            // The part exceeds the whole, or is indistinguishable from zero.
            Ok(digits) if digits > 20 && shift > 0 => return amount,
            Ok(digits) if digits <= 20 && shift >= 0 => {
                numerator * power_of_ten(digits) / denominator
            }
            Ok(digits) if digits <= 20 => numerator / (denominator * power_of_ten(digits)),
            _ => return 0,
        };
        u64::try_from(part).unwrap_or(u64::MAX).min(amount)
    }

    /// Returns the difference of the exponents; `None` if `self` < `other`.
    fn exponent_excess_over(self, other: Self) -> Option<i64> {
        if other.is_zero() {
            return Some(0);
        }
        let exponent_difference = self.exponent.saturating_sub(other.exponent);
        let is_larger = !self.is_zero()
            && (exponent_difference > 0
                || (exponent_difference == 0 && self.mantissa >= other.mantissa));
        is_larger.then_some(exponent_difference)
    }

    /// Aligns two numbers, the larger one first, applies an operation and rounds the result.
    fn combine(
        self,
        other: Self,
        rounding: Rounding,
        operation: impl Fn(U256, U256) -> U256,
    ) -> Self {
        let (large, small) =
            if self.exponent_excess_over(other).is_some() { (self, other) } else { (other, self) };
        if small.is_zero() {
            return large;
        }
        let exponent_difference = large.exponent.saturating_sub(small.exponent);
        match u32::try_from(exponent_difference) {
            Ok(digits) if digits <= DIGITS + 2 => {
                let aligned = U256::from(large.mantissa) * power_of_ten(digits);
                Self::rounded(operation(aligned, small.mantissa.into()), small.exponent, rounding)
            }
            // The smaller number is entirely below the last digit: it only affects rounding.
            _ => {
                let aligned = U256::from(large.mantissa) * power_of_ten(DIGITS + 2);
                let exponent = large.exponent.saturating_sub(i64::from(DIGITS + 2));
                Self::rounded(operation(aligned, U256::one()), exponent, rounding)
            }
        }
    }

    /// Creates the number `mantissa` · 10^`exponent`, rounded to 36 digits.
    fn rounded(mantissa: U256, exponent: i64, rounding: Rounding) -> Self {
        if mantissa.is_zero() {
            return Self::ZERO;
        }
        let digits = count_digits(mantissa);
        let (mantissa, exponent) = if digits > DIGITS {
            let surplus = digits - DIGITS;
            let truncated = divide(mantissa, power_of_ten(surplus), rounding);
            (truncated, exponent.saturating_add(surplus.into()))
        } else {
            let missing = DIGITS - digits;
            (mantissa * power_of_ten(missing), exponent.saturating_sub(missing.into()))
        };
        if mantissa == power_of_ten(DIGITS) {
            // Rounding up carried into a new digit.
            return Self {
                mantissa: power_of_ten(DIGITS - 1).as_u128(),
                exponent: exponent.saturating_add(1),
            };
        }
        Self { mantissa: mantissa.as_u128(), exponent }
    }
}

fn power_of_ten(exponent: u32) -> U256 {
    U256::from(10).pow(exponent.into())
}

fn count_digits(number: U256) -> u32 {
    // log10(2) is 1233 / 4096 to five digits: the estimate is right or one too small.
    let bits = u32::try_from(number.bits()).unwrap_or(256);
    let estimate = bits * 1_233 / 4_096;
    if number >= power_of_ten(estimate) { estimate + 1 } else { estimate }
}

fn divide(numerator: U256, denominator: U256, rounding: Rounding) -> U256 {
    let (quotient, remainder) = numerator.div_mod(denominator);
    if rounding == Rounding::Up && !remainder.is_zero() { quotient + 1 } else { quotient }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_converted_to_safe_float_exactly() {
        let five = SafeFloat::from_integer(5);
        assert_eq!(five, SafeFloat { mantissa: 5 * 10_u128.pow(35), exponent: -35 });
        assert_eq!(SafeFloat::from_integer(0), SafeFloat::ZERO);
    }

    #[test]
    fn rounding_follows_the_stated_mode() {
        let one = SafeFloat::from_integer(1);
        let third = one.scaled(1, 3, Rounding::Down);
        assert_eq!(
            third,
            SafeFloat { mantissa: 333_333_333_333_333_333_333_333_333_333_333_333, exponent: -36 }
        );
        let more = one.scaled(1, 3, Rounding::Up);
        assert_eq!(more.mantissa, third.mantissa + 1);
        let almost = SafeFloat { mantissa: 10_u128.pow(36) - 1, exponent: 0 };
        let tiny = SafeFloat { mantissa: 10_u128.pow(35), exponent: -500 };
        assert_eq!(
            almost.plus(tiny, Rounding::Up),
            SafeFloat { mantissa: 10_u128.pow(35), exponent: 1 }
        );
        assert_eq!(almost.plus(tiny, Rounding::Down), almost);
        assert_eq!(tiny.minus(almost, Rounding::Up), SafeFloat::ZERO);
        assert_eq!(almost.minus(tiny, Rounding::Up), almost);
    }

    proptest! {
        #[test]
        fn sums_and_differences_of_whole_numbers_are_exact(a in 0..=u64::MAX / 2, b in 0..=u64::MAX / 2) {
            let (left, right) = (SafeFloat::from_integer(a), SafeFloat::from_integer(b));
            for rounding in [Rounding::Down, Rounding::Up] {
                prop_assert_eq!(left.plus(right, rounding), SafeFloat::from_integer(a + b));
                prop_assert_eq!(left.minus(right, rounding), SafeFloat::from_integer(a.saturating_sub(b)));
            }
        }

        #[test]
        fn part_of_an_amount_is_rounded_down(a in 0..=u64::MAX, b in 1..=u64::MAX, amount: u64) {
            let exact = u128::from(a.min(b)) * u128::from(amount) / u128::from(b);
            let part = SafeFloat::from_integer(a.min(b)).part_of(SafeFloat::from_integer(b), amount);
            prop_assert_eq!(u128::from(part), exact);
        }
    }
}
