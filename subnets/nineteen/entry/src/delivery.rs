//! Delivery of a miner's answer to a buyer, who pays for the delivered part.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use taonet_nineteen_query::Chunk;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::GatewayError;
use crate::answer::ChoiceEnd;
use crate::bill::Bill;
use crate::replies::{NextChunk, Replies};

/// Size in bytes at which buffered events are sent without waiting for further events.
const FLUSH_BYTES: usize = 16 * 1024;
/// Time after a write within which further events belong to a burst, and share a write if possible.
/// Models that write tokens one by one are slower. Also the maximum time for which the end of a
/// burst waits for its charge.
const BURST_WINDOW: Duration = Duration::from_millis(10);

/// Number of yields to the runtime without a further event after which a burst has ended. During
/// each yield, the runtime polls the miner's connection, which this task reads.
const IDLE_YIELDS: usize = 2;

/// Server-sent events of an answer, in the format of one of the gateway's protocols.
pub(crate) trait EventEncoder: Send + 'static {
    /// Returns the events before the first chunk.
    fn begin(&mut self) -> Vec<String>;
    /// Appends the events for a chunk of a choice.
    fn relay(&mut self, choice: usize, chunk: &Chunk, events: &mut String);
    /// Returns the final events of an interrupted answer.
    fn interrupt(&mut self) -> Vec<String>;
    /// Returns the events after the last chunk. `ends` are those of the choices, `tokens` the token
    /// counts of the request and of the answer, of all choices together.
    fn finish(&mut self, ends: &[ChoiceEnd], tokens: (u64, u64)) -> Vec<String>;
}

/// Streams an answer as server-sent events. Reads from the miners only as fast as the buyer reads.
/// When the buyer disconnects, cancels the miners' work and charges the delivered part.
pub(crate) fn stream(mut events: impl EventEncoder, replies: Replies, bill: Bill) -> Response {
    let pending_events = events.begin().concat();
    let ends = initial_ends(&replies);
    let delivery = Delivery {
        events,
        replies: Some(replies),
        bill: Some(bill),
        charge: None,
        ends,
        pending_events,
        final_events: None,
        last_write: None,
    };
    let texts = futures::stream::unfold(delivery, |mut delivery| async move {
        let text = delivery.next_events().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), delivery))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(texts)).into_response()
}

struct Delivery<E> {
    events: E,
    /// Answers; `None` after their end or the first error, so that the miners stop.
    replies: Option<Replies>,
    /// `None` once its charge has begun.
    bill: Option<Bill>,
    /// Charge in progress: a task, since this future is not polled while the buyer does not read.
    charge: Option<JoinHandle<()>>,
    /// How the choices end.
    ends: Vec<ChoiceEnd>,
    /// Events to send.
    pending_events: String,
    /// Events to send once the answer is charged.
    final_events: Option<Vec<String>>,
    /// Time of the latest write; `None` before the first one.
    last_write: Option<Instant>,
}

impl<E: EventEncoder> Delivery<E> {
    /// Returns the next events: as many as the miner has sent, up to about [`FLUSH_BYTES`].
    async fn next_events(&mut self) -> Option<String> {
        let mut is_burst = false;
        while self.final_events.is_none() && self.pending_events.len() < FLUSH_BYTES {
            let Some(replies) = self.replies.as_mut() else { break };
            let next = if self.pending_events.is_empty() {
                let next = replies.next().await;
                is_burst =
                    self.last_write.is_some_and(|last_write| last_write.elapsed() < BURST_WINDOW);
                next
            } else if is_burst {
                // A miner that sends a whole answer at once needs several writes, between which
                // little time passes.
                tokio::select! {
                    biased;
                    next = replies.next() => next,
                    () = yield_while_idle() => break,
                }
            } else {
                // The first events, and tokens that arrive one by one, are sent at once.
                match replies.next().now_or_never() {
                    Some(next) => next,
                    None => break,
                }
            };
            self.handle_chunk(next);
        }
        // Boxed: the future of a delivery is kept as long as the stream is open.
        if self.final_events.is_some() && Box::pin(self.charge_answer(is_burst)).await {
            self.pending_events.extend(self.final_events.take().unwrap_or_default());
        }
        if self.pending_events.is_empty() {
            return None;
        }
        self.last_write = Some(Instant::now());
        Some(std::mem::take(&mut self.pending_events))
    }

