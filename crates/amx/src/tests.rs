use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// Returns `None` on machines without AMX, with a notice that bypasses the test harness, which captures the output of
/// passing tests.
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
fn expected(rows: &[u8], weights: &[i8], inputs: usize, zero: u8) -> Vec<i32> {
    let dot = |row: &[u8], weights: &[i8]| {
        row.iter().zip(weights).map(|(x, w)| (i32::from(*x) - i32::from(zero)) * i32::from(*w)).sum()
    };
    rows.chunks(inputs).flat_map(|row| weights.chunks(inputs).map(move |weights| dot(row, weights))).collect()
}

fn product(amx: Amx, rows: &[u8], weights: &[i8], inputs: usize, zero: u8) -> Vec<i32> {
    let matrix = Int8Matrix::pack(amx, weights, inputs, zero);
    let mut packed = Int8Rows::default();
    // What an earlier product left must not matter.
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
        rows in 0_usize..75, inputs in 1_usize..300, outputs in 0_usize..110, zero: u8, seed: u32,
    ) {
        if let Some(amx) = Amx::detect() {
            let (x, weights) = (bytes(rows * inputs, seed), signed(&bytes(outputs * inputs, !seed)));
            prop_assert_eq!(product(amx, &x, &weights, inputs, zero), expected(&x, &weights, inputs, zero));
        }
    }
}

/// Each of these values exceeds 16 bits in pairs of products, which other instructions add with saturation.
#[test]
fn extreme_values_do_not_saturate() {
    let Some(amx) = amx() else { return };
    for (rows, inputs, outputs) in [(1, 64, 32), (5, 768, 70), (33, 5_120, 40)] {
        for (x, weight, zero) in [(255, -128, 0), (255, 127, 0), (0, -128, 128), (255, -127, 128), (0, 127, 255)] {
            let (x, weights) = (vec![x; rows * inputs], vec![weight; outputs * inputs]);
            assert_eq!(product(amx, &x, &weights, inputs, zero), expected(&x, &weights, inputs, zero));
        }
    }
    let (x, weights) = (vec![255; 1 << 16], vec![-128; 1 << 16]);
    assert_eq!(product(amx, &x, &weights, 1 << 16, 0), [-255 * 128 * (1 << 16)]);
}

#[test]
fn a_range_of_outputs_equals_their_part_of_the_product() {
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
            assert_eq!(out[row * range.len()..][..range.len()], all[range.clone()], "row {row} of {range:?}");
        }
    }
}

/// The first tile instruction of a thread makes the kernel allocate the thread's state; interrupts save and restore it.
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
fn rows_of_another_length_are_refused() {
    let Some(amx) = amx() else { panic!("NOT TESTED: inputs of rows and matrix") };
    let mut rows = Int8Rows::default();
    rows.pack(&[0; 64], 64);
    Int8Matrix::pack(amx, &[0; 65], 65, 0).multiply(&rows, 0..1, &mut [0]);
}

#[test]
#[should_panic(expected = "values for the result")]
fn a_short_result_is_refused() {
    let Some(amx) = amx() else { panic!("NOT TESTED: values for the result") };
    let mut rows = Int8Rows::default();
    rows.pack(&[0; 64], 64);
    Int8Matrix::pack(amx, &[0; 128], 64, 0).multiply(&rows, 0..2, &mut [0]);
}

#[test]
#[should_panic(expected = "columns of the matrix")]
fn a_range_beyond_the_matrix_is_refused() {
    let Some(amx) = amx() else { panic!("NOT TESTED: columns of the matrix") };
    let mut rows = Int8Rows::default();
    rows.pack(&[0; 64], 64);
    Int8Matrix::pack(amx, &[0; 128], 64, 0).multiply(&rows, 0..3, &mut [0; 3]);
}
