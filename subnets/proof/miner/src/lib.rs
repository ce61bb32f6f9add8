//! The miner of the proof-of-inference subnet.
//!
//! Validators send signed requests (`taonet-wire`): a circuit, its inputs, a nonce. The miner runs
//! the circuit and proves its outputs, bound to nonce and hotkey, so that neither an earlier proof
//! nor another miner's proof is a valid answer.
//!
//! - [`Miner`] holds the circuits with their provers loaded; [`Miner::answer`] proves the outputs
//!   of one request;
//! - [`router`] creates its routes, and [`signed_requests`] creates the signature checks in front
//!   of them;
//! - [`QuicServer`] serves the same miner over QUIC;
//! - [`Behaviour`] makes a miner dishonest, for demonstrations and tests of validators.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_primitives::Hotkey;
//! use taonet_proof_circuits::{Catalogue, CircuitError};
//! use taonet_proof_miner::{Miner, MinerSettings, router, signed_requests};
//!
//! # fn example(hotkey: Hotkey) -> Result<axum::Router, CircuitError> {
//! let settings = MinerSettings::new(hotkey);
//! let signed = signed_requests(hotkey, settings.timeout).build();
//! let miner = Miner::load(&Catalogue::open(Path::new("circuits"))?, settings)?;
//! let routes = router(miner, signed);
//! # Ok(routes)
//! # }
//! ```
//!
//! The number of concurrent proofs is bounded ([`MinerSettings::concurrency`], by default one per
//! two cores). At capacity, and for inputs that do not fit the circuit, the miner refuses requests
//! immediately with a [`Refusal`]; there is no queue. A proof that exceeds
//! [`MinerSettings::timeout`] is reported as failed, but occupies its slot until it ends, because a
//! built-in prover cannot be interrupted. A request over HTTP is at most 10 MiB.
//!
//! The miner writes no proofs and no requests to disk, and does not read the chain: the command
//! sets the hotkeys that may call it.
//!
//! Uses `taonet-proof-circuits`, `taonet-proof-backends`, `taonet-proof-core`, `taonet-wire` and
//! `taonet-wallet` (signed requests), `taonet-http` (connection slots), `taonet-primitives` and the
//! published crate `btlightning` (messages and frames over QUIC). Used by `tao proof miner` and
//! `tao proof demo`.

mod behaviour;
mod metrics;
mod prover;
mod quic;
mod refusal;
mod routes;

pub use behaviour::Behaviour;
pub use metrics::describe as describe_metrics;
pub use prover::{Miner, MinerSettings};
pub use quic::{Permits, QuicError, QuicServer, QuicSettings};
pub use refusal::Refusal;
pub use routes::{router, signed_requests};
