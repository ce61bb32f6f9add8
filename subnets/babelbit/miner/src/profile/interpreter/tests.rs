use std::sync::Mutex;

use taonet_primitives::{SampleRate, Transcript, Word};
use taonet_speech::{
    EmbedError, Embedding, Pcm, Recognition, RecognizeError, SentenceEmbedder, SynthesisError,
};

use super::*;
use crate::shorten::{ProposalError, ProposalLimits};

mod live;

/// A recogniser that returns the next scripted phrase at each call, its words spread over the last 0.9
/// s of speech; earlier audio is context.
struct ScriptedRecognizer(Mutex<std::vec::IntoIter<&'static str>>);

impl Recognizer for ScriptedRecognizer {
    fn name(&self) -> &'static str {
        "script"
    }

    fn fingerprint(&self) -> &'static str {
        "script"
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        let text = self.0.lock().unwrap().next().unwrap_or_default();
        let words: Vec<_> = text.split_whitespace().collect();
        let word_duration = 0.9 / words.len().max(1) as f64;
        // The recording ends with 0.4 s of silence.
        let first = samples.len() as f64 / 16_000.0 - 0.4 - 0.9;
        let words = (0..).zip(words).map(|(n, word)| Word {
            text: word.to_owned(),
            start: first + f64::from(n) * word_duration,
            end: first + (f64::from(n) + 0.8) * word_duration,
        });
        let transcript = Transcript {
            text: text.to_owned(),
            words: words.collect(),
            detected_language: "en".to_owned(),
        };
        Ok(Recognition { transcript, confidence: 1.0 })
    }
}

/// A synthesiser that takes 60 s / rate per word and records its calls.
#[derive(Default)]
struct RecordingSynthesizer(Mutex<Vec<(String, u16)>>);

impl Synthesizer for RecordingSynthesizer {
    fn speak(&self, text: &str, voice: &Voice) -> Result<Pcm, SynthesisError> {
        self.0.lock().unwrap().push((text.to_owned(), voice.words_per_minute));
        let words = text.split_whitespace().count();
        let samples = words * 60 * 24_000 / usize::from(voice.words_per_minute);
        Ok(Pcm::mono(vec![0.5; samples], SampleRate::HZ_24K))
    }

    fn max_clear_speed(&self) -> f64 {
        1.25
    }
}

/// Leaves out the first word of every phrase, in place of a language model.
#[allow(clippy::unnecessary_wraps, reason = "a language model can fail")]
fn drop_first_word(phrase: &str, _: ProposalLimits) -> Result<String, ProposalError> {
    Ok(phrase.split_once(' ').map_or(phrase, |(_, others)| others).to_owned())
}

/// An embedder that gives all texts the same meaning.
struct ConstantEmbedder;

impl SentenceEmbedder for ConstantEmbedder {
    fn name(&self) -> &'static str {
        "same meaning"
    }

    fn fingerprint(&self) -> &'static str {
        "same meaning"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        Ok(vec![Embedding(Arc::from([1.0])); texts.len()])
    }
}

/// Builds source audio: per phrase, speech of the given length in milliseconds and a pause of 200
/// ms.
fn source(phrases: &[usize]) -> Vec<f32> {
    let speech = |length: &usize| {
        let tone = (0..length * 24).map(|n| (n as f32 * 0.1).sin() * 0.3);
        tone.chain(std::iter::repeat_n(0.0, 200 * 24)).collect::<Vec<_>>()
    };
    phrases.iter().flat_map(speech).collect()
}

fn play(profile: &dyn Profile, source: &[f32]) -> Vec<Reply> {
    let mut interpretation = profile.open(1, None);
    let frames: Vec<_> = source.chunks(1920).collect();
    (1..)
        .zip(&frames)
        .map(|(number, frame)| interpretation.push(frame, number == frames.len()).unwrap())
        .collect()
}

