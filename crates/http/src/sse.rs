//! Parser for the server-sent events that miners and inference servers send, by the grammar of the
//! HTML standard's [event
//! streams](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).

use memchr::memchr2;

/// Maximum length of a line of a stream, and of the data of an event, in bytes.
pub const MAX_EVENT_LENGTH: usize = 1 << 20;
/// Byte order mark, which may precede the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line or an event's data exceeds [`MAX_EVENT_LENGTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {MAX_EVENT_LENGTH} bytes")]
pub struct EventTooLong;

/// A server-sent event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerEvent<'a> {
    /// Type of the event; empty if the stream does not name it.
    pub kind: &'a [u8],
    /// Values of the event's `data` lines, joined with line feeds.
    pub data: &'a [u8],
}

impl ServerEvent<'_> {
    /// Returns whether the event is the `[DONE]` marker, which ends a stream in OpenAI's API.
    pub fn is_done(&self) -> bool {
        self.data.trim_ascii() == b"[DONE]"
    }

    /// Returns whether the event's type is `error`.
    pub fn is_error(&self) -> bool {
        self.kind == b"error"
    }
}

/// Incremental parser of an event stream. Lines end with CR LF, LF or CR; an event ends with an
/// empty line, and may have several lines of data. Comments and unknown fields are skipped.
///
/// There are two differences from the standard, for inference servers. The event at the end of the
/// stream counts even without its empty line: its JSON shows whether it is complete. A line `error:
/// …` is an event of the type `error`, as earlier releases of llama.cpp send it.
#[derive(Debug, Default)]
pub struct EventStream {
    /// Start of a line whose end has not arrived.
    line: Vec<u8>,
    /// Data of the event in progress; `None` before its first line of data.
    data: Option<Vec<u8>>,
    /// Type of the event in progress.
    kind: Vec<u8>,
    /// Whether the last line ended with CR at the end of the received bytes: an LF that follows
    /// belongs to it.
    ended_with_cr: bool,
    /// Whether the first line has been parsed, which may begin with a byte order mark.
    has_begun: bool,
    /// Whether each line counts as an event, also if it is not a field.
    accepts_text: bool,
}

impl EventStream {
    /// Creates a parser for logs, which mix lines of data with plain text, and may lack the empty
    /// line after an event: each line of data counts as an event, and so does each line that is not
    /// a field of the standard.
    pub fn with_text() -> Self {
        Self { accepts_text: true, ..Self::default() }
    }

