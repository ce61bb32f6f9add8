//! Streams a miner's answer and records the outcome of the attempt.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use taonet_http::parse_value;
use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_core::sampling::is_reproducible;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_core::work::{embedding_work, image_work, text_work};
use taonet_nineteen_store::Sample;
use taonet_service::unix_time;
use tokio::time::{Instant, timeout};

use crate::embedding::ignored_dimensions;
use crate::failure::{AttemptError, DisputedFailure, FailedAttempt};
use crate::period_miners::Completion;
use crate::querier::Inner;
use crate::reading::ResponseReader;
use crate::slot::Slot;
use crate::sse::{Event, Events, MAX_DEPTH, StreamFault, depth};
use crate::tool_calls::CallNumbers;
use crate::{Chunk, ChunkBody, Payload, Querier, Request, RequestKind, TaskMiner};

/// Maximum size of an answer that is not streamed, in bytes.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Maximum number of events of a stream for each requested chunk: the parts of a character are
/// tokens without text.
const EVENTS_PER_CHUNK: usize = 5;

/// The answer was interrupted after its first chunk.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer was interrupted: {0}")]
pub struct Interrupted(pub(crate) String);

/// Result of opening an attempt: a response whose first chunk has arrived.
struct OpenedAttempt {
    /// Rest of the response; `None` at its end.
    stream: Option<ResponseReader>,
    ready: VecDeque<Chunk>,
}

/// An attempt to get an answer from a contender. Dropping the attempt adds its outcome to the
/// contender's counters.
pub(crate) struct Attempt {
    inner: Arc<Inner>,
    slot: Slot,
    kind: RequestKind,
    has_images: bool,
    task_type: TaskType,
    task_timeout: Duration,
    path: &'static str,
    steps: u32,
    /// Work of an embedding request, in tokens.
    embedded: f64,
    /// Requested number of dimensions of embeddings.
    dimensions: Option<u64>,
    /// The request, if the answer is sampled for checking.
    request: Option<Payload>,
    /// JSON array of the answer, if it is sampled and was not streamed.
    whole: Option<String>,
    events: Events,
    /// Parsed events that were not yet processed; empty between two reads.
    found: Vec<Event>,
    characters: usize,
    /// Number of chunks with content, at most `most`.
    pieces: usize,
    most: usize,
    /// Number of all events of the stream.
    received: usize,
    /// Whether a chunk of the answer has arrived, with content or not.
    has_chunk: bool,
    /// Last chunk with a finish reason before any content: the answer may have no text.
    finish: Option<Chunk>,
    calls: CallNumbers,
    /// Time spent waiting for the miner.
    waited: Duration,
    latency: Option<f64>,
    /// Set at the first chunk.
    has_first: Arc<AtomicBool>,
    /// Set once another attempt of the request has returned its answer; `None` once this one has.
    has_answer: Option<Arc<AtomicBool>>,
    began: Instant,
    /// Outcome of the attempt; `None` until the first chunk or an error. An attempt dropped before
    /// then was cancelled.
    outcome: Option<RequestOutcome>,
    /// Whether the attempt has failed for a reason that its [`DisputedFailure`] counts.
    is_disputed: bool,
}

impl Attempt {
    /// Creates an attempt. All attempts of a request share `has_answer`.
    pub(crate) fn new(
        inner: &Arc<Inner>,
        request: &Request,
        slot: Slot,
        has_answer: &Arc<AtomicBool>,
    ) -> Self {
        inner.measures.change_running(1.0);
        let steps = request.payload.get("steps").and_then(Value::as_u64).unwrap_or(1);
        let task = Arc::clone(&slot.task);
        let is_sampled =
            slot.keeps_samples && is_reproducible(task.endpoint, request.payload.shared());
        Self {
            inner: Arc::clone(inner),
            slot,
            kind: request.kind,
            has_images: request.has_images,
            task_type: task.task_type,
            task_timeout: Duration::from_secs_f64(task.timeout.get()),
            path: task.endpoint.path(),
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            embedded: embedding_work(request.payload.shared()),
            dimensions: request.payload.get("dimensions").and_then(Value::as_u64),
            request: is_sampled.then(|| request.payload.clone()),
            whole: None,
            events: Events::new(request.relays_logprobs, is_sampled),
            found: Vec::new(),
            characters: 0,
            pieces: 0,
            most: request.most_chunks,
            received: 0,
            has_chunk: false,
            finish: None,
            calls: CallNumbers::default(),
            waited: Duration::ZERO,
            latency: None,
            has_first: Arc::default(),
            has_answer: Some(Arc::clone(has_answer)),
            began: Instant::now(),
            outcome: None,
            is_disputed: false,
        }
    }

