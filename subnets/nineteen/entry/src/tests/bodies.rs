//! Any body is either a request within the limits of miners, or an error of the buyer's.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use taonet_nineteen_core::payload::MAX_SEED;

use crate::GatewayError;
use crate::request::{MAX_TOKENS, MAX_TOTAL_TOKENS, TextRequest};
use crate::testing::payloads;
use crate::{messages, responses};

/// A parser of the body of a text request.
type Parser = fn(&[u8]) -> Result<TextRequest, GatewayError>;

const PARSERS: [Parser; 5] = [
    TextRequest::parse_chat,
    TextRequest::parse_completion,
    |body| responses::parse(body).map(|(request, _)| request),
    |body| messages::parse(body).map(|(request, _)| request),
    messages::parse_count,
];

/// Returns a valid request for each parser, with most of its fields.
fn requests() -> [Value; 5] {
    let schema = json!({"type": "object"});
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let (remote, data) = ("https://example.org/a.png", "data:image/jpeg;base64,/9j/4AAQ");
    let chat = json!({
        "model": "m", "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": [image(data), {"type": "text", "text": "a"}, image(remote)]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c"}]},
            {"role": "tool", "tool_call_id": "c", "content": "a"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "a"},
        ],
        "max_tokens": 9, "temperature": 1, "top_p": 1, "seed": 7, "stop": ["a"], "stream": true,
        "stream_options": {"include_usage": true}, "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto", "response_format": {"type": "text"}, "logprobs": true, "top_logprobs": 2, "n": 8,
        "metadata": {"a": "b"}, "logit_bias": {"1": 1}, "top_k": 7, "min_p": 0.5, "reasoning_effort": "low",
        "min_tokens": 2, "stop_token_ids": [7], "bad_words": ["a"], "ignore_eos": false, "truncate_prompt_tokens": 9,
        "structured_outputs": {"choice": ["a"]}, "chat_template_kwargs": {"thinking": true}, "verbosity": "low",
    });
    let completion = json!({
        "model": "m", "prompt": ["a", "b"], "max_completion_tokens": 9, "stop": "a", "n": 2, "best_of": 3, "echo": true,
        "guided_json": schema,
    });
    let response = json!({
        "model": "m", "input": [
            {"role": "user", "content": [
                {"type": "input_image", "image_url": remote}, {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": data, "detail": "low"},
            ]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "a"},
        ],
        "instructions": "a", "max_output_tokens": 9, "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {"type": "function", "name": "f"}, "text": {"format": {"type": "json_schema", "name": "a"}},
    });
    let message = json!({
        "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "a"}], "messages": [
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": remote}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "a"}, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "a"}]},
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}},
            ]},
        ],
        "tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "tool", "name": "f"},
        "stop_sequences": ["a"], "thinking": {"type": "adaptive"}, "metadata": {"user_id": "a"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema}},
    });
    [chat, completion, response, message.clone(), message]
}

/// Any JSON value, with texts that have a meaning in requests.
fn value() -> impl Strategy<Value = Value> {
    let words = select(vec![
        "user",
        "assistant",
        "system",
        "tool",
        "text",
        "function",
        "any",
        "auto",
        "type",
        "tool_use",
        "image_url",
        "input_image",
        "image",
        "base64",
        "url",
        "https://example.org/b.png",
    ]);
    let text = prop_oneof![any::<String>(), words.prop_map(str::to_owned)];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-2_i64..=3).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let names = select(vec![
            "type", "text", "role", "content", "name", "id", "input", "function", "format",
            "schema",
        ]);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(names.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

/// Returns the number of values in a JSON document.
pub(super) fn size(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(values) => values.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 0,
    };
    1 + inner
}

/// Replaces the value at a position in the order of a depth-first walk.
fn replace(value: &mut Value, position: &mut usize, new: &mut Option<Value>) {
    if *position == 0 {
        if let Some(new) = new.take() {
            *value = new;
        }
        return;
    }
    *position -= 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(values) => values.iter_mut().collect(),
        Value::Object(fields) => fields.iter_mut().map(|(_, value)| value).collect(),
        _ => return,
    };
    for value in inner {
        if new.is_some() {
            replace(value, position, new);
        }
    }
}

