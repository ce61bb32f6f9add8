//! What a subnet's validator is made of.
//!
//! | Part | What it does |
//! |---|---|
//! | [`Validator`] | the epoch loop: scores of the current round → weights, once an epoch, with its state on disk |
//! | [`signer`] | the process that holds the hotkey: signs texts of the subnet's protocols, has weights submitted |
//! | [`subtensor_gateway`] | the one owner of submissions: reads the chain, submits through the weight ledger, confirms |
//! | [`api`] | what the three say to each other |
//! | [`policy`] | when an epoch is due, and what is submitted without scores |
//!
//! A subnet implements [`Subnet`] (scores of the current round, and the weights that follow from them) and
//! [`signer::SigningPolicy`] (which texts of its protocols are signed); everything else is here. The HTTP interfaces are
//! those of the reference stack of Babelbit, so that each of the three processes can be exchanged alone.
//!
//! Uses `taonet-ledger` (weights: intent first, signed once), `taonet-chain`, `taonet-http` and `taonet-service`. Each
//! subnet's validator uses it. With the feature `testing`, [`testing`] starts a development chain in the process.

pub mod api;
pub mod operator_http;
pub mod policy;
pub mod signer;
mod subnet;
pub mod subtensor_gateway;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod validator;

pub use subnet::{Neurons, RoundScores, Subnet};
pub use validator::{
    EpochError, EpochReport, Services, StateError, StateFile, Validator, ValidatorSettings, describe_metrics,
};
