//! Sampling parameters beyond those of every request: OpenAI's and vLLM's.

use serde_json::{Map, Value};
use taonet_nineteen_openapi::{TEMPLATE_OVERRIDES, VLLM_FLAGS};

use super::fields::is_number_in;
use super::{Fields, MAX_STOPS, as_integer};
use crate::GatewayError;

/// `top_k` that selects among all tokens with every server: larger than any vocabulary. Servers
/// differ in whether 0, -1 or both have this meaning.
const TOP_K_ALL_TOKENS: i64 = 1_000_000;
/// Maximum number of token IDs, words or choices in a list.
const MAX_LIST_LENGTH: usize = 4_096;
/// Prefix of the names that fields of `structured_outputs` had in earlier releases of vLLM.
const GUIDED_PREFIX: &str = "guided_";
/// Constraints of `structured_outputs` that have such a name, too.
const DEPRECATED_CONSTRAINTS: [&str; 4] =
    ["guided_json", "guided_regex", "guided_choice", "guided_grammar"];

impl Fields {
    /// Parses the sampling parameters beyond those of every request, and the stop sequences.
    pub(super) fn copy_sampling_fields(
        &mut self,
        extra_fields: &mut Map<String, Value>,
    ) -> Result<(), GatewayError> {
        self.copy_top_k(extra_fields)?;
        self.copy_field("min_p", extra_fields, "a number in 0..=1", |value| {
            is_number_in(value, 0.0..=1.0)
        })?;
        self.copy_field(
            "repetition_penalty",
            extra_fields,
            "a number above 0 and up to 2",
            |value| is_number_in(value, 0.0..=2.0) && value.as_f64() != Some(0.0),
        )?;
        self.copy_field("stop", extra_fields, "a string or an array of 1..=4 strings", |value| {
            match value {
                Value::Array(stops) => {
                    (1..=MAX_STOPS).contains(&stops.len()) && stops.iter().all(is_nonempty_string)
                }
                stop => is_nonempty_string(stop),
            }
        })?;
        for penalty in ["frequency_penalty", "presence_penalty"] {
            self.copy_field(penalty, extra_fields, "a number in -2..=2", |value| {
                is_number_in(value, -2.0..=2.0)
            })?;
        }
        self.copy_field(
            "logit_bias",
            extra_fields,
            "an object of numbers in -100..=100",
            |value| {
                value.as_object().is_some_and(|biases| {
                    biases.values().all(|bias| is_number_in(bias, -100.0..=100.0))
                })
            },
        )?;
        self.copy_vllm_fields(extra_fields)?;
        self.copy_structured_outputs(extra_fields)
    }

    /// Copies `top_k`. As with vLLM, 0 and -1 select among all tokens.
    fn copy_top_k(&mut self, extra_fields: &mut Map<String, Value>) -> Result<(), GatewayError> {
        let Some(value) = self.take("top_k") else { return Ok(()) };
        let top_k = match as_integer(&value) {
            Some(-1 | 0) => TOP_K_ALL_TOKENS,
            Some(top_k @ 1..=TOP_K_ALL_TOKENS) => top_k,
            _ => {
                return Err(GatewayError::field(
                    "top_k",
                    "top_k must be an integer in -1..=1000000",
                ));
            }
        };
        extra_fields.insert("top_k".to_owned(), top_k.into());
        Ok(())
    }

    /// Copies the parameters that only vLLM and compatible servers support.
    fn copy_vllm_fields(
        &mut self,
        extra_fields: &mut Map<String, Value>,
    ) -> Result<(), GatewayError> {
        for flag in VLLM_FLAGS {
            self.copy_field(flag, extra_fields, "true or false", Value::is_boolean)?;
        }
        self.copy_field("length_penalty", extra_fields, "a number in -10..=10", |value| {
            is_number_in(value, -10.0..=10.0)
        })?;
        let is_token = |value: &Value| {
            as_integer(value).is_some_and(|token| (0..=TOP_K_ALL_TOKENS).contains(&token))
        };
        for tokens in ["stop_token_ids", "allowed_token_ids"] {
            let expected = "an array of 1..=4096 integers in 0..=1000000";
            self.copy_field(tokens, extra_fields, expected, |value| is_list(value, is_token))?;
        }
        self.copy_field("bad_words", extra_fields, "an array of 1..=4096 strings", |value| {
            is_list(value, is_nonempty_string)
        })?;
        self.copy_field(
            "truncate_prompt_tokens",
            extra_fields,
            "-1 or an integer in 1..=1000000",
            |value| {
                as_integer(value)
                    .is_some_and(|tokens| tokens == -1 || (1..=TOP_K_ALL_TOKENS).contains(&tokens))
            },
        )?;
        let message = "use_beam_search must be false: each choice is a request of its own, whose beam would have the \
                       width 1; hint: use best_of of /v1/completions";
        self.refuse_unless("use_beam_search", |value| *value == Value::Bool(false), message)
    }

