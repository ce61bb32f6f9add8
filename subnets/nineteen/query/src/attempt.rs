//! An attempt of a request at one miner: sends the request, reads the answer, and records the
//! outcome.

mod expected;
mod outcome;
mod received;
mod timing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use taonet_http::parse_value;
use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_core::sampling::is_reproducible;
use taonet_nineteen_store::Sample;
use taonet_service::unix_millis;
use tokio::time::{Instant, timeout};

use self::expected::ExpectedAnswer;
use self::outcome::AttemptOutcome;
use self::received::ReceivedAnswer;
use self::timing::AttemptTiming;
use crate::answer::Answer;
use crate::failure::{AttemptError, DisputedFailure, FailedAttempt, RequestTraits};
use crate::period_miners::Completion;
use crate::querier::Inner;
use crate::reading::ResponseReader;
use crate::slot::Slot;
use crate::{Chunk, Payload, Querier, Request, RequestKind};

/// Maximum size of an answer that is not streamed, in bytes.
const MAX_BODY_SIZE: usize = 16 << 20;

/// Result of opening an attempt: a response whose first chunk has arrived.
struct OpenedResponse {
    /// Unread part of the response; `None` at its end.
    stream: Option<ResponseReader>,
    chunks: VecDeque<Chunk>,
}

/// An attempt to get an answer from a contender. Dropping the attempt adds its outcome to the
/// contender's counters.
pub(crate) struct Attempt {
    inner: Arc<Inner>,
    slot: Slot,
    kind: RequestKind,
    expected: ExpectedAnswer,
    /// The request, if the answer is sampled for checking.
    sampled_request: Option<Payload>,
    received: ReceivedAnswer,
    timing: AttemptTiming,
    outcome: AttemptOutcome,
}

impl Attempt {
    /// Creates an attempt. All attempts of a request share `has_answer`.
    pub(crate) fn new(
        inner: &Arc<Inner>,
        request: &Request,
        slot: Slot,
        has_answer: &Arc<AtomicBool>,
    ) -> Self {
        inner.attempt_metrics.change_running(1.0);
        let is_sampled = slot.keeps_samples
            && is_reproducible(slot.task.endpoint, request.payload.shared_fields());
        Self {
            inner: Arc::clone(inner),
            kind: request.kind,
            expected: ExpectedAnswer::new(slot.task.task_type, &request.payload),
            sampled_request: is_sampled.then(|| request.payload.clone()),
            received: ReceivedAnswer::new(request, is_sampled),
            timing: AttemptTiming::begin(),
            outcome: AttemptOutcome::new(has_answer),
            slot,
        }
    }

    /// Returns a flag that is set when the first chunk arrives.
    pub(crate) fn first_chunk_flag(&self) -> Arc<AtomicBool> {
        self.timing.first_chunk_flag()
    }

