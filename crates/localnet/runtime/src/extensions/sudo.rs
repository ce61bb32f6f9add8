//! Refusal of calls that replace the native code or write to storage directly, also nested ones.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::{Implication, TransactionExtension};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError, ValidTransaction};

use crate::runtime::{Runtime, RuntimeCall, RuntimeOrigin};

/// The real chain's extension for calls of the sudo key. A call filter does not suffice: the sudo key bypasses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SudoTransactionExtension;

impl TransactionExtension<RuntimeCall> for SudoTransactionExtension {
    const IDENTIFIER: &'static str = "SudoTransactionExtension";
    type Implicit = ();
    type Val = ();
    type Pre = ();

    impl_tx_ext_default!(RuntimeCall; weight prepare);

    fn validate(
        &self,
        origin: RuntimeOrigin,
        call: &RuntimeCall,
        _: &DispatchInfo,
        _: usize,
        (): (),
        _: &impl Implication,
        _: TransactionSource,
    ) -> Result<(ValidTransaction, (), RuntimeOrigin), TransactionValidityError> {
        if rewrites_the_chain(call) {
            return Err(InvalidTransaction::Call.into());
        }
        Ok((ValidTransaction::default(), (), origin))
    }
}

/// Whether a call, or a call nested in it, replaces the code or writes to storage directly.
fn rewrites_the_chain(call: &RuntimeCall) -> bool {
    use frame_system::Call as System;
    use pallet_sudo::Call as Sudo;
    use pallet_utility::Call as Utility;
    match call {
        RuntimeCall::System(
            System::set_code { .. }
            | System::set_code_without_checks { .. }
            | System::authorize_upgrade { .. }
            | System::authorize_upgrade_without_checks { .. }
            | System::apply_authorized_upgrade { .. }
            | System::set_heap_pages { .. }
            | System::set_storage { .. }
            | System::kill_storage { .. }
            | System::kill_prefix { .. },
        ) => true,
        RuntimeCall::Sudo(
            Sudo::<Runtime>::sudo { call } | Sudo::sudo_unchecked_weight { call, .. } | Sudo::sudo_as { call, .. },
        )
        | RuntimeCall::Utility(
            Utility::as_derivative { call, .. }
            | Utility::dispatch_as { call, .. }
            | Utility::dispatch_as_fallible { call, .. }
            | Utility::with_weight { call, .. },
        ) => rewrites_the_chain(call),
        RuntimeCall::Utility(
            Utility::batch { calls } | Utility::batch_all { calls } | Utility::force_batch { calls },
        ) => calls.iter().any(rewrites_the_chain),
        RuntimeCall::Utility(Utility::if_else { main, fallback }) => {
            rewrites_the_chain(main) || rewrites_the_chain(fallback)
        }
        _ => false,
    }
}
