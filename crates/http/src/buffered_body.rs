//! Buffered bodies, within limits on size, time and shared memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest size, in bytes, of a body that does not count towards [`BodyLimits::memory_budget`].
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// Limits on buffered bodies. Clones share the memory budget.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    /// Maximum size of a body in bytes.
    max_bytes: usize,
    /// Timeout for receiving a body.
    timeout: Duration,
    /// Shared budget, in bytes, for the parts of bodies beyond [`SMALL_BODY_BYTES`].
    memory_budget: Arc<Semaphore>,
}

impl BodyLimits {
    /// Creates limits of `max_bytes` and `timeout` for each body; the parts of bodies
    /// beyond 64 KiB share a budget of `large_bytes` bytes.
    pub fn new(max_bytes: usize, timeout: Duration, large_bytes: usize) -> Self {
        Self {
            max_bytes,
            timeout,
            memory_budget: Arc::new(Semaphore::new(large_bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Reads a body to its end.
    ///
    /// # Errors
    /// [`BodyRefusal`]: the body exceeds a limit, or is truncated.
    pub async fn read<B>(&self, body: B) -> Result<BufferedBody, BodyRefusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        if body.size_hint().lower() > self.max_bytes as u64 {
            return Err(BodyRefusal::TooLarge { limit: self.max_bytes });
        }
        let read = tokio::time::timeout(self.timeout, self.read_to_end(body)).await;
        read.unwrap_or(Err(BodyRefusal::Timeout { limit: self.timeout }))
    }

    async fn read_to_end<B>(&self, mut body: B) -> Result<BufferedBody, BodyRefusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let mut buffer = self.buffer();
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|_| BodyRefusal::Incomplete)?.into_data() else {
                continue;
            };
            buffer.push(chunk)?;
        }
        Ok(buffer.finish())
    }

    /// Returns an empty buffer for a body whose chunks the caller receives. The caller is
    /// responsible for the timeout.
    pub fn buffer(&self) -> BodyBuffer {
        BodyBuffer {
            limits: self.clone(),
            first_chunk: Bytes::new(),
            body: Vec::new(),
            memory_permit: None,
        }
    }
}

/// A body that is being received, within the limits of [`BodyLimits`].
#[derive(Debug)]
pub struct BodyBuffer {
    limits: BodyLimits,
    /// The only chunk so far: most bodies are one chunk, which is used without a copy.
    first_chunk: Bytes,
    /// All chunks, if there are several.
    body: Vec<u8>,
    memory_permit: Option<OwnedSemaphorePermit>,
}

impl BodyBuffer {
    /// Appends a chunk.
    ///
    /// # Errors
    /// [`BodyRefusal::TooLarge`], or [`BodyRefusal::Busy`] if the shared memory for large bodies is
    /// in use.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), BodyRefusal> {
        let before = self.first_chunk.len() + self.body.len();
        let after = before + chunk.len();
        if after > self.limits.max_bytes {
            return Err(BodyRefusal::TooLarge { limit: self.limits.max_bytes });
        }
        self.reserve(
            after.saturating_sub(SMALL_BODY_BYTES) - before.saturating_sub(SMALL_BODY_BYTES),
        )?;
        if before == 0 {
            self.first_chunk = chunk;
        } else {
            self.body.extend_from_slice(&std::mem::take(&mut self.first_chunk));
            self.body.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Returns the complete body.
    pub fn finish(self) -> BufferedBody {
        let bytes = if self.body.is_empty() { self.first_chunk } else { self.body.into() };
        BufferedBody { bytes, _memory_permit: self.memory_permit }
    }

    /// Reserves memory for a body, or refuses: a body that waits while it holds memory could cause
    /// a deadlock.
    fn reserve(&mut self, bytes: usize) -> Result<(), BodyRefusal> {
        if bytes == 0 {
            return Ok(());
        }
        let bytes = u32::try_from(bytes).map_err(|_| BodyRefusal::Busy)?;
        let budget = Arc::clone(&self.limits.memory_budget);
        let permit = budget.try_acquire_many_owned(bytes).map_err(|_| BodyRefusal::Busy)?;
        match &mut self.memory_permit {
            Some(memory_permit) => memory_permit.merge(permit),
            memory_permit @ None => *memory_permit = Some(permit),
        }
        Ok(())
    }
}

/// A buffered body, with its share of the memory of [`BodyLimits`].
#[derive(Debug)]
pub struct BufferedBody {
    /// Bytes of the body.
    pub bytes: Bytes,
    _memory_permit: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyRefusal {
    /// The body is too large.
    #[error("the body exceeds {limit} bytes")]
    TooLarge {
        /// Maximum size of a body in bytes.
        limit: usize,
    },
    /// The body was not received before the timeout.
    #[error("the body did not arrive within {} s", limit.as_secs_f64())]
    Timeout {
        /// Timeout for receiving a body.
        limit: Duration,
    },
    /// The shared memory for large bodies is in use.
    #[error("too many large bodies at the same time")]
    Busy,
    /// The body is truncated or malformed.
    #[error("the body is incomplete")]
    Incomplete,
}

impl BodyRefusal {
    /// Returns the status of the response: 413, 408, 503 or 400.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Incomplete => StatusCode::BAD_REQUEST,
        }
    }
}