    /// Sends the request and waits for the first chunk, or, of a collected request, for the
    /// complete answer. The answer must be complete by `deadline`.
    pub(crate) async fn start(
        mut self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, FailedAttempt> {
        let OpenedResponse { mut stream, mut chunks } = match self.open(request, deadline).await {
            Ok(opened_response) => opened_response,
            Err(error) => return Err(self.into_failure(error, request, deadline)),
        };
        while request.is_collected && stream.is_some() {
            if let Err(error) = self.read(&mut stream, &mut chunks).await {
                self.outcome.clear();
                return Err(self.into_failure(error, request, deadline));
            }
        }
        self.outcome.record_answer_returned();
        let contender = Arc::clone(&self.slot.contender);
        let attempt = stream.is_some().then_some(self);
        Ok(Answer::new(contender, chunks, stream, attempt))
    }

    /// Reads the next chunks into `chunks`. At the end of the answer, `stream` becomes `None`.
    pub(crate) async fn read(
        &mut self,
        stream: &mut Option<ResponseReader>,
        chunks: &mut VecDeque<Chunk>,
    ) -> Result<(), AttemptError> {
        let Some(reader) = stream.as_mut() else { return Ok(()) };
        if let Some(fault) = self.received.take_fault() {
            return Err(fault);
        }
        // If the buyer disconnects from here on, the attempt still counts as answered.
        self.outcome.set(self.answered_outcome());
        let chunk_timeout = reader.chunk_timeout;
        let bytes = reader.next(chunk_timeout, chunk_timeout, &mut self.timing.wait_time).await?;
        let is_done = self.received.push(bytes.as_deref(), chunks)?;
        self.outcome.set(self.answered_outcome());
        if is_done {
            *stream = None;
        }
        Ok(())
    }

    /// Records that the answer has ended early with this error. No other miner can try the request:
    /// if it may be the cause, the failure leaves the circuit breaker as it is.
    pub(crate) fn interrupt(&mut self, error: &AttemptError) {
        if self.kind == RequestKind::Organic && error.may_be_request_fault() {
            self.outcome.set_isolated(error.outcome());
        } else {
            self.outcome.set(error.outcome());
        }
    }

    /// Decides what the failure of an attempt counts as. At the request's `deadline`, it counts
    /// nothing: earlier attempts may have used up the time.
    fn into_failure(
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
        let is_silent = matches!(error, AttemptError::Silent(_));
        let is_slow_probe = self.slot.position.is_probe && is_silent;
        if is_rejected || is_slow_probe {
            self.slot.set_overloaded();
        }
        // Synthetic requests have no options that make them irreproducible.
        let has_options =
            !is_reproducible(self.slot.task.endpoint, request.payload.shared_fields());
        let is_late = Instant::now() >= deadline;
        let may_be_prompt_fault = is_silent && !is_late;
        let may_be_options_fault = has_options && error.may_be_options_fault();
        let may_be_request_fault = error.may_be_request_fault()
            || !is_slow_probe && (may_be_prompt_fault || may_be_options_fault);
        // A synthetic request is well-formed: only a buyer's request can be the cause of a failure.
        if is_organic && may_be_request_fault {
            self.outcome.dispute();
            let (contender, inner) = (Arc::clone(&self.slot.contender), Arc::clone(&self.inner));
            let traits = RequestTraits { has_images: request.has_images, has_options };
            let disputed = DisputedFailure::new(contender, inner, &error, &traits);
            return FailedAttempt { error, disputed: Some(disputed), is_excused: false, hotkey };
        }
        // The miner need not accept more requests than it has promised.
        let is_excused = is_slow_probe || is_rejected && !self.slot.must_accept();
        if !is_excused && !is_late {
            self.outcome.set(error.outcome());
        }
        FailedAttempt { error, disputed: None, is_excused, hotkey }
    }

    async fn open(
        &mut self,
        request: &Request,
        deadline: Instant,
    ) -> Result<OpenedResponse, AttemptError> {
        let task_timeout = Duration::from_secs_f64(self.slot.task.timeout.get());
        let (first_chunk_timeout, chunk_timeout) = Querier::timeouts(&self.inner, task_timeout);
        let start = Instant::now();
        let inner = Arc::clone(&self.inner);
        let (session, payload) = (self.slot.contender.session(), &request.payload);
        let path = self.slot.task.endpoint.path();
        let remaining_time = deadline.saturating_duration_since(start);
        // Marked synthetic requests would let a miner reject them and accept all of the buyers'
        // requests.
        let is_probe = self.slot.position.exceeds_promise && self.kind == RequestKind::Organic;
        let call = async {
            if is_probe {
                inner.client.send_probe(session, path, payload, remaining_time).await
            } else {
                inner.client.send(session, path, payload, remaining_time).await
            }
        };
        // The same timeout covers the response head and the first chunk.
        let response = timeout(first_chunk_timeout, call)
            .await
            .map_err(|_| AttemptError::Silent(first_chunk_timeout))??;
        // Check the status before reading the body, even if the response is a stream.
        if response.status.as_u16() != 200 {
            return Err(AttemptError::Status(response.status));
        }
        self.timing.wait_time = start.elapsed();
        let total_timeout = self.inner.deadlines.total_for(request.max_chunks);
        let mut reader = ResponseReader::new(response, chunk_timeout, total_timeout);
        if !self.slot.task.is_stream {
            let chunk = self.read_body(&mut reader, first_chunk_timeout).await?;
            self.begin_answer(start);
            return Ok(OpenedResponse { stream: None, chunks: VecDeque::from([chunk]) });
        }
        let mut chunks = VecDeque::new();
        loop {
            let remaining = first_chunk_timeout.saturating_sub(start.elapsed());
            let bytes =
                reader.next(remaining, first_chunk_timeout, &mut self.timing.wait_time).await?;
            let is_done = self.received.push(bytes.as_deref(), &mut chunks)?;
            if !chunks.is_empty() {
                self.begin_answer(start);
                return Ok(OpenedResponse { stream: (!is_done).then_some(reader), chunks });
            }
            if is_done && self.received.has_chunk() {
                // The model may write nothing, which any buyer can request.
                self.begin_answer(start);
                let finish = self.received.take_finish_chunk();
                return Ok(OpenedResponse { stream: None, chunks: finish.into_iter().collect() });
            }
            if is_done {
                return Err(AttemptError::Empty);
            }
        }
    }

    /// Reads an answer that is not streamed, and checks it.
    async fn read_body(
        &mut self,
        reader: &mut ResponseReader,
        first_chunk_timeout: Duration,
    ) -> Result<Chunk, AttemptError> {
        let mut body = Vec::new();
        loop {
            let remaining = first_chunk_timeout.saturating_sub(self.timing.wait_time);
            let Some(bytes) =
                reader.next(remaining, first_chunk_timeout, &mut self.timing.wait_time).await?
            else {
                break;
            };
            if body.len() + bytes.len() > MAX_BODY_SIZE {
                return Err(AttemptError::TooManyChunks);
            }
            body.extend_from_slice(&bytes);
        }
        let value =
            parse_value(&body).map_err(|_| AttemptError::InvalidBody("body is not JSON"))?;
        self.expected.check(&value)?;
        self.received.set_body(value, self.sampled_request.is_some().then_some(body))
    }

    /// Records the first chunk of an answer whose request was sent at the time `start`.
    fn begin_answer(&mut self, start: Instant) {
        let latency = start.elapsed().as_secs_f64();
        self.inner.attempt_metrics.record_first_chunk(latency);
        self.timing.set_first_chunk(latency);
        self.slot.begin_answer();
        self.outcome.set(self.answered_outcome());
    }

    /// Returns the outcome if the answer ends here.
    fn answered_outcome(&self) -> RequestOutcome {
        RequestOutcome::Answered { work: self.expected.work(self.received.characters()) }
    }

    /// Returns the sample of the answer; `None` if the answer is incomplete or not sampled.
    fn take_sample(&mut self) -> Option<Sample> {
        let (Some(RequestOutcome::Answered { work }), Some(request)) =
            (self.outcome.get(), self.sampled_request.take())
        else {
            return None;
        };
        // Any buyer can request an answer without text, which no check can compare with the model.
        if self.expected.is_text()
            && !self.received.has_content()
            && self.kind == RequestKind::Organic
        {
            return None;
        }
        let answer = self.received.take_json()?;
        Some(Sample {
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
            response_time: Some(self.timing.wait_time.as_secs_f64()),
            created_ms: unix_millis((self.inner.clock)()),
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.inner.attempt_metrics.change_running(-1.0);
        let now = self.inner.now();
        self.outcome.cancel_if_slower();
        let completion = Completion {
            outcome: self.outcome.get(),
            latency: self.timing.latency(self.outcome.is_cancelled()),
            now,
            skips_breaker: self.outcome.is_isolated(),
            skips_pause: self.slot.position.nth > 1,
            ..Completion::default()
        };
        self.slot.set_completion(completion);
        if !self.outcome.is_disputed() {
            self.inner.attempt_metrics.count(&self.slot.task.task, self.kind, self.outcome.get());
        }
        if let Some(sample) = self.take_sample() {
            self.inner.queue_sample(sample);
        }
    }
}