/// Returns the URL of the image in a field of a body, such as `messages[0].content[1]`.
fn url_at(body: &Value, field: &str) -> Option<String> {
    let pointer = format!("/{}", field.replace(['[', '.'], "/").replace(']', ""));
    let part = body.pointer(&pointer)?;
    let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let encoded =
        || Some(format!("data:{};base64,{}", text("/source/media_type")?, text("/source/data")?));
    text("/image_url/url")
        .or_else(|| text("/image_url"))
        .or_else(|| text("/source/url"))
        .or_else(encoded)
}

/// Returns the URLs of the images in a miner's request.
fn urls(payload: &Value) -> Vec<Option<String>> {
    let messages = payload.get("messages").and_then(Value::as_array).into_iter().flatten();
    let parts = messages.filter_map(|message| message.get("content")?.as_array()).flatten();
    let images = parts.filter(|part| part["type"] == "image_url");
    images.map(|part| part["image_url"]["url"].as_str().map(str::to_owned)).collect()
}

fn check(body: &Value) -> Result<(), TestCaseError> {
    let text = body.to_string();
    for parse in PARSERS {
        let Ok(request) = parse(text.as_bytes()) else { continue };
        prop_assert!(
            (1..=128).contains(&request.choices_per_prompt)
                && (1..=128).contains(&request.answer_count())
        );
        let maximum = u64::try_from(request.answer_count()).unwrap()
            * request.max_tokens.unwrap_or(request.min_tokens);
        prop_assert!(
            maximum <= MAX_TOTAL_TOKENS && request.min_tokens <= request.payload.max_tokens
        );
        // The images for which the buyer pays are those that the miner gets, in their order.
        let named: Vec<Option<String>> =
            request.image_fields.iter().map(|field| url_at(body, field)).collect();
        prop_assert_eq!(named, urls(&request.payload.into_map().into()));
    }
    for payload in payloads(text.as_bytes()) {
        let number = |name: &str| payload.get(name).map(Value::as_u64);
        prop_assert!(
            number("seed")
                .is_none_or(|seed| seed.is_some_and(|seed| (1..=MAX_SEED).contains(&seed)))
        );
        let max_tokens = number("max_tokens").unwrap_or(Some(1));
        prop_assert!(max_tokens.is_some_and(|maximum| (1..=MAX_TOKENS).contains(&maximum)));
        prop_assert!(payload.get("stream").is_none_or(|stream| *stream == true));
    }
    Ok(())
}

#[test]
fn example_requests_are_accepted() {
    let images: Vec<usize> = requests()
        .iter()
        .zip(PARSERS)
        .map(|(body, parse)| parse(body.to_string().as_bytes()).unwrap().image_fields.len())
        .collect();
    assert_eq!(images, [2, 0, 2, 2, 2]);
    for (request, parse) in requests().iter().zip(PARSERS) {
        let parsed = parse(request.to_string().as_bytes());
        assert!(parsed.is_ok(), "{request}: {parsed:?}");
        check(request).unwrap();
    }
}

#[test]
fn replacement_by_position_reaches_every_json_value() {
    for request in requests() {
        for position in 0..size(&request) {
            let (mut changed, mut new) = (request.clone(), Some(json!("replaced by a test")));
            let mut remaining = position;
            replace(&mut changed, &mut remaining, &mut new);
            assert!(new.is_none() && changed != request, "{position}: {changed}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_json_is_accepted_or_a_client_error(body in value()) {
        check(&body)?;
    }

    #[test]
    fn mutated_request_is_accepted_or_a_client_error(
        route in 0..5_usize, changes in vec((any::<Index>(), value()), 1..4),
    ) {
        let mut body = requests()[route].clone();
        for (index, new) in changes {
            let mut position = index.index(size(&body));
            replace(&mut body, &mut position, &mut Some(new));
        }
        check(&body)?;
    }
}
