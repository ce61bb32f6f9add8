//! Parsing of requests to the server.

use serde_json::{Map, Value};

use crate::{LanguageModel, Message, ModelError, Sampling};

/// Maximum number of likeliest tokens that a request may ask for at each position.
const MAX_TOP_LOGPROBS: u64 = 20;
/// Default maximum number of tokens in an answer.
const DEFAULT_MAX_TOKENS: u64 = 256;
/// Fields that change an answer in a way that the server does not support.
const UNSUPPORTED_FIELDS: [&str; 16] = [
    "stop",
    "tools",
    "response_format",
    "stop_token_ids",
    "allowed_token_ids",
    "bad_words",
    "min_tokens",
    "truncate_prompt_tokens",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "chat_template_kwargs",
    "ignore_eos",
    "include_stop_str_in_output",
];
/// Flags of which the server supports only `true`, the default.
const REQUIRED_FLAGS: [&str; 2] = ["skip_special_tokens", "spaces_between_special_tokens"];

/// Why a request is rejected.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestError {
    pub(super) message: String,
    pub(super) param: Option<&'static str>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Prompt {
    Chat { messages: Vec<Message>, continues: bool },
    Text(String),
}

/// A parsed request for an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) prompt: Prompt,
    pub(super) sampling: Sampling,
    pub(super) wants_stream: bool,
    pub(super) wants_logprobs: bool,
    pub(super) wants_usage: bool,
    /// Number of likeliest tokens to report for each token of the prompt.
    pub(super) prompt_logprobs: Option<usize>,
}

impl Request {
    pub(super) const fn is_chat(&self) -> bool {
        matches!(self.prompt, Prompt::Chat { .. })
    }

    pub(super) fn prompt(&self, model: &LanguageModel) -> Result<Vec<u32>, ModelError> {
        match &self.prompt {
            Prompt::Chat { messages, continues } => model.chat_prompt(messages, *continues),
            Prompt::Text(text) => model.completion_prompt(text),
        }
    }

    pub(super) fn chat(body: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::parse(body)?;
        let messages = fields
            .0
            .get("messages")
            .and_then(Value::as_array)
            .ok_or(wrong_type("messages", "an array"))?;
        let messages = messages.iter().map(message).collect::<Option<Vec<_>>>();
        let messages = messages.filter(|messages| !messages.is_empty());
        let messages = messages
            .ok_or(wrong_type("messages", "an array of messages with a role and a text"))?;
        let wants_logprobs = fields.flag("logprobs")?;
        let top = fields.number("top_logprobs", MAX_TOP_LOGPROBS)?.unwrap_or(0);
        let continues = fields.flag("continue_final_message")?;
        fields.request(Prompt::Chat { messages, continues }, wants_logprobs, top)
    }

    pub(super) fn completion(body: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::parse(body)?;
        let prompt = fields
            .0
            .get("prompt")
            .and_then(Value::as_str)
            .ok_or(wrong_type("prompt", "a text"))?
            .to_owned();
        let top = fields.number("logprobs", MAX_TOP_LOGPROBS)?;
        fields.request(Prompt::Text(prompt), top.is_some(), top.unwrap_or(0))
    }
}

fn message(value: &Value) -> Option<Message> {
    let role = value.get("role")?.as_str()?.to_owned();
    let content = match value.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(content) => content.as_str()?.to_owned(),
    };
    Some(Message { role, content })
}

fn saturating_count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let fields = serde_json::from_slice(body).map_err(|error| {
            let message = format!("the body is not a JSON object: {error}");
            RequestError { message, param: None }
        })?;
        let fields = Self(fields);
        let unsupported = UNSUPPORTED_FIELDS
            .into_iter()
            .find(|name| fields.0.get(*name).is_some_and(|value| !has_no_effect(value)));
        let disabled = REQUIRED_FLAGS
            .into_iter()
            .find(|name| fields.0.get(*name) == Some(&Value::Bool(false)));
        if let Some(name) = unsupported.or(disabled) {
            return Err(RequestError {
                message: format!("{name} is not supported by this model"),
                param: Some(name),
            });
        }
        if fields.number("n", u64::MAX)?.unwrap_or(1) != 1 {
            return Err(RequestError { message: "n must be 1".to_owned(), param: Some("n") });
        }
        Ok(fields)
    }

    fn request(
        &self,
        prompt: Prompt,
        wants_logprobs: bool,
        top: u64,
    ) -> Result<Request, RequestError> {
        let max_tokens = match self.number("max_completion_tokens", u64::MAX)? {
            Some(tokens) => tokens,
            None => self.number("max_tokens", u64::MAX)?.unwrap_or(DEFAULT_MAX_TOKENS),
        };
        let sampling = Sampling {
            temperature: self.float("temperature", 0.0, 2.0)?.unwrap_or(1.0),
            top_p: self.float("top_p", 0.0, 1.0)?.unwrap_or(1.0),
            top_k: saturating_count(self.number("top_k", u64::MAX)?.unwrap_or(0)),
            seed: self.number("seed", u64::MAX)?.unwrap_or(0),
            max_tokens: saturating_count(max_tokens),
            top_logprobs: saturating_count(top),
        };
        let wants_usage =
            self.0.get("stream_options").and_then(|options| options.get("include_usage"));
        Ok(Request {
            prompt,
            sampling,
            wants_stream: self.flag("stream")?,
            wants_logprobs,
            wants_usage: wants_usage.and_then(Value::as_bool).unwrap_or(false),
            prompt_logprobs: self
                .number("prompt_logprobs", MAX_TOP_LOGPROBS)?
                .map(saturating_count),
        })
    }

    fn flag(&self, name: &'static str) -> Result<bool, RequestError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(value) => value.as_bool().ok_or(wrong_type(name, "true or false")),
        }
    }

    fn number(&self, name: &'static str, max: u64) -> Result<Option<u64>, RequestError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().filter(|number| *number <= max);
                number
                    .map(Some)
                    .ok_or_else(|| wrong_type(name, &format!("an integer from 0 to {max}")))
            }
        }
    }

    fn float(&self, name: &'static str, min: f64, max: f64) -> Result<Option<f64>, RequestError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_f64().filter(|number| (min..=max).contains(number));
                number
                    .map(Some)
                    .ok_or_else(|| wrong_type(name, &format!("a number from {min} to {max}")))
            }
        }
    }
}

/// Returns whether a field has no effect: null, false, 0, or empty.
fn has_no_effect(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(_) => false,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn wrong_type(param: &'static str, expected: &str) -> RequestError {
    RequestError { message: format!("{param} must be {expected}"), param: Some(param) }
}
