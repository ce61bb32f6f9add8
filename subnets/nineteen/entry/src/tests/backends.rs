//! Streams of inference servers, from a scripted backend through a miner and the gateway to the
//! buyer: what a stream says arrives and is charged, or the buyer gets an error.

mod scripts;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt as _;
use serde_json::{Value, json};
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_store::KeyTerms;

use super::market::{TASK, TestGateway, document, start_gateway_with_backend, text};
use scripts::script;

/// Pause between two parts of a stream, so that they arrive one by one.
const PAUSE: Duration = Duration::from_millis(2);

/// What the buyer gets of a backend's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome<'a> {
    /// A complete answer: text, finish reason, and tokens in the usage and in the charge.
    Complete(&'a str, &'a str, u64),
    /// The text, for which the buyer pays, then an error event. Without streaming, the buyer gets
    /// status 502.
    Interrupted(&'a str),
    /// An error with this status, and no charge.
    Refused(u16),
}

use Outcome::{Complete, Interrupted, Refused};

/// Names of the scripted streams, with the outcomes.
const STREAMS: &[(&str, Outcome<'_>)] = &[
    ("plain", Complete("one two three", "stop", 3)),
    // Framing of events.
    ("split_bytes", Complete("\u{65e5}\u{672c}\u{1f98a} na\u{ef}ve \u{41f}", "stop", 3)),
    ("comments", Complete("one two", "stop", 2)),
    ("crlf", Complete("one two", "stop", 2)),
    ("cr", Complete("one two", "stop", 2)),
    ("byte_order_mark", Complete("one two", "stop", 2)),
    ("no_space", Complete("one two", "stop", 2)),
    ("multi_line_data", Complete("one", "stop", 1)),
    ("event_names", Complete("one two", "stop", 2)),
    ("one_packet", Complete("one two", "stop", 2)),
    ("done_without_empty_line", Complete("one", "stop", 1)),
    ("done_twice", Complete("one", "stop", 1)),
    ("text_after_done", Complete("one", "stop", 1)),
    // End of the answer.
    ("no_done", Complete("one two", "stop", 2)),
    ("no_finish_reason", Complete("one two", "stop", 2)),
    ("no_end", Interrupted("one two")),
    ("cut_connection", Interrupted("one two")),
    ("empty_finish_reasons", Complete("one two", "stop", 2)),
    ("length", Complete("one", "length", 1)),
    ("content_filter", Complete("one", "content_filter", 1)),
    ("text_with_finish", Complete("one two three", "stop", 3)),
    ("text_with_length", Complete("one two three", "length", 3)),
    // Usage, in any chunk and of any size: only what the gateway counts is charged.
    ("usage_without_choices", Complete("one two", "stop", 2)),
    ("usage_with_text", Complete("one two three", "stop", 4)),
    ("usage_in_every_chunk", Complete("one two three", "stop", 3)),
    ("usage_null", Complete("one two three", "stop", 3)),
    ("usage_of_a_billion", Complete("one two three", "stop", 3)),
    ("usage_below_zero", Complete("one two three", "stop", 3)),
    ("usage_as_text", Complete("one two three", "stop", 3)),
    // No tokens.
    ("no_tokens", Complete("", "stop", 0)),
    ("no_tokens_one_chunk", Complete("", "stop", 0)),
    ("only_done", Refused(502)),
    ("nothing", Refused(502)),
    ("json_document", Refused(502)),
    ("html_page", Refused(502)),
    // Log-probabilities.
    ("role_with_text", Complete("one two", "stop", 2)),
    ("role_with_text_without_logprobs", Complete("one two", "stop", 2)),
    ("content_null", Complete("one two", "stop", 2)),
    ("first_chunk_without_choices", Complete("one two", "stop", 2)),
    ("one_chunk_without_logprobs", Complete("one two three", "stop", 3)),
    ("one_chunk_with_null_logprobs", Complete("one two three", "stop", 3)),
    ("last_chunk_without_logprobs", Complete("one two three", "stop", 4)),
    ("last_chunk_with_null_logprobs", Complete("one two three", "stop", 4)),
    ("no_logprobs", Complete("one two three", "stop", 4)),
    ("null_logprobs", Complete("one two", "stop", 2)),
    ("empty_logprobs", Complete("one two", "stop", 2)),
    ("large_logprob", Complete("one", "stop", 1)),
    ("infinite_logprob", Refused(502)),
    ("empty_token", Complete("one two", "stop", 2)),
    ("empty_tokens", Complete("one two", "stop", 2)),
    ("too_many_empty_tokens", Refused(502)),
    ("too_many_empty_tokens_later", Interrupted("one")),
    // No token is shorter than a byte.
    ("too_many_logprobs", Complete("one", "stop", 3)),
    ("several_tokens_in_a_chunk", Complete("one two three", "stop", 3)),
    ("character_of_several_tokens", Complete("one\u{1f98a}", "stop", 4)),
    // Errors in the stream.
    ("error_first", Refused(503)),
    ("error_later", Interrupted("one two")),
    ("error_with_choices", Interrupted("one two")),
    ("error_finish_reason", Interrupted("one two")),
    ("error_event", Interrupted("one two")),
    ("error_line", Interrupted("one two")),
    ("malformed_json", Interrupted("one")),
    ("joined_events", Interrupted("one")),
    // Texts.
    ("surrogate_pair", Complete("\u{1f98a} ok", "stop", 1)),
    ("lone_surrogates", Refused(502)),
    ("line_separators", Complete("a\u{2028}b\u{2029}c\u{85}d", "stop", 1)),
    ("nul", Complete("a\0b", "stop", 1)),
    ("malformed_utf8", Complete("a\u{fffd}b", "stop", 1)),
    ("large_chunk", Refused(502)),
    ("two_choices", Complete("A", "stop", 1)),
    ("reasoning", Complete("one", "stop", 3)),
    // Tool calls.
    ("tools", Complete("", "tool_calls", 5)),
    ("tools_without_index", Complete("", "tool_calls", 1)),
    ("tools_with_null_arguments", Complete("", "tool_calls", 1)),
    ("two_tools", Complete("", "tool_calls", 4)),
];

/// Scripted streams that text completions do not have, or whose JSON is not in one line of UTF-8.
const CHAT_ONLY_SCRIPTS: [&str; 15] = [
    "split_bytes",
    "multi_line_data",
    "json_document",
    "html_page",
    "surrogate_pair",
    "lone_surrogates",
    "line_separators",
    "nul",
    "malformed_utf8",
    "large_chunk",
    "reasoning",
    "tools",
    "tools_without_index",
    "tools_with_null_arguments",
    "two_tools",
];

/// Returns a chunk of a chat as one of a text completion, whose text and log-probabilities have
/// another form.
fn as_completion(mut chunk: Value) -> Value {
    for choice in chunk.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        let delta = choice.as_object_mut().unwrap().remove("delta").unwrap_or_default();
        choice["text"] = delta["content"].as_str().unwrap_or_default().into();
        if let Some(entries) = choice["logprobs"]["content"].as_array() {
            let field_of_entries =
                |name: &str| entries.iter().map(|entry| entry[name].clone()).collect::<Vec<_>>();
            choice["logprobs"] = json!({"tokens": field_of_entries("token"), "token_logprobs": field_of_entries("logprob"), "top_logprobs": null});
        }
    }
    chunk
}

