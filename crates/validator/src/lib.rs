//! The building blocks of a subnet's validator.
//!
//! | Part | Purpose |
//! |---|---|
//! | [`Validator`] | epoch loop: scores of the current round → weights, once per epoch, with its state on disk |
//! | [`WeightService`] | chain access of the epoch loop: in this process, or through signer and gateway |
//! | [`signer`] | process with the hotkey: signs texts of the subnet's protocols, requests weight submissions |
//! | [`subtensor_gateway`] | sole submitter of Babelbit's processes: reads the chain, submits through the weight ledger |
//! | [`api`] | HTTP messages between validator, signer and gateway |
//! | `policy` | decision of an epoch: whether it is due, and which weights are submitted without scores |
//!
//! A subnet implements [`Subnet`] (scores of the current round, and the weights derived from them),
//! and with a signer passes a [`signer::SigningPolicy`] (which texts of its protocols are signed);
//! everything else is here:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use taonet_primitives::{Hotkey, Uid, Weights};
//! use taonet_validator::{Neurons, RoundScores, Subnet};
//!
//! /// Gives all weight to one hotkey.
//! struct Favourite(Hotkey);
//!
//! impl Subnet for Favourite {
//!     type Scores = Option<Uid>;
//!     type Error = Infallible;
//!
//!     async fn scores(&self, neurons: &Neurons, _is_late: bool) -> Result<RoundScores<Option<Uid>>, Infallible> {
//!         Ok(RoundScores { round: None, scores: neurons.uid_of(&self.0) })
//!     }
//!
//!     fn weights(&self, favourite: &Option<Uid>, burn_uid: Option<Uid>) -> Option<Weights> {
//!         favourite.or(burn_uid).map(|uid| Weights { uids: vec![uid], weights: vec![1.0] })
//!     }
//!
//!     fn unearned_reason(&self) -> &'static str {
//!         "the favourite is not registered"
//!     }
//!
//!     fn measure(&mut self, _: &Option<Uid>) {}
//! }
//! ```
//!
//! [`Validator::run`] then processes epochs until shutdown: its own ones, of 100 blocks for most
//! subnets. The chain evaluates weights once in each of its epochs, so that a submission after the
//! first one takes effect in the next one. After a crash, it resumes from its [`StateFile`], and an
//! epoch that is processed twice submits nothing twice: the weight ledger records what it signed.
//! While scores that the subnet requires are unavailable, the epoch is retried until its last
//! third; without scores, the previous weights are submitted again, unless they are too old. Signer
//! and gateway act with the validator's key, so outside of loopback addresses their callers must
//! present a token ([`operator_http`]).
//!
//! A validator that runs in one process needs neither: [`Validator::open`] opens one that submits
//! through [`LocalWeights`], with typed outcomes, and with the end of the epoch as its only
//! deadline. The gateway serves the same [`LocalWeights`] over HTTP. The HTTP interfaces are those
//! of the reference stack of Babelbit, so that each of the three processes can be replaced
//! independently. The crate computes no scores and contains nothing specific to a subnet.
//!
//! Uses `taonet-ledger` (weights: intent first, signed once), `taonet-neuron` (the subnet's
//! neurons), `taonet-chain`, `taonet-wallet`, `taonet-http`, `taonet-service` and
//! `taonet-primitives`. Used by `taonet-babelbit-validator`, `taonet-nineteen-control`,
//! `taonet-proof-validator` and `taonet-kit`; by `taonet-babelbit-runner`,
//! `taonet-babelbit-scoring-api` and `taonet-babelbit-arena` for the client of the subtensor
//! gateway; and by `taonet-babelbit-config` for default settings. With the feature `testing`,
//! `testing` starts an in-process development chain.

pub mod api;
pub mod operator_http;
mod policy;
pub mod signer;
mod subnet;
pub mod subtensor_gateway;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod validator;
mod weight_service;

pub use subnet::{RoundScores, Subnet};
pub use taonet_ledger::LedgerError;
pub use taonet_neuron::Neurons;
pub use validator::{
    EpochError, EpochReport, StateError, StateFile, Validator, ValidatorSettings, describe_metrics,
};
pub use weight_service::{
    HttpWeights, LocalWeights, OpenError, ReadError, WeightService, WeightsOutcome,
};
