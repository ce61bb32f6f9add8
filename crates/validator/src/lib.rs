//! The building blocks of a subnet's validator.
//!
//! | Part | What it does |
//! |---|---|
//! | [`Validator`] | epoch loop: scores of the current round → weights, once per epoch, with its state on disk |
//! | [`signer`] | process with the hotkey: signs texts of the subnet's protocols, requests submissions of weights |
//! | [`subtensor_gateway`] | sole submitter: reads the chain, submits through the weight ledger, confirms |
//! | [`api`] | messages between the three |
//! | `policy` | when an epoch is due, and which weights are submitted without scores |
//!
//! A subnet implements [`Subnet`] (scores of the current round, and the weights derived from them) and
//! [`signer::SigningPolicy`] (which texts of its protocols are signed); everything else is here. The HTTP interfaces
//! are those of the reference stack of Babelbit, so that each of the three processes can be replaced alone.
//!
//! Uses `taonet-ledger` (weights: intent first, signed once), `taonet-chain`, `taonet-http` and `taonet-service`.
//! Used by each subnet's validator. With the feature `testing`, `testing` starts an in-process development chain.

pub mod api;
pub mod operator_http;
mod policy;
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
