//! Fields that requests for texts have in common.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value};
use taonet_nineteen_core::payload::{TextInput, TextPayload};

use super::{Fields, MAX_CHOICES, MAX_TOKENS, MAX_TOOLS, TextRequest};
use crate::GatewayError;
use crate::answer::ChoiceFormat;

/// Maximum number of pairs in `metadata`.
const MAX_METADATA: usize = 16;

impl Fields {
    /// Parses the remaining fields of a text request and rejects unknown ones.
    pub(crate) fn into_text_request(
        mut self,
        input: TextInput,
        wants_logprobs: bool,
        mut extra_fields: Map<String, Value>,
    ) -> Result<TextRequest, GatewayError> {
        let model = self.take_model()?;
        let choices = self.take_integer("n", 1, MAX_CHOICES)?.unwrap_or(1);
        let streams = self.take_flag("stream")?;
        let wants_usage = self.take_stream_options(streams)?;
        let max_tokens = match (
            self.take_integer("max_completion_tokens", 1, MAX_TOKENS)?,
            self.take_integer("max_tokens", 1, MAX_TOKENS)?,
        ) {
            (Some(one), Some(other)) if one != other => {
                return Err(GatewayError::field(
                    "max_tokens",
                    "max_tokens and max_completion_tokens differ",
                ));
            }
            (one, other) => one.or(other),
        };
        let min_tokens = self.take_integer("min_tokens", 0, MAX_TOKENS)?.unwrap_or(0);
        if max_tokens.is_some_and(|maximum| maximum < min_tokens) {
            return Err(GatewayError::field("min_tokens", "min_tokens must be at most max_tokens"));
        }
        if min_tokens > 0 {
            extra_fields.insert("min_tokens".to_owned(), min_tokens.into());
        }
        let temperature = self.take_float("temperature", 0.0, 2.0)?.unwrap_or(1.0);
        let top_p = self.take_float("top_p", 0.0, 1.0)?.unwrap_or(1.0);
        let seed = self.take_seed()?;
        self.copy_sampling_fields(&mut extra_fields)?;
        self.refuse_unless("store", |value| *value == Value::Bool(false), "store must be false")?;
        let is_metadata = |value: &Value| {
            value.as_object().is_some_and(|pairs| {
                pairs.len() <= MAX_METADATA && pairs.values().all(Value::is_string)
            })
        };
        self.refuse_unless(
            "metadata",
            is_metadata,
            "metadata must be an object with at most 16 string values",
        )?;
        let is_standard = |value: &Value| matches!(value.as_str(), Some("auto" | "default"));
        self.refuse_unless("service_tier", is_standard, "service_tier must be auto or default")?;
        let cache_key =
            self.take("prompt_cache_key").as_ref().and_then(Value::as_str).map(hash_cache_key);
        self.reject_remaining()?;
        let maximum = max_tokens.unwrap_or(MAX_TOKENS);
        let choice_format = match input {
            TextInput::Messages(_) => ChoiceFormat::Chat,
            TextInput::Prompt(_) => ChoiceFormat::Completion { echoes: false },
        };
        let payload = TextPayload {
            input,
            model: model.clone(),
            temperature,
            seed,
            top_p,
            max_tokens: maximum,
            extra_fields,
        };
        let choices_per_prompt = usize::try_from(choices).unwrap_or(1);
        Ok(TextRequest {
            model,
            payload,
            extra_prompts: Vec::new(),
            choice_format,
            max_tokens,
            min_tokens,
            image_fields: Vec::new(),
            choices_per_prompt,
            answers_per_prompt: choices_per_prompt,
            streams,
            wants_logprobs,
            wants_usage,
            cache_key,
        })
    }

    /// Parses the fields for tools and the response format.
    pub(crate) fn copy_tool_fields(
        &mut self,
        extra_fields: &mut Map<String, Value>,
    ) -> Result<(), GatewayError> {
        let has_type = |value: &Value| value.get("type").is_some_and(Value::is_string);
        self.copy_field(
            "tools",
            extra_fields,
            "an array of 1..=128 tools, each with a type",
            |value| {
                let tools = value.as_array();
                tools.is_some_and(|tools| {
                    (1..=MAX_TOOLS).contains(&tools.len()) && tools.iter().all(has_type)
                })
            },
        )?;
        let is_choice = |value: &Value| match value {
            Value::String(choice) => matches!(choice.as_str(), "none" | "auto" | "required"),
            choice => has_type(choice),
        };
        self.copy_field(
            "tool_choice",
            extra_fields,
            "none, auto, required or an object with a type",
            is_choice,
        )?;
        self.copy_field("parallel_tool_calls", extra_fields, "true or false", Value::is_boolean)?;
        self.copy_field("response_format", extra_fields, "an object with a type", has_type)
    }

    fn take_stream_options(&mut self, streams: bool) -> Result<bool, GatewayError> {
        let options = match self.take("stream_options") {
            None => return Ok(false),
            Some(Value::Object(options)) if streams => options,
            Some(Value::Object(_)) => {
                return Err(GatewayError::field(
                    "stream_options",
                    "stream_options requires stream = true",
                ));
            }
            Some(_) => {
                return Err(GatewayError::field(
                    "stream_options",
                    "stream_options must be an object",
                ));
            }
        };
        let mut wants_usage = false;
        for (name, value) in options {
            match (name.as_str(), value.as_bool()) {
                ("include_usage", Some(include_usage)) => wants_usage = include_usage,
                ("include_usage", None) if value.is_null() => {}
                // The gateway never pads events, so only `false` is valid.
                ("include_obfuscation", Some(false)) => {}
                ("include_usage" | "include_obfuscation", _) => {
                    let message = format!("stream_options.{name} has an unsupported value");
                    return Err(GatewayError::field(format!("stream_options.{name}"), message));
                }
                _ => {
                    return Err(GatewayError::field(
                        format!("stream_options.{name}"),
                        "unknown stream option",
                    ));
                }
            }
        }
        Ok(wants_usage)
    }
}

fn hash_cache_key(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
