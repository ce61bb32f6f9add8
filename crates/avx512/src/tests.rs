use std::io::Write as _;

use proptest::prelude::*;

use super::*;

/// Prints a notice if this machine lacks the instructions. It bypasses the test harness, which captures the output of
/// passing tests.
fn noticed<T>(proof: Option<T>) -> Option<T> {
    if proof.is_none() {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: this machine has no AVX-512 VNNI");
    }
    proof
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

/// Multiplies as an int8 matrix does, one product after another.
fn expected(rows: &[u8], weights: &[i8], inputs: usize, zero: u8) -> Vec<i32> {
    let dot = |row: &[u8], weights: &[i8]| {
        row.iter().zip(weights).map(|(x, w)| (i32::from(*x) - i32::from(zero)) * i32::from(*w)).sum()
    };
    rows.chunks(inputs).flat_map(|row| weights.chunks(inputs).map(move |weights| dot(row, weights))).collect()
}

fn product(vnni: Vnni, rows: &[u8], weights: &[i8], inputs: usize, zero: u8) -> Vec<i32> {
    let matrix = Int8Matrix::pack(vnni, weights, inputs, zero);
    let mut packed = Int8Rows::default();
    // Values left by an earlier product must not matter.
    packed.pack(&bytes(3 * 1_000, 99), 1_000);
    packed.pack(rows, inputs);
    let mut out = vec![7; rows.len() / inputs * matrix.outputs()];
    matrix.multiply(&packed, 0..matrix.outputs(), &mut out);
    out
}

/// Each of these values exceeds 16 bits in pairs of products, which other instructions add with saturation.
#[test]
fn extreme_values_do_not_saturate() {
    let Some(vnni) = noticed(Vnni::detect()) else { return };
    for (rows, inputs, outputs) in [(1, 64, 32), (5, 768, 70), (33, 5_120, 40)] {
        for (x, weight, zero) in [(255, -128, 0), (255, 127, 0), (0, -128, 128), (255, -127, 128), (0, 127, 255)] {
            let (x, weights) = (vec![x; rows * inputs], vec![weight; outputs * inputs]);
            assert_eq!(product(vnni, &x, &weights, inputs, zero), expected(&x, &weights, inputs, zero));
        }
    }
    let (x, weights) = (vec![255; 1 << 16], vec![-128; 1 << 16]);
    assert_eq!(product(vnni, &x, &weights, 1 << 16, 0), [-255 * 128 * (1 << 16)]);
}

#[test]
fn ranges_of_outputs_are_the_columns_of_the_complete_product() {
    let Some(vnni) = noticed(Vnni::detect()) else { return };
    let (rows, inputs, outputs) = (17, 100, 150);
    let (x, weights) = (bytes(rows * inputs, 1), bytes(outputs * inputs, 2));
    let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
    let (matrix, mut packed) = (Int8Matrix::pack(vnni, &weights, inputs, 128), Int8Rows::default());
    packed.pack(&x, inputs);
    let complete = expected(&x, &weights, inputs, 128);
    for range in [0..0, 0..1, 0..150, 32..64, 64..150, 128..150, 96..129] {
        let mut out = vec![7; rows * range.len()];
        matrix.multiply(&packed, range.clone(), &mut out);
        let expected: Vec<i32> = complete.chunks(outputs).flat_map(|row| row[range.clone()].to_vec()).collect();
        assert_eq!(out, expected, "{range:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn int8_products_equal_a_triple_loop(
        rows in 0_usize..40, inputs in 1_usize..300, outputs in 0_usize..110, zero in any::<u8>(), seed in any::<u32>(),
    ) {
        if let Some(vnni) = Vnni::detect() {
            let (x, weights) = (bytes(rows * inputs, seed), bytes(outputs * inputs, !seed));
            let weights: Vec<i8> = weights.into_iter().map(u8::cast_signed).collect();
            prop_assert_eq!(product(vnni, &x, &weights, inputs, zero), expected(&x, &weights, inputs, zero));
        }
    }
}
