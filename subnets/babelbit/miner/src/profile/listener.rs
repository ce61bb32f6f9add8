use std::sync::Arc;
use std::time::Instant;

use taonet_primitives::{SampleRate, Word};
use taonet_speech::{Pcm, RecognizeError, Recognizer, resample_for_recognition};

use crate::rewrite::plain;

/// Padding before and after a recording, in samples at 24 kHz: 0.2 s and 0.4 s of silence. Recognisers expect silence
/// at both ends, and their output lags slightly.
const BEFORE: usize = 4_800;
const AFTER: usize = 9_600;

/// Recognition stage: turns mono audio at 24 kHz into words with times.
#[derive(Clone)]
pub(super) struct Listener(Arc<dyn Recognizer>);

impl Listener {
    pub(super) fn new(recognizer: Arc<dyn Recognizer>) -> Self {
        Self(recognizer)
    }

    pub(super) fn model(&self) -> &str {
        self.0.name()
    }

    /// Transcribes a recording into words in lowercase, without punctuation. A call to a server ends at `deadline`.
    pub(super) fn listen(&self, samples: &[f32], deadline: Instant) -> Result<Vec<Word>, RecognizeError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let mut padded = vec![0.0; BEFORE];
        padded.extend_from_slice(samples);
        padded.resize(padded.len() + AFTER, 0.0);
        let recording = resample_for_recognition(&Pcm::mono(padded, SampleRate::HZ_24K));
        let heard = self.0.recognize_by(&recording, deadline)?;
        let shift = BEFORE as f64 / f64::from(SampleRate::HZ_24K.hz());
        let words = heard.transcript.words.into_iter().map(|word| Word {
            text: plain(&word.text),
            start: (word.start - shift).max(0.0),
            end: (word.end - shift).max(0.0),
        });
        Ok(words.filter(|word| !word.text.is_empty()).collect())
    }
}