/// Returns a part of a chat's stream as one of a text completion's: the JSON after `data:` of each
/// line.
fn part_as_completion(part: Vec<u8>) -> Vec<u8> {
    let part = String::from_utf8(part).unwrap();
    let lines = part.split_inclusive(['\n', '\r']).map(|line| {
        let (content, end) = line.split_at(line.trim_end_matches(['\n', '\r']).len());
        let data = content.strip_prefix("data:").and_then(|json| serde_json::from_str(json).ok());
        data.map_or_else(|| line.to_owned(), |chunk| format!("data: {}{end}", as_completion(chunk)))
    });
    lines.collect::<String>().into_bytes()
}

/// Answers a request with the stream that its message or prompt names.
async fn backend(Json(request): Json<Value>) -> Response {
    let is_chat = request.get("messages").is_some();
    let name = if is_chat { &request["messages"][0]["content"] } else { &request["prompt"] };
    let name = name.as_str().unwrap().to_owned();
    match name.as_str() {
        "json_document" => {
            return Json(
                json!({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}),
            )
            .into_response();
        }
        "html_page" => return axum::response::Html("<html>login</html>").into_response(),
        _ => {}
    }
    let script =
        script(&name).into_iter().map(|part| if is_chat { part } else { part_as_completion(part) });
    let parts = futures::stream::iter(script.collect::<Vec<_>>()).then(|part| async move {
        tokio::time::sleep(PAUSE).await;
        Ok::<_, Infallible>(Bytes::from(part))
    });
    let kind = [(CONTENT_TYPE, "text/event-stream")];
    if name == "cut_connection" {
        let cut = futures::stream::once(async {
            tokio::time::sleep(PAUSE).await;
            Err(std::io::Error::other("cut"))
        });
        let parts = parts.map(|part| part.map_err(|never| match never {}));
        return (kind, Body::from_stream(parts.chain(cut))).into_response();
    }
    (kind, Body::from_stream(parts)).into_response()
}

