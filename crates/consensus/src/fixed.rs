//! The chain's number type: fixed point with 32 integer bits and 32 fraction bits in a 64-bit
//! integer.

mod exponential;

use std::iter::Sum;
use std::ops::{Add, Div, Mul, Sub};

pub use exponential::{exp, sigmoid};

const FRACTION_BITS: u32 = 32;

/// A signed fixed-point number with 32 fraction bits, from −2³¹ to 2³¹ − 2⁻³².
///
/// Every operation gives the same bits as on the chain, on every machine. Operations saturate at
/// [`Self::MIN`] and [`Self::MAX`]. A product is rounded down. A quotient is truncated towards
/// zero, and division by zero gives zero, so that shares of a zero total are zero.
///
/// ```
/// use taonet_consensus::I32F32;
/// let third = I32F32::from_int(1) / I32F32::from_int(3);
/// assert_eq!(third.to_bits(), 0x5555_5555);
/// assert_eq!(I32F32::ONE / I32F32::ZERO, I32F32::ZERO);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct I32F32(i64);

impl I32F32 {
    /// The number 0.
    pub const ZERO: Self = Self(0);
    /// The number ½.
    pub const HALF: Self = Self(1 << (FRACTION_BITS - 1));
    /// The number 1.
    pub const ONE: Self = Self(1 << FRACTION_BITS);
    /// The largest number, just under 2³¹.
    pub const MAX: Self = Self(i64::MAX);
    /// The smallest number, −2³¹.
    pub const MIN: Self = Self(i64::MIN);

    /// Creates the number `bits` · 2⁻³².
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// Returns the value times 2³², an integer.
    pub const fn to_bits(self) -> i64 {
        self.0
    }

    /// Converts an integer, saturating at [`Self::MIN`] and [`Self::MAX`].
    pub const fn from_int(value: i64) -> Self {
        Self(saturate((value as i128) << FRACTION_BITS))
    }

    /// Converts a share in the chain's storage format: `value` / 65535.
    pub(crate) fn from_proportion(value: u16) -> Self {
        Self::from_int(value.into()) / Self::from_int(u16::MAX.into())
    }

    /// Converts to a share in the chain's storage format: ⌊self · 65535⌋, saturated to 0..=65535.
    pub fn to_proportion(self) -> u16 {
        (self * Self::from_int(u16::MAX.into())).floor_to_u16()
    }

    /// Rounds to the nearest integer, with halves rounded up, saturated to 0..=65535.
    pub(crate) fn round_to_u16(self) -> u16 {
        (self + Self::HALF).floor_to_u16()
    }

    /// Clamps to `low..=high`. With `low` > `high` the result is `low`: the upper bound is applied
    /// first.
    #[must_use]
    pub fn limit(self, low: Self, high: Self) -> Self {
        self.min(high).max(low)
    }

    /// Returns this share of `amount`: ⌊self · amount⌋, saturated to the range of `u64`.
    pub(crate) fn share_of(self, amount: u64) -> u64 {
        let product = (i128::from(self.0) * i128::from(amount)) >> FRACTION_BITS;
        u64::try_from(product.max(0)).unwrap_or(u64::MAX)
    }

    /// Returns the value as a float, for display. The conversion is exact for values of up to 21
    /// integer bits.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / (1_u64 << FRACTION_BITS) as f64
    }

    fn floor_to_u16(self) -> u16 {
        (self.0 >> FRACTION_BITS).clamp(0, u16::MAX.into()) as u16
    }
}

impl Add for I32F32 {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for I32F32 {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul for I32F32 {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(saturate((i128::from(self.0) * i128::from(other.0)) >> FRACTION_BITS))
    }
}

impl Div for I32F32 {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        if other.0 == 0 {
            return Self::ZERO;
        }
        let (dividend, divisor) = (self.0.unsigned_abs(), other.0.unsigned_abs());
        // Shares are nearly always below 1: then 64 bits suffice, and the division is several times
        // faster.
        let quotient = if dividend <= u32::MAX.into() {
            i128::from((dividend << FRACTION_BITS) / divisor)
        } else {
            ((u128::from(dividend) << FRACTION_BITS) / u128::from(divisor)).cast_signed()
        };
        Self(saturate(if (self.0 < 0) == (other.0 < 0) { quotient } else { -quotient }))
    }
}

impl Sum for I32F32 {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, Add::add)
    }
}

impl<'a> Sum<&'a Self> for I32F32 {
    fn sum<I: Iterator<Item = &'a Self>>(numbers: I) -> Self {
        numbers.copied().sum()
    }
}

const fn saturate(bits: i128) -> i64 {
    if bits > i64::MAX as i128 {
        i64::MAX
    } else if bits < i64::MIN as i128 {
        i64::MIN
    } else {
        bits as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = I32F32> {
        prop_oneof![
            any::<i64>(),
            -(1_i64 << 33)..(1_i64 << 33),
            Just(0),
            Just(i64::MAX),
            Just(i64::MIN),
            Just(1 << 32),
            Just(u32::MAX.into()),
        ]
        .prop_map(I32F32::from_bits)
    }

    #[test]
    fn products_round_down_and_quotients_truncate() {
        let tiny = I32F32::from_bits(1);
        let minus_half = I32F32::ZERO - I32F32::HALF;
        assert_eq!(tiny * I32F32::HALF, I32F32::ZERO);
        assert_eq!(tiny * minus_half, I32F32::from_bits(-1));
        assert_eq!(I32F32::from_bits(-1) / I32F32::from_int(2), I32F32::ZERO);
        assert_eq!(I32F32::from_bits(-3) / I32F32::from_int(2), I32F32::from_bits(-1));
    }

    #[test]
    fn fixed_point_arithmetic_saturates() {
        assert_eq!(I32F32::MAX + I32F32::ONE, I32F32::MAX);
        assert_eq!(I32F32::MIN - I32F32::ONE, I32F32::MIN);
        assert_eq!(I32F32::MAX * I32F32::from_int(-2), I32F32::MIN);
        assert_eq!(I32F32::MIN / I32F32::from_bits(-1), I32F32::MAX);
        assert_eq!(I32F32::from_int(i64::MAX), I32F32::MAX);
        assert_eq!(I32F32::MAX.share_of(u64::MAX), u64::MAX);
        assert_eq!(I32F32::MIN.share_of(u64::MAX), 0);
    }

    #[test]
    fn stored_shares_round_trip_up_to_truncation() {
        for value in 0..=u16::MAX {
            let restored = I32F32::from_proportion(value).to_proportion();
            assert!(restored == value || restored + 1 == value, "{value} came back as {restored}");
        }
    }

    proptest! {
        #[test]
        fn quotients_equal_wide_integer_division(dividend in number(), divisor in number()) {
            prop_assume!(divisor != I32F32::ZERO);
            let exact = (i128::from(dividend.to_bits()) << 32) / i128::from(divisor.to_bits());
            prop_assert_eq!(i128::from((dividend / divisor).to_bits()), exact.clamp(i64::MIN.into(), i64::MAX.into()));
        }
    }
}
