//! Voices of the commands: espeak-ng's, and the published neural one if `scripts/models` has
//! installed it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use taonet_speech::Wav;

use crate::speech::word_errors;
use crate::support::{
    are_installed, bb, challenge_with_references, document, local_bb, refusal, repository, tao,
};

/// The published neural voice.
const NEURAL: &str = "en_US-joe-medium";
/// The recogniser that listens to it.
const RECOGNIZER: &str = "faster-whisper-base";
/// Texts of the shipped challenges' references.
const TEXTS: [&str; 4] = [
    "Good morning. What can I get for you today?",
    "I have been in the same office for seven years now. I really like my colleagues, but the work is boring.",
    "Before the next meeting on Monday, could you please write down the numbers for me clearly, so that everybody in \
     the team agrees about the money?",
    "Moving to a smaller place is very easy. How long does the bus take?",
];

fn synthesize(text: &str, output: &Path, options: &[&str]) -> Command {
    let mut command = tao();
    command.args(["speech", "synthesize", "--json"]).arg(text).arg(output).args(options);
    command
}

#[test]
fn text_is_synthesised_to_a_wav_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("speech.wav");
    let mut frames = Vec::new();
    for (options, rate) in [
        (&[][..], 22_050),
        (&["--words-per-minute", "300"], 22_050),
        (&["--voice", "en-us", "--rate", "24000"], 24_000),
    ] {
        let result =
            document(&synthesize("The ferry leaves at ten.", &output, options).output().unwrap());
        let wav = Wav::decode(&std::fs::read(&output).unwrap()).unwrap();
        assert_eq!(
            result,
            json!({ "file": output, "sample_rate_hz": rate, "channels": 1, "frames": wav.pcm.frames() })
        );
        assert_eq!(wav.pcm.rate.hz(), rate);
        assert!(wav.pcm.samples.iter().any(|sample| sample.abs() > 0.1));
        frames.push(wav.pcm.frames());
    }
    assert!(frames[1] < frames[0] * 3 / 4, "{frames:?}");
}

/// Writes a network of another architecture, with the configuration of a voice. Returns its name on
/// the command line.
fn other_architecture(folder: &Path) -> String {
    let digits = folder.join("digits.onnx");
    std::fs::copy(repository("models/digits-mlp/model.onnx"), &digits).unwrap();
    let config = json!({
        "audio": { "sample_rate": 22_050 }, "espeak": { "voice": "en-us" }, "num_symbols": 3,
        "phoneme_id_map": { "_": [0], "^": [1], "$": [2] },
    });
    std::fs::write(folder.join("digits.onnx.json"), config.to_string()).unwrap();
    format!("piper:{}", digits.display())
}

/// Columns: text · options · exit code · part of the error
#[test]
fn unusable_voices_and_texts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("speech.wav");
    let file = folder.path().join("other.onnx");
    std::fs::write(&file, "not a model").unwrap();
    let other = format!("piper:{}", file.display());
    let digits = other_architecture(folder.path());
    for (text, options, code, expected) in [
        ("Hello.", &["--voice", "piper:none.onnx"][..], 2, "hint: a voice of Piper has two files"),
        ("Hello.", &["--voice", &*other], 2, "other.onnx.json: No such file"),
        (
            "Hello.",
            &["--voice", &*digits],
            2,
            "is not a voice of Piper: its input \"input\" has another type\nhint: pass a VITS model",
        ),
        (
            "Hello.",
            &["--voice", "piper:faster-whisper-base"],
            2,
            "faster-whisper-base is not a voice\nhint: ",
        ),
        ("Hello.", &["--voice", "piper:joe"], 2, "unknown voice `joe`"),
        ("Hello.", &["--voice", "-v"], 2, "a value is required for '--voice"),
        ("Hello.", &["--voice", "../en"], 2, "malformed voice name `../en`"),
        ("Hello.", &["--voice", "zz"], 2, "voice does not exist"),
        ("Hello.", &["--words-per-minute", "20"], 2, "20 is not in 80..=450"),
        ("Hello.", &["--words-per-minute", "-5"], 2, "-5 is not in 80..=450"),
        ("Hello.", &["--rate", "10"], 2, "--rate"),
        ("...", &[], 2, "the text has neither letters nor digits\nhint: "),
        ("", &[], 2, "the text has neither letters nor digits"),
    ] {
        let error = refusal(&synthesize(text, &output, options).output().unwrap(), code);
        assert!(error.contains(expected), "{text:?} {options:?}: {error}");
    }
    assert!(!output.exists());
}

