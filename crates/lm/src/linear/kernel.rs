//! Products of a few rows with a matrix, limited by the memory bandwidth for reading the matrix.
//!
//! The matrix is read once for two rows of the input, in several places at a time: the CPU reads
//! ahead in each of them.

#![allow(
    clippy::indexing_slicing,
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "`multiply` checks the lengths"
)]

use std::array;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Number of places in which the matrix is read at a time.
const PARALLEL_READS: usize = 4;
/// Number of partial sums of [`dot`].
const LANES: usize = 8;
/// Minimum number of weights per thread; below it, waking a thread takes longer than the product.
const MIN_WEIGHTS_PER_THREAD: usize = 1 << 16;

/// Returns whether values are one or more rows of `width` values.
fn is_rows(values: &[f32], width: usize) -> bool {
    !values.is_empty() && values.len().is_multiple_of(width)
}

/// Multiplies each row of `input` with each of the `outputs` rows of `weights`, both of `width`
/// values. Returns a row of products for each row of the input, or `None` if the lengths do not
/// match.
pub(super) fn multiply(
    weights: &[f32],
    input: &[f32],
    width: usize,
    outputs: usize,
) -> Option<Vec<f32>> {
    if !is_rows(weights, width) || !is_rows(input, width) || weights.len() / width != outputs {
        return None;
    }
    let rows = input.len() / width;
    // The products of one output for all rows of the input stand together: each thread has outputs
    // of its own.
    let mut products = vec![0.0; rows * outputs];
    let threads = rayon::current_num_threads().min(weights.len() / MIN_WEIGHTS_PER_THREAD).max(1);
    let outputs_per_thread = outputs.div_ceil(threads);
    let arch = Arch::new();
    if threads == 1 {
        arch.dispatch(ThreadShare { weights, input, width, products: &mut products });
    } else {
        let work = products
            .par_chunks_mut(outputs_per_thread * rows)
            .zip(weights.par_chunks(outputs_per_thread * width));
        work.for_each(|(products, weights)| {
            arch.dispatch(ThreadShare { weights, input, width, products });
        });
    }
    if rows == 1 {
        return Some(products);
    }
    let mut row_major_products = Vec::with_capacity(products.len());
    for row in 0..rows {
        row_major_products.extend(products.iter().skip(row).step_by(rows));
    }
    Some(row_major_products)
}

/// One thread's share of a product.
struct ThreadShare<'a> {
    weights: &'a [f32],
    input: &'a [f32],
    width: usize,
    products: &'a mut [f32],
}

// Everything is inlined into `with_simd`, which is compiled for each instruction set. Closures may
// not be inlined, so none computes with vectors.
impl WithSimd for ThreadShare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let outputs = self.weights.len() / self.width;
        let read_stride = outputs / PARALLEL_READS;
        for first in 0..read_stride {
            self.compute_outputs::<S, PARALLEL_READS>(
                simd,
                array::from_fn(|index| index * read_stride + first),
            );
        }
        for last in PARALLEL_READS * read_stride..outputs {
            self.compute_outputs(simd, [last]);
        }
    }
}

impl ThreadShare<'_> {
    /// Computes these outputs for all rows of the input.
    #[inline(always)]
    fn compute_outputs<S: Simd, const N: usize>(&mut self, simd: S, outputs: [usize; N]) {
        let width = self.width;
        let rows = self.input.len() / width;
        let weights = outputs.map(|output| &self.weights[output * width..][..width]);
        let pairs = self.input.chunks_exact(2 * width);
        let last_row = pairs.remainder();
        for (pair, row) in pairs.zip((0..).step_by(2)) {
            let (one, other) = pair.split_at(width);
            for (output, dots) in outputs.into_iter().zip(dots(simd, weights, [one, other])) {
                self.products[output * rows + row..][..2].copy_from_slice(&dots);
            }
        }
        if !last_row.is_empty() {
            for (output, [dot]) in outputs.into_iter().zip(dots(simd, weights, [last_row])) {
                self.products[output * rows + rows - 1] = dot;
            }
        }
    }
}

/// Computes the dot products of rows of weights with rows of the input, all of the same length.
#[inline(always)]
fn dots<S: Simd, const N: usize, const M: usize>(
    simd: S,
    weights: [&[f32]; N],
    input: [&[f32]; M],
) -> [[f32; M]; N] {
    let (mut sums, mut dots) = ([[simd.splat_f32s(0.0); M]; N], [[0.0; M]; N]);
    let (weights, input) = (weights.map(S::as_simd_f32s), input.map(S::as_simd_f32s));
    let length = input[0].0.len();
    let (ends, input_ends) = (weights.map(|(_, end)| end), input.map(|(_, end)| end));
    let (weights, input) =
        (weights.map(|(row, _)| &row[..length]), input.map(|(row, _)| &row[..length]));
    for column in 0..length {
        for n in 0..N {
            for m in 0..M {
                sums[n][m] = simd.mul_add_e_f32s(weights[n][column], input[m][column], sums[n][m]);
            }
        }
    }
    for n in 0..N {
        for m in 0..M {
            dots[n][m] = simd.reduce_sum_f32s(sums[n][m]) + dot(ends[n], input_ends[m]);
        }
    }
    dots
}

/// Computes the dot product of two slices of the same length.
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let ((ones, one_tail), (others, other_tail)) =
        (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (one, other) in ones.iter().zip(others) {
        for (sum, (one, other)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += one * other;
        }
    }
    let end: f32 = one_tail.iter().zip(other_tail).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + end
}
