//! Delivery of a miner's answer to a buyer, who pays for what was delivered.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use taonet_nineteen_query::{Answer, Chunk};

use crate::GatewayError;
use crate::answer::End;
use crate::bill::Bill;

/// Server-sent events of an answer, in the form of one of the gateway's protocols.
pub(crate) trait Events: Send + 'static {
    /// Events before the first chunk.
    fn begin(&mut self) -> Vec<String>;
    /// Events for a chunk.
    fn relay(&mut self, chunk: &Chunk) -> Vec<String>;
    /// Events after which nothing follows, of an answer that was interrupted.
    fn interrupted(&mut self) -> Vec<String>;
    /// Events after the last chunk. `tokens` are those of the request and of the answer.
    fn finish(&mut self, end: &End, tokens: (u64, u64)) -> Vec<String>;
}

/// Streams an answer as server-sent events. The miner is read only as fast as the buyer reads; a buyer that disconnects
/// cancels its work and pays for what was delivered.
pub(crate) fn stream(mut events: impl Events, answer: Answer, bill: Bill) -> Response {
    let ready = events.begin().into();
    let delivery = Delivery { events, open: Some((answer, bill)), end: End::default(), ready };
    let texts = futures::stream::unfold(delivery, |mut delivery| async move {
        let text = delivery.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), delivery))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(texts)).into_response()
}

struct Delivery<E> {
    events: E,
    /// `None` after the end of the answer.
    open: Option<(Answer, Bill)>,
    end: End,
    ready: VecDeque<String>,
}

impl<E: Events> Delivery<E> {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            let (answer, bill) = self.open.as_mut()?;
            let last = match answer.next().await {
                Some(Ok(chunk)) => {
                    self.end.note(&chunk);
                    bill.deliver(answer.pieces());
                    self.ready.extend(self.events.relay(&chunk));
                    continue;
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "answer interrupted");
                    self.events.interrupted()
                }
                None => self.events.finish(&self.end, bill.tokens()),
            };
            // Charge before sending the last events.
            if let Some((answer, bill)) = self.open.take() {
                drop(answer);
                bill.settle().await;
            }
            self.ready.extend(last);
        }
    }
}

/// Reads an answer to its end, and charges for it: how it ended, and the tokens of the request and of the answer.
///
/// # Errors
/// [`GatewayError::Interrupted`] when the answer has no end; then nothing is charged.
pub(crate) async fn whole(
    mut answer: Answer,
    mut bill: Bill,
    mut take: impl FnMut(&Chunk),
) -> Result<(End, (u64, u64)), GatewayError> {
    let mut end = End::default();
    while let Some(chunk) = answer.next().await {
        let Ok(chunk) = chunk else {
            // Nothing was delivered: the buyer gets an error instead.
            bill.deliver(0);
            bill.settle().await;
            return Err(GatewayError::Interrupted);
        };
        end.note(&chunk);
        bill.deliver(answer.pieces());
        take(&chunk);
    }
    drop(answer);
    let tokens = bill.tokens();
    bill.settle().await;
    Ok((end, tokens))
}
