//! Comparison with bytes that a client recorded on the real chain.
//!
//! Items of unsupported pallets are skipped by name.

mod calls;
mod chain;
mod reads;

use serde_json::Value as Json;

use crate::vectors;

/// Returns a section of the recorded bytes; `None` without the recordings.
pub(crate) fn part(name: &str) -> Option<Json> {
    Some(vectors::json("golden_spec461.json")?[name].take())
}

pub(crate) fn list(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}
