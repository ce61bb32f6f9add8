//! Value columns of the products of polynomials: the coefficients, and the values at the
//! challenges.

use p3_field::{
    BasedVectorSpace as _, Field as _, PrimeCharacteristicRing as _, PrimeField32 as _,
};
use p3_matrix::Matrix as _;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::super::air::{
    EXTENSION_DEGREE, KERNEL_FIXED, KERNEL_WIDTH, POLYNOMIAL_FIXED, POLYNOMIAL_WIDTH, Table,
};
use super::super::config::{Challenge, Val};
use super::super::plan::{Input, Kernel, PolynomialPlan, PolynomialProduct};
use super::super::projection::{COEFFICIENTS_PER_ROW, Powers, RowPowers, WEIGHTS_PER_ROW};

/// Returns the columns that are committed first. Inputs and operands are in memory, outputs follow
/// from them.
pub(super) fn fill_coefficients(
    plan: &PolynomialPlan,
    fixed: &RowMajorMatrix<Val>,
    operands: Option<&RowMajorMatrix<Val>>,
    memory: &[i64],
) -> Vec<RowMajorMatrix<Val>> {
    let mut values = Val::zero_vec(fixed.height() * COEFFICIENTS_PER_ROW);
    let mut weights = operands.map(|fixed| Val::zero_vec(fixed.height() * COEFFICIENTS_PER_ROW));
    for product in &plan.products {
        let inputs = product.inputs.iter().map(|input| {
            let coefficients = read(fixed, input.row, input.length, memory);
            write(&mut values, input.row, &coefficients);
            let weights = match (&input.kernel, operands, &mut weights) {
                (Kernel::Operand(row), Some(fixed), Some(values)) => {
                    let mut weights = read(fixed, *row, product.outputs.len(), memory);
                    write(values, *row, &weights);
                    weights.reverse();
                    weights
                }
                _ => Vec::new(),
            };
            (input, coefficients, weights)
        });
        let inputs: Vec<(&Input, Vec<i64>, Vec<i64>)> = inputs.collect();
        let outputs = 0..product.outputs.len();
        let outputs: Vec<Vec<i64>> = outputs
            .into_par_iter()
            .map(|output| output_coefficients(product, output, &inputs))
            .collect();
        for (&row, coefficients) in product.outputs.iter().zip(&outputs) {
            write(&mut values, row, coefficients);
        }
    }
    std::iter::once(values)
        .chain(weights)
        .map(|values| RowMajorMatrix::new(values, COEFFICIENTS_PER_ROW))
        .collect()
}

/// Returns coefficients by power, from the addresses at the beginning of the rows from `row` on.
fn read(fixed: &RowMajorMatrix<Val>, row: usize, length: usize, memory: &[i64]) -> Vec<i64> {
    let rows = length.div_ceil(COEFFICIENTS_PER_ROW);
    let rows = fixed.values[row * fixed.width..][..rows * fixed.width].chunks(fixed.width);
    let addresses = rows.rev().flat_map(|row| row[..COEFFICIENTS_PER_ROW].iter().rev());
    addresses.take(length).map(|address| memory[address.as_canonical_u32() as usize]).collect()
}

/// Returns the coefficients of an output by power: the sum of all inputs, each times its kernel.
fn output_coefficients(
    product: &PolynomialProduct,
    output: usize,
    inputs: &[(&Input, Vec<i64>, Vec<i64>)],
) -> Vec<i64> {
    let mut sum = vec![0; product.length];
    let mut add = |power: usize, weight: i64, coefficients: &[i64]| {
        for (sum, coefficient) in sum[power..].iter_mut().zip(coefficients) {
            *sum += weight * coefficient;
        }
    };
    for (input, coefficients, weights) in inputs {
        match &input.kernel {
            Kernel::Taps(taps) => {
                for tap in taps {
                    add(tap.power, i64::from(tap.weights[output]), coefficients);
                }
            }
            Kernel::Operand(_) => add(0, weights[output], coefficients),
        }
    }
    sum
}

/// Writes coefficients, given by power, to the rows from `row` on. The highest power comes first.
fn write(values: &mut [Val], row: usize, coefficients: &[i64]) {
    let rows = coefficients.len().div_ceil(COEFFICIENTS_PER_ROW);
    let columns =
        values[row * COEFFICIENTS_PER_ROW..][..rows * COEFFICIENTS_PER_ROW].iter_mut().rev();
    for (column, &coefficient) in columns.zip(coefficients) {
        *column = Val::from_i64(coefficient);
    }
}

/// Returns the value columns of the tables of polynomials, kernels and operands.
pub(in super::super) fn evaluate(
    plan: &PolynomialPlan,
    tables: &[Table],
    coefficients: &[RowMajorMatrix<Val>],
    powers: &Powers,
) -> Vec<RowMajorMatrix<Val>> {
    let fixed: Vec<&RowMajorMatrix<Val>> =
        tables.iter().filter_map(|table| table.fixed.as_deref()).collect();
    let ([polynomials, kernels, operands @ ..], [coefficients, weights @ ..]) =
        (&fixed[..], coefficients)
    else {
        return Vec::new();
    };
    let mut factors =
        vec![Challenge::ZERO; plan.products.iter().map(|product| product.inputs.len()).sum()];
    let kernels = evaluate_kernels(kernels, powers, &mut factors);
    let operands = operands.iter().zip(weights);
    let operands: Vec<_> = operands
        .map(|(fixed, weights)| evaluate_operands(fixed, weights, powers, &mut factors))
        .collect();
    let polynomials = evaluate_polynomials(polynomials, coefficients, powers, &factors);
    [polynomials, kernels].into_iter().chain(operands).collect()
}

