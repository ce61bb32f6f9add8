//! Parser of a miner's server-sent events.

use serde_json::Value;
use taonet_http::parse_object;
use taonet_http::sse::{EventStream, EventTooLong, ServerEvent};

use crate::Chunk;
use crate::chunk::TextChunkParser;

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A chunk of text.
    Text(Chunk),
    /// Any other JSON object.
    Object(Value),
    /// The `[DONE]` marker.
    Done,
}

/// Why a stream is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamFault {
    #[error(transparent)]
    Event(#[from] EventTooLong),
    #[error("stream reports an error")]
    Reported,
    #[error("an event is not a JSON object")]
    NotAnObject,
    #[error("an event has more than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Maximum nesting depth of a stored event. The checker parses a list of them, and its JSON parser
/// accepts 127 levels: a miner must not be able to escape the check with an answer that only the
/// gateway can parse.
pub(crate) const MAX_DEPTH: usize = 64;

/// Incremental parser of a miner's stream. `[DONE]` ends the stream only as a complete event, not
/// inside a text.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    stream: EventStream,
    text_parser: TextChunkParser,
    /// Whether chunks with log-probabilities are parsed completely.
    keeps_logprobs: bool,
    /// JSON of all events, separated by commas, if they are recorded.
    recorded: Option<String>,
    /// Whether `[DONE]` has arrived. Further events are ignored.
    is_done: bool,
}

impl EventParser {
    /// Creates a parser. With `keeps_logprobs`, it relays log-probabilities; with `keeps_events`,
    /// it keeps the events for a sample of the answer.
    pub(crate) fn new(keeps_logprobs: bool, keeps_events: bool) -> Self {
        Self {
            stream: EventStream::default(),
            text_parser: TextChunkParser::default(),
            keeps_logprobs,
            recorded: keeps_events.then(String::new),
            is_done: false,
        }
    }

    /// Parses the next bytes, or the end of the stream, and appends completed events. After an
    /// error, `events` has those before it.
    pub(crate) fn push(
        &mut self,
        bytes: Option<&[u8]>,
        events: &mut impl Extend<Event>,
    ) -> Result<(), StreamFault> {
        let Self { stream, text_parser, keeps_logprobs, recorded, is_done } = self;
        let push_event = |event: ServerEvent<'_>| {
            if !*is_done {
                let event = parse_event(&event, text_parser, *keeps_logprobs, recorded.as_mut())?;
                *is_done = event == Event::Done;
                events.extend([event]);
            }
            Ok(())
        };
        match bytes {
            Some(bytes) => stream.push(bytes, push_event),
            // The last event may have no empty line.
            None => stream.finish(push_event),
        }
    }

    /// Takes the recorded events as a JSON array; `None` if there are none.
    pub(crate) fn take_recorded(&mut self) -> Option<String> {
        let recorded = self.recorded.take().filter(|recorded| !recorded.is_empty())?;
        Some(format!("[{recorded}]"))
    }
}

fn parse_event(
    event: &ServerEvent<'_>,
    text_parser: &mut TextChunkParser,
    keeps_logprobs: bool,
    recorded: Option<&mut String>,
) -> Result<Event, StreamFault> {
    if event.is_error() {
        return Err(StreamFault::Reported);
    }
    if event.is_done() {
        return Ok(Event::Done);
    }
    let data = event.data.trim_ascii();
    let Some(recorded) = recorded else {
        if let Some(chunk) = text_parser.parse(data, keeps_logprobs) {
            return Ok(Event::Text(chunk));
        }
        return parse_json_object(data).map(Event::Object);
    };
    // Parsed completely, so that the checker can parse what is kept.
    let (value, text) = (
        parse_json_object(data)?,
        std::str::from_utf8(data).map_err(|_| StreamFault::NotAnObject)?,
    );
    if nesting_depth(&value) > MAX_DEPTH {
        return Err(StreamFault::TooDeep);
    }
    if !recorded.is_empty() {
        recorded.push(',');
    }
    recorded.push_str(text);
    Ok(Event::Object(value))
}

fn parse_json_object(data: &[u8]) -> Result<Value, StreamFault> {
    parse_object(data).map(Value::Object).map_err(|_| StreamFault::NotAnObject)
}

