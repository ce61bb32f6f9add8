//! Errors of the workspace's crates as Python exceptions, with the same messages.

use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{IntoPyObjectExt as _, create_exception};
use taonet_primitives::with_causes;

create_exception!(taonet, Error, PyException, "Base class of the errors of this package.");
create_exception!(
    taonet,
    WalletError,
    Error,
    "A key could not be read, created, encrypted or written."
);
create_exception!(
    taonet,
    WrongPasswordError,
    WalletError,
    "The password is wrong, or the keyfile is damaged."
);
create_exception!(taonet, SigningError, Error, "A request could not be signed.");
create_exception!(taonet, CallError, Error, "A call to a neuron failed.");
create_exception!(taonet, ChainError, Error, "A query of the chain failed.");
create_exception!(
    taonet,
    LedgerError,
    Error,
    "Weights were not submitted, or the weight ledger is unusable."
);
create_exception!(taonet, ReplayLogError, Error, "The replay log could not be opened.");

/// An exception in place of an error of any crate that this one uses.
#[derive(Debug)]
pub(crate) struct Failure(PyErr);

impl Failure {
    /// Creates a `ValueError`.
    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self(PyValueError::new_err(message.into()))
    }

    /// Creates a `RuntimeError`.
    pub(crate) fn runtime(message: &'static str) -> Self {
        Self(PyRuntimeError::new_err(message))
    }

    /// Sets an attribute of the exception.
    fn with<T: for<'py> IntoPyObject<'py>>(self, name: &str, value: T) -> Self {
        Python::attach(|py| {
            let set = value.into_py_any(py).and_then(|value| self.0.value(py).setattr(name, value));
            set.map_or_else(Self, |()| self)
        })
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self(error)
    }
}

impl From<pythonize::PythonizeError> for Failure {
    fn from(error: pythonize::PythonizeError) -> Self {
        Self(error.into())
    }
}

/// Converts errors to exceptions of a class, without attributes.
macro_rules! raises {
    ($($exception:ty: $($error:ty),+;)+) => {$($(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(<$exception>::new_err(with_causes(&error)))
            }
        }
    )+)+};
}

raises! {
    PyValueError: taonet_primitives::Ss58Error, taonet_primitives::HashError, taonet_wallet::PublicKeyError,
        taonet_wallet::MessageError, taonet_wallet::SignatureError, taonet_wallet::NameError, taonet_wire::PeerError,
        taonet_chain::NetworkError, taonet_chain::weights::WeightError, taonet_consensus::InputError;
    WalletError: taonet_wallet::KeyError, taonet_wallet::WeakPassword;
    SigningError: taonet_wire::SigningError;
    ReplayLogError: taonet_wire::ReplayLogError;
}

impl From<taonet_wallet::KeyfileError> for Failure {
    fn from(error: taonet_wallet::KeyfileError) -> Self {
        let message = with_causes(&error);
        Self(match error {
            taonet_wallet::KeyfileError::WrongPassword => WrongPasswordError::new_err(message),
            _ => WalletError::new_err(message),
        })
    }
}

impl From<taonet_wallet::WalletError> for Failure {
    fn from(error: taonet_wallet::WalletError) -> Self {
        use taonet_wallet::{KeyfileError, WalletError as Cause};
        let message = with_causes(&error);
        Self(match error {
            Cause::Keyfile { source: KeyfileError::WrongPassword, .. } => {
                WrongPasswordError::new_err(message)
            }
            _ => WalletError::new_err(message),
        })
    }
}

impl From<taonet_wire::CallError> for Failure {
    fn from(error: taonet_wire::CallError) -> Self {
        Self(CallError::new_err(with_causes(&error))).with("status", error.status().as_u16())
    }
}

impl From<taonet_chain::ChainError> for Failure {
    fn from(error: taonet_chain::ChainError) -> Self {
        Self(ChainError::new_err(with_causes(&error))).with("retryable", error.is_retryable())
    }
}

impl From<taonet_ledger::SubmitError> for Failure {
    fn from(error: taonet_ledger::SubmitError) -> Self {
        Self(LedgerError::new_err(with_causes(&error))).with("retryable", error.is_retryable())
    }
}

impl From<taonet_ledger::LedgerError> for Failure {
    fn from(error: taonet_ledger::LedgerError) -> Self {
        taonet_ledger::SubmitError::from(error).into()
    }
}
