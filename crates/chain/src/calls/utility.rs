use subxt::ext::scale_value::Value;

use crate::Call;

/// Makes calls one after the other until one fails.
pub fn batch(calls: impl IntoIterator<Item = Call>) -> Call {
    batch_of("batch", calls)
}

/// Makes calls one after the other; where one fails, none has happened.
pub fn batch_all(calls: impl IntoIterator<Item = Call>) -> Call {
    batch_of("batch_all", calls)
}

/// Makes calls one after the other, past those that fail.
pub fn force_batch(calls: impl IntoIterator<Item = Call>) -> Call {
    batch_of("force_batch", calls)
}

/// Makes a call as root. Signed by the chain's sudo key.
pub fn sudo(call: Call) -> Call {
    Call::new("Sudo", "sudo", vec![("call", call.into_value())])
}

fn batch_of(name: &'static str, calls: impl IntoIterator<Item = Call>) -> Call {
    let calls = Value::unnamed_composite(calls.into_iter().map(Call::into_value));
    Call::new("Utility", name, vec![("calls", calls)])
}
