//! Matrix products with AVX-512 VNNI: exact products of int8, and products of f32 in 16-bit fixed
//! point.
//!
//! One instruction multiplies 64 pairs of int8, or 32 pairs of int16, and adds the products to 16
//! sums of 32 bits. The kernels keep the sums in registers, and read each panel of columns once for
//! up to 12 rows. All `unsafe` code is in the modules `kernel` (functions that are compiled for
//! these instructions) and `product` (their calls).
//!
//! Uses no other crate of the workspace. Used by `taonet-whisper`, which falls back to `rten-gemm`
//! where [`Vnni::detect`] returns `None`.
//!
//! # Example
//!
//! ```
//! use taonet_avx512::{Int8Matrix, Int8Rows, Vnni};
//!
//! // `None` on CPUs without AVX-512 VNNI.
//! if let Some(vnni) = Vnni::detect() {
//!     // Two outputs of three inputs; activations have the zero point 128.
//!     let matrix = Int8Matrix::pack(vnni, &[1, 2, 3, -1, -2, -3], 3, 128);
//!     let mut rows = Int8Rows::default();
//!     rows.pack(&[129, 128, 128, 127, 129, 130], 3);
//!     let mut out = [0; 4];
//!     matrix.multiply(&rows, 0..2, &mut out);
//!     assert_eq!(out, [1, -1, 7, -7]);
//! }
//! ```
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and columns, whose bounds are checked at the entry.
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        unreachable_code,
        unused_unsafe,
        reason = "no values of `Vnni` exist on these platforms"
    )
)]

mod int16;
mod int8;
#[cfg(not(target_arch = "x86_64"))]
#[path = "absent.rs"]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod kernel;
mod product;
#[cfg(test)]
mod tests;

pub use int8::{Int8Matrix, Int8Rows};
pub use int16::{FixedMatrix, FixedRows};
pub use product::Vnni;
