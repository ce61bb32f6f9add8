use subxt::ext::scale_value::Value;

use super::number;
use crate::Call;

/// Builds a call that runs calls in order and stops at the first that fails.
pub fn batch(calls: impl IntoIterator<Item = Call>) -> Call {
    batch_of("batch", calls)
}

/// Builds a call that runs calls in order and atomically: if one fails, all are reverted.
pub fn batch_all(calls: impl IntoIterator<Item = Call>) -> Call {
    batch_of("batch_all", calls)
}

/// Builds a call that runs calls in order and skips those that fail.
pub fn force_batch(calls: impl IntoIterator<Item = Call>) -> Call {
    batch_of("force_batch", calls)
}

/// Builds a call that makes another call for the signer's derivative account with this index; see
/// [`AccountId::derivative`](taonet_primitives::AccountId::derivative).
pub fn as_derivative(index: u16, call: Call) -> Call {
    Call::new(
        "Utility",
        "as_derivative",
        vec![("index", number(index)), ("call", call.into_value())],
    )
}

/// Builds a call that runs another call as root. Sign it with the chain's sudo key.
pub fn sudo(call: Call) -> Call {
    Call::new("Sudo", "sudo", vec![("call", call.into_value())])
}

fn batch_of(name: &'static str, calls: impl IntoIterator<Item = Call>) -> Call {
    let calls = Value::unnamed_composite(calls.into_iter().map(Call::into_value));
    Call::new("Utility", name, vec![("calls", calls)])
}
