//! Parsers of untrusted input, for fuzz targets: miners' streams, and messages of the queue.

use crate::Chunk;
use crate::sse::{Event, EventParser};

pub use crate::queue::testing::{documents, reencode};

/// A parsed stream of a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedStream {
    /// Chunks up to the end of the stream.
    pub chunks: Vec<Chunk>,
    /// JSON array of all events, if they are recorded for the checker and there are any.
    pub recorded: Option<String>,
}

/// Parses a miner's stream, which arrives in `parts`; returns `None` if it is malformed. With
/// `keeps_logprobs`, it relays log-probabilities; with `keeps_events`, it keeps a sample of the
/// answer.
pub fn parse_stream(
    parts: &[&[u8]],
    keeps_logprobs: bool,
    keeps_events: bool,
) -> Option<ParsedStream> {
    let (mut parser, mut events) = (EventParser::new(keeps_logprobs, keeps_events), Vec::new());
    for part in parts.iter().copied().map(Some).chain([None]) {
        parser.push(part, &mut events).ok()?;
    }
    let chunk = |event| match event {
        Event::Text(chunk) => Some(Ok(chunk)),
        Event::Object(value) => Some(Chunk::from_stream(value)),
        Event::Done => None,
    };
    let chunks = events.into_iter().map_while(chunk).collect::<Result<_, _>>().ok()?;
    Some(ParsedStream { chunks, recorded: parser.take_recorded() })
}
