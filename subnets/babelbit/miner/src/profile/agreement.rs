//! Incremental recognition: while the source plays, its last seconds are transcribed repeatedly.

use std::time::Instant;

use taonet_babelbit_core::protocol::SAMPLE_RATE_HZ;
use taonet_primitives::Word;
use taonet_speech::RecognizeError;

use super::listener::Listener;

/// Amount of new source audio between two recognition passes, in samples at 24 kHz: 0.8 s.
const STEP: usize = 19_200;
/// Maximum length of the buffered audio, above which its beginning is dropped, in samples at 24 kHz: 16 s.
const LONGEST: usize = 16 * SAMPLE_RATE_HZ as usize;
/// Length of the audio before the last final word that stays in the buffer as context, in seconds.
const CONTEXT: f64 = 4.0;
/// Inaccuracy of word times, in seconds.
const JITTER: f64 = 0.1;
/// Maximum distance in seconds at which a repeated final word is recognised as such.
const NEAR: f64 = 1.0;
/// Number of final words compared with the beginning of a hearing.
const REPEATED: usize = 5;
/// Amplitude at or below which a step is silent.
const SILENCE: f32 = 0.002;

/// Incremental recognition stage: words on which two consecutive recognition passes agree are final.
///
/// The end of a recording is where recognisers err: a word is cut off, or its continuation would change it. The next
/// pass has more audio after these words, and corrects or confirms them. Times are in seconds from the start of the
/// source.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// The last part of the source.
    samples: Vec<f32>,
    /// Number of samples dropped before it.
    dropped: usize,
    /// Number of new samples since the last hearing.
    new: usize,
    /// Words of the last recognition pass that are not final.
    tentative: Vec<Word>,
    /// The most recent final words.
    settled: Vec<Word>,
}

impl Agreement {
    /// Appends samples at 24 kHz.
    pub(super) fn hear(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
        self.new += samples.len();
    }

    /// Returns the words that have become final: none unless a step of new audio was complete and transcribed. At the
    /// end of the source, all words are final. A call to a server ends at `deadline`.
    pub(super) fn find(
        &mut self,
        listener: &Listener,
        end: bool,
        deadline: Instant,
    ) -> Result<Vec<Word>, RecognizeError> {
        if self.new < STEP && !end {
            return Ok(Vec::new());
        }
        let fresh = self.samples.get(self.samples.len().saturating_sub(self.new)..).unwrap_or_default();
        let is_silent = fresh.iter().all(|sample| sample.abs() <= SILENCE);
        self.new = 0;
        // Silence confirms the words before it only if they are not final yet.
        let heard =
            if is_silent && self.tentative.is_empty() { Vec::new() } else { self.unsettled(listener, deadline)? };
        let agreed = if end { heard.len() } else { common(&self.tentative, &heard) };
        let mut agreed_words = heard;
        self.tentative = agreed_words.split_off(agreed);
        self.settled.extend_from_slice(&agreed_words);
        self.settled.drain(..self.settled.len().saturating_sub(REPEATED));
        self.forget(is_silent);
        Ok(agreed_words)
    }

    /// Returns the start of the first word that is not final, or the end of the transcribed audio.
    pub(super) fn settled_until(&self) -> f64 {
        let end = seconds((self.dropped + self.samples.len()).saturating_sub(self.new));
        self.tentative.first().map_or(end, |word| word.start)
    }

    /// Transcribes the buffered audio again and returns the words after the final ones.
    fn unsettled(&self, listener: &Listener, deadline: Instant) -> Result<Vec<Word>, RecognizeError> {
        let shift = seconds(self.dropped);
        let words = listener.listen(&self.samples, deadline)?;
        let until = self.settled.last().map_or(f64::NEG_INFINITY, |word| word.end);
        let later = words.into_iter().map(|word| Word { start: word.start + shift, end: word.end + shift, ..word });
        let mut later: Vec<Word> = later.filter(|word| f64::midpoint(word.start, word.end) > until - JITTER).collect();
        if later.first().is_some_and(|word| word.start < until + NEAR) {
            // A final word whose time has moved is heard again.
            let repeated = (1..=REPEATED.min(later.len()).min(self.settled.len())).rev().find(|count| {
                let last = self.settled.iter().skip(self.settled.len() - count);
                last.zip(&later).all(|(one, other)| one.text == other.text && other.start < until)
            });
            later.drain(..repeated.unwrap_or_default());
        }
        Ok(later)
    }

    /// Drops audio that is no longer needed.
    fn forget(&mut self, is_silent: bool) {
        let length = self.samples.len();
        let surplus = if is_silent && self.tentative.is_empty() {
            // Nothing was said: a short silence remains before the next word.
            length.saturating_sub(STEP)
        } else if length > LONGEST {
            let kept = self.settled.last().map_or(0.0, |word| word.end - CONTEXT) - seconds(self.dropped);
            let kept = (kept.max(0.0) * f64::from(SAMPLE_RATE_HZ)) as usize;
            // Without any agreement, at least the oldest half goes, so that each hearing has a bound.
            kept.max(length.saturating_sub(2 * LONGEST)).min(length)
        } else {
            0
        };
        self.samples.drain(..surplus);
        self.dropped += surplus;
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE_HZ)
}