/// Returns the value columns of the kernels table, and sets the value of each kernel.
fn evaluate_kernels(
    fixed: &RowMajorMatrix<Val>,
    powers: &Powers,
    factors: &mut [Challenge],
) -> RowMajorMatrix<Val> {
    let mut values = Vec::with_capacity(fixed.height() * KERNEL_WIDTH);
    let (mut tap, mut value) = (Challenge::ZERO, Challenge::ZERO);
    for row in fixed.values.chunks(fixed.width) {
        push_values(&mut values, [tap, value]);
        if row[WEIGHTS_PER_ROW + 1].is_one() {
            value = Challenge::ZERO;
        }
        tap = horner(tap, &powers.channel, &row[..WEIGHTS_PER_ROW]);
        if row[WEIGHTS_PER_ROW].is_zero() {
            let gap = row[KERNEL_FIXED..].iter().zip(&powers.gaps).find(|(gap, _)| gap.is_one());
            value = gap.map_or(Challenge::ZERO, |(_, &power)| (value + tap) * power);
            tap = Challenge::ZERO;
        }
    }
    // The first row follows the last one.
    let mut first = Vec::with_capacity(KERNEL_WIDTH);
    push_values(&mut first, [tap, value]);
    values[..KERNEL_WIDTH].copy_from_slice(&first);
    for (row, values) in fixed.values.chunks(fixed.width).zip(values.chunks(KERNEL_WIDTH)) {
        if row[WEIGHTS_PER_ROW + 1].is_one() {
            let value =
                Challenge::from_basis_coefficients_fn(|index| values[EXTENSION_DEGREE + index]);
            factors[row[WEIGHTS_PER_ROW + 2].as_canonical_u32() as usize] = value;
        }
    }
    RowMajorMatrix::new(values, KERNEL_WIDTH)
}

/// Returns the value columns of the operands table, and sets the value of each kernel.
fn evaluate_operands(
    fixed: &RowMajorMatrix<Val>,
    weights: &RowMajorMatrix<Val>,
    powers: &Powers,
    factors: &mut [Challenge],
) -> RowMajorMatrix<Val> {
    let mut values = Vec::with_capacity(fixed.height() * EXTENSION_DEGREE);
    let mut value = Challenge::ZERO;
    for (row, weights) in
        fixed.values.chunks(fixed.width).zip(weights.values.chunks(COEFFICIENTS_PER_ROW))
    {
        push_values(&mut values, [value]);
        let before = if row[2 * COEFFICIENTS_PER_ROW].is_one() { Challenge::ZERO } else { value };
        value = horner(before, &powers.operand, weights);
    }
    // The first row follows the last one.
    values[..EXTENSION_DEGREE].copy_from_slice(value.as_basis_coefficients_slice());
    for (row, values) in fixed.values.chunks(fixed.width).zip(values.chunks(EXTENSION_DEGREE)) {
        if row[2 * COEFFICIENTS_PER_ROW + 1].is_one() {
            let value = Challenge::from_basis_coefficients_fn(|index| values[index]);
            factors[row[2 * COEFFICIENTS_PER_ROW + 2].as_canonical_u32() as usize] = value;
        }
    }
    RowMajorMatrix::new(values, EXTENSION_DEGREE)
}

fn evaluate_polynomials(
    fixed: &RowMajorMatrix<Val>,
    coefficients: &RowMajorMatrix<Val>,
    powers: &Powers,
    factors: &[Challenge],
) -> RowMajorMatrix<Val> {
    let mut values = Vec::with_capacity(fixed.height() * POLYNOMIAL_WIDTH);
    let (mut value, mut balance) = (Challenge::ZERO, Challenge::ZERO);
    for (row, coefficients) in
        fixed.values.chunks(POLYNOMIAL_FIXED).zip(coefficients.values.chunks(COEFFICIENTS_PER_ROW))
    {
        let [carry, is_output, is_input, _, kernel] =
            std::array::from_fn(|flag| row[2 * COEFFICIENTS_PER_ROW + flag]);
        let factor = if is_input.is_one() {
            factors[kernel.as_canonical_u32() as usize]
        } else {
            Challenge::ZERO
        };
        push_values(&mut values, [value, factor, balance]);
        let after = horner(value, &powers.position, coefficients);
        if is_output.is_one() {
            balance = balance * powers.y + after;
        }
        balance -= factor * after;
        value = if carry.is_one() { after } else { Challenge::ZERO };
    }
    RowMajorMatrix::new(values, POLYNOMIAL_WIDTH)
}

/// Returns the value of a polynomial after further coefficients, given its value before them.
fn horner<const N: usize>(
    before: Challenge,
    powers: &RowPowers<N>,
    coefficients: &[Val],
) -> Challenge {
    let terms = coefficients.iter().rev().zip(&powers.coefficients);
    terms.fold(before * powers.before, |sum, (&coefficient, &power)| sum + power * coefficient)
}

/// Appends the columns of values in the extension field.
fn push_values<const N: usize>(columns: &mut Vec<Val>, values: [Challenge; N]) {
    for value in &values {
        columns.extend_from_slice(value.as_basis_coefficients_slice());
    }
}
