//! Delivery of a miner's answer to a buyer, who pays for the delivered part.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use taonet_nineteen_query::Chunk;

use crate::GatewayError;
use crate::answer::End;
use crate::bill::Bill;
use crate::replies::{NextChunk, Replies};

/// Size in bytes at which buffered events are sent without waiting for further events.
const LARGEST_PIECE: usize = 16 * 1024;
/// Number of times that a stream yields to other async tasks before it sends the ready events.
const TURNS: u32 = 2;

/// Server-sent events of an answer, in the format of one of the gateway's protocols.
pub(crate) trait Events: Send + 'static {
    /// Returns the events before the first chunk.
    fn begin(&mut self) -> Vec<String>;
    /// Appends the events for a chunk of a choice.
    fn relay(&mut self, choice: usize, chunk: &Chunk, events: &mut String);
    /// Returns the final events of an interrupted answer.
    fn interrupted(&mut self) -> Vec<String>;
    /// Returns the events after the last chunk. `ends` are those of the choices, `tokens` the token counts of the request
    /// and of the answer, of all choices together.
    fn finish(&mut self, ends: &[End], tokens: (u64, u64)) -> Vec<String>;
}

/// Streams an answer as server-sent events. Reads from the miners only as fast as the buyer reads. When the buyer
/// disconnects, cancels the miners' work and charges the delivered part.
pub(crate) fn stream(mut events: impl Events, replies: Replies, bill: Bill) -> Response {
    let ready = events.begin().concat();
    let ends = ends_of(&replies);
    let delivery = Delivery { events, open: Some((replies, bill)), ends, ready, last: None };
    let texts = futures::stream::unfold(delivery, |mut delivery| async move {
        let text = delivery.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), delivery))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(texts)).into_response()
}

struct Delivery<E> {
    events: E,
    /// Answers and bill; `None` after the end of the answers.
    open: Option<(Replies, Bill)>,
    /// How the choices end.
    ends: Vec<End>,
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
            let Some((replies, _)) = self.open.as_mut() else { break };
            if self.ready.is_empty() {
                let next = replies.next().await;
                self.take(next);
                continue;
            }
            // Send the ready events before waiting for more. The miner's connection is a separate task, which relays
            // one piece at a time: yield to it first, so that a burst of tokens is sent in one piece.
            match replies.next().now_or_never() {
                Some(next) => {
                    self.take(next);
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
            if let Some((replies, bill)) = self.open.take() {
                drop(replies);
                bill.settle().await;
            }
            self.ready = last.concat();
        }
        Some(std::mem::take(&mut self.ready))
    }

    fn take(&mut self, next: Option<(usize, NextChunk)>) {
        let Some((_, bill)) = self.open.as_mut() else { return };
        match next {
            Some((choice, Some(Ok(chunk)))) => {
                if let Some(end) = self.ends.get_mut(choice) {
                    end.note(&chunk);
                }
                bill.deliver_chunk(choice, &chunk);
                self.events.relay(choice, &chunk, &mut self.ready);
            }
            Some((_, Some(Err(error)))) => {
                tracing::debug!(%error, "answer interrupted");
                self.last = Some(self.events.interrupted());
            }
            Some((_, None)) => {}
            None => {
                let tokens = end_all(&mut self.ends, bill);
                self.last = Some(self.events.finish(&self.ends, tokens));
            }
        }
    }
}

/// Returns how the choices of a request end, before their first chunks.
fn ends_of(replies: &Replies) -> Vec<End> {
    let mut ends = Vec::new();
    ends.resize_with(replies.len(), End::default);
    ends
}

/// Records that all answers are complete; returns the token counts of the request and of the answers.
fn end_all(ends: &mut [End], bill: &mut Bill) -> (u64, u64) {
    bill.deliver_all();
    let mut output_tokens = 0_u64;
    for (choice, end) in ends.iter_mut().enumerate() {
        end.tokens = bill.output_tokens(choice);
        output_tokens = output_tokens.saturating_add(end.tokens);
    }
    (bill.input_tokens(), output_tokens)
}

/// Reads and charges a complete answer; returns how its choices ended, and the token counts of the request and of the
/// answer.
///
/// # Errors
/// [`GatewayError::Interrupted`] when a choice is incomplete, in which case nothing is charged.
pub(crate) async fn whole(
    mut replies: Replies,
    mut bill: Bill,
    mut take: impl FnMut(usize, &Chunk),
) -> Result<(Vec<End>, (u64, u64)), GatewayError> {
    let mut ends = ends_of(&replies);
    while let Some((choice, chunk)) = replies.next().await {
        let Some(chunk) = chunk else { continue };
        let Ok(chunk) = chunk else {
            // Nothing was delivered: the buyer gets an error instead.
            drop(replies);
            bill.cancel();
            bill.settle().await;
            return Err(GatewayError::Interrupted);
        };
        if let Some(end) = ends.get_mut(choice) {
            end.note(&chunk);
        }
        bill.deliver_chunk(choice, &chunk);
        take(choice, &chunk);
    }
    let tokens = end_all(&mut ends, &mut bill);
    bill.settle().await;
    Ok((ends, tokens))
}
