//! Scripted streams of a backend.

use serde_json::{Value, json};

const DONE_EVENT: &str = "data: [DONE]\n\n";

fn event(document: &Value) -> String {
    format!("data: {document}\n\n")
}

/// Returns a chunk; without `logprobs`, it has no such field.
fn chunk(delta: &Value, finish: Value, logprobs: Option<Value>) -> Value {
    let mut choice = json!({"index": 0, "delta": delta});
    choice["finish_reason"] = finish;
    if let Some(logprobs) = logprobs {
        choice["logprobs"] = logprobs;
    }
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
}

fn entries(tokens: &[&str]) -> Value {
    let entry =
        |token: &&str| json!({"token": token, "logprob": -0.1, "bytes": null, "top_logprobs": []});
    json!({"content": tokens.iter().map(entry).collect::<Vec<_>>()})
}

fn word(text: &str) -> String {
    event(&chunk(&json!({"content": text}), Value::Null, Some(entries(&[text]))))
}

fn word_without_logprobs(text: &str) -> String {
    event(&chunk(&json!({"content": text}), Value::Null, None))
}

fn with_logprobs(text: &str, logprobs: Value) -> String {
    event(&chunk(&json!({"content": text}), Value::Null, Some(logprobs)))
}

fn role_event() -> String {
    event(&chunk(&json!({"role": "assistant", "content": ""}), Value::Null, None))
}

fn finish_event(reason: &str) -> String {
    event(&chunk(&json!({}), reason.into(), None))
}

fn with_usage(delta: &Value, reason: Value, logprobs: Option<Value>, usage: Value) -> String {
    let mut chunk = chunk(delta, reason, logprobs);
    chunk["usage"] = usage;
    event(&chunk)
}

fn tool_calls_event(calls: &Value) -> String {
    event(&chunk(
        &json!({"role": "assistant", "content": null, "tool_calls": calls}),
        Value::Null,
        None,
    ))
}

/// Returns a chunk whose text is written in JSON as `json`.
fn raw_text_event(json: &[u8]) -> Vec<u8> {
    let start = br#"data: {"choices":[{"index":0,"delta":{"content":""#;
    let end =
        br#""},"logprobs":{"content":[{"token":"a","logprob":-0.1}]},"finish_reason":null}]}"#;
    [start, json, end, b"\n\n"].concat()
}

/// Surrounds an answer's chunks with the role, the finish reason and `[DONE_EVENT]`.
fn complete(chunks: &[String]) -> Vec<String> {
    let mut stream = vec![role_event()];
    stream.extend(chunks.iter().cloned());
    stream.extend([finish_event("stop"), DONE_EVENT.to_owned()]);
    stream
}

fn two_words() -> Vec<String> {
    complete(&[word("one"), word(" two")])
}

/// Returns the beginning of an answer of two words, and these events.
fn two_words_then(events: &[String]) -> Vec<String> {
    [&[role_event(), word("one"), word(" two")], events].concat()
}

