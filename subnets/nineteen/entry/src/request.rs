//! Buyers' requests, in OpenAI's form.

use rand::Rng as _;
use serde_json::{Map, Value};
use taonet_nineteen_core::payload::{LARGEST_SEED, TextInput, TextPayload};

use crate::GatewayError;

/// Tokens of an answer where the request names no number.
const DEFAULT_TOKENS: u64 = 512;
/// Most tokens of an answer.
const MOST_TOKENS: u64 = 32_768;
/// Most messages of a conversation.
const MOST_MESSAGES: usize = 1_024;
/// Passed on to the miner as they are.
const PASSED_ON: [&str; 9] = [
    "stop",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "top_logprobs",
];
/// Without effect on an answer: they concern OpenAI's own accounting.
const WITHOUT_EFFECT: [&str; 6] =
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"];

/// A request for a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TextRequest {
    /// The task's name, as the buyer wrote it.
    pub(crate) model: String,
    pub(crate) payload: TextPayload,
    pub(crate) streams: bool,
    pub(crate) wants_logprobs: bool,
    pub(crate) wants_usage: bool,
}

impl TextRequest {
    /// Reads `POST /v1/chat/completions`.
    pub(crate) fn chat(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let messages = match fields.take("messages") {
            Some(Value::Array(messages)) if (1..=MOST_MESSAGES).contains(&messages.len()) => messages,
            _ => return Err(GatewayError::field("messages", "messages must be an array of 1..=1024 messages")),
        };
        for (index, message) in messages.iter().enumerate() {
            let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
            if !matches!(role, "system" | "developer" | "user" | "assistant" | "tool") {
                let param = format!("messages[{index}].role");
                let message = format!("{param} must be system, developer, user, assistant or tool");
                return Err(GatewayError::field(param, message));
            }
            let content = message.get("content").unwrap_or(&Value::Null);
            let calls = message.get("tool_calls").is_some_and(Value::is_array);
            if !(content.is_string() || content.is_array() || (content.is_null() && calls)) {
                let param = format!("messages[{index}].content");
                let message = format!("{param} must be a text or an array of parts");
                return Err(GatewayError::field(param, message));
            }
        }
        let wants_logprobs = fields.flag("logprobs")?;
        fields.request(TextInput::Messages(messages), wants_logprobs)
    }

    /// Reads `POST /v1/completions`.
    pub(crate) fn completion(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let prompt = match fields.take("prompt") {
            Some(Value::String(prompt)) => prompt,
            Some(Value::Array(prompts)) => match prompts.as_slice() {
                [Value::String(prompt)] => prompt.clone(),
                _ => return Err(GatewayError::field("prompt", "prompt must be one text; send one request for each")),
            },
            _ => return Err(GatewayError::field("prompt", "prompt must be a text")),
        };
        for unsupported in ["suffix", "echo", "best_of"] {
            fields.refuse_unless_off(unsupported)?;
        }
        let wants_logprobs = fields.whole("logprobs", 0, 5)?.is_some();
        fields.request(TextInput::Prompt(prompt), wants_logprobs)
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, GatewayError> {
        serde_json::from_slice(body).map(Self).map_err(|error| GatewayError::Body(error.to_string()))
    }

    /// The rest of a request. What is left then is unknown.
    fn request(mut self, input: TextInput, wants_logprobs: bool) -> Result<TextRequest, GatewayError> {
        let model = match self.take("model") {
            Some(Value::String(model)) if !model.is_empty() => model,
            _ => return Err(GatewayError::field("model", "model must be the name of a model")),
        };
        self.refuse_unless("n", |value| value.as_u64() == Some(1), "only n = 1 is supported")?;
        let streams = self.flag("stream")?;
        let mut options = match self.take("stream_options") {
            None => Map::new(),
            Some(Value::Object(options)) if streams => options,
            Some(Value::Object(_)) => {
                return Err(GatewayError::field("stream_options", "stream_options needs stream = true"));
            }
            Some(_) => return Err(GatewayError::field("stream_options", "stream_options must be an object")),
        };
        let wants_usage = options.shift_remove("include_usage").and_then(|value| value.as_bool()).unwrap_or(false);
        options.shift_remove("include_obfuscation");
        if let Some(name) = options.keys().next() {
            return Err(GatewayError::field(format!("stream_options.{name}"), "unknown option"));
        }
        let completion_tokens = self.whole("max_completion_tokens", 1, MOST_TOKENS)?;
        let max_tokens = completion_tokens.or(self.whole("max_tokens", 1, MOST_TOKENS)?).unwrap_or(DEFAULT_TOKENS);
        let temperature = self.float("temperature", 0.0, 2.0)?.unwrap_or(1.0);
        let top_p = self.float("top_p", 0.0, 1.0)?.unwrap_or(1.0);
        // Miners and checkers draw alike from a seed of this range.
        let seed = match self.take("seed") {
            None => rand::rng().random_range(1..=LARGEST_SEED),
            Some(value) => {
                let seed = value.as_i64().ok_or_else(|| GatewayError::field("seed", "seed must be a whole number"))?;
                seed.unsigned_abs() % LARGEST_SEED + 1
            }
        };
        let mut further = Map::new();
        for name in PASSED_ON {
            if let Some(value) = self.take(name) {
                further.insert(name.to_owned(), value);
            }
        }
        if further.contains_key("top_logprobs") && !wants_logprobs {
            return Err(GatewayError::field("top_logprobs", "top_logprobs needs logprobs = true"));
        }
        for name in WITHOUT_EFFECT {
            self.take(name);
        }
        if let Some(name) = self.0.keys().next() {
            return Err(GatewayError::field(name.clone(), format!("{name} is unknown or unsupported")));
        }
        let payload = TextPayload { input, model: model.clone(), temperature, seed, top_p, max_tokens, further };
        Ok(TextRequest { model, payload, streams, wants_logprobs, wants_usage })
    }

    /// A field; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, GatewayError> {
        match self.take(name) {
            None => Ok(false),
            Some(value) => {
                value.as_bool().ok_or_else(|| GatewayError::field(name, format!("{name} must be true or false")))
            }
        }
    }

