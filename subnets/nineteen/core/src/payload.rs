//! Payloads as miners take them.
//!
//! Synthetic and organic requests are put together here alike: the same fields in the same order, so that a miner cannot
//! tell a test by its form.

use serde_json::{Map, Value};

/// Largest seed of a request.
pub const LARGEST_SEED: u64 = 100_000_000;
/// Candidates for each token, as the reference's requests have it.
pub const TOP_K: u64 = 5;

/// What a text request asks to continue.
#[derive(Debug, Clone, PartialEq)]
pub enum TextInput {
    /// Messages of a conversation.
    Messages(Vec<Value>),
    /// A text.
    Prompt(String),
}

/// A text request.
#[derive(Debug, Clone, PartialEq)]
pub struct TextPayload {
    /// What to continue.
    pub input: TextInput,
    /// The task, which miners know as the model.
    pub model: String,
    /// How varied the answer is, in `0..=2`.
    pub temperature: f64,
    /// Seed of the draws, in `1..=LARGEST_SEED`.
    pub seed: u64,
    /// Candidates have this probability together.
    pub top_p: f64,
    /// Most tokens of the answer.
    pub max_tokens: u64,
    /// What a buyer asks for besides, such as `stop` and `tools`.
    pub further: Map<String, Value>,
}

impl TextPayload {
    /// The payload: always a stream with log-probabilities, which the checker needs.
    pub fn into_map(self) -> Map<String, Value> {
        let Self { input, model, temperature, seed, top_p, max_tokens, further } = self;
        let (name, input, logprobs) = match input {
            TextInput::Messages(messages) => ("messages", Value::Array(messages), Value::Bool(true)),
            // A number in completions.
            TextInput::Prompt(prompt) => ("prompt", Value::String(prompt), Value::from(1)),
        };
        let mut map = Map::new();
        map.insert(name.to_owned(), input);
        map.insert("temperature".to_owned(), temperature.into());
        map.insert("seed".to_owned(), seed.into());
        map.insert("model".to_owned(), model.into());
        map.insert("stream".to_owned(), true.into());
        map.insert("logprobs".to_owned(), logprobs);
        map.insert("top_p".to_owned(), top_p.into());
        map.insert("top_k".to_owned(), TOP_K.into());
        map.insert("max_tokens".to_owned(), max_tokens.into());
        map.extend(further);
        map
    }
}

/// A request for the vectors of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingPayload {
    /// The texts.
    pub input: Vec<String>,
    /// The task, which miners know as the model.
    pub model: String,
    /// What a buyer asks for besides: `dimensions`.
    pub further: Map<String, Value>,
}

impl EmbeddingPayload {
    /// The payload.
    pub fn into_map(self) -> Map<String, Value> {
        let Self { input, model, further } = self;
        let mut map = Map::new();
        map.insert("input".to_owned(), input.into());
        map.insert("model".to_owned(), model.into());
        map.extend(further);
        map
    }
}

/// A request for an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePayload {
    /// What it shows.
    pub prompt: String,
    /// What it does not show.
    pub negative_prompt: String,
    /// Denoising steps.
    pub steps: u64,
    /// How closely it follows the prompt.
    pub cfg_scale: f64,
    /// Width, in pixels.
    pub width: u64,
    /// Height, in pixels.
    pub height: u64,
    /// Seed of the noise, in `1..=LARGEST_SEED`.
    pub seed: u64,
    /// The task, which miners know as the model; the routes for avatars and inpainting have none.
    pub model: Option<String>,
    /// What the route takes besides: images, strengths.
    pub further: Map<String, Value>,
}

impl ImagePayload {
    /// The payload.
    pub fn into_map(self) -> Map<String, Value> {
        let Self { prompt, negative_prompt, steps, cfg_scale, width, height, seed, model, further } = self;
        let mut map = Map::new();
        map.insert("prompt".to_owned(), prompt.into());
        map.insert("negative_prompt".to_owned(), negative_prompt.into());
        map.insert("steps".to_owned(), steps.into());
        map.insert("cfg_scale".to_owned(), cfg_scale.into());
        map.insert("width".to_owned(), width.into());
        map.insert("height".to_owned(), height.into());
        map.insert("seed".to_owned(), seed.into());
        map.extend(model.map(|model| ("model".to_owned(), model.into())));
        map.extend(further);
        map
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_stand_in_one_order() {
        let payload = TextPayload {
            input: TextInput::Messages(vec![json!({"role": "user", "content": "a"})]),
            model: "chat".to_owned(),
            temperature: 0.5,
            seed: 7,
            top_p: 1.0,
            max_tokens: 20,
            further: Map::new(),
        };
        assert_eq!(
            Value::Object(payload.clone().into_map()).to_string(),
            r#"{"messages":[{"role":"user","content":"a"}],"temperature":0.5,"seed":7,"model":"chat","stream":true,"logprobs":true,"top_p":1.0,"top_k":5,"max_tokens":20}"#
        );
        let stop = json!({"stop": ["x"]}).as_object().unwrap().clone();
        let map = TextPayload { input: TextInput::Prompt("a".to_owned()), further: stop, ..payload }.into_map();
        assert_eq!((&map["prompt"], &map["logprobs"], &map["stop"]), (&json!("a"), &json!(1), &json!(["x"])));
    }
}
