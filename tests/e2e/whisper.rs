//! Whisper behind the commands: the trained model of the crate's tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::axon::BOB;
use crate::peers::Peer;
use crate::support::{
    Daemon, are_installed, document, local_bb, refusal, repository, require_sentence_model, tao,
};

/// Returns the directory of a small model that has learnt the voices of espeak-ng.
pub(crate) fn model() -> PathBuf {
    repository("crates/whisper/tests/model")
}

fn transcribe(model: &Path) -> Command {
    let mut command = tao();
    command.env("BB_AUDIO_SCORING_STT_MODEL", model).args(["speech", "transcribe", "--json"]);
    command.arg(repository("vectors/speech/utt00.wav"));
    command
}

#[test]
fn model_directory_transcribes_files() {
    let transcript = document(&transcribe(&model()).output().unwrap());
    let transcript = transcript[0].as_object().unwrap();
    assert_eq!(transcript["detected_language"], "en");
    // The same words in every run, each with its time.
    let words = transcript["words"].as_array().unwrap();
    assert!(words.iter().all(|word| word["start"].as_f64() <= word["end"].as_f64()), "{words:?}");
    assert_eq!(document(&transcribe(&model()).output().unwrap())[0].as_object(), Some(transcript));
    let plain =
        |word: &Value| word["word"].as_str().unwrap().trim_matches(['.', '?']).to_lowercase();
    let words: Vec<String> = words.iter().map(plain).collect();
    let spoken: Vec<&str> =
        "the old ferry crossed the harbor twice before the fog came down".split(' ').collect();
    let recognised_count =
        spoken.iter().filter(|word| words.iter().any(|recognised| recognised == *word)).count();
    assert!(
        words.len().abs_diff(spoken.len()) <= 2 && recognised_count >= spoken.len() - 3,
        "{words:?}"
    );
}

#[test]
fn french_speech_is_translated_into_english() {
    let Some(recordings) = Peer::find("recordings") else { return };
    if !are_installed(&["faster-whisper-base"]) {
        return;
    }
    let file = recordings.packages().join("pytest_audioeval/samples/audio/fr/bonjour_monde.wav");
    for language in [&[][..], &["--language", "fr"]] {
        let mut command = tao();
        command.args([
            "speech",
            "transcribe",
            "--json",
            "--stt-model",
            "faster-whisper-base",
            "--task",
            "translate",
        ]);
        let transcript = document(&command.args(language).arg(&file).output().unwrap());
        let text = transcript[0]["text"].as_str().unwrap().to_lowercase();
        assert!(text.contains("hello") && text.contains("world"), "{transcript:#}");
        assert_eq!(transcript[0]["detected_language"], "fr");
    }
}

#[test]
fn unsupported_tasks_and_languages_are_refused() {
    let file = repository("vectors/speech/utt00.wav");
    for (arguments, expected_text) in [
        (&["--task", "translate"][..], "--task translate: tiny-ctc does not translate"),
        (&["--language", "fr"], "--language fr: tiny-ctc understands English only"),
        (
            &["--stt-model", model().to_str().unwrap(), "--language", "yue"],
            "--language yue: not supported by the model\nhint: omit --language",
        ),
        (
            &["--language", "french"],
            "invalid value 'french' for '--language <CODE>': expected auto, or the code of a language",
        ),
        (&["--stt-model", "nosuch"], "unknown recogniser `nosuch`, expected one of tiny-ctc, "),
        (&["--stt-model", "en_US-joe-medium"], "en_US-joe-medium is not a recogniser\nhint: use "),
    ] {
        let error = refusal(
            &tao().args(["speech", "transcribe"]).args(arguments).arg(&file).output().unwrap(),
            2,
        );
        assert!(error.contains(expected_text), "{arguments:?}: {error}");
    }
}

#[test]
fn broken_model_directories_are_refused() {
    let copies = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let folder = copies.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        for file in ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"] {
            fs::copy(model().join(file), folder.join(file)).unwrap();
        }
        folder
    };
    let refusal_for = |model: &Path| refusal(&transcribe(model).output().unwrap(), 2);

    let error = refusal_for(Path::new("/nonexistent/model"));
    assert!(error.contains("/nonexistent/model contains no config.json\nhint: pass"), "{error}");

    let folder = copy("incomplete");
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let error = refusal_for(&folder);
    assert!(
        error.contains("tokenizer.json cannot be loaded") && error.contains("\nhint: download"),
        "{error}"
    );

    let folder = copy("truncated");
    let weights = fs::OpenOptions::new().write(true).open(folder.join("model.bin")).unwrap();
    weights.set_len(weights.metadata().unwrap().len() / 2).unwrap();
    assert!(refusal_for(&folder).contains("model.bin is corrupt"));

    let folder = copy("empty");
    fs::remove_file(folder.join("model.bin")).unwrap();
    assert!(refusal_for(&folder).contains("contains neither model.bin nor model.safetensors"));

    let folder = copy("architecture");
    let mut weights = fs::read(folder.join("model.bin")).unwrap();
    // The name of the architecture follows the format's version and the length of the name.
    weights[6..11].copy_from_slice(b"Other");
    fs::write(folder.join("model.bin"), weights).unwrap();
    assert!(
        refusal_for(&folder)
            .contains("is not a supported Whisper model: model `OthererSpec` revision 3")
    );

    let folder = copy("configuration");
    fs::write(folder.join("config.json"), "{").unwrap();
    let error = refusal_for(&folder);
    assert!(error.contains("cannot parse") && error.contains("config.json"), "{error}");

    let folder = copy("vocabulary");
    fs::write(folder.join("vocabulary.json"), r#"["a", "b"]"#).unwrap();
    assert!(
        refusal_for(&folder)
            .contains("the vocabulary has 2 tokens, but the weights have 3611 embeddings")
    );
}

