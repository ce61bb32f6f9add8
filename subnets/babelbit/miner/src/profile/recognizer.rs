use std::sync::Arc;
use std::time::Instant;

use taonet_primitives::{SampleRate, Word};
use taonet_speech::{
    Pcm, RecognizeError, Recognizer, SimultaneousRecognition, resample_for_recognition,
};

use super::phrasing::RecognisedWord;
use crate::rewrite::{continues_number, normalized};

/// Padding before and after a recording, in samples at 24 kHz: 0.2 s and 0.4 s of silence.
/// Recognisers expect silence at both ends, and their output lags slightly.
const LEADING_SILENCE: usize = 4_800;
const TRAILING_SILENCE: usize = 9_600;

/// Recognition stage: turns mono audio at 24 kHz into words with times.
#[derive(Clone)]
pub(super) struct PhraseRecognizer(Arc<dyn Recognizer>);

impl PhraseRecognizer {
    pub(super) fn new(recognizer: Arc<dyn Recognizer>) -> Self {
        Self(recognizer)
    }

    pub(super) fn model(&self) -> &str {
        self.0.name()
    }

    /// Transcribes a recording into words in lowercase, without punctuation. A call to a server
    /// ends at `deadline`.
    pub(super) fn recognize(
        &self,
        samples: &[f32],
        deadline: Instant,
    ) -> Result<Vec<Word>, RecognizeError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let mut padded = vec![0.0; LEADING_SILENCE];
        padded.extend_from_slice(samples);
        padded.resize(padded.len() + TRAILING_SILENCE, 0.0);
        let recording = resample_for_recognition(&Pcm::mono(padded, SampleRate::HZ_24K));
        let recognition = self.0.recognize_by(&recording, deadline)?;
        let leading_seconds = LEADING_SILENCE as f64 / f64::from(SampleRate::HZ_24K.hz());
        let words = recognition.transcript.words.into_iter().map(|word| Word {
            start: (word.start - leading_seconds).max(0.0),
            end: (word.end - leading_seconds).max(0.0),
            ..word
        });
        Ok(normalized_words(joined_words(words)))
    }
}

/// Recognition stage under a simultaneous policy: turns mono audio at 24 kHz into words while the
/// source plays.
pub(super) struct LiveRecognizer {
    recognition: Box<dyn SimultaneousRecognition>,
    /// Samples at 24 kHz that are not resampled yet: fewer than [`RESAMPLING_GROUP`].
    pending: Vec<f32>,
    /// Number of the recogniser's words in each word that the last call returned and that is not
    /// committed.
    parts: Vec<usize>,
    /// Start of the last word, if it is a number whose second part may follow.
    number_start: Option<f64>,
}

/// Maximum time in seconds between the parts of a number: word times of recognisers are inexact.
const MAX_NUMBER_GAP_S: f64 = 0.1;

/// Number of samples at 24 kHz that are resampled to an integral number of samples at 16 kHz,
/// independently of their neighbours.
const RESAMPLING_GROUP: usize = 3;

impl LiveRecognizer {
    pub(super) fn new(recognition: Box<dyn SimultaneousRecognition>) -> Self {
        Self { recognition, pending: Vec::new(), parts: Vec::new(), number_start: None }
    }

    /// Appends samples and returns the words that are ready and not committed. Further calls may
    /// revise them. With the last samples (`is_last`), all words are ready. A number is ready once
    /// its second part cannot follow.
    pub(super) fn process(
        &mut self,
        samples: &[f32],
        is_last: bool,
    ) -> Result<Vec<RecognisedWord>, RecognizeError> {
        let samples = self.resample(samples, is_last);
        let mut words = join_numbers(self.recognition.push(&samples, is_last)?);
        let ready_until = self.recognition.ready_until();
        let may_continue = words.last().is_some_and(|(word, _)| {
            word.text.ends_with(char::is_numeric) && ready_until - word.end <= MAX_NUMBER_GAP_S
        });
        let unfinished_number = if may_continue && !is_last { words.pop() } else { None };
        self.number_start = unfinished_number.map(|(word, _)| word.start);
        self.parts = words.iter().map(|(_, parts)| *parts).collect();
        // Each word has a letter or a digit: none is dropped, as `commit` counts them.
        Ok(words.into_iter().map(|(word, _)| RecognisedWord::new(word)).collect())
    }

    /// Commits the first `count` words, which are then no longer revised or returned.
    pub(super) fn commit(&mut self, count: usize) {
        let parts = self.parts.drain(..count.min(self.parts.len())).sum();
        self.recognition.commit(parts);
    }

    /// Returns the time in seconds before which no further word starts.
    pub(super) fn ready_until(&self) -> f64 {
        let ready_until = self.recognition.ready_until();
        self.number_start.map_or(ready_until, |start| start.min(ready_until))
    }

    /// Resamples to 16 kHz, without seams between calls.
    fn resample(&mut self, samples: &[f32], is_last: bool) -> Vec<f32> {
        self.pending.extend_from_slice(samples);
        let count = self.pending.len();
        let incomplete_group =
            self.pending.split_off(if is_last { count } else { count - count % RESAMPLING_GROUP });
        let complete_groups = std::mem::replace(&mut self.pending, incomplete_group);
        resample_for_recognition(&Pcm::mono(complete_groups, SampleRate::HZ_24K))
    }
}

