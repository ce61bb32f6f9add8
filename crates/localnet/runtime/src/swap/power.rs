//! Powers with rational exponents, in fixed point.
//!
//! Results are exact if the exponent is one. Otherwise they are computed by logarithm and
//! exponential with 120 fraction bits: the error of a 64-bit amount is far below one unit.

use sp_core::U256;

const FRACTION_BITS: usize = 120;
/// ln 2 · 2¹²⁰, rounded to nearest.
const LN_2: u128 = 921_350_637_599_661_305_226_344_307_672_478_455;

/// A positive rational number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    pub(super) numerator: u64,
    pub(super) denominator: u64,
}

/// Returns `amount` · (1 − (`reserve` / (`reserve` + `added`))^`exponent`), rounded down; 0 for an
/// empty reserve.
pub(super) fn decrease_by_power(amount: u64, reserve: u64, added: u64, exponent: Ratio) -> u64 {
    if reserve == 0 {
        return 0;
    }
    let (reserve, added) = (u128::from(reserve), u128::from(added));
    if exponent.numerator == exponent.denominator {
        let part = U256::from(amount) * U256::from(added) / U256::from(reserve + added);
        return part.low_u64();
    }
    let remaining = falling_power(U256::from(reserve + added), U256::from(reserve), exponent);
    ((U256::from(amount) * (one() - remaining)) >> FRACTION_BITS).low_u64()
}

/// Returns `amount` · ((`high` / `low`)^`exponent` − 1), rounded down and saturating; 0 when `high`
/// ≤ `low`. `high` and `low` have at most 190 bits.
pub(super) fn increase_by_power(amount: u64, high: U256, low: U256, exponent: Ratio) -> u64 {
    if amount == 0 || high <= low {
        return 0;
    }
    if low.is_zero() {
        return u64::MAX;
    }
    let power = falling_power(high, low, exponent);
    let increase = (U256::from(amount) * (one() - power)).checked_div(power);
    increase.and_then(|increase| u64::try_from(increase).ok()).unwrap_or(u64::MAX)
}

fn one() -> U256 {
    U256::one() << FRACTION_BITS
}

/// Returns (`low` / `high`)^`exponent` for `high` ≥ `low` > 0.
fn falling_power(high: U256, low: U256, exponent: Ratio) -> U256 {
    let logarithm = logarithm(high, low);
    let product =
        logarithm * U256::from(exponent.numerator) / U256::from(exponent.denominator.max(1));
    falling_exponential(product)
}

/// Returns ln(`high` / `low`) for `high` ≥ `low` > 0: ln 2 for each halving of the ratio until it
/// is a number m between 1 and 2, plus 2 · artanh((m − 1) / (m + 1)).
fn logarithm(high: U256, low: U256) -> U256 {
    let mut halvings = high.bits().saturating_sub(low.bits());
    if low << halvings > high {
        halvings = halvings.saturating_sub(1);
    }
    let low = low << halvings;
    // Truncation to a width with room for 120 fraction bits loses no significant bits.
    let surplus = (high.bits() + FRACTION_BITS + 1).saturating_sub(256);
    let (difference, sum) = ((high - low) >> surplus, (high >> surplus) + (low >> surplus));
    let ratio = (difference << FRACTION_BITS) / sum;
    let square = (ratio * ratio) >> FRACTION_BITS;
    let (mut power, mut series) = (ratio, U256::zero());
    for divisor in (1_u32..).step_by(2) {
        let term = power / U256::from(divisor);
        if term.is_zero() {
            break;
        }
        series += term;
        power = (power * square) >> FRACTION_BITS;
    }
    U256::from(LN_2) * U256::from(halvings) + (series << 1)
}

/// Returns e^(−`exponent`): one halving for each whole multiple of ln 2, and the reciprocal of the
/// Taylor series for the remainder.
fn falling_exponential(exponent: U256) -> U256 {
    let (halvings, remainder) = exponent.div_mod(U256::from(LN_2));
    let (mut term, mut series) = (one(), one());
    for divisor in 1_u32.. {
        term = ((term * remainder) >> FRACTION_BITS) / U256::from(divisor);
        if term.is_zero() {
            break;
        }
        series += term;
    }
    let reciprocal = (one() << FRACTION_BITS) / series;
    if halvings > U256::from(FRACTION_BITS) {
        U256::zero()
    } else {
        reciprocal >> halvings.low_u32() as usize
    }
}
