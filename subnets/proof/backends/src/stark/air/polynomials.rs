//! Products of polynomials: the constraints of convolutions and sums.
//!
//! A convolution multiplies polynomials: those of the input's channels, with the cells as
//! coefficients, by those of the kernels. So its outputs are the coefficients of `sum(input *
//! kernel)`. The prover commits to all coefficients before the challenges `x` and `y` are drawn.
//! Then the balance `sum(y^channel * output(x)) - sum(input(x) * kernel(x, y))` is zero for each
//! product, which a false output passes with the probability that a polynomial of this degree is
//! zero at a random point. Each polynomial is evaluated once, so the cost is that of its
//! coefficients.

use p3_air::{AirBuilder, ExtensionBuilder};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing as _};
use p3_lookup::{Count, InteractionBuilder};

use super::super::config::{Challenge, Val};
use super::super::projection::{COEFFICIENTS_PER_ROW, Powers, RowPowers, WEIGHTS_PER_ROW};
use super::{EXTENSION_DEGREE, MEMORY_BUS, split_lanes};

const KERNEL_BUS: &str = "kernel";

/// Two rows of a table, its fixed columns with the early ones at the end, and the powers of the
/// challenges.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, V> {
    pub(super) local: &'a [V],
    pub(super) next: &'a [V],
    pub(super) fixed: &'a [V],
    pub(super) powers: &'a Powers,
}

/// Constrains the polynomials table. Its rows hold the coefficients of one polynomial after the
/// other, from the highest power on. The polynomials of a product's outputs precede those of its
/// inputs. Returns `None` if columns are missing.
pub(super) fn constrain_polynomials<AB>(builder: &mut AB, rows: Rows<'_, AB::Var>) -> Option<()>
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    let Rows { local, next, fixed, powers } = rows;
    let local: &[[AB::Var; EXTENSION_DEGREE]; 3] = split_lanes(local)?;
    let next: &[[AB::Var; EXTENSION_DEGREE]; 3] = split_lanes(next)?;
    let (addresses, fixed) = fixed.split_first_chunk::<COEFFICIENTS_PER_ROW>()?;
    let (counts, fixed) = fixed.split_first_chunk::<COEFFICIENTS_PER_ROW>()?;
    let (&[carry, is_output, is_input, is_start, kernel], coefficients) =
        fixed.split_first_chunk::<5>()?;
    let coefficients: &[AB::Var; COEFFICIENTS_PER_ROW] = coefficients.try_into().ok()?;
    let [carry, is_output, is_input, is_start] =
        [carry, is_output, is_input, is_start].map(Into::<AB::Expr>::into);
    // Coefficients without a cell are outputs of the product that its convolution does not have.
    access_all(builder, addresses, counts, coefficients);
    let [_, factor, _] = local;
    let kernel_message: Vec<AB::Var> = [&kernel].into_iter().chain(factor).copied().collect();
    builder.push_interaction(KERNEL_BUS, kernel_message, Count::bounded(is_input.clone(), 1));
    let [value, factor, balance] = local.each_ref().map(extension_value::<AB>);
    let [next_value, _, next_balance] = next.each_ref().map(extension_value::<AB>);
    // The value of the polynomial up to and including this row, by Horner's rule.
    let after = horner::<AB, COEFFICIENTS_PER_ROW>(value, &powers.position, coefficients);
    builder.assert_zero_ext(next_value - after.clone() * carry);
    // Horner's rule for the outputs in `y`, then minus each input times its kernel.
    let output = balance.clone() * (powers.y - Challenge::ONE) + after.clone();
    let balance_change = output * is_output - factor * after * is_input;
    builder.assert_zero_ext(next_balance - balance.clone() - balance_change);
    builder.assert_zero_ext(balance * is_start);
    Some(())
}

/// Constrains the operands table: kernels with a single tap, whose weights are cells. Returns
/// `None` if columns are missing.
pub(super) fn constrain_operands<AB>(builder: &mut AB, rows: Rows<'_, AB::Var>) -> Option<()>
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    let Rows { local, next, fixed, powers } = rows;
    let local: &[AB::Var; EXTENSION_DEGREE] = local.try_into().ok()?;
    let next: &[AB::Var; EXTENSION_DEGREE] = next.try_into().ok()?;
    let (addresses, fixed) = fixed.split_first_chunk::<COEFFICIENTS_PER_ROW>()?;
    let (counts, fixed) = fixed.split_first_chunk::<COEFFICIENTS_PER_ROW>()?;
    let (&[is_start, is_report, kernel], weights) = fixed.split_first_chunk::<3>()?;
    let weights: &[AB::Var; COEFFICIENTS_PER_ROW] = weights.try_into().ok()?;
    let [is_start, is_report] = [is_start, is_report].map(Into::<AB::Expr>::into);
    access_all(builder, addresses, counts, weights);
    let kernel_message: Vec<AB::Var> = [&kernel].into_iter().chain(local).copied().collect();
    builder.push_interaction(KERNEL_BUS, kernel_message, Count::bounded(-is_report, 1));
    let before = extension_value::<AB>(local) * (AB::Expr::ONE - is_start);
    builder.assert_zero_ext(
        extension_value::<AB>(next)
            - horner::<AB, COEFFICIENTS_PER_ROW>(before, &powers.operand, weights),
    );
    Some(())
}