    /// Returns a flag that is set when the first chunk arrives.
    pub(crate) fn has_first(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_first)
    }

    /// Sends the request and waits for the first chunk, or, of a collected request, for the
    /// complete answer. The answer must be complete by `deadline`.
    pub(crate) async fn start(
        mut self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, FailedAttempt> {
        let OpenedAttempt { mut stream, mut ready } = match self.open(request, deadline).await {
            Ok(opened) => opened,
            Err(error) => return Err(self.failed(error, request, deadline)),
        };
        while request.is_collected && stream.is_some() {
            if let Err(error) = self.read(&mut stream, &mut ready).await {
                self.outcome = None;
                return Err(self.failed(error, request, deadline));
            }
        }
        if let Some(has_answer) = self.has_answer.take() {
            has_answer.store(true, Ordering::Relaxed);
        }
        let contender = Arc::clone(&self.slot.contender);
        let attempt = stream.is_some().then_some(self);
        Ok(Answer { stream, ready, contender, attempt })
    }

    /// Reads the next chunks into `ready`. At the end of the answer, `stream` becomes `None`.
    async fn read(
        &mut self,
        stream: &mut Option<ResponseReader>,
        ready: &mut VecDeque<Chunk>,
    ) -> Result<(), AttemptError> {
        let Some(reading) = stream.as_mut() else { return Ok(()) };
        // If the buyer disconnects from here on, the attempt still counts as answered.
        self.outcome = Some(self.answered());
        let between = reading.between;
        let piece = reading.next(between, between, &mut self.waited).await?;
        let done = self.take(piece.as_deref(), ready)?;
        self.outcome = Some(self.answered());
        if done {
            *stream = None;
        }
        Ok(())
    }

    /// Decides what the failure of an attempt counts as. At the request's `deadline`, it counts
    /// nothing: earlier attempts may have used up the time.
    fn failed(
        mut self,
        error: AttemptError,
        request: &Request,
        deadline: Instant,
    ) -> FailedAttempt {
        let is_organic = self.kind == RequestKind::Organic;
        let hotkey = self.slot.contender.offer.hotkey;
        // Miners queue the requests beyond their slots, or reject them with 429. Not with 503 or
        // 504: any buyer can send a prompt at which the model's server fails.
        let is_rejected = error.outcome() == RequestOutcome::RateLimited;
        let is_slow_probe = self.slot.position.is_probe && matches!(error, AttemptError::Silent(_));
        if is_rejected || is_slow_probe {
            self.slot.set_overloaded();
        }
        // Tests have no options that make a request irreproducible.
        let has_options = !is_reproducible(self.slot.task.endpoint, request.payload.shared());
        let may_be_the_requests = error.may_be_the_requests()
            || has_options && !is_slow_probe && error.may_be_the_options();
        // A test is well-formed: only a buyer's request can be the cause of a failure.
        if is_organic && may_be_the_requests {
            self.is_disputed = true;
            let (contender, inner) = (Arc::clone(&self.slot.contender), Arc::clone(&self.inner));
            let disputed = DisputedFailure::new(contender, inner, &error, self.has_images);
            return FailedAttempt { error, disputed: Some(disputed), is_excused: false, hotkey };
        }
        // The miner need not accept more requests than it has promised.
        let is_excused = is_slow_probe || is_rejected && !self.slot.must_accept();
        if !is_excused && Instant::now() < deadline {
            self.outcome = Some(error.outcome());
        }
        FailedAttempt { error, disputed: None, is_excused, hotkey }
    }

    async fn open(
        &mut self,
        request: &Request,
        deadline: Instant,
    ) -> Result<OpenedAttempt, AttemptError> {
        let (first, between) = Querier::timeouts(&self.inner, self.task_timeout);
        let began = Instant::now();
        let inner = Arc::clone(&self.inner);
        let (session, payload) = (self.slot.contender.session(), &request.payload);
        let longest = deadline.saturating_duration_since(began);
        // Marked tests would let a miner reject them and accept all of the buyers' requests.
        let is_marked = self.slot.position.exceeds_promise && self.kind == RequestKind::Organic;
        let call = async {
            if is_marked {
                inner.client.send_probe(session, self.path, payload, longest).await
            } else {
                inner.client.send(session, self.path, payload, longest).await
            }
        };
        // The same timeout covers the response head and the first chunk.
        let answer = timeout(first, call).await.map_err(|_| AttemptError::Silent(first))??;
        // Check the status before reading the body, even if the response is a stream.
        if answer.status.as_u16() != 200 {
            return Err(AttemptError::Status(answer.status));
        }
        self.waited = began.elapsed();
        let mut reading =
            ResponseReader::new(answer, between, self.inner.deadlines.total_of(self.most));
        if !self.slot.task.is_stream {
            let chunk = self.read_whole(&mut reading, first).await?;
            self.note_first(began);
            self.outcome = Some(self.answered());
            return Ok(OpenedAttempt { stream: None, ready: VecDeque::from([chunk]) });
        }
        let mut ready = VecDeque::new();
        loop {
            let remaining = first.saturating_sub(began.elapsed());
            let piece = reading.next(remaining, first, &mut self.waited).await?;
            let done = self.take(piece.as_deref(), &mut ready)?;
            if !ready.is_empty() {
                self.note_first(began);
                self.outcome = Some(self.answered());
                return Ok(OpenedAttempt { stream: (!done).then_some(reading), ready });
            }
            if done && self.has_chunk {
                // The model may write nothing, which any buyer can request.
                self.note_first(began);
                self.outcome = Some(self.answered());
                return Ok(OpenedAttempt {
                    stream: None,
                    ready: self.finish.take().into_iter().collect(),
                });
            }
            if done {
                return Err(AttemptError::Empty);
            }
        }
    }

    async fn read_whole(
        &mut self,
        reading: &mut ResponseReader,
        first: Duration,
    ) -> Result<Chunk, AttemptError> {
        let mut body = Vec::new();
        loop {
            let remaining = first.saturating_sub(self.waited);
            let Some(bytes) = reading.next(remaining, first, &mut self.waited).await? else {
                break;
            };
            if body.len() + bytes.len() > MAX_ANSWER_BYTES {
                return Err(AttemptError::TooMany);
            }
            body.extend_from_slice(&bytes);
        }
        let value = parse_value(&body).map_err(|_| AttemptError::Whole("body is not JSON"))?;
        let text = |name: &str| {
            value.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        let is_valid = match self.task_type {
            TaskType::Image => {
                text("image_b64") || value.get("is_nsfw") == Some(&Value::Bool(true))
            }
            TaskType::Embedding => {
                value.get("data").and_then(Value::as_array).is_some_and(|data| !data.is_empty())
            }
            TaskType::Text => value
                .get("choices")
                .and_then(Value::as_array)
                .is_some_and(|choices| !choices.is_empty()),
        };
        if !is_valid {
            return Err(AttemptError::Whole("no image, embedding or choice"));
        }
        let dimensions = self.dimensions.filter(|_| self.task_type == TaskType::Embedding);
        if let Some(width) = dimensions.and_then(|requested| ignored_dimensions(&value, requested))
        {
            return Err(AttemptError::Dimensions(width));
        }
        let message =
            value.pointer("/choices/0/message/content").or(value.pointer("/choices/0/text"));
        self.characters = message.and_then(Value::as_str).map_or(0, |text| text.chars().count());
        if self.request.is_some() {
            if depth(&value) > MAX_DEPTH {
                return Err(StreamFault::TooDeep.into());
            }
            // JSON is UTF-8, as the parser has verified.
            let text =
                String::from_utf8(body).map_err(|_| AttemptError::Whole("body is not JSON"))?;
            self.whole = Some(format!("[{text}]"));
        }
        self.pieces = 1;
        Ok(Chunk {
            body: ChunkBody::Object(value),
            characters: self.characters,
            entries: 0,
            is_content: true,
        })
    }

    /// Processes the next bytes of the stream, or its end; returns whether the answer is complete.
    fn take(
        &mut self,
        bytes: Option<&[u8]>,
        ready: &mut VecDeque<Chunk>,
    ) -> Result<bool, AttemptError> {
        let mut found = std::mem::take(&mut self.found);
        self.events.push(bytes, &mut found)?;
        let mut done = bytes.is_none();
        for event in found.drain(..) {
            done |= self.take_event(event, ready)?;
        }
        self.found = found;
        Ok(done)
    }

    /// Processes an event and returns whether it is the last.
    fn take_event(
        &mut self,
        event: Event,
        ready: &mut VecDeque<Chunk>,
    ) -> Result<bool, AttemptError> {
        let chunk = match event {
            Event::Done => return Ok(true),
            Event::Text(chunk) => chunk,
            Event::Object(value) => {
                let mut chunk = Chunk::streamed(value)?;
                self.calls.write(&mut chunk);
                chunk
            }
        };
        self.received += 1;
        self.pieces += usize::from(chunk.is_content);
        if self.pieces > self.most || self.received > self.most.saturating_mul(EVENTS_PER_CHUNK) {
            return Err(AttemptError::TooMany);
        }
        self.characters += chunk.characters;
        self.has_chunk |= matches!(chunk.body, ChunkBody::Text(_)) || chunk.choice().is_some();
        // Chunks before the first content are not relayed, because another miner may still answer
        // instead.
        if self.pieces > 0 {
            ready.push_back(chunk);
        } else if chunk.finish_reason().is_some() {
            self.finish = Some(chunk);
        }
        Ok(false)
    }

    fn note_first(&mut self, began: Instant) {
        let latency = began.elapsed().as_secs_f64();
        self.inner.measures.record_first_chunk(latency);
        self.has_first.store(true, Ordering::Relaxed);
        self.latency = Some(latency);
        self.slot.begin_answer();
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
        self.inner.measures.change_running(-1.0);
        let now = self.inner.now();
        // A hedged attempt that has begun a collected answer, but was slower than the other one, is
        // cancelled.
        if self.has_answer.as_ref().is_some_and(|has_answer| has_answer.load(Ordering::Relaxed)) {
            self.outcome = None;
        }
        // A cancelled attempt is not counted, but its age is a lower bound of the miner's latency.
        let is_cancelled = self.outcome.is_none() && !self.is_disputed;
        let slow = is_cancelled.then(|| self.began.elapsed().as_secs_f64());
        let completion = Completion {
            outcome: self.outcome,
            latency: self.latency.or(slow),
            now,
            spares_pause: self.slot.position.nth > 1,
            ..Completion::default()
        };
        self.slot.end(completion);
        if !self.is_disputed {
            self.inner.measures.count(&self.slot.task.task, self.kind, self.outcome);
        }
        let (Some(RequestOutcome::Answered { work }), Some(request)) =
            (self.outcome, self.request.take())
        else {
            return;
        };
        // Any buyer can request an answer without text, which no check can compare with the model.
        if self.task_type == TaskType::Text && self.pieces == 0 && self.kind == RequestKind::Organic
        {
            return;
        }
        let Some(answer) = self.whole.take().or_else(|| self.events.take_kept()) else { return };
        let created = unix_time((self.inner.clock)()).as_millis();
        self.inner.keep(Sample {
            job_id: uuid::Uuid::new_v4().simple().to_string(),
            period: self.slot.period_miners.period,
            task: self.slot.contender.offer.task.clone(),
            hotkey: self.slot.contender.offer.hotkey,
            uid: self.slot.contender.offer.uid,
            synthetic: self.kind == RequestKind::Synthetic,
            // A map with text keys cannot fail.
            request: serde_json::to_string(&request).unwrap_or_default(),
            answer,
            work,
            response_time: Some(self.waited.as_secs_f64()),
            created_ms: i64::try_from(created).unwrap_or(i64::MAX),
        });
    }
}

/// A miner's answer as a stream of chunks. Dropping it closes the connection, which cancels the
/// miner's work.
pub struct Answer {
    stream: Option<ResponseReader>,
    ready: VecDeque<Chunk>,
    contender: Arc<TaskMiner>,
    /// `None` once the miner has sent the complete answer: its slot is free, even if the answer has
    /// not been read.
    attempt: Option<Attempt>,
}

impl Answer {
    /// Returns the contender that sends the answer.
    pub fn contender(&self) -> &Arc<TaskMiner> {
        &self.contender
    }

    /// Returns the next chunk; `None` at the end. Reads the connection only when no chunk is
    /// buffered.
    ///
    /// # Errors
    /// [`Interrupted`] when the answer ends early; no further chunk follows.
    pub async fn next(&mut self) -> Option<Result<Chunk, Interrupted>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            let attempt = self.attempt.as_mut()?;
            if let Err(error) = attempt.read(&mut self.stream, &mut self.ready).await {
                attempt.outcome = Some(error.outcome());
                (self.stream, self.attempt) = (None, None);
                self.ready.clear();
                return Some(Err(Interrupted(error.to_string())));
            }
            if self.stream.is_none() {
                self.attempt = None;
            }
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("contender", &self.contender.offer)
            .field("has_ended", &self.attempt.is_none())
            .finish_non_exhaustive()
    }
}
