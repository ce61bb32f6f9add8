//! Bytes that a client recorded on the real chain, byte for byte.
//!
//! What concerns pallets that are not served is skipped, by name.

mod calls;
mod chain;
mod reads;

use serde_json::Value as Json;

use crate::vectors;

/// A part of the recorded bytes.
fn part(name: &str) -> Option<Json> {
    Some(vectors::json("golden_spec461.json")?[name].take())
}

fn list(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}