fn interpreter(phrases: &[&'static str]) -> (Interpreter, Arc<RecordingSynthesizer>) {
    let synthesizer = Arc::<RecordingSynthesizer>::default();
    let script = Arc::new(ScriptedRecognizer(Mutex::new(Vec::from(phrases).into_iter())));
    (
        Interpreter::new(
            script,
            Arc::clone(&synthesizer) as Arc<dyn Synthesizer>,
            InterpreterVoice::default(),
        )
        .unwrap(),
        synthesizer,
    )
}

fn texts(synthesizer: &RecordingSynthesizer) -> Vec<String> {
    synthesizer.0.lock().unwrap().iter().map(|(text, _)| text.clone()).collect()
}

fn seconds(replies: &[Reply]) -> f64 {
    replies.iter().map(|reply| reply.samples.len()).sum::<usize>() as f64 / 24_000.0
}

#[test]
fn phrases_are_rewritten_and_spoken_before_the_source_ends() {
    let (interpreter, synthesizer) =
        interpreter(&["um that's not cricket", "it was a piece of cake"]);
    let replies = play(&interpreter, &source(&[1500, 1500]));
    assert_eq!(texts(&synthesizer), ["that is not fair.", "it was very easy."]);
    // The first phrase is spoken at the first pause, long before the end of the source.
    let first = replies.iter().position(|reply| !reply.samples.is_empty()).unwrap();
    assert!((18..24).contains(&first), "{first}");
    assert!(replies.iter().rev().skip(1).all(|reply| !reply.done) && replies.last().unwrap().done);
}

/// Columns: time limit of a frame · spoken phrases
#[test]
fn language_model_shortens_phrases_within_the_frame_time() {
    for (call_time, expected) in [
        (Duration::from_mins(1), ["is not fair.", "was very easy."]),
        (Duration::ZERO, ["that is not fair.", "it was very easy."]),
    ] {
        let (stages, synthesizer) =
            interpreter(&["um that's not cricket", "it was a piece of cake"]);
        let shortener = Shortener::new(
            Box::new(drop_first_word),
            Arc::new(ConstantEmbedder),
            Duration::from_mins(1),
        );
        let stages = stages.with_shortener(Arc::new(shortener)).with_call_time(call_time);
        play(&stages, &source(&[1500, 1500]));
        assert_eq!(texts(&synthesizer), expected, "{call_time:?}");
    }
}

#[test]
fn late_reply_is_spoken_faster_within_the_rate_limit() {
    let phrase =
        "the old green house near the river stands empty because nobody wants such a long walk";
    let (interpreter, synthesizer) = interpreter(&[phrase; 6]);
    let mut session = interpreter.open_session(1, None);
    let mut samples = 0;
    for frame in source(&[1400; 6]).chunks(1920) {
        samples += session.push(frame, false).unwrap().samples.len();
    }
    let rates: Vec<_> = synthesizer.0.lock().unwrap().iter().map(|(_, rate)| *rate).collect();
    assert_eq!(rates.first(), Some(&150));
    assert_eq!(rates.iter().max(), Some(&210));
    // Some words are left out to stay below the limit.
    let rate = session.spoken_words as f64 * 24_000.0 / samples as f64;
    assert!(rate < MAX_WORDS_PER_SECOND, "{rate} words per second");
}

#[test]
fn accelerated_reply_stays_within_rate_limit() {
    // Speed of 6 further words in percent of the normal rate, with a backlog in seconds.
    let speed = |spoken_words: usize, seconds: f64, ahead: f64| {
        let mut session = interpreter(&[]).0.open_session(1, None);
        session.spoken_words = spoken_words;
        session.playback.append_speech((seconds * 24_000.0) as usize);
        session.playback.advance(((seconds - ahead) * 24_000.0) as usize);
        (session.speed(6, false) * 100.0).round() as u32
    };
    assert_eq!(speed(8, 5.0, 0.0), 100);
    assert_eq!(speed(8, 5.0, FULL_SPEED_BACKLOG_S / 2.0), 120);
    assert_eq!(speed(8, 5.0, FULL_SPEED_BACKLOG_S), 140);
    assert_eq!(speed(14, 5.0, 3.0), 140);
    // 6 more words in 1.86 s are 3 words per second, with 14 in 4.8 s.
    assert_eq!(speed(14, 4.8, 3.0), 129);
    assert_eq!(speed(20, 5.0, 3.0), 125);
    assert_eq!(speed(20, 5.0, FULL_SPEED_BACKLOG_S / 2.0), 120);
}

#[test]
fn hallucinated_words_lengthen_reply_by_at_most_3_s() {
    // As Whisper does in an unknown language: 16 different words in 1.4 s, and 41 at the end.
    let hallucinated = "the old green house near the river stands empty because nobody wants such \
                        a long walk";
    let end = "seven brave farmers carry wooden baskets across narrow muddy roads toward distant \
               golden fields while quiet children watch small birds gather around broken fences \
               under heavy summer clouds before evening brings gentle rain upon dusty village \
               gardens near tall stone towers";
    let (interpreter, _) = interpreter(&[hallucinated, hallucinated, end]);
    let source = source(&[1400; 3]);
    let replies = play(&interpreter, &source);
    let duration = source.len() as f64 / 24_000.0;
    let reply_seconds = seconds(&replies);
    assert!(
        (duration..=duration + 3.0).contains(&reply_seconds),
        "{reply_seconds} s in {duration} s"
    );
}

/// At 100 words per minute, a voice needs more time than a speaker of 150, but all of it is within
/// the validators' limit on the time after the source.
#[test]
fn slow_voice_leaves_no_words_out() {
    let phrases = [
        "seven brave farmers carried",
        "wooden baskets across narrow",
        "muddy roads toward distant",
        "golden fields while quiet",
        "children watched small birds",
        "gather around broken fences",
        "under heavy summer clouds",
        "before evening brought gentle",
        "rain upon dusty village",
        "gardens near tall towers",
    ];
    let (mut stages, synthesizer) = interpreter(&[phrases; 2].concat());
    let voice = Voice { words_per_minute: 100, ..InterpreterVoice::default().voice };
    stages.speaker = Speaker::new(Arc::clone(&synthesizer) as Arc<dyn Synthesizer>, voice);
    let mut session = stages.open_session(1, None);
    let source = source(&[1400; 20]);
    let mut reply = 0;
    for frame in source.chunks(1920) {
        reply += session.push(frame, false).unwrap().samples.len();
    }
    assert!(reply > source.len() + 3 * 24_000, "{reply} samples");
    assert_eq!((texts(&synthesizer).len(), session.spoken_words), (20, 80));
}

#[test]
fn end_of_reply_is_faster_up_to_the_rate_limit() {
    // Speed of 6 further words in percent of the normal rate, at the end and before it.
    let speeds = |spoken_words: usize, seconds: usize, pause: usize| {
        let mut session = interpreter(&[]).0.open_session(1, None);
        session.spoken_words = spoken_words;
        session.playback.append_speech(seconds * 24_000);
        session.playback.append_silence(pause * 24_000);
        session.playback.advance((seconds + pause) * 24_000);
        [true, false].map(|is_last| (session.speed(6, is_last) * 100.0).round() as u32)
    };
    assert_eq!(speeds(12, 5, 0), [150, 100]);
    // 16 words in 5 s are 3.2 words per second, and 6 more in 1.875 s, too.
    assert_eq!(speeds(16, 5, 0), [128, 100]);
    assert_eq!(speeds(20, 5, 0), [125, 100]);
    // A pause that is sent leaves room for more words.
    assert_eq!(speeds(20, 5, 2), [150, 100]);
    // The whole reply is spoken at the end.
    assert_eq!(speeds(0, 0, 0), [128, 100]);
}

#[test]
fn patient_profile_speaks_after_the_source_ends() {
    let phrases = ["um that's not cricket", "it was a piece of cake"];
    let (inner, synthesizer) = interpreter(&phrases);
    let (expected_interpreter, _) = interpreter(&phrases);
    let expected_replies = play(&expected_interpreter, &source(&[1500, 1500]));
    let replies = play(&Patient::new(inner), &source(&[1500, 1500]));
    assert_eq!(texts(&synthesizer), ["that is not fair.", "it was very easy."]);
    let (last, earlier_replies) = replies.split_last().unwrap();
    assert!(earlier_replies.iter().all(|reply| reply.samples.is_empty()) && last.done);
    assert!((seconds(&replies) - seconds(&expected_replies)).abs() < 1e-9);
}

#[test]
fn same_source_gives_the_same_reply() {
    let phrases =
        ["well i think", "we should call it a day", "because it is raining cats and dogs"];
    let replies = || play(&interpreter(&phrases).0, &source(&[900, 1400, 1200]));
    assert_eq!(replies(), replies());
}

#[test]
fn long_speech_is_cut_between_words() {
    let (interpreter, synthesizer) =
        interpreter(&["we walked to the market and bought a fish", "bought a fish"]);
    play(&interpreter, &source(&[3500]));
    let spoken_text = texts(&synthesizer).join(" ");
    assert!(spoken_text.starts_with("we walked to the market"), "{spoken_text}");
}

#[test]
fn unrecognised_speech_is_cut() {
    let (interpreter, synthesizer) = interpreter(&[]);
    let mut session = interpreter.open_session(1, None);
    for frame in source(&[20_000]).chunks(1920) {
        session.push(frame, false).unwrap();
        let pending = session.segmenter.pending().len() as f64 / f64::from(SAMPLE_RATE_HZ);
        assert!(pending < MAX_PHRASE_S + 0.6, "{pending} s wait for a pause");
    }
    assert!(texts(&synthesizer).is_empty());
}

#[test]
fn silent_source_has_a_silent_reply() {
    let (interpreter, synthesizer) = interpreter(&[]);
    let replies = play(&interpreter, &vec![0.0; 1920 * 3]);
    assert!(texts(&synthesizer).is_empty() && seconds(&replies) == 0.0);
    assert!(replies.last().unwrap().done);
}

#[test]
fn channels_are_mixed_within_range() {
    assert_eq!(mix(&[0.5, 0.25, f32::NAN, 0.0, 3.0, 1.0], 2), [0.375, 0.0, 1.0]);
}

#[test]
fn patient_profile_keeps_one_channel() {
    let (stages, synthesizer) = interpreter(&["um that's not cricket"]);
    let mut patient_session =
        PatientSession { session: stages.open_session(2, None), reply: Vec::new() };
    let stereo: Vec<f32> =
        source(&[1500, 1500]).into_iter().flat_map(|sample| [sample, sample]).collect();
    for frame in stereo.chunks(3840) {
        assert_eq!(patient_session.push(frame, false).unwrap(), Reply::default());
    }
    // The phrase is interpreted before the end of the source.
    assert_eq!(texts(&synthesizer), ["that is not fair."]);
    let pending_reply = patient_session.reply.concat();
    let reply = patient_session.push(&[], true).unwrap();
    assert!(reply.done && patient_session.reply.is_empty());
    assert!(reply.samples.starts_with(&to_channels(pending_reply, 2)), "{}", reply.samples.len());
}

#[test]
fn both_channels_get_the_reply() {
    let (interpreter, _) = interpreter(&["hello there"]);
    let stereo: Vec<f32> =
        source(&[1000]).into_iter().flat_map(|sample| [sample, sample]).collect();
    let mut interpretation = interpreter.open(2, None);
    let reply = interpretation.push(&stereo, true).unwrap();
    assert!(!reply.samples.is_empty());
    assert!(reply.samples.chunks(2).all(|pair| pair[0].to_bits() == pair[1].to_bits()));
}
