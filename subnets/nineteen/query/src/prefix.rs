//! Affinity of prompts to miners: the server of a miner that has read the beginning of a prompt
//! before has it in its cache.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;
use taonet_primitives::Hotkey;

use crate::Request;

/// Number of bytes that prompts must have in common: about 256 tokens. Caches save little time for
/// shorter beginnings.
const PREFIX_BYTES: usize = 1_024;
/// Fields of a payload with the prompt, in the order in which chat templates write them.
const PROMPT_FIELDS: [&str; 3] = ["tools", "messages", "prompt"];

/// Hash of the beginning of a prompt, by which a request selects its miner.
///
/// All processes of a release compute the same hash. It contains the API key, so that buyers with
/// the same prompt, such as that of a popular program, do not all select the same miner, and the
/// buyer's `prompt_cache_key`, which tells the conversations with the same prompt apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PromptPrefix(u64);

impl PromptPrefix {
    /// Returns the prefix of a text request; `None` if the prompt is too short.
    pub(crate) fn from_request(request: &Request) -> Option<Self> {
        let mut prefix_hasher =
            PrefixHasher { hasher: DefaultHasher::new(), remaining_bytes: PREFIX_BYTES };
        (&request.key, request.cache_key).hash(&mut prefix_hasher.hasher);
        for value in PROMPT_FIELDS.iter().filter_map(|field| request.payload.get(field)) {
            prefix_hasher.add(value);
        }
        (prefix_hasher.remaining_bytes == 0).then(|| Self(prefix_hasher.hasher.finish()))
    }

    /// Returns a pseudo-random number in `0..1` for this prefix and a miner: uniform over prefixes,
    /// and independent between miners.
    pub(crate) fn draw(self, hotkey: &Hotkey) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.0, hotkey).hash(&mut hasher);
        // An `f64` has 53 bits of precision.
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Hasher of the beginning of a prompt.
struct PrefixHasher {
    hasher: DefaultHasher,
    /// Number of bytes that remain to be hashed.
    remaining_bytes: usize,
}

impl PrefixHasher {
    /// Adds the names and texts in a value.
    fn add(&mut self, value: &Value) {
        if self.remaining_bytes == 0 {
            return;
        }
        match value {
            Value::String(text) => self.add_text(text),
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.add_text(name);
                    self.add(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        let (hashed_bytes, _) = text.as_bytes().split_at(text.len().min(self.remaining_bytes));
        hashed_bytes.hash(&mut self.hasher);
        self.remaining_bytes -= hashed_bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_wallet::Keypair;

    use super::*;
    use crate::RequestKind;
    use crate::tests::request;

    fn prefix(key: &str, fields: &Value) -> Option<PromptPrefix> {
        let payload = fields.as_object().unwrap().clone().into();
        PromptPrefix::from_request(&Request {
            key: key.into(),
            payload,
            ..request(RequestKind::Organic)
        })
    }

    /// Returns a conversation with a system prompt of a length.
    fn chat(length: usize, texts: &[&str]) -> Value {
        let mut messages = vec![json!({"role": "system", "content": "s".repeat(length)})];
        messages.extend(texts.iter().map(|text| json!({"role": "user", "content": text})));
        json!({"messages": messages})
    }

    #[test]
    fn prompts_with_a_common_start_share_a_prefix() {
        let (first, longer) =
            (prefix("a", &chat(2_000, &["x"])), prefix("a", &chat(2_000, &["x", "y"])));
        assert!(first.is_some() && first == longer);
        assert_eq!(first, prefix("a", &chat(2_001, &["z"])));
        // Fields that are not in the prompt.
        let mut other = chat(2_000, &["x"]);
        other["seed"] = json!(7);
        other["temperature"] = json!(0.5);
        assert_eq!(first, prefix("a", &other));
        // Other keys, cache keys, tools and texts.
        assert_ne!(first, prefix("b", &chat(2_000, &["x"])));
        let payload = chat(2_000, &["x"]).as_object().unwrap().clone().into();
        let other_key = Request {
            key: "a".into(),
            cache_key: Some(7),
            payload,
            ..request(RequestKind::Organic)
        };
        assert_ne!(first, PromptPrefix::from_request(&other_key));
        other["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
        assert_ne!(first, prefix("a", &other));
        assert_ne!(
            prefix("a", &chat(900, &["x", &"y".repeat(900)])),
            prefix("a", &chat(900, &["z", &"y".repeat(900)]))
        );
        let prompt = |text: &str| prefix("a", &json!({"prompt": text}));
        assert_eq!(prompt(&"p".repeat(PREFIX_BYTES)), prompt(&"p".repeat(PREFIX_BYTES + 1)));
    }

    #[test]
    fn short_prompts_have_no_prefix() {
        let prompt = |text: &str| prefix("a", &json!({"prompt": text}));
        assert!(
            prompt(&"p".repeat(PREFIX_BYTES)).is_some()
                && prompt(&"p".repeat(PREFIX_BYTES - 1)).is_none()
        );
        assert_eq!(prefix("a", &chat(900, &["x"])), None);
        assert_eq!(prefix("a", &json!({})), None);
    }

    #[test]
    fn draws_are_uniform_and_independent_between_miners() {
        let hotkeys = ["//Alice", "//Bob"].map(|uri| Keypair::from_uri(uri).unwrap().hotkey());
        let draws: Vec<_> = (0..4_000)
            .map(|hash| hotkeys.each_ref().map(|hotkey| PromptPrefix(hash).draw(hotkey)))
            .collect();
        assert!(draws.iter().flatten().all(|draw| (0.0..1.0).contains(draw)));
        for quadrant in [[false, false], [false, true], [true, false], [true, true]] {
            let count =
                draws.iter().filter(|draws| draws.map(|draw| draw >= 0.5) == quadrant).count();
            assert!((800..1_200).contains(&count), "{quadrant:?}: {count}");
        }
    }
}
