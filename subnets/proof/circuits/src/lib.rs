//! Circuits on disk. A model owner's ONNX file is compiled to a directory of network, keys and metadata ([`compile`],
//! [`CircuitDirectory`]), more people contribute to its keys ([`contribute`]), and a proof is published as a
//! [`Bundle`], which anyone can verify offline. A model too large for one circuit is compiled in slices
//! ([`compile_slices`]), and its proofs form a [`SlicedBundle`].
//!
//! Every file has a maximum size and is checked against the metadata's hashes before it is parsed. [`ShippedModel`]
//! names the models of this repository.
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
