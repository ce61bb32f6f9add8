//! Proof of inference: models, circuits and messages, independent of the proof system. Pure: no clock, no I/O, no
//! randomness.
//!
//! A model owner's ONNX file is read into a floating-point network ([`onnx`], [`float`]), quantised with sample inputs
//! into an integer network ([`quantise`], [`network`]), and lowered to stages over memory cells ([`circuit`]). The
//! executor of that circuit is the single source of truth: the miner's witness, the constraints of every backend and
//! the tests are compared with it, and it computes the same integers on every machine.
//!
//! - [`shape`](Shape), [`range`](Range), [`rescale`](Rescale): extents, intervals, and the one rounding rule;
//! - [`metadata`]: the files of a circuit directory with their hashes; its own hash is the circuit's identity;
//! - [`Binding`]: the nonce, miner, circuit and key that bind a proof to one request;
//! - [`slices`]: slices of a model that is too large for one circuit;
//! - [`messages`], [`query`]: wire messages between validator and miner;
//! - [`scoring`]: weights from verification results.
//!
//! Uses `taonet-primitives`. Used by the crates of the subnet that prove and verify.

mod binding;
pub mod circuit;
mod digest;
pub mod float;
pub mod messages;
pub mod metadata;
pub mod network;
pub mod onnx;
pub mod quantise;
pub mod query;
mod range;
mod rescale;
pub mod scoring;
mod shape;
pub mod slices;

pub use binding::Binding;
pub use circuit::ExecutionError;
pub use digest::{Digest, DigestError};
pub use range::Range;
pub use rescale::{Clamp, MAX_BITS, MAX_SHIFT, Rescale};
pub use shape::{MAX_ELEMENTS, MAX_EXTENT, Shape, ShapeError, Window};
