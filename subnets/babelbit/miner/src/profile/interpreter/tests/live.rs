//! The words of a simultaneous policy.

use taonet_speech::SimultaneousRecognition;

use super::*;

/// Length of the audio between two passes of [`ScriptedPasses`], in samples at 16 kHz: 0.8 s.
const PASS_SAMPLES: usize = 12_800;

/// A simultaneous recogniser that recognises the next scripted text at each pass: all words of the
/// speech so far, 0.4 s each, of which those that are not committed are ready.
struct ScriptedPasses(Vec<&'static str>);

impl SimultaneousRecognizer for ScriptedPasses {
    fn name(&self) -> &'static str {
        "passes"
    }

    fn open(&self, _: Option<&str>) -> Box<dyn SimultaneousRecognition> {
        let texts = self.0.clone().into_iter();
        Box::new(ScriptedSpeech { texts, new_samples: 0, committed: 0, words: Vec::new() })
    }
}

struct ScriptedSpeech {
    texts: std::vec::IntoIter<&'static str>,
    /// Number of samples since the last pass.
    new_samples: usize,
    committed: usize,
    words: Vec<Word>,
}

impl SimultaneousRecognition for ScriptedSpeech {
    fn push(&mut self, samples: &[f32], is_end: bool) -> Result<Vec<Word>, RecognizeError> {
        self.new_samples += samples.len();
        if self.new_samples >= PASS_SAMPLES || is_end {
            self.new_samples = 0;
            let text = self.texts.next().expect("one more pass than in the script");
            let words = (0..).zip(text.split_whitespace()).map(|(n, text)| Word {
                text: text.to_owned(),
                start: f64::from(n) * 0.4,
                end: f64::from(n) * 0.4 + 0.35,
            });
            self.words = words.skip(self.committed).collect();
        }
        Ok(self.words.clone())
    }

    fn commit(&mut self, count: usize) {
        self.committed += count;
        self.words.drain(..count);
    }

    fn ready_until(&self) -> f64 {
        self.words.last().map_or(0.0, |word| word.end)
    }
}

/// Plays 0.8 s of speech for each text to an interpreter whose simultaneous recogniser recognises
/// it then, and returns the spoken phrases.
fn interpret_passes(texts: &[&'static str]) -> Vec<String> {
    let (stages, synthesizer) = interpreter(&[]);
    let stages = stages.simultaneous(Arc::new(ScriptedPasses(texts.to_vec())));
    play(&stages, &source(&[800 * texts.len() - 200]));
    self::texts(&synthesizer)
}

#[test]
fn words_are_revised_until_their_phrase_is_complete() {
    let spoken = interpret_passes(&[
        "the fairy",
        "the ferry leave",
        "the ferry leaves the harbour at",
        // The spoken words remain as they are.
        "the fairy leads a harbour at noon today",
    ]);
    assert_eq!(spoken, ["the ferry leaves the harbour.", "at noon today."]);
}

#[test]
fn clause_is_interpreted_when_another_word_follows() {
    let spoken = interpret_passes(&[
        "we should leave, because",
        "we should leave, because the train is late",
    ]);
    assert_eq!(spoken, ["we should leave.", "because the train is late."]);
    // The sentence seemed to end with the audio.
    let spoken = interpret_passes(&["we should leave.", "we should leave the house now"]);
    assert_eq!(spoken, ["we should leave the house now."]);
}

#[test]
fn withdrawn_words_are_not_spoken() {
    let spoken =
        interpret_passes(&["the old ferry", "the old ferry thank you", "the old ferry", ""]);
    assert_eq!(spoken, Vec::<String>::new());
    let spoken =
        interpret_passes(&["the old ferry", "the old ferry thank you", "the old ferry leaves"]);
    assert_eq!(spoken, ["the old ferry leaves."]);
}

/// A simultaneous recogniser that has 40 further words of a repeated sentence at each pass.
struct EndlessRecognizer;

impl SimultaneousRecognizer for EndlessRecognizer {
    fn name(&self) -> &'static str {
        "endless"
    }

    fn open(&self, _: Option<&str>) -> Box<dyn SimultaneousRecognition> {
        Box::new(EndlessSpeech::default())
    }
}