    /// Copies the constraint of an answer's text: `structured_outputs`, or a field with its former
    /// name.
    fn copy_structured_outputs(
        &mut self,
        extra_fields: &mut Map<String, Value>,
    ) -> Result<(), GatewayError> {
        let names = std::iter::once("structured_outputs").chain(DEPRECATED_CONSTRAINTS);
        let set_fields: Vec<&str> = names.filter(|name| self.has(name)).collect();
        if let [first, second, ..] = set_fields.as_slice() {
            return Err(GatewayError::field(
                *second,
                format!("{second} cannot be combined with {first}"),
            ));
        }
        let expected =
            "an object with one of json, regex, choice, grammar, json_object and structural_tag";
        self.copy_field("structured_outputs", extra_fields, expected, is_structured_outputs)?;
        for name in DEPRECATED_CONSTRAINTS {
            let expected = match name {
                "guided_json" => "a JSON Schema",
                "guided_choice" => "an array of 1..=4096 strings",
                _ => "a string",
            };
            let constraint = name.trim_start_matches(GUIDED_PREFIX);
            self.copy_field(name, extra_fields, expected, |value| {
                is_constraint(constraint, value)
            })?;
        }
        for name in ["guided_whitespace_pattern", "guided_decoding_backend"] {
            self.copy_field(name, extra_fields, "a string", is_nonempty_string)?;
        }
        Ok(())
    }

    /// Copies the options of a chat's template, such as `enable_thinking`.
    pub(super) fn copy_template_options(
        &mut self,
        extra_fields: &mut Map<String, Value>,
    ) -> Result<(), GatewayError> {
        const NAME: &str = "chat_template_kwargs";
        let mut options = match self.take(NAME) {
            None => return Ok(()),
            Some(Value::Object(options)) => options,
            Some(_) => return Err(GatewayError::field(NAME, format!("{NAME} must be an object"))),
        };
        for name in TEMPLATE_OVERRIDES {
            if options.shift_remove(name).is_some_and(|value| !value.is_null()) {
                let param = format!("{NAME}.{name}");
                let message =
                    format!("{param} must be omitted: miners use the model's own template");
                return Err(GatewayError::field(param, message));
            }
        }
        extra_fields.insert(NAME.to_owned(), options.into());
        Ok(())
    }
}

fn is_nonempty_string(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Returns whether a value is a list of 1 to [`MAX_LIST_LENGTH`] valid elements.
fn is_list(value: &Value, is_element: impl Fn(&Value) -> bool) -> bool {
    let elements = value.as_array();
    elements.is_some_and(|elements| {
        (1..=MAX_LIST_LENGTH).contains(&elements.len()) && elements.iter().all(is_element)
    })
}

/// Returns whether a value is one of vLLM's `structured_outputs`: a constraint, with options.
fn is_structured_outputs(value: &Value) -> bool {
    let Some(fields) = value.as_object() else { return false };
    let mut constraints = 0_usize;
    let is_valid = fields.iter().all(|(name, value)| match name.as_str() {
        "disable_fallback" | "disable_any_whitespace" | "disable_additional_properties" => {
            value.is_boolean()
        }
        "whitespace_pattern" => is_nonempty_string(value),
        name => {
            constraints += 1;
            is_constraint(name, value)
        }
    });
    is_valid && constraints == 1
}

/// Returns whether a value is that of a constraint with this name.
fn is_constraint(name: &str, value: &Value) -> bool {
    match name {
        "json" => value.is_object() || is_nonempty_string(value),
        "choice" => is_list(value, is_nonempty_string),
        "json_object" => *value == Value::Bool(true),
        "regex" | "grammar" | "structural_tag" => is_nonempty_string(value),
        _ => false,
    }
}