/// Starts a gateway, a miner and the scripted backend, with a task of chats.
async fn start_gateway() -> TestGateway {
    start_gateway_for(Endpoint::Chat).await
}

/// Starts a gateway, a miner and the scripted backend. The output of a request costs a credit a
/// token, the input none.
async fn start_gateway_for(endpoint: Endpoint) -> TestGateway {
    let backend = Router::new()
        .route("/v1/chat/completions", post(backend))
        .route("/v1/completions", post(backend));
    let gateway = start_gateway_with_backend(endpoint, backend).await;
    let terms = KeyTerms::new("test", 10_000);
    gateway.store.update_key(&gateway.id, &terms).await.unwrap();
    gateway
}

async fn buy(gateway: &TestGateway, name: &str, streams: bool) -> Response {
    buy_at(gateway, Endpoint::Chat, name, streams).await
}

async fn buy_at(gateway: &TestGateway, endpoint: Endpoint, name: &str, streams: bool) -> Response {
    let (path, mut body) = match endpoint {
        Endpoint::Completions => ("/v1/completions", json!({"prompt": name})),
        _ => ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": name}]})),
    };
    body["model"] = json!(TASK);
    body["max_tokens"] = json!(100);
    if streams {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    gateway.send(path, &body, None).await
}

/// A streamed answer as the buyer gets it.
#[derive(Debug, Default)]
struct StreamedAnswer {
    text: String,
    finish: Vec<String>,
    calls: Vec<Value>,
    tokens: Option<u64>,
    error: Option<Value>,
}

fn parse_stream(stream: &str, endpoint: Endpoint) -> StreamedAnswer {
    let mut streamed = StreamedAnswer::default();
    let events = stream.strip_suffix("data: [DONE]\n\n").unwrap();
    for event in events.split_terminator("\n\n") {
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        if let Some(error) = event.get("error") {
            streamed.error = Some(error.clone());
            continue;
        }
        streamed.tokens = streamed.tokens.or(event["usage"]["completion_tokens"].as_u64());
        for choice in event["choices"].as_array().unwrap() {
            let text = if endpoint == Endpoint::Completions {
                &choice["text"]
            } else {
                &choice["delta"]["content"]
            };
            streamed.text.push_str(text.as_str().unwrap_or_default());
            streamed.finish.extend(choice["finish_reason"].as_str().map(str::to_owned));
            streamed
                .calls
                .extend(choice["delta"]["tool_calls"].as_array().into_iter().flatten().cloned());
        }
    }
    streamed
}

/// Buys the answer as a stream; passes the outcome to `compare`.
async fn buy_stream(
    gateway: &TestGateway,
    endpoint: Endpoint,
    name: &str,
    compare: impl FnOnce(Outcome<'_>),
) {
    let before = gateway.wait_for_charges().await;
    let response = buy_at(gateway, endpoint, name, true).await;
    let status = response.status().as_u16();
    let body = text(response).await;
    let charged = u64::try_from(gateway.wait_for_charges().await - before).unwrap();
    if status != 200 {
        assert_eq!(charged, 0, "{name}: {body}");
        return compare(Refused(status));
    }
    let streamed = parse_stream(&body, endpoint);
    match (&streamed.error, streamed.finish.as_slice()) {
        (Some(error), []) => {
            assert_eq!(error["code"], "no_answer", "{name}: {body}");
            // No token is shorter than a byte.
            assert!(
                (1..=streamed.text.len() as u64).contains(&charged),
                "{name}: {charged} for {body}"
            );
            compare(Interrupted(&streamed.text));
        }
        (None, [finish]) => {
            assert_eq!(streamed.tokens, Some(charged), "{name}: {body}");
            compare(Complete(&streamed.text, finish, charged));
        }
        _ => panic!("{name}: {body}"),
    }
}

/// Buys the answer as one document; passes the outcome to `compare`.
async fn buy_document(
    gateway: &TestGateway,
    endpoint: Endpoint,
    name: &str,
    compare: impl FnOnce(Outcome<'_>),
) {
    let before = gateway.wait_for_charges().await;
    let response = buy_at(gateway, endpoint, name, false).await;
    let status = response.status().as_u16();
    let answer = document(response).await;
    let charged = u64::try_from(gateway.wait_for_charges().await - before).unwrap();
    if status != 200 {
        assert_eq!(charged, 0, "{name}: {answer}");
        return compare(Refused(status));
    }
    assert_eq!(answer["usage"]["completion_tokens"], charged, "{name}: {answer}");
    let choice = &answer["choices"][0];
    let content = if endpoint == Endpoint::Completions {
        &choice["text"]
    } else {
        &choice["message"]["content"]
    };
    let content = content.as_str().unwrap_or_default();
    compare(Complete(content, choice["finish_reason"].as_str().unwrap(), charged));
}

/// Buys an answer, which resets the miner's consecutive failures, so that they do not stop its
/// requests. A rate limit pauses them for a second.
async fn assert_succeeds(gateway: &TestGateway, endpoint: Endpoint, after: &str) {
    for _ in 0..50 {
        if buy_at(gateway, endpoint, "plain", false).await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no answer within 5 s after {after}");
}

/// Buys the answers of scripted streams at a task with this endpoint, and compares the outcomes.
async fn compare_streams(
    endpoint: Endpoint,
    streams: impl Iterator<Item = &'static (&'static str, Outcome<'static>)>,
) {
    let gateway = start_gateway_for(endpoint).await;
    let mut mismatches = Vec::new();
    for (name, expected) in streams {
        let mut compare = |kind: &str, actual: Outcome<'_>, expected: Outcome<'_>| {
            if actual != expected {
                mismatches.push(format!("{name}, {kind}: {actual:?}, expected {expected:?}"));
            }
        };
        buy_stream(&gateway, endpoint, name, |actual| compare("stream", actual, *expected)).await;
        assert_succeeds(&gateway, endpoint, name).await;
        let expected = if matches!(expected, Interrupted(_)) { Refused(502) } else { *expected };
        buy_document(&gateway, endpoint, name, |actual| compare("document", actual, expected))
            .await;
        assert_succeeds(&gateway, endpoint, name).await;
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");
}

#[tokio::test]
async fn chat_streams_are_delivered_or_fail() {
    compare_streams(Endpoint::Chat, STREAMS.iter()).await;
}

/// Streams of text completions have the same outcomes as those of chats.
#[tokio::test]
async fn completion_streams_are_delivered_or_fail() {
    compare_streams(
        Endpoint::Completions,
        STREAMS.iter().filter(|(name, _)| !CHAT_ONLY_SCRIPTS.contains(name)),
    )
    .await;
}

/// Any buyer can ask for an empty answer: the miner stays in the market.
#[tokio::test]
async fn answers_without_tokens_do_not_stop_the_miner() {
    let gateway = start_gateway().await;
    for _ in 0..12 {
        let answer = document(buy(&gateway, "no_tokens", false).await).await;
        assert_eq!(answer["choices"][0]["message"]["content"], "");
    }
    assert_eq!(buy(&gateway, "plain", false).await.status(), 200);
}

/// Each fragment of a tool call has an index, and arguments are strings.
#[tokio::test]
async fn tool_calls_arrive_in_openai_format() {
    let gateway = start_gateway().await;
    for (name, expected) in [
        ("tools", vec![("w", "{\"city\":\"Paris\"}")]),
        ("tools_without_index", vec![("w", "{}")]),
        ("tools_with_null_arguments", vec![("w", "{}")]),
        ("two_tools", vec![("w", "{\"c\":1}"), ("v", "{\"d\":2}")]),
    ] {
        let answer = document(buy(&gateway, name, false).await).await;
        let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
        let functions: Vec<_> = calls.iter().map(|call| call["function"].clone()).collect();
        let function =
            |(name, arguments): &(&str, &str)| json!({"name": name, "arguments": arguments});
        assert_eq!(functions, expected.iter().map(function).collect::<Vec<_>>(), "{name}");
        let streamed = parse_stream(&text(buy(&gateway, name, true).await).await, Endpoint::Chat);
        let mut arguments = vec![String::new(); expected.len()];
        for call in streamed.calls {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            arguments[index].push_str(call["function"]["arguments"].as_str().unwrap());
        }
        assert!(
            arguments.iter().eq(expected.iter().map(|(_, arguments)| arguments)),
            "{name}: {arguments:?}"
        );
    }
}

/// Reasoning is relayed in its own field.
#[tokio::test]
async fn reasoning_is_relayed() {
    let gateway = start_gateway().await;
    let answer = document(buy(&gateway, "reasoning", false).await).await;
    assert_eq!(answer["choices"][0]["message"]["reasoning_content"], "hm so");
    let stream = text(buy(&gateway, "reasoning", true).await).await;
    assert!(stream.contains(r#""delta":{"reasoning_content":"hm"}"#), "{stream}");
}

/// `/v1/responses` has the reasoning in its own item, which ends before the text begins.
#[tokio::test]
async fn responses_have_reasoning() {
    let gateway = start_gateway().await;
    let mut body = json!({"model": TASK, "input": "reasoning", "max_output_tokens": 100});
    let answer = document(gateway.send("/v1/responses", &body, None).await).await;
    let [reasoning, message] = answer["output"].as_array().unwrap().as_slice() else {
        panic!("{answer}")
    };
    assert_eq!(
        (&reasoning["type"], &reasoning["content"][0]["text"]),
        (&json!("reasoning"), &json!("hm so"))
    );
    assert_eq!(
        (&message["type"], &message["content"][0]["text"]),
        (&json!("message"), &json!("one"))
    );
    body["stream"] = json!(true);
    let stream = text(gateway.send("/v1/responses", &body, None).await).await;
    assert_eq!(stream.matches("event: response.reasoning_text.delta").count(), 2, "{stream}");
    let end = stream.find("event: response.reasoning_text.done").unwrap();
    assert!(end < stream.find("event: response.output_text.delta").unwrap(), "{stream}");
}

/// `/v1/responses` has the log-probabilities that the backend sends, if the buyer wants them.
#[tokio::test]
async fn responses_have_log_probabilities() {
    let gateway = start_gateway().await;
    let mut body = json!({"model": TASK, "input": "plain", "max_output_tokens": 100});
    for (options, expected) in [(json!({}), 0), (json!({"top_logprobs": 2}), 3)] {
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        body["stream"] = json!(false);
        let answer = document(gateway.send("/v1/responses", &body, None).await).await;
        let logprobs = answer["output"][0]["content"][0]["logprobs"].as_array().unwrap();
        assert_eq!(logprobs.len(), expected, "{answer}");
        assert!(logprobs.iter().all(|entry| entry["logprob"] == -0.1), "{answer}");
        body["stream"] = json!(true);
        let stream = text(gateway.send("/v1/responses", &body, None).await).await;
        let deltas = stream.split_terminator("\n\n").filter_map(|event| {
            let event = event.strip_prefix("event: response.output_text.delta\ndata: ")?;
            Some(
                serde_json::from_str::<Value>(event).unwrap()["logprobs"].as_array().unwrap().len(),
            )
        });
        assert_eq!(deltas.sum::<usize>(), expected, "{stream}");
    }
}

/// `/v1/responses` reports why an answer is incomplete.
#[tokio::test]
async fn responses_relay_finish_reasons() {
    let gateway = start_gateway().await;
    for (name, status, details) in [
        ("plain", "completed", Value::Null),
        ("length", "incomplete", json!({"reason": "max_output_tokens"})),
        ("content_filter", "incomplete", json!({"reason": "content_filter"})),
    ] {
        let mut body = json!({"model": TASK, "input": name, "max_output_tokens": 100});
        let answer = document(gateway.send("/v1/responses", &body, None).await).await;
        assert_eq!(
            (&answer["status"], &answer["incomplete_details"]),
            (&json!(status), &details),
            "{name}"
        );
        body["stream"] = json!(true);
        let stream = text(gateway.send("/v1/responses", &body, None).await).await;
        assert!(stream.contains(&format!("event: response.{status}\n")), "{name}: {stream}");
    }
}

/// `/v1/messages` reports why an answer has ended.
#[tokio::test]
async fn messages_relay_stop_reasons() {
    let gateway = start_gateway().await;
    for (name, reason) in [
        ("plain", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("two_tools", "tool_use"),
    ] {
        let messages = json!([{"role": "user", "content": name}]);
        let mut body = json!({"model": TASK, "messages": messages, "max_tokens": 100});
        let answer = document(gateway.send("/v1/messages", &body, None).await).await;
        assert_eq!(answer["stop_reason"], reason, "{name}");
        body["stream"] = json!(true);
        let stream = text(gateway.send("/v1/messages", &body, None).await).await;
        assert!(stream.contains(&format!("\"stop_reason\":\"{reason}\"")), "{name}: {stream}");
    }
}
