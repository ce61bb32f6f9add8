//! Yuma consensus: converts the weights that validators set on neurons into rewards.
//!
//! Once per tempo, the chain runs an epoch of each mechanism of a subnet. Weights that exceed the
//! stake-weighted median of the active validators are clipped to it (`kappa` sets the required
//! majority), so that a minority cannot reward its own miners. Miners earn incentive in proportion
//! to the clipped weights; validators earn dividends in proportion to their bonds with these
//! miners; bonds are a moving average of the weights, in which the bonds penalty reduces the part
//! above the median. This crate computes one epoch, bit for bit as the chain does, in its 32.32
//! fixed point.
//!
//! - [`run`] computes an epoch from an [`EpochInput`] and returns an [`EpochOutput`]; its
//!   documentation has an example. Matrices are sparse, as on the chain; [`run_dense`] follows the
//!   chain's dense path.
//! - [`Epoch`] has every intermediate result with its symbol in the literature, such as C for the
//!   consensus, for inspection by `tao yuma`.
//! - [`Case`] is a named input as a JSON document. [`EpochInput::carry_over`] applies an output to
//!   the next epoch's input.
//! - [`Median`] is the weighted median, [`I32F32`] the fixed-point number with the chain's [`exp`]
//!   and [`sigmoid`], [`vector`] the chain's normalisations.
//! - [`classic`] is Bittensor's original formulation in floating point, as an introduction.
//!
//! ```
//! use taonet_consensus::{I32F32, vector};
//!
//! let shares = vector::normalize(&[I32F32::from_int(1), I32F32::from_int(3)]);
//! assert_eq!(shares.iter().map(|share| share.to_f64()).collect::<Vec<_>>(), [0.25, 0.75]);
//! ```
//!
//! Inputs are checked before they are used; a malformed input is an [`InputError`], never a panic.
//! All functions are pure: no clock, no randomness, no I/O. The crate does not schedule epochs,
//! does not distribute emission to stakers, and does not store bonds: `taonet-localnet-runtime`
//! does.
//!
//! Uses `taonet-primitives` (uids). Used by `taonet-localnet-runtime` at every epoch, by
//! `taonet-python`, and by `tao yuma`.

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
