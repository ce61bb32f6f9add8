//! Matrix products with Intel AMX, the matrix unit of server processors since Sapphire Rapids.
//!
//! One core multiplies int8 an order of magnitude faster in tiles than in AVX-512 vectors. The
//! intrinsics are not stable, so the kernels are inline assembly. All `unsafe` code is in three
//! modules: `detect` (CPUID and a system call), `tiles` (the kernels) and `float` (calls of
//! functions that are compiled for AVX-512).
//!
//! Uses no other crate of the workspace. Used by `taonet-whisper`, which falls back to `rten-gemm`
//! where [`Amx::detect`] returns `None`, and by `taonet-babelbit-scorer`, which records the
//! instruction set of a score.
//!
//! # Example
//!
//! ```
//! use taonet_amx::{Amx, Int8Matrix, Int8Rows};
//!
//! // `None` on CPUs without AMX and on systems other than Linux.
//! if let Some(amx) = Amx::detect() {
//!     // Two outputs of three inputs; activations have the zero point 128.
//!     let matrix = Int8Matrix::pack(amx, &[1, 2, 3, -1, -2, -3], 3, 128);
//!     let mut rows = Int8Rows::default();
//!     rows.pack(&[129, 128, 128, 127, 129, 130], 3);
//!     let mut out = [0; 4];
//!     matrix.multiply(&rows, 0..2, &mut out);
//!     assert_eq!(out, [1, -1, 7, -7]);
//! }
//! ```
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and columns, whose bounds are checked at the entry.
#![cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    allow(
        dead_code,
        unreachable_code,
        unused_unsafe,
        reason = "no values of `Amx` exist on these platforms"
    )
)]

mod detect;
mod float;
mod int8;
mod tiles;

pub use detect::Amx;
pub use float::{FloatMatrix, FloatRows};
pub use int8::{Int8Matrix, Int8Rows};

#[cfg(test)]
mod tests;
