//! Stages of the interpreter on inference servers with OpenAI's API: recognition, rewriting,
//! synthesis.
//!
//! Each stage has a deadline for its calls and a fallback. When a call fails or exceeds the
//! deadline, the fallback processes the phrase, and all further phrases for the duration of
//! [`FAILURE_COOLDOWN`], so that a stalled server delays one frame and not every frame. Then the
//! stage calls its server again.
//!
//! A frame can need many calls: one for each phrase that ends in it, and for each breath of the
//! reply. All calls for one frame share a time limit
//! ([`Interpreter::with_call_time`](crate::profile::Interpreter::with_call_time)). A call that
//! exceeds this limit counts as failed, and the fallback processes the rest of the frame. The stage
//! does not pause, because its server may be healthy.
//!
//! | Stage | Route | Fallback | Received before the failure |
//! |---|---|---|---|
//! | [`RemoteRecognizer`] | `audio/transcriptions` | another recogniser; without one, the phrase is lost | not used |
//! | [`ChatRewriter`] | `chat/completions`, streamed | the rules of [`rewrite`](crate::rewrite) | complete words replace the fallback |
//! | [`RemoteSynthesizer`] | `audio/speech`, read as it arrives | another synthesiser; without one, the received samples | samples, without a fallback |
//!
//! Neither the transcription nor the speech is streamed into the reply. A frame has one response,
//! so samples that arrive earlier would not be heard earlier. Streamed transcriptions have no word
//! times, which place the boundaries between phrases.
//!
//! The stages block, like all engines of the interpreter: call them outside of async tasks.

mod recognizer;
mod rewriter;
mod synthesizer;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use taonet_http::{ModelServer, ModelServerError};
use taonet_speech::WavError;
use tokio::runtime::Handle;

use crate::metrics;

pub use recognizer::RemoteRecognizer;
pub use rewriter::ChatRewriter;
#[cfg(any(test, feature = "testing"))]
pub(crate) use rewriter::parse_message;
pub(crate) use rewriter::{Turn, phrase_message, spoken_words};
pub use synthesizer::RemoteSynthesizer;

/// Time after a failed call during which a stage uses its fallback.
pub const FAILURE_COOLDOWN: Duration = Duration::from_secs(10);

/// A model of an inference server, for one stage.
#[derive(Debug, Clone)]
pub struct RemoteModel {
    /// The server; its deadline applies to each call.
    pub server: ModelServer,
    /// Name of the model at the server.
    pub model: String,
    /// Runtime for the connections to the server.
    pub runtime: Handle,
}

/// Why a call to an inference server has no result, or only a part of it.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Server(#[from] ModelServerError),
    #[error("the response is not a WAV file")]
    Audio(#[from] WavError),
    #[error("{0}")]
    Unusable(&'static str),
}

impl CallError {
    const fn is_timeout(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_timeout())
    }

    const fn label(&self) -> &'static str {
        if self.is_timeout() { "timeout" } else { "error" }
    }
}

/// The calls of a stage, with the pause after a failure.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    remote: RemoteModel,
    paused_until: Mutex<Option<Instant>>,
}

impl Stage {
    const fn new(name: &'static str, remote: RemoteModel) -> Self {
        Self { name, remote, paused_until: Mutex::new(None) }
    }

    /// Runs a call to the server, until `deadline` at the latest; `None` if it failed, during the
    /// pause after a failure, and after the deadline. A failed call may have a usable part of the
    /// result.
    fn call<T>(
        &self,
        deadline: Option<Instant>,
        call: impl AsyncFnOnce(&ModelServer) -> (Option<T>, Result<(), CallError>),
    ) -> Option<T> {
        let start = Instant::now();
        let remaining =
            deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(start));
        if remaining.is_zero() || self.paused_until().is_some_and(|until| start < until) {
            metrics::count_stage_call(self.name, "skipped");
            return None;
        }
        let server = self.remote.server.with_timeout_at_most(remaining);
        let (value, result) = self.remote.runtime.block_on(call(&server));
        metrics::record_stage_time(self.name, start.elapsed());
        metrics::count_stage_call(
            self.name,
            result.as_ref().map_or_else(CallError::label, |()| "complete"),
        );
        let Err(error) = result else { return value };
        if error.is_timeout() && server.timeout() < self.remote.server.timeout() {
            tracing::warn!(
                stage = self.name,
                is_partly_usable = value.is_some(),
                "inference servers are too slow: the time for a frame's calls has passed"
            );
            return value;
        }
        tracing::warn!(
            stage = self.name,
            error = &error as &dyn std::error::Error,
            is_partly_usable = value.is_some(),
            pause_sec = FAILURE_COOLDOWN.as_secs(),
            "inference server failed; the stage does not call it during the pause"
        );
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + FAILURE_COOLDOWN);
        value
    }

    fn paused_until(&self) -> Option<Instant> {
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the outcome of a call whose result is usable only as a whole.
fn value_and_outcome<T>(result: Result<T, CallError>) -> (Option<T>, Result<(), CallError>) {
    match result {
        Ok(value) => (Some(value), Ok(())),
        Err(error) => (None, Err(error)),
    }
}

#[cfg(test)]
mod tests;
