//! Runtime API results for subnets, neurons and stake: their layouts, and how they are read from
//! storage.
//!
//! Layouts are those of the real chain, field by field; [`apis`] declares the runtime APIs.

// The structs have the layouts of the real chain, flags included.
#![allow(clippy::struct_excessive_bools)]

pub mod apis;
pub mod basket;
pub mod delegate;
pub mod dynamic;
pub mod hyperparams;
pub mod metagraph;
pub mod neuron;
pub mod proxy;
pub mod stake;
pub mod state;
pub mod subnet;
pub mod swap;

mod columns;

use codec::Compact;

/// The constant pruning score that the chain returns, since it computes none.
const NO_PRUNING_SCORE: Compact<u16> = Compact(u16::MAX);

/// Encodes text in the layout of the API: each byte compact-encoded.
fn compact_text(bytes: &[u8]) -> Vec<Compact<u8>> {
    bytes.iter().copied().map(Compact).collect()
}

/// Wraps numbers for compact encoding.
fn compact<Number>(numbers: impl IntoIterator<Item = Number>) -> Vec<Compact<Number>> {
    numbers.into_iter().map(Compact).collect()
}
