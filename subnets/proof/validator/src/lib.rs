//! The validator of the proof-of-inference subnet: its additions to `taonet-validator`.
//!
//! - [`Examiner`] dispatches requests by each miner's measured capacity, verifies every proof, and
//!   diagnoses those that fail;
//! - [`Examiner::deliver`] serves a user's request: several miners prove the slices of a model in
//!   parallel, and failed slices are retried with other miners;
//! - no miner receives inputs whose values saturate or have no proof, which it would refuse;
//! - [`ScoreStore`] persists the scores: each outcome is in a journal on disk before it is applied;
//! - [`ProofSubnet`] implements [`Subnet`](taonet_validator::Subnet): weights from the score store,
//!   for the shared epoch loop;
//! - [`miner_directory`] selects the miners of the metagraph, and [`ProofMiner`] adds the protocol
//!   of requests to them.
//!
//! The examiner and the epoch loop run concurrently and share the score store:
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use taonet_proof_circuits::Catalogue;
//! use taonet_proof_core::scoring::Profile;
//! use taonet_proof_validator::{Examiner, ExaminerSettings, ProofMiner, ProofSubnet, ScoreStore};
//! use taonet_service::{Shutdown, sleeper, system_clock};
//! use taonet_validator::{StateFile, Validator, ValidatorSettings, WeightService};
//! use taonet_wire::SignedClient;
//! use tokio::sync::watch;
//!
//! # async fn example(
//! #     catalogue: Catalogue, client: SignedClient, miners: watch::Receiver<Vec<ProofMiner>>, shutdown: Shutdown,
//! #     service: WeightService, epochs: ValidatorSettings, state: StateFile,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let score_store = Arc::new(ScoreStore::open(Path::new("scores")).await?);
//! let settings = ExaminerSettings::default();
//! let scores = Arc::clone(&score_store);
//! let examiner = Examiner::load(&catalogue, client, scores, settings, system_clock())?;
//! let subnet = ProofSubnet::new(score_store, Profile::Seed, system_clock());
//! let mut validator = Validator::new(subnet, service, epochs, state, system_clock(), sleeper());
//! tokio::join!(Arc::new(examiner).run(miners, &shutdown), validator.run(&shutdown));
//! # Ok(())
//! # }
//! ```
//!
//! Only a verified proof earns a score. A local failure, such as that of an external verifier, is
//! not recorded as a miner's fault. If the process is killed at any moment, no recorded outcome is
//! lost or applied twice. Only one process at a time can open a score store. Verification runs on a
//! bounded number of threads, and a slow miner delays no other. The crate does not read the chain
//! or submit weights, and computes no formulas: `taonet-proof-core` contains those.
//!
//! Uses `taonet-proof-circuits`, `taonet-proof-backends` and `taonet-proof-core` (verification),
//! `taonet-wire` and `taonet-wallet` (signed requests), `taonet-neuron` (miners of the metagraph,
//! backoff), `taonet-validator` (trait `Subnet`), `taonet-service`, `taonet-primitives` and the
//! published crate `btlightning` (messages and frames over QUIC). Used by `taonet-proof-api`,
//! `taonet-proof-dashboard`, `tao proof validator` and `tao proof demo`.

mod benchmark;
mod capacity;
mod delivery;
mod diagnosis;
mod dispatch;
mod examiner;
mod inputs;
mod metrics;
mod miners;
mod quic;
mod request;
mod score_store;
mod subnet;

pub use delivery::{DeliveryError, Progress, ProgressCallback, ServedModel};
pub use examiner::{Examiner, ExaminerSettings};
pub use metrics::describe as describe_metrics;
pub use miners::{ProofMiner, Wire, miner_directory};
pub use quic::{QuicClient, QuicError};
pub use request::Clients;
pub use score_store::{ScoreStore, ScoreStoreError, StoredScores};
pub use subnet::ProofSubnet;
