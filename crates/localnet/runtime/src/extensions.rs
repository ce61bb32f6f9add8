//! Transaction extensions of the chain, in addition to those of FRAME.
//!
//! The real chain has four more extensions than FRAME. None of them adds bytes to an extrinsic;
//! those without effect are included so that clients see the same list.

/// Implements an extension that validates calls with its function `check` before they enter the
/// pool or a block. The extension has no other effect and no weight.
macro_rules! validating_extension {
    ($extension:ident) => {
        impl sp_runtime::traits::TransactionExtension<$crate::runtime::RuntimeCall> for $extension {
            const IDENTIFIER: &'static str = stringify!($extension);
            type Implicit = ();
            type Val = ();
            type Pre = ();

            sp_runtime::impl_tx_ext_default!($crate::runtime::RuntimeCall; weight prepare);

            fn validate(
                &self,
                origin: $crate::runtime::RuntimeOrigin,
                call: &$crate::runtime::RuntimeCall,
                _: &frame_support::dispatch::DispatchInfo,
                _: usize,
                (): (),
                _: &impl sp_runtime::traits::Implication,
                _: sp_runtime::transaction_validity::TransactionSource,
            ) -> sp_runtime::traits::ValidateResult<(), $crate::runtime::RuntimeCall> {
                let validity = Self::check(&origin, call)?;
                Ok((validity, (), origin))
            }
        }
    };
}

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
