//! Continuous batching: concurrent answers share one cache of keys and values and each pass over
//! the weights. An answer joins the batch as soon as the cache has space for it and leaves it as
//! soon as it ends, without waiting for the others.
//!
//! Most of a token's time is spent reading the weights from memory, so 16 tokens in one pass take
//! little longer than one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use tokio::sync::mpsc;

use crate::generate::Sampler;
use crate::paged::{PagedCache, Pages, Row};
use crate::{FinishReason, LanguageModel, ModelError, Sampling, Step};

/// Maximum number of prompt tokens in one pass, which all prompts share. Longer prompts are split,
/// so that other answers progress in between.
const MAX_PROMPT_TOKENS: usize = 256;
/// Maximum number of buffered events per answer. A full buffer pauses only its own answer.
const EVENT_BUFFER: usize = 16;
/// Poll interval while a slow client's full buffer pauses an answer.
const BACKPRESSURE_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Settings of an [`Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// Maximum number of concurrent answers; further ones are queued.
    pub streams: usize,
    /// Capacity of the cache in tokens, for all answers together.
    pub cache_tokens: usize,
    /// Minimum time per token of an answer, to simulate slower machines.
    pub pace: Duration,
}

impl Default for EngineSettings {
    /// Returns the defaults: 16 concurrent answers, 32 768 tokens in the cache, no minimum time per
    /// token.
    fn default() -> Self {
        Self { streams: 16, cache_tokens: 32_768, pace: Duration::ZERO }
    }
}

/// An event of an answer in progress.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// A generated token.
    Step(Step),
    /// The answer ended.
    End(FinishReason),
    /// The model failed; no further event follows.
    Failed,
}

/// Why an engine rejects a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The prompt is empty, too long, or has tokens outside the vocabulary.
    #[error(transparent)]
    Prompt(#[from] ModelError),
    /// The engine has stopped.
    #[error("the model has stopped")]
    Stopped,
}

/// A model on its own thread that generates many answers concurrently. The thread ends when the
/// last clone is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    model: Arc<LanguageModel>,
    jobs: Sender<Job>,
    cache_tokens: usize,
}

struct Job {
    prompt: Vec<u32>,
    sampling: Sampling,
    events: mpsc::Sender<EngineEvent>,
}

impl Engine {
    /// Starts the engine's thread.
    ///
    /// # Errors
    /// When the thread cannot be spawned.
    pub fn start(model: Arc<LanguageModel>, settings: EngineSettings) -> std::io::Result<Self> {
        let (jobs, job_receiver) = channel();
        let cache_tokens = settings
            .cache_tokens
            .min(model.llama().config().context.saturating_mul(settings.streams));
        let settings = EngineSettings { cache_tokens, ..settings };
        let engine_model = Arc::clone(&model);
        std::thread::Builder::new().name("language model".to_owned()).spawn(move || {
            let cache = PagedCache::new(engine_model.llama(), cache_tokens);
            Batch::new(&engine_model, cache, settings, job_receiver).run();
        })?;
        Ok(Self { model, jobs, cache_tokens })
    }

    /// Submits a prompt and returns the events of its answer. Dropping the receiver cancels the
    /// answer.
    ///
    /// # Errors
    /// [`SubmitError`] when the prompt is invalid or the engine has stopped.
    pub fn submit(
        &self,
        prompt: Vec<u32>,
        sampling: Sampling,
    ) -> Result<mpsc::Receiver<EngineEvent>, SubmitError> {
        let config = self.model.llama().config();
        let max_length = config.context.min(self.cache_tokens);
        if prompt.len() + sampling.max_tokens.min(1) > max_length {
            return Err(ModelError::TooLong { tokens: prompt.len(), context: max_length }.into());
        }
        if prompt.is_empty() || prompt.iter().any(|token| *token as usize >= config.vocabulary) {
            return Err(ModelError::Tokens.into());
        }
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        self.jobs.send(Job { prompt, sampling, events }).map_err(|_| SubmitError::Stopped)?;
        Ok(receiver)
    }
}

/// An answer in progress.
struct Stream {
    /// Tokens that the model has not processed yet: the rest of the prompt, or the last token.
    pending: VecDeque<u32>,
    /// Number of tokens that the model has processed.
    processed_tokens: usize,
    /// Number of tokens for which cache pages are reserved.
    reserved_tokens: usize,
    sampler: Sampler,
    pages: Pages,
    events: mpsc::Sender<EngineEvent>,
    /// Earliest time of the next token.
    next_token_at: Instant,
}

struct Batch<'a> {
    model: &'a LanguageModel,
    cache: PagedCache,
    settings: EngineSettings,
    job_receiver: Receiver<Job>,
    pending_jobs: VecDeque<Job>,
    streams: Vec<Stream>,
}

impl<'a> Batch<'a> {
    const fn new(
        model: &'a LanguageModel,
        cache: PagedCache,
        settings: EngineSettings,
        job_receiver: Receiver<Job>,
    ) -> Self {
        Self {
            model,
            cache,
            settings,
            job_receiver,
            pending_jobs: VecDeque::new(),
            streams: Vec::new(),
        }
    }

    fn run(mut self) {
        let mut wait_limit = None;
        while self.receive(wait_limit) {
            self.drop_closed();
            self.admit();
            wait_limit = self.step_batch();
        }
    }

    /// Receives new jobs; waits for a job while idle, or at most `wait_limit`. Returns `false` when
    /// the engine is idle and all handles are dropped.
    fn receive(&mut self, wait_limit: Option<Duration>) -> bool {
        let is_idle = self.streams.is_empty() && self.pending_jobs.is_empty();
        let first = match wait_limit {
            _ if is_idle => self.job_receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait_limit) => self.job_receiver.recv_timeout(wait_limit),
            None => self.job_receiver.try_recv().map_err(|_| RecvTimeoutError::Timeout),
        };
        match first {
            Ok(job) => self.pending_jobs.push_back(job),
            Err(RecvTimeoutError::Disconnected) if is_idle => return false,
            // All handles are dropped; answers in progress are still completed.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait_limit.unwrap_or_default());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        self.pending_jobs.extend(self.job_receiver.try_iter());
        true
    }

    fn drop_closed(&mut self) {
        self.pending_jobs.retain(|job| !job.events.is_closed());
        for index in (0..self.streams.len()).rev() {
            if self.streams.get(index).is_some_and(|stream| stream.events.is_closed()) {
                self.remove_stream(index);
            }
        }
    }

    fn remove_stream(&mut self, index: usize) {
        let stream = self.streams.swap_remove(index);
        self.cache.release(stream.pages);
    }

    /// Admits queued jobs in their order while there are free slots and the cache has space.
    fn admit(&mut self) {
        while self.streams.len() < self.settings.streams {
            let Some(job) = self.pending_jobs.front() else { return };
            let max_length = self.model.llama().config().context.min(self.settings.cache_tokens);
            let reserved_tokens =
                job.prompt.len().saturating_add(job.sampling.max_tokens).min(max_length);
            let Some(pages) = self.cache.reserve(reserved_tokens) else { return };
            let Some(Job { prompt, sampling, events }) = self.pending_jobs.pop_front() else {
                return;
            };
            let sampler = Sampler::new(sampling);
            if let Some(finish) = sampler.finish_reason() {
                // This send cannot fail: the buffer is empty.
                let _ = events.try_send(EngineEvent::End(finish));
                self.cache.release(pages);
                continue;
            }
            let next_token_at = Instant::now() + self.settings.pace;
            self.streams.push(Stream {
                pending: prompt.into(),
                processed_tokens: 0,
                reserved_tokens,
                sampler,
                pages,
                events,
                next_token_at,
            });
        }
    }

    /// Processes the pending tokens of all ready answers in one pass. If no answer is ready,
    /// returns the time to wait.
    fn step_batch(&mut self) -> Option<Duration> {
        let (mut rows, mut logit_rows, mut ready_streams) = (Vec::new(), Vec::new(), Vec::new());
        let (now, mut wait_limit) = (Instant::now(), None::<Duration>);
        // Equal shares: a short prompt does not wait for a long one.
        let prompt_count = self.streams.iter().filter(|stream| stream.pending.len() > 1).count();
        let tokens_per_prompt = (MAX_PROMPT_TOKENS / prompt_count.max(1)).max(1);
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let wait = stream.next_token_at.saturating_duration_since(now);
            // The buffer needs room for a token and the end event.
            let wait = if stream.events.capacity() < 2 {
                wait.max(BACKPRESSURE_POLL_INTERVAL)
            } else {
                wait
            };
            if stream.pending.len() == 1 && !wait.is_zero() {
                wait_limit = Some(wait_limit.map_or(wait, |limit| limit.min(wait)));
                continue;
            }
            let count = stream.pending.len().min(tokens_per_prompt);
            for token in stream.pending.drain(..count) {
                rows.push(Row { sequence: index, token, position: stream.processed_tokens });
                stream.processed_tokens += 1;
            }
            if stream.pending.is_empty()
                && let Some(last) =
                    rows.len().checked_sub(1).and_then(|last| u32::try_from(last).ok())
            {
                logit_rows.push(last);
                ready_streams.push(index);
            }
        }
        if rows.is_empty() {
            return if self.streams.is_empty() { None } else { wait_limit };
        }
        let pages: Vec<&Pages> = self.streams.iter().map(|stream| &stream.pages).collect();
        match self.model.llama().step(&rows, &logit_rows, &pages, &mut self.cache) {
            Ok(logits) => self.draw(&ready_streams, logits),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the model failed");
                for stream in self.streams.drain(..) {
                    let _ = stream.events.try_send(EngineEvent::Failed);
                    self.cache.release(stream.pages);
                }
            }
        }
        None
    }

    /// Draws the next token of each answer in `ready_streams`, which is in ascending order, and
    /// removes answers that have ended.
    fn draw(&mut self, ready_streams: &[usize], logits: Vec<Vec<f32>>) {
        let model = self.model;
        // A draw computes an exponential for each token of the vocabulary, so all draws together
        // would take as long as some layers on one thread.
        let streams_with_logits: Vec<_> = self
            .streams
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| ready_streams.binary_search(index).is_ok())
            .zip(logits)
            .collect();
        let steps: Vec<Option<Step>> = streams_with_logits
            .into_par_iter()
            .map(|((_, stream), logits)| {
                stream.sampler.draw(model, logits, stream.processed_tokens)
            })
            .collect();
        let mut ended_streams = Vec::new();
        for (index, step) in ready_streams.iter().zip(steps) {
            let Some(stream) = self.streams.get_mut(*index) else { continue };
            stream.next_token_at = Instant::now() + self.settings.pace;
            if let Some(step) = step {
                stream.pending.push_back(step.token);
                // A disconnected client is noticed before the next pass.
                let _ = stream.events.try_send(EngineEvent::Step(step));
            }
            let length_reason =
                (stream.processed_tokens >= stream.reserved_tokens).then_some(FinishReason::Length);
            if let Some(finish) = stream.sampler.finish_reason().or(length_reason) {
                let _ = stream.events.try_send(EngineEvent::End(finish));
                ended_streams.push(*index);
            }
        }
        for index in ended_streams.into_iter().rev() {
            self.remove_stream(index);
        }
    }
}

#[cfg(test)]
mod tests;
