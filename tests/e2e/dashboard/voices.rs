//! People's voices on the page "Try it", which recognises speech with Whisper base: recordings that
//! Chromium's fake microphone plays, and the samples of the page.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SampleFormat, Wav, resample_for_recognition};
use taonet_testing::skip;

use super::browser::report;
use super::{page, short_demo_with_whisper};
use crate::peers::Peer;
use crate::speech::word_errors;
use crate::support::{Terminal, are_installed, repository};

/// Maximum share of wrong words in a text that reads as a person would write it.
const MAX_ERRORS_PERCENT: usize = 10;
/// Sample rate of the fake microphone's file in Hz.
const RATE: usize = SampleRate::HZ_16K.hz() as usize;

/// Recordings of a person, in the order in which they are spoken.
struct Voice {
    /// Name of the language, as the page shows it.
    language: &'static str,
    /// Recordings by language and name.
    recordings: &'static [&'static str],
    /// The numbers from one to ten, which Whisper writes as digits.
    numbers: [&'static str; 10],
}

const ENGLISH_NUMBERS: [&str; 10] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

static VOICES: [Voice; 2] = [
    Voice {
        language: "English",
        recordings: &["en/hello_world", "en/quick_brown_fox", "en/counting"],
        numbers: ENGLISH_NUMBERS,
    },
    Voice {
        language: "French",
        recordings: &["fr/bonjour_monde", "fr/comptage"],
        numbers: ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix"],
    },
];

/// A sentence of a public speech, in which a person pauses and a room echoes.
static ADDRESS: Voice =
    Voice { language: "English", recordings: &["jfk"], numbers: ENGLISH_NUMBERS };
const ADDRESS_TEXT: &str = "And so, my fellow Americans, ask not what your country can do for you, ask what you can \
                            do for your country.";

/// Decodes [`ADDRESS`] into a directory, beside its text; returns whether it could. The recording is
/// one of faster-whisper's tests, and not part of the repository.
fn decode_address(target: &Path) -> bool {
    let directory = std::env::var_os("TAONET_VOICE_RECORDINGS");
    let directory = directory.unwrap_or_else(|| "../shared/vectors/voices".into());
    let recording = repository("").join(directory).join("jfk.flac");
    if !recording.is_file() {
        skip(&format!(
            "NOT TESTED with a public speech: no {}; hint: set TAONET_VOICE_RECORDINGS to its directory",
            recording.display()
        ));
        return false;
    }
    let Some(decoder) = Peer::find("whisper") else { return false };
    let mut script = decoder.script("decode_audio.py");
    let output = script.arg(&recording).arg(target.join("jfk.wav")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(target.join("jfk.txt"), ADDRESS_TEXT).unwrap();
    true
}

impl Voice {
    /// Writes the recordings below `folder` to a file for the fake microphone: with a silence at the
    /// start, in which the page opens the session, and after each recording. Returns the path of the
    /// file, and the words spoken.
    fn record(&self, folder: &Path, target: &Path) -> (PathBuf, Vec<String>) {
        let mut samples = vec![0.0; 3 * RATE];
        let mut words = Vec::new();
        for name in self.recordings {
            let recording = std::fs::read(folder.join(name).with_extension("wav")).unwrap();
            samples.extend(resample_for_recognition(&Wav::decode(&recording).unwrap().pcm));
            samples.extend(vec![0.0; 3 * RATE / 5]);
            let text = std::fs::read_to_string(folder.join(name).with_extension("txt")).unwrap();
            words.extend(self.words(&text));
        }
        let path = target.join(self.language).with_extension("wav");
        let pcm = Pcm::mono(samples, SampleRate::HZ_16K);
        std::fs::write(&path, Wav::encode(&pcm, SampleFormat::S16).unwrap()).unwrap();
        (path, words)
    }

    /// Returns the words of a text in lower case, without punctuation and with numbers spelled out.
    fn words(&self, text: &str) -> Vec<String> {
        let text = text.to_lowercase();
        let words = text.split(|character: char| !character.is_alphanumeric());
        let spelled = |word: &str| {
            let number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            number.and_then(|index| self.numbers.get(index)).copied().unwrap_or(word).to_owned()
        };
        words.filter(|word| !word.is_empty()).map(spelled).collect()
    }
}

/// The texts that a caption on the page had.
fn captions<'a>(report: &'a Value, name: &str) -> Vec<&'a str> {
    let captions = report["captions"][name].as_array().unwrap();
    captions.iter().map(|caption| caption.as_str().unwrap()).collect()
}

#[test]
fn visitor_speech_is_transcribed_in_its_language() {
    let (Some(recordings), Some(browser)) = (Peer::find("recordings"), Peer::find("browser"))
    else {
        return;
    };
    if !are_installed(&["faster-whisper-base"]) {
        return;
    }
    let recordings = recordings.packages().join("pytest_audioeval/samples/audio");
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::start(short_demo_with_whisper(folder.path()));
    terminal.expect("The contest is shown at ");
    let url = terminal.read_line();
    terminal.expect("recognises any speaker with faster-whisper-base");
    terminal.expect("The page is served at ");
    let form = page(&format!("{url}/try"));
    assert!(form.contains("The captions are those of faster-whisper-base"), "{form}");
    let mut voices: Vec<(&Voice, &Path)> =
        VOICES.iter().map(|voice| (voice, &*recordings)).collect();
    if decode_address(folder.path()) {
        voices.push((&ADDRESS, folder.path()));
    }
    let (mut count, mut errors, mut noted) = (0, [0; 2], BTreeSet::new());
    for (voice, recordings) in voices {
        let (file, spoken_text) = voice.record(recordings, folder.path());
        count += spoken_text.len();
        // The parrot returns the speech itself, and so misses no deadline on a busy machine.
        let mut script = browser.browser_script("voices.mjs");
        let report = report(script.args([&*url, "parrot", "speak"]).arg(file));
        for (errors, side) in errors.iter_mut().zip(["heard", "said"]) {
            let text = report[side].as_str().unwrap();
            *errors += word_errors(&voice.words(text).join(" "), &spoken_text.join(" "));
        }
        // The notes belong to captions that came while the person spoke.
        for (note, latency) in [("try-heard-note", "transcribed in"), ("try-said-note", "behind")] {
            let notes = captions(&report, note);
            let is_complete =
                |note: &&str| note.starts_with(voice.language) && note.contains(latency);
            noted.extend(notes.iter().any(is_complete).then_some(note));
        }
    }
    // On a busy machine, a short sentence may have no caption before its end.
    assert_eq!(noted.len(), 2, "{noted:?}");
    let limit = count * MAX_ERRORS_PERCENT / 100;
    assert!(
        errors.iter().all(|errors| *errors <= limit),
        "{errors:?} word errors in {count} words of the speech and its repetition, at most {limit}"
    );
    let mut script = browser.browser_script("voices.mjs");
    let report = report(script.args([&*url, "interpreter", "sample", "French"]));
    let notes = captions(&report, "try-heard-note");
    assert!(notes.iter().any(|note| note.starts_with("French")), "{notes:?}");
    // The interpretation is in English, as clear as base translates the synthesised sample.
    let transcript = report["said"].as_str().unwrap().to_lowercase();
    assert!(
        transcript.split_whitespace().any(|word| ["i", "the", "a", "my"].contains(&word)),
        "{transcript}"
    );
}
