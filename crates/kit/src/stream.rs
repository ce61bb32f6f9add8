//! A request to one miner, whose response is read as it arrives.

use futures::StreamExt as _;
use http::StatusCode;
use taonet_neuron::MinerEntry;
use taonet_primitives::take_complete_text;
use taonet_wire::{CallResponseStream, SignedClient};

use crate::protocol::{Protocol, serialise_fields};
use crate::query::{QueryError, QueryLimits, ReplyError, new_call, refusal_error};

/// Why a response cannot be streamed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The request cannot be sent to any miner.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The miner gave no valid response.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// The text of a response in parts, as they arrive: that of [`crate::Miner::serve_stream`], or of a
/// Python class derived from `bt.StreamingSynapse`. Invalid UTF-8 is replaced with U+FFFD.
#[derive(Debug)]
pub struct TextReply {
    response: CallResponseStream,
    /// Incomplete character at the end of the last part.
    partial_character: Vec<u8>,
}

impl TextReply {
    /// Returns the next part, which is not empty; `None` at the end. After an error, there are no
    /// further parts.
    pub async fn next_part(&mut self) -> Option<Result<String, ReplyError>> {
        while let Some(chunk) = self.response.next().await {
            match chunk {
                Ok(chunk) => self.partial_character.extend_from_slice(&chunk),
                Err(error) => return Some(Err(error.into())),
            }
            let text = take_complete_text(&mut self.partial_character);
            if !text.is_empty() {
                return Some(Ok(text));
            }
        }
        let remaining = std::mem::take(&mut self.partial_character);
        (!remaining.is_empty()).then(|| Ok(String::from_utf8_lossy(&remaining).into_owned()))
    }
}

/// Sends a request to a miner, and returns the response as soon as it begins. A refusal is read
/// completely, since its body can state the reason. The deadline and the size of the limits are
/// those of the complete response. The scheme of the client must know the class of the request.
///
/// # Errors
/// [`StreamError`] when the request cannot be sent, or the miner refuses it. Later failures are
/// errors of the parts.
pub async fn query_stream<P: Protocol>(
    client: &SignedClient,
    miner: &MinerEntry,
    request: &P,
    limits: QueryLimits,
) -> Result<TextReply, StreamError> {
    let request = serialise_fields(request).map_err(QueryError::from)?;
    let call = new_call(&P::class(), &request, limits).map_err(QueryError::from)?;
    let peer = miner.peer().map_err(ReplyError::from)?;
    let mut response = client.stream(&peer, &call).await.map_err(ReplyError::from)?;
    if response.status != StatusCode::OK {
        let mut body: Vec<u8> = Vec::new();
        // A body that is not complete states no reason.
        while let Some(Ok(chunk)) = response.next().await {
            body.extend_from_slice(&chunk);
        }
        return Err(refusal_error(response.status, &response.headers, &body).into());
    }
    Ok(TextReply { response, partial_character: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, Bytes};
    use futures::stream;

    use super::*;
    use crate::testing::{SumRequest, client, entry, key, listen};

    /// Serves chunks, with a status; returns the parts that arrive, and the error if there is one.
    async fn query_parts(
        status: StatusCode,
        chunks: &'static [&'static [u8]],
        limit: usize,
    ) -> (Vec<String>, Option<String>) {
        let router = Router::new().fallback(move || async move {
            let chunks = chunks
                .iter()
                .map(|chunk| Ok::<_, std::convert::Infallible>(Bytes::from_static(chunk)));
            (status, Body::from_stream(stream::iter(chunks)))
        });
        let miner = entry(0, key("//miner").hotkey(), listen(router).await.port());
        let limits = QueryLimits {
            deadline: Duration::from_secs(5),
            max_response_bytes: limit,
            ..QueryLimits::default()
        };
        let client = client(key("//validator"), &[]);
        let mut reply = match query_stream(&client, &miner, &SumRequest::ONE_AND_TWO, limits).await
        {
            Ok(reply) => reply,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let mut parts = Vec::new();
        while let Some(part) = reply.next_part().await {
            match part {
                Ok(part) => parts.push(part),
                Err(error) => return (parts, Some(error.to_string())),
            }
        }
        (parts, None)
    }

    #[tokio::test]
    async fn chunks_are_joined_to_text() {
        let rows: [(&'static [&'static [u8]], &str); 4] = [
            (&[], ""),
            (&[b"The ", b"ferry"], "The ferry"),
            // A character in several chunks, and bytes that are none.
            (&[b"caf\xc3", b"\xa9 \xf0\x9f", b"\x99", b"\x82!"], "caf\u{e9} \u{1f642}!"),
            (&[b"a\xffb", b"\xc3"], "a\u{fffd}b\u{fffd}"),
        ];
        for (chunks, text) in rows {
            let (parts, error) = query_parts(StatusCode::OK, chunks, 1_000).await;
            assert_eq!((parts.concat().as_str(), error), (text, None));
            assert!(parts.iter().all(|part| !part.is_empty()), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn refused_and_endless_responses_are_errors() {
        let (parts_of_refusal, error) = query_parts(StatusCode::FORBIDDEN, &[b"no"], 1_000).await;
        assert_eq!((parts_of_refusal.len(), error.as_deref()), (0, Some("status 403 Forbidden: ")));
        let (_, error) =
            query_parts(StatusCode::FORBIDDEN, &[b"{\"message\": ", b"\"no permit\"}"], 1_000)
                .await;
        assert_eq!(error.as_deref(), Some("status 403 Forbidden: no permit"));
        let (_, error) =
            query_parts(StatusCode::FORBIDDEN, &[&[b'x'; 600], &[b'y'; 600]], 1_000).await;
        assert_eq!(error.as_deref(), Some("status 403 Forbidden: "), "larger than the limit");
        let (received, error) =
            query_parts(StatusCode::OK, &[&[b'x'; 600], &[b'y'; 600]], 1_000).await;
        assert!(received.concat().len() <= 1_000 && error.is_some(), "{received:?} {error:?}");
    }
}