    /// Charges the answer before its last events are sent; returns whether it is charged. The end
    /// of a burst waits briefly for the charge, to share a write with the last events; other events
    /// are sent without waiting.
    async fn charge_answer(&mut self, is_burst: bool) -> bool {
        let has_events = !self.pending_events.is_empty();
        if has_events && !is_burst {
            return false;
        }
        if let Some(bill) = self.bill.take() {
            self.charge = Some(tokio::spawn(bill.settle()));
        }
        if let Some(charge) = &mut self.charge {
            if !has_events {
                // After a panic, the dropped bill is charged in a task of its own.
                let _ = charge.await;
            } else if timeout(BURST_WINDOW, charge).await.is_err() {
                return false;
            }
            self.charge = None;
        }
        true
    }

    fn handle_chunk(&mut self, next: Option<(usize, NextChunk)>) {
        let Some(bill) = self.bill.as_mut() else { return };
        match next {
            Some((choice, Some(Ok(chunk)))) => {
                if let Some(end) = self.ends.get_mut(choice) {
                    end.record(&chunk);
                }
                bill.record_chunk_delivery(choice, &chunk);
                self.events.relay(choice, &chunk, &mut self.pending_events);
            }
            Some((_, Some(Err(_)))) => {
                self.replies = None;
                self.final_events = Some(self.events.interrupt());
            }
            Some((_, None)) => {}
            None => {
                self.replies = None;
                let tokens = complete_choices(&mut self.ends, bill);
                self.final_events = Some(self.events.finish(&self.ends, tokens));
            }
        }
    }
}

/// Yields to the runtime [`IDLE_YIELDS`] times.
async fn yield_while_idle() {
    for _ in 0..IDLE_YIELDS {
        tokio::task::yield_now().await;
    }
}

/// Returns how the choices of a request end, before their first chunks.
fn initial_ends(replies: &Replies) -> Vec<ChoiceEnd> {
    let mut ends = Vec::new();
    ends.resize_with(replies.len(), ChoiceEnd::default);
    ends
}

/// Records that all answers are complete; returns the token counts of the request and of the
/// answers.
fn complete_choices(ends: &mut [ChoiceEnd], bill: &mut Bill) -> (u64, u64) {
    bill.record_complete_delivery();
    let mut output_tokens = 0_u64;
    for (choice, end) in ends.iter_mut().enumerate() {
        end.tokens = bill.output_tokens(choice);
        output_tokens = output_tokens.saturating_add(end.tokens);
    }
    (bill.input_tokens(), output_tokens)
}

/// Reads and charges a complete answer; returns how its choices ended, and the token counts of the
/// request and of the answer.
///
/// # Errors
/// [`GatewayError`] when a choice has no complete answer, in which case nothing is charged.
pub(crate) async fn read_and_charge(
    replies: Replies,
    bill: Bill,
    on_chunk: impl FnMut(usize, &Chunk),
) -> Result<(Vec<ChoiceEnd>, (u64, u64)), GatewayError> {
    let (mut ends, bill) = read_answer(replies, bill, on_chunk).await?;
    let tokens = charge_complete(&mut ends, bill).await;
    Ok((ends, tokens))
}

/// Reads a complete answer; returns how its choices ended, and the bill, which is to be charged or
/// cancelled.
///
/// # Errors
/// [`GatewayError`] when a choice has no complete answer, in which case nothing is charged.
pub(crate) async fn read_answer(
    mut replies: Replies,
    mut bill: Bill,
    mut on_chunk: impl FnMut(usize, &Chunk),
) -> Result<(Vec<ChoiceEnd>, Bill), GatewayError> {
    let mut ends = initial_ends(&replies);
    while let Some((choice, chunk)) = replies.next().await {
        let chunk = match chunk {
            None => continue,
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => {
                drop(replies);
                cancel_bill(bill).await;
                return Err(error);
            }
        };
        if let Some(end) = ends.get_mut(choice) {
            end.record(&chunk);
        }
        bill.count_chunk(choice, &chunk);
        on_chunk(choice, &chunk);
    }
    Ok((ends, bill))
}

/// Charges a complete answer; returns the token counts of the request and of the answer.
pub(crate) async fn charge_complete(ends: &mut [ChoiceEnd], mut bill: Bill) -> (u64, u64) {
    let tokens = complete_choices(ends, &mut bill);
    bill.settle().await;
    tokens
}

