//! A miner's answer, read chunk by chunk.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::attempt::Attempt;
use crate::reading::ResponseReader;
use crate::{Chunk, TaskMiner};

/// The answer was interrupted after its first chunk.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer was interrupted: {0}")]
pub struct Interrupted(pub(crate) String);

/// A miner's answer as a stream of chunks. Dropping it closes the connection, which cancels the
/// miner's work.
pub struct Answer {
    stream: Option<ResponseReader>,
    buffered_chunks: VecDeque<Chunk>,
    contender: Arc<TaskMiner>,
    /// `None` once the miner has sent the complete answer: its slot is free, even if the answer has
    /// not been read.
    attempt: Option<Attempt>,
}

impl Answer {
    /// Creates an answer from the chunks that have arrived, and the unread part of the response,
    /// `stream`, which the attempt reads.
    pub(crate) fn new(
        contender: Arc<TaskMiner>,
        chunks: VecDeque<Chunk>,
        stream: Option<ResponseReader>,
        attempt: Option<Attempt>,
    ) -> Self {
        Self { stream, buffered_chunks: chunks, contender, attempt }
    }

    /// Returns the contender that sends the answer.
    pub fn contender(&self) -> &Arc<TaskMiner> {
        &self.contender
    }

    /// Returns the next chunk; `None` at the end. Reads the connection only when no chunk is
    /// buffered.
    ///
    /// # Errors
    /// [`Interrupted`] when the answer ends early; no further chunk follows.
    pub async fn next(&mut self) -> Option<Result<Chunk, Interrupted>> {
        loop {
            if let Some(chunk) = self.buffered_chunks.pop_front() {
                return Some(Ok(chunk));
            }
            let attempt = self.attempt.as_mut()?;
            if let Err(error) = attempt.read(&mut self.stream, &mut self.buffered_chunks).await {
                attempt.interrupt(&error);
                (self.stream, self.attempt) = (None, None);
                self.buffered_chunks.clear();
                return Some(Err(Interrupted(error.to_string())));
            }
            if self.stream.is_none() {
                self.attempt = None;
            }
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("contender", &self.contender.offer)
            .field("has_ended", &self.attempt.is_none())
            .finish_non_exhaustive()
    }
}
