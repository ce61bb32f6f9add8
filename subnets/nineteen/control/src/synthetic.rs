//! Generation of synthetic requests: a new one each time, in the form of buyers' requests.

mod words;

use rand::Rng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::Task;
use taonet_nineteen_core::payload::{EmbeddingPayload, ImagePayload, LARGEST_SEED, TextInput, TextPayload};
use taonet_nineteen_core::task::Endpoint;

use words::text;

/// Maximum `max_tokens` of a request, unless the task sets a smaller limit.
const MOST_TOKENS: u64 = 2_000;
/// Minimum of the random draws of `max_tokens`.
const FEWEST_TOKENS: u64 = 16;
/// Round values of `max_tokens`, as people write them.
const ROUND: [u64; 6] = [64, 128, 256, 512, 1_024, 2_000];

/// Generates a request for a task. Returns `None` for tasks without a generator: those that need an input image.
///
/// `synthetic_generation_config.kwargs` may set `max_tokens`, the maximum for that field, and `max_words`, the maximum
/// length of a message.
pub fn payload(task: &Task, random: &mut impl Rng) -> Option<Map<String, Value>> {
    let limit = |name: &str| task.synthetic_generation_config.kwargs.get(name).and_then(Value::as_u64);
    let words = usize::try_from(limit("max_words").unwrap_or(140)).unwrap_or(usize::MAX).max(4);
    match task.endpoint {
        Endpoint::Chat => {
            let messages = TextInput::Messages(messages(words, random));
            Some(text_payload(task, messages, limit("max_tokens"), random))
        }
        Endpoint::Completions => {
            let prompt = TextInput::Prompt(text(length(words, random), random));
            Some(text_payload(task, prompt, limit("max_tokens"), random))
        }
        Endpoint::Embeddings => {
            let texts: Vec<_> = (0..random.random_range(1..=4)).map(|_| text(length(words, random), random)).collect();
            Some(EmbeddingPayload { input: texts, model: task.task.to_string(), further: Map::new() }.into_map())
        }
        Endpoint::TextToImage => Some(
            ImagePayload {
                prompt: text(random.random_range(4..=20), random),
                negative_prompt: text(random.random_range(4..=12), random),
                steps: 8,
                cfg_scale: 3.0,
                width: 1_024,
                height: 1_024,
                seed: random.random_range(1..=LARGEST_SEED),
                model: Some(task.task.to_string()),
                further: Map::new(),
            }
            .into_map(),
        ),
        _ => None,
    }
}

/// Returns the maximum number of chunks of an answer to a payload.
pub fn most_chunks(payload: &Map<String, Value>) -> usize {
    // One more, for the final chunk of some servers.
    let tokens = payload.get("max_tokens").and_then(Value::as_u64).unwrap_or(MOST_TOKENS);
    usize::try_from(tokens).unwrap_or(usize::MAX).saturating_add(1)
}

fn text_payload(task: &Task, input: TextInput, limit: Option<u64>, random: &mut impl Rng) -> Map<String, Value> {
    let most = limit.unwrap_or(MOST_TOKENS).max(1);
    let tokens = if random.random_bool(0.6) {
        ROUND.choose(random).copied().unwrap_or(MOST_TOKENS)
    } else {
        // Uniform on a logarithmic scale.
        let (low, high) = ((FEWEST_TOKENS as f64).ln(), (MOST_TOKENS as f64).ln());
        random.random_range(low..high).exp() as u64
    };
    let temperature =
        if random.random_bool(0.3) { 0.5 } else { (random.random_range(0.0..1.2_f64) * 10.0).round() / 10.0 };
    let payload = TextPayload {
        input,
        model: task.task.to_string(),
        temperature,
        seed: random.random_range(1..=LARGEST_SEED),
        top_p: if random.random_bool(0.9) { 1.0 } else { 0.9 },
        max_tokens: tokens.min(most),
        further: Map::new(),
    };
    payload.into_map()
}

/// Generates a single question, or a conversation that ends with one.
fn messages(words: usize, random: &mut impl Rng) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut say = |role: &str, words: usize, random: &mut _| {
        messages.push(json!({"role": role, "content": text(words, random)}));
    };
    if random.random_bool(0.25) {
        say("system", random.random_range(4..=20.min(words).max(4)), random);
    }
    let turns = [0, 0, 0, 0, 0, 0, 1, 1, 2, 4].choose(random).copied().unwrap_or(0);
    for _ in 0..turns {
        say("user", length(words, random), random);
        say("assistant", length(words, random), random);
    }
    say("user", length(words, random), random);
    messages
}

/// Draws the number of words of a message: mostly few, sometimes many.
fn length(most: usize, random: &mut impl Rng) -> usize {
    let (low, high) = (4.0_f64.ln(), (most.max(5) as f64).ln());
    (random.random_range(low..high).exp() as usize).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use taonet_nineteen_core::MarketConfig;

    use super::*;

    /// §11.19
    #[test]
    fn issue_11_19_no_request_comes_twice() {
        let config = MarketConfig::default();
        let task = config.task("chat-llama-3-1-8b").unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let payloads: Vec<_> = (0..500).map(|_| payload(task, &mut random).unwrap()).collect();
        let texts: HashSet<_> = payloads.iter().map(|payload| payload["messages"].to_string()).collect();
        assert!(texts.len() > 490, "{}", texts.len());
        let different =
            |name: &str| payloads.iter().map(|payload| payload[name].to_string()).collect::<HashSet<_>>().len();
        assert!(different("seed") > 490 && different("max_tokens") > 50 && different("temperature") > 8);
        assert!(payloads.iter().all(|payload| (1..=2_000).contains(&payload["max_tokens"].as_u64().unwrap())));
        let names: HashSet<Vec<_>> = payloads.iter().map(|payload| payload.keys().collect()).collect();
        assert_eq!(names.len(), 1);
        assert_eq!(most_chunks(&payloads[0]) as u64, payloads[0]["max_tokens"].as_u64().unwrap() + 1);
    }

    #[test]
    fn limits_of_the_task_hold() {
        let config = MarketConfig::default();
        let mut task = config.task("chat-llama-3-1-8b").unwrap().clone();
        task.synthetic_generation_config.kwargs =
            json!({"max_tokens": 24, "max_words": 8}).as_object().unwrap().clone();
        let mut random = StdRng::seed_from_u64(2);
        for _ in 0..100 {
            let payload = payload(&task, &mut random).unwrap();
            assert!(payload["max_tokens"].as_u64().unwrap() <= 24);
            for message in payload["messages"].as_array().unwrap() {
                assert!(message["content"].as_str().unwrap().split(' ').count() <= 8, "{message}");
            }
        }
    }

    #[test]
    fn each_kind_of_task_has_its_form() {
        let config = MarketConfig::default();
        let mut random = StdRng::seed_from_u64(3);
        let image = payload(config.task("proteus-text-to-image").unwrap(), &mut random).unwrap();
        assert_eq!(image["steps"], 8);
        assert_eq!(payload(config.task("avatar").unwrap(), &mut random), None);
        let mut task = config.task("chat-llama-3-1-8b").unwrap().clone();
        task.endpoint = Endpoint::Completions;
        assert!(payload(&task, &mut random).unwrap()["prompt"].is_string());
        task.endpoint = Endpoint::Embeddings;
        assert!(payload(&task, &mut random).unwrap()["input"].is_array());
    }
}
