use std::io::Write as _;

use proptest::prelude::*;

use super::int16::steps_per_unit;
use super::*;

/// Prints a notice if this machine lacks the instructions. It bypasses the test harness, which
/// captures the output of passing tests.
fn or_print_skipped<T>(proof: Option<T>) -> Option<T> {
    if proof.is_none() {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: this machine has no AVX-512 VNNI");
    }
    proof
}

/// Generates reproducible bytes.
fn bytes(count: usize, seed: u32) -> Vec<u8> {
    values(count, seed).into_iter().map(|value| (value * 128.0 + 128.0) as u8).collect()
}

/// Multiplies as an int8 matrix does, one product after another.
fn expected(rows: &[u8], weights: &[i8], inputs: usize, zero_point: u8) -> Vec<i32> {
    let dot = |row: &[u8], weights: &[i8]| {
        row.iter()
            .zip(weights)
            .map(|(x, w)| (i32::from(*x) - i32::from(zero_point)) * i32::from(*w))
            .sum()
    };
    rows.chunks(inputs)
        .flat_map(|row| weights.chunks(inputs).map(move |weights| dot(row, weights)))
        .collect()
}

fn int8_product(
    vnni: Vnni,
    rows: &[u8],
    weights: &[i8],
    inputs: usize,
    zero_point: u8,
) -> Vec<i32> {
    let matrix = Int8Matrix::pack(vnni, weights, inputs, zero_point);
    let mut packed = Int8Rows::default();
    // Values left by an earlier product must not matter.
    packed.pack(&bytes(3 * 1_000, 99), 1_000);
    packed.pack(rows, inputs);
    let mut out = vec![7; rows.len() / inputs * matrix.outputs()];
    matrix.multiply(&packed, 0..matrix.outputs(), &mut out);
    out
}

/// Each of these values exceeds 16 bits in pairs of products, which other instructions add with
/// saturation.
#[test]
fn extreme_values_do_not_saturate() {
    let Some(vnni) = or_print_skipped(Vnni::detect()) else { return };
    for (rows, inputs, outputs) in [(1, 64, 32), (5, 768, 70), (33, 5_120, 40)] {
        for (x, weight, zero_point) in
            [(255, -128, 0), (255, 127, 0), (0, -128, 128), (255, -127, 128), (0, 127, 255)]
        {
            let (x, weights) = (vec![x; rows * inputs], vec![weight; outputs * inputs]);
            assert_eq!(
                int8_product(vnni, &x, &weights, inputs, zero_point),
                expected(&x, &weights, inputs, zero_point)
            );
        }
    }
    let (x, weights) = (vec![255; 1 << 16], vec![-128; 1 << 16]);
    assert_eq!(int8_product(vnni, &x, &weights, 1 << 16, 0), [-255 * 128 * (1 << 16)]);
}

#[test]
fn product_of_output_range_equals_columns_of_full_product() {
    let Some(vnni) = or_print_skipped(Vnni::detect()) else { return };
    let (rows, inputs, outputs) = (17, 100, 150);
    let (x, weights) = (bytes(rows * inputs, 1), bytes(outputs * inputs, 2));
    let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
    let (matrix, mut packed) = (Int8Matrix::pack(vnni, &weights, inputs, 128), Int8Rows::default());
    packed.pack(&x, inputs);
    let complete = expected(&x, &weights, inputs, 128);
    for range in [0..0, 0..1, 0..150, 32..64, 64..150, 128..150, 96..129] {
        let mut out = vec![7; rows * range.len()];
        matrix.multiply(&packed, range.clone(), &mut out);
        let expected: Vec<i32> =
            complete.chunks(outputs).flat_map(|row| row[range.clone()].to_vec()).collect();
        assert_eq!(out, expected, "{range:?}");
    }
}

