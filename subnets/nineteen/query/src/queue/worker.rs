//! Query worker: takes jobs, queries miners, and relays their answers.
//!
//! A worker takes jobs also while it cannot send them, so that they wait in the fair queue and not
//! in JetStream, which is first in, first out: requests of one busy model or key do not delay
//! others. The limits of the fair queue bound the number of jobs. While the worker has its maximum
//! of requests in flight, it takes only jobs that no other worker waits for. A worker that has just
//! started takes none until it knows its share of the miners' slots.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use futures::{Stream, StreamExt as _};
use taonet_service::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use super::frame::{Frame, FrameAssembler, InboundMessage, Outbox};
use super::{
    HEARTBEAT_INTERVAL, JobRequest, MAX_UNREAD_CHUNKS, Queue, QueueError, REQUEST_TIMEOUT,
    with_timeout,
};
use crate::{Answer, Querier, Request, RequestKind, metrics};

/// Maximum time that a pull request waits for jobs.
const PULL_TIMEOUT: Duration = Duration::from_secs(2);
/// Poll interval until the first period is open.
const FIRST_PERIOD_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Pause before a worker with its maximum of requests in flight takes further jobs, so that workers
/// with fewer come first.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Maximum number of jobs whose requests a worker receives at a time, each up to 32 MiB.
const MAX_RECEIVING_JOBS: usize = 256;
/// Pause after a NATS error.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Grace period for answers in flight at shutdown.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

// A pull request ends before `next_job` considers its response lost.
const _: () = assert!(PULL_TIMEOUT.as_millis() < REQUEST_TIMEOUT.as_millis());

/// A query worker: answers the requests of entry processes. Clones share state.
#[derive(Debug, Clone)]
pub struct Worker {
    queue: Queue,
    querier: Querier,
    /// One permit per job that is being received: it is neither queued nor in flight.
    receive_slots: Arc<Semaphore>,
}

impl Worker {
    /// Creates a worker. [`QueueSettings`](crate::QueueSettings) of the querier limit the requests
    /// in flight and in the queue.
    pub fn new(queue: Queue, querier: Querier) -> Self {
        Self { queue, querier, receive_slots: Arc::new(Semaphore::new(MAX_RECEIVING_JOBS)) }
    }

    /// Takes jobs until shutdown, then completes the answers in flight. Calls `on_ready` once the
    /// worker can receive jobs.
    pub async fn run(&self, shutdown: &Shutdown, on_ready: impl Fn()) {
        let mut running = JoinSet::new();
        while !shutdown.is_requested() {
            let result = tokio::select! {
                () = shutdown.requested() => break,
                result = self.take_jobs(&mut running, &on_ready) => result,
            };
            if let Err(error) = result {
                tracing::warn!(error = &error as &dyn Error, "cannot receive requests; retrying");
                sleep(RETRY_DELAY).await;
            }
        }
        let all_ended = async { while running.join_next().await.is_some() {} };
        if timeout(GRACE_PERIOD, all_ended).await.is_err() {
            tracing::warn!("stopped with answers in flight");
        }
    }

    /// Takes jobs until an error. First waits until the open period is loaded, because a worker
    /// without it would fail jobs that other workers can serve, and until the worker knows its
    /// share of the miners' slots.
    async fn take_jobs(
        &self,
        running: &mut JoinSet<()>,
        on_ready: &impl Fn(),
    ) -> Result<(), QueueError> {
        let market = self.querier.market();
        while market.period_miners().is_none() || !market.is_division_known() {
            sleep(FIRST_PERIOD_POLL_INTERVAL).await;
        }
        let consumer = self.queue.consumer().await?;
        on_ready();
        let mut verified_at = Instant::now();
        loop {
            let pulled_count = self.pull(&consumer, running).await?;
            // Pulls from a deleted consumer return neither an error nor jobs.
            if pulled_count == 0 && verified_at.elapsed() >= PULL_TIMEOUT {
                with_timeout(consumer.get_info()).await?.map_err(QueueError::jetstream)?;
                verified_at = Instant::now();
            }
        }
    }

