//! Transaction extensions of the chain, in addition to those of FRAME.
//!
//! The real chain has four more extensions than FRAME. None of them adds bytes to an extrinsic; those without effect
//! are included so that clients see the same list.

mod charge;
mod check_nonce;
mod drand;
mod shield;
mod subtensor;
mod sudo;

pub use charge::ChargeFee;
pub use check_nonce::CheckNonce;
pub use drand::DrandPriority;
pub use shield::CheckShieldedTxValidity;
pub use subtensor::SubtensorTransactionExtension;
pub use sudo::SudoTransactionExtension;
