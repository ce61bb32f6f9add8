//! Filter of calls for signed origins.

use frame_support::traits::Contains;
use pallet_utility::Call as Utility;

use crate::runtime::RuntimeCall;

/// Refuses nested batches, as the real chain does. Root origins bypass call filters.
#[derive(Debug)]
pub struct CallFilter;

impl Contains<RuntimeCall> for CallFilter {
    fn contains(call: &RuntimeCall) -> bool {
        calls_of(call).is_none_or(|calls| calls.iter().all(|call| calls_of(call).is_none()))
    }
}

/// Returns the calls of a batch; `None` for any other call.
fn calls_of(call: &RuntimeCall) -> Option<&[RuntimeCall]> {
    match call {
        RuntimeCall::Utility(
            Utility::batch { calls } | Utility::batch_all { calls } | Utility::force_batch { calls },
        ) => Some(calls),
        _ => None,
    }
}