    /// Waits up to [`PULL_TIMEOUT`] for jobs, at most as many as can be in flight and received, and
    /// starts them; returns the number of jobs. If none can be in flight, takes jobs for the queue
    /// that are left in JetStream.
    async fn pull(
        &self,
        consumer: &PullConsumer,
        running: &mut JoinSet<()>,
    ) -> Result<usize, QueueError> {
        while running.try_join_next().is_some() {}
        let Ok(mut permits) = Arc::clone(&self.receive_slots).acquire_owned().await else {
            return Ok(0);
        };
        let free_permits =
            u32::try_from(self.receive_slots.available_permits()).unwrap_or(u32::MAX);
        if let Ok(additional_permits) =
            Arc::clone(&self.receive_slots).try_acquire_many_owned(free_permits)
        {
            permits.merge(additional_permits);
        }
        let mut batch = match self.querier.free_permits() {
            0 => {
                sleep(BUSY_PAUSE).await;
                with_timeout(consumer.fetch().max_messages(permits.num_permits()).messages())
                    .await?
            }
            free_permits => {
                let maximum = permits.num_permits().min(free_permits);
                with_timeout(
                    consumer.batch().max_messages(maximum).expires(PULL_TIMEOUT).messages(),
                )
                .await?
            }
        }
        .map_err(QueueError::jetstream)?;
        let mut pulled_count = 0;
        while let Some(message) = next_job(&mut batch).await? {
            let permit = permits.split(1);
            let worker = self.clone();
            running.spawn(async move {
                let outcome = worker.serve(&message, permit).await;
                tracing::debug!(outcome = outcome.as_str(), "request finished");
                metrics::record_job(outcome.as_str());
            });
            pulled_count += 1;
        }
        Ok(pulled_count)
    }

    async fn serve(
        &self,
        message: &Message,
        receive_permit: Option<OwnedSemaphorePermit>,
    ) -> JobOutcome {
        let Ok(entry_inbox) = std::str::from_utf8(&message.payload) else {
            acknowledge(message, AckKind::Term).await;
            return JobOutcome::Malformed;
        };
        let client = &self.queue.client;
        let own_inbox = client.new_inbox();
        let Ok(mut inbox) = client.subscribe(own_inbox.clone()).await else {
            return JobOutcome::EntryLost;
        };
        let mut outbox = Outbox::new(client.clone(), entry_inbox.to_owned(), own_inbox);
        outbox.send(Frame::Take).await;
        let request = match timeout(REQUEST_TIMEOUT, receive_request(&mut inbox)).await {
            Ok(Ok(request)) => request,
            // Not acknowledged, so JetStream redelivers the job.
            Err(_) => return JobOutcome::EntryLost,
            Ok(Err(outcome)) => {
                acknowledge(message, AckKind::Ack).await;
                return outcome;
            }
        };
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = {
            let mut query = pin!(self.querier.query(request));
            let mut receive_permit = receive_permit;
            loop {
                tokio::select! {
                    biased;
                    result = &mut query => break result,
                    () = wait_for_cancellation(&mut inbox) => {
                        acknowledge(message, AckKind::Ack).await;
                        return JobOutcome::BuyerLeft;
                    }
                    // The first tick is immediate.
                    _ = heartbeat.tick() => {
                        // The request is in flight or queued.
                        drop(receive_permit.take());
                        acknowledge(message, AckKind::Progress).await;
                        outbox.send(Frame::Alive).await;
                    }
                }
            }
        };
        match result {
            Ok(mut answer) => {
                let max_total = self.querier.inner.deadlines.max_total;
                let relayed = timeout(
                    max_total,
                    relay(&mut answer, &mut inbox, &mut outbox, heartbeat, message),
                )
                .await;
                relayed.unwrap_or(JobOutcome::Interrupted)
            }
            Err(error) => {
                outbox
                    .send(Frame::Failed(serde_json::to_vec(&error).unwrap_or_default().into()))
                    .await;
                acknowledge(message, AckKind::Ack).await;
                JobOutcome::Failed
            }
        }
    }
}

/// Returns the next job of a pull request; `None` at its end. A pull request that does not wait for
/// jobs has no timeout of its own, so that the loss of NATS's response would end in an endless
/// wait.
async fn next_job<B>(batch: &mut B) -> Result<Option<Message>, QueueError>
where
    B: Stream<Item = Result<Message, async_nats::Error>> + Unpin,
{
    with_timeout(batch.next()).await?.transpose().map_err(QueueError::JetStream)
}

/// Outcome of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobOutcome {
    Answered,
    /// No miner answered.
    Failed,
    /// The answer is incomplete.
    Interrupted,
    /// The buyer disconnected, or another worker has the job.
    BuyerLeft,
    /// The entry did not respond.
    EntryLost,
    Malformed,
}

impl JobOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::BuyerLeft => "left",
            Self::EntryLost => "lost",
            Self::Malformed => "malformed",
        }
    }
}

