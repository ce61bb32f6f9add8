//! Your own subnet: typed requests, a miner that serves them, and a validator that sends them and
//! sets weights.
//!
//! - A [`Protocol`] is a kind of request: a serde type that is the same on the wire as a Python
//!   class derived from `bt.Synapse`, so that miners and validators of the Python SDK (10.x) and of
//!   this crate understand each other.
//! - A [`Miner`] serves requests with functions of yours. It admits registered validators only, by
//!   default; callers with more stake are served first, from a bounded queue. It publishes its
//!   address on the chain, and completes the requests in flight at shutdown.
//! - A [`Validator`] queries miners in steps, keeps moving averages of their rewards on disk, by
//!   hotkey, and submits them as weights in each epoch. What it asks and how it rewards is your
//!   [`Challenge`].
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use serde::{Deserialize, Serialize};
//! use taonet_chain::Chain;
//! use taonet_kit::{
//!     BoxError, Caller, Challenge, Miner, MinerEntry, MinerSettings, Protocol, Reply, SynapseClass, SynapseError,
//!     Validator, ValidatorSettings,
//! };
//! use taonet_primitives::NetUid;
//! use taonet_service::Shutdown;
//! use taonet_wallet::Keypair;
//! use tokio::net::TcpListener;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Echo {
//!     text: String,
//!     answer: Option<String>,
//! }
//!
//! impl Protocol for Echo {
//!     fn class() -> SynapseClass {
//!         SynapseClass::new("Echo").hash(["text"]).required("text", "".into())
//!     }
//! }
//!
//! async fn echo(request: Echo, _: Caller) -> Result<Echo, SynapseError> {
//!     Ok(Echo { answer: Some(request.text.clone()), ..request })
//! }
//!
//! struct Parrots;
//!
//! impl Challenge for Parrots {
//!     type Request = Echo;
//!
//!     async fn request(&self, _: &[MinerEntry]) -> Result<Echo, BoxError> {
//!         Ok(Echo { text: "hello".to_owned(), answer: None })
//!     }
//!
//!     async fn rewards(&self, request: &Echo, replies: &[Reply<Echo>]) -> Result<Vec<f64>, BoxError> {
//!         let is_right = |reply: &Reply<Echo>| {
//!             reply.response.as_ref().is_ok_and(|response| response.answer.as_deref() == Some(request.text.as_str()))
//!         };
//!         Ok(replies.iter().map(|reply| f64::from(u8::from(is_right(reply)))).collect())
//!     }
//! }
//!
//! # async fn mine(keypair: Keypair, chain: Arc<dyn Chain>) -> Result<(), Box<dyn std::error::Error>> {
//! let shutdown = Shutdown::on_signals()?;
//! let miner = Miner::new(keypair, MinerSettings::new(NetUid(7))).serve(echo);
//! miner.run(TcpListener::bind("0.0.0.0:8091").await?, chain, &shutdown).await?;
//! # Ok(())
//! # }
//! # async fn validate(keypair: Keypair, chain: Arc<dyn Chain>) -> Result<(), Box<dyn std::error::Error>> {
//! # let shutdown = Shutdown::on_signals()?;
//! let settings = ValidatorSettings::new(NetUid(7));
//! let validator = Validator::open(Parrots, keypair, chain, Path::new("state"), settings, &shutdown).await?;
//! validator.run(&shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/summing-subnet` is a complete subnet, and docs/write-a-subnet.md explains it. The
//! parts can be used alone: [`query()`] sends a request without a validator, [`query_stream`] reads
//! a response as it arrives, such as the tokens of [`Miner::serve_stream`], [`Scores`] are the
//! averages, and [`ChainSync`] keeps the stakes and permits of a server's callers up to date.
//!
//! - **Requests are verified before they are parsed**, each is accepted once, and sizes, times and
//!   queues are bounded; `taonet-wire` does that.
//! - **Scores belong to hotkeys**: they survive restarts, uids that change or are replaced, and a
//!   subnet that grows or shrinks. A node that lags behind changes no score, and a restart adds no
//!   step.
//! - **Scores can be recomputed**: the rewards of the newest 1 000 steps are recorded with the hash
//!   of the request ([`RequestHash`]). [`Scores::explain`] shows how a score came about, and
//!   [`Scores::export`] moves scores and record to another machine.
//! - **Scores without steps are not submitted**: after downtime, a weight epoch waits for a step.
//! - **Faults of the validator are not those of the miners**: a step whose challenge fails or
//!   hangs, or whose request cannot be signed, changes no score. A miner that a step draws and that
//!   publishes no address gets the reward 0: otherwise it could keep its score by withdrawing the
//!   address.
//! - **Weights are signed once per epoch of the chain** by the weight ledger, within the limits of
//!   the chain: the minimum number of weights and the maximum weight. If the subnet hides weights,
//!   they are committed and revealed.
//!
//! By default, requests are signed by the dendrite scheme, which Python miners and validators of a
//! subnet use. [`RequestScheme::Btauth`] signs whole requests instead; the SDK 11, which has this
//! scheme, has no axon. The crate has no signer and no gateway in other processes, and no commands:
//! a subnet is a separate program. A [`Validator`] reads no streams: it rewards complete
//! responses.
//!
//! Uses `taonet-wire` (signed HTTP), `taonet-validator` (epoch loop, weights), `taonet-neuron`
//! (the neurons of the subnet and their addresses), `taonet-database` (scores), `taonet-chain`,
//! `taonet-http`, `taonet-service`, `taonet-wallet` and `taonet-primitives`. Used by
//! `taonet-summing-subnet` and `taonet-prompting-neurons`, by `tao prompting` and `tao subnets`, and
//! by `tao nineteen` and `tao proof` for the callers of their miners.

mod metrics;
mod miner;
mod protocol;
mod query;
mod request_hash;
mod request_scheme;
mod scores;
mod stream;
#[cfg(test)]
mod testing;
mod validator;

pub use metrics::describe_metrics;
pub use miner::{ChainSync, Miner, MinerError, MinerSettings};
pub use protocol::Protocol;
pub use query::{QueryError, QueryLimits, Reply, ReplyError, query};
pub use request_hash::{RequestHash, RequestHashError};
pub use request_scheme::RequestScheme;
pub use scores::{
    Averaging, CompletedStep, Explanation, ExportError, RecordedReward, RecordedStep, Scores,
    ScoresError, ScoresExport, StepResults,
};
pub use stream::{StreamError, TextReply, query_stream};
pub use taonet_chain::ChainError;
pub use taonet_database::DatabaseError;
pub use taonet_neuron::{AddressPolicy, MinerEntry, Neuron};
pub use taonet_validator::{
    EpochError, EpochReport, LedgerError, OpenError, ReadError, StateError,
    ValidatorSettings as EpochSettings, WeightsOutcome,
};
pub use taonet_wire::{
    CallError, Caller, Concurrency, Limits, Load, PeerError, Policy, Rate, RegistrationTable,
    ReplayLogError, SigningError, SynapseClass, SynapseError,
};
pub use validator::{
    BoxError, Challenge, Selection, StepError, StepReport, Validator, ValidatorError,
    ValidatorSettings,
};
