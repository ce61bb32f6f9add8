//! Captions: transcripts of the speech of visitors and miners, while they speak and at the end.

use std::sync::Arc;

use serde::Serialize;
use taonet_primitives::{SampleRate, Transcript, Word};
use taonet_speech::{Pcm, RecognizeError, Recognizer, resample_for_recognition};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Samples per second.
const SAMPLE_RATE: f64 = 24_000.0;
/// Minimum number of new samples between two passes of the recogniser: 0.5 s.
const MIN_NEW_SAMPLES: usize = 12_000;
/// Duration of the speech of a pass, in seconds, above which its first words become final. It
/// bounds the cost of a pass, and leaves the recogniser the context of a sentence.
const MAX_WINDOW_SECONDS: f64 = 8.0;
/// Duration at the end of a pass in which no word becomes final, in seconds: what follows can still
/// change it.
const TENTATIVE_SECONDS: f64 = 2.0;
/// Amplitude at or below which speech is silence. It is not transcribed: Whisper takes several
/// times as long for it as for speech, and invents words.
const SILENCE_AMPLITUDE: f32 = 0.01;
/// Ends of sentences, at which the speech of a pass is cut.
const SENTENCE_ENDS: [char; 7] = ['.', '?', '!', '…', '。', '？', '！'];

/// A recogniser that transcribes one recording at a time, so that captions leave processor time for
/// the miners.
pub(super) struct Captions {
    recognizer: Arc<dyn Recognizer>,
    semaphore: Arc<Semaphore>,
}

/// A caption of unfinished speech.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Caption {
    /// The words so far.
    pub(super) text: String,
    /// Code of the detected language; empty if it is unknown.
    pub(super) language: String,
    /// Duration of the latest transcription in seconds, including the wait for other captions.
    pub(super) delay_sec: f64,
}

/// The caption of one speaker, and the part of the speech that later passes transcribe again.
#[derive(Debug, Default)]
pub(super) struct CaptionTrack {
    caption: Caption,
    /// Text of the final words.
    final_text: String,
    /// Number of samples before the first word that is not final.
    final_samples: usize,
    /// All words, with times from the start of the speech.
    words: Vec<Word>,
    /// Number of words that are final.
    final_words: usize,
    /// Number of samples that have been transcribed.
    transcribed_samples: usize,
}

impl Captions {
    pub(super) fn new(recognizer: Arc<dyn Recognizer>) -> Self {
        Self { recognizer, semaphore: Arc::new(Semaphore::new(1)) }
    }

    /// Extends a caption by transcribing `unfinished`, the speech after
    /// [`CaptionTrack::final_samples`], if it has enough new samples.
    pub(super) async fn extend(&self, track: &mut CaptionTrack, unfinished: Vec<f32>) {
        let (samples, start) = (unfinished.len(), Instant::now());
        if track.final_samples + samples < track.transcribed_samples + MIN_NEW_SAMPLES {
            return;
        }
        if unfinished.iter().all(|sample| sample.abs() <= SILENCE_AMPLITUDE) {
            track.skip_silence(samples);
            return;
        }
        let transcript = self.transcribe(unfinished).await;
        track.update(samples, transcript);
        track.caption.delay_sec = start.elapsed().as_secs_f64();
    }

