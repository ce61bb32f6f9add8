//! Filter of a backend's stream for the events that validators accept.

use std::convert::Infallible;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use taonet_http::sse::{DataLines, LineTooLong};

/// Filter of a stream that passes only the events that validators accept: events with answer text.
///
/// The reference's validators treat a chunk without text as an error, and its checker a chunk without
/// log-probabilities. Therefore the filter drops the first chunk (with the role), the last one and `[DONE]`, as in the
/// reference's miner. Chunks with tool calls pass, because only validators that request tools receive them.
#[derive(Debug)]
pub(crate) struct EventFilter {
    lines: DataLines,
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
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

impl EventFilter {
    /// Creates a filter for responses with or without log-probabilities.
    pub(crate) fn new(wants_logprobs: bool) -> Self {
        Self { lines: DataLines::default(), wants_logprobs }
    }

    /// Adds the next bytes; returns the completed events, each as `data: <JSON>\n\n`.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, LineTooLong> {
        let (mut events, wants_logprobs) = (Vec::new(), self.wants_logprobs);
        self.lines.push(bytes, |data| {
            events.extend(wanted(data, wants_logprobs));
            Ok::<_, LineTooLong>(())
        })?;
        Ok(events)
    }

    /// Ends the stream; returns the event of an unterminated last line.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        let mut last = None;
        let Ok(()) = self.lines.finish(|data| {
            last = wanted(data, self.wants_logprobs);
            Ok::<_, Infallible>(())
        });
        last
    }
}

/// Returns the data as an event if validators accept it.
fn wanted(json: &[u8], wants_logprobs: bool) -> Option<Bytes> {
    is_wanted(json, wants_logprobs).then(|| [b"data: ", json, b"\n\n"].concat().into())
}

fn is_wanted(json: &[u8], wants_logprobs: bool) -> bool {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(json) else { return false };
    let Some(choice) = chunk.choices.first() else { return false };
    let text = choice.delta.as_ref().and_then(|delta| delta.content).or(choice.text);
    // Null is treated as missing.
    let has_text = text.is_some_and(|text| text.get().starts_with('"'));
    let calls = choice.delta.as_ref().and_then(|delta| delta.tool_calls);
    if calls.is_some_and(|calls| calls.get().starts_with('[')) {
        return true;
    }
    has_text && (choice.logprobs.is_some() || !wants_logprobs)
}

#[cfg(test)]
mod tests {
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
        "data: {broken\n\n",
        "data: [DONE]\n\n",
    );

    const WANTED: [&str; 3] = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"},\"logprobs\":{\"content\":[{\"logprob\":-0.5}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]},\"logprobs\":null}]}\n\n",
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
        // Without log-probabilities, the first chunk passes with its empty text.
        assert_eq!(through(&[STREAM.as_bytes()], false).len(), 4);
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
        /// The stream may be split anywhere, even within a character.
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(0..STREAM.len(), 0..6)) {
            prop_assert_eq!(through(&split_at(STREAM, cuts), true), WANTED);
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let mut filter = EventFilter::new(true);
            let _ = filter.push(&bytes);
            let _ = filter.finish();
        }
    }
}
