//! Reading state of an answer: the chunks that have arrived.

use std::collections::VecDeque;

use serde_json::Value;

use crate::failure::AttemptError;
use crate::sse::{Event, EventParser, MAX_DEPTH, StreamFault, nesting_depth};
use crate::tool_calls::CallIndexer;
use crate::{Chunk, ChunkBody, Request};

/// Maximum number of events of a stream for each requested chunk: tokens that are only part of a
/// character have events without text.
const MAX_EVENTS_PER_CHUNK: usize = 5;

/// The part of an answer that has arrived.
pub(super) struct ReceivedAnswer {
    parser: EventParser,
    /// Parsed events that were not yet processed; empty between two reads.
    pending_events: Vec<Event>,
    /// Number of all events of the stream.
    event_count: usize,
    /// Number of chunks with content, at most `max_content_chunks`.
    content_chunks: usize,
    max_content_chunks: usize,
    characters: usize,
    /// Whether a chunk of the answer has arrived, with content or not.
    has_chunk: bool,
    /// Last chunk with a finish reason before any content: the answer may have no text.
    finish_chunk: Option<Chunk>,
    call_indexer: CallIndexer,
    /// Error in the stream after chunks that are ready.
    fault: Option<AttemptError>,
    /// JSON array of the answer, if it is sampled and was not streamed.
    body_json: Option<String>,
}

impl ReceivedAnswer {
    /// Creates the state before the first byte. With `is_sampled`, it keeps the JSON of the answer.
    pub(super) fn new(request: &Request, is_sampled: bool) -> Self {
        Self {
            parser: EventParser::new(request.relays_logprobs, is_sampled),
            pending_events: Vec::new(),
            event_count: 0,
            content_chunks: 0,
            max_content_chunks: request.max_chunks,
            characters: 0,
            has_chunk: false,
            finish_chunk: None,
            call_indexer: CallIndexer::default(),
            fault: None,
            body_json: None,
        }
    }

    /// Processes the next bytes of the stream, or its end; returns whether the answer is complete.
    /// If chunks precede an error, they are delivered before [`Self::take_fault`] returns it: how
    /// many chunks arrive together makes no difference.
    pub(super) fn push(
        &mut self,
        bytes: Option<&[u8]>,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<bool, AttemptError> {
        let earlier_chunk_count = chunks.len();
        let result = self.push_events(bytes, chunks);
        if chunks.len() == earlier_chunk_count {
            return result;
        }
        result.or_else(|fault| {
            self.fault = Some(fault);
            Ok(false)
        })
    }

    /// Takes the error that follows the chunks of the latest [`Self::push`].
    pub(super) fn take_fault(&mut self) -> Option<AttemptError> {
        self.fault.take()
    }

    fn push_events(
        &mut self,
        bytes: Option<&[u8]>,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<bool, AttemptError> {
        // The buffer is put back, so that its memory is allocated only once per answer.
        let mut events = std::mem::take(&mut self.pending_events);
        let parsed = self.parser.push(bytes, &mut events);
        let mut is_done = bytes.is_none();
        for event in events.drain(..) {
            is_done |= self.push_event(event, chunks)?;
        }
        self.pending_events = events;
        parsed?;
        Ok(is_done)
    }

    /// Processes an event and returns whether it is the last.
    fn push_event(
        &mut self,
        event: Event,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<bool, AttemptError> {
        let chunk = match event {
            Event::Done => return Ok(true),
            Event::Text(chunk) => chunk,
            Event::Object(value) => {
                let mut chunk = Chunk::from_stream(value)?;
                self.call_indexer.fill_indices(&mut chunk);
                chunk
            }
        };
        self.event_count += 1;
        self.content_chunks += usize::from(chunk.is_content);
        if self.content_chunks > self.max_content_chunks
            || self.event_count > self.max_content_chunks.saturating_mul(MAX_EVENTS_PER_CHUNK)
        {
            return Err(AttemptError::TooManyChunks);
        }
        self.characters += chunk.characters;
        self.has_chunk |= matches!(chunk.body, ChunkBody::Text(_)) || chunk.choice().is_some();
        // Chunks before the first content are not relayed, because another miner may still answer
        // instead.
        if self.has_content() {
            chunks.push_back(chunk);
        } else if chunk.finish_reason().is_some() {
            self.finish_chunk = Some(chunk);
        }
        Ok(false)
    }

    /// Sets an answer that was not streamed, and returns it as a chunk. `sampled_body` is its JSON,
    /// if the answer is sampled.
    pub(super) fn set_body(
        &mut self,
        answer: Value,
        sampled_body: Option<Vec<u8>>,
    ) -> Result<Chunk, AttemptError> {
        let message =
            answer.pointer("/choices/0/message/content").or(answer.pointer("/choices/0/text"));
        self.characters = message.and_then(Value::as_str).map_or(0, |text| text.chars().count());
        if let Some(body) = sampled_body {
            if nesting_depth(&answer) > MAX_DEPTH {
                return Err(StreamFault::TooDeep.into());
            }
            // JSON is UTF-8, as the parser has verified.
            let text = String::from_utf8(body)
                .map_err(|_| AttemptError::InvalidBody("body is not JSON"))?;
            self.body_json = Some(format!("[{text}]"));
        }
        self.content_chunks = 1;
        Ok(Chunk {
            body: ChunkBody::Object(answer),
            characters: self.characters,
            entries: 0,
            is_content: true,
        })
    }

    /// Number of characters of text.
    pub(super) fn characters(&self) -> usize {
        self.characters
    }

    /// Whether a chunk of the answer has arrived, with content or not.
    pub(super) fn has_chunk(&self) -> bool {
        self.has_chunk
    }

    /// Whether a chunk with content has arrived.
    pub(super) fn has_content(&self) -> bool {
        self.content_chunks > 0
    }

    /// Takes the last chunk with a finish reason before any content.
    pub(super) fn take_finish_chunk(&mut self) -> Option<Chunk> {
        self.finish_chunk.take()
    }

    /// Takes a sampled answer as a JSON array; `None` if nothing was kept.
    pub(super) fn take_json(&mut self) -> Option<String> {
        self.body_json.take().or_else(|| self.parser.take_recorded())
    }
}
