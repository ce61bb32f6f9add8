//! Products of polynomials: the constraints of convolutions and sums.
//!
//! A convolution multiplies polynomials: those of the input's channels, with the cells as coefficients, by those of the
//! kernels. So its outputs are the coefficients of `sum(input * kernel)`. The prover commits to all coefficients before
//! the challenges `x` and `y` are drawn. Then the balance `sum(y^channel * output(x)) - sum(input(x) * kernel(x, y))` is
//! zero for each product, which a false output passes with the probability that a polynomial of this degree is zero at a
//! random point. Each polynomial is evaluated once, so the cost is that of its coefficients.

use p3_air::{AirBuilder, ExtensionBuilder};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing as _};
use p3_lookup::{Count, InteractionBuilder};

use super::super::config::{Challenge, Val};
use super::super::projection::{COEFFICIENTS, Powers, WEIGHTS};
use super::{EXTENSION, MEMORY};

const KERNEL: &str = "kernel";

/// Two rows of a table, its fixed columns with the early ones at the end, and the powers of the challenges.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, V> {
    pub(super) local: &'a [V],
    pub(super) next: &'a [V],
    pub(super) fixed: &'a [V],
    pub(super) powers: &'a Powers,
}

/// Constrains the polynomials table. Its rows hold the coefficients of one polynomial after the other, from the highest
/// power on. The polynomials of a product's outputs precede those of its inputs.
pub(super) fn polynomials<AB>(builder: &mut AB, rows: Rows<'_, AB::Var>)
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    let Rows { local, next, fixed, powers } = rows;
    let (addresses, fixed) = fixed.split_at(COEFFICIENTS);
    let (counts, fixed) = fixed.split_at(COEFFICIENTS);
    let Some((&flags, coefficients)) = fixed.split_first_chunk::<5>() else { return };
    let [carry, is_output, is_input, start, _] = flags.map(Into::<AB::Expr>::into);
    // Those without a cell are the outputs of a product that its convolution does not have.
    read_all(builder, addresses, counts, coefficients);
    let factor = local.iter().skip(EXTENSION).take(EXTENSION);
    builder.push_interaction(
        KERNEL,
        flags.iter().skip(4).chain(factor).copied().collect::<Vec<_>>(),
        Count::bounded(is_input.clone(), 1),
    );
    let ([value, factor, balance], [next_value, _, next_balance]) = (values::<AB, 3>(local), values::<AB, 3>(next));
    // The value of the polynomial up to and including this row, by Horner's rule.
    let after = horner::<AB>(value, &powers.position, coefficients);
    builder.assert_zero_ext(next_value - after.clone() * carry);
    // Horner's rule for the outputs in `y`, then minus each input times its kernel.
    let y = powers.channel.get(1).copied().unwrap_or_default();
    let output = balance.clone() * (y - Challenge::ONE) + after.clone();
    let added = output * is_output - factor * after * is_input;
    builder.assert_zero_ext(next_balance - balance.clone() - added);
    builder.assert_zero_ext(balance * start);
}

/// Constrains the operands table: kernels with a single tap, whose weights are cells.
pub(super) fn operands<AB>(builder: &mut AB, rows: Rows<'_, AB::Var>)
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    let Rows { local, next, fixed, powers } = rows;
    let (addresses, fixed) = fixed.split_at(COEFFICIENTS);
    let (counts, fixed) = fixed.split_at(COEFFICIENTS);
    let Some((&flags, weights)) = fixed.split_first_chunk::<3>() else { return };
    let [starts, reports, _] = flags.map(Into::<AB::Expr>::into);
    read_all(builder, addresses, counts, weights);
    let report: Vec<AB::Var> = flags.iter().skip(2).chain(local).copied().collect();
    builder.push_interaction(KERNEL, report, Count::bounded(-reports, 1));
    let ([value], [next_value]) = (values::<AB, 1>(local), values::<AB, 1>(next));
    let before = value * (AB::Expr::ONE - starts);
    builder.assert_zero_ext(next_value - horner::<AB>(before, &powers.channel, weights));
}

/// Removes values from memory, or inserts them if their count is negative. Values without a cell have the count 0.
fn read_all<AB>(builder: &mut AB, addresses: &[AB::Var], counts: &[AB::Var], values: &[AB::Var])
where
    AB: AirBuilder<F = Val> + InteractionBuilder,
{
    for ((&address, &count), &value) in addresses.iter().zip(counts).zip(values) {
        let count: AB::Expr = count.into();
        builder.push_interaction(MEMORY, [address, value], Count::bounded(count, 1));
    }
}

/// Constrains the kernels table. A kernel has a tap for each offset in its window, from the highest power of `x` on, and
/// a tap has a weight for each output channel, from the highest power of `y` on.
pub(super) fn kernels<AB>(builder: &mut AB, rows: Rows<'_, AB::Var>)
where
    AB: AirBuilder<F = Val> + InteractionBuilder + ExtensionBuilder<EF = Challenge>,
{
    let Rows { local, next, fixed, powers } = rows;
    let (weights, fixed) = fixed.split_at(WEIGHTS);
    let Some((&flags, gaps)) = fixed.split_first_chunk::<3>() else { return };
    let [carry, reports, _] = flags.map(Into::<AB::Expr>::into);
    let value = local.iter().skip(EXTENSION).take(EXTENSION);
    builder.push_interaction(
        KERNEL,
        flags.iter().skip(2).chain(value).copied().collect::<Vec<_>>(),
        Count::bounded(-reports.clone(), 1),
    );
    let ([tap, value], [next_tap, next_value]) = (values::<AB, 2>(local), values::<AB, 2>(next));
    let tap = horner::<AB>(tap, &powers.channel, weights);
    builder.assert_zero_ext(next_tap - tap.clone() * carry.clone());
    // A kernel that this row reports has ended.
    let value = value * (AB::Expr::ONE - reports);
    let gap = gaps.iter().zip(&powers.gaps).fold(AB::ExprEF::ZERO, |gap, (&selector, &power)| {
        let selector: AB::Expr = selector.into();
        gap + AB::ExprEF::from(power) * selector
    });
    builder.assert_zero_ext(next_value - value.clone() * carry - (value + tap) * gap);
}

/// Returns the value of a polynomial after further coefficients, given its value before them.
fn horner<AB>(before: AB::ExprEF, powers: &[Challenge], coefficients: &[AB::Var]) -> AB::ExprEF
where
    AB: AirBuilder<F = Val> + ExtensionBuilder<EF = Challenge>,
{
    let all = powers.get(coefficients.len()).copied().unwrap_or_default();
    coefficients.iter().rev().zip(powers).fold(before * all, |sum, (&coefficient, &power)| {
        let coefficient: AB::Expr = coefficient.into();
        sum + AB::ExprEF::from(power) * coefficient
    })
}

/// Returns values in the extension field, each of which has four columns.
fn values<AB, const N: usize>(columns: &[AB::Var]) -> [AB::ExprEF; N]
where
    AB: AirBuilder<F = Val> + ExtensionBuilder<EF = Challenge>,
{
    std::array::from_fn(|index| {
        let columns = columns.iter().skip(index * EXTENSION).take(EXTENSION);
        columns.enumerate().fold(AB::ExprEF::ZERO, |value, (index, &column)| {
            let basis = <Challenge as BasedVectorSpace<Val>>::ith_basis_element(index).unwrap_or_default();
            let column: AB::Expr = column.into();
            value + AB::ExprEF::from(basis) * column
        })
    })
}
