//! Execution of runtime calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sp_externalities::{Extensions, set_and_run_with_externalities};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{Backend, Ext, OverlayedChanges};
use taonet_localnet_runtime::api;
use taonet_primitives::panic_message;

/// The uncommitted storage changes of a block or a call.
pub(crate) type Overlay = OverlayedChanges<BlakeTwo256>;

/// Why a call to the runtime failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The runtime has no such method. Clients match on this error message.
    #[error("Exported method {0} is not found")]
    UnknownMethod(String),
    /// The runtime panicked, because of a bug in a pallet or unsupported arguments.
    #[error("the runtime panicked: {0}")]
    Panicked(String),
    /// A runtime call was made during another runtime call.
    #[error("the storage overlay is in use by another runtime call")]
    Nested,
    /// The result of the runtime call cannot be decoded as the method's result type.
    #[error("malformed result of {method}: {source}")]
    MalformedResult {
        /// The name of the method.
        method: &'static str,
        /// The decoding error.
        source: codec::Error,
    },
}

/// Calls the runtime method `method` with the SCALE-encoded arguments `data` on `state` with the
/// changes of `overlay`.
///
/// # Errors
/// [`CallError`]; after a panic, storage transactions left open by the call are rolled back.
pub(crate) fn call<B: Backend<BlakeTwo256>>(
    overlay: &mut Overlay,
    state: &B,
    method: &str,
    data: &[u8],
) -> Result<Vec<u8>, CallError> {
    execute_with(overlay, state, || api::dispatch(method, data))?
        .ok_or_else(|| CallError::UnknownMethod(method.to_owned()))
}

/// Runs native runtime code on `state` with the changes of `overlay`.
pub(crate) fn execute_with<T, B: Backend<BlakeTwo256>>(
    overlay: &mut Overlay,
    state: &B,
    code: impl FnOnce() -> T,
) -> Result<T, CallError> {
    overlay.enter_runtime().map_err(|_| CallError::Nested)?;
    let mut extensions = Extensions::new();
    let outcome = {
        let mut ext = Ext::new(overlay, state, Some(&mut extensions));
        catch_unwind(AssertUnwindSafe(|| set_and_run_with_externalities(&mut ext, code)))
    };
    overlay.exit_runtime().map_err(|_| CallError::Nested)?;
    outcome.map_err(|payload| CallError::Panicked(panic_text(payload.as_ref())))
}

/// Calls the runtime and decodes the result.
pub(crate) fn call_as<T: codec::Decode, B: Backend<BlakeTwo256>>(
    overlay: &mut Overlay,
    state: &B,
    method: &'static str,
    data: &[u8],
) -> Result<T, CallError> {
    let encoded = call(overlay, state, method, data)?;
    T::decode(&mut encoded.as_slice())
        .map_err(|source| CallError::MalformedResult { method, source })
}

/// Returns the message of a panic.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    panic_message(payload).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use sp_state_machine::InMemoryBackend;

    use super::*;

    #[test]
    fn panic_reverts_changes_of_the_call() {
        let state = InMemoryBackend::<BlakeTwo256>::default();
        let mut overlay = Overlay::default();
        execute_with(&mut overlay, &state, || sp_io::storage::set(b"kept", b"1")).unwrap();
        overlay.start_transaction();
        let panicked = execute_with(&mut overlay, &state, || {
            sp_io::storage::set(b"kept", b"2");
            sp_io::storage::start_transaction();
            sp_io::storage::set(b"deep", b"3");
            panic!("a pallet's defect");
        });
        assert_eq!(panicked, Err(CallError::Panicked("a pallet's defect".to_owned())));
        overlay.rollback_transaction().unwrap();
        let read =
            |key: &'static [u8]| move || sp_io::storage::get(key).map(|value| value.to_vec());
        assert_eq!(execute_with(&mut overlay, &state, read(b"kept")).unwrap(), Some(b"1".to_vec()));
        assert_eq!(execute_with(&mut overlay, &state, read(b"deep")).unwrap(), None);
    }

    #[test]
    fn unknown_runtime_method_is_an_error() {
        let state = InMemoryBackend::<BlakeTwo256>::default();
        let error = call(&mut Overlay::default(), &state, "No_such", &[]).unwrap_err();
        assert_eq!(error.to_string(), "Exported method No_such is not found");
    }
}
