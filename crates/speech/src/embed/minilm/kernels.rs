//! Kernels for the steps between matrix products, in place and in one pass over each row.
//!
//! candle's own operations would allocate a tensor and traverse memory once per step.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use candle_core::{CpuStorage, Error, InplaceOp1, InplaceOp2, Layout, Result};

/// Kernel that adds a bias per column.
#[derive(Debug)]
pub(super) struct AddBias(pub(super) Vec<f32>);

/// Kernel that adds a bias per column, then applies GELU.
#[derive(Debug)]
pub(super) struct AddBiasGelu(pub(super) Vec<f32>);

/// Kernel that adds a bias per column and a residual tensor, then applies layer norm to each row.
#[derive(Debug)]
pub(super) struct AddNorm {
    bias: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl AddNorm {
    pub(super) fn new(bias: Vec<f32>, (scale, shift): (Vec<f32>, Vec<f32>)) -> Self {
        Self { bias, scale, shift }
    }
}

impl InplaceOp1 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for row in mutable_values(storage, layout)?.chunks_exact_mut(self.0.len()) {
            for (x, bias) in row.iter_mut().zip(&self.0) {
                *x += bias;
            }
        }
        Ok(())
    }
}

impl InplaceOp1 for AddBiasGelu {
    fn name(&self) -> &'static str {
        "add-bias-gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for row in mutable_values(storage, layout)?.chunks_exact_mut(self.0.len()) {
            for (x, bias) in row.iter_mut().zip(&self.0) {
                *x = gelu(*x + bias);
            }
        }
        Ok(())
    }
}

impl InplaceOp2 for AddNorm {
    fn name(&self) -> &'static str {
        "add-norm"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> Result<()> {
        let width = self.bias.len();
        let other = values(other, other_layout)?;
        for (row, other) in
            mutable_values(storage, layout)?.chunks_exact_mut(width).zip(other.chunks_exact(width))
        {
            for ((x, y), bias) in row.iter_mut().zip(other).zip(&self.bias) {
                *x += y + bias;
            }
            let mean = sum(row, |x| x) / width as f32;
            let variance = sum(row, |x| (x - mean) * (x - mean)) / width as f32;
            let factor = 1.0 / (variance + EPSILON).sqrt();
            for ((x, scale), shift) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
                *x = (*x - mean) * factor * scale + shift;
            }
        }
        Ok(())
    }
}

/// Epsilon that keeps the norm of a constant row finite; from the model's configuration.
const EPSILON: f32 = 1e-12;

/// Sums in eight lanes: a strict left-to-right sum could not be vectorised.
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (lanes, remainder) = row.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for lane in lanes {
        for (sum, &x) in sums.iter_mut().zip(lane) {
            *sum += term(x);
        }
    }
    sums.iter().sum::<f32>() + remainder.iter().map(|&x| term(x)).sum::<f32>()
}

/// Computes GELU, `x · Φ(x)` with the normal distribution's cumulative function Φ, to about 1e-6.
///
/// erf is an odd rational function, fitted to a relative error of at most 2e-8 over the range where
/// 32-bit floats distinguish erf from 1. Without calls and branches, the compiler vectorises the
/// loop around this function.
fn gelu(x: f32) -> f32 {
    const LIMIT: f32 = 3.925;
    const NUMERATOR: [f32; 6] =
        [2.046_019_7e-6, 2.848_451e-4, 3.772_61e-3, 5.276_948_2e-2, 0.190_595_12, FRAC_2_SQRT_PI];
    const DENOMINATOR: [f32; 6] =
        [3.804_778e-5, 1.163_872_7e-3, 1.498_331_8e-2, 0.114_183_29, 0.502_243_3, 1.0];
    let z = (x * FRAC_1_SQRT_2).clamp(-LIMIT, LIMIT);
    let square = z * z;
    let polynomial =
        |coefficients: [f32; 6]| coefficients.into_iter().fold(0.0, |sum, c| sum * square + c);
    0.5 * x * (1.0 + z * polynomial(NUMERATOR) / polynomial(DENOMINATOR))
}

fn mutable_values<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => {
            values.get_mut(start..end).ok_or_else(layout_error)
        }
        _ => Err(layout_error()),
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => {
            values.get(start..end).ok_or_else(layout_error)
        }
        _ => Err(layout_error()),
    }
}

fn layout_error() -> Error {
    Error::Msg("the kernel requires contiguous 32-bit floats".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_close_to_the_exact_function() {
        // x, x · Φ(x)
        let cases = [
            (-30.0, 0.0),
            (-4.0, -0.000_126_684_9),
            (-1.0, -0.158_655_25),
            (-0.1, -0.046_017_216),
            (0.0, 0.0),
            (0.1, 0.053_982_783),
            (0.5, 0.345_731_23),
            (1.0, 0.841_344_8),
            (2.0, 1.954_499_7),
            (4.0, 3.999_873_4),
            (30.0, 30.0),
        ];
        for (x, expected) in cases {
            assert!(
                (gelu(x) - expected).abs() < 2e-6,
                "gelu({x}) = {}, expected {expected}",
                gelu(x)
            );
        }
    }

    #[test]
    fn sums_include_the_tail_after_full_lanes() {
        let row: Vec<f32> = (1..=19_u8).map(f32::from).collect();
        assert!((sum(&row, |x| x) - 190.0).abs() < 1e-6);
    }
}
