//! Transcripts of the speech of visitors and miners.

use std::sync::Arc;

use taonet_primitives::{SampleRate, Transcript};
use taonet_speech::{Pcm, RecognizeError, Recognizer, resample_for_recognition};
use tokio::sync::Semaphore;

/// A recogniser that transcribes one recording at a time, so that captions leave processor time for
/// the miners.
pub(super) struct Captions {
    recognizer: Arc<dyn Recognizer>,
    turn: Arc<Semaphore>,
}

impl Captions {
    pub(super) fn new(recognizer: Arc<dyn Recognizer>) -> Self {
        Self { recognizer, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Transcribes mono samples at 24 kHz. The transcript is empty if there is no speech, or if the
    /// recogniser fails.
    pub(super) async fn transcribe(&self, samples: Vec<f32>) -> Transcript {
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return Transcript::default();
        };
        let recognizer = Arc::clone(&self.recognizer);
        let work = move || {
            // Held until the work ends, even if the visitor disconnects.
            let _turn = turn;
            recognizer.recognize(&resample_for_recognition(&Pcm::mono(samples, SampleRate::HZ_24K)))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(recognition)) => recognition.transcript,
            Ok(Err(RecognizeError::Empty)) => Transcript::default(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "speech recognition for captions failed");
                Transcript::default()
            }
            Err(error) => {
                tracing::error!(%error, "speech recognition for captions panicked");
                Transcript::default()
            }
        }
    }
}
