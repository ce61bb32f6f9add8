//! Priority of drand pulses.

use codec::{Decode, DecodeWithMemTracking, Encode};
use frame_support::dispatch::DispatchInfo;
use frame_support::pallet_prelude::TransactionSource;
use scale_info::TypeInfo;
use sp_runtime::impl_tx_ext_default;
use sp_runtime::traits::{Implication, TransactionExtension};
use sp_runtime::transaction_validity::{TransactionValidityError, ValidTransaction};

use crate::drand::Call;
use crate::runtime::{RuntimeCall, RuntimeOrigin};

/// Priority of a signed submission. Unsigned ones, which succeed, have their own priority.
const PRIORITY: u64 = 10_000;

/// Extension that prefers submissions of drand pulses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct DrandPriority;

impl TransactionExtension<RuntimeCall> for DrandPriority {
    const IDENTIFIER: &'static str = "DrandPriority";
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
        let is_pulse = matches!(call, RuntimeCall::Drand(Call::write_pulse { .. }));
        let priority = if is_pulse { PRIORITY } else { 0 };
        Ok((ValidTransaction { priority, ..ValidTransaction::default() }, (), origin))
    }
}
