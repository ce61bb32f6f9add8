//! Sixteen speakers at the same time, whose speech one miner recognises with Whisper base.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use taonet_speech::{Pcm, SampleFormat, Wav};

use super::{WHISPER, interpret, repeat_until_in_time};
use crate::support::{are_installed, is_exhaustive, repository, require_sentence_model};

/// Number of speakers.
const SPEAKERS: usize = 16;
/// Maximum number of runs until one has no late response.
const MAX_RUNS: usize = 3;

/// Writes a recording for each speaker: of one sentence each, or of five in `./test --all`.
fn write_recordings(folder: &Path) {
    let speech = repository("vectors/speech");
    let transcripts = fs::read(speech.join("transcripts.json")).unwrap();
    let transcripts: Value = serde_json::from_slice(&transcripts).unwrap();
    let sentences = transcripts["items"].as_array().unwrap();
    let count = if is_exhaustive() { 5 } else { 1 };
    for speaker in 0..SPEAKERS {
        let (mut joined, mut text) = (None::<Pcm>, String::new());
        for number in 0..count {
            let sentence = &sentences[(speaker + number) % sentences.len()];
            let file = fs::read(speech.join(sentence["file"].as_str().unwrap())).unwrap();
            let source = Wav::decode(&file).unwrap().pcm;
            match &mut joined {
                Some(joined) => joined.samples.extend(source.samples),
                None => joined = Some(source),
            }
            text.push_str(sentence["text"].as_str().unwrap());
            text.push_str(". ");
        }
        let file = Wav::encode(&joined.unwrap(), SampleFormat::S16).unwrap();
        let path = folder.join(format!("speaker{speaker:02}"));
        fs::write(path.with_extension("wav"), file).unwrap();
        fs::write(path.with_extension("txt"), text).unwrap();
    }
}

/// Returns whether a recording failed, or a response came after its deadline.
fn is_late(report: &Value) -> bool {
    let timings = report["timings"].as_array().unwrap();
    report["total"]["failed"] != 0 || timings.iter().any(|timing| timing["late"] != 0)
}

#[test]
fn sixteen_speakers_miss_no_deadline() {
    require_sentence_model();
    if !are_installed(&[WHISPER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_recordings(folder.path());
    let report = repeat_until_in_time(
        MAX_RUNS,
        |report| !is_late(report),
        |_| {
            let mut bench = interpret(folder.path().to_str().unwrap());
            bench.args(["--json", "--language", "en", "--speakers", &SPEAKERS.to_string()]);
            bench.args(["--stt-model", WHISPER, "--", "--stt", "whisper"]);
            // The exit code is 1 if a recording failed.
            serde_json::from_slice(&bench.output().unwrap().stdout).unwrap()
        },
    );
    assert_eq!((&report["speakers"], is_late(&report)), (&json!(SPEAKERS), false), "{report:#}");
    assert_eq!(report["total"]["replies"], json!(SPEAKERS), "{report:#}");
}
