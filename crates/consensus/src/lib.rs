//! Yuma consensus: how a subnet turns the weights that validators give to neurons into rewards.
//!
//! [`run`] computes one epoch of one mechanism from an [`EpochInput`], bit for bit as the chain does; [`Epoch`] keeps
//! every intermediate result for those who want to see why. [`classic`] is the formulation with which Bittensor began,
//! in plain floating point, to learn from.
//!
//! Everything here is a pure function: no clock, no randomness, no input or output.

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
