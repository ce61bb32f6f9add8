//! Server-sent events, as far as language models send them: `data: <JSON>` lines.

use bytes::{Bytes, BytesMut};
use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Maximum length of a line of a stream, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// A line exceeds the maximum length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of the stream is longer than {LONGEST_LINE} bytes")]
pub(crate) struct LineTooLong;

/// Parses a stream and keeps the events that validators accept: those with text of the answer.
///
/// The reference's validators count a chunk without text as an error, and its checker one without log-probabilities. So
/// the first chunk with the role, the last one and `[DONE]` are dropped, as in the reference's miner.
#[derive(Debug)]
pub(crate) struct EventFilter {
    line: BytesMut,
    wants_logprobs: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl EventFilter {
    /// Creates a filter for responses with or without log-probabilities.
    pub(crate) fn new(wants_logprobs: bool) -> Self {
        Self { line: BytesMut::new(), wants_logprobs }
    }

    /// Adds the next bytes; returns the completed events, each as `data: <JSON>\n\n`.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, LineTooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.line.extend_from_slice(line);
            self.check()?;
            events.extend(self.finish());
            rest = after.get(1..).unwrap_or_default();
        }
        self.line.extend_from_slice(rest);
        self.check()?;
        Ok(events)
    }

    /// The event of a last line without a line break.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let line = self.line.split();
        let json = line.strip_prefix(b"data:")?.trim_ascii();
        self.is_wanted(json).then(|| [b"data: ", json, b"\n\n"].concat().into())
    }

    fn check(&self) -> Result<(), LineTooLong> {
        if self.line.len() > LONGEST_LINE { Err(LineTooLong) } else { Ok(()) }
    }

    fn is_wanted(&self, json: &[u8]) -> bool {
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(json) else { return false };
        let Some(choice) = chunk.choices.first() else { return false };
        let text = choice.delta.as_ref().and_then(|delta| delta.content).or(choice.text);
        // Null is treated as missing.
        let has_text = text.is_some_and(|text| text.get().starts_with('"'));
        has_text && (choice.logprobs.is_some() || !self.wants_logprobs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = concat!(
        ": a comment\n\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"},\"logprobs\":{\"content\":[{\"logprob\":-0.5}]}}]}\r\n\r\n",
        "event: ping\n\n",
        "data:{\"choices\":[{\"text\":\"llo\",\"logprobs\":{\"token_logprobs\":[-0.1]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"logprobs\":{}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\n",
        "data: {broken\n\n",
        "data: [DONE]\n\n",
    );

    const WANTED: [&str; 2] = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"},\"logprobs\":{\"content\":[{\"logprob\":-0.5}]}}]}\n\n",
        "data: {\"choices\":[{\"text\":\"llo\",\"logprobs\":{\"token_logprobs\":[-0.1]}}]}\n\n",
    ];

    fn through(pieces: &[&[u8]], wants_logprobs: bool) -> Vec<String> {
        let mut filter = EventFilter::new(wants_logprobs);
        let mut events: Vec<_> = pieces.iter().flat_map(|piece| filter.push(piece).unwrap()).collect();
        events.extend(filter.finish());
        events.into_iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
    }

    #[test]
    fn only_pieces_of_the_answer_pass() {
        assert_eq!(through(&[STREAM.as_bytes()], true), WANTED);
        // Without log-probabilities the opening chunk has a text, if an empty one.
        assert_eq!(through(&[STREAM.as_bytes()], false).len(), 3);
        let unfinished = WANTED[0].trim_end();
        assert_eq!(through(&[unfinished.as_bytes()], true), WANTED[..1]);
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut filter = EventFilter::new(false);
        let piece = vec![b'x'; 1 << 18];
        let results: Vec<_> = (0..5).map(|_| filter.push(&piece).is_ok()).collect();
        assert_eq!(results, [true, true, true, true, false]);
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
            prop_assert_eq!(through(&pieces, true), WANTED);
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let mut filter = EventFilter::new(true);
            let _ = filter.push(&bytes);
            let _ = filter.finish();
        }
    }
}
