use proptest::prelude::*;
use taonet_http::testing::split_at;

use super::*;

const STREAM: &str = concat!(
    ": a comment\n\n",
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"},\"logprobs\":{\"content\":[{\"logprob\":-0.5}]}}]}\r\n\r\n",
    "event: ping\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]},\"logprobs\":null}]}\n\n",
    "data:{\"choices\":[{\"text\":\"llo\",\"logprobs\":{\"token_logprobs\":[-0.1]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"logprobs\":{}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

const FORWARDED_CHUNKS: [&str; 3] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"},\"logprobs\":{\"content\":[{\"logprob\":-0.5}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]},\"logprobs\":null}]}\n\n",
    "data: {\"choices\":[{\"text\":\"llo\",\"logprobs\":{\"token_logprobs\":[-0.1]}}]}\n\n",
];

const FINISH: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

/// Returns the events of a stream, and its fault.
fn filtered(pieces: &[&[u8]], relays_end: bool) -> (Vec<String>, Option<StreamFault>) {
    let (mut filter, mut ready) =
        (EventFilter::new(AcceptedParts { wants_logprobs: true, relays_end }), VecDeque::new());
    let mut result = pieces.iter().try_for_each(|piece| filter.push(piece, &mut ready));
    if result.is_ok() {
        result = filter.finish(&mut ready);
    }
    let events = ready.into_iter().map(|event| String::from_utf8(event.to_vec()).unwrap());
    (events.collect(), result.err())
}

fn filtered_chunks(chunks: &[&str], relays_end: bool) -> (Vec<String>, Option<StreamFault>) {
    let stream =
        chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<Vec<_>>().concat();
    let (events, fault) = filtered(&[stream.as_bytes()], relays_end);
    (events.iter().map(|event| event["data: ".len()..].trim_end().to_owned()).collect(), fault)
}

