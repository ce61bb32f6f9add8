use std::sync::Arc;
use std::time::Instant;

use taonet_primitives::{SampleRate, Word};
use taonet_speech::{
    Pcm, RecognizeError, Recognizer, SimultaneousRecognition, resample_for_recognition,
};

use crate::rewrite::plain;

/// Padding before and after a recording, in samples at 24 kHz: 0.2 s and 0.4 s of silence.
/// Recognisers expect silence at both ends, and their output lags slightly.
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

    /// Transcribes a recording into words in lowercase, without punctuation. A call to a server
    /// ends at `deadline`.
    pub(super) fn listen(
        &self,
        samples: &[f32],
        deadline: Instant,
    ) -> Result<Vec<Word>, RecognizeError> {
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
            start: (word.start - shift).max(0.0),
            end: (word.end - shift).max(0.0),
            ..word
        });
        Ok(plain_words(words))
    }
}

/// Recognition stage under a simultaneous policy: turns mono audio at 24 kHz into final words while
/// the source plays.
pub(super) struct LiveListener {
    recognition: Box<dyn SimultaneousRecognition>,
    /// Samples at 24 kHz that are not resampled yet: fewer than [`GROUP`].
    pending: Vec<f32>,
}

/// Number of samples at 24 kHz that become a whole number of samples at 16 kHz, independently of
/// their neighbours.
const GROUP: usize = 3;

impl LiveListener {
    pub(super) fn new(recognition: Box<dyn SimultaneousRecognition>) -> Self {
        Self { recognition, pending: Vec::new() }
    }

    /// Appends samples and returns the words that have become final, in lowercase, without
    /// punctuation. At the `end` of the source, all words become final.
    pub(super) fn hear(&mut self, samples: &[f32], end: bool) -> Result<Vec<Word>, RecognizeError> {
        let samples = self.resample(samples, end);
        Ok(plain_words(self.recognition.push(&samples, end)?))
    }

    /// Returns the time in seconds before which no further word starts.
    pub(super) fn final_until(&self) -> f64 {
        self.recognition.final_until()
    }

    /// Resamples to 16 kHz, without seams between calls.
    fn resample(&mut self, samples: &[f32], end: bool) -> Vec<f32> {
        self.pending.extend_from_slice(samples);
        let count = self.pending.len();
        let incomplete_group =
            self.pending.split_off(if end { count } else { count - count % GROUP });
        let ready = std::mem::replace(&mut self.pending, incomplete_group);
        resample_for_recognition(&Pcm::mono(ready, SampleRate::HZ_24K))
    }
}

/// Returns words in lowercase, without punctuation; drops those that are nothing else.
fn plain_words(words: impl IntoIterator<Item = Word>) -> Vec<Word> {
    let words = words.into_iter().map(|word| Word { text: plain(&word.text), ..word });
    words.filter(|word| !word.text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recognises nothing and remembers its samples.
    struct Recorder(Arc<std::sync::Mutex<Vec<f32>>>);

    impl SimultaneousRecognition for Recorder {
        fn push(&mut self, samples: &[f32], _: bool) -> Result<Vec<Word>, RecognizeError> {
            self.0.lock().unwrap().extend_from_slice(samples);
            Ok(Vec::new())
        }

        fn final_until(&self) -> f64 {
            0.0
        }
    }

    #[test]
    fn resampling_in_frames_equals_resampling_at_once() {
        let samples: Vec<f32> = (0..5_001).map(|n| (n as f32 * 0.37).sin() * 0.5).collect();
        let expected = resample_for_recognition(&Pcm::mono(samples.clone(), SampleRate::HZ_24K));
        for length in [1_920, 1_001, 7] {
            let heard = Arc::default();
            let mut listener = LiveListener::new(Box::new(Recorder(Arc::clone(&heard))));
            let frames = samples.chunks(length);
            let count = frames.len();
            for (number, frame) in (1..).zip(frames) {
                listener.hear(frame, number == count).unwrap();
            }
            let heard = heard.lock().unwrap();
            assert_eq!(heard.len(), expected.len(), "{length}");
            assert!(
                heard.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-6),
                "{length}"
            );
        }
    }
}
