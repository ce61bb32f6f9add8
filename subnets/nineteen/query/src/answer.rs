//! Streaming of a miner's answer, and accounting of its outcome.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use serde_json::Value;
use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_core::work::{embedding_work, image_work, text_work};
use taonet_nineteen_store::Sample;
use taonet_service::unix_time;
use taonet_wire::{AnswerStream, CallError};
use tokio::time::timeout;

use crate::chunk::ChunkFault;
use crate::querier::Inner;
use crate::sse::{Event, Events, StreamFault};
use crate::{Chunk, Contender, Querier, Request, RequestKind, Roster, TaskFloor, measures};

/// Maximum size of an answer that is not streamed, in bytes.
const LARGEST: usize = 16 << 20;

/// Why an attempt at a miner failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("miner answered {0}")]
    Status(StatusCode),
    #[error("miner sent nothing for {0:?}")]
    Silent(Duration),
    #[error("miner's answer took longer than {0:?}")]
    TooLong(Duration),
    #[error("miner's answer has more chunks than requested")]
    TooMany,
    #[error("miner's answer is malformed: {0}")]
    Stream(#[from] StreamFault),
    #[error("miner's answer is malformed: {0}")]
    Chunk(#[from] ChunkFault),
    #[error("miner's answer is malformed: {0}")]
    Whole(&'static str),
    #[error("miner's answer is empty")]
    Empty,
}

impl AttemptError {
    /// Returns the outcome to count.
    pub(crate) fn outcome(&self) -> RequestOutcome {
        match self {
            Self::Status(status) if status.as_u16() == 429 => RequestOutcome::RateLimited,
            _ => RequestOutcome::Failed,
        }
    }
}

/// The answer was interrupted after its first chunk.
#[derive(Debug, thiserror::Error)]
#[error("the answer was interrupted: {0}")]
pub struct Interrupted(String);

/// State of an attempt after its first chunk.
struct Opened {
    /// The rest of the response.
    stream: Option<Reading>,
    events: Events,
    ready: VecDeque<Chunk>,
}

/// A request attempt at a contender. Dropping it counts the outcome.
pub(crate) struct Attempt {
    inner: Arc<Inner>,
    contender: Arc<Contender>,
    kind: RequestKind,
    roster: Arc<Roster>,
    task_type: TaskType,
    task_timeout: Duration,
    path: &'static str,
    streams: bool,
    steps: u32,
    /// Work of an embedding task.
    embedded: f64,
    request: Option<String>,
    chunks: Vec<Value>,
    characters: usize,
    pieces: usize,
    most: usize,
    /// Time spent waiting for the miner.
    waited: Duration,
    latency: Option<f64>,
    began: Instant,
    /// `None` until the first chunk or an error; an attempt dropped before then was cancelled.
    outcome: Option<RequestOutcome>,
    job_id: String,
}

impl Attempt {
    pub(crate) fn new(
        inner: &Arc<Inner>,
        roster: &Arc<Roster>,
        floor: &TaskFloor,
        request: &Request,
        contender: Arc<Contender>,
    ) -> Self {
        measures::running(1.0);
        let steps = request.payload.get("steps").and_then(Value::as_u64).unwrap_or(1);
        let payload = || Value::Object(request.payload.clone()).to_string();
        Self {
            inner: Arc::clone(inner),
            contender,
            kind: request.kind,
            roster: Arc::clone(roster),
            task_type: floor.task.task_type,
            task_timeout: Duration::from_secs_f64(floor.task.timeout.get()),
            path: floor.task.endpoint.path(),
            streams: floor.task.is_stream,
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            embedded: embedding_work(&request.payload),
            request: floor.keeps_samples().then(payload),
            chunks: Vec::new(),
            characters: 0,
            pieces: 0,
            most: request.most_chunks,
            waited: Duration::ZERO,
            latency: None,
            began: Instant::now(),
            outcome: None,
            job_id: uuid::Uuid::new_v4().simple().to_string(),
        }
    }

    /// Sends the request and waits for the first chunk.
    pub(crate) async fn start(mut self, request: &Request) -> Result<Answer, AttemptError> {
        match self.open(request).await {
            Ok(Opened { stream, events, ready }) => {
                let ended = stream.is_none();
                Ok(Answer { stream, events, ready, ended, attempt: self })
            }
            Err(error) => {
                self.outcome = Some(error.outcome());
                Err(error)
            }
        }
    }

    async fn open(&mut self, request: &Request) -> Result<Opened, AttemptError> {
        let (first, between) = Querier::timeouts(&self.inner, self.task_timeout);
        let began = Instant::now();
        let inner = Arc::clone(&self.inner);
        let call = inner.client.send(
            self.contender.session(),
            self.path,
            request.payload.clone(),
            self.inner.deadlines.longest,
        );
        // The wait for the first chunk uses what is left of the same timeout.
        let answer = timeout(first, call).await.map_err(|_| AttemptError::Silent(first))??;
        // Check the status before the body, also of streams.
        if answer.status.as_u16() != 200 {
            return Err(AttemptError::Status(answer.status));
        }
        self.waited = began.elapsed();
        let mut reading = Reading { answer, between, total: self.inner.deadlines.total };
        if !self.streams {
            let chunk = self.read_whole(&mut reading, first).await?;
            self.note_first(began);
            self.outcome = Some(self.answered());
            return Ok(Opened { stream: None, events: Events::default(), ready: VecDeque::from([chunk]) });
        }
        let (mut events, mut found) = (Events::default(), VecDeque::new());
        loop {
            let left = first.saturating_sub(began.elapsed());
            let piece = reading.next(left, first, &mut self.waited).await?;
            let ended = piece.is_none();
            match piece {
                Some(bytes) => events.push(&bytes, &mut found)?,
                None => found.extend(events.finish()?),
            }
            let mut ready = VecDeque::new();
            let mut done = ended;
            for event in found.drain(..) {
                done |= self.take(event, &mut ready)?;
            }
            if !ready.is_empty() {
                self.note_first(began);
                self.outcome = Some(self.answered());
                return Ok(Opened { stream: (!done).then_some(reading), events, ready });
            }
            if done {
                return Err(AttemptError::Empty);
            }
        }
    }

    async fn read_whole(&mut self, reading: &mut Reading, first: Duration) -> Result<Chunk, AttemptError> {
        let mut body = Vec::new();
        loop {
            let left = first.saturating_sub(self.waited);
            let Some(bytes) = reading.next(left, first, &mut self.waited).await? else { break };
            if body.len() + bytes.len() > LARGEST {
                return Err(AttemptError::TooMany);
            }
            body.extend_from_slice(&bytes);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| AttemptError::Whole("body is not JSON"))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let is_valid = match self.task_type {
            TaskType::Image => text("image_b64") || value.get("is_nsfw") == Some(&Value::Bool(true)),
            TaskType::Embedding => value.get("data").and_then(Value::as_array).is_some_and(|data| !data.is_empty()),
            TaskType::Text => value.get("choices").and_then(Value::as_array).is_some_and(|found| !found.is_empty()),
        };
        if !is_valid {
            return Err(AttemptError::Whole("the answer's field is missing"));
        }
        let message = value.pointer("/choices/0/message/content").or(value.pointer("/choices/0/text"));
        self.characters = message.and_then(Value::as_str).map_or(0, |text| text.chars().count());
        if self.request.is_some() {
            self.chunks.push(value.clone());
        }
        self.pieces = 1;
        Ok(Chunk { value, characters: self.characters, is_content: true })
    }

    /// Processes an event and returns whether it is the last.
    fn take(&mut self, event: Event, ready: &mut VecDeque<Chunk>) -> Result<bool, AttemptError> {
        let value = match event {
            Event::Done => return Ok(true),
            Event::Object(value) => value,
        };
        let chunk = Chunk::streamed(value)?;
        if chunk.is_content {
            self.pieces += 1;
            if self.pieces > self.most {
                return Err(AttemptError::TooMany);
            }
        }
        self.characters += chunk.characters;
        if self.request.is_some() {
            self.chunks.push(chunk.value.clone());
        }
        // Chunks before the first content are not relayed: another miner may still answer.
        if chunk.is_content || self.pieces > 0 {
            ready.push_back(chunk);
        }
        Ok(false)
    }

    fn note_first(&mut self, began: Instant) {
        let latency = began.elapsed().as_secs_f64();
        measures::first_chunk(latency);
        self.latency = Some(latency);
    }

    fn answered(&self) -> RequestOutcome {
        let work = match self.task_type {
            TaskType::Image => image_work(self.steps),
            TaskType::Text => text_work(self.characters),
            TaskType::Embedding => self.embedded,
        };
        RequestOutcome::Answered { work }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        measures::running(-1.0);
        let now = self.inner.now();
        // A cancelled attempt is not counted, but its age is a lower bound of the miner's latency.
        let slow = self.outcome.is_none().then(|| self.began.elapsed().as_secs_f64());
        self.contender.leave(self.outcome, self.latency.or(slow), now);
        measures::outcome(self.contender.offer.task.as_str(), self.kind.as_str(), self.outcome);
        let (Some(RequestOutcome::Answered { work }), Some(request)) = (self.outcome, self.request.take()) else {
            return;
        };
        if self.chunks.is_empty() {
            return;
        }
        let created = unix_time((self.inner.clock)()).as_millis();
        self.inner.keep(Sample {
            job_id: std::mem::take(&mut self.job_id),
            period: self.roster.period,
            task: self.contender.offer.task.clone(),
            hotkey: self.contender.offer.hotkey,
            uid: self.contender.offer.uid,
            synthetic: self.kind == RequestKind::Synthetic,
            request,
            answer: Value::Array(std::mem::take(&mut self.chunks)).to_string(),
            work,
            response_time: Some(self.waited.as_secs_f64()),
            created_ms: i64::try_from(created).unwrap_or(i64::MAX),
        });
    }
}

/// A miner's response with its timeouts.
struct Reading {
    answer: AnswerStream,
    between: Duration,
    total: Duration,
}

impl Reading {
    /// Reads the next bytes within a timeout and the rest of the total time. Only time spent waiting counts.
    async fn next(
        &mut self,
        within: Duration,
        named: Duration,
        waited: &mut Duration,
    ) -> Result<Option<Bytes>, AttemptError> {
        let left = self.total.saturating_sub(*waited);
        let began = Instant::now();
        let piece = timeout(within.min(left), self.answer.next()).await;
        *waited += began.elapsed();
        match piece {
            Ok(piece) => Ok(piece.transpose()?),
            Err(_) if left <= within => Err(AttemptError::TooLong(self.total)),
            Err(_) => Err(AttemptError::Silent(named)),
        }
    }
}

/// A streaming answer. Dropping it closes the connection, which cancels the miner's work.
pub struct Answer {
    stream: Option<Reading>,
    events: Events,
    ready: VecDeque<Chunk>,
    ended: bool,
    attempt: Attempt,
}

impl Answer {
    /// Returns the miner that answers.
    pub fn contender(&self) -> &Arc<Contender> {
        &self.attempt.contender
    }

    /// Returns the id of the attempt.
    pub fn job_id(&self) -> &str {
        &self.attempt.job_id
    }

    /// Returns the number of content chunks so far: tokens, if the miner sends one token per chunk.
    pub fn pieces(&self) -> usize {
        self.attempt.pieces
    }

    /// Returns the next chunk; `None` at the end. The connection is read on demand only.
    ///
    /// # Errors
    /// [`Interrupted`] when the answer is incomplete; no further chunk follows.
    pub async fn next(&mut self) -> Option<Result<Chunk, Interrupted>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read().await {
                self.ended = true;
                self.stream = None;
                self.attempt.outcome = Some(error.outcome());
                return Some(Err(Interrupted(error.to_string())));
            }
        }
    }

    async fn read(&mut self) -> Result<(), AttemptError> {
        let Some(stream) = self.stream.as_mut() else {
            self.ended = true;
            return Ok(());
        };
        // A buyer that disconnects from here on has had a valid answer so far.
        self.attempt.outcome = Some(self.attempt.answered());
        let piece = stream.next(stream.between, stream.between, &mut self.attempt.waited).await?;
        let (mut found, mut done) = (Vec::new(), piece.is_none());
        match piece {
            Some(bytes) => self.events.push(&bytes, &mut found)?,
            None => found.extend(self.events.finish()?),
        }
        for event in found {
            done |= self.attempt.take(event, &mut self.ready)?;
        }
        self.attempt.outcome = Some(self.attempt.answered());
        if done {
            self.ended = true;
            self.stream = None;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("job_id", &self.attempt.job_id)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
