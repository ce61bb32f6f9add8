//! Comparison with `piper-tts`, if installed by `scripts/peers`, on the published voice.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::json;
use taonet_speech::models::{ModelSpec, ModelStore};
use taonet_testing::{peer_directory, query_program, skip};

use super::*;

/// The published voice, as `scripts/models` and `tao models pull` install it.
const VOICE: &str = "en_US-joe-medium";
/// Maximum difference of two samples.
const MAX_DIFFERENCE: f32 = 1e-3;
/// Maximum share of phonemes that differ: espeak-ng on this machine is another version than that
/// within the reference.
const MAX_OTHER_PHONEMES: f64 = 0.1;

/// Texts with every punctuation mark, names, numbers, other languages, and one long sentence.
const TEXTS: [&str; 8] = [
    "Good morning.",
    "Well, thank you; that is very generous: we want to come! Do you agree?",
    "My uncle, Mr. Smith, drives a yellow bus through the mountains at 10:30, i.e. every day.",
    "It costs 3.50 dollars. The U.S. is big. J. R. R. Tolkien lived in Oxford",
    "He said (quietly) that \"we should go\" - now. What?! No!!",
    "one two\n\nthree four",
    "The café — in Zürich — has a résumé.",
    "I have been in the same office for seven years now, and I really like my colleagues, but the work is boring, so I \
     want to leave my old job and come to work for your company, which is closer to my home and my family.",
];

/// A sentence of the reference.
#[derive(Debug, Deserialize)]
struct Sentence {
    phonemes: String,
    numbers: Vec<i32>,
    file: String,
}

