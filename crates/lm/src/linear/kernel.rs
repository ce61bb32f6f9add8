//! Products of a few rows with a matrix, limited by the memory bandwidth for reading the matrix.

use rayon::prelude::*;

/// Number of partial sums of a dot product: enough for the compiler to fill the registers of any CPU.
const LANES: usize = 32;
/// Number of partial sums for the rest of a product, and for heads of attention.
const FEW_LANES: usize = 8;
/// Minimum number of weights per thread; below it, waking a thread takes longer than the product.
const MIN_WORK: usize = 1 << 16;

/// Multiplies each row of `input` with each of the `outputs` rows of `weights`, both of `width` values. Returns a row
/// of products for each row of the input, or `None` if the lengths do not match.
pub(super) fn multiply(weights: &[f32], input: &[f32], width: usize, outputs: usize) -> Option<Vec<f32>> {
    if width == 0 || weights.len() != width * outputs || !input.len().is_multiple_of(width) {
        return None;
    }
    let rows = input.len() / width;
    // The products of one output for all rows of the input stand together: each thread has outputs of its own.
    let mut products = vec![0.0; rows * outputs];
    let threads = rayon::current_num_threads().min(weights.len() / MIN_WORK).max(1);
    let share = outputs.div_ceil(threads);
    let fill = |products: &mut [f32], weights: &[f32]| {
        for (products, weights) in products.chunks_exact_mut(rows).zip(weights.chunks_exact(width)) {
            for (product, input) in products.iter_mut().zip(input.chunks_exact(width)) {
                *product = dot(weights, input);
            }
        }
    };
    if threads == 1 {
        fill(&mut products, weights);
    } else {
        let work = products.par_chunks_mut(share * rows).zip(weights.par_chunks(share * width));
        work.for_each(|(products, weights)| fill(products, weights));
    }
    if rows == 1 {
        return Some(products);
    }
    let mut by_row = Vec::with_capacity(products.len());
    for row in 0..rows {
        by_row.extend(products.iter().skip(row).step_by(rows));
    }
    Some(by_row)
}

/// Computes the dot product of two slices of the same length.
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let wide = one.len() / LANES * LANES;
    let narrow = one.len() / FEW_LANES * FEW_LANES;
    let part = |from: usize, to: usize| one.get(from..to).zip(other.get(from..to)).unwrap_or_default();
    let (wide_sum, narrow_sum) = (sum::<LANES>(part(0, wide)), sum::<FEW_LANES>(part(wide, narrow)));
    wide_sum + narrow_sum + sum::<1>(part(narrow, one.len()))
}

/// Computes the dot product of two slices whose length is a multiple of `N`, in `N` partial sums.
fn sum<const N: usize>((one, other): (&[f32], &[f32])) -> f32 {
    let mut sums = [0.0_f32; N];
    for (one, other) in one.chunks_exact(N).zip(other.chunks_exact(N)) {
        for (sum, (one, other)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += one * other;
        }
    }
    sums.iter().sum()
}
