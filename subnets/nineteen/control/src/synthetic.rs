//! Generation of synthetic requests, which have the format of buyers' requests and hardly ever
//! repeat.

mod drafts;
mod image;
mod picture;
mod words;

use rand::Rng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::Task;
use taonet_nineteen_core::payload::{EmbeddingPayload, MAX_SEED, TextInput, TextPayload};
use taonet_nineteen_core::task::Endpoint;

pub use drafts::Drafts;
use words::{TextKind, generate_text};

/// Upper limit for `max_tokens` of a request, unless the task sets a smaller one.
const MAX_TOKENS: u64 = 2_000;
/// Minimum of a randomly drawn `max_tokens`.
const MIN_MAX_TOKENS: u64 = 16;
/// Round values of `max_tokens`, which buyers typically choose.
const ROUND_TOKEN_LIMITS: [u64; 6] = [64, 128, 256, 512, 1_024, 2_000];

/// Generates the payload of a synthetic request; `None` for routes without a generator. Input
/// images are drawn, which can take some 100 ms. Texts are those of `draft`, a conversation from
/// [`Drafts`], or else from a grammar, which is public and therefore easier to recognise. Requests
/// for images have the task's name if `names_task` is set
/// ([`MarketConfig::names_task`](taonet_nineteen_core::MarketConfig::names_task)).
///
/// `synthetic_generation_config.kwargs` may set `max_tokens`, the maximum for that field, and
/// `max_words`, the maximum length of a message in words.
pub fn payload(
    task: &Task,
    draft: Option<Vec<Value>>,
    names_task: bool,
    random: &mut impl Rng,
) -> Option<Map<String, Value>> {
    let kwarg =
        |name: &str| task.synthetic_generation_config.kwargs.get(name).and_then(Value::as_u64);
    let max_words = usize::try_from(kwarg("max_words").unwrap_or(140)).unwrap_or(usize::MAX).max(4);
    match task.endpoint {
        Endpoint::Chat => {
            let messages = match draft {
                Some(draft) => truncate_messages(draft, max_words),
                None => generate_messages(max_words, random),
            };
            Some(text_payload(task, TextInput::Messages(messages), kwarg("max_tokens"), random))
        }
        Endpoint::Completions => {
            let draft_text =
                draft.and_then(|draft| contents(&truncate_messages(draft, max_words)).pop());
            let prompt = draft_text.unwrap_or_else(|| {
                generate_text(TextKind::Message, random_length(max_words, random), random)
            });
            Some(text_payload(task, TextInput::Prompt(prompt), kwarg("max_tokens"), random))
        }
        Endpoint::Embeddings => {
            let texts = if let Some(draft) = draft {
                contents(&truncate_messages(draft, max_words))
            } else {
                let count = random.random_range(1..=4);
                (0..count)
                    .map(|_| {
                        generate_text(TextKind::Message, random_length(max_words, random), random)
                    })
                    .collect()
            };
            Some(
                EmbeddingPayload {
                    input: texts,
                    model: task.task.to_string(),
                    extra_fields: Map::new(),
                }
                .into_map(),
            )
        }
        _ => image::payload(task, names_task, random),
    }
}

/// Returns the maximum number of chunks of an answer to a payload.
pub fn max_chunks(payload: &Map<String, Value>) -> usize {
    // Add one, because some servers send a final chunk without a token.
    let tokens = payload.get("max_tokens").and_then(Value::as_u64).unwrap_or(MAX_TOKENS);
    usize::try_from(tokens).unwrap_or(usize::MAX).saturating_add(1)
}

fn text_payload(
    task: &Task,
    input: TextInput,
    limit: Option<u64>,
    random: &mut impl Rng,
) -> Map<String, Value> {
    let token_limit = limit.unwrap_or(MAX_TOKENS).max(1);
    let tokens = if random.random_bool(0.6) {
        ROUND_TOKEN_LIMITS.choose(random).copied().unwrap_or(MAX_TOKENS)
    } else {
        // Uniform on a logarithmic scale.
        let (low, high) = ((MIN_MAX_TOKENS as f64).ln(), (MAX_TOKENS as f64).ln());
        random.random_range(low..high).exp() as u64
    };
    let temperature = if random.random_bool(0.3) {
        0.5
    } else {
        (random.random_range(0.0..1.2_f64) * 10.0).round() / 10.0
    };
    let payload = TextPayload {
        input,
        model: task.task.to_string(),
        temperature,
        seed: random.random_range(1..=MAX_SEED),
        top_p: if random.random_bool(0.9) { 1.0 } else { 0.9 },
        max_tokens: tokens.min(token_limit),
        extra_fields: Map::new(),
    };
    payload.into_map()
}

