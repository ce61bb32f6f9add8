//! Relay of a backend's stream to the validator.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::StatusCode;
use tokio::time::{Instant, timeout, timeout_at};

use crate::request_slots::RunningRequest;
use crate::sse::{AcceptedParts, EventFilter, StreamFault};
use crate::{Deadlines, metrics};

/// Maximum time from `[DONE]` to the end of the backend's response.
const MAX_DONE_GRACE: Duration = Duration::from_millis(100);

/// Warning about a backend that does not send the log-probabilities that validators check. Clones
/// share whether it has been logged.
#[derive(Clone, Default)]
pub(crate) struct LogprobsWarning(Arc<AtomicBool>);

impl LogprobsWarning {
    /// Logs the warning, except after the first call.
    fn log_once(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the backend sends text without log-probabilities, so that validators give its answers quality 0; \
                 hint: enable log-probabilities in the backend; this warning is not repeated"
            );
        }
    }
}

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
    Stream(#[from] StreamFault),
}

impl RelayError {
    /// Returns the HTTP status that the backend's error names.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Stream(fault) => fault.status(),
            _ => None,
        }
    }
}

/// A backend's stream, read on demand. Dropping the relay cancels the backend's request.
pub(crate) struct Relay {
    response: Option<reqwest::Response>,
    filter: EventFilter,
    ready_events: VecDeque<Bytes>,
    /// Fault of the stream, which follows the events that are ready.
    fault: Option<RelayError>,
    timeouts: Deadlines,
    deadline: Instant,
    warning: LogprobsWarning,
    _running: RunningRequest,
}

impl Relay {
    /// Starts a relay; returns once the first chunk has arrived.
    pub(crate) async fn start(
        response: reqwest::Response,
        accepted: AcceptedParts,
        timeouts: Deadlines,
        start: Instant,
        running: RunningRequest,
        warning: LogprobsWarning,
    ) -> Result<Self, RelayError> {
        let deadline = start + timeouts.total;
        let filter = EventFilter::new(accepted);
        let (ready_events, fault) = (VecDeque::new(), None);
        let response = Some(response);
        let mut relay = Self {
            response,
            filter,
            ready_events,
            fault,
            timeouts,
            deadline,
            warning,
            _running: running,
        };
        let first_deadline = start + timeouts.first_chunk;
        while relay.ready_events.is_empty() && relay.response.is_some() {
            relay.read(first_deadline, timeouts.first_chunk).await;
        }
        // An answer without text ends with an event as well.
        match relay.fault.take_if(|_| relay.ready_events.is_empty()) {
            Some(fault) => Err(fault),
            None => Ok(relay),
        }
    }

    /// Returns the stream of events. An error aborts the connection, so that the validator notices
    /// the truncation.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, RelayError>> {
        futures::stream::try_unfold(self, |mut relay| async move {
            match relay.next().await {
                Ok(event) => Ok(event.map(|event| (event, relay))),
                Err(error) => {
                    metrics::record_broken_stream();
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the backend's stream ended early"
                    );
                    // Pending once, so that the server sends the last events before it aborts the
                    // connection.
                    tokio::task::yield_now().await;
                    Err(error)
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, RelayError> {
        while self.ready_events.is_empty() && self.response.is_some() {
            let chunk_deadline = Instant::now() + self.timeouts.between_chunks;
            self.read(chunk_deadline, self.timeouts.between_chunks).await;
        }
        match self.ready_events.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.fault.take().map_or(Ok(None), Err),
        }
    }

    /// Reads one chunk of the backend's response. At its end, or after a fault, `response` becomes
    /// `None`.
    async fn read(&mut self, chunk_deadline: Instant, max_silence: Duration) {
        let ready_before = self.ready_events.len();
        match self.try_read(chunk_deadline, max_silence).await {
            Ok(true) => {}
            Ok(false) => self.response = None,
            Err(fault) => {
                self.response = None;
                self.fault = Some(fault);
            }
        }
        metrics::record_chunks(self.ready_events.len() - ready_before);
        if self.response.is_none() && self.filter.lacks_logprobs() {
            self.warning.log_once();
        }
    }

    /// Reads one chunk of the backend's response; returns `false` at the end of the answer.
    async fn try_read(
        &mut self,
        chunk_deadline: Instant,
        max_silence: Duration,
    ) -> Result<bool, RelayError> {
        let Some(response) = self.response.as_mut() else { return Ok(false) };
        let bytes = timeout_at(chunk_deadline.min(self.deadline), response.chunk()).await.map_err(
            |_| {
                if self.deadline <= chunk_deadline {
                    RelayError::TooLong(self.timeouts.total)
                } else {
                    RelayError::Silent(max_silence)
                }
            },
        )?;
        if let Some(bytes) = bytes.map_err(RelayError::Broken)? {
            self.filter.push(&bytes, &mut self.ready_events)?;
            if !self.filter.is_done() {
                return Ok(true);
            }
            // Reading the response to its end makes its connection reusable.
            let drain = async { while let Ok(Some(_)) = response.chunk().await {} };
            let _drained_or_not = timeout(MAX_DONE_GRACE, drain).await;
        }
        self.filter.finish(&mut self.ready_events)?;
        Ok(false)
    }
}
