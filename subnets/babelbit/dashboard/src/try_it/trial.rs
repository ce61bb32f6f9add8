//! Results of visits.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use serde_json::json;
use taonet_babelbit_core::field_metrics::{Milliseconds, Playback, TargetLength, average_lagging};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::scoring::Timeline;
use taonet_http::random_hex;
use taonet_primitives::{SampleRate, Seconds, Transcript, Word};
use taonet_service::{Access, WriteError, atomic_write, unix_time};
use taonet_speech::{Pcm, SampleFormat, Wav};
use tokio::time::Instant;

use super::error::TryError;
use super::name;
use super::visit::{Timing, Visit, VisitAudio};

/// Maximum number of results in memory, of up to 5 MB each.
const MAX_TRIALS: usize = 8;
/// Time after which a result is removed.
const RESULT_LIFETIME: Duration = Duration::from_mins(10);

/// Durations and latencies of a reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) source: Seconds,
    pub(super) reply: Seconds,
    /// Average lagging with the length of the reply in place of a reference; `None` for a reply
    /// without words.
    pub(super) average_lagging: Option<Milliseconds>,
    /// Time on the virtual clock from the end of the source until a listener has heard the complete
    /// reply.
    pub(super) end_delay: Seconds,
    /// Wall-clock time from the last frame to the end of the reply.
    pub(super) after_source: Duration,
}

impl Figures {
    fn of(
        audio: &VisitAudio,
        reply_transcript: &Transcript,
        timeline: &Timeline,
        after_source: Duration,
    ) -> Self {
        let duration = |samples: &[f32]| Seconds::of_frames(samples.len(), SampleRate::HZ_24K);
        let source = duration(&audio.source);
        let end_delay = (timeline.completion(1) - source.get()).max(0.0);
        Self {
            source,
            reply: duration(&audio.reply),
            average_lagging: lagging(
                source,
                timeline,
                &reply_transcript.words,
                &reply_transcript.text,
            ),
            end_delay: Seconds::new(end_delay).unwrap_or_default(),
            after_source,
        }
    }
}

/// Returns the average lagging of a reply's words, up to now or to the end, behind a source of this
/// duration.
pub(super) fn lagging(
    source: Seconds,
    timeline: &Timeline,
    words: &[Word],
    text: &str,
) -> Option<Milliseconds> {
    let source = Milliseconds::new(1000.0 * source.get())?;
    let delays = Playback::for_reply(timeline, 1, source).word_delays(words);
    average_lagging(&delays, source, text, TargetLength::Reference)
}

/// The result of a visit.
pub(super) struct Trial {
    pub(super) id: String,
    pub(super) miner: MinerKey,
    pub(super) name: String,
    /// Transcript of the source.
    pub(super) source_transcript: Transcript,
    /// Transcript of the reply.
    pub(super) reply_transcript: Transcript,
    pub(super) figures: Figures,
    /// Whether the recordings are on disk.
    pub(super) is_stored: bool,
    /// WAV file of the source.
    pub(super) source: Bytes,
    /// WAV file of the reply.
    pub(super) reply: Bytes,
    created: Instant,
}

impl Trial {
    /// Creates the result of a visit whose reply is complete.
    pub(super) fn new(
        visit: &Visit,
        audio: &VisitAudio,
        source_transcript: Transcript,
        reply_transcript: Transcript,
    ) -> Result<Self, TryError> {
        let Timing { timeline, after_source } = visit.timing();
        let after_source = after_source.ok_or(TryError::Ended)?;
        let wav = |samples: &[f32]| -> Result<Bytes, TryError> {
            let pcm = Pcm::mono(samples.to_vec(), SampleRate::HZ_24K);
            Ok(Wav::encode(&pcm, SampleFormat::S16)?.into())
        };
        Ok(Self {
            id: random_hex(),
            miner: visit.miner.key,
            name: name(&visit.miner),
            figures: Figures::of(audio, &reply_transcript, &timeline, after_source),
            source_transcript,
            reply_transcript,
            is_stored: false,
            source: wav(&audio.source)?,
            reply: wav(&audio.reply)?,
            created: Instant::now(),
        })
    }

    /// Writes recordings and transcripts below a directory; returns false and logs an error if that
    /// fails.
    pub(super) async fn save(&self, directory: &Path) -> bool {
        let (source, reply) = (self.source.clone(), self.reply.clone());
        let document = json!({
            "miner": { "uid": self.miner.uid, "hotkey": self.miner.hotkey.to_string(), "name": self.name },
            "recorded_unix": unix_time(SystemTime::now()).as_secs(),
            "heard": self.source_transcript.text,
            "said": self.reply_transcript.text,
            "al_ms": self.figures.average_lagging.map(Milliseconds::get),
            "end_delay_sec": self.figures.end_delay.get(),
            "wall_after_source_sec": self.figures.after_source.as_secs_f64(),
        });
        let folder = directory.join(&self.id);
        let folder_text = folder.display().to_string();
        let write_files = move || write(&folder, &source, &reply, document.to_string().as_bytes());
        match tokio::task::spawn_blocking(write_files).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, cause = %error.source, folder = folder_text, "cannot store a visitor's recording");
                false
            }
            Err(_) => false,
        }
    }
}

fn write(folder: &Path, source: &[u8], reply: &[u8], document: &[u8]) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.to_owned(), source })?;
    for (name, content) in [("source.wav", source), ("reply.wav", reply), ("visit.json", document)]
    {
        atomic_write(folder.join(name), content, Access::Owner)?;
    }
    Ok(())
}

/// The latest results, in memory.
#[derive(Default)]
pub(super) struct Trials(Mutex<VecDeque<Arc<Trial>>>);

impl Trials {
    /// Adds a result, in place of the oldest one if there are too many.
    pub(super) fn add(&self, trial: Trial) -> Arc<Trial> {
        let trial = Arc::new(trial);
        let mut trials = self.lock();
        trials.push_front(Arc::clone(&trial));
        trials.truncate(MAX_TRIALS);
        trial
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Trial>> {
        self.lock().iter().find(|trial| trial.id == id).cloned()
    }

    /// Removes expired results.
    pub(super) fn remove_expired(&self, now: Instant) {
        self.lock().retain(|trial| now.duration_since(trial.created) < RESULT_LIFETIME);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Trial>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
