//! Local agreement: words on which two consecutive recognition passes agree are final.

use std::sync::Arc;

use taonet_primitives::{SampleRate, Word};

use super::{SimultaneousRecognition, SimultaneousRecognizer};
use crate::{RecognizeError, Recognizer};

/// Sample rate of recognisers, in Hz.
const SAMPLE_RATE: usize = SampleRate::HZ_16K.hz() as usize;
/// Amount of new audio between two recognition passes, in samples: 0.8 s.
const STEP_SAMPLES: usize = 4 * SAMPLE_RATE / 5;
/// Maximum length of the buffered audio, above which its beginning is dropped, in samples: 16 s.
const MAX_PASS_SAMPLES: usize = 16 * SAMPLE_RATE;
/// Length of the audio before the last final word that stays in the buffer as context, in seconds.
const CONTEXT_S: f64 = 4.0;
/// Padding before and after a recording, in samples: 0.2 s and 0.4 s of silence. Recognisers expect
/// silence at both ends, and their output lags slightly.
const PADDING_BEFORE_SAMPLES: usize = SAMPLE_RATE / 5;
const PADDING_AFTER_SAMPLES: usize = 2 * SAMPLE_RATE / 5;
/// Inaccuracy of word times, in seconds.
const JITTER_S: f64 = 0.1;
/// Maximum distance in seconds at which a repeated final word is recognised as such.
const MAX_REPEAT_DISTANCE_S: f64 = 1.0;
/// Number of final words compared with the beginning of a transcript.
const COMPARED_WORDS: usize = 5;
/// Amplitude at or below which a step is silent.
const MAX_SILENT_AMPLITUDE: f32 = 0.002;

/// Simultaneous policy for any recogniser: the last seconds of the speech are transcribed
/// repeatedly, and words on which two consecutive passes agree are final: ready, and not revised.
///
/// The end of a recording is where recognisers err: a word is cut off, or its continuation would
/// change it. The next pass has more audio after these words, and corrects or confirms them. Words
/// are compared without case and punctuation, and words without letters and digits are dropped.
#[derive(Clone)]
pub struct LocalAgreement(Arc<dyn Recognizer>);

impl LocalAgreement {
    /// Creates the policy for a recogniser.
    pub fn new(recognizer: Arc<dyn Recognizer>) -> Self {
        Self(recognizer)
    }
}

impl SimultaneousRecognizer for LocalAgreement {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn open(&self, _language: Option<&str>) -> Box<dyn SimultaneousRecognition> {
        Box::new(AgreementRecognition::new(Arc::clone(&self.0)))
    }
}

/// Local agreement on one speech.
struct AgreementRecognition {
    recognizer: Arc<dyn Recognizer>,
    /// The last part of the speech.
    samples: Vec<f32>,
    /// Number of samples dropped before it.
    dropped_count: usize,
    /// Number of new samples since the last pass.
    new_count: usize,
    /// Words of the last pass that are not final.
    tentative: Vec<Word>,
    /// The most recent final words.
    final_words: Vec<Word>,
    /// Final words that are not committed.
    uncommitted: Vec<Word>,
}

impl AgreementRecognition {
    fn new(recognizer: Arc<dyn Recognizer>) -> Self {
        Self {
            recognizer,
            samples: Vec::new(),
            dropped_count: 0,
            new_count: 0,
            tentative: Vec::new(),
            final_words: Vec::new(),
            uncommitted: Vec::new(),
        }
    }

    /// Transcribes the buffered audio and returns words with times from its start.
    fn transcribe(&self) -> Result<Vec<Word>, RecognizeError> {
        if self.samples.is_empty() {
            return Ok(Vec::new());
        }
        let mut padded = vec![0.0; PADDING_BEFORE_SAMPLES];
        padded.extend_from_slice(&self.samples);
        padded.resize(padded.len() + PADDING_AFTER_SAMPLES, 0.0);
        let shift = seconds(PADDING_BEFORE_SAMPLES);
        let words = self.recognizer.recognize(&padded)?.transcript.words.into_iter().map(|word| {
            Word { start: (word.start - shift).max(0.0), end: (word.end - shift).max(0.0), ..word }
        });
        Ok(words.filter(|word| letters(&word.text).next().is_some()).collect())
    }

