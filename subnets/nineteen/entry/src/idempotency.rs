//! Idempotent requests: a retry with the same `Idempotency-Key` gets the stored response and is not
//! charged again.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use taonet_nineteen_store::{Claim, Store, StoredResponse};

use crate::GatewayError;

/// Request header with the idempotency key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Response header that marks a replayed response.
const REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Maximum length of an idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;
/// Maximum size of a stored response, in bytes. Larger responses are not stored: a retry of such a
/// request is executed again.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// How to handle a request, depending on its `Idempotency-Key`.
pub(crate) enum IdempotencyCheck {
    /// The request has no `Idempotency-Key`: answer it.
    NoKey,
    /// The key is new: answer the request, and store the response.
    New(KeyClaim),
    /// An earlier request with this key was answered: return the stored response.
    Replayed(Response),
}

/// A claim on an `Idempotency-Key`. Dropping the claim without a stored response releases the key.
pub(crate) struct KeyClaim {
    store: Store,
    api_key: String,
    idempotency_key: String,
    is_stored: bool,
}

impl KeyClaim {
    /// Claims a request's idempotency key, or returns the stored response for replay.
    pub(crate) async fn claim(
        store: &Store,
        api_key: &str,
        headers: &HeaderMap,
        (path, body): (&str, &[u8]),
        now_ms: i64,
    ) -> Result<IdempotencyCheck, GatewayError> {
        let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(IdempotencyCheck::NoKey) };
        let is_valid = |key: &&str| (1..=MAX_KEY_BYTES).contains(&key.len()) && !key.contains('\t');
        let idempotency_key = value.to_str().ok().filter(is_valid);
        let idempotency_key = idempotency_key.ok_or_else(|| {
            GatewayError::field(
                "Idempotency-Key",
                "Idempotency-Key must have 1..=255 ASCII characters",
            )
        })?;
        let idempotency_key = idempotency_key.to_owned();
        let mut hash = Sha256::new();
        hash.update(path);
        hash.update([0]);
        hash.update(body);
        match store.claim(api_key, &idempotency_key, &hex::encode(hash.finalize()), now_ms).await? {
            Claim::New => Ok(IdempotencyCheck::New(Self {
                store: store.clone(),
                api_key: api_key.to_owned(),
                idempotency_key,
                is_stored: false,
            })),
            Claim::Running => Err(GatewayError::InProgress),
            Claim::DifferentRequest => Err(GatewayError::ReusedIdempotencyKey),
            Claim::Answered(StoredResponse { content_type, body }) => {
                let headers = [(CONTENT_TYPE, content_type), (REPLAYED_HEADER, "true".to_owned())];
                Ok(IdempotencyCheck::Replayed((headers, body).into_response()))
            }
        }
    }

    /// Stores a response: a document immediately, a stream after it has ended without an error.
    pub(crate) async fn store_response(self, response: Response) -> Response {
        let content_type =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or("application/json").to_owned();
        let (head, body) = response.into_parts();
        if !content_type.starts_with("text/event-stream") {
            // A document is in memory already. That of ten images can have more than 100 MiB.
            let Ok(bytes) = to_bytes(body, usize::MAX).await else {
                return GatewayError::Internal.into_response();
            };
            self.finish(content_type, bytes.to_vec()).await;
            return Response::from_parts(head, Body::from(bytes));
        }
        let recorded_stream = RecordedStream {
            claim: Some(self),
            content_type,
            text: Vec::new(),
            body: body.into_data_stream(),
        };
        let stream = futures::stream::unfold(recorded_stream, |mut recorded_stream| async move {
            let chunk = recorded_stream.next().await?;
            Some((chunk, recorded_stream))
        });
        Response::from_parts(head, Body::from_stream(stream))
    }

    async fn finish(mut self, content_type: String, body: Vec<u8>) {
        let Some(body) =
            String::from_utf8(body).ok().filter(|body| body.len() <= MAX_RESPONSE_BYTES)
        else {
            return;
        };
        match self
            .store
            .store_response(
                &self.api_key,
                &self.idempotency_key,
                &StoredResponse { content_type, body },
            )
            .await
        {
            Ok(()) => self.is_stored = true,
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "failed to store a response"
            ),
        }
    }
}

impl Drop for KeyClaim {
    fn drop(&mut self) {
        if self.is_stored {
            return;
        }
        let store = self.store.clone();
        let api_key = std::mem::take(&mut self.api_key);
        let idempotency_key = std::mem::take(&mut self.idempotency_key);
        // Without a runtime, the next start releases the claim.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.release_claim(&api_key, &idempotency_key).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "failed to release an idempotency key"
                    );
                }
            });
        }
    }
}

/// A stream that is recorded for replay. `claim` is `None` if the stream is too long or was
/// interrupted.
struct RecordedStream {
    claim: Option<KeyClaim>,
    content_type: String,
    text: Vec<u8>,
    body: axum::body::BodyDataStream,
}

impl RecordedStream {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let chunk = self.body.next().await;
        match &chunk {
            Some(Ok(bytes)) if self.claim.is_some() => {
                self.text.extend_from_slice(bytes);
                if self.text.len() > MAX_RESPONSE_BYTES || is_interruption(bytes) {
                    (self.claim, self.text) = (None, Vec::new());
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) => self.claim = None,
            None => {
                if let Some(claim) = self.claim.take() {
                    claim
                        .finish(
                            std::mem::take(&mut self.content_type),
                            std::mem::take(&mut self.text),
                        )
                        .await;
                }
            }
        }
        chunk
    }
}

/// Returns whether server-sent events report an interrupted answer.
fn is_interruption(events: &[u8]) -> bool {
    let interruption_starts: [&[u8]; 3] =
        [b"data: {\"error\"", b"event: response.failed", b"event: error"];
    interruption_starts.iter().any(|start| events.starts_with(start))
}
