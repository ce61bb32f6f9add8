use serde::{Deserialize, Serialize};

use crate::Range;

/// Maximum shift of a rescale, in bits.
pub const MAX_SHIFT: u8 = 40;
/// Maximum size of a clamped value without its sign, in bits.
pub const MAX_BITS: u8 = 30;

/// Rescaling of sums to activations: `clamp(floor((sum + 2^(shift-1)) / 2^shift))`, that is,
/// rounding to the nearest integer with halves upwards, then saturation. An unsigned clamp includes
/// a ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rescale {
    /// Number of bits rounded away: `0..=MAX_SHIFT`.
    pub shift: u8,
    /// Saturation of the quotient.
    pub clamp: Clamp,
}

/// Saturation to a power-of-two interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Clamp {
    /// Saturates to `0..=2^bits - 1`.
    Unsigned(u8),
    /// Saturates to `-2^bits..=2^bits - 1`.
    Signed(u8),
}

impl Clamp {
    /// Returns the interval of clamped values.
    pub fn range(self) -> Range {
        match self {
            Self::Unsigned(bits) => Range { low: 0, high: (1 << bits) - 1 },
            Self::Signed(bits) => Range { low: -(1 << bits), high: (1 << bits) - 1 },
        }
    }

    /// Returns the number of bits of a clamped value, excluding the sign.
    pub fn bits(self) -> u8 {
        match self {
            Self::Unsigned(bits) | Self::Signed(bits) => bits,
        }
    }

    /// Clamps a value to [`Self::range`].
    pub fn apply(self, value: i64) -> i64 {
        let range = self.range();
        value.clamp(range.low, range.high)
    }
}

impl Rescale {
    /// Returns whether shift and clamp are within [`MAX_SHIFT`] and [`MAX_BITS`].
    pub fn is_valid(&self) -> bool {
        self.shift <= MAX_SHIFT && self.clamp.bits() <= MAX_BITS
    }

    /// Returns half of the divisor, which is added before the division for rounding.
    pub fn half(&self) -> i64 {
        (1 << self.shift) >> 1
    }

    /// Returns quotient and remainder of the rounded division: `sum + half = quotient * 2^shift +
    /// remainder` with `0 <= remainder < 2^shift`.
    pub fn split(&self, sum: i64) -> (i64, i64) {
        let sum_plus_half = sum + self.half();
        let quotient = sum_plus_half >> self.shift;
        (quotient, sum_plus_half - (quotient << self.shift))
    }

    /// Rescales a sum to its activation.
    pub fn apply(&self, sum: i64) -> i64 {
        self.clamp.apply(self.split(sum).0)
    }

    /// Returns the interval of the quotients of all sums in `sums`.
    pub fn quotients(&self, sums: &Range) -> Range {
        Range { low: self.split(sums.low).0, high: self.split(sums.high).0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescale_rounds_halves_upwards() {
        let rescale = Rescale { shift: 2, clamp: Clamp::Signed(8) };
        let table = [
            (-6, -1),
            (-5, -1),
            (-3, -1),
            (-2, 0),
            (-1, 0),
            (0, 0),
            (1, 0),
            (2, 1),
            (5, 1),
            (6, 2),
            (7, 2),
        ];
        for (sum, activation) in table {
            assert_eq!(rescale.apply(sum), activation, "{sum}");
            let (quotient, remainder) = rescale.split(sum);
            assert_eq!(sum + 2, quotient * 4 + remainder);
            assert!((0..4).contains(&remainder));
        }
    }

    #[test]
    fn rescaled_values_saturate() {
        assert_eq!(Rescale { shift: 0, clamp: Clamp::Unsigned(8) }.apply(300), 255);
        assert_eq!(Rescale { shift: 0, clamp: Clamp::Unsigned(8) }.apply(-3), 0);
        assert_eq!(Rescale { shift: 1, clamp: Clamp::Signed(3) }.apply(-100), -8);
        assert_eq!(Rescale { shift: 1, clamp: Clamp::Signed(3) }.apply(100), 7);
    }
}