/// Returns the number of nested arrays and objects. The parser has limited it to 127.
pub(crate) fn nesting_depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(nesting_depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(nesting_depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use taonet_http::sse::MAX_EVENT_LENGTH;
    use taonet_http::testing::split_at;

    use super::*;

    const STREAM: &str = ": ping\r\n\r\nevent: x\ndata: {\"a\":\"h\u{e9} [DONE]\"}\r\n\r\ndata:{}\n\ndata: [DONE]\n\n";

    fn parse_pieces(pieces: &[&[u8]]) -> Result<Vec<Event>, StreamFault> {
        let (mut events, mut parser) = (Vec::new(), EventParser::default());
        for piece in pieces {
            parser.push(Some(piece), &mut events)?;
        }
        parser.push(None, &mut events)?;
        Ok(events)
    }

    fn expected() -> Vec<Event> {
        vec![Event::Object(json!({"a": "h\u{e9} [DONE]"})), Event::Object(json!({})), Event::Done]
    }

    #[test]
    fn malformed_event_is_a_fault() {
        for garbage in ["data: {\n", "data: [1]\n", "data: \u{0}", "data: [DONE] \"x\"", "data:"] {
            assert_eq!(
                parse_pieces(&[garbage.as_bytes()]),
                Err(StreamFault::NotAnObject),
                "{garbage}"
            );
        }
        assert_eq!(parse_pieces(&[b"data: \xff\n"]), Err(StreamFault::NotAnObject));
        assert_eq!(
            parse_pieces(&[&vec![b'x'; MAX_EVENT_LENGTH + 1]]),
            Err(StreamFault::Event(EventTooLong))
        );
        assert_eq!(parse_pieces(&[b"event: error\ndata: {}\n\n"]), Err(StreamFault::Reported));
    }

    #[test]
    fn events_after_the_end_marker_are_ignored() {
        let stream: &[u8] = b"data: {}\n\ndata: [DONE]\n\ndata: {\"a\":1}\n\ndata: garbage\n\n";
        let expected = Ok(vec![Event::Object(json!({})), Event::Done]);
        assert_eq!(parse_pieces(&[stream]), expected);
    }

    /// The events recorded for a sample are those that the checker can parse: other events are
    /// rejected.
    #[test]
    fn recorded_events_are_a_json_array() {
        let recorded_events = |stream: &str| {
            let (mut events, mut parser) = (Vec::new(), EventParser::new(false, true));
            parser.push(Some(stream.as_bytes()), &mut events)?;
            parser.push(None, &mut events)?;
            Ok(parser.take_recorded())
        };
        let recorded =
            recorded_events("data: {\"a\": [1.50]}\n\ndata:{}\n\ndata: [DONE]\n\n").unwrap();
        assert_eq!(recorded.as_deref(), Some(r#"[{"a": [1.50]},{}]"#));
        assert_eq!(recorded_events(": nothing\n").unwrap(), None);
        let nested = |nesting_depth: usize| {
            format!("data: {{\"x\":{}{}}}\n", "[".repeat(nesting_depth), "]".repeat(nesting_depth))
        };
        let deepest = recorded_events(&nested(MAX_DEPTH - 1)).unwrap().unwrap();
        assert!(serde_json::from_str::<Vec<Value>>(&deepest).is_ok());
        assert_eq!(recorded_events(&nested(MAX_DEPTH)), Err(StreamFault::TooDeep));
        for unparsed in ["\"\\ud800\"", "\"\u{1}\""] {
            let chunk = format!(
                "data: {{\"x\":{unparsed},\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n"
            );
            assert_eq!(recorded_events(&chunk), Err(StreamFault::NotAnObject), "{unparsed}");
        }
    }

    proptest! {
        /// Packet boundaries have no effect, even within a character.
        #[test]
        fn packet_boundaries_do_not_change_the_events(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            prop_assert_eq!(parse_pieces(&split_at(STREAM, cuts)), Ok(expected()));
        }

        #[test]
        fn arbitrary_stream_never_panics(bytes: Vec<u8>) {
            let _ = parse_pieces(&[&bytes]);
        }
    }
}
