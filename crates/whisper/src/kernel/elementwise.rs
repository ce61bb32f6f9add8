//! Normalisation, softmax and activation.

use super::vectorized;

/// Lanes of independent partial sums, so that a reduction compiles to vector instructions.
const LANES: usize = 16;

/// Computes e^x for x ≤ 88 with a relative error below 2e-7. Below -87, returns e^-87, which is
/// about 2e-38.
///
/// Every CPU for which this module is vectorised has fused multiply-add.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer in the low bits
    let x = if x > -87.0 { x } else { -87.0 }; // A single instruction, unlike `max`, which handles NaN.
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    // ln 2 in two parts, so that the remainder is exact
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let p = 1.987_569_1e-4;
    let p = r.mul_add(p, 1.398_199_9e-3);
    let p = r.mul_add(p, 8.333_452e-3);
    let p = r.mul_add(p, 4.166_579_6e-2);
    let p = r.mul_add(p, 0.166_666_66);
    let p = r.mul_add(p, 0.5);
    let p = (r * r).mul_add(p, r) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(SHIFT.to_bits());
    f32::from_bits(p.to_bits().wrapping_add(exponent << 23))
}

/// Computes erf(x) with an absolute error below 1.5e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / a.mul_add(0.327_591_1, 1.0);
    let p = 1.061_405_4;
    let p = t.mul_add(p, -1.453_152);
    let p = t.mul_add(p, 1.421_413_8);
    let p = t.mul_add(p, -0.284_496_72);
    let p = t.mul_add(p, 0.254_829_6);
    (p * t).mul_add(-exp(-a * a), 1.0).copysign(x)
}

#[inline(always)]
fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, remainder) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(*value);
        }
    }
    lanes.iter().sum::<f32>() + remainder.iter().map(|value| term(*value)).sum::<f32>()
}

/// Returns the greater number with a single instruction, unlike [`f32::max`], which handles NaN.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
pub(super) fn max_of(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let Some(last) = values.last_chunk::<LANES>() else {
        return values.iter().fold(f32::NEG_INFINITY, |max, value| greater(max, term(*value)));
    };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    // The last chunk overlaps the one before it, which does not change the maximum.
    for (lane, value) in lanes.iter_mut().zip(last) {
        *lane = greater(*lane, term(*value));
    }
    for chunk in values.as_chunks::<LANES>().0 {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, term(*value));
        }
    }
    // In pairs: one lane after another would wait for 15 comparisons.
    let lanes: [f32; 8] = std::array::from_fn(|i| greater(lanes[i], lanes[i + 8]));
    let lanes: [f32; 4] = std::array::from_fn(|i| greater(lanes[i], lanes[i + 4]));
    greater(greater(lanes[0], lanes[1]), greater(lanes[2], lanes[3]))
}

/// Applies the Gaussian error linear unit in place: x · (1 + erf(x / √2)) / 2.
pub(crate) fn gelu(values: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || gelu_loop(values),
    );
}