/// Receives the request.
async fn receive_request(inbox: &mut Subscriber) -> Result<Request, JobOutcome> {
    let mut assembler = FrameAssembler::default();
    loop {
        let message = inbox.next().await.ok_or(JobOutcome::BuyerLeft)?;
        match InboundMessage::parse(&message) {
            Some(InboundMessage::NoReceiver | InboundMessage::Frame(_, Frame::End)) => {
                return Err(JobOutcome::BuyerLeft);
            }
            Some(InboundMessage::Frame(number, frame)) => {
                if let Some(Frame::Last(bytes)) =
                    assembler.push(number, frame).map_err(|_| JobOutcome::Malformed)?
                {
                    let job_request: JobRequest =
                        serde_json::from_slice(&bytes).map_err(|_| JobOutcome::Malformed)?;
                    let JobRequest {
                        task,
                        payload,
                        max_chunks,
                        key,
                        weight,
                        is_collected,
                        relays_logprobs,
                        has_images,
                        max_wait,
                        cache_key,
                        earlier,
                    } = job_request;
                    let (kind, key) = (RequestKind::Organic, key.into());
                    return Ok(Request {
                        task,
                        payload,
                        has_images,
                        kind,
                        max_chunks,
                        key,
                        weight,
                        is_collected,
                        relays_logprobs,
                        max_wait: max_wait.map(Duration::from_millis),
                        cache_key,
                        earlier,
                    });
                }
            }
            None => return Err(JobOutcome::Malformed),
        }
    }
}

/// Waits until the entry no longer needs the answer.
async fn wait_for_cancellation(inbox: &mut Subscriber) {
    while receive_credit(inbox).await.is_some() {}
}

/// Receives the next credit; `None` once the entry no longer needs the answer.
async fn receive_credit(inbox: &mut Subscriber) -> Option<u64> {
    loop {
        let message = inbox.next().await?;
        match InboundMessage::parse(&message) {
            Some(InboundMessage::NoReceiver | InboundMessage::Frame(_, Frame::End)) => return None,
            Some(InboundMessage::Frame(_, Frame::Credit(frames_read))) => return Some(frames_read),
            _ => {}
        }
    }
}

/// Relays an answer whose first chunk has arrived, or that has no text. Acknowledges the job with
/// the first chunk or the end.
async fn relay(
    answer: &mut Answer,
    inbox: &mut Subscriber,
    outbox: &mut Outbox,
    mut heartbeat: Interval,
    job: &Message,
) -> JobOutcome {
    let (mut frames_sent, mut frames_read, mut is_acknowledged) = (0_u64, 0_u64, false);
    loop {
        let chunk = {
            // Keep the future until it is ready, because a new one would restart its timeouts.
            let mut next = pin!(answer.next());
            loop {
                let may_send = frames_sent < frames_read + MAX_UNREAD_CHUNKS;
                tokio::select! {
                    biased;
                    credit = receive_credit(inbox) => match credit {
                        Some(credit) => frames_read = frames_read.max(credit),
                        None => return JobOutcome::BuyerLeft,
                    },
                    chunk = &mut next, if may_send => break chunk,
                    _ = heartbeat.tick() => outbox.send(Frame::Alive).await,
                }
            }
        };
        let outcome = match chunk {
            Some(Ok(chunk)) => {
                frames_sent +=
                    outbox.send_document(serde_json::to_vec(&chunk).unwrap_or_default()).await;
                None
            }
            Some(Err(interrupted)) => {
                outbox.send(Frame::Interrupted(interrupted.0.into())).await;
                Some(JobOutcome::Interrupted)
            }
            None => {
                outbox.send(Frame::End).await;
                Some(JobOutcome::Answered)
            }
        };
        if !is_acknowledged {
            acknowledge(job, AckKind::Ack).await;
            is_acknowledged = true;
        }
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
}

/// Acknowledges a job. If the acknowledgement is lost, JetStream redelivers the job, and the entry
/// declines it.
async fn acknowledge(job: &Message, kind: AckKind) {
    if let Err(error) = job.ack_with(kind).await {
        tracing::debug!(%error, "cannot acknowledge a job");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pull_without_response_fails() {
        let failed = next_job(&mut futures::stream::pending()).await.unwrap_err();
        assert!(matches!(failed, QueueError::TimedOut(_)), "{failed}");
        assert!(next_job(&mut futures::stream::empty()).await.unwrap().is_none());
    }
}