/// Generates a single question, or a conversation that ends with one.
fn generate_messages(max_words: usize, random: &mut impl Rng) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut push_message = |role: &str, kind: TextKind, words: usize, random: &mut _| {
        messages.push(json!({"role": role, "content": generate_text(kind, words, random)}));
    };
    if random.random_bool(0.25) {
        push_message(
            "system",
            TextKind::System,
            random.random_range(4..=20.min(max_words).max(4)),
            random,
        );
    }
    let exchange_count = [0, 0, 0, 0, 0, 0, 1, 1, 2, 4].choose(random).copied().unwrap_or(0);
    for _ in 0..exchange_count {
        push_message("user", TextKind::Message, random_length(max_words, random), random);
        push_message("assistant", TextKind::Reply, random_length(max_words, random), random);
    }
    push_message("user", TextKind::Message, random_length(max_words, random), random);
    messages
}

/// Shortens each message of a conversation to a maximum number of words.
fn truncate_messages(mut messages: Vec<Value>, max_words: usize) -> Vec<Value> {
    for content in messages.iter_mut().filter_map(|message| message.get_mut("content")) {
        if let Some((end, _)) = content
            .as_str()
            .and_then(|text| text.match_indices(' ').nth(max_words.saturating_sub(1)))
        {
            *content = content.as_str().and_then(|text| text.get(..end)).unwrap_or_default().into();
        }
    }
    messages
}

fn contents(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .filter_map(|message| message.get("content").and_then(Value::as_str).map(str::to_owned))
        .collect()
}

