//! Yuma consensus: converts the weights that validators set on neurons into rewards.
//!
//! [`run`] computes one epoch of one mechanism from an [`EpochInput`], bit for bit as the chain does; [`Epoch`] has
//! every intermediate result, for inspection. [`classic`] is Bittensor's original formulation in floating point, for
//! learning.
//!
//! All functions are pure: no clock, no randomness, no I/O.
//!
//! Uses `taonet-primitives` (units). Used by the embedded chain's runtime at every epoch, and by `tao yuma`.

pub mod classic;
mod epoch;
mod fixed;
mod input;
mod matrix;
mod median;
mod output;
pub mod vector;

pub use epoch::{Epoch, run, run_dense};
pub use fixed::{I32F32, exp, sigmoid};
pub use input::{Case, EpochInput, InputError, Row};
pub use matrix::{Dense, Matrix, Sparse};
pub use median::{Median, Vote};
pub use output::EpochOutput;