/// Charges nothing: the buyer gets an error in place of the answer.
pub(crate) async fn cancel_bill(mut bill: Bill) {
    bill.cancel();
    bill.settle().await;
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::task::Price;
    use taonet_nineteen_query::ChunkBody;
    use taonet_nineteen_store::{KeyTerms, Store};
    use tempfile::TempDir;

    use super::*;
    use crate::bill::Tariff;
    use crate::replies::testing::replies_from_channel;

    /// Events of a protocol that relays texts without a format.
    struct PlainEncoder;

    impl EventEncoder for PlainEncoder {
        fn begin(&mut self) -> Vec<String> {
            Vec::new()
        }

        fn relay(&mut self, _: usize, chunk: &Chunk, events: &mut String) {
            events.push_str(chunk.text().unwrap_or_default());
        }

        fn interrupt(&mut self) -> Vec<String> {
            vec!["interrupted".to_owned()]
        }

        fn finish(&mut self, _: &[ChoiceEnd], _: (u64, u64)) -> Vec<String> {
            Vec::new()
        }
    }

    fn chunk(text: &str) -> Chunk {
        let body = ChunkBody::Text(text.to_owned());
        Chunk { body, characters: text.len(), entries: 1, is_content: true }
    }

    /// Returns a delivery of replies after the events `pending_events`, and the folder of its
    /// database.
    async fn delivery(replies: Replies, pending_events: &str) -> (Delivery<PlainEncoder>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let key = store.create_key(&KeyTerms::new("test", 5), &[7; 40], 0).await.unwrap().id;
        store.grant(&key, 100, "test", 0).await.unwrap();
        let tariff = Tariff::Text(Price { input: 1_000, output: 1_000, step: 0 });
        let clock = taonet_service::system_clock();
        let bill = Bill::open(&store, &clock, &key, ("chat-a".to_owned(), tariff), (10, 50))
            .await
            .unwrap();
        let (ends, pending_events) = (initial_ends(&replies), pending_events.to_owned());
        let (replies, bill) = (Some(replies), Some(bill));
        let (events, charge, final_events, last_write) = (PlainEncoder, None, None, None);
        (
            Delivery {
                events,
                replies,
                bill,
                charge,
                ends,
                pending_events,
                final_events,
                last_write,
            },
            folder,
        )
    }

    /// The buyer may be slow to read the events before the error.
    #[tokio::test]
    async fn interrupted_choice_cancels_the_others_at_once() {
        let (sender, replies) = replies_from_channel(2);
        let (mut delivery, _folder) = delivery(replies, "earlier events").await;
        sender.send((0, Some(Err(GatewayError::Interrupted)))).await.unwrap();
        assert_eq!(delivery.next_events().await.as_deref(), Some("earlier events"));
        assert!(sender.is_closed(), "the other answer is still read");
        assert!(delivery.bill.is_some());
        assert_eq!(delivery.next_events().await.as_deref(), Some("interrupted"));
        assert!(delivery.bill.is_none() && delivery.next_events().await.is_none());
    }

    #[tokio::test]
    async fn first_events_are_sent_without_waiting_for_others() {
        let (sender, replies) = replies_from_channel(1);
        let (mut delivery, _folder) = delivery(replies, "begin ").await;
        sender.send((0, Some(Ok(chunk("a"))))).await.unwrap();
        assert_eq!(delivery.next_events().now_or_never().flatten().as_deref(), Some("begin a"));
        // Nor do events that arrive long after the latest ones.
        delivery.last_write = Instant::now().checked_sub(BURST_WINDOW);
        sender.send((0, Some(Ok(chunk("b"))))).await.unwrap();
        assert_eq!(delivery.next_events().now_or_never().flatten().as_deref(), Some("b"));
    }

    /// As the tasks of several choices do, the sender relays one chunk in each turn.
    #[tokio::test]
    async fn events_of_a_burst_are_sent_together() {
        let (sender, replies) = replies_from_channel(1);
        let (mut delivery, _folder) = delivery(replies, "").await;
        // In the future, so that a busy machine does not end the burst.
        delivery.last_write = Some(Instant::now() + Duration::from_hours(1));
        tokio::spawn(async move {
            for text in ["a", "b", "c"] {
                sender.send((0, Some(Ok(chunk(text))))).await.unwrap();
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        });
        assert_eq!(delivery.next_events().await.as_deref(), Some("abc"));
    }

    #[tokio::test]
    async fn only_the_end_of_a_burst_waits_for_its_charge() {
        let (_sender, replies) = replies_from_channel(1);
        let (mut delivery, _folder) = delivery(replies, "events").await;
        assert!(!delivery.charge_answer(false).await && delivery.bill.is_some());
        delivery.bill = None;
        delivery.charge = Some(tokio::spawn(std::future::ready(())));
        assert!(delivery.charge_answer(true).await && delivery.charge.is_none());
        delivery.charge = Some(tokio::spawn(std::future::pending()));
        assert!(!delivery.charge_answer(true).await && delivery.charge.is_some());
    }

    #[tokio::test]
    async fn answer_is_charged_while_the_buyer_does_not_read() {
        let (_sender, replies) = replies_from_channel(1);
        let (mut delivery, _folder) = delivery(replies, "events").await;
        assert_eq!(delivery.charge_answer(true).now_or_never(), None);
        let charge = delivery.charge.as_ref().unwrap();
        while !charge.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
