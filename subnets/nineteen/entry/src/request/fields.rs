//! Fields of a request that remain to be parsed.

use std::ops::RangeInclusive;

use rand::Rng as _;
use serde_json::{Map, Value};
use taonet_http::parse_object;
use taonet_nineteen_core::payload::MAX_SEED;

use crate::GatewayError;

/// Fields that the gateway ignores: OpenAI uses them for abuse detection and caching. Only text
/// requests have an effective `prompt_cache_key`.
const IGNORED_FIELDS: [&str; 4] =
    ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"];

/// Fields of a request that remain to be parsed.
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, GatewayError> {
        parse_object(body).map(Self).map_err(|error| GatewayError::InvalidBody(error.to_string()))
    }

    /// Moves the named fields to a new set.
    pub(crate) fn split(&mut self, names: &[&str]) -> Self {
        Self(
            names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), self.0.shift_remove(*name)?)))
                .collect(),
        )
    }

    /// Takes the model's name.
    pub(crate) fn take_model(&mut self) -> Result<String, GatewayError> {
        match self.take("model") {
            Some(Value::String(model)) if !model.is_empty() => Ok(model),
            _ => Err(GatewayError::field("model", "model must be the name of a model")),
        }
    }

    /// Takes the seed, any integer, or draws a random one. Other seeds than those of synthetic
    /// requests would reveal a buyer's request to the miner, so each is mapped to one of them;
    /// equal seeds remain equal.
    pub(crate) fn take_seed(&mut self) -> Result<u64, GatewayError> {
        let Some(value) = self.take("seed") else {
            return Ok(rand::rng().random_range(1..=MAX_SEED));
        };
        // A seed that is negative or has more than 64 bits counts as the unsigned number with the
        // same bits.
        let large = || value.as_f64().filter(|number| number.fract() == 0.0).map(f64::to_bits);
        let seed =
            value.as_u64().or_else(|| as_integer(&value).map(i64::cast_unsigned)).or_else(large);
        let seed = seed.ok_or_else(|| GatewayError::field("seed", "seed must be an integer"))?;
        Ok(if (1..=MAX_SEED).contains(&seed) { seed } else { seed % MAX_SEED + 1 })
    }

    /// Ends the parsing: rejects the first remaining field, which is unknown or unsupported.
    pub(crate) fn reject_remaining(mut self) -> Result<(), GatewayError> {
        for name in IGNORED_FIELDS {
            self.take(name);
        }
        match self.0.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => {
                Err(GatewayError::field(name.clone(), format!("{name} is unknown or unsupported")))
            }
            None => Ok(()),
        }
    }

    /// Copies a field to the miner's request unchanged if its value is valid.
    pub(super) fn copy_field(
        &mut self,
        name: &'static str,
        extra_fields: &mut Map<String, Value>,
        expected: &str,
        is_valid: impl Fn(&Value) -> bool,
    ) -> Result<(), GatewayError> {
        match self.take(name) {
            None => Ok(()),
            Some(value) if is_valid(&value) => {
                extra_fields.insert(name.to_owned(), value);
                Ok(())
            }
            Some(_) => Err(GatewayError::field(name, format!("{name} must be {expected}"))),
        }
    }

    /// Returns whether a field is set; `null` counts as absent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a field's value; `null` counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn take_flag(&mut self, name: &'static str) -> Result<bool, GatewayError> {
        match self.take(name) {
            None => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| GatewayError::field(name, format!("{name} must be true or false"))),
        }
    }

    pub(crate) fn take_integer(
        &mut self,
        name: &'static str,
        minimum: u64,
        maximum: u64,
    ) -> Result<Option<u64>, GatewayError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = as_integer(&value).and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| (minimum..=maximum).contains(number));
        number.map(Some).ok_or_else(|| {
            GatewayError::field(name, format!("{name} must be an integer in {minimum}..={maximum}"))
        })
    }

    pub(crate) fn take_float(
        &mut self,
        name: &'static str,
        minimum: f64,
        maximum: f64,
    ) -> Result<Option<f64>, GatewayError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| (minimum..=maximum).contains(number));
        number.map(Some).ok_or_else(|| {
            GatewayError::field(name, format!("{name} must be a number in {minimum}..={maximum}"))
        })
    }

    pub(crate) fn refuse_unless(
        &mut self,
        name: &'static str,
        is_valid: impl Fn(&Value) -> bool,
        message: &str,
    ) -> Result<(), GatewayError> {
        match self.take(name) {
            Some(value) if !is_valid(&value) => Err(GatewayError::field(name, message)),
            _ => Ok(()),
        }
    }

    pub(super) fn refuse_unless_off(&mut self, name: &'static str) -> Result<(), GatewayError> {
        let is_off =
            |value: &Value| matches!(value, Value::Bool(false)) || value.as_u64() == Some(1);
        self.refuse_unless(name, is_off, &format!("{name} is not supported"))
    }
}

pub(super) fn is_number_in(value: &Value, range: RangeInclusive<f64>) -> bool {
    value.as_f64().is_some_and(|number| range.contains(&number))
}

/// Returns a JSON number as an integer, even if it has a zero fraction, such as `24.0`.
pub(crate) fn as_integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        // Turns -0.0 into 0.0.
        let number = value.as_f64()? + 0.0;
        let integer = number as i64;
        // A float at either end of the range may represent an integer beyond it.
        let is_inside = i64::MIN < integer && integer < i64::MAX;
        (is_inside && (integer as f64).total_cmp(&number).is_eq()).then_some(integer)
    })
}
