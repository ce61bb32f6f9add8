use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use taonet_primitives::Rao;

/// The hyperparameters of a subnet by name, in the chain's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters(Vec<(String, Hyperparameter)>);

/// The value of a hyperparameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Hyperparameter {
    /// A boolean value.
    Boolean(bool),
    /// An integer value.
    Number(u64),
    /// An amount of TAO.
    Amount {
        /// The amount in rao.
        rao: Rao,
    },
    /// A fixed-point number, as decimal text.
    Fraction(String),
}

impl Hyperparameters {
    /// Returns the hyperparameter with this name; `None` if the chain has no such hyperparameter.
    pub fn get(&self, name: &str) -> Option<&Hyperparameter> {
        self.0.iter().find(|(stored_name, _)| stored_name == name).map(|(_, value)| value)
    }

    /// Returns all hyperparameters, as pairs of name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Hyperparameter)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Parses the runtime API's list of names and values; skips values of unknown types.
    pub(crate) fn from_json(entries: &Json) -> Self {
        Self(
            entries
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|entry| {
                    let (kind, value) = entry.get("value")?.as_object()?.iter().next()?;
                    Some((
                        entry.get("name")?.as_str()?.to_owned(),
                        Hyperparameter::from_json(kind, value)?,
                    ))
                })
                .collect(),
        )
    }
}

impl Hyperparameter {
    fn from_json(kind: &str, value: &Json) -> Option<Self> {
        Some(match kind {
            "Bool" => Self::Boolean(value.as_bool()?),
            "TaoBalance" => Self::Amount { rao: Rao::new(value.as_u64()?) },
            "I32F32" => Self::Fraction(format_fixed_point(parse_bits(value)?, 32)),
            "U64F64" => Self::Fraction(format_fixed_point(parse_bits(value)?, 64)),
            _ => Self::Number(value.as_u64()?),
        })
    }
}

impl fmt::Display for Hyperparameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Amount { rao } => rao.fmt(f),
            Self::Fraction(value) => value.fmt(f),
        }
    }
}

fn parse_bits(value: &Json) -> Option<i128> {
    match value.get("bits").unwrap_or(value) {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => {
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
        }
        _ => None,
    }
}

/// Formats a fixed-point number as decimal text: nine decimals, rounded toward zero, without
/// trailing zeros.
pub(crate) fn format_fixed_point(bits: i128, fraction_bits: u32) -> String {
    let magnitude = bits.unsigned_abs();
    let mask = u128::MAX.checked_shl(fraction_bits).map_or(u128::MAX, |high| !high);
    let integer = integer_part(magnitude, fraction_bits);
    // Cannot overflow: the fraction has at most 64 bits and 10⁹ has 30, so the product fits in 128
    // bits.
    let decimals = integer_part((magnitude & mask).saturating_mul(1_000_000_000), fraction_bits);
    let sign = if bits < 0 { "-" } else { "" };
    let text = format!("{sign}{integer}.{decimals:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn integer_part(bits: u128, fraction_bits: u32) -> u128 {
    bits.checked_shr(fraction_bits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_each_kind_are_decoded() {
        let entries = json!([
            { "name": "kappa", "value": { "U16": 32767 } },
            { "name": "min_burn", "value": { "TaoBalance": 500_000 } },
            { "name": "commit_reveal_weights_enabled", "value": { "Bool": true } },
            { "name": "alpha_sigmoid_steepness", "value": { "I32F32": { "bits": 4_294_967_296_000_u64 } } },
            { "name": "burn_increase_mult", "value": { "U64F64": { "bits": "27670116110564327424" } } },
            { "name": "new", "value": { "Kind": "?" } },
        ]);
        let read = Hyperparameters::from_json(&entries);
        let texts: Vec<String> =
            read.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "kappa=32767",
            "min_burn=0.0005",
            "commit_reveal_weights_enabled=true",
            "alpha_sigmoid_steepness=1000",
            "burn_increase_mult=1.5",
        ];
        assert_eq!(texts, expected);
        assert_eq!(read.get("kappa"), Some(&Hyperparameter::Number(32767)));
        let text = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Hyperparameters>(&text).unwrap(), read);
    }

    #[test]
    fn fixed_point_numbers_are_formatted() {
        for (bits, fraction_bits, text) in [
            (0, 32, "0"),
            (-(1_i128 << 31), 32, "-0.5"),
            (i128::MAX, 64, "9223372036854775807.999999999"),
            (3, 1, "1.5"),
        ] {
            assert_eq!(format_fixed_point(bits, fraction_bits), text);
        }
    }
}