/// Returns the length of the common prefix of two transcripts, in words.
fn common(one: &[Word], other: &[Word]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one.text == other.text).count()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use taonet_primitives::Transcript;
    use taonet_speech::{Recognition, Recognizer};

    use super::*;

    /// A recogniser that returns scripted transcripts in order: words with their ends in seconds from the start of the
    /// recording.
    struct Script(Mutex<std::vec::IntoIter<Vec<(&'static str, f64)>>>);

    impl Recognizer for Script {
        fn name(&self) -> &'static str {
            "script"
        }

        fn fingerprint(&self) -> &'static str {
            "script"
        }

        fn recognize(&self, _: &[f32]) -> Result<Recognition, RecognizeError> {
            let hearing = self.0.lock().unwrap().next().expect("one more hearing than in the script");
            // The listener adds 0.2 s of silence.
            let words =
                hearing.into_iter().map(|(text, end)| Word { text: text.to_owned(), start: end, end: end + 0.2 });
            let transcript =
                Transcript { text: String::new(), words: words.collect(), detected_language: "en".to_owned() };
            Ok(Recognition { transcript, confidence: 1.0 })
        }
    }

    /// Plays one step of audio per recognition pass, and returns the words that become final in each.
    fn play(hearings: Vec<Vec<(&'static str, f64)>>) -> Vec<String> {
        let count = hearings.len();
        let listener = Listener::new(Arc::new(Script(Mutex::new(hearings.into_iter()))));
        let mut agreement = Agreement::default();
        let steps = (1..=count).map(|step| {
            agreement.hear(&vec![0.3; STEP]);
            let words = agreement.find(&listener, step == count, Instant::now()).unwrap();
            words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
        });
        steps.collect()
    }

    #[test]
    fn words_that_two_hearings_agree_on_are_final() {
        let found = play(vec![
            vec![("the", 0.4), ("fair", 0.8)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaf", 1.5)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaves", 1.6), ("at", 1.9), ("no", 2.3)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaves", 1.6), ("at", 1.9), ("noon", 2.4)],
            vec![("the", 0.4), ("ferry", 0.9), ("leaves", 1.6), ("at", 1.9), ("noon", 2.4), ("today", 3.2)],
        ]);
        assert_eq!(found, ["", "the", "ferry", "leaves at", "noon today"]);
    }

    #[test]
    fn final_words_are_not_said_again() {
        // The second hearing moves the final words "we must" back and forth.
        let found = play(vec![
            vec![("we", 0.3), ("must", 0.6)],
            vec![("we", 0.3), ("must", 0.6), ("go", 1.2)],
            vec![("must", 0.75), ("go", 1.2), ("we", 1.6)],
            vec![("we", 0.3), ("must", 0.55), ("go", 1.1), ("we", 1.6), ("must", 1.9)],
            vec![("we", 0.3), ("must", 0.6), ("go", 1.2), ("we", 1.6), ("must", 1.9)],
        ]);
        assert_eq!(found, ["", "we must", "go", "we", "must"]);
    }

    #[test]
    fn a_source_of_any_length_is_heard_in_bounded_pieces() {
        struct Longest(Mutex<usize>);
        impl Recognizer for Longest {
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
                let word = Word { text: longest.to_string() + &samples.len().to_string(), start: 1.0, end: 1.2 };
                let transcript =
                    Transcript { text: String::new(), words: vec![word], detected_language: "en".to_owned() };
                Ok(Recognition { transcript, confidence: 1.0 })
            }
        }
        let recognizer = Arc::new(Longest(Mutex::new(0)));
        let listener = Listener::new(Arc::clone(&recognizer) as Arc<dyn Recognizer>);
        let mut agreement = Agreement::default();
        for _ in 0..200 {
            agreement.hear(&vec![0.3; STEP]);
            agreement.find(&listener, false, Instant::now()).unwrap();
        }
        assert!(*recognizer.0.lock().unwrap() < 34 * 16_000);
        assert!(agreement.samples.len() < 33 * SAMPLE_RATE_HZ as usize);
    }

    #[test]
    fn silence_is_not_heard() {
        let listener =
            Listener::new(Arc::new(Script(Mutex::new(vec![vec![("yes", 0.4)], vec![("yes", 0.4)]].into_iter()))));
        let mut agreement = Agreement::default();
        let mut heard = Vec::new();
        for step in 0..30 {
            agreement.hear(&if step == 3 { vec![0.3; STEP] } else { vec![0.0; STEP] });
            heard.extend(agreement.find(&listener, step == 29, Instant::now()).unwrap());
        }
        // One hearing of the word, one that confirms it; the silence before and after is not heard.
        assert_eq!(heard.len(), 1);
        assert!(agreement.samples.len() <= STEP);
    }
}
