//! The pallets of the embedded development chain, native code without wasm.
//!
//! Pallets, calls, storage, events and errors carry the names, indices and encodings of the real chain (spec version
//! 461), so that tools which read metadata work unchanged. What is served, what is missing and what differs on purpose
//! is checked against the recorded metadata of the real chain by this crate's tests.
//!
//! - [`runtime`] puts the pallets together, [`extensions`] are what a signed call carries, [`runtime::apis`] what clients ask.
//! - [`subtensor`] is the pallet of subnets, [`swap`] their pools, [`admin_utils`] the knobs, [`commitments`] neurons'
//!   statements.
//! - [`info`] answers clients' questions.
//! - [`genesis`] is the first block's state.

// The framework's macros index, and name things, as they like.
#![allow(clippy::indexing_slicing, clippy::used_underscore_binding)]

pub mod admin_utils;
pub mod commitments;
pub mod extensions;
mod fees;
pub mod genesis;
pub mod info;
pub mod runtime;
pub mod subtensor;
pub mod swap;
#[cfg(test)]
mod testing;
pub mod types;

pub use runtime::{
    AccountId, Balance, Block, BlockNumber, Executive, Hash, Header, Nonce, Runtime, RuntimeCall, RuntimeEvent,
    Signature, TxExtension, UncheckedExtrinsic, VERSION, api,
};