/// Buffers the body of a request, then passes the request to the inner layers. If the body is
/// refused, responds with [`BodyRefusal::status`] and an empty body.
///
/// Put this middleware around a concurrency limit, so that requests with slow bodies occupy none of
/// its slots.
pub async fn buffer_body(
    State(bodies): State<BodyLimits>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    match bodies.read(body).await {
        Ok(BufferedBody { bytes, _memory_permit }) => {
            next.run(Request::from_parts(head, Body::from(bytes))).await
        }
        Err(refusal) => refusal.status().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use axum::{Router, middleware};
    use futures::stream;
    use tower::ServiceExt as _;

    use super::*;

    fn service(bodies: &BodyLimits) -> Router {
        let length = post(|body: Bytes| async move { body.len().to_string() });
        Router::new()
            .route("/", length)
            .layer(middleware::from_fn_with_state(bodies.clone(), buffer_body))
    }

    /// Sends a body of these chunks, which ends or stays incomplete, and returns the response.
    async fn send(bodies: &BodyLimits, chunks: &[usize], is_complete: bool) -> (StatusCode, Bytes) {
        let chunks: Vec<_> =
            chunks.iter().map(|length| Ok::<_, std::io::Error>(vec![0; *length])).collect();
        let body = if is_complete {
            Body::from_stream(stream::iter(chunks))
        } else {
            Body::from_stream(futures::StreamExt::chain(stream::iter(chunks), stream::pending()))
        };
        let response =
            service(bodies).oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn incomplete_and_large_bodies_are_refused() {
        let bodies = BodyLimits::new(100_000, Duration::from_millis(50), 40_000);
        for (chunks, is_complete, status, expected) in [
            (&[][..], true, 200, "0"),
            (&[1, 2, 60_000], true, 200, "60003"),
            (&[100_000], true, 200, "100000"),
            (&[100_001], true, 413, ""),
            (&[60_000, 40_001], true, 413, ""),
            (&[1], false, 408, ""),
            (&[80_000], false, 408, ""),
        ] {
            let (status_code, text) = send(&bodies, chunks, is_complete).await;
            assert_eq!(
                (status_code.as_u16(), &text[..]),
                (status, expected.as_bytes()),
                "{chunks:?}"
            );
        }
    }

    #[tokio::test]
    async fn full_body_memory_refuses_only_large_bodies() {
        let bodies = BodyLimits::new(100_000, Duration::from_mins(1), 40_000);
        let incomplete = tokio::spawn({
            let bodies = bodies.clone();
            async move { send(&bodies, &[100_000], false).await }
        });
        while bodies.memory_budget.available_permits() == 40_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(send(&bodies, &[90_000], true).await.0, 503);
        assert_eq!(send(&bodies, &[SMALL_BODY_BYTES], true).await.0, 200);
        incomplete.abort();
        assert!(incomplete.await.unwrap_err().is_cancelled());
        assert_eq!(send(&bodies, &[90_000], true).await.0, 200);
    }
}
