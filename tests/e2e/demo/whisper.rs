//! The demonstration with Whisper base and the neural voice.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Wav, resample_endpoints};

use super::without_wall_times;
use crate::speech::word_errors;
use crate::support::{are_installed, document, repository, require_sentence_model, stderr, tao};
use crate::translation::with_long_deadlines;

/// Recogniser of the validator and of the miners.
const WHISPER: &str = "faster-whisper-base";
/// Voice of the miners.
const VOICE: &str = "en_US-joe-medium";
/// Sentence model of the score.
const EMBEDDER: &str = "all-MiniLM-L6-v2";
/// Maximum share of wrong words in the transcripts of the interpreter.
const MAX_ERRORS_PERCENT: usize = 20;
/// Sample rate of the replies.
const RATE: SampleRate = SampleRate::HZ_24K;
/// First sentence of the mumbler.
const MUMBLER_SENTENCE: &str = "seven yellow buckets stand behind the barn.";

/// Returns the words of a text in lower case, without punctuation.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|character: char| !character.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Returns the second of a WAV file, at the rate of the replies, that follows its first sound.
fn first_second(file: &Path) -> Vec<f32> {
    let pcm = Wav::decode(&std::fs::read(file).unwrap()).unwrap().pcm;
    let samples = resample_endpoints(&pcm, RATE).samples;
    let start = samples.iter().position(|sample| sample.abs() > 0.05).unwrap();
    samples[start..start + RATE.hz() as usize].to_vec()
}

/// Returns the correlation of two signals, 1 for the same one.
fn correlation(left: &[f32], right: &[f32]) -> f32 {
    let dot = |left: &[f32], right: &[f32]| -> f32 {
        left.iter().zip(right).map(|(left, right)| left * right).sum()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[test]
fn transcripts_of_the_interpreter_match_the_references() {
    require_sentence_model();
    if !are_installed(&[WHISPER, VOICE]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = tao();
    command.args(["demo", "--json", "--challenge"]).arg(repository("tests/e2e/data/village.json"));
    command.arg("--keep").arg(folder.path());
    let output = with_long_deadlines(&mut command).output().unwrap();
    let demo = document(&output);
    let notices = stderr(&output);
    let expected = format!("recognises any speaker with {WHISPER}; the miners speak with {VOICE}");
    assert!(notices.contains(&expected), "{notices}");

    let interpreter = contest_miner(&demo, "interpreter");
    let (mut count, mut errors) = (0, 0);
    for reply in interpreter["utterances"].as_array().unwrap() {
        let reference = words(reply["reference"].as_str().unwrap());
        let transcript = reply["transcript"].as_str().unwrap_or_else(|| panic!("{reply:#}"));
        // The test double writes neither capitals nor punctuation.
        assert!(transcript.contains(char::is_uppercase), "{transcript}");
        count += reference.len();
        errors += word_errors(&words(transcript).join(" "), &reference.join(" "));
    }
    let limit = count * MAX_ERRORS_PERCENT / 100;
    assert!(errors <= limit, "{errors} of {count} words are wrong: {interpreter:#}");
    // The replies of the patient miner arrive, but too late to score.
    for reply in contest_miner(&demo, "patient")["utterances"].as_array().unwrap() {
        assert_eq!(reply["failed_gates"], json!(["too_late"]), "{reply:#}");
    }
    check_voice(folder.path(), contest_miner(&demo, "mumbler"));
}

/// Returns a miner of the contest, with its utterances.
fn contest_miner<'a>(demo: &'a Value, name: &str) -> &'a Value {
    let miners = demo["challenges"][0]["report"]["miners"].as_array().unwrap();
    miners.iter().find(|miner| miner["name"] == name).unwrap()
}

/// Checks that the mumbler, whose words are known, speaks with the neural voice.
fn check_voice(keep: &Path, mumbler: &Value) {
    let (uid, hotkey) = (&mumbler["uid"], mumbler["hotkey"].as_str().unwrap());
    let reply =
        keep.join(format!("logs/s2s/village/main/miner_{uid}__hk_{hotkey}/predicted/utt_0000.wav"));
    let folder = tempfile::tempdir().unwrap();
    let [neural, espeak] = [format!("piper:{VOICE}"), "en-gb".to_owned()].map(|voice| {
        let file = folder.path().join(voice.replace(':', "-")).with_extension("wav");
        let mut synthesize = tao();
        synthesize.args(["speech", "synthesize", "--voice", &voice, "--words-per-minute", "150"]);
        let output = synthesize.arg(MUMBLER_SENTENCE).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        correlation(&first_second(&reply), &first_second(&file))
    });
    assert!(neural > 0.9 && espeak < 0.5, "neural voice: {neural}, espeak-ng: {espeak}");
}

#[test]
fn missing_whisper_falls_back_to_the_test_double() {
    let folder = tempfile::tempdir().unwrap();
    let challenge = super::short_ferry(folder.path());
    let arguments = ["--challenge", challenge.to_str().unwrap()];
    let expected = document(&super::demo(&arguments));
    let models = folder.path().join("models");
    std::fs::create_dir(&models).unwrap();
    std::os::unix::fs::symlink(sentence_model(), models.join(EMBEDDER)).unwrap();
    let mut command = tao();
    command.args(["demo", "--json"]).args(arguments).env("BB_S2S_CHUNK_TIMEOUT_SEC", "30");
    command.env("BB_MODELS_DIR", &models).env("XDG_CACHE_HOME", folder.path().join("cache"));
    let output = command.output().unwrap();
    let demo = document(&output);
    assert_eq!(without_wall_times(&demo), without_wall_times(&expected));
    let notices = stderr(&output);
    let line = notices.lines().find(|line| line.contains("test double tiny-ctc"));
    let line = line.unwrap_or_else(|| panic!("{notices}"));
    for part in [format!("{WHISPER} is not installed"), format!("`tao models pull {WHISPER}`")] {
        assert!(line.contains(&part), "{notices}");
    }
    // Without a page, nothing is downloaded.
    assert!(!notices.contains("downloading"), "{notices}");
}

/// Returns the directory of the installed sentence model.
fn sentence_model() -> PathBuf {
    let list = document(&tao().args(["models", "list", "--json"]).output().unwrap());
    let mut models = list["models"].as_array().unwrap().iter();
    let model = models.find(|model| model["model"] == EMBEDDER).unwrap();
    model["detail"].as_str().unwrap().into()
}
