//! In-flight recognition: callers that request the same audio file share one job.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use taonet_babelbit_core::scoring::ScoreError;
use taonet_primitives::{Transcript, panic_message};
use taonet_speech::{
    Recognition, RecognizeError, Recognizer, Wav, WavHeader, check_recording,
    resample_for_recognition,
};

use super::candidate::wav_error;
use super::{Audio, AudioHash};

/// A transcript with the recogniser's confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcription {
    /// Text, words and language.
    pub transcript: Transcript,
    /// Confidence in the text, 0 to 1; `None` for results of other programs.
    pub confidence: Option<f32>,
}

/// Outcome of one transcription.
pub type TranscriptionResult = Result<Arc<Transcription>, ScoreError>;

/// The recogniser has stopped: the recording has no outcome, and no later recording will have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the recogniser has stopped")]
pub struct RecognizerStopped;

/// A slot for an outcome that may be pending.
#[derive(Default)]
pub(super) struct TranscriptionSlot {
    transcription: Mutex<Option<TranscriptionResult>>,
    completed: Condvar,
}

impl TranscriptionSlot {
    pub(super) fn filled(transcription: TranscriptionResult) -> Arc<Self> {
        Arc::new(Self { transcription: Mutex::new(Some(transcription)), completed: Condvar::new() })
    }

    pub(super) fn fill(&self, transcription: TranscriptionResult) {
        *self.transcription.lock().unwrap_or_else(PoisonError::into_inner) = Some(transcription);
        self.completed.notify_all();
    }

    fn is_filled(&self) -> bool {
        self.transcription.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits for the outcome. Can deadlock on a thread of the pool that fills the slot.
    pub(super) fn wait(&self) -> TranscriptionResult {
        let mut transcription = self.transcription.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(transcription) = &*transcription {
                return transcription.clone();
            }
            transcription =
                self.completed.wait(transcription).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Recognition jobs that are in flight, or completed and not yet collected.
#[derive(Default)]
pub(super) struct Jobs {
    slots: Mutex<HashMap<AudioHash, Arc<TranscriptionSlot>>>,
}

impl Jobs {
    /// Number of slots at which all completed but uncollected outcomes are dropped.
    const MAX_SLOTS: usize = 4_096;

    /// Returns the slot of an audio file, and whether the caller must fill it.
    pub(super) fn slot(&self, hash: AudioHash) -> (Arc<TranscriptionSlot>, bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= Self::MAX_SLOTS {
            slots.retain(|_, slot| !slot.is_filled());
        }
        match slots.entry(hash) {
            Entry::Occupied(slot) => (Arc::clone(slot.get()), false),
            Entry::Vacant(entry) => (Arc::clone(entry.insert(Arc::default())), true),
        }
    }

    /// Removes a collected outcome: successes are in the cache, failures may be retried.
    pub(super) fn forget(&self, hash: AudioHash) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
    }
}

/// Transcribes a WAV file; a panic of the engine becomes an error. Blocks the calling thread.
///
/// The outcome is a [`ScoreError`] when the file cannot be read or decoded, has no samples or is
/// too long, or the engine fails on it.
///
/// # Errors
/// [`RecognizerStopped`] when the recogniser has stopped.
pub fn transcribe(
    recognizer: &dyn Recognizer,
    audio: &Audio,
) -> Result<TranscriptionResult, RecognizerStopped> {
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let samples = match read_samples(audio) {
            Ok(samples) => samples,
            Err(error) => return Ok(Err(error)),
        };
        match recognizer.recognize(&samples) {
            Ok(Recognition { transcript, confidence }) => {
                Ok(Ok(Arc::new(Transcription { transcript, confidence: Some(confidence) })))
            }
            Err(RecognizeError::Stopped) => Err(RecognizerStopped),
            Err(RecognizeError::Empty) => Ok(Err(ScoreError::NoAudio)),
            Err(error) => Ok(Err(ScoreError::failed("RuntimeError", &error))),
        }
    }));
    attempt.unwrap_or_else(|panic| {
        let message = panic_message(&*panic).unwrap_or("no message");
        tracing::error!(recognizer = recognizer.name(), message, "speech recognition panicked");
        Ok(Err(ScoreError::failed(
            "RuntimeError",
            &format_args!("speech recognition panicked: {message}"),
        )))
    })
}

/// Reads and decodes a WAV file into samples at 16 kHz.
fn read_samples(audio: &Audio) -> Result<Vec<f32>, ScoreError> {
    let file = audio.read().map_err(|error| ScoreError::failed("OSError", &error))?;
    let header = WavHeader::read(&file).map_err(|error| wav_error(&error))?;
    check_recording(&header).map_err(|error| ScoreError::failed("RuntimeError", &error))?;
    let wav = Wav::decode(&file).map_err(|error| wav_error(&error))?;
    drop(file);
    if wav.pcm.frames() == 0 {
        return Err(ScoreError::NoAudio);
    }
    Ok(resample_for_recognition(&wav.pcm))
}
