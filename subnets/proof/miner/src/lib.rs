//! A miner of proofs of inference.
//!
//! Validators send signed requests (`taonet-wire`): a circuit, its inputs, a nonce. The miner runs the circuit and proves
//! its outputs, bound to nonce and hotkey, on a bounded number of threads for heavy work. It refuses a request at once when
//! all of them are busy, and keeps nothing of what it proved.
//!
//! [`Miner`] holds the circuits with their provers loaded, [`router`] gives its routes, [`signed_requests`] the checks in
//! front of them; [`QuicServer`] serves the same miner over QUIC. [`Conduct`] lets a miner lie, for demonstrations and tests of validators.
//!
//! Uses `taonet-proof-circuits` and `taonet-proof-backends`, and the published crate `btlightning`. Used by `tao proof miner` and `tao proof demo`.

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