/// Generates reproducible values between -1 and 1.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Multiplies by a matrix packed from columns, and by the same matrix packed from rows.
fn fixed_products(
    vnni: Vnni,
    rows: &[f32],
    columns: &[f32],
    depth: usize,
    factor: f32,
) -> [Vec<f32>; 2] {
    let (count, width) = (rows.len() / depth, columns.len() / depth);
    let transposed: Vec<f32> =
        (0..depth).flat_map(|at| columns.iter().skip(at).step_by(depth).copied()).collect();
    let (mut matrix, mut packed) = (FixedMatrix::new(vnni), FixedRows::new(vnni));
    // Values left by an earlier product must not matter.
    matrix.pack_columns(70, 40, |_| &[f32::NAN; 70]);
    packed.pack(40, 70, 1.0, |_| &[f32::NAN; 70]);
    packed.pack(count, depth, factor, |row| &rows[row * depth..][..depth]);
    let stride = width + 3;
    let mut multiply = |pack: &dyn Fn(&mut FixedMatrix)| {
        pack(&mut matrix);
        let mut out = vec![7.0; count * stride];
        matrix.multiply(&packed, &mut out, stride);
        assert!(out.chunks(stride).all(|row| row[width..] == [7.0; 3]), "values between rows");
        out.chunks(stride).flat_map(|row| row[..width].to_vec()).collect()
    };
    [
        multiply(&|matrix| {
            matrix.pack_columns(depth, width, |column| &columns[column * depth..][..depth]);
        }),
        multiply(&|matrix| {
            matrix.pack_rows(depth, width, |row| &transposed[row * width..][..width]);
        }),
    ]
}

/// Returns the step of a row or column, and its values.
fn with_step(values: &[f32]) -> (f64, Vec<f64>) {
    let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    (
        (norm / 46_000.0)
            .max(values.iter().map(|value| value.abs()).fold(0.0, f64::max) / 32_767.0),
        values,
    )
}

/// Asserts that products differ from the exact ones by no more than the rounding of both factors:
/// six standard deviations of independent errors, each uniformly distributed over a step.
fn check_rounding(vnni: Vnni, left: &[f32], right: &[f32], depth: usize) {
    let rows: Vec<_> = left.chunks(depth).map(with_step).collect();
    let columns: Vec<_> = right.chunks(depth).map(with_step).collect();
    for product in fixed_products(vnni, left, right, depth, 0.5) {
        assert_eq!(product.len(), rows.len() * columns.len());
        let pairs = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (product, ((x_step, x), (y_step, y))) in product.iter().zip(pairs) {
            let exact: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
            let variance: f64 = x
                .iter()
                .zip(y)
                .map(|(x, y)| (x * y_step).powi(2) + (y * x_step).powi(2))
                .sum::<f64>()
                / 12.0;
            let maximum =
                6.0 * variance.sqrt() + depth as f64 * x_step * y_step / 4.0 + 1e-6 * exact.abs();
            assert!(
                (2.0 * f64::from(*product) - exact).abs() <= maximum,
                "2 · {product} instead of {exact}, ± {maximum}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn int8_products_equal_a_triple_loop(
        rows in 0_usize..40, inputs in 1_usize..300, outputs in 0_usize..110, zero_point in any::<u8>(), seed in any::<u32>(),
    ) {
        if let Some(vnni) = Vnni::detect() {
            let (x, weights) = (bytes(rows * inputs, seed), bytes(outputs * inputs, !seed));
            let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
            prop_assert_eq!(int8_product(vnni, &x, &weights, inputs, zero_point), expected(&x, &weights, inputs, zero_point));
        }
    }

    #[test]
    fn fixed_point_products_equal_triple_loop_up_to_rounding(
        rows in 0_usize..40, depth in 1_usize..150, columns in 1_usize..100, seed in any::<u32>(),
    ) {
        if let Some(vnni) = Vnni::detect() {
            check_rounding(vnni, &values(rows * depth, seed), &values(columns * depth, !seed), depth);
        }
    }
}

#[test]
fn attention_shaped_products_equal_triple_loop_up_to_rounding() {
    let Some(vnni) = or_print_skipped(Vnni::detect()) else { return };
    for (rows, depth, columns) in [(48, 64, 1_500), (13, 1_499, 64), (25, 3, 31), (1, 1, 1)] {
        check_rounding(vnni, &values(rows * depth, 1), &values(columns * depth, 2), depth);
    }
}

/// The norm of a quantised row is greatest where all values are rounded up.
#[test]
fn norm_of_rounded_values_does_not_overflow() {
    for depth in (1..1_000).chain(60_000..=1_u32 << 16) {
        // Exact: all partial sums are integers below 2^24.
        let squares = depth as f32;
        let steps = i64::from(steps_per_unit(squares, 1.0, depth as usize).round() as i32);
        let norm = i64::from(depth) * steps * steps;
        assert!(steps <= 32_767 && norm < 1 << 31, "{depth} values of {steps} steps");
    }
}

/// Sizes at which squares have few bits, underflow or overflow.
#[test]
fn sums_of_fixed_point_products_do_not_overflow() {
    let Some(vnni) = or_print_skipped(Vnni::detect()) else { return };
    for depth in [1, 2, 64, 1_500, 1 << 16] {
        for size in [1e-31_f32, 2.6e-23, 4.5e-23, 1e-15, 1.0, 1e15, 1e20] {
            let mut single = vec![0.0; depth];
            single[depth / 2] = -size;
            let mut spread = vec![size / 4.0; depth];
            spread[0] = size;
            let random = values(depth, 3).iter().map(|value| value * size).collect();
            for row in [vec![size; depth], single, spread, random] {
                let column: Vec<f32> = row.iter().map(|value| value / size).collect();
                let exact: f64 =
                    row.iter().zip(&column).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                for product in fixed_products(vnni, &row, &column, depth, 1.0) {
                    assert!(
                        (f64::from(product[0]) / exact - 1.0).abs() < 0.01,
                        "{} instead of {exact}",
                        product[0]
                    );
                }
            }
        }
    }
}

#[test]
fn zero_vectors_give_zero_and_non_finite_vectors_give_nan() {
    let Some(vnni) = or_print_skipped(Vnni::detect()) else { return };
    for (row, column) in
        [([0.0; 3], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.0; 3]), ([1e-33; 3], [1.0; 3])]
    {
        assert_eq!(fixed_products(vnni, &row, &column, 3, 1.0), [[0.0], [0.0]]);
    }
    for non_finite in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // Only products of the second row or column are NaN.
        for product in fixed_products(vnni, &[1.0, 2.0, 3.0, non_finite], &[5.0, 6.0], 2, 1.0) {
            assert!((product[0] - 17.0).abs() < 0.01 && product[1].is_nan(), "{product:?}");
        }
        for product in fixed_products(vnni, &[5.0, 6.0], &[1.0, 2.0, 3.0, non_finite], 2, 1.0) {
            assert!((product[0] - 17.0).abs() < 0.01 && product[1].is_nan(), "{product:?}");
        }
    }
}

