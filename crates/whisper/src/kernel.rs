//! Numeric kernels: int8 and f32 matrix products, and the element-wise work between them.
//!
//! Loops over slices are compiled for each instruction set and chosen at run time by `rten-simd`, so that one binary uses
//! AVX-512, AVX2 or NEON where they exist.
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and columns whose bounds are set at load.
#![allow(clippy::inline_always)] // Required: the body must be compiled inside the function that enables the instructions.

use rten_simd::{Isa, SimdOp};

mod attention;
mod elementwise;
mod linear;
mod panels;

pub(crate) use attention::Attention;
pub(crate) use elementwise::{
    accumulate, add, dot_heads, exp_sum_max, gelu, layer_norm, log_sum_exp, max, median, softmax,
};
pub(crate) use linear::{Epilogue, Gemm, Linear, Quantized, Scratch, quantize_weights};
pub(crate) use panels::{PANEL, Panels, panel_product};

#[cfg(test)]
mod tests;

/// Runs plain loops with the best instruction set of this machine.
#[inline(always)]
fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> SimdOp for Work<F> {
        type Output = R;

        #[inline(always)]
        fn eval<I: Isa>(self, _: I) -> R {
            (self.0)()
        }
    }
    Work(work).dispatch()
}