    /// Transcribes the buffered audio again and returns the words after the final ones.
    fn words_after_final(&self) -> Result<Vec<Word>, RecognizeError> {
        let shift = seconds(self.dropped_count);
        let words = self.transcribe()?;
        let last_end = self.final_words.last().map_or(f64::NEG_INFINITY, |word| word.end);
        let new_words = words.into_iter().map(|word| Word {
            start: word.start + shift,
            end: word.end + shift,
            ..word
        });
        let mut new_words: Vec<Word> = new_words
            .filter(|word| f64::midpoint(word.start, word.end) > last_end - JITTER_S)
            .collect();
        if new_words.first().is_some_and(|word| word.start < last_end + MAX_REPEAT_DISTANCE_S) {
            // A final word whose time has moved is recognised again.
            let repeated_count =
                (1..=COMPARED_WORDS.min(new_words.len()).min(self.final_words.len())).rev().find(
                    |count| {
                        let last = self.final_words.iter().skip(self.final_words.len() - count);
                        last.zip(&new_words)
                            .all(|(one, other)| is_same_word(one, other) && other.start < last_end)
                    },
                );
            new_words.drain(..repeated_count.unwrap_or_default());
        }
        Ok(new_words)
    }

    /// Drops audio that is no longer needed.
    fn drop_old_samples(&mut self, is_silent: bool) {
        let length = self.samples.len();
        let dropped_samples = if is_silent && self.tentative.is_empty() {
            // Nothing was said: a short silence remains before the next word.
            length.saturating_sub(STEP_SAMPLES)
        } else if length > MAX_PASS_SAMPLES {
            let retained_from = self.final_words.last().map_or(0.0, |word| word.end - CONTEXT_S)
                - seconds(self.dropped_count);
            let retained_from = (retained_from.max(0.0) * SAMPLE_RATE as f64) as usize;
            // Without any agreement, at least the oldest half is dropped, so that each pass has a
            // bound.
            retained_from.max(length.saturating_sub(2 * MAX_PASS_SAMPLES)).min(length)
        } else {
            0
        };
        self.samples.drain(..dropped_samples);
        self.dropped_count += dropped_samples;
    }
}

impl SimultaneousRecognition for AgreementRecognition {
    fn push(&mut self, samples: &[f32], is_end: bool) -> Result<Vec<Word>, RecognizeError> {
        self.samples.extend_from_slice(samples);
        self.new_count += samples.len();
        if self.new_count < STEP_SAMPLES && !is_end {
            return Ok(self.uncommitted.clone());
        }
        let new_samples = self
            .samples
            .get(self.samples.len().saturating_sub(self.new_count)..)
            .unwrap_or_default();
        let is_silent = new_samples.iter().all(|sample| sample.abs() <= MAX_SILENT_AMPLITUDE);
        self.new_count = 0;
        // Silence confirms the words before it only if they are not final yet.
        let mut words = if is_silent && self.tentative.is_empty() {
            Vec::new()
        } else {
            self.words_after_final()?
        };
        let agreed_count =
            if is_end { words.len() } else { agreed_prefix_length(&self.tentative, &words) };
        self.tentative = words.split_off(agreed_count);
        self.final_words.extend_from_slice(&words);
        self.final_words.drain(..self.final_words.len().saturating_sub(COMPARED_WORDS));
        self.uncommitted.append(&mut words);
        self.drop_old_samples(is_silent);
        Ok(self.uncommitted.clone())
    }

    fn commit(&mut self, count: usize) {
        self.uncommitted.drain(..count.min(self.uncommitted.len()));
    }

    fn ready_until(&self) -> f64 {
        let end = seconds((self.dropped_count + self.samples.len()).saturating_sub(self.new_count));
        self.tentative.first().map_or(end, |word| word.start)
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / SAMPLE_RATE as f64
}

/// Returns the length of the common prefix of two transcripts, in words.
fn agreed_prefix_length(one: &[Word], other: &[Word]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| is_same_word(one, other)).count()
}

fn is_same_word(one: &Word, other: &Word) -> bool {
    letters(&one.text).eq(letters(&other.text))
}

