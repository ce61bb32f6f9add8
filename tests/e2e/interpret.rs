//! `bb bench interpret` with a miner that it starts, and with a running one.

mod bad_input;
#[cfg(target_os = "linux")]
mod interrupted;
mod speakers;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use taonet_babelbit_challenges::{Challenges, Source};
use taonet_speech::{Espeak, SampleFormat, Synthesizer as _, Wav};

use crate::axon::BOB;
use crate::support::{
    Daemon, are_installed, bb, document, local_bb, refusal, repository, require_sentence_model,
};

/// Recogniser of the translating miner and of its replies.
const WHISPER: &str = "faster-whisper-base";
/// Voice of the translating miner.
const VOICE: &str = "en_US-joe-medium";
/// Recordings of a directory.
const RECORDINGS: usize = 3;

fn interpret(recordings: &str) -> Command {
    let mut command = bb();
    command.args(["bench", "interpret", recordings]);
    command
}

/// Writes recordings with their texts as references.
fn write_recordings(folder: &Path) {
    let transcripts = fs::read(repository("vectors/speech/transcripts.json")).unwrap();
    let transcripts: Value = serde_json::from_slice(&transcripts).unwrap();
    for item in &transcripts["items"].as_array().unwrap()[..RECORDINGS] {
        let file = item["file"].as_str().unwrap();
        fs::copy(repository("vectors/speech").join(file), folder.join(file)).unwrap();
        let text = folder.join(file).with_extension("txt");
        fs::write(text, item["text"].as_str().unwrap()).unwrap();
    }
    fs::write(folder.join("utt00.src.txt"), "The old ferry crossed the harbor twice.").unwrap();
}

/// Repeats a run, whose responses a busy machine can delay, until they are in time, but at most
/// `max_runs` times; returns the last result.
fn repeat_until_in_time<T>(
    max_runs: usize,
    is_in_time: impl Fn(&T) -> bool,
    mut run: impl FnMut(usize) -> T,
) -> T {
    let mut number = 0;
    loop {
        let result = run(number);
        number += 1;
        if number == max_runs || is_in_time(&result) {
            return result;
        }
    }
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn started_miner_is_benchmarked_on_recordings() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    let mut bench = interpret(folder.path().to_str().unwrap());
    let report = document(
        &bench.args(["--json", "--language", "en", "--", "--voice", "en-us"]).output().unwrap(),
    );
    assert_eq!((&report["schema"], &report["benchmark"]), (&json!(1), &json!("interpret")));
    assert_eq!(
        (&report["recognizer"]["name"], &report["embedder"]),
        (&json!("tiny-ctc"), &json!("all-MiniLM-L6-v2"))
    );
    assert_eq!(report["miner"]["options"], json!(["--voice", "en-us"]));
    if cfg!(target_os = "linux") {
        assert!(number(&report["miner"]["cpu_sec"]) > 0.0, "{report:#}");
        assert!((5.0..2_000.0).contains(&number(&report["miner"]["max_rss_mb"])), "{report:#}");
    }
    let items = report["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["utt00", "utt01", "utt02"]);
    assert_eq!(items[0]["source"], "The old ferry crossed the harbor twice.");
    assert_eq!(items[1]["source"], Value::Null);
    for item in items {
        // The replies are late, but transcribed nevertheless.
        assert!(item["transcript"].is_string() && item["error"].is_null(), "{item:#}");
        assert!(number(&item["wer"]) < 50.0 && number(&item["chrf"]) > 70.0, "{item:#}");
        let [wall, source, factor] =
            ["wall_sec", "source_sec", "real_time_factor"].map(|key| number(&item[key]));
        assert!(wall > 0.0 && (factor - wall / source).abs() < 1e-9, "{item:#}");
        assert!(number(&item["after_source_sec"]) <= wall, "{item:#}");
        assert!(number(&item["overshoot_sec"]) >= 0.0, "{item:#}");
        assert!(number(&item["al_ms"]) <= number(&item["laal_ms"]) + 1e-9, "{item:#}");
    }
    let total = &report["total"];
    assert_eq!((&total["replies"], &total["failed"]), (&json!(RECORDINGS), &json!(0)));
    let mean =
        |key: &str| items.iter().map(|item| number(&item[key])).sum::<f64>() / items.len() as f64;
    for key in ["score", "laal_ms", "atd_ms"] {
        assert!((number(&total[key]) - mean(key)).abs() < 1e-3, "{key}: {report:#}");
    }
    let phases: Vec<_> =
        report["timings"].as_array().unwrap().iter().map(|timing| &timing["phase"]).collect();
    assert_eq!(phases[..3], [&json!("init"), &json!("frame"), &json!("final_frame")]);
}

/// The recordings are played one by one, which changes neither the score nor the metrics of a
/// challenge.
#[test]
fn interpret_bench_matches_test_miner_scores() {
    require_sentence_model();
    let miner = Daemon::start(local_bb().args(["miner", "--key-uri", "//Bob"]));
    let ferry = repository("tests/e2e/data/ferry.json");
    let ferry = ferry.to_str().unwrap();
    let mut test = bb();
    test.args(["test-miner", miner.url(), "--miner-hotkey", BOB, "--json", "--challenge", ferry]);
    let contest = document(&test.output().unwrap())["contest"].clone();
    let mut bench = interpret(ferry);
    let report = document(
        &bench.args(["--json", "--miner", miner.url(), "--miner-hotkey", BOB]).output().unwrap(),
    );
    let (total, expected) = (&report["total"], &contest["challenges"][0]["miner"]);
    for (actual, expected) in
        [(&total["score"], &expected["score"]), (&total["accuracy"], &expected["accuracy"])]
    {
        assert!(
            (number(actual) - number(expected)).abs() < 1e-9,
            "{report:#} instead of {expected:#}"
        );
    }
    for key in ["wer", "bleu", "chrf", "al_ms", "laal_ms", "atd_ms", "replies"] {
        assert_eq!(
            total[key], expected["metrics"][key],
            "{key}: {report:#} instead of {expected:#}"
        );
    }
    assert!(report["items"][0]["source"].as_str().unwrap().contains("ferry"), "{report:#}");
    for key in ["options", "cpu_sec", "max_rss_mb"] {
        assert_eq!(report["miner"][key], json!(null), "{key}");
    }
    let mut text_bench = interpret(ferry);
    text_bench.args(["--miner", miner.url(), "--miner-hotkey", BOB]).env("COLUMNS", "160");
    let printed = String::from_utf8(text_bench.output().unwrap().stdout).unwrap();
    for expected_text in [
        "real-time factor",
        "LAAL",
        "all ",
        "final frame",
        "compared with all-MiniLM-L6-v2",
        "s of speech",
    ] {
        assert!(printed.contains(expected_text), "{expected_text}: {printed}");
    }
}

#[test]
fn miner_without_replies_fails_with_the_errors() {
    require_sentence_model();
    let ferry = repository("tests/e2e/data/ferry.json");
    let mut bench = interpret(ferry.to_str().unwrap());
    let output =
        bench.args(["--json", "--miner", "127.0.0.1:1", "--miner-hotkey", BOB]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["total"]["replies"], &report["total"]["failed"]), (&json!(0), &json!(4)));
    assert_eq!((&report["total"]["wer"], &report["total"]["bleu"]), (&json!(100.0), &json!(0.0)));
    assert!(
        report["items"][0]["error"].as_str().unwrap().starts_with("ConnectionError:"),
        "{report:#}"
    );
}