/// Removes values from memory, or inserts them if their count is negative. Values without a cell
/// have the count 0.
///
/// The bound of 1 is that of a read. A write may have a larger count, which no prover can choose:
/// counts are fixed columns of the key, and a verifier trusts a key that it computed from the
/// network. Each address is written by exactly one row, as often as the key's other rows read it.
/// The proof system checks that all reads together, at most one for each of these columns and each
/// row, are fewer than the field has elements, so no count wraps around.
fn access_all<AB>(
    builder: &mut AB,
    addresses: &[AB::Var; COEFFICIENTS_PER_ROW],
    counts: &[AB::Var; COEFFICIENTS_PER_ROW],
    values: &[AB::Var; COEFFICIENTS_PER_ROW],
) where
    AB: AirBuilder<F = Val> + InteractionBuilder,
{
    for ((&address, &count), &value) in addresses.iter().zip(counts).zip(values) {
        let count: AB::Expr = count.into();
        builder.push_interaction(MEMORY_BUS, [address, value], Count::bounded(count, 1));
    }
}

/// Constrains the kernels table. A kernel has a tap for each offset in its window, from the highest
/// power of `x` on, and a tap has a weight for each output channel, from the highest power of `y`
/// on. Returns `None` if columns or powers are missing.
pub(super) fn constrain_kernels<AB>(builder: &mut AB, rows: Rows<'_, AB::Var>) -> Option<()>
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    let Rows { local, next, fixed, powers } = rows;
    let local: &[[AB::Var; EXTENSION_DEGREE]; 2] = split_lanes(local)?;
    let next: &[[AB::Var; EXTENSION_DEGREE]; 2] = split_lanes(next)?;
    let (weights, fixed) = fixed.split_first_chunk::<WEIGHTS_PER_ROW>()?;
    let (&[carry, is_report, kernel], gaps) = fixed.split_first_chunk::<3>()?;
    if gaps.len() != powers.gaps.len() {
        return None;
    }
    let [carry, is_report] = [carry, is_report].map(Into::<AB::Expr>::into);
    let [_, value] = local;
    let kernel_message: Vec<AB::Var> = [&kernel].into_iter().chain(value).copied().collect();
    builder.push_interaction(KERNEL_BUS, kernel_message, Count::bounded(-is_report.clone(), 1));
    let [tap, value] = local.each_ref().map(extension_value::<AB>);
    let [next_tap, next_value] = next.each_ref().map(extension_value::<AB>);
    let tap = horner::<AB, WEIGHTS_PER_ROW>(tap, &powers.channel, weights);
    builder.assert_zero_ext(next_tap - tap.clone() * carry.clone());
    // A kernel that this row reports has ended.
    let value = value * (AB::Expr::ONE - is_report);
    let gap = gaps.iter().zip(&powers.gaps).fold(AB::ExprEF::ZERO, |gap, (&selector, &power)| {
        let selector: AB::Expr = selector.into();
        gap + AB::ExprEF::from(power) * selector
    });
    builder.assert_zero_ext(next_value - value.clone() * carry - (value + tap) * gap);
    Some(())
}

/// Returns the value of a polynomial after further coefficients, given its value before them.
fn horner<AB, const N: usize>(
    before: AB::ExprEF,
    powers: &RowPowers<N>,
    coefficients: &[AB::Var; N],
) -> AB::ExprEF
where
    AB: AirBuilder<F = Val> + ExtensionBuilder<EF = Challenge>,
{
    let terms = coefficients.iter().rev().zip(&powers.coefficients);
    terms.fold(before * powers.before, |sum, (&coefficient, &power)| {
        let coefficient: AB::Expr = coefficient.into();
        sum + AB::ExprEF::from(power) * coefficient
    })
}

/// Returns a value in the extension field, given its columns.
fn extension_value<AB>(columns: &[AB::Var; EXTENSION_DEGREE]) -> AB::ExprEF
where
    AB: AirBuilder<F = Val> + ExtensionBuilder<EF = Challenge>,
{
    columns.iter().enumerate().fold(AB::ExprEF::ZERO, |value, (index, &column)| {
        let coefficient = |other: usize| Val::from_bool(other == index);
        let basis = <Challenge as BasedVectorSpace<Val>>::from_basis_coefficients_fn(coefficient);
        let column: AB::Expr = column.into();
        value + AB::ExprEF::from(basis) * column
    })
}
