use super::{FRACTION_BITS, I32F32};

/// The chain's constant for exp(1): e truncated to 23 fraction bits.
const E: I32F32 = I32F32::from_bits(22_802_600 << 9);
/// The bound of the argument of [`exp`]: ±20.
const EXP_LIMIT: i64 = 20;
/// The index of the last term of the Taylor series.
const LAST_TERM: u64 = 31;

/// Computes exp(x) as the chain does: x is clamped to ±20, then the Taylor series is summed up to
/// x³¹/31!, each term rounded down. For negative x, the result is the reciprocal of exp(−x).
pub fn exp(x: I32F32) -> I32F32 {
    let x = x.limit(I32F32::from_int(-EXP_LIMIT), I32F32::from_int(EXP_LIMIT));
    if x == I32F32::ONE {
        return E;
    }
    let magnitude = x.to_bits().unsigned_abs();
    // exp(20) < 2²⁹, and no single term is larger: 64 bits hold every term and the sum.
    let mut term = magnitude;
    let mut sum = (1_u64 << FRACTION_BITS) + magnitude;
    for i in 2..=LAST_TERM {
        term = ((u128::from(term) * u128::from(magnitude)) >> FRACTION_BITS) as u64 / i;
        if term == 0 {
            break;
        }
        sum += term;
    }
    let sum = I32F32::from_bits(sum.cast_signed());
    if x < I32F32::ZERO { I32F32::ONE / sum } else { sum }
}

/// Returns the logistic curve 1 / (1 + exp(−steepness · (x − middle))): ½ at `middle`, rising from
/// 0 to 1 for a positive steepness.
pub fn sigmoid(x: I32F32, steepness: I32F32, middle: I32F32) -> I32F32 {
    let exponent = (I32F32::ZERO - steepness) * (x - middle);
    I32F32::ONE / (I32F32::ONE + exp(exponent))
}