/// Draws the number of words of a message from a log-uniform distribution.
fn random_length(max_words: usize, random: &mut impl Rng) -> usize {
    let (low, high) = (4.0_f64.ln(), (max_words.max(5) as f64).ln());
    (random.random_range(low..high).exp() as usize).clamp(1, max_words)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use taonet_nineteen_core::MarketConfig;
    use taonet_nineteen_core::task::Generator;

    use super::*;

    /// Miners gain nothing by caching answers.
    #[test]
    fn synthetic_requests_rarely_repeat() {
        let config = MarketConfig::default();
        let task = config.task("chat-llama-3-1-8b").unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let payloads: Vec<_> =
            (0..500).map(|_| payload(task, None, true, &mut random).unwrap()).collect();
        let texts: HashSet<_> =
            payloads.iter().map(|payload| payload["messages"].to_string()).collect();
        assert!(texts.len() > 490, "{}", texts.len());
        let distinct_values = |name: &str| {
            payloads.iter().map(|payload| payload[name].to_string()).collect::<HashSet<_>>().len()
        };
        assert!(
            distinct_values("seed") > 490
                && distinct_values("max_tokens") > 50
                && distinct_values("temperature") > 8
        );
        assert!(
            payloads
                .iter()
                .all(|payload| (1..=2_000).contains(&payload["max_tokens"].as_u64().unwrap()))
        );
        let names: HashSet<Vec<_>> =
            payloads.iter().map(|payload| payload.keys().collect()).collect();
        assert_eq!(names.len(), 1);
        assert_eq!(
            max_chunks(&payloads[0]) as u64,
            payloads[0]["max_tokens"].as_u64().unwrap() + 1
        );
    }

    /// The parameters of image requests vary like those of buyers.
    #[test]
    fn image_parameters_vary() {
        let config = MarketConfig::default();
        let task = config.task("proteus-text-to-image").unwrap();
        let mut random = StdRng::seed_from_u64(5);
        let payloads: Vec<_> =
            (0..500).map(|_| payload(task, None, true, &mut random).unwrap()).collect();
        for (name, min_distinct) in [
            ("prompt", 490),
            ("seed", 490),
            ("negative_prompt", 100),
            ("steps", 6),
            ("cfg_scale", 10),
            ("width", 6),
        ] {
            let distinct_values: HashSet<_> =
                payloads.iter().map(|payload| payload[name].to_string()).collect();
            assert!(distinct_values.len() >= min_distinct, "{name}: {}", distinct_values.len());
        }
        // As in buyers' requests, the defaults are the most frequent.
        let count = |name: &str, value: Value| {
            payloads.iter().filter(|payload| payload[name] == value).count()
        };
        assert!(count("negative_prompt", json!("")) > 200 && count("steps", json!(8)) > 200);
        assert!(count("width", json!(1_024)) > 200 && count("cfg_scale", json!(3.0)) > 200);
    }

    #[test]
    fn synthetic_requests_stay_within_task_limits() {
        let config = MarketConfig::default();
        let mut task = config.task("chat-llama-3-1-8b").unwrap().clone();
        task.synthetic_generation_config.kwargs =
            json!({"max_tokens": 24, "max_words": 8}).as_object().unwrap().clone();
        let mut random = StdRng::seed_from_u64(2);
        for _ in 0..100 {
            let payload = payload(&task, None, true, &mut random).unwrap();
            assert!(payload["max_tokens"].as_u64().unwrap() <= 24);
            for message in payload["messages"].as_array().unwrap() {
                assert!(message["content"].as_str().unwrap().split(' ').count() <= 8, "{message}");
            }
        }
    }

    #[test]
    fn model_drafts_replace_the_grammar() {
        let config = MarketConfig::default();
        let mut task = config.task("chat-llama-3-1-8b").unwrap().clone();
        task.synthetic_generation_config.kwargs =
            json!({"max_words": 5}).as_object().unwrap().clone();
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        let draft = || {
            let long = message("assistant", "One two three four five six");
            Some(vec![message("user", "Count"), long, message("user", "Go on")])
        };
        let mut random = StdRng::seed_from_u64(4);
        let mut synthetic_payload =
            |task: &Task| payload(task, draft(), true, &mut random).unwrap();
        let short = message("assistant", "One two three four five");
        assert_eq!(
            synthetic_payload(&task)["messages"],
            json!([message("user", "Count"), short, message("user", "Go on")])
        );
        task.endpoint = Endpoint::Completions;
        assert_eq!(synthetic_payload(&task)["prompt"], "Go on");
        task.endpoint = Endpoint::Embeddings;
        assert_eq!(
            synthetic_payload(&task)["input"],
            json!(["Count", "One two three four five", "Go on"])
        );
    }

    #[test]
    fn synthetic_payload_has_the_fields_of_its_endpoint() {
        let config = MarketConfig::default();
        let mut random = StdRng::seed_from_u64(3);
        let mut image = config.task("proteus-text-to-image").unwrap().clone();
        let fields = |task: &Task, names_task: bool, random: &mut StdRng| {
            let payload = payload(task, None, names_task, random).unwrap();
            payload.keys().skip(7).cloned().collect::<Vec<_>>().join(" ")
        };
        for (endpoint, names_task, names) in [
            (Endpoint::TextToImage, true, "model"),
            (Endpoint::ImageToImage, true, "model init_image image_strength"),
            (Endpoint::Inpaint, false, "init_image mask_image"),
            (Endpoint::Inpaint, true, "model init_image mask_image"),
            (Endpoint::Avatar, false, "init_image ipadapter_strength control_strength"),
        ] {
            image.endpoint = endpoint;
            assert_eq!(fields(&image, names_task, &mut random), names);
        }
        for endpoint in [Endpoint::Upscale, Endpoint::ClipEmbeddings] {
            image.endpoint = endpoint;
            assert_eq!(
                (Generator::for_endpoint(endpoint), payload(&image, None, true, &mut random)),
                (None, None)
            );
        }
        let mut task = config.task("chat-llama-3-1-8b").unwrap().clone();
        task.endpoint = Endpoint::Completions;
        assert!(payload(&task, None, true, &mut random).unwrap()["prompt"].is_string());
        task.endpoint = Endpoint::Embeddings;
        assert!(payload(&task, None, true, &mut random).unwrap()["input"].is_array());
    }
}
