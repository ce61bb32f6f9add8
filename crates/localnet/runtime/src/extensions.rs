//! What a signed call carries, beside what every chain of this framework has.
//!
//! The real chain has four more extensions. None of them adds a byte; those without effect are here so that clients see
//! the same list.

use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::TransactionExtension;

use crate::runtime::RuntimeCall;

mod check_nonce;
mod shield;
mod subtensor;
mod sudo;

pub use check_nonce::CheckNonce;
pub use shield::CheckShieldedTxValidity;
pub use subtensor::SubtensorTransactionExtension;
pub use sudo::SudoTransactionExtension;

/// Where the real chain orders beacon pulses first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct DrandPriority;

impl TransactionExtension<RuntimeCall> for DrandPriority {
    const IDENTIFIER: &'static str = "DrandPriority";
    type Implicit = ();
    type Val = ();
    type Pre = ();
    impl_tx_ext_default!(RuntimeCall; weight validate prepare);
}