/// Columns: options of a miner · part of the error
#[test]
fn miners_refuse_voices_without_effect() {
    for (options, expected) in [
        (&["--contest", "text", "--voice", "en-us"][..], "--voice is for speech miners"),
        (
            &["--profile", "parrot", "--voice", "en-us"],
            "--voice has no effect with --profile parrot",
        ),
    ] {
        let error = refusal(&bb().arg("miner").args(options).output().unwrap(), 2);
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[test]
fn miner_refuses_a_voice_of_another_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let mut miner = local_bb();
    miner.args(["miner", "--key-uri", "//Bob", "--listen", "127.0.0.1:0", "--voice"]);
    let output = miner.arg(other_architecture(folder.path())).output().unwrap();
    let error = refusal(&output, 2);
    let expected = "is not a voice of Piper: its input \"input\" has another type";
    assert!(error.contains(expected) && error.contains("hint: pass a VITS model"), "{error}");
}

#[test]
fn alignment_refuses_unusable_voices() {
    for (voice, expected) in [
        ("piper:none.onnx", "hint: a voice of Piper has two files"),
        ("../en", "malformed voice name `../en`"),
    ] {
        let error =
            refusal(&bb().args(["align", "challenge.json", "--voice", voice]).output().unwrap(), 2);
        assert!(error.contains(expected), "{voice}: {error}");
    }
}

#[test]
fn malformed_challenge_does_not_end_the_alignment_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let [bad, good] = ["bad.json", "good.json"].map(|name| folder.path().join(name));
    std::fs::write(&bad, "{}").unwrap();
    let challenge = challenge_with_references(&["Good morning."]);
    std::fs::write(&good, challenge.to_string()).unwrap();
    let align =
        |options: &[&str]| bb().arg("align").args(options).args([&bad, &good]).output().unwrap();
    let output = align(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let entries: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&entries[0]["file"], &entries[0]["exit_code"]), (&json!(bad), &json!(1)));
    let error = entries[0]["error"].as_str().unwrap();
    assert!(error.starts_with("cannot load the challenge: "), "{error}");
    assert!(error.contains("bad.json: missing field `title`"), "{error}");
    assert!(entries[0]["hint"].as_str().unwrap().contains("README.md"), "{}", entries[0]);
    assert_eq!(entries[1], json!({ "file": good, "words": 2 }));
    let aligned: Value = serde_json::from_slice(&std::fs::read(&good).unwrap()).unwrap();
    assert_eq!(aligned["utterances"][0]["target"]["words"].as_array().unwrap().len(), 2);
    let error = refusal(&align(&[]), 1);
    assert!(
        error.contains("  caused by: ") && error.contains("bad.json: missing field"),
        "{error}"
    );
    assert!(error.contains("error: 1 of 2 files could not be aligned"), "{error}");
}

#[test]
fn challenge_that_the_engine_rejects_is_not_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("challenge.json");
    let name = file.display();
    let valid = challenge_with_references(&["Good morning."]);
    let mut without_recording = valid.clone();
    without_recording["utterances"][0]["source"] = json!({ "wav": "missing.wav" });
    let mut blank_title = valid;
    blank_title["title"] = json!(" ");
    for (challenge, cause) in [
        (
            without_recording.to_string(),
            format!("cannot read {}/missing.wav", folder.path().display()),
        ),
        (blank_title.to_string(), format!("{name}: title: must not be blank")),
        ("{".to_owned(), format!("{name}: EOF while parsing an object")),
    ] {
        std::fs::write(&file, &challenge).unwrap();
        let error = refusal(&bb().arg("align").arg(&file).output().unwrap(), 1);
        let expected = format!("error: cannot load the challenge\n  caused by: {cause}");
        assert!(error.contains(&expected), "{error}");
        assert!(error.ends_with("README.md describes the format\n"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), challenge);
    }
}

/// Compares with the times of espeak-ng's speech, whose words have nearly the same share of the
/// sentence.
#[test]
fn words_of_a_neural_voice_are_timed() {
    if !are_installed(&[NEURAL, RECOGNIZER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("challenge.json");
    let aligned = |voice: &str| -> Vec<Vec<taonet_primitives::Word>> {
        std::fs::write(&file, challenge_with_references(&TEXTS).to_string()).unwrap();
        let output = bb().args(["align", "--json", "--voice", voice]).arg(&file).output().unwrap();
        let words: usize = TEXTS.iter().map(|text| text.split_whitespace().count()).sum();
        assert_eq!(document(&output), json!([{ "file": file, "words": words }]));
        let challenge: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let utterances = challenge["utterances"].as_array().unwrap();
        utterances
            .iter()
            .map(|utterance| serde_json::from_value(utterance["target"]["words"].clone()).unwrap())
            .collect()
    };
    let (neural, espeak) = (aligned(&format!("piper:{NEURAL}")), aligned("en-gb"));
    for ((neural, espeak), text) in neural.iter().zip(&espeak).zip(TEXTS) {
        let word_text = |word: &taonet_primitives::Word| word.text.clone();
        assert!(neural.iter().map(word_text).eq(text.split_whitespace()), "{neural:?}");
        assert!(neural.iter().all(|word| word.start < word.end), "{neural:?}");
        assert!(neural.windows(2).all(|pair| pair[0].end <= pair[1].start), "{neural:?}");
        let length = |words: &[taonet_primitives::Word]| words.last().unwrap().end;
        for (own, other) in neural.iter().zip(espeak) {
            let distance = own.end / length(neural) - other.end / length(espeak);
            assert!(distance.abs() < 0.15, "{}: {neural:?} {espeak:?}", own.text);
        }
    }
}

/// Returns the words of a text in lower case, without punctuation.
fn words(text: &str) -> String {
    let letters: String = text
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '\'' { c.to_ascii_lowercase() } else { ' ' })
        .collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn neural_voice_is_recognised() {
    if !are_installed(&[NEURAL, RECOGNIZER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let voice = format!("piper:{NEURAL}");
    let files: Vec<_> =
        (0..TEXTS.len()).map(|index| folder.path().join(format!("{index}.wav"))).collect();
    for (text, file) in TEXTS.iter().zip(&files) {
        document(
            &synthesize(text, file, &["--voice", &voice, "--rate", "24000"]).output().unwrap(),
        );
    }
    let mut transcribe = tao();
    transcribe
        .env("BB_AUDIO_SCORING_STT_MODEL", RECOGNIZER)
        .args(["speech", "transcribe", "--json"])
        .args(&files);
    let transcripts = document(&transcribe.output().unwrap());
    let (mut errors, mut count) = (0, 0);
    for (transcript, text) in transcripts.as_array().unwrap().iter().zip(TEXTS) {
        let recognised = words(transcript["text"].as_str().unwrap());
        errors += word_errors(&recognised, &words(text));
        count += words(text).split(' ').count();
    }
    assert!(
        errors * 20 <= count,
        "{errors} word errors in {count} words, more than 5 %: {transcripts}"
    );
}