#[test]
fn stream_filter_forwards_only_chunks_with_content() {
    assert_eq!(
        filtered(&[STREAM.as_bytes()], false),
        (FORWARDED_CHUNKS.map(str::to_owned).to_vec(), None)
    );
    // A validator that accepts the end of a stream also gets the finish reason.
    let (events, fault) = filtered(&[STREAM.as_bytes()], true);
    assert_eq!((events.len(), fault), (4, None));
    assert!(events[3].contains(r#""finish_reason":"stop""#));
}

#[test]
fn reference_validators_get_chunks_with_content_only() {
    let text = r#"{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{}]}}]}"#;
    let role = r#"{"choices":[{"delta":{"role":"assistant","content":""},"logprobs":null}]}"#;
    let reasoning = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
    let cut = "{\"choices\":[{\"delta\":{\"content\":\"\u{fffd}\"},\"finish_reason\":\"length\"}]}";
    let other = r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#;
    let part = r#"{"choices":[{"delta":{"content":""},"logprobs":{"content":[{"token":""}]}}]}"#;
    let completion = r#"{"choices":[{"text":"","finish_reason":"stop","logprobs":null}]}"#;
    let content_only = r#"{"choices":[{"delta":{"content":"c"},"logprobs":null}]}"#;
    for (chunks, reference, ours) in [
        (vec![role, text, FINISH], vec![text], vec![text, FINISH]),
        (vec![reasoning, text, FINISH], vec![text], vec![reasoning, text, FINISH]),
        (vec![text, cut], vec![text], vec![text, cut]),
        (vec![text, other, FINISH], vec![text], vec![text, FINISH]),
        (vec![part, text, FINISH], vec![part, text], vec![part, text, FINISH]),
        (
            vec![text, content_only, text, FINISH],
            vec![text, content_only, text],
            vec![text, content_only, text, FINISH],
        ),
        // An answer without text: the reference's validators need a chunk with a text.
        (vec![role, FINISH], vec![EMPTY_CHAT], vec![FINISH]),
        (vec![role, "[DONE]"], vec![EMPTY_CHAT], vec![EMPTY_CHAT]),
        (vec![completion], vec![EMPTY_COMPLETION], vec![completion]),
    ] {
        assert_eq!(
            filtered_chunks(&chunks, false),
            (reference.iter().map(|chunk| (*chunk).to_owned()).collect(), None)
        );
        assert_eq!(
            filtered_chunks(&chunks, true),
            (ours.iter().map(|chunk| (*chunk).to_owned()).collect(), None)
        );
    }
}

#[test]
fn faults_of_streams_are_reported() {
    let text = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    for (last, expected) in [
        (
            "data: {\"error\":{\"message\":\"died\",\"code\":502}}\n\n",
            "backend reports an error: died",
        ),
        ("data: {\"error\":\"died\"}\n\n", "backend reports an error: died"),
        (
            "data: {\"object\":\"error\",\"message\":\"died\",\"code\":400}\n\n",
            "backend reports an error: died",
        ),
        ("event: error\ndata: {\"message\":\"boom\"}\n\n", "backend reports an error: boom"),
        ("event: error\ndata: boom\n\n", "backend reports an error: boom"),
        ("error: {\"message\":\"boom\"}\n\n", "backend reports an error: boom"),
        (
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n",
            "backend reports an error: finish_reason \"error\"",
        ),
        (
            "data: {\"error\":{\"message\":\"died\"},\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n",
            "backend reports an error: died",
        ),
        (
            "data: {\"choi\n\n",
            "an event is not JSON: EOF while parsing a string at line 1 column 6, in {\"choi",
        ),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"b\\ud83e\"}}]}\n\n",
            "an event is not JSON: unexpected end of hex escape",
        ),
        ("data: [1]\n\n", "an event is not JSON: invalid type"),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":7}}]}\n\n",
            "the text of a chunk is not a string",
        ),
        ("", "stream ended without a finish reason or [DONE]"),
    ] {
        let (events, fault) = filtered(&[format!("data: {text}\n\n{last}").as_bytes()], true);
        assert_eq!(events, [format!("data: {text}\n\n")], "the text before the fault is passed on");
        let fault = fault.map(|fault| fault.to_string()).unwrap_or_default();
        assert!(fault.starts_with(expected), "{last}: {fault}");
    }
    for empty in [
        "",
        ": comment\n\n",
        "data: [DONE]\n\n",
        "<html>login</html>",
        "data: {\"choices\":[]}\n\n",
    ] {
        assert_eq!(
            filtered(&[empty.as_bytes()], true),
            (Vec::new(), Some(StreamFault::Empty)),
            "{empty:?}"
        );
    }
    let full = parse_reported_error(r#"{"error":{"message":"no capacity","code":429}}"#);
    assert!(
        matches!(full, StreamFault::Reported { status: Some(StatusCode::TOO_MANY_REQUESTS), .. }),
        "{full:?}"
    );
}

#[test]
fn chunks_after_done_are_ignored() {
    let text = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    assert_eq!(
        filtered_chunks(&[text, "[DONE]", text, "{broken"], true),
        (vec![text.to_owned()], None)
    );
}

#[test]
fn events_without_empty_lines_between_them_are_parsed() {
    let text = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    let stream = format!("data: {text}\ndata: {FINISH}\ndata: [DONE]\n");
    assert_eq!(filtered(&[stream.as_bytes()], false), (vec![format!("data: {text}\n\n")], None));
}

#[test]
fn relayed_events_have_one_line() {
    let stream = "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"a\u{2028}\u{2029}\u{85}b\"}}]}\n\ndata: [DONE]\n\n";
    let (events, fault) = filtered(&[stream.as_bytes()], false);
    assert_eq!(fault, None);
    assert_eq!(
        events,
        ["data: {\"choices\": [{\"delta\":{\"content\":\"a\\u2028\\u2029\\u0085b\"}}]}\n\n"]
    );
    // Malformed UTF-8 is decoded as the standard says.
    let (events, fault) = filtered(
        &[b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xffb\"}}]}\n\ndata: [DONE]\n\n"],
        false,
    );
    assert_eq!((events[0].contains("a\u{fffd}b"), fault), (true, None));
}

#[test]
fn missing_log_probabilities_are_detected() {
    for (logprobs, lacks) in [("null", true), ("{\"content\":[]}", false)] {
        let chunk = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}},\"logprobs\":{logprobs}}}]}}\n\n"
        );
        for wants_logprobs in [false, true] {
            let mut filter = EventFilter::new(AcceptedParts { wants_logprobs, relays_end: false });
            filter.push(chunk.as_bytes(), &mut VecDeque::new()).unwrap();
            assert_eq!(filter.lacks_logprobs(), lacks && wants_logprobs);
        }
    }
}

#[test]
fn endless_lines_are_refused() {
    let mut filter = EventFilter::new(AcceptedParts { wants_logprobs: false, relays_end: false });
    let piece = vec![b'x'; 1 << 18];
    let results: Vec<_> =
        (0..5).map(|_| filter.push(&piece, &mut VecDeque::new()).is_ok()).collect();
    assert_eq!(results, [true, true, true, true, false]);
}

proptest! {
    /// The stream may be split anywhere, even within a character.
    #[test]
    fn chunk_boundaries_do_not_change_the_events(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
        prop_assert_eq!(filtered(&split_at(STREAM, cuts), false), (FORWARDED_CHUNKS.map(str::to_owned).to_vec(), None));
    }

    #[test]
    fn arbitrary_stream_never_panics(bytes: Vec<u8>) {
        let _ = filtered(&[&bytes], true);
    }
}
