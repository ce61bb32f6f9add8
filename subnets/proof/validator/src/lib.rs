//! The validator of proofs of inference: what this subnet adds to `taonet-validator`.
//!
//! - [`Examiner`] keeps one request in flight for each miner, verifies every proof, and says what is wrong with one that
//!   does not verify;
//! - [`Book`] keeps the scores: each outcome is in a journal on disk before it counts;
//! - [`ProofSubnet`] implements [`Subnet`](taonet_validator::Subnet): weights from the book, for the shared epoch loop;
//! - [`registered_miners`] finds miners in a snapshot of the metagraph.
//!
//! Uses `taonet-proof-circuits` and `taonet-proof-backends` (verification) and `taonet-wire` (signed requests).
//! Used by `tao proof validator` and `tao proof demo`.

mod book;
mod diagnosis;
mod examiner;
mod measures;
mod miners;
mod request;
mod subnet;

pub use book::{Book, BookError};
pub use examiner::{Examiner, ExaminerSettings};
pub use measures::describe as describe_metrics;
pub use miners::{AddressRule, MinerEntry, public_only, registered_miners};
pub use subnet::ProofSubnet;