    /// Transcribes mono samples at 24 kHz. The transcript is empty if there is no speech, or if the
    /// recogniser fails.
    pub(super) async fn transcribe(&self, samples: Vec<f32>) -> Transcript {
        let Ok(permit) = Arc::clone(&self.semaphore).acquire_owned().await else {
            return Transcript::default();
        };
        let recognizer = Arc::clone(&self.recognizer);
        let recognize = move || {
            // Held until the work ends, even if the visitor disconnects.
            let _permit = permit;
            recognizer.recognize(&resample_for_recognition(&Pcm::mono(samples, SampleRate::HZ_24K)))
        };
        match tokio::task::spawn_blocking(recognize).await {
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

impl CaptionTrack {
    /// Returns the caption so far.
    pub(super) const fn caption(&self) -> &Caption {
        &self.caption
    }

    /// Returns the words so far, with times from the start of the speech.
    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// Returns the number of samples that are not transcribed again.
    pub(super) const fn final_samples(&self) -> usize {
        self.final_samples
    }

    /// Skips silence after the final words, except for its end, in which speech can begin.
    fn skip_silence(&mut self, samples: usize) {
        self.transcribed_samples = self.final_samples + samples;
        self.final_samples += samples.saturating_sub(MIN_NEW_SAMPLES);
    }

    /// Replaces the words that are not final by the transcript of the `samples` after the final
    /// ones.
    fn update(&mut self, samples: usize, transcript: Transcript) {
        let Transcript { text, words, detected_language } = transcript;
        let (duration, shift) =
            (samples as f64 / SAMPLE_RATE, self.final_samples as f64 / SAMPLE_RATE);
        self.transcribed_samples = self.final_samples + samples;
        if !text.is_empty() && !detected_language.is_empty() {
            self.caption.language = detected_language;
        }
        let (count, final_end) =
            if duration > MAX_WINDOW_SECONDS && (text.is_empty() || !words.is_empty()) {
                final_part(&words, duration)
            } else {
                (0, 0.0)
            };
        let (final_text, tentative) =
            text.split_at_checked(words_end(&text, &words, count)).unwrap_or((text.as_str(), ""));
        append_words(&mut self.final_text, final_text);
        self.caption.text.clone_from(&self.final_text);
        append_words(&mut self.caption.text, tentative);
        self.words.truncate(self.final_words);
        self.words.extend(words.into_iter().map(|word| Word {
            start: word.start + shift,
            end: word.end + shift,
            ..word
        }));
        self.final_words += count;
        self.final_samples += (final_end * SAMPLE_RATE) as usize;
    }
}

/// Returns how many words of a pass over `duration` seconds are final, and the time at which they
/// end: those up to the last end of a sentence, or else up to the longest pause, except for the
/// tentative ones.
fn final_part(words: &[Word], duration: f64) -> (usize, f64) {
    let limit = duration - TENTATIVE_SECONDS;
    let pause = |(index, word): (usize, &Word)| {
        words.get(index + 1).map_or(duration, |next| next.start) - word.end
    };
    let candidates = words.iter().enumerate().take_while(|(_, word)| word.end <= limit);
    let sentence_end =
        candidates.clone().filter(|(_, word)| word.text.ends_with(SENTENCE_ENDS)).last();
    let last = sentence_end
        .or_else(|| candidates.max_by(|one, other| pause(*one).total_cmp(&pause(*other))));
    match last {
        Some((index, word)) => (index + 1, word.end + pause((index, word)).max(0.0) / 2.0),
        // Silence is not transcribed again.
        None if words.is_empty() => (0, limit),
        None => (0, 0.0),
    }
}

/// Returns the position in `text` after its first `count` words.
fn words_end(text: &str, words: &[Word], count: usize) -> usize {
    words.iter().take(count).fold(0, |end, word| {
        let following = text.get(end..).unwrap_or_default();
        following.find(&word.text).map_or(end, |start| end + start + word.text.len())
    })
}

/// Appends words after a space.
fn append_words(text: &mut String, addition: &str) {
    let addition = addition.trim();
    if !text.is_empty() && !addition.is_empty() {
        text.push(' ');
    }
    text.push_str(addition);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use taonet_speech::Recognition;

    use super::*;

    /// A recogniser that recognises a word every second, and records the durations of its
    /// recordings in seconds. The amplitude of the samples numbers the words.
    #[derive(Default)]
    struct CountingRecognizer(Mutex<Vec<f64>>);

    /// Samples of seconds of speech with these amplitudes in hundredths; 0 is silence.
    fn speech(amplitudes: impl IntoIterator<Item = usize>) -> Vec<f32> {
        amplitudes.into_iter().flat_map(|second| vec![second as f32 / 100.0; 24_000]).collect()
    }

    impl Recognizer for CountingRecognizer {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn fingerprint(&self) -> &'static str {
            "counting"
        }

        fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
            self.0.lock().unwrap().push(samples.len() as f64 / 16_000.0);
            let mut words = Vec::<Word>::new();
            for (index, sample) in samples.iter().enumerate() {
                let (text, time) = (format!("{:.0}", sample * 100.0), index as f64 / 16_000.0);
                if text == "0" {
                    continue;
                }
                match words.last_mut() {
                    Some(word) if word.text == text => word.end = (time - 0.25).max(word.start),
                    _ => words.push(Word { text, start: time, end: time }),
                }
            }
            // Exact times: the resampler mixes samples at the borders of seconds.
            for word in &mut words {
                [word.start, word.end] =
                    [word.start, word.end].map(|time| (time * 8.0).round() / 8.0);
            }
            // The end of a final word remains in the next pass.
            words.retain(|word| word.end > word.start);
            let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            let transcript = Transcript { text, words, detected_language: "en".to_owned() };
            Ok(Recognition { transcript, confidence: 1.0 })
        }
    }

    #[tokio::test]
    async fn final_words_are_not_transcribed_again() {
        let recognizer = Arc::new(CountingRecognizer::default());
        let captions = Captions::new(Arc::clone(&recognizer) as _);
        let mut track = CaptionTrack::default();
        let speech_samples = speech(11..41);
        for seconds in 1..=30 {
            let unfinished = speech_samples[track.final_samples()..seconds * 24_000].to_vec();
            captions.extend(&mut track, unfinished).await;
            let expected: Vec<_> = (11..11 + seconds).map(|second| second.to_string()).collect();
            assert_eq!(track.caption().text, expected.join(" "));
            let last = track.words().last().unwrap();
            assert!((last.start - (seconds - 1) as f64).abs() < 0.1, "{last:?} of {seconds} s");
        }
        assert_eq!(track.caption().language, "en");
        let durations = recognizer.0.lock().unwrap().clone();
        assert_eq!(durations.len(), 30);
        let max_duration = durations.iter().copied().fold(0.0, f64::max);
        assert!(max_duration <= MAX_WINDOW_SECONDS + 1.0, "{durations:?}");
        // Without new speech, nothing is transcribed.
        let unfinished = speech_samples[track.final_samples()..].to_vec();
        captions.extend(&mut track, unfinished).await;
        assert_eq!(recognizer.0.lock().unwrap().len(), 30);
    }

    #[tokio::test]
    async fn silence_is_not_transcribed() {
        let recognizer = Arc::new(CountingRecognizer::default());
        let captions = Captions::new(Arc::clone(&recognizer) as _);
        let mut track = CaptionTrack::default();
        let speech_samples = speech([0, 0, 0, 11]);
        for seconds in 1..=4 {
            let unfinished = speech_samples[track.final_samples()..seconds * 24_000].to_vec();
            captions.extend(&mut track, unfinished).await;
        }
        // Half a second of silence precedes the word.
        assert_eq!(*recognizer.0.lock().unwrap(), [1.5]);
        let [word] = track.words() else { panic!("{:?}", track.words()) };
        assert!(word.text == "11" && (word.start - 3.0).abs() < 0.1, "{word:?}");
    }

    fn words(texts: &[(&str, f64, f64)]) -> Vec<Word> {
        let word = |(text, start, end): &(&str, f64, f64)| Word {
            text: (*text).to_owned(),
            start: *start,
            end: *end,
        };
        texts.iter().map(word).collect()
    }

    #[test]
    fn speech_is_cut_after_a_sentence_or_in_the_longest_pause() {
        let sentence = words(&[("Yes.", 0.0, 1.0), ("I", 3.0, 3.5), ("do", 4.0, 9.5)]);
        assert_eq!(final_part(&sentence, 10.0), (1, 2.0));
        let pause = words(&[("one", 0.0, 1.0), ("two", 1.5, 2.0), ("three", 4.0, 9.5)]);
        assert_eq!(final_part(&pause, 10.0), (2, 3.0));
        // All words may still change.
        assert_eq!(final_part(&words(&[("long", 0.0, 9.5)]), 10.0), (0, 0.0));
        assert_eq!(final_part(&[], 10.0), (0, 8.0));
    }

    #[test]
    fn final_text_ends_with_its_last_word() {
        let text = "I, who am? I.";
        let spoken =
            words(&[("I,", 0.0, 1.0), ("who", 1.0, 2.0), ("am?", 2.0, 3.0), ("I.", 3.0, 4.0)]);
        for (count, end) in [(0, ""), (1, "I,"), (3, "I, who am?"), (4, text)] {
            assert_eq!(&text[..words_end(text, &spoken, count)], end);
        }
        // The recogniser spells a word differently in its text.
        assert_eq!(words_end(text, &words(&[("Who", 0.0, 1.0)]), 1), 0);
    }
}
