//! Reads floats wherever they stand.
//!
//! Inside tagged and untagged enums serde keeps a number aside before it knows its type. Where any part of the program
//! wants JSON numbers in full precision (the development chain's framework does), what is kept is serde_json's own
//! number, which a plain `f64` does not take.

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

/// A float.
pub(crate) fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    finite(&Number::deserialize(deserializer)?)
}

/// A float or null; with `serde(default)` also nothing.
pub(crate) fn optional_float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::<Number>::deserialize(deserializer)?.as_ref().map(finite).transpose()
}

fn finite<E: de::Error>(number: &Number) -> Result<f64, E> {
    number.as_f64().ok_or_else(|| E::custom(format_args!("{number} is too large for a float")))
}
