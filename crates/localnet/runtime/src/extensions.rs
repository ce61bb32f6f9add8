//! Transaction extensions of the chain, in addition to those of FRAME.
//!
//! The real chain has four more extensions than FRAME. None of them adds bytes to an extrinsic; those without effect
//! are included so that clients see the same list.

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

/// Placeholder of the real chain's extension that prioritises beacon pulses; without effect here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct DrandPriority;

impl TransactionExtension<RuntimeCall> for DrandPriority {
    const IDENTIFIER: &'static str = "DrandPriority";
    type Implicit = ();
    type Val = ();
    type Pre = ();
    impl_tx_ext_default!(RuntimeCall; weight validate prepare);
}
