use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::scoring::Timeline;
use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::connection::{CallError, MinerConnection, PredictCall};
use super::reply::{ReplyAudio, ReplyError};
use super::settings::{PlaySettings, response_bytes};
use super::source::Source;

/// A complete reply with its audio and times.
#[derive(Debug)]
pub(super) struct PlayedReply {
    /// ID of the session opened by the miner.
    pub(super) session_id: String,
    /// Interleaved 16-bit samples, little-endian, at 24 kHz, with the source's number of channels.
    /// The file position is at the end.
    pub(super) pcm: SpooledTempFile,
    /// Number of source frames sent to the miner.
    pub(super) frames_in: u32,
    /// Arrival times on the virtual clock.
    pub(super) timeline: Timeline,
    /// Wall-clock times of the reply.
    pub(super) wall: WallClock,
}

/// Wall-clock times of a reply in seconds. Informational; no score depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct WallClock {
    /// Time from the last sent frame to the end of the reply.
    pub after_source_sec: f64,
    /// Time from the opening of the session to the end of the reply.
    pub total_sec: f64,
}

/// A failed attempt to play an utterance to a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayFailure {
    /// Why the reply failed.
    pub error: PlayError,
    /// ID of the session, if one was opened.
    pub session_id: Option<String>,
    /// Wall-clock time until the failure.
    pub wall: Duration,
}

/// Why playing an utterance failed. Result files contain the text of the error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlayError {
    /// A request to the miner failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The response to init does not match the request.
    #[error("init response has {field} {got}, expected {expected}")]
    Init {
        /// Name of the differing field.
        field: &'static str,
        /// The miner's value.
        got: String,
        /// The requested value.
        expected: String,
    },
    /// A response belongs to another session.
    #[error("session_id is {got:?}, expected {expected:?}")]
    Session {
        /// Session ID in the response.
        got: String,
        /// Expected session ID.
        expected: String,
    },
    /// The reply's audio is invalid.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The response to a frame timed out.
    #[error("audio chunk response for frame {frame}/{frames} timed out after {:.2}s", limit.as_secs_f64())]
    ChunkTimeout {
        /// Number of the frame, from 1.
        frame: usize,
        /// Number of frames in the utterance.
        frames: usize,
        /// Timeout of the response.
        limit: Duration,
    },
    /// A drain response timed out.
    #[error("drain response after final audio chunk timed out after {:.2}s", limit.as_secs_f64())]
    DrainResponseTimeout {
        /// Timeout of the request: the remaining drain time.
        limit: Duration,
    },
    /// The drain timeout expired before the end of the reply.
    #[error("reply has no end: drain timeout was exhausted")]
    DrainTimeout,
    /// The maximum number of drain requests was reached before the end of the reply.
    #[error("reply has no end: drain budget was exhausted")]
    TooManyDrainRequests,
}

/// Plays one utterance to one miner: opens a session, sends every frame, then drains the reply with
/// empty requests until the miner ends it.
///
/// Each frame follows as soon as the miner has responded to the previous one; after the end of the
/// reply, the miner gets no further frame. A long reply spills to the directory `spool`. Dropping
/// the future cancels the session.
///
/// # Errors
/// [`PlayFailure`] when the miner misses a deadline, sends an invalid response, or does not end its
/// reply.
pub(super) async fn play_utterance(
    miner: &dyn MinerConnection,
    challenge_uid: &str,
    source: &Source,
    settings: &PlaySettings,
    spool: &Path,
) -> Result<PlayedReply, PlayFailure> {
    let started_at = Instant::now();
    let failure = |error, session_id| PlayFailure { error, session_id, wall: started_at.elapsed() };
    let session = open_utterance(miner, challenge_uid, source, settings).await;
    let session_id = session.map_err(|error| failure(error, None))?;
    let stream = ReplyStream {
        miner,
        session_id: Arc::clone(&session_id),
        settings,
        reply: ReplyAudio::new(source.channels, settings.max_reply_bytes(source.channels), spool),
        arrivals: Vec::new(),
        started_at,
    };
    let reply = stream.run(source).await;
    reply.map_err(|error| failure(error, Some(session_id.to_string())))
}

