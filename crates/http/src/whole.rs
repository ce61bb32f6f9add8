//! Buffered bodies, read before a request takes a concurrency slot.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size up to which a body uses no budget of [`WholeBodies::large_bytes`], in bytes.
const SMALL_BODY: usize = 64 * 1024;

/// Limits on bodies that are buffered before the inner layers see their requests. Clones share the memory budget.
///
/// Put [`whole_body`] around a concurrency limit: slow bodies then use none of its slots.
#[derive(Debug, Clone)]
pub struct WholeBodies {
    /// Maximum size of a body, in bytes.
    max_bytes: usize,
    /// Timeout of a request body.
    within: Duration,
    /// Budget of all bodies beyond [`SMALL_BODY`] each, in bytes.
    large_bytes: Arc<Semaphore>,
}

impl WholeBodies {
    /// Limits bodies to `max_bytes` and the timeout `within`; beyond 64 KiB each they share `large_bytes`.
    pub fn new(max_bytes: usize, within: Duration, large_bytes: usize) -> Self {
        Self { max_bytes, within, large_bytes: Arc::new(Semaphore::new(large_bytes.min(Semaphore::MAX_PERMITS))) }
    }

    async fn read(&self, mut body: Body) -> Result<(Bytes, Option<OwnedSemaphorePermit>), StatusCode> {
        let (mut whole, mut share) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            let after = whole.len() + chunk.len();
            if after > self.max_bytes {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            let more = after.saturating_sub(SMALL_BODY) - whole.len().saturating_sub(SMALL_BODY);
            if more > 0 {
                // Waiting for more memory while holding some could deadlock.
                let more = u32::try_from(more).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
                let more = Arc::clone(&self.large_bytes).try_acquire_many_owned(more);
                let more = more.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.into(), share))
    }
}

/// Buffers the body of a request, then passes the request to the inner layers. Responds 413 to a body that is too
/// large, 408 on timeout, 503 without memory budget, 400 to a truncated body; each without a body.
pub async fn whole_body(State(bodies): State<WholeBodies>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > bodies.max_bytes as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let read = tokio::time::timeout(bodies.within, bodies.read(body)).await;
    match read.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT)) {
        Ok((body, _share)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(status) => status.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use axum::{Router, middleware};
    use futures::stream;
    use tower::ServiceExt as _;

    use super::*;

    fn service(bodies: &WholeBodies) -> Router {
        let length = post(|body: Bytes| async move { body.len().to_string() });
        Router::new().route("/", length).layer(middleware::from_fn_with_state(bodies.clone(), whole_body))
    }

    /// The response to a body of these chunks, which ends, or never does.
    async fn ask(bodies: &WholeBodies, chunks: &[usize], ends: bool) -> (StatusCode, Bytes) {
        let chunks: Vec<_> = chunks.iter().map(|length| Ok::<_, std::io::Error>(vec![0; *length])).collect();
        let body = if ends {
            Body::from_stream(stream::iter(chunks))
        } else {
            Body::from_stream(futures::StreamExt::chain(stream::iter(chunks), stream::pending()))
        };
        let answer = service(bodies).oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
        (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn bodies_are_whole_or_refused() {
        let bodies = WholeBodies::new(100_000, Duration::from_millis(50), 40_000);
        for (chunks, ends, status, said) in [
            (&[][..], true, 200, "0"),
            (&[1, 2, 60_000], true, 200, "60003"),
            (&[100_000], true, 200, "100000"),
            (&[100_001], true, 413, ""),
            (&[60_000, 40_001], true, 413, ""),
            (&[1], false, 408, ""),
            (&[80_000], false, 408, ""),
        ] {
            let (found, text) = ask(&bodies, chunks, ends).await;
            assert_eq!((found.as_u16(), &text[..]), (status, said.as_bytes()), "{chunks:?}");
        }
    }

    #[tokio::test]
    async fn large_bodies_share_their_memory_and_small_ones_have_their_own() {
        let bodies = WholeBodies::new(100_000, Duration::from_mins(1), 40_000);
        let slow = tokio::spawn({
            let bodies = bodies.clone();
            async move { ask(&bodies, &[100_000], false).await }
        });
        while bodies.large_bytes.available_permits() == 40_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&bodies, &[90_000], true).await.0, 503);
        assert_eq!(ask(&bodies, &[SMALL_BODY], true).await.0, 200);
        slow.abort();
        assert!(slow.await.unwrap_err().is_cancelled());
        assert_eq!(ask(&bodies, &[90_000], true).await.0, 200);
    }
}