#[inline(always)]
pub(super) fn gelu_loop(values: &mut [f32]) {
    for value in values {
        *value *= 0.5 * (1.0 + erf(*value * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// Adds element by element: `to[i] += from[i]`.
pub(crate) fn add(to: &mut [f32], from: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        },
    );
}

/// Normalises each row of `width` values (layer norm) with epsilon 1e-5.
pub(crate) fn layer_norm(from: &[f32], gamma: &[f32], beta: &[f32], to: &mut [f32]) {
    let width = gamma.len();
    vectorized(
        #[inline(always)]
        || {
            for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
                let mean = sum_of(from, |value| value) / width as f32;
                let variance = sum_of(from, |value| (value - mean) * (value - mean)) / width as f32;
                let scale = 1.0 / (variance + 1e-5).sqrt();
                for (((to, from), gamma), beta) in to.iter_mut().zip(from).zip(gamma).zip(beta) {
                    *to = (from - mean) * scale * gamma + beta;
                }
            }
        },
    );
}

/// Replaces each value with e^(value - max) and returns the sum of the results; 0 for an empty
/// slice.
pub(crate) fn exp_and_sum(values: &mut [f32]) -> f32 {
    vectorized(
        #[inline(always)]
        || {
            let max = max_of(values, |value| value);
            let mut lanes = [0.0f32; LANES];
            let (chunks, remainder) = values.as_chunks_mut::<LANES>();
            for chunk in chunks {
                for (lane, value) in lanes.iter_mut().zip(chunk) {
                    *value = exp(*value - max);
                    *lane += *value;
                }
            }
            for (lane, value) in lanes.iter_mut().zip(remainder) {
                *value = exp(*value - max);
                *lane += *value;
            }
            lanes.iter().sum()
        },
    )
}

/// Applies softmax in place.
pub(crate) fn softmax(values: &mut [f32]) {
    let sum = exp_and_sum(values);
    let scale = 1.0 / sum;
    vectorized(
        #[inline(always)]
        || {
            for value in values.iter_mut() {
                *value *= scale;
            }
        },
    );
}

/// Returns the maximum; -∞ for an empty slice.
pub(crate) fn max(values: &[f32]) -> f32 {
    vectorized(
        #[inline(always)]
        || max_of(values, |value| value),
    )
}

/// Returns ln Σ e^value and the maximum.
pub(crate) fn log_sum_exp(values: &[f32]) -> (f32, f32) {
    vectorized(
        #[inline(always)]
        || {
            let max = max_of(values, |value| value);
            if max == f32::NEG_INFINITY {
                return (max, max);
            }
            (sum_of(values, |value| exp(value - max)).ln() + max, max)
        },
    )
}

/// Computes dot products of each head of `width` values: `out[h · stride] = scale · Σ a[h · width +
/// i] · b[h · width + i]`.
pub(crate) fn dot_heads(
    a: &[f32],
    b: &[f32],
    width: usize,
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    vectorized(
        #[inline(always)]
        || {
            for (h, (a, b)) in a.chunks_exact(width).zip(b.chunks_exact(width)).enumerate() {
                let mut lanes = [0.0f32; LANES];
                for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
                    for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                        *lane = a.mul_add(*b, *lane);
                    }
                }
                out[h * stride] = lanes.iter().sum::<f32>() * scale;
            }
        },
    );
}

/// Adds scaled heads: `to[h · width + i] += factors[h · stride] · from[h · width + i]`.
pub(crate) fn accumulate(
    factors: &[f32],
    stride: usize,
    from: &[f32],
    width: usize,
    to: &mut [f32],
) {
    vectorized(
        #[inline(always)]
        || {
            for (h, (to, from)) in
                to.chunks_exact_mut(width).zip(from.chunks_exact(width)).enumerate()
            {
                let factor = factors[h * stride];
                for (to, from) in to.iter_mut().zip(from) {
                    *to = factor.mul_add(*from, *to);
                }
            }
        },
    );
}

/// Computes the running median over seven values; the ends are mirrored without repetition. Slices
/// shorter than four values are copied.
pub(crate) fn median(from: &[f32], to: &mut [f32]) {
    const WIDTH: usize = 7;
    const RANK: usize = WIDTH / 2;
    let count = from.len();
    if count <= RANK {
        to.copy_from_slice(from);
        return;
    }
    let padded: Vec<f32> = (0..count + 2 * RANK)
        .map(|position| {
            // `position` is shifted by RANK.
            let mirrored = position.abs_diff(RANK);
            from[if mirrored >= count { 2 * count - mirrored - 2 } else { mirrored }]
        })
        .collect();
    vectorized(
        #[inline(always)]
        || {
            for (j, to) in to.iter_mut().enumerate() {
                let mut w: [f32; WIDTH] = std::array::from_fn(|k| padded[j + k]);
                // A selection network for the median of seven values (Devillard).
                for (a, b) in MEDIAN_OF_SEVEN {
                    let (low, high) = (w[a].min(w[b]), w[a].max(w[b]));
                    (w[a], w[b]) = (low, high);
                }
                *to = w[RANK];
            }
        },
    );
}

const MEDIAN_OF_SEVEN: [(usize, usize); 13] = [
    (0, 5),
    (0, 3),
    (1, 6),
    (2, 4),
    (0, 1),
    (3, 5),
    (2, 6),
    (2, 3),
    (3, 6),
    (4, 5),
    (1, 4),
    (1, 3),
    (3, 4),
];

#[cfg(test)]
pub(super) fn erf_for_tests(x: f32) -> f32 {
    erf(x)
}
