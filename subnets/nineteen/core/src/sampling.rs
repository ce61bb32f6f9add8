//! Sampling of answers: which answers to store for checking, and of which task to check the next
//! one.

use std::time::Duration;

use serde_json::{Map, Value};
use taonet_primitives::Backoff;

use crate::payload::TOP_K;
use crate::task::{Endpoint, TaskType};

/// Fields of a text request under which an answer's log-probabilities are those of the model alone.
/// `stop` is missing: servers hold back text that may begin a stop sequence, so tokens and chunks
/// no longer correspond.
const TEXT_FIELDS: [&str; 11] = [
    "messages",
    "prompt",
    "model",
    "temperature",
    "seed",
    "stream",
    "logprobs",
    "top_logprobs",
    "top_p",
    "top_k",
    "max_tokens",
];
/// Roles that every chat template supports.
const ROLES: [&str; 3] = ["system", "user", "assistant"];

/// Maximum number of stored results of all tasks; beyond it, the oldest are evicted.
const MAX_RESULTS: usize = 1_010;
/// Number of results evicted together.
const EVICTION_BATCH: usize = 10;
/// Maximum number of stored results of a task with weight 1.
const MAX_RESULTS_PER_WEIGHT: f64 = 1_000.0;
/// Pauses after failed checks.
const BACKOFF: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_mins(5));

/// Returns whether the checker can reproduce an answer to this request.
///
/// The checker gives its own model the messages or the prompt, and nothing else. An answer that
/// also depends on tools, a response format, penalties, biases, stop sequences or parts of messages
/// has other probabilities, so a check would lower an honest miner's quality. So would one of an
/// answer with tokens beyond the five likeliest, which the checker expects. Image and embedding
/// requests have no such fields.
pub fn is_reproducible(endpoint: Endpoint, payload: &Map<String, Value>) -> bool {
    if endpoint.task_type() != TaskType::Text {
        return true;
    }
    let has_input = match endpoint {
        Endpoint::Completions => payload.get("prompt").is_some_and(Value::is_string),
        _ => payload
            .get("messages")
            .and_then(Value::as_array)
            .is_some_and(|messages| messages.iter().all(is_plain_message)),
    };
    let is_valid_top_k =
        |top_k: &Value| top_k.as_u64().is_some_and(|top_k| (1..=TOP_K).contains(&top_k));
    has_input
        && payload.keys().all(|name| TEXT_FIELDS.contains(&name.as_str()))
        && payload.get("top_k").is_none_or(is_valid_top_k)
}

/// Returns whether a message consists of a role and a text.
fn is_plain_message(message: &Value) -> bool {
    let Some(fields) = message.as_object() else { return false };
    let role = fields.get("role").and_then(Value::as_str);
    fields.len() == 2
        && role.is_some_and(|role| ROLES.contains(&role))
        && fields.get("content").is_some_and(Value::is_string)
}

/// Returns whether a task with `stored` results may store another one; the maximum is `⌊1000 ·
/// weight⌋ + 1`.
pub fn has_room_for_sample(stored: usize, weight: f64) -> bool {
    stored as f64 <= (MAX_RESULTS_PER_WEIGHT * weight).floor()
}

/// Returns the number of oldest results to evict before storing another one, given the number
/// stored for all tasks.
pub fn eviction_count(stored: usize) -> usize {
    if stored >= MAX_RESULTS { EVICTION_BATCH } else { 0 }
}

/// Returns the index of the task to check next, drawn in proportion to each task's number of stored
/// results; `None` without results. `draw` is a uniform random number in `0..1`.
pub fn pick_task(stored: &[usize], draw: f64) -> Option<usize> {
    let total: usize = stored.iter().sum();
    let target = (draw * total as f64) as usize;
    let mut sum = 0;
    stored.iter().position(|count| {
        sum += count;
        target < sum
    })
}

