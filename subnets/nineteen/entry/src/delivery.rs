//! Delivery of a miner's answer to a buyer, who pays for the delivered part.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use taonet_nineteen_query::{Chunk, Interrupted, Reply};

use crate::GatewayError;
use crate::answer::End;
use crate::bill::Bill;

/// Size in bytes at which buffered events are sent without waiting for further events.
const LARGEST_PIECE: usize = 16 * 1024;
/// Number of times that a stream yields to other async tasks before it sends the ready events.
const TURNS: u32 = 2;

/// Server-sent events of an answer, in the format of one of the gateway's protocols.
pub(crate) trait Events: Send + 'static {
    /// Returns the events before the first chunk.
    fn begin(&mut self) -> Vec<String>;
    /// Appends the events for a chunk.
    fn relay(&mut self, chunk: &Chunk, events: &mut String);
    /// Returns the final events of an interrupted answer.
    fn interrupted(&mut self) -> Vec<String>;
    /// Returns the events after the last chunk. `tokens` are the token counts of the request and of the answer.
    fn finish(&mut self, end: &End, tokens: (u64, u64)) -> Vec<String>;
}

/// Streams an answer as server-sent events. Reads from the miner only as fast as the buyer reads. When the buyer
/// disconnects, cancels the miner's work and charges the delivered part.
pub(crate) fn stream(mut events: impl Events, answer: Reply, bill: Bill) -> Response {
    let ready = events.begin().concat();
    let delivery = Delivery { events, open: Some((answer, bill)), end: End::default(), ready, last: None };
    let texts = futures::stream::unfold(delivery, |mut delivery| async move {
        let text = delivery.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), delivery))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(texts)).into_response()
}

struct Delivery<E> {
    events: E,
    /// Answer and bill; `None` after the end of the answer.
    open: Option<(Reply, Bill)>,
    end: End,
    /// Events to send.
    ready: String,
    /// Events to send once the answer is charged.
    last: Option<Vec<String>>,
}

impl<E: Events> Delivery<E> {
    /// Returns the next events: as many as the miner has sent, up to [`LARGEST_PIECE`].
    async fn next(&mut self) -> Option<String> {
        let mut turns = 0;
        while self.last.is_none() && self.ready.len() < LARGEST_PIECE {
            let Some((answer, _)) = self.open.as_mut() else { break };
            if self.ready.is_empty() {
                let chunk = answer.next().await;
                self.take(chunk);
                continue;
            }
            // Send the ready events before waiting for more. The miner's connection is a separate task, which relays
            // one piece at a time: yield to it first, so that a burst of tokens is sent in one piece.
            match answer.next().now_or_never() {
                Some(chunk) => {
                    self.take(chunk);
                    turns = 0;
                }
                None if turns == TURNS => break,
                None => {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        if self.ready.is_empty() {
            let last = self.last.take()?;
            // Charge before sending the last events.
            if let Some((answer, bill)) = self.open.take() {
                drop(answer);
                bill.settle().await;
            }
            self.ready = last.concat();
        }
        Some(std::mem::take(&mut self.ready))
    }

    fn take(&mut self, chunk: Option<Result<Chunk, Interrupted>>) {
        let Some((_, bill)) = self.open.as_mut() else { return };
        match chunk {
            Some(Ok(chunk)) => {
                self.end.note(&chunk);
                bill.deliver_chunk(&chunk);
                self.events.relay(&chunk, &mut self.ready);
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "answer interrupted");
                self.last = Some(self.events.interrupted());
            }
            None => {
                bill.deliver_all();
                self.last = Some(self.events.finish(&self.end, bill.tokens()));
            }
        }
    }
}

/// Reads and charges a complete answer; returns how the answer ended ([`End`]), and the token counts of the request and
/// of the answer.
///
/// # Errors
/// [`GatewayError::Interrupted`] when the answer is incomplete, in which case nothing is charged.
pub(crate) async fn whole(
    mut answer: Reply,
    mut bill: Bill,
    mut take: impl FnMut(&Chunk),
) -> Result<(End, (u64, u64)), GatewayError> {
    let mut end = End::default();
    while let Some(chunk) = answer.next().await {
        let Ok(chunk) = chunk else {
            // Nothing was delivered: the buyer gets an error instead.
            bill.cancel();
            bill.settle().await;
            return Err(GatewayError::Interrupted);
        };
        end.note(&chunk);
        bill.deliver_chunk(&chunk);
        take(&chunk);
    }
    drop(answer);
    bill.deliver_all();
    let tokens = bill.tokens();
    bill.settle().await;
    Ok((end, tokens))
}