#[derive(Default)]
struct EndlessSpeech {
    /// Length of the speech in samples at 16 kHz, and of the part before the last pass.
    samples: usize,
    passed: usize,
    words: Vec<Word>,
}

impl SimultaneousRecognition for EndlessSpeech {
    fn push(&mut self, samples: &[f32], is_end: bool) -> Result<Vec<Word>, RecognizeError> {
        self.samples += samples.len();
        if self.samples - self.passed >= PASS_SAMPLES || is_end {
            let start = self.passed as f64 / 16_000.0;
            let sentence = "thank you very much for watching this video to the end".split(' ');
            self.words.extend((0..).zip(sentence.cycle().take(40)).map(|(n, text)| Word {
                text: text.to_owned(),
                start: start + f64::from(n) * 0.02,
                end: start + f64::from(n + 1) * 0.02,
            }));
            self.passed = self.samples;
        }
        Ok(self.words.clone())
    }

    fn commit(&mut self, count: usize) {
        self.words.drain(..count);
    }

    fn ready_until(&self) -> f64 {
        self.words.last().map_or(0.0, |word| word.end)
    }
}

#[test]
fn endless_repetition_lengthens_reply_by_at_most_10_s() {
    for source_seconds in [2, 8, 40] {
        let stages = interpreter(&[]).0.simultaneous(Arc::new(EndlessRecognizer));
        let source = source(&[1000 * source_seconds]);
        let spoken = seconds(&play(&stages, &source));
        let duration = source.len() as f64 / 24_000.0;
        let max_duration = duration + (0.3 * duration).clamp(3.0, 10.0) + 1e-9;
        assert!(spoken > 0.0 && spoken <= max_duration, "{spoken} s in {duration} s");
    }
}

/// Columns: number of words spoken · backlog in seconds · maximum speed · speed of 6 further words
/// in percent of the normal rate, after a reply of 5 s
#[test]
fn speed_follows_the_backlog_up_to_the_maximum_of_the_voice() {
    for (spoken_words, ahead, max_speed, expected) in [
        (8, 0.0, 1.4, 125),
        (8, FULL_SPEED_BACKLOG_S / 3.0, 1.4, 130),
        (8, FULL_SPEED_BACKLOG_S, 1.4, 140),
        (20, FULL_SPEED_BACKLOG_S, 1.4, 125),
        (8, FULL_SPEED_BACKLOG_S, 1.0, 100),
    ] {
        let mut stages = interpreter(&[]).0.simultaneous(Arc::new(EndlessRecognizer));
        stages.max_speed = max_speed;
        let mut session = stages.open_session(1, None);
        session.spoken_words = spoken_words;
        session.playback.append_speech(5 * 24_000);
        session.playback.advance(((5.0 - ahead) * 24_000.0) as usize);
        let speed = (session.speed(6, false) * 100.0).round() as u32;
        assert_eq!(speed, expected, "{spoken_words} words, {ahead} s, at most {max_speed}");
    }
}

/// Validators measure the speaking rate of the samples, without the time between them.
#[test]
fn pause_of_live_reply_is_limited() {
    let (stages, synthesizer) = interpreter(&[]);
    let stages = stages.simultaneous(Arc::new(ScriptedPasses(vec!["we can leave now, and"; 6])));
    let mut session = stages.open_session(1, None);
    let mut sent_samples = 0;
    for frame in source(&[3_800]).chunks(1920) {
        sent_samples += session.push(frame, false).unwrap().samples.len();
    }
    assert_eq!(*synthesizer.0.lock().unwrap(), [("we can leave now.".to_owned(), 188)]);
    let pause = (sent_samples - 4 * 60 * 24_000 / 188) as f64 / 24_000.0;
    assert!((MAX_LIVE_PAUSE_S..MAX_LIVE_PAUSE_S + 0.1).contains(&pause), "{pause} s");
}
