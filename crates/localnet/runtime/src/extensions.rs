//! What a signed call carries, beside what every chain of this framework has.
//!
//! The real chain has four more extensions. None of them adds a byte; those without effect are here so that clients see
//! the same list.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use frame_support::weights::Weight;
use scale_info::TypeInfo;
use sp_runtime::traits::{Dispatchable, Implication, TransactionExtension};
use sp_runtime::transaction_validity::{TransactionValidityError, ValidTransaction};

mod check_nonce;
mod subtensor;
mod sudo;

pub use check_nonce::CheckNonce;
pub use subtensor::SubtensorTransactionExtension;
pub use sudo::SudoTransactionExtension;

macro_rules! without_effect {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
        pub struct $name;

        impl<Call: Dispatchable<Info = DispatchInfo>> TransactionExtension<Call> for $name {
            const IDENTIFIER: &'static str = stringify!($name);
            type Implicit = ();
            type Val = ();
            type Pre = ();

            fn weight(&self, _: &Call) -> Weight {
                Weight::zero()
            }

            fn validate(
                &self,
                origin: Call::RuntimeOrigin,
                _: &Call,
                _: &DispatchInfo,
                _: usize,
                (): (),
                _: &impl Implication,
                _: TransactionSource,
            ) -> Result<(ValidTransaction, (), Call::RuntimeOrigin), TransactionValidityError> {
                Ok((ValidTransaction::default(), (), origin))
            }

            fn prepare(
                self,
                (): (),
                _: &Call::RuntimeOrigin,
                _: &Call,
                _: &DispatchInfo,
                _: usize,
            ) -> Result<(), TransactionValidityError> {
                Ok(())
            }
        }
    };
}

without_effect! {
    /// Where the real chain checks encrypted calls.
    CheckShieldedTxValidity
}
without_effect! {
    /// Where the real chain orders beacon pulses first.
    DrandPriority
}