#[test]
fn round_scored_with_a_model_directory_passes_the_audit() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let engine =
        Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")));
    let miner =
        Daemon::start(local_bb().args(["miner", "--profile", "interpreter", "--key-uri", "//Bob"]));
    let address = miner.url().trim_start_matches("http://").to_owned();
    let miners = folder.path().join("miners.json");
    fs::write(&miners, json!([{ "uid": 1, "hotkey": BOB, "address": address }]).to_string())
        .unwrap();
    let keep = folder.path().join("keep");
    let with_model = || {
        let mut bb = local_bb();
        bb.env("BB_AUDIO_SCORING_STT_MODEL", model())
            .env("BABELBIT_CACHE_DIR", folder.path().join("cache"));
        bb
    };
    let mut runner = with_model();
    runner.args([
        "runner",
        "--once",
        "--json",
        "--key-uri",
        "//Alice",
        "--engine",
        engine.url(),
        "--miners",
    ]);
    let report = document(&runner.arg(&miners).arg("--keep").arg(&keep).output().unwrap());
    let utterances = report["miners"][0]["utterances"].as_array().unwrap();
    let words = |utterance: &Value| {
        utterance["transcript"].as_str().map_or(0, |text| text.split(' ').count())
    };
    assert!(
        utterances.len() == 4 && utterances.iter().all(|utterance| words(utterance) > 4),
        "{report:#}"
    );
    assert!(report["miners"][0]["score"].as_f64() > Some(0.0), "{report:#}");

    let audit = document(
        &with_model().args(["audit", "ferry", "--json", "--keep"]).arg(&keep).output().unwrap(),
    );
    assert_eq!(
        (&audit["mismatches"], &audit["different_conditions"]),
        (&json!([]), &json!([])),
        "{audit}"
    );
    assert_eq!(audit["recomputed"], 4, "{audit}");
    let recognizer = audit["conditions"][0]["recognizer"]["name"].as_str().unwrap();
    assert!(recognizer.ends_with("model"), "{recognizer}");
}

/// Starts a speech miner with incremental recognition by this model.
fn incremental(model: &str) -> Command {
    let mut miner = local_bb();
    miner
        .args(["miner", "--stt", "whisper", "--key-uri", "//Bob"])
        .env("BB_AUDIO_SCORING_STT_MODEL", model);
    miner
}

#[test]
fn incremental_miner_passes_all_rules() {
    let miner = Daemon::start(&mut incremental(model().to_str().unwrap()));
    let mut test = local_bb();
    test.args(["test-miner", miner.url(), "--miner-hotkey", BOB, "--rules-only", "--json"]);
    let report = document(&test.output().unwrap());
    assert_eq!(report["passed"], true, "{report:#}");
}

/// Plays the ferry challenge to a miner with incremental recognition under a policy, and returns
/// the utterances' records.
fn play_ferry(policy: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let engine =
        Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")));
    let miner =
        Daemon::start(incremental(model().to_str().unwrap()).args(["--stt-policy", policy]));
    let miners = folder.path().join("miners.json");
    let address = miner.url().trim_start_matches("http://");
    fs::write(&miners, json!([{ "uid": 1, "hotkey": BOB, "address": address }]).to_string())
        .unwrap();
    let keep = folder.path().join("keep");
    let mut runner = local_bb();
    runner.args([
        "runner",
        "--once",
        "--json",
        "--key-uri",
        "//Alice",
        "--engine",
        engine.url(),
        "--miners",
    ]);
    document(&runner.arg(&miners).arg("--keep").arg(&keep).output().unwrap());
    let record = keep.join(format!("logs/s2s/ferry/main/miner_1__hk_{BOB}/run.json"));
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    record["utterances"].as_array().unwrap().clone()
}

/// A reply of D seconds that ends at C began at C - D, or earlier if it has pauses.
#[test]
fn incremental_miner_speaks_before_last_frame() {
    require_sentence_model();
    // With AlignAtt, the small model misunderstands the first utterance.
    for (policy, max_failures) in [("local-agreement", 0), ("alignatt", 1)] {
        let utterances = play_ferry(policy);
        assert_eq!(utterances.len(), 4);
        let mut failures = 0;
        for utterance in &utterances {
            let number = |field: &str| {
                utterance[field].as_f64().unwrap_or_else(|| panic!("{field}: {utterance:#}"))
            };
            let begins = number("effective_completion_sec") - number("predicted_duration_sec");
            assert!(
                begins < number("source_duration_sec") * 0.9,
                "the reply begins at {begins} s: {utterance:#}"
            );
            // It is in time, and has heard the words, too.
            let is_late = utterance["score_breakdown"]["gate"] == "too_late";
            failures += usize::from(is_late || number("accuracy") <= 0.7);
        }
        assert!(failures <= max_failures, "{policy}: {failures} replies fail: {utterances:#?}");
    }
}

#[test]
fn incremental_recognition_requires_whisper() {
    let error = refusal(&incremental("tiny-ctc").output().unwrap(), 2);
    assert!(
        error.contains("--stt whisper needs a Whisper model") && error.contains("hint: set it to"),
        "{error}"
    );
    assert!(
        refusal(&incremental("/nonexistent/model").output().unwrap(), 2)
            .contains("/nonexistent/model")
    );
}
