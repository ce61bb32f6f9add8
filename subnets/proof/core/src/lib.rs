//! Proof of inference: models, circuits and messages, independent of the proof system. Pure: no
//! clock, no I/O, no randomness.
//!
//! A model owner's ONNX file is read into a floating-point network ([`float`]) by
//! `taonet-proof-onnx`, quantised with sample inputs into an integer network ([`quantise`],
//! [`network`]), and lowered to stages over memory cells ([`circuit`]). The executor of that
//! circuit defines its results: provers take the witness from it, tests compare every backend with
//! it, and it computes the same integers on every machine.
//!
//! - [`shape`](Shape), [`range`](Range), [`rescale`](Rescale): extents, intervals, and the one
//!   rounding rule;
//! - [`metadata`]: the files of a circuit directory with their hashes; the hash of the metadata is
//!   the circuit's identity;
//! - [`Binding`]: the nonce, miner, circuit and key that bind a proof to one request;
//! - [`slices`]: slices of a model that is too large for one circuit;
//! - [`saturation`]: values beyond the range of the sample;
//! - [`messages`], [`query`]: wire messages between validator and miner; [`handshake`]:
//!   authentication over QUIC;
//! - [`scoring`]: weights from verification results.
//!
//! The integer network's arithmetic is exact: lowering computes the interval of every value, and
//! refuses a network in which a value could overflow. It also refuses a network whose memory or
//! work is out of proportion to its file ([`MemoryBudget`]), before it allocates anything. Values
//! beyond an activation's range saturate and never wrap. Files and messages are untrusted: their
//! sizes are limited, and an unsupported feature is an error that names its location. The crate
//! creates no keys and no proofs, which `taonet-proof-backends` does, and reads no files.
//!
//! Uses `taonet-primitives`. Used by every crate of the subnet: `taonet-proof-onnx-file`,
//! `taonet-proof-onnx`, `taonet-proof-backends`, `taonet-proof-circuits`, `taonet-proof-lm`,
//! `taonet-proof-store`, `taonet-proof-miner`, `taonet-proof-validator`, `taonet-proof-dashboard`
//! and `taonet-proof-api`, and by `tao proof`.

mod binding;
pub mod circuit;
mod digest;
pub mod float;
pub mod handshake;
mod memory;
pub mod messages;
pub mod metadata;
pub mod network;
pub mod quantise;
pub mod query;
mod range;
mod rescale;
pub mod saturation;
pub mod scoring;
mod shape;
pub mod slices;

pub use binding::Binding;
pub use circuit::ExecutionError;
pub use digest::{Digest, DigestError};
pub use memory::{MemoryBudget, MemoryError};
pub use range::Range;
pub use rescale::{Clamp, MAX_BITS, MAX_SHIFT, Rescale};
pub use shape::{MAX_ELEMENTS, MAX_EXTENT, Shape, ShapeError, Window};
