//! The miner of the proof-of-inference subnet.
//!
//! Validators send signed requests (`taonet-wire`): a circuit, its inputs, a nonce. The miner runs the circuit and
//! proves its outputs, bound to nonce and hotkey, with a bounded number of concurrent proofs. At capacity it refuses
//! requests at once. It keeps no proofs.
//!
//! [`Miner`] holds the circuits with their provers loaded, [`router`] creates its routes, [`signed_requests`] the
//! signature checks in front of them. [`QuicServer`] serves the same miner over QUIC. [`Conduct`] makes a miner
//! dishonest, for demonstrations and tests of validators.
//!
//! Uses `taonet-proof-circuits`, `taonet-proof-backends` and the published crate `btlightning`.
//! Used by `tao proof miner` and `tao proof demo`.

mod conduct;
mod measures;
mod prover;
mod quic;
mod refusal;
mod routes;

pub use conduct::Conduct;
pub use measures::describe as describe_metrics;
pub use prover::{Miner, MinerSettings};
pub use quic::{Permits, QuicServer, QuicSettings};
pub use refusal::Refusal;
pub use routes::{router, signed_requests};
