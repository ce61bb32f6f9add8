//! Scripted miners and scorers, for tests.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::new_without_default,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};
use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{BatchFailure, ScoreResult};
use taonet_primitives::SampleRate;
use taonet_speech::{SampleFormat, Wav};

use super::connection::{CallError, MinerConnection, PredictCall};
use super::reply_scorer::ReplyScorer;
use super::source::Source;
use taonet_babelbit_scorer::Candidate;

/// A miner's response to one frame, and its delay.
#[derive(Clone)]
pub struct Step {
    pub delay: Duration,
    pub response: Result<PredictResponse, CallError>,
}

impl Step {
    /// Responds immediately with base64 text.
    pub fn text(audio_b64: impl Into<String>, out_eos: bool) -> Self {
        let response = PredictResponse {
            session_id: String::new(),
            audio_b64: audio_b64.into(),
            out_eos,
            n_bytes: 0,
        };
        Self { delay: Duration::ZERO, response: Ok(response) }
    }

    /// Responds immediately with `samples` samples of audio.
    pub fn sound(samples: usize, out_eos: bool) -> Self {
        Self::text(STANDARD.encode(vec![0; samples * 4]), out_eos)
    }

    pub fn error(error: CallError) -> Self {
        Self { delay: Duration::ZERO, response: Err(error) }
    }

    pub fn delayed_by(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// A recorded request to a miner.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordedRequest {
    Init { request: InitRequest, timeout: Duration },
    Predict { bytes: usize, in_eos: bool },
}

type InitScript =
    dyn Fn(&InitRequest, &mut InitResponse) -> Result<Duration, CallError> + Send + Sync;
type PredictScript = dyn Fn(usize, &PredictCall) -> Step + Send + Sync;

/// A miner that follows a script and records its requests. `predict` gets the number of the
/// request, from 1.
pub struct ScriptedMiner {
    init: Box<InitScript>,
    predict: Box<PredictScript>,
    requests: Mutex<Vec<RecordedRequest>>,
}

impl ScriptedMiner {
    pub fn new(predict: impl Fn(usize, &PredictCall) -> Step + Send + Sync + 'static) -> Self {
        Self {
            init: Box::new(|_, _| Ok(Duration::ZERO)),
            predict: Box::new(predict),
            requests: Mutex::default(),
        }
    }

    /// Creates a miner that sends no audio and ends its reply with the last frame of the source.
    pub fn silent() -> Self {
        Self::new(|_, call| Step::sound(0, call.in_eos))
    }

    pub fn with_init(
        mut self,
        init: impl Fn(&InitRequest, &mut InitResponse) -> Result<Duration, CallError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.init = Box::new(init);
        self
    }

    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the number of frames and drain requests of the last session.
    pub fn predict_count(&self) -> usize {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .rev()
            .take_while(|request| matches!(request, RecordedRequest::Predict { .. }))
            .count()
    }

    pub fn init_count(&self) -> usize {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .filter(|request| matches!(request, RecordedRequest::Init { .. }))
            .count()
    }
}

impl MinerConnection for ScriptedMiner {
    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>> {
        async move {
            let mut response = InitResponse {
                ready: true,
                miner_id: None,
                session_id: format!("session of {}", request.utterance_id),
                challenge_uid: request.challenge_uid.clone(),
                utterance_id: request.utterance_id.clone(),
                language: request.language.clone(),
                sample_rate_hz: request.sample_rate_hz,
                frame_rate_hz: request.frame_rate_hz,
                frame_samples: request.frame_samples,
                dtype: request.dtype.clone(),
                channels: request.channels,
            };
            let delay = (self.init)(&request, &mut response);
            self.requests.lock().unwrap().push(RecordedRequest::Init { request, timeout });
            tokio::time::sleep(delay?).await;
            Ok(response)
        }
        .boxed()
    }

    fn predict(
        &self,
        call: PredictCall,
        _: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>> {
        async move {
            let bytes = STANDARD.decode(&*call.audio_b64).unwrap().len();
            self.requests
                .lock()
                .unwrap()
                .push(RecordedRequest::Predict { bytes, in_eos: call.in_eos });
            let Step { delay, response } = (self.predict)(self.predict_count(), &call);
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let mut response = response?;
            if response.session_id.is_empty() {
                response.session_id = call.session_id.to_string();
            }
            Ok(response)
        }
        .boxed()
    }
}

/// A scorer that gives each reply the number in its reference text as score, and that text as
/// transcript.
pub struct TextScorer;

impl ReplyScorer for TextScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let is_on_disk = |candidate: &Candidate| {
            candidate.wav.as_ref().is_some_and(|wav| wav.in_memory().is_none())
        };
        assert!(candidates.iter().all(is_on_disk), "hundreds of replies do not fit into memory");
        let score = |candidate: &Candidate| {
            let (score, text) = match reference {
                Ok(reference) => (reference.text.parse().unwrap_or(1.0), reference.text.as_str()),
                Err(_) => (0.0, ""),
            };
            let source = reference.ok().and_then(|reference| reference.source.clone());
            let completion = candidate.timeline.completion(candidate.channels);
            let result = json!({
                "score": score, "raw_score": score, "accuracy": 0.9, "accuracy_pass": true,
                "speech_rate": {"penalty": 1.0, "miner_wps": 2.0, "reference_wps": 2.0, "ratio": 1.0},
                "latency": {
                    "score": 1.0, "completion_sec": completion, "source_duration_sec": candidate.source_duration,
                    "overshoot_sec": 0.0, "allowed_overshoot_sec": 2.0,
                },
                "stt_text": if score == 0.0 { " " } else { text }, "gt_text": text, "predicted_duration_sec": 0.08,
                "effective_completion_sec": completion, "source_duration_sec": candidate.source_duration,
                "score_is_fallback": false, "score_method": "semantic_audio_v1", "scoring_metadata_source": source,
                "duplicate_penalty": {
                    "raw_score": score, "final_score": score, "penalty_factor": 1.0, "duplicate_pressure": 1.0,
                    "max_peer_similarity": 0.0, "similarity_threshold": 0.88, "gamma": 0.5,
                    "min_score_for_pressure": 0.0, "score_epsilon": 0.02, "max_similarity": 0.0, "penalty": 1.0,
                },
            });
            serde_json::from_value(result).unwrap()
        };
        candidates.iter().map(score).collect()
    }
}

/// Creates a mono WAV file of quiet audio.
pub fn wav(samples: usize, hz: u32) -> Vec<u8> {
    Wav::wrap(&vec![1; samples * 2], SampleFormat::S16, 1, SampleRate::new(hz).unwrap()).unwrap()
}

/// Creates the source of an utterance with `frames` frames.
pub fn source(index: u32, frames: usize) -> Arc<Source> {
    let file = wav(frames * 1_920, 24_000);
    Arc::new(Source::from_wav(index, format!("c:{index}"), "fr".into(), &file).unwrap())
}