#[test]
fn invalid_arguments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    for (recordings, options, code, expected) in [
        ("fr-9", &[][..], 2, "fr-9: neither a shipped challenge nor a file\nhint: "),
        ("fr-1", &["--language", "fr"], 2, "--language is for a directory of recordings"),
        ("fr-1", &["--miner", "127.0.0.1:1"], 2, "--miner-hotkey <HOTKEY>"),
        (directory, &[], 1, "contains no WAV file\nhint: "),
    ] {
        let error = refusal(&interpret(recordings).args(options).output().unwrap(), code);
        assert!(error.contains(expected), "{recordings} {options:?}: {error}");
    }
    require_sentence_model();
    let error =
        refusal(&interpret("1").args(["--", "--frame-threshold", "500"]).output().unwrap(), 2);
    assert!(error.contains("invalid value '500' for '--frame-threshold"), "{error}");
    assert!(error.contains("the miner did not start: ") && !error.contains('{'), "{error}");
}

/// The first utterance of the shipped German challenge, as a recording.
#[test]
fn translating_miner_is_benchmarked_with_whisper_and_piper() {
    require_sentence_model();
    if !are_installed(&[WHISPER, VOICE]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let challenge = Challenges::find("de-1").unwrap().unwrap();
    let utterance = &challenge.utterances[0];
    let Source::Text { text, voice } = &utterance.source else { panic!("a recording") };
    let speech = Espeak::find().unwrap().speak(text, voice).unwrap();
    fs::write(folder.path().join("german.wav"), Wav::encode(&speech, SampleFormat::S16).unwrap())
        .unwrap();
    fs::write(folder.path().join("german.txt"), &utterance.target.text).unwrap();
    let mut bench = interpret(folder.path().to_str().unwrap());
    // No reply may time out on a busy machine.
    for name in ["BB_MINER_TIMEOUT_SEC", "BB_S2S_CHUNK_TIMEOUT_SEC", "BB_S2S_DRAIN_TIMEOUT_SEC"] {
        bench.env(name, "60");
    }
    bench.args(["--json", "--language", "de", "--stt-model", WHISPER]);
    bench.args(["--", "--task", "translate", "--voice", &format!("piper:{VOICE}")]);
    let report = document(&bench.output().unwrap());
    assert_eq!(
        (&report["recognizer"]["name"], &report["total"]["failed"]),
        (&json!(WHISPER), &json!(0))
    );
    assert!(
        number(&report["total"]["chrf"]) > 20.0 && number(&report["total"]["laal_ms"]) > 0.0,
        "{report:#}"
    );
}
