//! The page "Try it": visitors speak to a miner, or upload a recording, and hear its
//! interpretation.

mod captions;
mod error;
mod page;
mod routes;
mod trial;
mod upload;
mod visit;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use maud::{Markup, html};
use serde_json::{Value, json};
use taonet_babelbit_core::field_metrics::Milliseconds;
use taonet_babelbit_runner::{Miner, PlaySettings};
use taonet_dashboard::{Changes, Link, Panel, Section, Site, View};
use taonet_primitives::{SampleRate, Seconds, Uid};
use taonet_service::Shutdown;
use taonet_speech::Recognizer;
use taonet_speech::models::describe_recognizer;
use tokio::time::Instant;

use captions::Captions;
use error::TryError;
use trial::{Trial, Trials, lagging};
use visit::{Visit, VisitCaptions, Visits};

/// Maximum duration of a visitor's speech in seconds.
const MAX_SECONDS: u32 = 30;
/// Maximum duration of a reply.
const MAX_REPLY: Duration = Duration::from_mins(1);
/// Timeout for a miner's response. Longer than the contest's: a visitor prefers a late reply to
/// none, and the page shows how late it was.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(12);
/// Maximum number of concurrent visitors. Each takes up to 9 MB of samples.
const MAX_VISITORS: usize = 4;
/// Interval between two removals of expired visits and results.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Settings of the page "Try it".
pub struct TrySettings {
    /// Recogniser of the captions.
    pub recognizer: Arc<dyn Recognizer>,
    /// Speech that the recogniser understands, for the visitor: such as `synthesised English speech
    /// only`.
    pub recognized_speech: &'static str,
    /// Language into which the miners interpret.
    pub target_language: String,
    /// Recordings that visitors can send in place of their own speech.
    pub samples: Vec<TrySample>,
    /// Directory for recordings whose visitors consent to storage; `None` disables storage.
    pub recordings: Option<PathBuf>,
}

/// A recording that visitors can send to a miner.
#[derive(Debug, Clone)]
pub struct TrySample {
    /// Name of the language spoken, for the button, such as `French`.
    pub language: String,
    /// Words spoken.
    pub text: String,
    /// WAV file of at most 30 s.
    pub wav: Bytes,
}

/// The page "Try it", as a section of the dashboard.
///
/// At most 4 visitors use it at a time. Their speech is limited to 30 s, and is sent to the miner
/// in the frames of the contest's own protocol. Recordings and captions stay in memory for at most
/// 10 minutes, and are stored on disk only with the visitor's consent.
pub struct TrySection {
    recordings: Option<PathBuf>,
    /// Description of the captions' recogniser.
    caption_note: String,
    target_language: String,
    samples: Vec<TrySample>,
    miners: RwLock<Vec<Miner>>,
    captions: Captions,
    visits: Visits,
    trials: Trials,
    bodies: routes::RouteBodyLimits,
}

impl TrySection {
    /// Creates the page without miners; [`Self::offer`] adds them.
    pub fn new(settings: TrySettings) -> Arc<Self> {
        let TrySettings { recognizer, recognized_speech, target_language, samples, recordings } =
            settings;
        Arc::new(Self {
            recordings,
            caption_note: format!(
                "{}, which understands {recognized_speech}",
                describe_recognizer(recognizer.name())
            ),
            target_language,
            samples,
            miners: RwLock::default(),
            captions: Captions::new(recognizer),
            visits: Visits::new(MAX_VISITORS),
            trials: Trials::default(),
            bodies: routes::RouteBodyLimits::default(),
        })
    }

    /// Replaces the miners to which visitors can speak, and reports the change.
    pub fn offer(&self, miners: Vec<Miner>, changes: &Changes) {
        *self.miners.write().unwrap_or_else(PoisonError::into_inner) = miners;
        changes.report();
    }

    /// Removes expired visits and results, until shutdown.
    pub async fn follow(&self, shutdown: &Shutdown) {
        while shutdown.sleep(SWEEP_INTERVAL).await {
            let now = Instant::now();
            self.visits.remove_expired(now);
            self.trials.remove_expired(now);
        }
    }

    fn miners(&self) -> Vec<Miner> {
        self.miners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a session with a miner for a new visitor.
    async fn open(&self, uid: Uid, allows_storage: bool) -> Result<Visit, TryError> {
        let slot = self.visits.reserve_slot()?;
        let miner = self
            .miners()
            .into_iter()
            .find(|miner| miner.key.uid == uid)
            .ok_or(TryError::UnknownMiner(uid))?;
        let settings = PlaySettings {
            max_reply: MAX_REPLY,
            miner_timeout: RESPONSE_TIMEOUT,
            chunk_timeout: RESPONSE_TIMEOUT,
            drain_timeout: RESPONSE_TIMEOUT,
            ..PlaySettings::default()
        };
        Visit::open(miner, allows_storage && self.recordings.is_some(), settings, slot).await
    }

    /// Returns the WAV file of a sample.
    fn sample(&self, language: &str) -> Option<Bytes> {
        let sample = self.samples.iter().find(|sample| sample.language == language)?;
        Some(sample.wav.clone())
    }

    /// Extends the captions of a visit, and returns them with the lag of the interpretation so far.
    /// Final words are not transcribed again.
    async fn caption(&self, visit: &Visit) -> Value {
        let mut captions = visit.captions.lock().await;
        let VisitCaptions { source, reply } = &mut *captions;
        let timeline = visit.timing().timeline;
        let audio = visit.audio_after(source.final_samples(), reply.final_samples());
        let sample_count = source.final_samples() + audio.source.len();
        let source_duration = Seconds::of_frames(sample_count, SampleRate::HZ_24K);
        self.captions.extend(source, audio.source).await;
        self.captions.extend(reply, audio.reply).await;
        let lag = lagging(source_duration, &timeline, reply.words(), &reply.caption().text);
        json!({
            "heard": source.caption(),
            "said": reply.caption(),
            "lagging_sec": lag.map(Milliseconds::get).map(|milliseconds| milliseconds / 1000.0),
        })
    }

    /// Transcribes and measures a visit whose reply is complete, and stores the result.
    async fn finish_visit(&self, visit: &Visit) -> Result<Arc<Trial>, TryError> {
        let audio = visit.audio();
        let source_transcript = self.captions.transcribe(audio.source.clone()).await;
        let reply_transcript = self.captions.transcribe(audio.reply.clone()).await;
        let mut trial = Trial::new(visit, &audio, source_transcript, reply_transcript)?;
        if visit.allows_storage
            && let Some(directory) = &self.recordings
        {
            trial.is_stored = trial.save(directory).await;
        }
        Ok(self.trials.add(trial))
    }
}

/// Returns the display name of a miner.
fn name(miner: &Miner) -> String {
    miner.name.clone().unwrap_or_else(|| format!("Miner {}", miner.key.uid))
}

#[async_trait]
impl Section for TrySection {
    fn links(&self) -> Vec<Link> {
        vec![Link::new("/try", "Try it")]
    }

    async fn overview(&self, _: &View) -> Markup {
        html! {}
    }

    fn panels(&self) -> Vec<Panel> {
        Vec::new()
    }

    fn routes(self: Arc<Self>) -> Router<Site> {
        routes::router(&self)
    }
}

#[cfg(test)]
mod tests;
