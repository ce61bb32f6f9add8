//! Gadgets: constraints of rescales and maxima, and the witness values that satisfy them. For each
//! gadget, the function that adds constraints and the one that assigns the witness use the same
//! variables in the same order.

use ark_bn254::Fr;
use ark_ff::{Field as _, One as _, Zero as _};
use taonet_proof_core::{Clamp, Range, Rescale};

use super::r1cs::{Lc, R1cs, Var};

/// Width of a number in two's complement: `bits` low bits, and a sign bit if it can be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) bits: u32,
    pub(super) signed: bool,
}

impl Width {
    /// Returns the narrowest width that holds an interval.
    pub(super) fn of(range: Range) -> Self {
        let bits = |value: u64| u64::BITS - value.leading_zeros();
        // -2^n needs n bits, like 2^n - 1.
        let negative = if range.low < 0 { bits(range.low.unsigned_abs() - 1) } else { 0 };
        let positive = if range.high > 0 { bits(range.high.unsigned_abs()) } else { 0 };
        Self { bits: negative.max(positive), signed: range.low < 0 }
    }
}

/// Decomposes a combination whose value has this width, and returns its bits and its sign.
fn split(cs: &mut R1cs, value: &Lc, width: Width) -> (Vec<Var>, Option<Var>) {
    let bits: Vec<Var> = (0..width.bits).map(|_| allocate_boolean(cs)).collect();
    let sign = width.signed.then(|| allocate_boolean(cs));
    let mut sum = Lc::from_bits(&bits);
    if let Some(sign) = sign {
        sum = sum.plus(-power_of_two(width.bits), &Lc::var(sign));
    }
    cs.enforce_equal(sum, value);
    (bits, sign)
}

fn assign_split(witness: &mut Vec<Fr>, value: i64, width: Width) {
    witness.extend((0..width.bits).map(|bit| Fr::from((value >> bit) & 1)));
    if width.signed {
        witness.push(Fr::from(i64::from(value < 0)));
    }
}

/// Allocates an unsigned number of `bits` bits.
pub(super) fn allocate_unsigned(cs: &mut R1cs, bits: u32) -> Lc {
    let bits: Vec<Var> = (0..bits).map(|_| allocate_boolean(cs)).collect();
    Lc::from_bits(&bits)
}

/// Assigns the witness values of [`allocate_unsigned`].
pub(super) fn assign_unsigned(witness: &mut Vec<Fr>, value: i64, bits: u32) {
    assign_split(witness, value, Width { bits, signed: false });
}

fn allocate_boolean(cs: &mut R1cs) -> Var {
    let bit = cs.allocate_witness();
    let complement = Lc::constant(Fr::one()).plus(-Fr::one(), &Lc::var(bit));
    cs.enforce(Lc::var(bit), complement, Lc::zero());
    bit
}

/// Returns `2^exponent`.
pub(super) fn power_of_two(exponent: u32) -> Fr {
    Fr::from(2_u64).pow([u64::from(exponent)])
}

/// Allocates a variable for the product of two combinations.
pub(super) fn product(cs: &mut R1cs, a: Lc, b: Lc) -> Lc {
    let var = cs.allocate_witness();
    cs.enforce(a, b, Lc::var(var));
    Lc::var(var)
}

fn not(lc: &Lc) -> Lc {
    Lc::constant(Fr::one()).plus(-Fr::one(), lc)
}

/// Constrains a rescale of a sum within an interval, and returns the activation.
pub(super) fn rescale(cs: &mut R1cs, sum: &Lc, rescale: Rescale, sums: Range) -> Lc {
    let quotient_width = Width::of(rescale.quotients(&sums));
    let width = Width { bits: quotient_width.bits + u32::from(rescale.shift), ..quotient_width };
    let sum_plus_half = sum.clone().plus(Fr::one(), &Lc::constant(Fr::from(rescale.half())));
    let (bits, sign) = split(cs, &sum_plus_half, width);
    let quotient = bits.get(usize::from(rescale.shift)..).unwrap_or_default();
    let kept_bits = usize::from(rescale.clamp.bits());
    let (low, high) = quotient.split_at(kept_bits.min(quotient.len()));
    let sign = sign.map(Lc::var);
    match rescale.clamp {
        Clamp::Unsigned(_) => {
            let magnitude = if high.is_empty() {
                Lc::from_bits(low)
            } else {
                let fits = is_zero(cs, &sum_of(high), high.len());
                select(cs, fits, &Lc::from_bits(low), &integer(rescale.clamp.range().high))
            };
            match sign {
                None => magnitude,
                Some(sign) => product(cs, not(&sign), magnitude),
            }
        }
        Clamp::Signed(_) if high.is_empty() => match sign {
            None => Lc::from_bits(low),
            Some(sign) => Lc::from_bits(low).plus(-power_of_two(quotient_width.bits), &sign),
        },
        Clamp::Signed(kept_bits) => {
            let range = rescale.clamp.range();
            let count = Lc::constant(Fr::from(high.len() as u64));
            // High bits that differ from the sign; none differ if the quotient fits.
            let (differing_bits, value, bound) = match sign {
                None => (sum_of(high), Lc::from_bits(low), integer(range.high)),
                Some(sign) => {
                    let sign_correction =
                        product(cs, sign.clone(), count.plus(-Fr::from(2_u64), &sum_of(high)));
                    let value = Lc::from_bits(low).plus(-power_of_two(u32::from(kept_bits)), &sign);
                    let bound = integer(range.high).plus(Fr::from(range.low - range.high), &sign);
                    (sum_of(high).plus(Fr::one(), &sign_correction), value, bound)
                }
            };
            let fits = is_zero(cs, &differing_bits, high.len());
            select(cs, fits, &value, &bound)
        }
    }
}

