//! Circuits on disk: a model owner's ONNX file becomes a directory of network, keys and metadata ([`compile`],
//! [`CircuitDirectory`]), further people contribute to its keys ([`contribute`]), and a proof travels as a [`Bundle`]
//! that anyone verifies offline with nothing but the bundle. A model too large for one circuit is compiled in slices
//! ([`compile_slices`]), and its proofs are a [`SlicedBundle`].
//!
//! Everything read from disk is checked against the metadata's hashes before it is parsed, and has a limit of size.
//! [`ShippedModel`] has the models of this repository.
//!
//! Uses `taonet-proof-core` and `taonet-proof-backends`. Used by the `tao proof` commands, the miner and the validator.

mod bundle;
mod catalogue;
mod compile;
mod directory;
mod error;
mod shipped;
mod sliced;

pub use bundle::{BUNDLE_VERSION, Bundle};
pub use catalogue::Catalogue;
pub use compile::{CompileOptions, Compiled, CompiledSlices, compile, compile_slices, contribute};
pub use directory::CircuitDirectory;
pub use error::CircuitError;
pub use shipped::ShippedModel;
pub use sliced::{ModelBundle, SlicedBundle};
