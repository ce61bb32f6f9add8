//! Circuits on disk, and proofs as files.
//!
//! A [`CircuitDirectory`] holds everything that miners and validators need of one model: metadata,
//! integer network, keys and, after a trusted setup, its transcript. The metadata contains the hash
//! of every other file, and the hash of the metadata is the circuit's identity: two parties with
//! the same identity have the same circuit.
//!
//! - [`compile`] turns a model owner's ONNX file into a circuit: [`CircuitDirectory::create`]
//!   writes the result; [`ParsedModel`] does so for callers that need the networks, too;
//! - [`contribute`] adds another party's randomness to the keys of a trusted setup, and
//!   [`verify_contributions`] checks the contributions;
//! - [`CircuitDirectory::saturations`] names the tensors whose values are beyond the range of the
//!   sample; [`InputCheck`] refuses inputs with such values, or with values that have no proof, and
//!   [`saturated_rows`] counts the rows of the sample with such values;
//! - [`Bundle`] is a published proof, which anyone can verify offline; [`verify_all`] verifies many
//!   at once;
//! - [`Opening`] reveals the inputs that a bundle hides to whom its owner chooses;
//! - [`compile_slices`] compiles a model that is too large for one circuit; its proofs form a
//!   [`SlicedBundle`];
//! - [`solidity_contract`] exports the verification of a `groth16` circuit as a contract, and
//!   [`solidity_call`] a proof;
//! - [`StoredChecks`] remembers across processes which keys were compared with their networks;
//! - [`Catalogue`] opens all circuits and sliced models of a directory, and [`Backends`] adds
//!   external proof systems;
//! - [`ShippedModel`] names the models of this repository.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_primitives::Hotkey;
//! use taonet_proof_circuits::{Bundle, CircuitDirectory, CircuitError, ShippedModel};
//! use taonet_proof_core::Digest;
//!
//! # fn example(miner: Hotkey) -> Result<(), CircuitError> {
//! let compiled = ShippedModel::DiabetesRegression.compile("stark")?;
//! let directory = CircuitDirectory::create(Path::new("circuits/diabetes"), &compiled)?;
//! let inputs = vec![0; directory.circuit().inputs];
//! let bundle = Bundle::prove(&directory, &inputs, Digest::of(b"a nonce"), miner)?;
//! bundle.verify()?;
//! # Ok(())
//! # }
//! ```
//!
//! The proofs of slices are not combined into one by recursion: `p3-recursion` 0.1, the only
//! version on crates.io, is a placeholder, and its repository verifies proofs of Plonky3 0.6 with
//! Poseidon, where ours are of 0.8 with BLAKE3. [`verify_all`] verifies many proofs with one call
//! instead.
//!
//! Every file has a maximum size ([`read_user_file`] for those that a user passes), and the files
//! of a circuit are checked against the metadata's hashes before they are parsed. A circuit is only
//! opened if its metadata describes its network and its verification key follows from it, as far as
//! the backend can compare them. A new directory appears complete or not at all. A valid bundle
//! proves outputs of the circuit that it contains: to trust it, verify it with
//! [`ModelBundle::verify_for`] and an identity that you know. Compiling and proving are CPU-bound
//! and block. The crate downloads nothing; `taonet-proof-store` does.
//!
//! Uses `taonet-proof-core`, `taonet-proof-onnx`, `taonet-proof-backends` and `taonet-primitives`.
//! Used by `taonet-proof-miner`, `taonet-proof-validator`, `taonet-proof-api`,
//! `taonet-proof-store`, `taonet-proof-lm`, `taonet-proof-dashboard` and the `tao proof` commands.

mod backends;
mod batch;
mod bundle;
mod catalogue;
mod check;
mod compile;
mod directory;
mod error;
mod evm;
mod inputs;
mod opening;
mod shipped;
mod sliced;

pub use backends::Backends;
pub use batch::verify_all;
pub use bundle::{BUNDLE_VERSION, Bundle};
pub use catalogue::{Catalogue, SkippedEntry};
pub use check::StoredChecks;
pub use compile::{
    CompileOptions, Compiled, CompiledSlices, ParsedModel, compile, compile_slices, contribute,
    verify_contributions,
};
pub use directory::{CircuitDirectory, read_user_file};
pub use error::CircuitError;
pub use evm::{solidity_call, solidity_contract};
pub use inputs::{InputCheck, saturated_rows};
pub use opening::{OPENING_VERSION, Opening};
pub use shipped::ShippedModel;
pub use sliced::{ModelBundle, SlicedBundle, read_bundle};
pub use taonet_proof_onnx::ReadOptions;
