//! Whisper behind the commands: a model with random weights, made by the peer's own libraries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::axon::BOB;
use crate::peers::Peer;
use crate::support::{Daemon, document, local_bb, refusal, repository, require_models, tao};

/// Returns a model directory of a few megabytes; its transcripts are nonsense, but reproducible.
fn model() -> Option<PathBuf> {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let peer = Peer::find("whisper")?;
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut script = peer.script("../../../crates/whisper/tests/peer/random_model.py");
        script.arg(folder.path().join("micro")).args(["--size", "micro", "--layers", "1"]);
        assert!(script.status().unwrap().success());
        folder
    });
    Some(folder.path().join("micro"))
}

fn transcribe(model: &Path) -> Command {
    let mut command = tao();
    command.env("BB_AUDIO_SCORING_STT_MODEL", model).args(["speech", "transcribe", "--json"]);
    command.arg(repository("vectors/speech/utt00.wav"));
    command
}

#[test]
fn a_model_directory_recognises_files() {
    let Some(model) = model() else { return };
    let heard = document(&transcribe(&model).output().unwrap());
    let heard = heard[0].as_object().unwrap();
    assert!(heard["detected_language"].as_str().is_some_and(|code| !code.is_empty()), "{heard:?}");
    // The same words at every run, and each within the recording, or soon after it.
    let words = heard["words"].as_array().unwrap();
    assert!(words.iter().all(|word| word["start"].as_f64() <= word["end"].as_f64()), "{words:?}");
    assert_eq!(document(&transcribe(&model).output().unwrap())[0].as_object(), Some(heard));
}

#[test]
fn broken_model_directories_are_refused_before_any_work() {
    let Some(model) = model() else { return };
    let copy = |name: &str| {
        let folder = model.parent().unwrap().join(name);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&model).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        folder
    };
    let refused = |model: &Path| refusal(&transcribe(model).output().unwrap(), 2);

    let error = refused(Path::new("/nonexistent/model"));
    assert!(error.contains("/nonexistent/model"), "{error}");

    let folder = copy("incomplete");
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    assert!(refused(&folder).contains("tokenizer.json cannot be loaded"));

    let folder = copy("truncated");
    let weights = fs::OpenOptions::new().write(true).open(folder.join("model.bin")).unwrap();
    weights.set_len(weights.metadata().unwrap().len() / 2).unwrap();
    assert!(refused(&folder).contains("model.bin is corrupt"));

    let folder = copy("empty");
    fs::remove_file(folder.join("model.bin")).unwrap();
    assert!(refused(&folder).contains("contains neither model.bin nor model.safetensors"));

    let folder = copy("vocabulary");
    fs::write(folder.join("vocabulary.json"), r#"["a", "b"]"#).unwrap();
    assert!(refused(&folder).contains("the vocabulary has 2 tokens, but the weights have 51865 embeddings"));
}

#[test]
fn a_round_scored_with_a_model_directory_stands_up_to_an_audit() {
    require_models();
    let Some(model) = model() else { return };
    let folder = tempfile::tempdir().unwrap();
    let engine = Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")));
    let miner = Daemon::start(local_bb().args(["miner", "--profile", "parrot", "--key-uri", "//Bob"]));
    let address = miner.url().trim_start_matches("http://").to_owned();
    let miners = folder.path().join("miners.json");
    fs::write(&miners, json!([{ "uid": 1, "hotkey": BOB, "address": address }]).to_string()).unwrap();
    let keep = folder.path().join("keep");
    let with_model = || {
        let mut bb = local_bb();
        bb.env("BB_AUDIO_SCORING_STT_MODEL", &model).env("BABELBIT_CACHE_DIR", folder.path().join("cache"));
        bb
    };
    let mut runner = with_model();
    runner.args(["runner", "--once", "--json", "--key-uri", "//Alice", "--engine", engine.url(), "--miners"]);
    document(&runner.arg(&miners).arg("--keep").arg(&keep).output().unwrap());
    let audit = document(&with_model().args(["audit", "ferry", "--json", "--keep"]).arg(&keep).output().unwrap());
    assert_eq!(audit["mismatches"], json!([]), "{audit}");
    assert_eq!(audit["recomputed"], 4, "{audit}");
}

/// Starts a speech miner with incremental recognition by this model.
fn incremental(model: &str) -> Command {
    let mut miner = local_bb();
    miner.args(["miner", "--stt", "whisper", "--key-uri", "//Bob"]).env("BB_AUDIO_SCORING_STT_MODEL", model);
    miner
}

#[test]
fn a_miner_hears_incrementally_within_the_deadlines() {
    let Some(model) = model() else { return };
    let miner = Daemon::start(&mut incremental(model.to_str().unwrap()));
    let mut test = local_bb();
    test.args(["test-miner", miner.url(), "--miner-hotkey", BOB, "--rules-only", "--json"]);
    let report = document(&test.output().unwrap());
    assert_eq!(report["passed"], true, "{report:#}");
}

#[test]
fn incremental_hearing_needs_whisper() {
    let error = refusal(&incremental("tiny-ctc").output().unwrap(), 2);
    assert!(error.contains("--stt whisper needs a Whisper model") && error.contains("hint: set it to"), "{error}");
    assert!(refusal(&incremental("/nonexistent/model").output().unwrap(), 2).contains("/nonexistent/model"));
}
