//! Cosines of all pairs of vectors. The kernel uses rows of equal length, so every index is within
//! the allocated matrices.
#![allow(clippy::indexing_slicing)]

use super::finite_or_zero;

/// Number of floats per SIMD vector.
const LANES: usize = 8;
/// Number of vectors per block; two blocks fit into the L1 cache.
const BLOCK: usize = 8;

/// A symmetric matrix of cosines in [-1, 1]; the diagonal is 0.
pub(super) struct Similarities {
    count: usize,
    cosines: Vec<f32>,
}

impl Similarities {
    pub(super) fn of(vectors: &[&[f32]]) -> Self {
        let count = vectors.len();
        let length = vectors.iter().map(|vector| vector.len()).max().unwrap_or(0);
        let stride = length.next_multiple_of(LANES);
        let mut units = vec![0.0_f32; count * stride];
        for (unit, vector) in units.chunks_exact_mut(stride.max(1)).zip(vectors) {
            if vector.len() == length {
                normalise(unit, vector);
            }
        }
        let mut cosines = vec![0.0_f32; count * count];
        for top in (0..count).step_by(BLOCK) {
            for left in (top..count).step_by(BLOCK) {
                for i in top..(top + BLOCK).min(count) {
                    for j in left.max(i + 1)..(left + BLOCK).min(count) {
                        let cosine =
                            dot(&units[i * stride..][..stride], &units[j * stride..][..stride]);
                        let cosine = cosine.clamp(-1.0, 1.0);
                        cosines[i * count + j] = cosine;
                        cosines[j * count + i] = cosine;
                    }
                }
            }
        }
        Self { count, cosines }
    }

    /// Returns the cosines of vector `i` to all vectors.
    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.cosines[i * self.count..][..self.count]
    }
}

fn normalise(unit: &mut [f32], vector: &[f32]) {
    for (unit, value) in unit.iter_mut().zip(vector) {
        *unit = finite_or_zero(*value);
    }
    let norm = dot(unit, unit).sqrt();
    if norm > 0.0 && norm.is_finite() {
        for value in unit.iter_mut() {
            *value /= norm;
        }
    } else {
        unit.fill(0.0);
    }
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    // Independent accumulators: a single one would serialise the additions.
    let mut sums = [[0.0_f32; LANES]; 2];
    let mut pairs = left.chunks_exact(2 * LANES).zip(right.chunks_exact(2 * LANES));
    for (left, right) in &mut pairs {
        for lane in 0..LANES {
            sums[0][lane] += left[lane] * right[lane];
            sums[1][lane] += left[LANES + lane] * right[LANES + lane];
        }
    }
    let tail_start = left.len() / (2 * LANES) * (2 * LANES);
    let tail: f32 =
        left[tail_start..].iter().zip(&right[tail_start..]).map(|(left, right)| left * right).sum();
    sums.iter().flatten().sum::<f32>() + tail
}
