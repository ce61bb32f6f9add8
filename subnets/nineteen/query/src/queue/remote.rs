//! Entry process: sends requests to query workers, and receives their answers.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::frame::{Assembly, Frame, Outbox, Received};
use super::{HEARTBEAT_INTERVAL, JobRequest, MAX_UNREAD_CHUNKS, Queue, REDELIVERY_DELAY};
use crate::answer::Interrupted;
use crate::{Attempts, Chunk, Market, QueryError, Request, metrics};

/// Timeout for a worker to take the job.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time without a message before the first chunk. It exceeds the time until a dead worker's
/// job is redelivered.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time without a message after the first chunk. From then on, no other worker can continue
/// the answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = assert!(
    SILENCE_TIMEOUT.as_millis() > 3 * HEARTBEAT_INTERVAL.as_millis()
        && FIRST_MESSAGE_TIMEOUT.as_millis() > 3 * REDELIVERY_DELAY.as_millis()
);

/// Sends requests to the query workers of a market. Clones share state.
#[derive(Debug, Clone)]
pub struct Workers {
    queue: Queue,
    market: Market,
}

impl Workers {
    /// Creates a sender of requests to the workers of `queue`. `market` contains the open period;
    /// see [`Recorder::follow`](crate::Recorder::follow).
    pub const fn new(queue: Queue, market: Market) -> Self {
        Self { queue, market }
    }

    /// Returns the handle to the market's open period.
    pub const fn market(&self) -> &Market {
        &self.market
    }

    /// Sends a request; returns the answer once its first chunk has arrived. Dropping the future or
    /// the answer cancels the work.
    ///
    /// # Errors
    /// [`QueryError`] when no worker takes the request, or no miner answers.
    pub async fn query(&self, request: Request) -> Result<RemoteAnswer, QueryError> {
        let start = Instant::now();
        let task = request.task.clone();
        let queue_failure = |error: &(dyn std::error::Error + 'static)| {
            tracing::warn!(error, "cannot queue a request");
            QueryError::NoWorker(task.clone())
        };
        let own_inbox = self.queue.client.new_inbox();
        let inbox = self
            .queue
            .client
            .subscribe(own_inbox.clone())
            .await
            .map_err(|error| queue_failure(&error))?;
        if self.queue.publish(&own_inbox).await.is_err() {
            // After a restart of NATS, the stream is missing.
            self.queue.stream().await.map_err(|error| queue_failure(&error))?;
            self.queue.publish(&own_inbox).await.map_err(|error| queue_failure(&error))?;
        }
        let job_request = serde_json::to_vec(&JobRequest::from_request(request))
            .map_err(|error| queue_failure(&error))?;
        let mut answer = RemoteAnswer {
            client: self.queue.client.clone(),
            own_inbox,
            inbox,
            worker: None,
            first: None,
            latest_frame: None,
            ended: false,
        };
        loop {
            let max_silence =
                if answer.worker.is_some() { FIRST_MESSAGE_TIMEOUT } else { ACCEPT_TIMEOUT };
            match answer.receive(max_silence).await {
                Ok(Event::Take(from)) => {
                    metrics::record_take(start.elapsed().as_secs_f64());
                    answer.assign_worker(from, job_request.clone()).await;
                }
                Ok(Event::Chunk(chunk)) => {
                    answer.first = Some(chunk);
                    return Ok(answer);
                }
                Ok(Event::Failed(error)) => return Err(error),
                Err(_) if answer.worker.is_none() => return Err(QueryError::NoWorker(task)),
                Err(Interrupted(last)) => return Err(failed(last)),
                // The answer has no text.
                Ok(Event::End) => {
                    answer.ended = true;
                    return Ok(answer);
                }
            }
        }
    }
}

