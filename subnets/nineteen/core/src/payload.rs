//! Payloads of requests to miners.
//!
//! Synthetic and organic requests have the same fields in the same order, so that miners cannot
//! recognise synthetic requests by their format.

use serde_json::{Map, Value};

/// Maximum sampling seed of a request.
pub const MAX_SEED: u64 = 100_000_000;
/// `top_k` of text requests, as in the reference.
pub(crate) const TOP_K: u64 = 5;

/// Input of a text request.
#[derive(Debug, Clone, PartialEq)]
pub enum TextInput {
    /// Messages of a chat.
    Messages(Vec<Value>),
    /// Prompt of a completion.
    Prompt(String),
}

/// Payload of a chat or completion request to a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct TextPayload {
    /// Messages or prompt.
    pub input: TextInput,
    /// Name of the task, sent as `model`.
    pub model: String,
    /// Sampling temperature, in `0..=2`.
    pub temperature: f64,
    /// Sampling seed, in `1..=MAX_SEED`.
    pub seed: u64,
    /// Nucleus sampling: cumulative probability of the candidate tokens.
    pub top_p: f64,
    /// Maximum number of tokens of the answer.
    pub max_tokens: u64,
    /// Optional fields of the buyer's request, such as `stop` and `tools`.
    pub extra_fields: Map<String, Value>,
}

impl TextPayload {
    /// Returns the payload of a completion with another prompt.
    #[must_use]
    pub fn with_prompt(&self, prompt: String) -> Self {
        let Self { input: _, model, temperature, seed, top_p, max_tokens, extra_fields } = self;
        Self {
            input: TextInput::Prompt(prompt),
            model: model.clone(),
            temperature: *temperature,
            seed: *seed,
            top_p: *top_p,
            max_tokens: *max_tokens,
            extra_fields: extra_fields.clone(),
        }
    }

    /// Returns the payload as a JSON object, which always requests a stream with log-probabilities
    /// for the checker.
    pub fn into_map(self) -> Map<String, Value> {
        let Self { input, model, temperature, seed, top_p, max_tokens, extra_fields } = self;
        let (name, input, logprobs) = match input {
            TextInput::Messages(messages) => {
                ("messages", Value::Array(messages), Value::Bool(true))
            }
            // In completions, `logprobs` is a number.
            TextInput::Prompt(prompt) => ("prompt", Value::String(prompt), Value::from(1)),
        };
        let mut map = Map::with_capacity(9 + extra_fields.len());
        map.insert(name.to_owned(), input);
        map.insert("temperature".to_owned(), temperature.into());
        map.insert("seed".to_owned(), seed.into());
        map.insert("model".to_owned(), model.into());
        map.insert("stream".to_owned(), true.into());
        map.insert("logprobs".to_owned(), logprobs);
        map.insert("top_p".to_owned(), top_p.into());
        map.insert("top_k".to_owned(), TOP_K.into());
        map.insert("max_tokens".to_owned(), max_tokens.into());
        map.extend(extra_fields);
        map
    }
}

/// Payload of an embedding request to a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingPayload {
    /// Texts to embed.
    pub input: Vec<String>,
    /// Name of the task, sent as `model`.
    pub model: String,
    /// Optional field of the buyer's request: `dimensions`.
    pub extra_fields: Map<String, Value>,
}

impl EmbeddingPayload {
    /// Returns the payload as a JSON object.
    pub fn into_map(self) -> Map<String, Value> {
        let Self { input, model, extra_fields } = self;
        let mut map = Map::new();
        map.insert("input".to_owned(), input.into());
        map.insert("model".to_owned(), model.into());
        map.extend(extra_fields);
        map
    }
}

/// Payload of an image request to a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePayload {
    /// Prompt: description of the image.
    pub prompt: String,
    /// Negative prompt: description of content to avoid.
    pub negative_prompt: String,
    /// Number of denoising steps.
    pub steps: u64,
    /// Guidance scale: how closely the image follows the prompt.
    pub cfg_scale: f64,
    /// Width, in pixels.
    pub width: u64,
    /// Height, in pixels.
    pub height: u64,
    /// Seed of the noise, in `1..=MAX_SEED`.
    pub seed: u64,
    /// Name of the task, sent as `model`; `None` if the route selects it
    /// ([`crate::MarketConfig::names_task`]).
    pub model: Option<String>,
    /// Further fields specific to the route, such as images and strengths.
    pub extra_fields: Map<String, Value>,
}

impl ImagePayload {
    /// Returns the payload as a JSON object.
    pub fn into_map(self) -> Map<String, Value> {
        let Self {
            prompt,
            negative_prompt,
            steps,
            cfg_scale,
            width,
            height,
            seed,
            model,
            extra_fields,
        } = self;
        let mut map = Map::new();
        map.insert("prompt".to_owned(), prompt.into());
        map.insert("negative_prompt".to_owned(), negative_prompt.into());
        map.insert("steps".to_owned(), steps.into());
        map.insert("cfg_scale".to_owned(), cfg_scale.into());
        map.insert("width".to_owned(), width.into());
        map.insert("height".to_owned(), height.into());
        map.insert("seed".to_owned(), seed.into());
        map.extend(model.map(|model| ("model".to_owned(), model.into())));
        map.extend(extra_fields);
        map
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payload_fields_have_a_fixed_order() {
        let payload = TextPayload {
            input: TextInput::Messages(vec![json!({"role": "user", "content": "a"})]),
            model: "chat".to_owned(),
            temperature: 0.5,
            seed: 7,
            top_p: 1.0,
            max_tokens: 20,
            extra_fields: Map::new(),
        };
        assert_eq!(
            Value::Object(payload.clone().into_map()).to_string(),
            r#"{"messages":[{"role":"user","content":"a"}],"temperature":0.5,"seed":7,"model":"chat","stream":true,"logprobs":true,"top_p":1.0,"top_k":5,"max_tokens":20}"#
        );
        let stop = json!({"stop": ["x"]}).as_object().unwrap().clone();
        let completion =
            TextPayload { input: TextInput::Prompt("a".to_owned()), extra_fields: stop, ..payload };
        let mut map = completion.clone().into_map();
        assert_eq!(
            (&map["prompt"], &map["logprobs"], &map["stop"]),
            (&json!("a"), &json!(1), &json!(["x"]))
        );
        map.insert("prompt".to_owned(), json!("b"));
        assert_eq!(completion.with_prompt("b".to_owned()).into_map(), map);
    }
}
