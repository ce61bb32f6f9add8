//! Relay of a backend's stream to the validator.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use taonet_http::sse::LineTooLong;
use tokio::time::{Instant, timeout_at};

use crate::routes::Running;
use crate::sse::EventFilter;
use crate::{Deadlines, measures};

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RelayError {
    #[error("connection to the backend lost")]
    Broken(#[source] reqwest::Error),
    #[error("backend timed out: no data for {0:?}")]
    Silent(Duration),
    #[error("backend timed out: response incomplete after {0:?}")]
    TooLong(Duration),
    #[error(transparent)]
    Line(#[from] LineTooLong),
    #[error("backend's response has no text")]
    Empty,
}

/// A backend's stream, read on demand. Dropping the relay cancels the backend's request.
pub(crate) struct Relay {
    answer: Option<reqwest::Response>,
    filter: EventFilter,
    ready: VecDeque<Bytes>,
    deadlines: Deadlines,
    until: Instant,
    _running: Running,
}

impl Relay {
    /// Starts a relay; returns once the first chunk has arrived.
    pub(crate) async fn start(
        answer: reqwest::Response,
        wants_logprobs: bool,
        deadlines: Deadlines,
        began: Instant,
        running: Running,
    ) -> Result<Self, RelayError> {
        let until = began + deadlines.total;
        let filter = EventFilter::new(wants_logprobs);
        let mut relay =
            Self { answer: Some(answer), filter, ready: VecDeque::new(), deadlines, until, _running: running };
        let first = began + deadlines.first;
        while relay.ready.is_empty() {
            if !relay.read(first, deadlines.first).await? {
                return Err(RelayError::Empty);
            }
        }
        Ok(relay)
    }

    /// Returns the stream of events. An error aborts the connection, so that the validator notices the truncation.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, RelayError>> {
        futures::stream::try_unfold(self, |mut relay| async move {
            match relay.next().await {
                Ok(event) => Ok(event.map(|event| (event, relay))),
                Err(error) => {
                    measures::broken();
                    tracing::warn!(%error, "the backend's stream ended early");
                    Err(error)
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, RelayError> {
        while self.ready.is_empty() {
            let silent = Instant::now() + self.deadlines.between;
            if !self.read(silent, self.deadlines.between).await? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Reads one chunk of the backend's response; returns `false` at the end of the response.
    async fn read(&mut self, silent: Instant, after: Duration) -> Result<bool, RelayError> {
        let Some(answer) = self.answer.as_mut() else { return Ok(false) };
        let piece = timeout_at(silent.min(self.until), answer.chunk()).await.map_err(|_| {
            if self.until <= silent { RelayError::TooLong(self.deadlines.total) } else { RelayError::Silent(after) }
        })?;
        let before = self.ready.len();
        if let Some(bytes) = piece.map_err(RelayError::Broken)? {
            self.ready.extend(self.filter.push(&bytes)?);
        } else {
            self.answer = None;
            self.ready.extend(self.filter.finish());
        }
        measures::chunks(self.ready.len() - before);
        Ok(self.answer.is_some() || self.ready.len() > before)
    }
}
