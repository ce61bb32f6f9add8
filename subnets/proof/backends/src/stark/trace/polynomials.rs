//! Value columns of the products of polynomials: the coefficients, and the values at the challenges.

use p3_field::{BasedVectorSpace as _, Field as _, PrimeCharacteristicRing as _, PrimeField32 as _};
use p3_matrix::Matrix as _;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;

use super::super::air::{EXTENSION, KERNEL_FIXED, KERNEL_WIDTH, POLYNOMIAL_FIXED, POLYNOMIAL_WIDTH, Table};
use super::super::config::{Challenge, Val};
use super::super::plan::{Input, PolynomialPlan, PolynomialProduct};
use super::super::projection::{COEFFICIENTS, Powers, WEIGHTS};

/// Returns the coefficients of all polynomials. Those of the inputs are in memory, those of the outputs follow from them.
pub(super) fn coefficients(plan: &PolynomialPlan, fixed: &RowMajorMatrix<Val>, memory: &[i64]) -> RowMajorMatrix<Val> {
    let mut values = Val::zero_vec(fixed.height() * COEFFICIENTS);
    for product in &plan.products {
        let inputs: Vec<(&Input, Vec<i64>)> =
            product.inputs.iter().map(|input| (input, input_of(input, fixed, memory))).collect();
        for (input, coefficients) in &inputs {
            write(&mut values, input.row, coefficients);
        }
        let outputs = 0..product.outputs.len();
        let outputs: Vec<Vec<i64>> =
            outputs.into_par_iter().map(|output| output_of(product, output, &inputs)).collect();
        for (&row, coefficients) in product.outputs.iter().zip(&outputs) {
            write(&mut values, row, coefficients);
        }
    }
    RowMajorMatrix::new(values, COEFFICIENTS)
}

/// Returns the coefficients of an input by power.
fn input_of(input: &Input, fixed: &RowMajorMatrix<Val>, memory: &[i64]) -> Vec<i64> {
    let rows = input.length.div_ceil(COEFFICIENTS);
    let rows = fixed.values[input.row * POLYNOMIAL_FIXED..][..rows * POLYNOMIAL_FIXED].chunks(POLYNOMIAL_FIXED);
    let addresses = rows.rev().flat_map(|row| row[..COEFFICIENTS].iter().rev());
    addresses.take(input.length).map(|address| memory[address.as_canonical_u32() as usize]).collect()
}

/// Returns the coefficients of an output by power: the sum of all inputs, each times its kernel.
fn output_of(product: &PolynomialProduct, output: usize, inputs: &[(&Input, Vec<i64>)]) -> Vec<i64> {
    let mut sum = vec![0; product.length];
    for (input, coefficients) in inputs {
        for tap in &input.taps {
            let weight = i64::from(tap.weights[output]);
            for (sum, coefficient) in sum[tap.power..].iter_mut().zip(coefficients) {
                *sum += weight * coefficient;
            }
        }
    }
    sum
}

/// Writes coefficients, given by power, to the rows from `row` on. The highest power comes first.
fn write(values: &mut [Val], row: usize, coefficients: &[i64]) {
    let rows = coefficients.len().div_ceil(COEFFICIENTS);
    let columns = values[row * COEFFICIENTS..][..rows * COEFFICIENTS].iter_mut().rev();
    for (column, &coefficient) in columns.zip(coefficients) {
        *column = Val::from_i64(coefficient);
    }
}

/// Returns the value columns of the tables of polynomials and kernels.
pub(in super::super) fn evaluate(
    plan: &PolynomialPlan,
    tables: &[Table],
    coefficients: &RowMajorMatrix<Val>,
    powers: &Powers,
) -> Vec<RowMajorMatrix<Val>> {
    let fixed: Vec<&RowMajorMatrix<Val>> = tables.iter().filter_map(|table| table.fixed.as_deref()).collect();
    let [polynomials, kernels] = fixed[..] else { return Vec::new() };
    let count = plan.products.iter().map(|product| product.inputs.len()).sum();
    let (kernels, factors) = evaluate_kernels(kernels, powers, count);
    vec![evaluate_polynomials(polynomials, coefficients, powers, &factors), kernels]
}

