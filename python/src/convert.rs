//! Arguments and results in Python's types.

use std::time::Duration;

use http::HeaderMap;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyString};
use serde_json::{Map, Value};
use taonet_wallet::{CryptoType, Signature, message_bytes};

use crate::errors::Failure;

/// A message: bytes, or a text as in [`message_bytes`].
pub(crate) enum Message {
    Bytes(PyBackedBytes),
    Text(String),
}

impl FromPyObject<'_, '_> for Message {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.extract::<PyBackedBytes>() {
            return Ok(Self::Bytes(bytes));
        }
        if object.is_instance_of::<PyString>() {
            return object.extract().map(Self::Text);
        }
        Err(PyTypeError::new_err(format!(
            "expected bytes or str, got {}",
            object.get_type().name()?
        )))
    }
}

impl Message {
    /// Returns the bytes to sign or verify.
    pub(crate) fn to_signed(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.to_vec()),
            Self::Text(text) => Ok(message_bytes(text)?),
        }
    }

    /// Returns the bytes of a body; a text as UTF-8.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Text(text) => text.as_bytes().to_vec(),
        }
    }

    /// Parses a signature: 64 bytes, or hex digits. `None` if it is malformed.
    pub(crate) fn to_signature(&self) -> Option<Signature> {
        match self {
            Self::Bytes(bytes) => (**bytes).try_into().ok().map(Signature::from_bytes),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// Parses the name of a signature scheme.
pub(crate) fn crypto_type(name: &str) -> Result<CryptoType, Failure> {
    name.parse().map_err(|error: taonet_wallet::KeyError| Failure::value(error.to_string()))
}

/// Converts seconds to a duration.
pub(crate) fn seconds(name: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds).map_err(|error| Failure::value(format!("{name}: {error}")))
}

/// Converts a dictionary with values of JSON, which are written and parsed: both limit the depth of
/// nested values.
pub(crate) fn json_object(
    name: &str,
    fields: &Bound<'_, PyDict>,
) -> Result<Map<String, Value>, Failure> {
    let text: String = fields.py().import("json")?.call_method1("dumps", (fields,))?.extract()?;
    serde_json::from_str(&text).map_err(|error| Failure::value(format!("{name}: {error}")))
}

/// Converts headers to pairs of bytes, as in ASGI.
pub(crate) fn header_bytes(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// Converts headers to pairs of texts. Bytes that are not UTF-8 are replaced.
pub(crate) fn header_texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(pair).collect()
}