/// Returns the parts of a stream, as they are sent.
#[expect(clippy::too_many_lines, reason = "a table of streams")]
pub(super) fn script(name: &str) -> Vec<Vec<u8>> {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
    let three_words = [word("one"), word(" two"), word(" three")];
    let bytes =
        |stream: Vec<String>| stream.into_iter().map(String::into_bytes).collect::<Vec<_>>();
    let inside = |json: &[u8]| {
        vec![
            role_event().into_bytes(),
            raw_text_event(json),
            finish_event("stop").into_bytes(),
            DONE_EVENT.as_bytes().to_vec(),
        ]
    };
    let replace_in_two_words = |from: &str, to: &str| {
        two_words().iter().map(|event| event.replace(from, to)).collect::<Vec<_>>()
    };
    let stream = match name {
        "split_bytes" => {
            let words = [word("\u{65e5}\u{672c}"), word("\u{1f98a} na\u{ef}ve"), word(" \u{41f}")];
            return complete(&words).concat().bytes().map(|byte| vec![byte]).collect();
        }
        "surrogate_pair" => return inside(br"\ud83e\udd8a ok"),
        "lone_surrogates" => {
            let parts = [raw_text_event(br"a\ud83e"), raw_text_event(br"\udd8ab")];
            return [
                &[role_event().into_bytes()],
                &parts[..],
                &[finish_event("stop").into_bytes()],
            ]
            .concat();
        }
        "malformed_utf8" => return inside(b"a\xffb"),
        "crlf" => replace_in_two_words("\n", "\r\n"),
        "cr" => replace_in_two_words("\n", "\r"),
        "no_space" => replace_in_two_words("data: ", "data:"),
        "byte_order_mark" => [vec!["\u{feff}".to_owned()], two_words()].concat(),
        "comments" => {
            let ping = ": PROCESSING\n\n".to_owned();
            vec![
                ping.clone(),
                ping,
                role_event(),
                word("one"),
                ": keep\n".to_owned(),
                word(" two"),
                finish_event("stop"),
                DONE_EVENT.to_owned(),
            ]
        }
        "multi_line_data" => {
            complete(&[word("one").replacen(",\"created\"", ",\ndata: \"created\"", 1)])
        }
        "event_names" => two_words()
            .iter()
            .map(|event| format!("event: message\nid: 5\nretry: 100\n{event}"))
            .collect(),
        "one_packet" => vec![two_words().concat()],
        "done_without_empty_line" => {
            vec![
                role_event(),
                word("one"),
                format!("{}\ndata: [DONE]\n", finish_event("stop").trim_end()),
            ]
        }
        "done_twice" => [complete(&[word("one")]), vec![DONE_EVENT.to_owned()]].concat(),
        "text_after_done" => [complete(&[word("one")]), vec![word(" more")]].concat(),
        "no_done" => two_words_then(&[finish_event("stop")]),
        "no_finish_reason" => two_words_then(&[DONE_EVENT.to_owned()]),
        "no_end" | "cut_connection" => two_words_then(&[]),
        "empty_finish_reasons" => {
            replace_in_two_words("\"finish_reason\":null", "\"finish_reason\":\"\"")
        }
        "length" => vec![role_event(), word("one"), finish_event("length"), DONE_EVENT.to_owned()],
        "content_filter" => {
            vec![role_event(), word("one"), finish_event("content_filter"), DONE_EVENT.to_owned()]
        }
        "text_with_finish" | "text_with_length" => {
            let reason = if name == "text_with_finish" { "stop" } else { "length" };
            let last =
                chunk(&json!({"content": " three"}), reason.into(), Some(entries(&[" three"])));
            two_words_then(&[event(&last), DONE_EVENT.to_owned()])
        }
        "usage_without_choices" => two_words_then(&[
            finish_event("stop"),
            event(&json!({"choices": [], "usage": usage})),
            DONE_EVENT.to_owned(),
        ]),
        "usage_with_text" => two_words_then(&[
            with_usage(&json!({"content": " three"}), "stop".into(), None, usage),
            DONE_EVENT.to_owned(),
        ]),
        "usage_in_every_chunk"
        | "usage_null"
        | "usage_of_a_billion"
        | "usage_below_zero"
        | "usage_as_text" => {
            let usage_of = |tokens: Value| json!({"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": tokens});
            let usage = match name {
                "usage_null" => Value::Null,
                "usage_of_a_billion" => usage_of(json!(1_000_000_000)),
                "usage_below_zero" => usage_of(json!(-5)),
                "usage_as_text" => json!("much"),
                _ => usage,
            };
            let word = |text: &str| {
                with_usage(
                    &json!({ "content": text }),
                    Value::Null,
                    Some(entries(&[text])),
                    usage.clone(),
                )
            };
            let role = with_usage(
                &json!({"role": "assistant", "content": ""}),
                Value::Null,
                None,
                usage.clone(),
            );
            let last = with_usage(&json!({}), "stop".into(), None, usage.clone());
            vec![role, word("one"), word(" two"), word(" three"), last, DONE_EVENT.to_owned()]
        }
        "no_tokens" => complete(&[]),
        "no_tokens_one_chunk" => {
            vec![
                event(&chunk(&json!({"role": "assistant", "content": null}), "stop".into(), None)),
                DONE_EVENT.to_owned(),
            ]
        }
        "only_done" => vec![DONE_EVENT.to_owned()],
        "nothing" => Vec::new(),
        "role_with_text" => {
            let first = chunk(
                &json!({"role": "assistant", "content": "one"}),
                Value::Null,
                Some(entries(&["one"])),
            );
            vec![event(&first), word(" two"), finish_event("stop"), DONE_EVENT.to_owned()]
        }
        "role_with_text_without_logprobs" => {
            let first = chunk(&json!({"role": "assistant", "content": "one"}), Value::Null, None);
            vec![event(&first), word(" two"), finish_event("stop"), DONE_EVENT.to_owned()]
        }
        "content_null" => {
            let first =
                event(&chunk(&json!({"role": "assistant", "content": null}), Value::Null, None));
            [vec![first], two_words()[1..].to_vec()].concat()
        }
        "first_chunk_without_choices" => [
            vec![event(&json!({"id": "", "choices": [], "prompt_filter_results": []}))],
            two_words(),
        ]
        .concat(),
        "one_chunk_without_logprobs" => {
            complete(&[word("one"), word_without_logprobs(" two"), word(" three")])
        }
        "one_chunk_with_null_logprobs" => {
            complete(&[word("one"), with_logprobs(" two", Value::Null), word(" three")])
        }
        "last_chunk_without_logprobs" | "last_chunk_with_null_logprobs" => {
            let logprobs = (name == "last_chunk_with_null_logprobs").then_some(Value::Null);
            two_words_then(&[
                event(&chunk(&json!({"content": " three"}), "stop".into(), logprobs)),
                DONE_EVENT.to_owned(),
            ])
        }
        "no_logprobs" => complete(&[
            word_without_logprobs("one"),
            word_without_logprobs(" two"),
            word_without_logprobs(" three"),
        ]),
        "null_logprobs" => complete(&["one", " two"].map(|text| with_logprobs(text, Value::Null))),
        "empty_logprobs" => {
            complete(&["one", " two"].map(|text| with_logprobs(text, entries(&[]))))
        }
        "large_logprob" => complete(&[word("one").replace("-0.1", "-9999.0")]),
        "infinite_logprob" => complete(&[word("one").replace("-0.1", "-Infinity")]),
        "empty_token" => complete(&[word("one"), word(""), word(" two")]),
        "several_tokens_in_a_chunk" => {
            complete(&[with_logprobs("one two three", entries(&["one", " two", " three"]))])
        }
        "empty_tokens" => complete(&[word("one"), word("").repeat(300), word(" two")]),
        "too_many_empty_tokens" => complete(&[word("").repeat(900), word("one")]),
        // In several parts, so that the text is delivered before there are too many.
        "too_many_empty_tokens_later" => [
            vec![role_event(), word("one")],
            vec![word("").repeat(100); 9],
            vec![finish_event("stop"), DONE_EVENT.to_owned()],
        ]
        .concat(),
        "too_many_logprobs" => complete(&[with_logprobs("one", entries(&["one"; 900]))]),
        "character_of_several_tokens" => {
            complete(&[word("one"), word(""), word(""), word("\u{1f98a}")])
        }
        "error_first" => vec![event(&json!({"error": {"message": "no capacity", "code": 429}}))],
        "error_later" => {
            two_words_then(&[event(&json!({"error": {"message": "upstream died", "code": 502}}))])
        }
        "error_with_choices" => {
            let choice = json!({"index": 0, "delta": {"content": ""}, "finish_reason": "error"});
            two_words_then(&[
                event(&json!({"error": {"message": "upstream died"}, "choices": [choice]})),
                DONE_EVENT.to_owned(),
            ])
        }
        "error_finish_reason" => two_words_then(&[
            event(&chunk(&json!({"content": ""}), "error".into(), None)),
            DONE_EVENT.to_owned(),
        ]),
        "error_event" => {
            two_words_then(&["event: error\ndata: {\"message\":\"boom\"}\n\n".to_owned()])
        }
        "error_line" => {
            two_words_then(&["error: {\"message\":\"boom\"}\n\n".to_owned(), DONE_EVENT.to_owned()])
        }
        "malformed_json" => {
            complete(&[word("one"), "data: {\"id\":\"c\",\"obj\n\n".to_owned(), word(" two")])
        }
        "joined_events" => complete(&[
            word("one"),
            format!("data: {{\"id\":\"x\",\"object\":\"chat.c{}", word_without_logprobs(" two")),
        ]),
        "line_separators" => complete(&[word("a\u{2028}b\u{2029}c\u{85}d")]),
        "nul" => complete(&[word("a\0b")]),
        "large_chunk" => complete(&[word(&"x".repeat(1_500_000))]),
        "two_choices" => {
            let choice = |index: usize, text: &str| json!({"index": index, "delta": {"content": text}, "finish_reason": null, "logprobs": entries(&[text])});
            complete(&[event(&json!({"choices": [choice(0, "A"), choice(1, "B")]}))])
        }
        "reasoning" => {
            let reasoning_event =
                |text: &str| event(&chunk(&json!({"reasoning_content": text}), Value::Null, None));
            complete(&[reasoning_event("hm"), reasoning_event(" so"), word("one")])
        }
        "tools" => {
            let piece = |text: &str| {
                tool_calls_event(&json!([{"index": 0, "function": {"arguments": text}}]))
            };
            let first = tool_calls_event(
                &json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "w", "arguments": ""}}]),
            );
            vec![
                first,
                piece("{\"ci"),
                piece("ty\":"),
                piece("\"Paris\"}"),
                finish_event("tool_calls"),
                DONE_EVENT.to_owned(),
            ]
        }
        "tools_without_index" => {
            let calls = json!([{"id": "a", "type": "function", "function": {"name": "w", "arguments": "{}"}}]);
            vec![tool_calls_event(&calls), finish_event("tool_calls"), DONE_EVENT.to_owned()]
        }
        "tools_with_null_arguments" => {
            let first = json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "w", "arguments": null}}]);
            let second = json!([{"index": 0, "function": {"arguments": "{}"}}]);
            vec![
                tool_calls_event(&first),
                tool_calls_event(&second),
                finish_event("tool_calls"),
                DONE_EVENT.to_owned(),
            ]
        }
        "two_tools" => {
            let calls = json!([
                {"index": 0, "id": "a", "type": "function", "function": {"name": "w", "arguments": "{\"c\":1}"}},
                {"index": 1, "id": "b", "type": "function", "function": {"name": "v", "arguments": "{\"d\":2}"}},
            ]);
            vec![tool_calls_event(&calls), finish_event("tool_calls"), DONE_EVENT.to_owned()]
        }
        "plain" => complete(&three_words),
        _ => panic!("no stream {name:?}"),
    };
    bytes(stream)
}
