#![allow(clippy::float_cmp)] // Exact results are expected where they are compared.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// Returns `None` on machines without AMX, with a notice that bypasses the test harness, which
/// captures the output of passing tests.
fn amx() -> Option<Amx> {
    let amx = Amx::detect();
    if amx.is_none() {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: this machine has no AMX");
    }
    amx
}

/// Generates reproducible bytes.
fn bytes(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn signed(values: &[u8]) -> Vec<i8> {
    values.iter().map(|value| value.cast_signed()).collect()
}

/// Multiplies as the matrix does, one product after another.
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

fn product(amx: Amx, rows: &[u8], weights: &[i8], inputs: usize, zero_point: u8) -> Vec<i32> {
    let matrix = Int8Matrix::pack(amx, weights, inputs, zero_point);
    let mut packed = Int8Rows::default();
    // Values left by an earlier product must not matter.
    packed.pack(&bytes(3 * 1_000, 99), 1_000);
    packed.pack(rows, inputs);
    let mut out = vec![7; rows.len() / inputs * matrix.outputs()];
    matrix.multiply(&packed, 0..matrix.outputs(), &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn int8_products_equal_a_triple_loop(
        rows in 0_usize..75, inputs in 1_usize..300, outputs in 0_usize..110, zero_point in any::<u8>(), seed in any::<u32>(),
    ) {
        if let Some(amx) = Amx::detect() {
            let (x, weights) = (bytes(rows * inputs, seed), signed(&bytes(outputs * inputs, !seed)));
            prop_assert_eq!(product(amx, &x, &weights, inputs, zero_point), expected(&x, &weights, inputs, zero_point));
        }
    }
}

/// Each of these values exceeds 16 bits in pairs of products, which other instructions add with
/// saturation.
#[test]
fn extreme_values_do_not_saturate() {
    let Some(amx) = amx() else { return };
    for (rows, inputs, outputs) in [(1, 64, 32), (5, 768, 70), (33, 5_120, 40)] {
        for (x, weight, zero_point) in
            [(255, -128, 0), (255, 127, 0), (0, -128, 128), (255, -127, 128), (0, 127, 255)]
        {
            let (x, weights) = (vec![x; rows * inputs], vec![weight; outputs * inputs]);
            assert_eq!(
                product(amx, &x, &weights, inputs, zero_point),
                expected(&x, &weights, inputs, zero_point)
            );
        }
    }
    let (x, weights) = (vec![255; 1 << 16], vec![-128; 1 << 16]);
    assert_eq!(product(amx, &x, &weights, 1 << 16, 0), [-255 * 128 * (1 << 16)]);
}

#[test]
fn product_of_output_range_equals_columns_of_full_product() {
    let Some(amx) = amx() else { return };
    let (rows, inputs, outputs) = (70, 100, 200);
    let (x, weights) = (bytes(rows * inputs, 1), signed(&bytes(outputs * inputs, 2)));
    let all = expected(&x, &weights, inputs, 128);
    let matrix = Int8Matrix::pack(amx, &weights, inputs, 128);
    let mut packed = Int8Rows::default();
    packed.pack(&x, inputs);
    for range in [0..200, 0..32, 64..64, 64..65, 32..100, 96..200, 192..200] {
        let mut out = vec![0; rows * range.len()];
        matrix.multiply(&packed, range.clone(), &mut out);
        for (row, all) in all.chunks(outputs).enumerate() {
            assert_eq!(
                out[row * range.len()..][..range.len()],
                all[range.clone()],
                "row {row} of {range:?}"
            );
        }
    }
}

/// Generates reproducible values in [-1, 1) times a scale.
fn floats(count: usize, seed: u32, scale: f32) -> Vec<f32> {
    let words = bytes(4 * count, seed);
    words
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| i32::from_ne_bytes(*word) as f32 / i32::MIN as f32 * scale)
        .collect()
}

/// Multiplies rows by columns, given as slices of `depth` values, with the matrix packed from its
/// columns or its rows.
fn float_product(
    amx: Amx,
    rows: &[f32],
    columns: &[f32],
    depth: usize,
    bias: &[f32],
    by_columns: bool,
) -> Vec<f32> {
    let (count, width) = (rows.len() / depth, columns.len() / depth);
    let (mut matrix, mut left_rows) = (FloatMatrix::new(amx), FloatRows::new(amx));
    // Values left by an earlier product must not matter, not even NaN in the padding.
    let old_values = vec![f32::NAN; 200 * 200];
    matrix.pack_columns(200, 200, |index| &old_values[index * 200..][..200]);
    left_rows.pack(200, 200, 1.0, |index| &old_values[index * 200..][..200]);
    left_rows.pack(count, depth, 2.0, |index| &rows[index * depth..][..depth]);
    if by_columns {
        matrix.pack_columns(depth, width, |index| &columns[index * depth..][..depth]);
    } else {
        let transposed: Vec<f32> =
            (0..depth * width).map(|i| columns[i % width * depth + i / width]).collect();
        matrix.pack_rows(depth, width, |index| &transposed[index * width..][..width]);
    }
    matrix.set_bias(bias);
    let stride = width + 5;
    let mut out = vec![7.0; count * stride];
    matrix.multiply(&left_rows, &mut out, stride);
    out.chunks(stride).flat_map(|row| &row[..width]).copied().collect()
}

/// Compares with f64: 2^-24 of the sum of the absolute products for the omitted products of parts,
/// and for each rounding of a sum. An instruction rounds a pair of partial sums 16 times, adds them
/// to each other and then to the result.
fn check_float_product(
    amx: Amx,
    count: usize,
    depth: usize,
    width: usize,
    scales: [f32; 2],
    seed: u32,
) {
    let (rows, columns) =
        (floats(count * depth, seed, scales[0]), floats(width * depth, !seed, scales[1]));
    let bias = floats(width, seed ^ 5, scales[0] * scales[1]);
    let by_columns = float_product(amx, &rows, &columns, depth, &bias, true);
    let by_rows = float_product(amx, &rows, &columns, depth, &bias, false);
    assert!(by_columns == by_rows, "pack_columns and pack_rows yield different matrices");
    let mut out = by_columns.iter();
    for row in rows.chunks(depth) {
        for (column, bias) in columns.chunks(depth).zip(&bias) {
            let products = row.iter().zip(column).map(|(a, b)| 2.0 * f64::from(*a) * f64::from(*b));
            let (sum, size) = products
                .fold((0.0, 0.0), |(sum, size), product| (sum + product, size + product.abs()));
            let (exact, size) = (sum + f64::from(*bias), size + f64::from(bias.abs()));
            let roundings = 17 + 6 * depth.div_ceil(32);
            // The sizes of the parts add up to slightly more than the size of their value.
            let bound = 1.02 * size * (1 + roundings) as f64 / f64::from(1 << 24);
            let actual = f64::from(*out.next().unwrap());
            assert!(
                (actual - exact).abs() <= bound,
                "{count} {depth} {width}: {actual} {exact}, bound {bound}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn float_products_match_f64_within_the_error_bound(
        count in 0_usize..75, depth in 1_usize..150, width in 0_usize..110,
        scales in prop::array::uniform2(-20_i32..20),
        seed in any::<u32>(),
    ) {
        if let Some(amx) = Amx::detect() {
            check_float_product(amx, count, depth, width, scales.map(|scale| 2_f32.powi(scale)), seed);
        }
    }
}

/// The parts of a value are exact, so that a product with a 1 and zeros is the value itself.
#[test]
fn product_with_the_identity_is_exact() {
    let Some(amx) = amx() else { return };
    let (count, depth) = (40, 70);
    let identity: Vec<f32> =
        (0..depth * depth).map(|i| f32::from(u8::from(i % (depth + 1) == 0))).collect();
    let mut values = floats(count * depth, 6, 1.0);
    // Ties in the first rounding (down, up), a tie in the second, all mantissa bits set; then large
    // and small magnitudes.
    let ties = [0x3f80_8000, 0x3f81_8000, 0x3f80_4040, 0x3fff_ffff].map(f32::from_bits);
    for (value, special) in
        values.iter_mut().zip(ties.into_iter().chain([1e-30, 1e30, -1e-30, -1e30]))
    {
        *value = special;
    }
    let doubled: Vec<f32> = values.iter().map(|value| 2.0 * value).collect();
    for by_columns in [true, false] {
        let rows = float_product(amx, &values, &identity, depth, &vec![0.0; depth], by_columns);
        assert!(rows == doubled, "left-hand values, by columns: {by_columns}");
        let columns = float_product(amx, &identity, &values, depth, &vec![0.0; count], by_columns);
        for (row, columns) in columns.chunks(count).enumerate() {
            let expected = doubled.iter().skip(row).step_by(depth);
            assert!(
                columns.iter().eq(expected),
                "right-hand values in row {row}, by columns: {by_columns}"
            );
        }
    }
}

/// The bound is for the worst case. Rounding errors of both signs mostly cancel out.
#[test]
fn typical_errors_are_far_below_the_error_bound() {
    let Some(amx) = amx() else { return };
    let (count, depth, width) = (64, 64, 200);
    let (rows, columns) = (floats(count * depth, 1, 1.0), floats(width * depth, 2, 1.0));
    let out = float_product(amx, &rows, &columns, depth, &vec![0.0; width], true);
    let (mut error, mut size) = (0.0, 0.0);
    for (row, out) in rows.chunks(depth).zip(out.chunks(width)) {
        for (column, actual) in columns.chunks(depth).zip(out) {
            let exact: f64 =
                row.iter().zip(column).map(|(a, b)| 2.0 * f64::from(*a) * f64::from(*b)).sum();
            error += (f64::from(*actual) - exact).powi(2);
            size += exact.powi(2);
        }
    }
    let relative = (error / size).sqrt();
    assert!(relative < 3e-7, "{relative}");
}

#[test]
fn rows_are_zero_padded_only_if_the_stride_has_room() {
    let Some(amx) = amx() else { return };
    let (count, depth, width) = (35, 40, 40);
    let (rows, columns) = (floats(count * depth, 3, 1.0), floats(width * depth, 4, 1.0));
    let (mut matrix, mut left_rows) = (FloatMatrix::new(amx), FloatRows::new(amx));
    matrix.pack_columns(depth, width, |index| &columns[index * depth..][..depth]);
    left_rows.pack(count, depth, 1.0, |index| &rows[index * depth..][..depth]);
    let product = |stride: usize| {
        let mut out = vec![7.0; count * stride];
        matrix.multiply(&left_rows, &mut out, stride);
        out
    };
    let (narrow, wide) = (product(width + 23), product(64));
    for (narrow, wide) in narrow.chunks(width + 23).zip(wide.chunks(64)) {
        assert_eq!(narrow[..width], wide[..width]);
        assert!(
            narrow[width..].iter().all(|value| *value == 7.0)
                && wide[width..].iter().all(|value| *value == 0.0)
        );
    }
}

/// The first tile instruction of a thread makes the kernel allocate the thread's state; interrupts
/// save and restore it.
#[test]
fn threads_multiply_concurrently() {
    let Some(amx) = amx() else { return };
    let (rows, inputs, outputs) = (40, 256, 96);
    let weights = signed(&bytes(outputs * inputs, 3));
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let weights = &weights;
            scope.spawn(move || {
                let x = bytes(rows * inputs, seed);
                let expected = expected(&x, weights, inputs, 128);
                for _ in 0..50 {
                    assert_eq!(product(amx, &x, weights, inputs, 128), expected);
                    std::thread::yield_now();
                }
            });
        }
    });
}

#[test]
#[should_panic(expected = "inputs of rows and matrix")]
fn mismatched_row_length_panics() {
    let Some(amx) = amx() else { panic!("NOT TESTED: inputs of rows and matrix") };
    let mut rows = Int8Rows::default();
    rows.pack(&[0; 64], 64);
    Int8Matrix::pack(amx, &[0; 65], 65, 0).multiply(&rows, 0..1, &mut [0]);
}

#[test]
#[should_panic(expected = "values for the result")]
fn short_output_buffer_panics() {
    let Some(amx) = amx() else { panic!("NOT TESTED: values for the result") };
    let mut rows = Int8Rows::default();
    rows.pack(&[0; 64], 64);
    Int8Matrix::pack(amx, &[0; 128], 64, 0).multiply(&rows, 0..2, &mut [0]);
}

#[test]
#[should_panic(expected = "columns of the matrix")]
fn output_range_beyond_the_matrix_panics() {
    let Some(amx) = amx() else { panic!("NOT TESTED: columns of the matrix") };
    let mut rows = Int8Rows::default();
    rows.pack(&[0; 64], 64);
    Int8Matrix::pack(amx, &[0; 128], 64, 0).multiply(&rows, 0..3, &mut [0; 3]);
}