/// Python environment of the reference, the published voice, and a folder for the reference's
/// samples.
struct Peer {
    python: PathBuf,
    voice: PathBuf,
    folder: tempfile::TempDir,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Finds the network of the published voice. Without it, a test prints a notice and passes; with
/// `CI` set, it fails.
fn published() -> Option<PathBuf> {
    let models =
        std::env::var_os("BB_MODELS_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = ModelStore::new(models).verify(ModelSpec::find(VOICE).unwrap());
    let skipped = |error| {
        skip(&format!(
            "NOT TESTED with {VOICE}: {error}. Run scripts/models, or ./test, which does so"
        ));
    };
    let directory = directory.map_err(skipped).ok()?;
    Some(directory.join(format!("{VOICE}.onnx")))
}

impl Peer {
    /// Finds the reference like [`published`].
    fn find() -> Option<Self> {
        let python = peer_directory("piper")?.join("bin/python");
        Some(Self { python, voice: published()?, folder: tempfile::tempdir().unwrap() })
    }

    /// Returns the sentences of each of the [`TEXTS`] by the reference.
    fn sentences(&self, length_scale: f32) -> Vec<Vec<Sentence>> {
        let request = json!({"voice": self.voice, "texts": TEXTS, "length_scale": length_scale, "out": self.folder.path()});
        let script = repository("crates/voice/tests/peer/reference.py");
        serde_json::from_value(query_program(Command::new(&self.python).arg(script), &request))
            .unwrap()
    }

    fn samples(&self, sentence: &Sentence) -> Vec<f32> {
        let bytes = std::fs::read(self.folder.path().join(&sentence.file)).unwrap();
        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

#[test]
fn samples_match_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let voice = PiperVoice::open(&peer.voice).unwrap();
    for length_scale in [1.0_f32, 0.8] {
        let mut largest = 0.0_f32;
        for sentence in peer.sentences(length_scale).iter().flatten() {
            assert_eq!(
                phoneme_ids(&sentence.phonemes, &voice.config).0,
                sentence.numbers,
                "{}",
                sentence.phonemes
            );
            let ours = scale_to_full_range(
                voice.synthesize_phrase(&sentence.phonemes, length_scale).unwrap(),
            );
            largest = largest.max(assert_close(&ours, &peer.samples(sentence), &sentence.phonemes));
        }
        let _ = writeln!(
            std::io::stderr(),
            "length scale {length_scale}: samples differ by at most {largest:.1e}"
        );
    }
}

/// Compares samples, and returns their largest difference.
fn assert_close(ours: &[f32], theirs: &[f32], spoken: &str) -> f32 {
    assert_eq!(ours.len(), theirs.len(), "{spoken}");
    let difference =
        ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
    assert!(difference <= MAX_DIFFERENCE, "{difference}: {spoken}");
    difference
}

/// Compares the samples of texts whose phonemes on this machine are those of the reference, and
/// whose sentences are not split.
#[test]
fn speech_matches_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let voice = PiperVoice::open(&peer.voice).unwrap();
    let mut count = 0;
    for (text, theirs) in TEXTS.iter().zip(peer.sentences(1.0)) {
        let ours: Vec<Vec<String>> = spoken_phrases(&voice, text);
        let expected: Vec<Vec<String>> =
            theirs.iter().map(|sentence| vec![sentence.phonemes.clone()]).collect();
        if ours == expected {
            let theirs =
                theirs.iter().map(|sentence| peer.samples(sentence)).collect::<Vec<_>>().concat();
            assert_close(&voice.synthesize(text, 1.0).unwrap(), &theirs, text);
            count += 1;
        }
    }
    assert!(count > 0, "no text has the phonemes of the reference");
}

/// Returns the phrases of each sentence.
fn spoken_phrases(voice: &PiperVoice, text: &str) -> Vec<Vec<String>> {
    let phrases = |sentence: &Vec<_>| {
        phrases(&voice.espeak, &voice.config.espeak, sentence, max_phonemes(1.0)).unwrap()
    };
    sentences(text).iter().map(phrases).collect()
}

#[test]
fn phonemes_match_the_reference() {
    let Some(peer) = Peer::find() else { return };
    let voice = PiperVoice::open(&peer.voice).unwrap();
    let (mut differences, mut count) = (0, 0);
    for (text, theirs) in TEXTS.iter().zip(peer.sentences(1.0)) {
        let ours: Vec<String> =
            spoken_phrases(&voice, text).iter().map(|phrases| phrases.join(" ")).collect();
        let theirs: Vec<_> = theirs.into_iter().map(|sentence| sentence.phonemes).collect();
        assert_eq!(ours.len(), theirs.len(), "{text}: {ours:?}, the reference {theirs:?}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let marks = |phonemes: &str| {
                phonemes.chars().filter(|c| ".?!,:; ".contains(*c)).collect::<String>()
            };
            assert_eq!(marks(ours), marks(theirs), "{ours}, the reference {theirs}");
            differences += edit_distance(ours, theirs);
            count += theirs.chars().count();
        }
    }
    let share = f64::from(u32::try_from(differences).unwrap()) / count as f64;
    let _ = writeln!(std::io::stderr(), "{differences} of {count} phonemes differ");
    assert!(share <= MAX_OTHER_PHONEMES, "{differences} of {count} phonemes differ");
}

/// Returns the edit distance of two sequences of phonemes.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let substitution_cost = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substitution_cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[test]
fn published_voice_speaks_any_text() {
    let Some(path) = published() else { return };
    let voice = PiperVoice::open(&path).unwrap();
    let seconds = |text: &str, words_per_minute| {
        let manner = Voice { name: VOICE.to_owned(), words_per_minute, pitch: 50 };
        voice.speak(text, &manner).unwrap().duration().get()
    };
    let normal_seconds = seconds("We should leave the house now.", 150);
    assert!((1.0..3.0).contains(&normal_seconds), "{normal_seconds} s");
    let fast_seconds = seconds("We should leave the house now.", 300);
    assert!(
        (0.4..0.6).contains(&(fast_seconds / normal_seconds)),
        "{fast_seconds} s, normally {normal_seconds} s"
    );
    assert!(seconds("a", 150) > 0.0);
    assert!(seconds("日本 \u{301}\u{fffd} x\u{0}y [[h@]] ʘ⟨≈", 450) > 0.0);
    // A sentence of 1 500 letters without a space.
    assert!(seconds(&"banana".repeat(250), 450) > 10.0);
}
