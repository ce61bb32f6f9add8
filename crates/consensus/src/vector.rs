//! Operations on vectors with one number per neuron.

use crate::fixed::I32F32;

/// Divides numbers by their sum; returns them unchanged when the sum is zero.
pub fn normalize(numbers: &[I32F32]) -> Vec<I32F32> {
    let sum: I32F32 = numbers.iter().sum();
    if sum == I32F32::ZERO {
        numbers.to_vec()
    } else {
        numbers.iter().map(|&number| number / sum).collect()
    }
}

/// Marks the `k` largest numbers. Among equal numbers, higher indices are preferred.
pub fn is_topk<T: Ord>(numbers: &[T], k: usize) -> Vec<bool> {
    let mut ascending: Vec<usize> = (0..numbers.len()).collect();
    ascending.sort_by_key(|&index| numbers.get(index));
    let mut is_top = vec![true; numbers.len()];
    for index in ascending.into_iter().take(numbers.len().saturating_sub(k)) {
        if let Some(flag) = is_top.get_mut(index) {
            *flag = false;
        }
    }
    is_top
}

/// Marks the `k` largest numbers, but no zeros: a neuron without stake gets no permit, even if
/// fewer than `k` have one.
pub(crate) fn is_topk_nonzero(numbers: &[I32F32], k: usize) -> Vec<bool> {
    is_topk(numbers, k)
        .into_iter()
        .zip(numbers)
        .map(|(top, &number)| top && number != I32F32::ZERO)
        .collect()
}

/// Scales non-negative numbers so that the largest becomes 65535, and rounds to nearest.
///
/// A vector of zeros stays zero. If the largest number exceeds 32768, its product with 65535 would
/// overflow, so the factor 65535 / max is computed first. The factor is truncated to 32 fraction
/// bits; exact halves are therefore rounded down.
pub fn max_upscale_to_u16(numbers: &[I32F32]) -> Vec<u16> {
    let full = I32F32::from_int(u16::MAX.into());
    let largest = numbers.iter().copied().max().unwrap_or(I32F32::ZERO);
    let scaled = numbers.iter().map(|&number| {
        if largest > I32F32::from_int(32_768) {
            number * (full / largest)
        } else {
            number * full / largest
        }
    });
    scaled.map(I32F32::round_to_u16).collect()
}

/// Converts a submitted weight vector to the chain's storage format: scaled so that the largest
/// weight is 65535.
pub fn max_upscale_weights(weights: &[u16]) -> Vec<u16> {
    let numbers: Vec<I32F32> =
        weights.iter().map(|&weight| I32F32::from_int(weight.into())).collect();
    max_upscale_to_u16(&numbers)
}

/// Whether every weight's share of the total is at most `limit` / 65535.
pub fn is_max_limited(weights: &[u16], limit: u16) -> bool {
    let numbers: Vec<I32F32> =
        weights.iter().map(|&weight| I32F32::from_int(weight.into())).collect();
    let limit = I32F32::from_proportion(limit);
    normalize(&numbers).into_iter().all(|share| share <= limit)
}