#[test]
fn non_finite_value_affects_only_its_row_or_column() {
    const DEPTH: usize = 70;
    const COLUMNS: usize = 40;
    let Some(vnni) = or_print_skipped(Vnni::detect()) else { return };
    let check = |column: usize, position: usize, non_finite: f32| {
        let (rows, columns) = (vec![1.0; 2 * DEPTH], vec![1.0; COLUMNS * DEPTH]);
        let (mut bad_row, mut bad_column) = (rows.clone(), columns.clone());
        bad_row[DEPTH + position] = non_finite;
        bad_column[column * DEPTH + position] = non_finite;
        for products in fixed_products(vnni, &bad_row, &columns, DEPTH, 1.0) {
            let is_bad: Vec<bool> = products.iter().map(|product| product.is_nan()).collect();
            assert_eq!(
                is_bad,
                [vec![false; COLUMNS], vec![true; COLUMNS]].concat(),
                "{non_finite} at {position}"
            );
        }
        for products in fixed_products(vnni, &rows, &bad_column, DEPTH, 1.0) {
            let non_finite_indices: Vec<usize> =
                (0..products.len()).filter(|index| products[*index].is_nan()).collect();
            assert_eq!(
                non_finite_indices,
                [column, COLUMNS + column],
                "{non_finite} at {position}"
            );
        }
    };
    // Columns in a complete and an incomplete panel; positions in the differently packed parts of a
    // row.
    for column in [3, 35] {
        for position in [0, 31, 33, 63, 69] {
            for non_finite in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                check(column, position, non_finite);
            }
        }
    }
}

/// Calls a product with rows of `depth` values and space for `space` products.
fn multiply_fixed_point(vnni: Option<Vnni>, depth: usize, space: usize, stride: usize) {
    let Some(vnni) = or_print_skipped(vnni) else {
        panic!("depth of rows and matrix, is too short, is below the number of columns")
    };
    let (mut matrix, mut rows) = (FixedMatrix::new(vnni), FixedRows::new(vnni));
    matrix.pack_columns(2, 3, |_| &[1.0, 2.0]);
    rows.pack(2, depth, 1.0, |_| &[1.0, 2.0][..depth]);
    matrix.multiply(&rows, &mut vec![0.0; space], stride);
}

#[test]
#[should_panic(expected = "depth of rows and matrix")]
fn mismatched_depths_panic() {
    multiply_fixed_point(Vnni::detect(), 1, 6, 3);
}

#[test]
#[should_panic(expected = "is too short")]
fn short_output_buffer_panics() {
    multiply_fixed_point(Vnni::detect(), 2, 6, 4);
}

#[test]
#[should_panic(expected = "is below the number of columns")]
fn short_stride_panics() {
    multiply_fixed_point(Vnni::detect(), 2, 6, 2);
}
