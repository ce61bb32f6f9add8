//! The validator of the proof-of-inference subnet: its additions to `taonet-validator`.
//!
//! - [`Examiner`] keeps one request in flight for each miner, verifies every proof, and diagnoses those that fail;
//! - [`Examiner::deliver`] serves a user's request: several miners prove the slices of a model in parallel, and failed
//!   slices are retried with other miners;
//! - [`Book`] persists the scores: each outcome is in a journal on disk before it is applied;
//! - [`ProofSubnet`] implements [`Subnet`](taonet_validator::Subnet): weights from the book, for the shared epoch loop;
//! - [`registered_miners`] finds miners in a metagraph snapshot.
//!
//! Uses `taonet-proof-circuits` and `taonet-proof-backends` (verification), `taonet-wire` (signed requests) and the
//! published crate `btlightning` (QUIC).
//! Used by `taonet-proof-api`, `tao proof validator` and `tao proof demo`.

mod assignments;
mod book;
mod delivery;
mod diagnosis;
mod examiner;
mod measures;
mod miners;
mod quic;
mod request;
mod subnet;

pub use book::{Book, BookError};
pub use delivery::{Delivery, DeliveryError, Progress, Served};
pub use examiner::{Examiner, ExaminerSettings};
pub use measures::describe as describe_metrics;
pub use miners::{AddressRule, MinerEntry, Wire, public_only, registered_miners};
pub use quic::QuicClient;
pub use request::Clients;
pub use subnet::ProofSubnet;