/// Returns the checker's pause after n consecutive `failures`: `min(60 · 2^(n−1), 300)` seconds, or
/// 0 without failures.
pub fn retry_delay(failures: u32) -> Duration {
    failures.checked_sub(1).map_or(Duration::ZERO, |retries| BACKOFF.delay(retries))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_answers_that_the_checker_can_reproduce_are_sampled() {
        let chat = |extra_fields: Value| {
            let mut payload = json!({
                "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"}],
                "temperature": 0.5, "seed": 7, "model": "chat", "stream": true, "logprobs": true, "top_p": 1.0,
                "top_k": 5, "max_tokens": 20,
            });
            payload.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
            is_reproducible(Endpoint::Chat, payload.as_object().unwrap())
        };
        assert!(chat(json!({})) && chat(json!({"top_logprobs": 3})) && chat(json!({"top_k": 1})));
        for option in [
            json!({"tools": [{"type": "function"}]}),
            json!({"tool_choice": "auto"}),
            json!({"parallel_tool_calls": true}),
            json!({"response_format": {"type": "json_object"}}),
            json!({"frequency_penalty": 0.5}),
            json!({"presence_penalty": 0.5}),
            json!({"logit_bias": {"7": -100}}),
            json!({"stop": ["\n"]}),
            json!({"top_k": 6}),
            json!({"top_k": 1_000_000}),
            json!({"min_p": 0.1}),
            json!({"repetition_penalty": 1.1}),
            json!({"min_tokens": 5}),
            json!({"ignore_eos": true}),
            json!({"stop_token_ids": [7]}),
            json!({"allowed_token_ids": [7]}),
            json!({"bad_words": ["b"]}),
            json!({"include_stop_str_in_output": true}),
            json!({"skip_special_tokens": false}),
            json!({"truncate_prompt_tokens": 5}),
            json!({"structured_outputs": {"regex": "a+"}}),
            json!({"guided_choice": ["a"]}),
            json!({"chat_template_kwargs": {"enable_thinking": false}}),
            json!({"messages": "a"}),
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}),
            json!({"messages": [{"role": "user", "content": "a", "name": "bob"}]}),
            json!({"messages": [{"role": "assistant", "content": null, "tool_calls": []}]}),
            json!({"messages": [{"role": "tool", "content": "a"}]}),
            json!({"messages": [{"role": "developer", "content": "a"}]}),
        ] {
            assert!(!chat(option.clone()), "{option}");
        }
        let other =
            |endpoint, payload: Value| is_reproducible(endpoint, payload.as_object().unwrap());
        assert!(other(Endpoint::Completions, json!({"prompt": "a", "logprobs": 1})));
        assert!(!other(Endpoint::Completions, json!({"prompt": "a", "logprobs": 1, "stop": "b"})));
        assert!(!other(Endpoint::Completions, json!({"logprobs": 1})));
        assert!(other(Endpoint::Embeddings, json!({"input": ["a"], "dimensions": 8})));
        assert!(other(Endpoint::Avatar, json!({"prompt": "a", "steps": 8, "init_image": "x"})));
    }

    #[test]
    fn kept_samples_of_a_task_follow_its_weight() {
        let max_stored = |weight| (0..2_000).find(|stored| !has_room_for_sample(*stored, weight));
        assert_eq!(
            [max_stored(0.05), max_stored(0.2), max_stored(0.0)],
            [Some(51), Some(201), Some(1)]
        );
        assert_eq!([eviction_count(1_009), eviction_count(1_010)], [0, 10]);
    }

    #[test]
    fn tasks_are_picked_in_proportion_to_stored_results() {
        let stored = [10, 0, 30, 60];
        for (draw, task) in [(0.0, 0), (0.099, 0), (0.1, 2), (0.399, 2), (0.4, 3), (0.999, 3)] {
            assert_eq!(pick_task(&stored, draw), Some(task), "{draw}");
        }
        assert_eq!([pick_task(&[], 0.5), pick_task(&[0, 0], 0.5)], [None; 2]);
    }

    #[test]
    fn retry_delay_doubles_up_to_five_minutes() {
        let seconds = [0, 1, 2, 3, 4, 40, u32::MAX].map(|failures| retry_delay(failures).as_secs());
        assert_eq!(seconds, [0, 60, 120, 240, 300, 300, 300]);
    }
}