/// Returns the letters and digits of a word in lowercase.
fn letters(word: &str) -> impl Iterator<Item = char> + '_ {
    word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use taonet_primitives::Transcript;

    use super::*;
    use crate::Recognition;

    /// A recogniser that returns scripted transcripts in order: words with their ends in seconds
    /// from the start of the recording.
    struct Script(Mutex<std::vec::IntoIter<Vec<(&'static str, f64)>>>);

    impl Recognizer for Script {
        fn name(&self) -> &'static str {
            "script"
        }

        fn fingerprint(&self) -> &'static str {
            "script"
        }

        fn recognize(&self, _: &[f32]) -> Result<Recognition, RecognizeError> {
            let words = self.0.lock().unwrap().next().expect("one more pass than in the script");
            // The policy adds 0.2 s of silence.
            let words = words.into_iter().map(|(text, end)| Word {
                text: text.to_owned(),
                start: end,
                end: end + 0.2,
            });
            let transcript = Transcript {
                text: String::new(),
                words: words.collect(),
                detected_language: "en".to_owned(),
            };
            Ok(Recognition { transcript, confidence: 1.0 })
        }
    }

    /// Plays one step of audio per recognition pass, and returns the words that become final in
    /// each.
    fn play(transcripts: Vec<Vec<(&'static str, f64)>>) -> Vec<String> {
        let count = transcripts.len();
        let mut agreement =
            AgreementRecognition::new(Arc::new(Script(Mutex::new(transcripts.into_iter()))));
        let steps = (1..=count).map(|step| {
            let words = agreement.push(&vec![0.3; STEP_SAMPLES], step == count).unwrap();
            agreement.commit(words.len());
            words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
        });
        steps.collect()
    }

    #[test]
    fn words_in_two_consecutive_transcripts_are_final() {
        let actual = play(vec![
            vec![("the", 0.4), ("fair", 0.8)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaf", 1.5)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaves", 1.6), ("at", 1.9), ("no", 2.3)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaves", 1.6), ("at", 1.9), ("noon", 2.4)],
            vec![
                ("the", 0.4),
                ("ferry", 0.9),
                ("leaves", 1.6),
                ("at", 1.9),
                ("noon", 2.4),
                ("today", 3.2),
            ],
        ]);
        assert_eq!(actual, ["", "the", "ferry", "leaves at", "noon today"]);
    }

    #[test]
    fn final_words_are_returned_until_they_are_committed() {
        let words = vec![("we", 0.3), ("must", 0.6), ("go", 1.2)];
        let script = vec![words.clone(), words.clone(), words];
        let mut agreement =
            AgreementRecognition::new(Arc::new(Script(Mutex::new(script.into_iter()))));
        let push = |agreement: &mut AgreementRecognition, length: usize| {
            let words = agreement.push(&vec![0.3; length], false).unwrap();
            words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(push(&mut agreement, STEP_SAMPLES), "");
        assert_eq!(push(&mut agreement, STEP_SAMPLES), "we must go");
        agreement.commit(2);
        assert_eq!(push(&mut agreement, STEP_SAMPLES - 1), "go", "no pass");
        assert_eq!(push(&mut agreement, 1), "go");
        agreement.commit(9);
        assert_eq!(push(&mut agreement, 1), "");
    }

    #[test]
    fn agreed_final_words_are_not_repeated() {
        // Later transcripts move the final words "we must" back and forth.
        let actual = play(vec![
            vec![("we", 0.3), ("must", 0.6)],
            vec![("we", 0.3), ("must", 0.6), ("go", 1.2)],
            vec![("must", 0.75), ("go", 1.2), ("we", 1.6)],
            vec![("we", 0.3), ("must", 0.55), ("go", 1.1), ("we", 1.6), ("must", 1.9)],
            vec![("we", 0.3), ("must", 0.6), ("go", 1.2), ("we", 1.6), ("must", 1.9)],
        ]);
        assert_eq!(actual, ["", "we must", "go", "we", "must"]);
    }

    #[test]
    fn long_audio_is_recognised_in_bounded_windows() {
        struct LongestRecognizer(Mutex<usize>);
        impl Recognizer for LongestRecognizer {
            fn name(&self) -> &'static str {
                "longest"
            }

            fn fingerprint(&self) -> &'static str {
                "longest"
            }

            fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
                let mut longest = self.0.lock().unwrap();
                *longest = samples.len().max(*longest);
                // Another word each time: nothing is ever agreed on.
                let word = Word {
                    text: longest.to_string() + &samples.len().to_string(),
                    start: 1.0,
                    end: 1.2,
                };
                let transcript = Transcript {
                    text: String::new(),
                    words: vec![word],
                    detected_language: "en".to_owned(),
                };
                Ok(Recognition { transcript, confidence: 1.0 })
            }
        }
        let recognizer = Arc::new(LongestRecognizer(Mutex::new(0)));
        let mut agreement =
            AgreementRecognition::new(Arc::clone(&recognizer) as Arc<dyn Recognizer>);
        for _ in 0..200 {
            agreement.push(&vec![0.3; STEP_SAMPLES], false).unwrap();
        }
        assert!(*recognizer.0.lock().unwrap() < 34 * SAMPLE_RATE);
        assert!(agreement.samples.len() < 33 * SAMPLE_RATE);
    }

    #[test]
    fn silence_is_not_recognised() {
        let script = vec![vec![("yes", 0.4)], vec![("Yes.", 0.4)]];
        let mut agreement =
            AgreementRecognition::new(Arc::new(Script(Mutex::new(script.into_iter()))));
        let mut recognised = Vec::new();
        for step in 0..30 {
            let samples = if step == 3 { vec![0.3; STEP_SAMPLES] } else { vec![0.0; STEP_SAMPLES] };
            let words = agreement.push(&samples, step == 29).unwrap();
            agreement.commit(words.len());
            recognised.extend(words);
        }
        // One pass recognises the word and one confirms it; silence before and after needs none.
        assert_eq!(recognised.len(), 1);
        assert!(agreement.samples.len() <= STEP_SAMPLES);
    }
}
