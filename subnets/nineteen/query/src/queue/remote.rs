//! Entry process: sends requests to query workers, and receives their answers.

use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::frame::{Frame, FrameAssembler, InboundMessage, Outbox};
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
            first_chunk: None,
            latest_frame: None,
            has_ended: false,
        };
        loop {
            let max_silence =
                if answer.worker.is_some() { FIRST_MESSAGE_TIMEOUT } else { ACCEPT_TIMEOUT };
            match answer.receive(max_silence).await {
                Ok(RemoteEvent::Take(worker_inbox)) => {
                    metrics::record_job_taken(start.elapsed().as_secs_f64());
                    answer.assign_worker(worker_inbox, job_request.clone()).await;
                }
                Ok(RemoteEvent::Chunk(chunk)) => {
                    answer.first_chunk = Some(chunk);
                    return Ok(answer);
                }
                Ok(RemoteEvent::Failed(error)) => return Err(error),
                Err(_) if answer.worker.is_none() => return Err(QueryError::NoWorker(task)),
                Err(Interrupted(last)) => return Err(interrupted_query(last)),
                // The answer has no text.
                Ok(RemoteEvent::End) => {
                    answer.has_ended = true;
                    return Ok(answer);
                }
            }
        }
    }
}

fn interrupted_query(last: String) -> QueryError {
    QueryError::Failed {
        attempts: Attempts { limited: 0, failed: 1 },
        last,
        rejection_status: None,
        is_disputed: false,
    }
}

fn parse_frame<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Interrupted> {
    serde_json::from_slice(bytes)
        .map_err(|_| Interrupted("malformed frame from a query worker: versions differ".to_owned()))
}

enum RemoteEvent {
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
    first_chunk: Option<Chunk>,
    /// The latest complete frame, stored until it is returned, so that dropping the future of
    /// [`Self::next`] loses no frame.
    latest_frame: Option<Frame>,
    has_ended: bool,
}

/// Connection to the worker that answers.
#[derive(Debug)]
struct WorkerConnection {
    outbox: Outbox,
    assembler: FrameAssembler,
    /// Number of the answer's frames read so far; `frames_credited` is the number last sent to the
    /// worker.
    frames_read: u64,
    frames_credited: u64,
}

impl RemoteAnswer {
    /// Returns the next chunk; `None` at the end. The worker is at most 64 chunks ahead of this
    /// reader.
    ///
    /// # Errors
    /// [`Interrupted`] when the answer is incomplete; no further chunk follows.
    pub async fn next(&mut self) -> Option<Result<Chunk, Interrupted>> {
        if let Some(chunk) = self.first_chunk.take() {
            return Some(Ok(chunk));
        }
        while !self.has_ended {
            match self.receive(SILENCE_TIMEOUT).await {
                Ok(RemoteEvent::Chunk(chunk)) => return Some(Ok(chunk)),
                // JetStream has redelivered the job, but a worker already answers it.
                Ok(RemoteEvent::Take(worker_inbox)) => self.decline(worker_inbox).await,
                Ok(RemoteEvent::End) => self.has_ended = true,
                Ok(RemoteEvent::Failed(error)) => {
                    return Some(Err(self.interrupted(error.to_string())));
                }
                Err(Interrupted(reason)) => return Some(Err(self.interrupted(reason))),
            }
        }
        None
    }

    fn interrupted(&mut self, reason: String) -> Interrupted {
        self.has_ended = true;
        Interrupted(reason)
    }

    /// Sends the request to a worker. An earlier worker of the request is considered dead and
    /// receives [`Frame::End`].
    async fn assign_worker(&mut self, worker_inbox: String, job_request: Vec<u8>) {
        let mut outbox = Outbox::new(self.client.clone(), worker_inbox, self.own_inbox.clone());
        outbox.send_document(job_request).await;
        let connection = WorkerConnection {
            outbox,
            assembler: FrameAssembler::default(),
            frames_read: 0,
            frames_credited: 0,
        };
        let previous_worker = self.worker.replace(connection);
        self.latest_frame = None;
        if let Some(WorkerConnection { mut outbox, .. }) = previous_worker {
            metrics::record_lost_worker();
            outbox.send(Frame::End).await;
        }
        if let Some(worker) = &mut self.worker {
            // The worker's frame `Take` had the number 0.
            let _ = worker.assembler.push(0, Frame::Take);
        }
    }

    async fn decline(&self, worker_inbox: String) {
        Outbox::new(self.client.clone(), worker_inbox, self.own_inbox.clone())
            .send(Frame::End)
            .await;
    }

    /// Waits for the next event from the current worker, or for a worker that takes the job.
    async fn receive(&mut self, max_silence: Duration) -> Result<RemoteEvent, Interrupted> {
        loop {
            match self.latest_frame.take() {
                Some(Frame::Last(bytes)) => {
                    return Ok(RemoteEvent::Chunk(parse_frame(&bytes)?));
                }
                Some(Frame::End) => return Ok(RemoteEvent::End),
                Some(Frame::Failed(error)) => {
                    return Ok(RemoteEvent::Failed(parse_frame(&error)?));
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
            let (Some(InboundMessage::Frame(number, frame)), Some(sender)) =
                (InboundMessage::parse(&message), &message.reply)
            else {
                continue;
            };
            if frame == Frame::Take {
                return Ok(RemoteEvent::Take(sender.to_string()));
            }
            let Some(worker) =
                self.worker.as_mut().filter(|worker| worker.outbox.recipient() == sender.as_str())
            else {
                continue;
            };
            let is_alive = frame == Frame::Alive;
            worker.frames_read += u64::from(matches!(frame, Frame::Part(_) | Frame::Last(_)));
            self.latest_frame = worker
                .assembler
                .push(number, frame)
                .map_err(|error| Interrupted(error.to_string()))?;
            // A lost credit is sent again after the worker's next heartbeat.
            if is_alive || worker.frames_read >= worker.frames_credited + MAX_UNREAD_CHUNKS / 2 {
                worker.frames_credited = worker.frames_read;
                worker.outbox.send(Frame::Credit(worker.frames_read)).await;
            }
        }
    }
}
