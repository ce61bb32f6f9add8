//! Tests with the vectors in `vectors/yuma`, whose README states their origin.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a vector that is not as described fails the test"
)]

mod epochs;
mod functions;

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a vector file.
fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/yuma").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns the items of a JSON list.
fn sequence(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}