async fn open_utterance(
    miner: &dyn MinerConnection,
    challenge_uid: &str,
    source: &Source,
    settings: &PlaySettings,
) -> Result<Arc<str>, PlayError> {
    let request = InitRequest::new(
        challenge_uid,
        source.utterance_id.as_str(),
        Some(source.language.clone()),
        source.channels,
    );
    open_session(miner, request, settings.init_timeout_for(source.index, miner.min_timeout())).await
}

/// Opens a session within `limit`, and checks the response; returns the ID of the session.
pub(super) async fn open_session(
    miner: &dyn MinerConnection,
    request: InitRequest,
    limit: Duration,
) -> Result<Arc<str>, PlayError> {
    let response = timeout(limit, miner.init(request.clone(), limit))
        .await
        .map_err(|_| CallError::Timeout(limit))??;
    check_init(&request, &response)?;
    Ok(response.session_id.into())
}

/// Checks that a response belongs to the session.
pub(super) fn check_session(session_id: &str, response: &PredictResponse) -> Result<(), PlayError> {
    if response.session_id == session_id {
        return Ok(());
    }
    Err(PlayError::Session {
        got: response.session_id.chars().take(100).collect(),
        expected: session_id.to_owned(),
    })
}

fn init_mismatch(field: &'static str, got: String, expected: String) -> PlayError {
    PlayError::Init { field, got, expected }
}

fn check_init(request: &InitRequest, response: &InitResponse) -> Result<(), PlayError> {
    if !response.ready {
        return Err(init_mismatch("ready", "false".into(), "true".into()));
    }
    if response.session_id.is_empty() {
        return Err(init_mismatch("session_id", "\"\"".into(), "a name".into()));
    }
    for (field, got, expected) in [
        ("challenge_uid", &response.challenge_uid, &request.challenge_uid),
        ("utterance_id", &response.utterance_id, &request.utterance_id),
        ("dtype", &response.dtype, &request.dtype),
    ] {
        if got != expected {
            return Err(init_mismatch(field, format!("{got:?}"), format!("{expected:?}")));
        }
    }
    for (field, got, expected) in [
        ("sample_rate_hz", response.sample_rate_hz, request.sample_rate_hz),
        ("channels", u32::from(response.channels), u32::from(request.channels)),
    ] {
        if got != expected {
            return Err(init_mismatch(field, got.to_string(), expected.to_string()));
        }
    }
    // A positive frame rate or size that differs from the request is ignored.
    if response.frame_rate_hz.is_nan() || response.frame_rate_hz <= 0.0 {
        return Err(init_mismatch(
            "frame_rate_hz",
            response.frame_rate_hz.to_string(),
            "a positive number".into(),
        ));
    }
    if response.frame_samples == 0 {
        return Err(init_mismatch("frame_samples", "0".into(), "a positive number".into()));
    }
    if (response.frame_rate_hz - request.frame_rate_hz).abs() > f64::EPSILON {
        let frame_rate_hz = response.frame_rate_hz;
        tracing::warn!(
            frame_rate_hz,
            utterance_id = request.utterance_id,
            "the miner's frame rate is ignored"
        );
    }
    Ok(())
}

/// State of a session in progress.
struct ReplyStream<'a> {
    miner: &'a dyn MinerConnection,
    session_id: Arc<str>,
    settings: &'a PlaySettings,
    reply: ReplyAudio,
    /// Frame number and size in bytes of each response with audio.
    arrivals: Vec<(u64, u64)>,
    /// Time of the request that opened the session.
    started_at: Instant,
}

