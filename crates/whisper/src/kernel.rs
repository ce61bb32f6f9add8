//! Numeric kernels: int8 and f32 matrix products, and the element-wise operations between them.
//!
//! `rten-simd` compiles loops over slices for each instruction set and selects one at run time, so
//! one binary uses AVX-512, AVX2 or NEON where available. `taonet-amx` computes the products where
//! the CPU has AMX, and `taonet-avx512` those of int8 and of the encoder's attention where it has
//! AVX-512 VNNI.
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and columns whose bounds are set at load.
#![allow(clippy::inline_always)] // Required: the function that enables the instructions must contain the body.

use rten_simd::{Isa, SimdOp};

mod attention;
mod elementwise;
mod float;
mod linear;
mod panels;

pub(crate) use attention::Attention;
pub(crate) use elementwise::{
    accumulate, add, dot_heads, exp_and_sum, gelu, layer_norm, log_sum_exp, max, median, softmax,
};
pub(crate) use float::FloatLinear;
pub(crate) use linear::{Epilogue, Extension, Gemm, Linear, Quantized, Scratch, quantize_weights};
pub(crate) use panels::{PANEL, Panels, panel_product};

#[cfg(test)]
mod tests;

/// Runs a closure compiled for the best instruction set of this CPU.
#[inline(always)]
fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    struct ClosureOp<F>(F);
    impl<R, F: FnOnce() -> R> SimdOp for ClosureOp<F> {
        type Output = R;

        #[inline(always)]
        fn eval<I: Isa>(self, _: I) -> R {
            (self.0)()
        }
    }
    ClosureOp(work).dispatch()
}
