//! Parser of a miner's server-sent events.

use bytes::BytesMut;
use memchr::memchr;
use serde_json::Value;

/// Longest line of a stream, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// One event of a stream.
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
    #[error("a line is longer than {LONGEST_LINE} bytes")]
    Line,
    #[error("an event is not a JSON object")]
    NotAnObject,
}

/// Incremental parser. `[DONE]` is recognised as a whole event only, not inside a text (§11.4).
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: BytesMut,
}

impl Events {
    /// Parses the next bytes and appends completed events.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut impl Extend<Event>) -> Result<(), StreamFault> {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.append(line)?;
            events.extend(self.finish()?);
            rest = after.get(1..).unwrap_or_default();
        }
        self.append(rest)
    }

    /// The event of a last line without end.
    pub(crate) fn finish(&mut self) -> Result<Option<Event>, StreamFault> {
        let line = self.line.split();
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(None) };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return Ok(Some(Event::Done));
        }
        match serde_json::from_slice(data) {
            Ok(value @ Value::Object(_)) => Ok(Some(Event::Object(value))),
            _ => Err(StreamFault::NotAnObject),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StreamFault> {
        if self.line.len() + bytes.len() > LONGEST_LINE {
            return Err(StreamFault::Line);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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
        assert_eq!(through(&[&vec![b'x'; LONGEST_LINE + 1]]), Err(StreamFault::Line));
        let half = vec![b'x'; LONGEST_LINE / 2 + 1];
        assert_eq!(through(&[&half, &half]), Err(StreamFault::Line));
    }

    proptest! {
        /// Wherever the stream is cut, within a character too.
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