impl ReplyStream<'_> {
    /// Sends all frames and receives the complete reply.
    async fn run(mut self, source: &Source) -> Result<PlayedReply, PlayError> {
        let frames = source.frames_b64.len();
        let mut last_sent = Instant::now();
        for (frame_number, frame) in (1..).zip(source.frames_b64.iter()) {
            let is_last = frame_number == frames;
            let limit = if is_last {
                self.settings.drain_timeout
            } else {
                self.settings.chunk_timeout_for(source.index, frame_number)
            };
            last_sent = Instant::now();
            let response = self.predict_within(Arc::clone(frame), is_last, limit).await?;
            let response =
                response.ok_or(PlayError::ChunkTimeout { frame: frame_number, frames, limit })?;
            if self.accept_response(frame_number as u64, response).await? {
                return self.finish(frame_number as u32, frame_number as u64, last_sent);
            }
        }
        let eos_frame = self.drain(frames as u64, last_sent).await?;
        self.finish(frames as u32, eos_frame, last_sent)
    }

    /// Drains the reply with empty requests; returns the number of the frame that ended it.
    async fn drain(&mut self, frames: u64, last_sent: Instant) -> Result<u64, PlayError> {
        let mut deadline = (last_sent + self.settings.drain_timeout)
            .max(Instant::now() + self.settings.final_drain_min);
        for request in 1..=u64::from(self.settings.drain_max_requests) {
            let limit = deadline.saturating_duration_since(Instant::now());
            if limit.is_zero() {
                return Err(PlayError::DrainTimeout);
            }
            let response = self
                .predict_within("".into(), true, limit)
                .await?
                .ok_or(PlayError::DrainResponseTimeout { limit })?;
            // Measured here, so that the runner's processing time does not count towards the
            // deadline.
            let arrived_at = Instant::now();
            if self.accept_response(frames + request, response).await? {
                return Ok(frames + request);
            }
            deadline += arrived_at.elapsed();
        }
        Err(PlayError::TooManyDrainRequests)
    }

    /// Sends one request. Returns `None` when `limit` expires, and an error when a shorter general
    /// timeout expires.
    async fn predict_within(
        &self,
        audio_b64: Arc<str>,
        in_eos: bool,
        limit: Duration,
    ) -> Result<Option<PredictResponse>, PlayError> {
        let call = PredictCall {
            session_id: Arc::clone(&self.session_id),
            audio_b64,
            in_eos,
            max_response_bytes: response_bytes(self.reply.remaining_capacity()),
        };
        let general_timeout = self.settings.miner_timeout.max(self.miner.min_timeout());
        match timeout(limit.min(general_timeout), self.miner.predict(call, general_timeout)).await {
            Ok(response) => Ok(Some(response?)),
            Err(_) if general_timeout < limit => Err(CallError::Timeout(general_timeout).into()),
            Err(_) => Ok(None),
        }
    }

    /// Processes the response to frame `frame`; returns true if it ends the reply.
    async fn accept_response(
        &mut self,
        frame: u64,
        response: PredictResponse,
    ) -> Result<bool, PlayError> {
        check_session(&self.session_id, &response)?;
        self.reply.check_length(&response.audio_b64)?;
        let PredictResponse { audio_b64, n_bytes, out_eos, .. } = response;
        let bytes = if self.reply.may_block(&audio_b64) {
            let mut reply = std::mem::take(&mut self.reply);
            let push = move || reply.push(&audio_b64, n_bytes).map(|bytes| (bytes, reply));
            let push_result =
                spawn_blocking(push).await.unwrap_or(Err(ReplyError::Disk(io::ErrorKind::Other)));
            let (bytes, reply) = push_result?;
            self.reply = reply;
            bytes
        } else {
            self.reply.push(&audio_b64, n_bytes)?
        };
        if bytes > 0 {
            self.arrivals.push((frame, bytes as u64));
        }
        Ok(out_eos)
    }

    fn finish(
        self,
        frames_in: u32,
        eos_frame: u64,
        last_sent: Instant,
    ) -> Result<PlayedReply, PlayError> {
        Ok(PlayedReply {
            session_id: self.session_id.to_string(),
            pcm: self.reply.finish()?,
            frames_in,
            timeline: Timeline::new(self.arrivals, eos_frame),
            wall: WallClock {
                after_source_sec: last_sent.elapsed().as_secs_f64(),
                total_sec: self.started_at.elapsed().as_secs_f64(),
            },
        })
    }
}

#[cfg(test)]
mod tests;