/// Returns words in lowercase, without punctuation; drops words that consist of punctuation only.
fn normalized_words(words: impl IntoIterator<Item = Word>) -> Vec<Word> {
    let words = words.into_iter().map(|word| Word { text: normalized(&word.text), ..word });
    words.filter(|word| !word.text.is_empty()).collect()
}

/// Joins the parts of numbers, such as `3` and `.5`.
fn joined_words(words: impl IntoIterator<Item = Word>) -> impl Iterator<Item = Word> {
    join_numbers(words).into_iter().map(|(word, _)| word)
}

/// Joins the parts of numbers, such as `3` and `.5`. Returns the words with the number of their
/// parts.
fn join_numbers(words: impl IntoIterator<Item = Word>) -> Vec<(Word, usize)> {
    let mut joined: Vec<(Word, usize)> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some((previous, parts)) if continues_number(&previous.text, &word.text) => {
                previous.text.push_str(&word.text);
                previous.end = word.end;
                *parts += 1;
            }
            _ => joined.push((word, 1)),
        }
    }
    joined
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

        fn commit(&mut self, _: usize) {}

        fn ready_until(&self) -> f64 {
            0.0
        }
    }

    /// Returns scripted words, one call after the other, until they are committed; no further word
    /// starts before the end of the last one plus a pause.
    struct ScriptedRecognition {
        calls: std::vec::IntoIter<(Vec<Word>, f64)>,
        uncommitted: Vec<Word>,
        until: f64,
    }

    impl SimultaneousRecognition for ScriptedRecognition {
        fn push(&mut self, _: &[f32], _: bool) -> Result<Vec<Word>, RecognizeError> {
            let (words, pause) = self.calls.next().unwrap();
            self.until = words.last().map_or(self.until, |word| word.end) + pause;
            self.uncommitted.extend(words);
            Ok(self.uncommitted.clone())
        }

        fn commit(&mut self, count: usize) {
            self.uncommitted.drain(..count);
        }

        fn ready_until(&self) -> f64 {
            self.until
        }
    }

    /// Words of 0.5 s, from `start` on.
    fn words(start: f64, texts: &[&str]) -> Vec<Word> {
        let word = |(number, text): (u32, &&str)| {
            let start = start + 0.5 * f64::from(number);
            Word { text: (*text).to_owned(), start, end: start + 0.5 }
        };
        (0..).zip(texts).map(word).collect()
    }

    #[test]
    fn recognised_parts_of_numbers_are_joined() {
        let recognised_words = normalized_words(joined_words(words(
            0.0,
            &["About", "3", ".5", "or", "1", ",000", ",000."],
        )));
        let texts: Vec<&str> = recognised_words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["about", "3.5", "or", "1,000,000"]);
        assert_eq!((recognised_words[1].start, recognised_words[1].end), (0.5, 1.5));
    }

    #[test]
    fn split_number_waits_for_its_second_part() {
        let calls = [
            (words(0.0, &["about", "3"]), 0.0),
            (words(1.0, &[".5", "or", "4"]), 0.0),
            // A pause ends the number.
            (Vec::new(), 0.8),
            (words(4.0, &["5"]), 0.0),
            (Vec::new(), 0.0),
        ];
        let calls = Vec::from(calls).into_iter();
        let script = ScriptedRecognition { calls, uncommitted: Vec::new(), until: 0.0 };
        let mut recognizer = LiveRecognizer::new(Box::new(script));
        // Columns: words · time before which no further word starts
        for (number, expected, until) in [
            (1, &["about"][..], 0.5),
            (2, &["3.5", "or"], 2.0),
            (3, &["4"], 3.3),
            (4, &[], 4.0),
            (5, &["5"], 4.5),
        ] {
            let recognised_words = recognizer.process(&[0.0; 3], number == 5).unwrap();
            let texts: Vec<&str> =
                recognised_words.iter().map(|recognised| recognised.word.text.as_str()).collect();
            assert_eq!(texts, expected, "call {number}");
            assert!((recognizer.ready_until() - until).abs() < 1e-9, "call {number}");
            recognizer.commit(recognised_words.len());
        }
    }

    #[test]
    fn resampling_in_frames_equals_resampling_at_once() {
        let samples: Vec<f32> = (0..5_001).map(|n| (n as f32 * 0.37).sin() * 0.5).collect();
        let expected = resample_for_recognition(&Pcm::mono(samples.clone(), SampleRate::HZ_24K));
        for length in [1_920, 1_001, 7] {
            let recognised = Arc::default();
            let mut recognizer = LiveRecognizer::new(Box::new(Recorder(Arc::clone(&recognised))));
            let frames = samples.chunks(length);
            let count = frames.len();
            for (number, frame) in (1..).zip(frames) {
                recognizer.process(frame, number == count).unwrap();
            }
            let recognised = recognised.lock().unwrap();
            assert_eq!(recognised.len(), expected.len(), "{length}");
            assert!(
                recognised.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-6),
                "{length}"
            );
        }
    }
}