/// Returns the value columns of the kernels table, and the value of each kernel.
fn evaluate_kernels(
    fixed: &RowMajorMatrix<Val>,
    powers: &Powers,
    count: usize,
) -> (RowMajorMatrix<Val>, Vec<Challenge>) {
    let mut values = Vec::with_capacity(fixed.height() * KERNEL_WIDTH);
    let mut factors = vec![Challenge::ZERO; count];
    let (mut tap, mut value) = (Challenge::ZERO, Challenge::ZERO);
    for row in fixed.values.chunks(fixed.width) {
        push(&mut values, [tap, value]);
        if row[WEIGHTS + 1].is_one() {
            value = Challenge::ZERO;
        }
        tap = horner(tap, &powers.channel, &row[..WEIGHTS]);
        if row[WEIGHTS].is_zero() {
            let gap = row[KERNEL_FIXED..].iter().zip(&powers.gaps).find(|(gap, _)| gap.is_one());
            value = gap.map_or(Challenge::ZERO, |(_, &power)| (value + tap) * power);
            tap = Challenge::ZERO;
        }
    }
    // The first row follows the last one.
    let mut first = Vec::with_capacity(KERNEL_WIDTH);
    push(&mut first, [tap, value]);
    values[..KERNEL_WIDTH].copy_from_slice(&first);
    for (row, values) in fixed.values.chunks(fixed.width).zip(values.chunks(KERNEL_WIDTH)) {
        if row[WEIGHTS + 1].is_one() {
            let value = Challenge::from_basis_coefficients_fn(|index| values[EXTENSION + index]);
            factors[row[WEIGHTS + 2].as_canonical_u32() as usize] = value;
        }
    }
    (RowMajorMatrix::new(values, KERNEL_WIDTH), factors)
}

fn evaluate_polynomials(
    fixed: &RowMajorMatrix<Val>,
    coefficients: &RowMajorMatrix<Val>,
    powers: &Powers,
    factors: &[Challenge],
) -> RowMajorMatrix<Val> {
    let y = powers.channel[1];
    let mut values = Vec::with_capacity(fixed.height() * POLYNOMIAL_WIDTH);
    let (mut value, mut balance) = (Challenge::ZERO, Challenge::ZERO);
    for (row, coefficients) in fixed.values.chunks(POLYNOMIAL_FIXED).zip(coefficients.values.chunks(COEFFICIENTS)) {
        let [carry, is_output, is_input, _, kernel] = std::array::from_fn(|flag| row[2 * COEFFICIENTS + flag]);
        let factor = if is_input.is_one() { factors[kernel.as_canonical_u32() as usize] } else { Challenge::ZERO };
        push(&mut values, [value, factor, balance]);
        let after = horner(value, &powers.position, coefficients);
        if is_output.is_one() {
            balance = balance * y + after;
        }
        balance -= factor * after;
        value = if carry.is_one() { after } else { Challenge::ZERO };
    }
    RowMajorMatrix::new(values, POLYNOMIAL_WIDTH)
}

/// Returns the value of a polynomial after further coefficients, given its value before them.
fn horner(before: Challenge, powers: &[Challenge], coefficients: &[Val]) -> Challenge {
    let terms = coefficients.iter().rev().zip(powers);
    terms.fold(before * powers[coefficients.len()], |sum, (&coefficient, &power)| sum + power * coefficient)
}

fn push<const N: usize>(columns: &mut Vec<Val>, values: [Challenge; N]) {
    for value in &values {
        columns.extend_from_slice(value.as_basis_coefficients_slice());
    }
}

/// Returns the columns of both matrices side by side.
pub(in super::super) fn joined(left: &RowMajorMatrix<Val>, right: &RowMajorMatrix<Val>) -> RowMajorMatrix<Val> {
    let width = left.width + right.width;
    let mut values = Vec::with_capacity(width * left.height());
    for (left, right) in left.values.chunks(left.width).zip(right.values.chunks(right.width)) {
        values.extend_from_slice(left);
        values.extend_from_slice(right);
    }
    RowMajorMatrix::new(values, width)
}