/// Assigns the witness values of [`rescale`].
pub(super) fn assign_rescale(witness: &mut Vec<Fr>, sum: i64, rescale: Rescale, sums: Range) {
    let quotient_width = Width::of(rescale.quotients(&sums));
    let width = Width { bits: quotient_width.bits + u32::from(rescale.shift), ..quotient_width };
    assign_split(witness, sum + rescale.half(), width);
    let (quotient, _) = rescale.split(sum);
    let kept_bits = u32::from(rescale.clamp.bits());
    let activation = rescale.clamp.apply(quotient);
    let high_bits = quotient_width.bits.saturating_sub(kept_bits);
    let ones = (kept_bits..quotient_width.bits).map(|bit| (quotient >> bit) & 1).sum::<i64>();
    match rescale.clamp {
        Clamp::Unsigned(_) => {
            if high_bits > 0 {
                assign_is_zero(witness, ones, high_bits);
                // The value before a negative quotient is replaced by zero: its low bits, or the
                // upper limit.
                let low = quotient & ((1 << kept_bits) - 1);
                witness.push(Fr::from(if ones == 0 { low } else { rescale.clamp.range().high }));
            }
            if quotient_width.signed {
                witness.push(Fr::from(activation));
            }
        }
        Clamp::Signed(_) if high_bits > 0 => {
            let mut differing_bits = ones;
            if quotient_width.signed {
                let sign_correction =
                    if quotient < 0 { i64::from(high_bits) - 2 * ones } else { 0 };
                witness.push(Fr::from(sign_correction));
                differing_bits += sign_correction;
            }
            assign_is_zero(witness, differing_bits, high_bits);
            witness.push(Fr::from(activation));
        }
        Clamp::Signed(_) => {}
    }
}

fn sum_of(bits: &[Var]) -> Lc {
    Lc(bits.iter().map(|&bit| (Fr::one(), bit)).collect())
}

fn integer(value: i64) -> Lc {
    Lc::constant(Fr::from(value))
}

/// Returns one if none of the counted bits is set, else zero.
fn is_zero(cs: &mut R1cs, count: &Lc, max_count: usize) -> Lc {
    if max_count == 1 {
        return not(count);
    }
    let (is_zero_var, inverse) = (cs.allocate_witness(), cs.allocate_witness());
    cs.enforce(count.clone(), Lc::var(inverse), not(&Lc::var(is_zero_var)));
    cs.enforce(count.clone(), Lc::var(is_zero_var), Lc::zero());
    Lc::var(is_zero_var)
}

fn assign_is_zero(witness: &mut Vec<Fr>, count: i64, max_count: u32) {
    if max_count > 1 {
        witness.push(Fr::from(i64::from(count == 0)));
        witness.push(Fr::from(count).inverse().unwrap_or_else(Fr::zero));
    }
}

/// Returns `first` if the condition is one, `second` if it is zero.
fn select(cs: &mut R1cs, condition: Lc, first: &Lc, second: &Lc) -> Lc {
    let selected = cs.allocate_witness();
    let difference = first.clone().plus(-Fr::one(), second);
    cs.enforce(condition, difference, Lc::var(selected).plus(-Fr::one(), second));
    Lc::var(selected)
}

/// Constrains the larger of two combinations within an interval.
pub(super) fn max(cs: &mut R1cs, a: &Lc, b: &Lc, operands: Range) -> Lc {
    let (bits, sign) = split(cs, &a.clone().plus(-Fr::one(), b), difference_width(operands));
    let larger = cs.allocate_witness();
    // The product is a - b if that is positive, else zero.
    let positive = sign.map_or_else(|| Lc::constant(Fr::one()), |sign| not(&Lc::var(sign)));
    cs.enforce(positive, Lc::from_bits(&bits), Lc::var(larger).plus(-Fr::one(), b));
    Lc::var(larger)
}

/// Assigns the witness values of [`max`].
pub(super) fn assign_max(witness: &mut Vec<Fr>, a: i64, b: i64, operands: Range) {
    assign_split(witness, a - b, difference_width(operands));
    witness.push(Fr::from(a.max(b)));
}

fn difference_width(operands: Range) -> Width {
    let span = operands.high - operands.low;
    Width { signed: true, ..Width::of(Range { low: -span, high: span }) }
}
