//! Proof of inference: models, circuits and messages, independent of the proof system. Pure: no clock, no I/O, no
//! randomness.
//!
//! A model owner's ONNX file is read into a floating-point network ([`onnx`], [`float`]), quantised with sample inputs
//! into an integer network ([`quantise`], [`network`]), and lowered to stages over memory cells ([`circuit`]). The
//! executor of that circuit is the single source of truth: the miner's witness, the constraints of every backend and
//! the tests are compared with it, and it computes the same integers on every machine.
//!
//! - [`shape`](Shape), [`range`](Range), [`rescale`](Rescale): extents, intervals, and the one rounding rule;
//! - [`metadata`]: what a circuit's directory holds, hash by hash; its own hash is the circuit's identity;
//! - [`Binding`]: what ties a proof to one request and one miner;
//! - [`slices`]: a model too large for one circuit, cut at layer borders;
//! - [`messages`], [`query`]: what validator and miner say to each other;
//! - [`scoring`]: how proofs become weights.
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
