//! Playing speech to a miner while it is spoken.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taonet_babelbit_core::protocol::{FRAME_SAMPLES, InitRequest};
use taonet_babelbit_core::scoring::Timeline;
use taonet_speech::samples_to_bytes;
use tokio::time::{Instant, timeout};

use super::connection::{CallError, MinerConnection, PredictCall};
use super::player::{PlayError, check_session, open_session};
use super::reply::ReplyDecoder;
use super::settings::{PlaySettings, response_bytes};

/// A session with a miner for mono speech that arrives frame by frame, for example from a
/// microphone. Each call returns the samples of the reply that are ready.
pub struct LiveUtterance {
    miner: Arc<dyn MinerConnection>,
    session_id: Arc<str>,
    settings: PlaySettings,
    decoder: ReplyDecoder,
    /// Number of requests so far: frames of the source, then drain requests.
    requests: u64,
    /// Request number and size in bytes of each response with audio.
    arrivals: Vec<(u64, u64)>,
    has_ended: bool,
}

impl LiveUtterance {
    /// Samples of one frame.
    pub const FRAME: usize = FRAME_SAMPLES as usize;

    /// Opens a session with a miner.
    ///
    /// # Errors
    /// [`PlayError`] when the miner refuses, fails, or does not respond within
    /// [`PlaySettings::miner_timeout`].
    pub async fn open(
        miner: Arc<dyn MinerConnection>,
        challenge_uid: &str,
        utterance_id: &str,
        settings: PlaySettings,
    ) -> Result<Self, PlayError> {
        let request = InitRequest::new(challenge_uid, utterance_id, None, 1);
        let session_id = open_session(&*miner, request, settings.miner_timeout).await?;
        let decoder = ReplyDecoder::new(1, settings.max_reply_bytes(1));
        Ok(Self {
            miner,
            session_id,
            settings,
            decoder,
            requests: 0,
            arrivals: Vec::new(),
            has_ended: false,
        })
    }

    /// Sends one frame of [`Self::FRAME`] samples; returns the samples of the reply that are ready.
    /// Once the reply has ended, it sends nothing and returns no samples.
    ///
    /// # Errors
    /// [`PlayError`] when the miner misses a deadline or sends an invalid response.
    pub async fn send(&mut self, frame: &[f32], is_last: bool) -> Result<Vec<f32>, PlayError> {
        let limit = if is_last { self.settings.drain_timeout } else { self.settings.chunk_timeout };
        let audio_b64 = STANDARD.encode(samples_to_bytes(frame)).into();
        self.predict_within(audio_b64, is_last, limit.min(self.settings.miner_timeout)).await
    }