    fn whole(&mut self, name: &'static str, smallest: u64, largest: u64) -> Result<Option<u64>, GatewayError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (smallest..=largest).contains(number));
        let expected = || GatewayError::field(name, format!("{name} must be a whole number in {smallest}..={largest}"));
        number.map(Some).ok_or_else(expected)
    }

    fn float(&mut self, name: &'static str, smallest: f64, largest: f64) -> Result<Option<f64>, GatewayError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| (smallest..=largest).contains(number));
        let expected = || GatewayError::field(name, format!("{name} must be a number in {smallest}..={largest}"));
        number.map(Some).ok_or_else(expected)
    }

    fn refuse_unless(
        &mut self,
        name: &'static str,
        fits: impl Fn(&Value) -> bool,
        message: &str,
    ) -> Result<(), GatewayError> {
        match self.take(name) {
            Some(value) if !fits(&value) => Err(GatewayError::field(name, message)),
            _ => Ok(()),
        }
    }

    fn refuse_unless_off(&mut self, name: &'static str) -> Result<(), GatewayError> {
        let is_off = |value: &Value| matches!(value, Value::Bool(false)) || value.as_u64() == Some(1);
        self.refuse_unless(name, is_off, &format!("{name} is not supported"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(further: &Value) -> Result<TextRequest, GatewayError> {
        let mut body = json!({"model": "chat-a", "messages": [{"role": "user", "content": "hello"}]});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        TextRequest::chat(body.to_string().as_bytes())
    }

    /// §11.7
    #[test]
    fn issue_11_7_the_callers_temperature_holds() {
        let request = chat(&json!({"temperature": 0.1, "seed": 7, "max_tokens": 9})).unwrap();
        let map = request.payload.into_map();
        assert_eq!((&map["temperature"], &map["seed"], &map["max_tokens"]), (&json!(0.1), &json!(8), &json!(9)));
    }

    #[test]
    fn options_are_passed_on() {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let options = json!({"tools": tools, "stop": ["x"], "response_format": {"type": "json_object"}, "user": "me"});
        let map = chat(&options).unwrap().payload.into_map();
        assert_eq!((&map["tools"], &map["stop"]), (&tools, &json!(["x"])));
        assert!(map.get("user").is_none() && map["response_format"].is_object());
    }

    #[test]
    fn what_is_unknown_is_refused_by_name() {
        for (further, param) in [
            (json!({"modalities": ["audio"]}), "modalities"),
            (json!({"n": 2}), "n"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_tokens": 1e9}), "max_tokens"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"seed": 1.5}), "seed"),
            (json!({"model": 7}), "model"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [{"role": "god", "content": "a"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
            (json!({"stream_options": {"include_usage": true}}), "stream_options"),
            (json!({"stream": true, "stream_options": {"speed": 1}}), "stream_options.speed"),
            (json!({"top_logprobs": 2}), "top_logprobs"),
        ] {
            let error = chat(&further).unwrap_err();
            assert!(
                matches!(&error, GatewayError::Field { param: found, .. } if found == param),
                "{further}: {error:?}"
            );
        }
        for body in ["", "[]", "7", "{"] {
            assert!(matches!(TextRequest::chat(body.as_bytes()), Err(GatewayError::Body(_))), "{body}");
        }
    }

    #[test]
    fn nulls_are_absent() {
        let request = chat(&json!({"n": null, "stop": null, "seed": null, "stream": null, "tools": null})).unwrap();
        assert!(!request.streams && request.payload.further.is_empty());
    }

    #[test]
    fn completions_have_one_prompt() {
        let read = |body: Value| TextRequest::completion(body.to_string().as_bytes());
        let request = read(json!({"model": "a", "prompt": ["x"], "logprobs": 1})).unwrap();
        assert!(request.wants_logprobs);
        assert_eq!(request.payload.input, TextInput::Prompt("x".to_owned()));
        for (body, param) in [
            (json!({"model": "a"}), "prompt"),
            (json!({"model": "a", "prompt": ["x", "y"]}), "prompt"),
            (json!({"model": "a", "prompt": "x", "echo": true}), "echo"),
            (json!({"model": "a", "prompt": "x", "best_of": 2}), "best_of"),
        ] {
            let error = read(body).unwrap_err();
            assert!(matches!(&error, GatewayError::Field { param: found, .. } if found == param), "{error:?}");
        }
    }
}