fn failed(last: String) -> QueryError {
    QueryError::Failed {
        attempts: Attempts { limited: 0, failed: 1 },
        last,
        rejection_status: None,
        is_disputed: false,
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Interrupted> {
    serde_json::from_slice(bytes)
        .map_err(|_| Interrupted("malformed frame from a query worker: versions differ".to_owned()))
}

enum Event {
    /// A worker takes the job; contains the worker's inbox.
    Take(String),
    Chunk(Chunk),
    End,
    Failed(QueryError),
}

/// An answer that a worker relays. Dropping it cancels the miner's work.
#[derive(Debug)]
pub struct RemoteAnswer {
    client: Client,
    /// Subject of `inbox`.
    own_inbox: String,
    inbox: Subscriber,
    worker: Option<WorkerConnection>,
    first: Option<Chunk>,
    /// The latest complete frame, stored until it is returned, so that dropping the future of
    /// [`Self::next`] loses no frame.
    latest_frame: Option<Frame>,
    ended: bool,
}

/// Connection to the worker that answers.
#[derive(Debug)]
struct WorkerConnection {
    outbox: Outbox,
    assembly: Assembly,
    /// Number of the answer's frames read so far. `credited` is the last number sent to the worker.
    read: u64,
    credited: u64,
}

impl RemoteAnswer {
    /// Returns the next chunk; `None` at the end. The worker is at most 64 chunks ahead of this
    /// reader.
    ///
    /// # Errors
    /// [`Interrupted`] when the answer is incomplete; no further chunk follows.
    pub async fn next(&mut self) -> Option<Result<Chunk, Interrupted>> {
        if let Some(chunk) = self.first.take() {
            return Some(Ok(chunk));
        }
        while !self.ended {
            match self.receive(SILENCE_TIMEOUT).await {
                Ok(Event::Chunk(chunk)) => return Some(Ok(chunk)),
                // JetStream has redelivered the job, but a worker already answers it.
                Ok(Event::Take(from)) => self.decline(from).await,
                Ok(Event::End) => self.ended = true,
                Ok(Event::Failed(error)) => return Some(Err(self.interrupted(error.to_string()))),
                Err(Interrupted(reason)) => return Some(Err(self.interrupted(reason))),
            }
        }
        None
    }

    fn interrupted(&mut self, reason: String) -> Interrupted {
        self.ended = true;
        Interrupted(reason)
    }

    /// Sends the request to a worker. An earlier worker of the request is considered dead and
    /// receives [`Frame::End`].
    async fn assign_worker(&mut self, from: String, job_request: Vec<u8>) {
        let mut outbox = Outbox::new(self.client.clone(), from, self.own_inbox.clone());
        outbox.send_document(job_request).await;
        let connection =
            WorkerConnection { outbox, assembly: Assembly::default(), read: 0, credited: 0 };
        let earlier = self.worker.replace(connection);
        self.latest_frame = None;
        if let Some(WorkerConnection { mut outbox, .. }) = earlier {
            metrics::record_lost_worker();
            outbox.send(Frame::End).await;
        }
        if let Some(worker) = &mut self.worker {
            // The worker's frame `Take` had the number 0.
            let _ = worker.assembly.take(0, Frame::Take);
        }
    }

    async fn decline(&self, from: String) {
        Outbox::new(self.client.clone(), from, self.own_inbox.clone()).send(Frame::End).await;
    }

    /// Waits for the next event from the current worker, or for a worker that takes the job.
    async fn receive(&mut self, max_silence: Duration) -> Result<Event, Interrupted> {
        loop {
            match self.latest_frame.take() {
                Some(Frame::Last(bytes)) => {
                    return Ok(Event::Chunk(parse(&bytes)?));
                }
                Some(Frame::End) => return Ok(Event::End),
                Some(Frame::Failed(error)) => {
                    return Ok(Event::Failed(parse(&error)?));
                }
                Some(Frame::Interrupted(reason)) => {
                    return Err(Interrupted(String::from_utf8_lossy(&reason).into_owned()));
                }
                Some(Frame::Take | Frame::Alive | Frame::Part(_) | Frame::Credit(_)) | None => {}
            }
            let message = timeout(max_silence, self.inbox.next()).await.ok().flatten();
            let Some(message) = message else {
                metrics::record_lost_worker();
                return Err(Interrupted("no query worker responds".to_owned()));
            };
            let (Some(Received::Frame(number, frame)), Some(from)) =
                (Received::parse(&message), &message.reply)
            else {
                continue;
            };
            if frame == Frame::Take {
                return Ok(Event::Take(from.to_string()));
            }
            let Some(worker) =
                self.worker.as_mut().filter(|worker| worker.outbox.recipient() == from.as_str())
            else {
                continue;
            };
            let is_alive = frame == Frame::Alive;
            worker.read += u64::from(matches!(frame, Frame::Part(_) | Frame::Last(_)));
            self.latest_frame = worker
                .assembly
                .take(number, frame)
                .map_err(|lost| Interrupted(lost.to_string()))?;
            // A lost credit is sent again after the worker's next heartbeat.
            if is_alive || worker.read >= worker.credited + MAX_UNREAD_CHUNKS / 2 {
                worker.credited = worker.read;
                worker.outbox.send(Frame::Credit(worker.read)).await;
            }
        }
    }
}
