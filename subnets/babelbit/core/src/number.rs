//! Deserialisation of floats inside tagged and untagged enums.
//!
//! In such enums, serde buffers a number before it knows its type. When any dependency enables
//! serde_json's arbitrary precision (the development chain's framework does), the buffer holds
//! serde_json's own number type, which a plain `f64` does not accept.

use serde::{Deserialize, Deserializer, de};
use serde_json::Number;

/// Deserialises a float.
pub(crate) fn float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    to_f64(&Number::deserialize(deserializer)?)
}

/// Deserialises a float or null; with `serde(default)` also a missing field.
pub(crate) fn optional_float<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    Option::<Number>::deserialize(deserializer)?.as_ref().map(to_f64).transpose()
}

fn to_f64<E: de::Error>(number: &Number) -> Result<f64, E> {
    number.as_f64().ok_or_else(|| E::custom(format_args!("{number} is too large for a float")))
}
