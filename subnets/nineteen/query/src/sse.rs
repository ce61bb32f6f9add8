//! Parser of a miner's server-sent events.

use serde_json::Value;
use taonet_nineteen_transport::sse::{DataLines, LineTooLong};

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A JSON object.
    Object(Value),
    /// The `[DONE]` marker.
    Done,
}

/// Why a stream is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamFault {
    #[error(transparent)]
    Line(#[from] LineTooLong),
    #[error("an event is not a JSON object")]
    NotAnObject,
}

/// Incremental parser. `[DONE]` is recognised as a whole event only, not inside a text.
#[derive(Debug, Default)]
pub(crate) struct Events {
    lines: DataLines,
}

impl Events {
    /// Parses the next bytes and appends completed events.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut impl Extend<Event>) -> Result<(), StreamFault> {
        self.lines.push(bytes, |data| {
            events.extend([event(data)?]);
            Ok(())
        })
    }

    /// Parses a final line without a line ending.
    pub(crate) fn finish(&mut self) -> Result<Option<Event>, StreamFault> {
        let mut last = None;
        self.lines.finish(|data| {
            last = Some(event(data)?);
            Ok::<_, StreamFault>(())
        })?;
        Ok(last)
    }
}

fn event(data: &[u8]) -> Result<Event, StreamFault> {
    if data == b"[DONE]" {
        return Ok(Event::Done);
    }
    match serde_json::from_slice(data) {
        Ok(value @ Value::Object(_)) => Ok(Event::Object(value)),
        _ => Err(StreamFault::NotAnObject),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use taonet_nineteen_transport::sse::LONGEST_LINE;

    use super::*;

    const STREAM: &str = ": ping\r\n\r\nevent: x\ndata: {\"a\":\"h\u{e9} [DONE]\"}\r\n\r\ndata:{}\n\ndata: [DONE]\n\n";

    fn through(pieces: &[&[u8]]) -> Result<Vec<Event>, StreamFault> {
        let (mut events, mut parser) = (Vec::new(), Events::default());
        for piece in pieces {
            parser.push(piece, &mut events)?;
        }
        events.extend(parser.finish()?);
        Ok(events)
    }

    fn expected() -> Vec<Event> {
        vec![Event::Object(json!({"a": "h\u{e9} [DONE]"})), Event::Object(json!({})), Event::Done]
    }

    #[test]
    fn garbage_is_a_fault() {
        for garbage in ["data: {\n", "data: [1]\n", "data: \u{0}", "data: [DONE] \"x\"", "data:"] {
            assert_eq!(through(&[garbage.as_bytes()]), Err(StreamFault::NotAnObject), "{garbage}");
        }
        assert_eq!(through(&[b"data: \xff\n"]), Err(StreamFault::NotAnObject));
        assert_eq!(through(&[&vec![b'x'; LONGEST_LINE + 1]]), Err(StreamFault::Line(LineTooLong)));
    }

    proptest! {
        /// Packet boundaries have no effect, even within a character.
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut pieces, mut start) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&STREAM.as_bytes()[start..cut]);
                start = cut;
            }
            pieces.push(&STREAM.as_bytes()[start..]);
            prop_assert_eq!(through(&pieces), Ok(expected()));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = through(&[&bytes]);
        }
    }
}
