//! A typed client of a Subtensor node.

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod block;
mod call;
pub mod calls;
mod chain;
mod client;
mod error;
mod event;
mod extrinsic;
mod hash;
mod hyperparameters;
mod json;
pub mod metagraph;
mod network;
mod nonce;
mod outcome;
mod refusal;
mod rpc;
mod runtime;
mod schedule;
mod share;
mod stake;
mod subnet;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod vectors;

pub use block::{At, Block};
pub use call::Call;
pub use chain::{Chain, Follow, Until};
pub use client::Client;
pub use error::{ChainError, TransportError};
pub use event::{Event, Phase};
pub use extrinsic::{DEFAULT_ERA_BLOCKS, DryRun, Era, SignOptions, SignedExtrinsic};
pub use hyperparameters::{Hyperparameter, Hyperparameters};
pub use json::JsonError;
pub use metagraph::{Axon, Detail, Metagraph, Neuron, WeightRow};
pub use network::{Network, NetworkError, NodeUrl};
pub use nonce::NonceLease;
pub use outcome::{DispatchError, Inclusion, Outcome, UnknownBecause};
pub use refusal::RefusedBecause;
pub use schedule::{CommitReveal, Schedule, WeightRules};
pub use share::{Share, ShareError};
pub use stake::{Balance, Delegate, Stake};
pub use subnet::{Price, SimulatedSwap, Subnet, SubnetIdentity};