    /// Adds the next bytes, and calls `on_event` with each event that they complete.
    ///
    /// # Errors
    /// [`EventTooLong`] when a line or an event exceeds the maximum, or an error of `on_event`. The
    /// parser is unusable after an error.
    pub fn push<E: From<EventTooLong>>(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(ServerEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut remaining = bytes;
        if self.ended_with_cr && !bytes.is_empty() {
            self.ended_with_cr = false;
            remaining = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some((line, after)) = self.split_line(remaining) {
            remaining = after;
            if self.line.is_empty() {
                remaining = self.process_line(line, remaining, &mut on_event)?;
            } else {
                self.append(line)?;
                let line = std::mem::take(&mut self.line);
                remaining = self.process_line(&line, remaining, &mut on_event)?;
            }
        }
        Ok(self.append(remaining)?)
    }

    /// Ends the stream: calls `on_event` with an event that lacks its empty line.
    ///
    /// # Errors
    /// [`EventTooLong`] when the event exceeds the maximum, or an error of `on_event`.
    pub fn finish<E: From<EventTooLong>>(
        &mut self,
        mut on_event: impl FnMut(ServerEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.process_line(&line, &[], &mut on_event)?;
        }
        self.dispatch(&mut on_event)
    }

    /// Splits the bytes after their first line; returns the line and the bytes after its ending.
    /// Returns `None` if no line is complete.
    fn split_line<'a>(&mut self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let (line, ending) = bytes.split_at_checked(memchr2(b'\n', b'\r', bytes)?)?;
        let (end, after) = ending.split_first()?;
        if *end == b'\n' {
            return Some((line, after));
        }
        self.ended_with_cr = after.is_empty();
        Some((line, after.strip_prefix(b"\n").unwrap_or(after)))
    }

    /// Processes a line; returns the bytes of `remaining` that were not processed with it.
    fn process_line<'a, E: From<EventTooLong>>(
        &mut self,
        line: &[u8],
        remaining: &'a [u8],
        on_event: &mut impl FnMut(ServerEvent<'_>) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        if line.len() > MAX_EVENT_LENGTH {
            return Err(EventTooLong.into());
        }
        let line =
            if self.has_begun { line } else { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) };
        self.has_begun = true;
        if line.is_empty() {
            self.dispatch(on_event)?;
            return Ok(remaining);
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" if self.accepts_text => {
                on_event(ServerEvent { kind: b"", data: value })?;
                return Ok(remaining);
            }
            b"data" => {}
            b"error" if !self.accepts_text => self.kind = b"error".to_vec(),
            b"event" => {
                self.kind = value.to_vec();
                return Ok(remaining);
            }
            b"" | b"id" | b"retry" => return Ok(remaining),
            _ => {
                if self.accepts_text {
                    on_event(ServerEvent { kind: b"", data: line })?;
                }
                return Ok(remaining);
            }
        }
        // Most events have one line, and arrive with their empty line: they are not copied.
        if self.data.is_none() && matches!(remaining.first(), Some(b'\n' | b'\r')) {
            let kind = std::mem::take(&mut self.kind);
            on_event(ServerEvent { kind: &kind, data: value })?;
            return Ok(self.split_line(remaining).map_or(remaining, |(_, after)| after));
        }
        match &mut self.data {
            None => self.data = Some(value.to_vec()),
            Some(data) if data.len() + value.len() >= MAX_EVENT_LENGTH => {
                return Err(EventTooLong.into());
            }
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
        }
        Ok(remaining)
    }

    /// Passes on the event in progress, if it has data.
    fn dispatch<E>(
        &mut self,
        on_event: &mut impl FnMut(ServerEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (kind, data) = (std::mem::take(&mut self.kind), self.data.take());
        data.map_or(Ok(()), |data| on_event(ServerEvent { kind: &kind, data: &data }))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + bytes.len() > MAX_EVENT_LENGTH {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::split_at;

    const STREAM: &str = "\u{feff}: ping\r\n\r\nevent: x\ndata: {\"a\":\"h\u{e9}\"}\r\n\r\ndata:b\rdata\rdata: c\r\rid: 7\n\n\
                          event: error\ndata: d\n\nerror: e\n\ndata: [DONE]";

    fn parse(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, EventTooLong> {
        let (mut events, mut stream) = (Vec::new(), EventStream::default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut on_event = |event: ServerEvent<'_>| {
            events.push((text(event.kind), text(event.data)));
            Ok(())
        };
        for piece in pieces {
            stream.push(piece, &mut on_event)?;
        }
        stream.finish(&mut on_event)?;
        Ok(events)
    }

    fn events(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(kind, data)| ((*kind).to_owned(), (*data).to_owned())).collect()
    }

    /// The examples of the HTML standard, and its rules for line endings.
    #[test]
    fn event_streams_are_parsed_as_in_the_html_standard() {
        for (stream, expected) in [
            ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![("", "YHOO\n+2\n10")]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![("", "first event"), ("", "second event"), ("", " third event")],
            ),
            ("data\n\ndata\ndata\n\n", vec![("", ""), ("", "\n")]),
            ("data:test\n\ndata: test\n\n", vec![("", "test"), ("", "test")]),
            (
                "event: add\ndata: 73857293\n\nevent: remove\n\ndata: 1\n\n",
                vec![("add", "73857293"), ("", "1")],
            ),
            ("data: a\revent: b\r\rdata: c\r\n\r\n", vec![("b", "a"), ("", "c")]),
            ("retry: 100\ndata : no field\n\n\n\n", vec![]),
            ("\u{feff}data: marked\n\n\u{feff}data: no field\n\n", vec![("", "marked")]),
            // Not in the standard: the end of the stream completes an event, and `error` is a
            // field.
            ("data: a\n", vec![("", "a")]),
            ("data: a\ndata: b", vec![("", "a\nb")]),
            ("error: {}\n\ndata: a\n\n", vec![("error", "{}"), ("", "a")]),
        ] {
            assert_eq!(parse(&[stream.as_bytes()]), Ok(events(&expected)), "{stream:?}");
        }
    }

    #[test]
    fn log_lines_between_events_are_parsed() {
        let (mut lines, mut stream) = (Vec::new(), EventStream::with_text());
        let mut on_event = |event: ServerEvent<'_>| {
            lines.push(String::from_utf8_lossy(event.data).into_owned());
            Ok::<(), EventTooLong>(())
        };
        stream
            .push(
                b": ping\rid: 7\rdata: a\rdata: b\r.\rdata: c\r\rerror: d\rSTEP 1: e\rDONE",
                &mut on_event,
            )
            .unwrap();
        stream.finish(&mut on_event).unwrap();
        assert_eq!(lines, ["a", "b", ".", "c", "error: d", "STEP 1: e", "DONE"]);
    }

    #[test]
    fn oversized_lines_and_events_are_refused() {
        assert_eq!(parse(&[&vec![b'x'; MAX_EVENT_LENGTH + 1]]), Err(EventTooLong));
        assert_eq!(
            parse(&[&[vec![b'x'; MAX_EVENT_LENGTH + 1], b"\n".to_vec()].concat()]),
            Err(EventTooLong)
        );
        let half_event = vec![b'x'; MAX_EVENT_LENGTH / 2 + 1];
        assert_eq!(parse(&[&half_event, &half_event]), Err(EventTooLong));
        assert_eq!(parse(&[&half_event, b"\n", &half_event]), Ok(Vec::new()));
        let line = [b"data: ", half_event.as_slice(), b"\n"].concat();
        assert_eq!(parse(&[&line, &line]), Err(EventTooLong));
        assert_eq!(parse(&[&line, b"\n", &line]).unwrap().len(), 2);
        let empty_lines = b"data\n".repeat(MAX_EVENT_LENGTH + 2);
        assert_eq!(parse(&[&empty_lines]), Err(EventTooLong));
    }

    proptest! {
        /// The stream may be split anywhere, even within a character or a line ending.
        #[test]
        fn chunk_boundaries_do_not_change_events(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            let expected = events(&[
                ("x", "{\"a\":\"h\u{e9}\"}"), ("", "b\n\nc"), ("error", "d"), ("error", "e"), ("", "[DONE]"),
            ]);
            prop_assert_eq!(parse(&split_at(STREAM, cuts)), Ok(expected));
        }

        #[test]
        fn chunk_boundaries_in_random_bytes_do_not_change_events(
            bytes in prop::collection::vec(prop::sample::select(b"data: x\r\n\r\n:e".to_vec()), 0..60), cut in 0..60_usize
        ) {
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(parse(&[&bytes]), parse(&[head, tail]));
        }
    }
}
