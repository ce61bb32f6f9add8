//! Priority of drand pulses.

use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_runtime::transaction_validity::{TransactionValidityError, ValidTransaction};

use crate::drand::Call;
use crate::runtime::{RuntimeCall, RuntimeOrigin};

/// Priority of a signed submission. Unsigned ones, which succeed, have their own priority.
const PRIORITY: u64 = 10_000;

/// Extension that prefers submissions of drand pulses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct DrandPriority;

validating_extension!(DrandPriority);

impl DrandPriority {
    #[allow(clippy::unnecessary_wraps, reason = "the signature of all validating extensions")]
    fn check(
        _: &RuntimeOrigin,
        call: &RuntimeCall,
    ) -> Result<ValidTransaction, TransactionValidityError> {
        let is_pulse = matches!(call, RuntimeCall::Drand(Call::write_pulse { .. }));
        let priority = if is_pulse { PRIORITY } else { 0 };
        Ok(ValidTransaction { priority, ..ValidTransaction::default() })
    }
}
