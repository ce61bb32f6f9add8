//! Recordings for the comparison of complete transcriptions.

use taonet_speech::{Espeak, Synthesizer as _, Voice, resample_for_recognition};

use super::*;

const SAMPLES_PER_SECOND: f32 = 16_000.0;
/// Maximum length of a long recording, in samples.
const MAX_SAMPLES: usize = 70 * 16_000;

/// A recording and its description.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) samples: Vec<f32>,
    pub(super) has_speech: bool,
}

impl Case {
    fn speech(name: String, samples: Vec<f32>) -> Self {
        Self { name, samples, has_speech: true }
    }
}

/// Returns the recordings of vectors/speech, 20 of other sentences, and four with much silence or
/// noise.
pub(super) fn all_cases() -> Vec<Case> {
    let speech = recordings();
    let known = speech
        .iter()
        .enumerate()
        .map(|(i, samples)| Case::speech(format!("utt{i:02}"), samples.clone()));
    let silent = |name: &str, samples| Case { name: name.to_owned(), samples, has_speech: false };
    let remaining = [
        silent("10 s of silence", silence(10.0)),
        silent("20 s of noise", noise(0.05, 1).take(20 * 16_000).collect()),
        silent("20 s of quiet noise", noise(0.003, 2).take(20 * 16_000).collect()),
        Case::speech(
            "35 s of silence between".to_owned(),
            [&*speech[0], &*silence(35.0), &*speech[1]].concat(),
        ),
    ];
    known.chain(synthesized()).chain(remaining).collect()
}

/// Synthesises 20 recordings, as tests/model/train/recordings.py does: five of one sentence, four
/// with pauses, four with noise, five of two sentences, and two of up to 70 s. The sentences are
/// neither in the training data nor in vectors/speech.
fn synthesized() -> Vec<Case> {
    let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
    let sentences = std::fs::read_to_string(trained_model().join("train/sentences.txt")).unwrap();
    let sentences: Vec<&str> = sentences.lines().collect();
    assert_eq!(sentences.len(), 25);
    let speak = |sentence: usize, voice: &str, words_per_minute| {
        let voice = Voice { name: voice.to_owned(), words_per_minute, pitch: 50 };
        resample_for_recognition(&espeak.speak(sentences[sentence], &voice).unwrap())
    };
    let mut all = Vec::new();
    let plain = [
        ("en-us", 150),
        ("en", 160),
        ("en-us+f3", 155),
        ("en-gb-scotland", 150),
        ("en-us+m3", 165),
    ];
    for (sentence, (voice, rate)) in plain.into_iter().enumerate() {
        all.push(Case::speech(
            format!("sentence {sentence} by {voice}"),
            speak(sentence, voice, rate),
        ));
    }
    for (sentence, voice) in (5..).zip(["en-us", "en", "en-us+f2", "en+m2"]) {
        let samples = speak(sentence, voice, 155);
        let (first, second) = samples.split_at(quietest(&samples));
        let samples = [&*silence(0.8), first, &*silence(0.7), second, &*silence(2.0)].concat();
        all.push(Case::speech(format!("sentence {sentence} by {voice} with pauses"), samples));
    }
    for (sentence, voice) in (9..).zip(["en-us", "en+f2", "en-gb-x-rp", "en-us+m1"]) {
        let samples = noisy(&speak(sentence, voice, 155), 15.0, sentence as u32);
        all.push(Case::speech(
            format!("sentence {sentence} by {voice} with noise at 15 dB"),
            samples,
        ));
    }
    for (index, voice) in
        ["en-us", "en", "en-us+f1", "en-gb-scotland", "en+m4"].into_iter().enumerate()
    {
        let sentence = 13 + 2 * index;
        let pause = silence(0.4 + 0.1 * index as f32);
        let samples = [speak(sentence, voice, 160), speak(sentence + 1, voice, 160)].join(&*pause);
        all.push(Case::speech(
            format!("sentences {sentence} and {} by {voice}", sentence + 1),
            samples,
        ));
    }
    for (voice, first) in [("en-us", 0), ("en", 6)] {
        let mut samples = Vec::new();
        for sentence in first..first + 19 {
            let spoken = speak(sentence, voice, 150);
            if samples.len() + spoken.len() > MAX_SAMPLES {
                break;
            }
            samples.extend(spoken);
            samples.extend(silence(0.5 + 0.2 * (sentence % 5) as f32));
        }
        samples.resize(MAX_SAMPLES, 0.0);
        all.push(Case::speech(format!("70 s by {voice}"), samples));
    }
    assert_eq!(all.len(), 20);
    all
}

fn silence(seconds: f32) -> Vec<f32> {
    vec![0.0; (seconds * SAMPLES_PER_SECOND) as usize]
}

/// Generates uniform noise.
pub(super) fn noise(amplitude: f32, seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        amplitude * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    })
}

/// Returns the middle of the quietest 50 ms in the second and third quarter of a recording.
fn quietest(samples: &[f32]) -> usize {
    const COUNT: usize = 800;
    let energy = |start: &usize| {
        samples[*start..start + COUNT].iter().map(|sample| sample * sample).sum::<f32>()
    };
    let starts = (samples.len() / 4..samples.len() * 3 / 4).step_by(COUNT / 2);
    starts.min_by(|a, b| energy(a).total_cmp(&energy(b))).unwrap() + COUNT / 2
}

/// Adds white noise at a signal-to-noise ratio.
fn noisy(samples: &[f32], decibels: f32, seed: u32) -> Vec<f32> {
    let power = samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
    // The power of uniform noise is a third of its squared amplitude.
    let amplitude = (3.0 * power).sqrt() * 10_f32.powf(-decibels / 20.0);
    samples
        .iter()
        .zip(noise(amplitude, seed))
        .map(|(sample, noise)| 0.5 * (sample + noise))
        .collect()
}