    /// Requests and returns the rest of the reply; call it after the last frame.
    ///
    /// # Errors
    /// [`PlayError`] when the reply does not end within [`PlaySettings::drain_timeout`] and
    /// [`PlaySettings::drain_max_requests`] requests, or when a response is invalid.
    pub async fn drain(&mut self) -> Result<Vec<f32>, PlayError> {
        let deadline = Instant::now() + self.settings.drain_timeout;
        let mut samples = Vec::new();
        for _ in 0..self.settings.drain_max_requests {
            if self.has_ended {
                break;
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            if limit.is_zero() {
                return Err(PlayError::DrainTimeout);
            }
            samples.extend(self.predict_within("".into(), true, limit).await?);
        }
        if !self.has_ended {
            return Err(PlayError::TooManyDrainRequests);
        }
        self.decoder.check_end()?;
        Ok(samples)
    }

    /// Returns the arrival times of the reply's parts so far, in frames.
    pub fn timeline(&self) -> Timeline {
        Timeline::new(self.arrivals.clone(), self.requests)
    }

    async fn predict_within(
        &mut self,
        audio_b64: Arc<str>,
        in_eos: bool,
        limit: Duration,
    ) -> Result<Vec<f32>, PlayError> {
        if self.has_ended {
            return Ok(Vec::new());
        }
        let call = PredictCall {
            session_id: Arc::clone(&self.session_id),
            audio_b64,
            in_eos,
            max_response_bytes: response_bytes(self.decoder.remaining_capacity()),
        };
        let response = timeout(limit, self.miner.predict(call, limit))
            .await
            .map_err(|_| CallError::Timeout(limit))??;
        check_session(&self.session_id, &response)?;
        self.requests += 1;
        let (samples, bytes) = self.decoder.push(&response.audio_b64, response.n_bytes)?;
        if bytes > 0 {
            self.arrivals.push((self.requests, bytes as u64));
        }
        self.has_ended = response.out_eos;
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{RecordedRequest, ScriptedMiner, Step};

    const FRAME: [f32; LiveUtterance::FRAME] = [0.25; LiveUtterance::FRAME];

    async fn open(miner: &Arc<ScriptedMiner>, settings: PlaySettings) -> LiveUtterance {
        LiveUtterance::open(Arc::clone(miner) as _, "try", "try:0", settings).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn reply_arrives_during_source_speech() {
        let miner =
            Arc::new(ScriptedMiner::new(|k, _| Step::sound(if k == 2 { 960 } else { 0 }, k == 4)));
        let mut live = open(&miner, PlaySettings::default()).await;
        let mut sample_counts = Vec::new();
        for is_last in [false, false, true] {
            sample_counts.push(live.send(&FRAME, is_last).await.unwrap().len());
        }
        assert_eq!(sample_counts, [0, 960, 0]);
        assert!(live.drain().await.unwrap().is_empty());
        assert_eq!(live.timeline(), Timeline::new(vec![(2, 3_840)], 4));
        let frame = |in_eos| RecordedRequest::Predict { bytes: 7_680, in_eos };
        let drain = RecordedRequest::Predict { bytes: 0, in_eos: true };
        assert_eq!(miner.requests()[1..], [frame(false), frame(false), frame(true), drain]);
    }

    #[tokio::test(start_paused = true)]
    async fn ended_reply_gets_no_further_frame() {
        let miner = Arc::new(ScriptedMiner::new(|k, _| Step::sound(10, k == 1)));
        let mut live = open(&miner, PlaySettings::default()).await;
        assert_eq!(live.send(&FRAME, false).await.unwrap().len(), 10);
        assert!(live.send(&FRAME, true).await.unwrap().is_empty());
        assert!(live.drain().await.unwrap().is_empty());
        assert_eq!((miner.predict_count(), live.timeline().eos_frame), (1, 1));
    }

    /// Columns: the miner's response to a request · settings · error
    #[tokio::test(start_paused = true)]
    async fn failed_live_call_returns_its_reason() {
        type Script = fn(usize) -> Step;
        let defaults = PlaySettings::default;
        let short_reply = PlaySettings { max_reply: Duration::from_millis(1), ..defaults() };
        for (script, settings, expected) in [
            (
                (|_| Step::sound(0, false)) as Script,
                defaults(),
                "reply has no end: drain budget was exhausted",
            ),
            (
                |k| Step::sound(0, false).delayed_by(Duration::from_secs(k as u64 * 3)),
                defaults(),
                "timeout after 1.0s",
            ),
            (|_| Step::text("?", true), defaults(), "audio_b64 is not base64: "),
            (
                |_| Step::text("AAAA", true),
                defaults(),
                "reply of 3 bytes is not a whole number of float32 samples",
            ),
            (|_| Step::sound(960, true), short_reply, "reply exceeds 96 bytes of audio"),
            (|_| Step::error(CallError::Refused("busy".into())), defaults(), "busy"),
        ] {
            let settings = PlaySettings { chunk_timeout: Duration::from_secs(1), ..settings };
            let miner = Arc::new(ScriptedMiner::new(move |k, _| script(k)));
            let mut live = open(&miner, settings).await;
            let reply = match live.send(&FRAME, false).await {
                Ok(_) => live.drain().await,
                Err(error) => Err(error),
            };
            let error = reply.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error} for {expected}");
        }
    }
}
