//! A UTF-8 byte order mark at the beginning of a text file changes no command's output.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SampleFormat, Wav};

use crate::support::{
    bb, challenge_with_references, local_bb, refusal, repository, require_sentence_model, stderr,
    tao,
};
use crate::wallet::{ADDRESS, PHRASE, keyfile_vector};

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const GENERATE_SCRIPT: &str = "generate-chute-script --json --template own --model al/m --revision 0123456789abcdef0123456789abcdef01234567";
const SCORE: &str = "score --json --source source.wav --predicted predicted.wav --reference reference.json \
                     --arrivals arrivals.json --transcript transcript.json";
const TEXT: &str = "the ferry leaves at ten";

/// A command that reads text files and ends by itself.
struct Case {
    program: fn() -> Command,
    arguments: &'static str,
    /// Names of the input files in the working directory, with their contents.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Exit code. Where a complete run needs a chain or a server, a mistake ends it after the file
    /// has been read.
    code: i32,
    /// Part of the output, which proves that the file was read.
    output: &'static str,
}

impl Case {
    fn new(program: fn() -> Command, arguments: &'static str, output: &'static str) -> Self {
        Self { program, arguments, files: Vec::new(), code: 0, output }
    }

    fn file(mut self, name: &'static str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name, content.into()));
        self
    }

    /// Adds a file of the repository.
    fn copy(self, name: &'static str, path: &str) -> Self {
        self.file(name, std::fs::read(repository(path)).unwrap())
    }

    fn fails(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// Runs the command in a new directory, and returns the comparable part of its output.
    fn run(&self, mark: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &self.files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let is_text = Path::new(name)
                .extension()
                .is_none_or(|extension| extension != "wav" && extension != "onnx");
            std::fs::write(
                &path,
                if is_text { [mark, content.as_slice()].concat() } else { content.clone() },
            )
            .unwrap();
        }
        let mut command = (self.program)();
        command.args(self.arguments.split_whitespace()).current_dir(folder.path());
        command.env("BT_WALLET_PATH", "wallets").env("BT_WALLET_NAME", "w");
        command.env("CHUTES_USERNAME", "alice").env("HUGGINGFACE_USERNAME", "al");
        let output = command.output().unwrap();
        let (code, errors) = (output.status.code(), stderr(&output));
        assert_eq!(code, Some(self.code), "{} with mark {mark:x?}: {errors}", self.arguments);
        // Messages of a successful command can contain durations.
        let text =
            if self.code == 0 { without_duration(&output) } else { refusal(&output, self.code) };
        text.replace(&folder.path().display().to_string(), "DIR")
    }
}

/// Returns standard output without the duration of the command.
fn without_duration(output: &Output) -> String {
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("wall_sec");
            Value::Object(fields).to_string()
        }
        _ => String::from_utf8(output.stdout.clone()).unwrap(),
    }
}

fn assert_unchanged(cases: &[Case]) {
    for case in cases {
        let output_without_mark = case.run(b"");
        assert!(
            output_without_mark.contains(case.output),
            "{}: {output_without_mark}",
            case.arguments
        );
        assert_eq!(case.run(b"\xef\xbb\xbf"), output_without_mark, "{}", case.arguments);
    }
}

fn vector(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(repository("vectors").join(path)).unwrap()).unwrap()
}

#[test]
fn subnet_commands_ignore_byte_order_marks() {
    let period = json!([{
        "total_requests": 40, "capacity": 120_000, "consumed_capacity": 12_000, "requests_429": 0, "requests_500": 0,
    }]);
    let challenge = challenge_with_references(&[TEXT]);
    let dialogues = json!({ "challenge_uid": "c", "dialogues": [{ "dialogue_uid": "d", "utterances": [TEXT] }] });
    let weights = json!({ "main": [[1, 1]], "arena": [[2, 1]] });
    let bundle = vector("proof/groth16-1.json");
    let api_keys = json!({ "version": 1, "keys": { "00": "ada" } });
    assert_unchanged(&[
        Case::new(tao, "yuma epoch.json --json", "incentive")
            .file("epoch.json", vector("yuma/cases.json")["cases"][0].to_string()),
        Case::new(tao, "nineteen period-score periods.json", "1.0")
            .file("periods.json", period.to_string()),
        Case::new(tao, "nineteen weights tables.json", "uids")
            .file("tables.json", vector("market-weights/weights.json")[0]["document"].to_string()),
        Case::new(tao, "nineteen tasks tasks.toml --json", "chat")
            .copy("tasks.toml", "subnets/nineteen/core/tasks.toml"),
        Case::new(bb, "compute-weights scores.json", "uids")
            .file("scores.json", weights.to_string()),
        // Also the file of settings in the working directory.
        Case::new(bb, "compute-weights scores.json", "uids")
            .file("scores.json", weights.to_string())
            .file(".env", "BB_ARENA_INCENTIVE_PERCENT=50\n"),
        Case::new(bb, "score-text dialogue.json", "dialogue-7")
            .file("dialogue.json", vector("text-scores/dialogue.json")["document"].to_string()),
        Case::new(bb, "text train --json --output model lines.txt talk.json", "\"words\":10")
            .file("lines.txt", format!("{TEXT}\n"))
            .file("talk.json", dialogues.to_string()),
        Case::new(bb, "align challenge.json", "").file("challenge.json", challenge.to_string()),
        Case::new(local_bb, "engine speech.json talk.json absent.json", "cannot use absent.json")
            .copy("speech.json", "tests/e2e/data/ferry.json")
            .file("talk.json", dialogues.to_string())
            .fails(1),
        Case::new(
            local_bb,
            "scoring-api --validators who.txt",
            "who.txt, line 2: expected a hotkey",
        )
        .file("who.txt", "# comment\nnobody\n")
        .fails(2),
        Case::new(
            local_bb,
            "runner --once --key-uri //Alice --miners miners.json",
            "miner 1 of the miners file",
        )
        .file("miners.json", r#"[{ "uid": 1 }]"#)
        .fails(1),
        Case::new(bb, GENERATE_SCRIPT, "bytes")
            .file("own/setup.py", "SETUP = 1\n")
            .file("own/load.py", "LOAD = 1\n")
            .file("own/predict.py", "PREDICT = 1\n"),
        Case::new(tao, "proof verify bundle.json --input input.json --json", "real_outputs")
            .file("input.json", bundle["inputs"].to_string())
            .file("bundle.json", bundle.to_string()),
        Case::new(
            tao,
            "proof compile model.onnx --sample sample.json --output circuit",
            "malformed ONNX file",
        )
        .file("model.onnx", "no model")
        .copy("sample.json", "models/diabetes-regression/sample.json")
        .fails(1),
        Case::new(tao, "proof api-key --api-keys keys.json list --json", "ada")
            .file("keys.json", api_keys.to_string()),
    ]);
}

#[test]
fn chain_and_wallet_commands_ignore_byte_order_marks() {
    let commit = json!({
        "netuid": 1, "mech": 0, "hotkey": ALICE, "uids": [1], "values": [1, 2], "salt": [], "version_key": 0,
    });
    let keyfile = keyfile_vector("plain_seed");
    assert_unchanged(&[
        Case::new(tao, "batch --file calls.txt", "calls.txt, line 2: ")
            .file("calls.txt", "# comment\nno call\n")
            .fails(2),
        Case::new(tao, "weights reveal commit.json", "1 uid and 2 values")
            .file("commit.json", commit.to_string())
            .fails(1),
        Case::new(tao, "wallet verify --validator-info list.json --json", "verified")
            .copy("list.json", "tests/e2e/data/validators.json"),
        Case::new(tao, "wallet regen-hotkey --mnemonic-file phrase --json", ADDRESS)
            .file("phrase", PHRASE),
        Case::new(tao, "wallet regen-hotkey --seed-file seed --json", "address")
            .file("seed", "11".repeat(32)),
        Case::new(tao, "wallet list --json", "default")
            .file("wallets/w/coldkey", keyfile.clone())
            .file("wallets/w/hotkeys/default", keyfile)
            .file("wallets/w/hotkeys/encrypted", keyfile_vector("ansible_vault")),
    ]);
}

#[test]
fn scoring_commands_ignore_byte_order_marks() {
    require_sentence_model();
    let words = TEXT.split_whitespace().zip(0..).map(|(word, index)| {
        let start = 0.3 * f64::from(index);
        json!({ "word": word, "start": start, "end": start + 0.3 })
    });
    let transcript =
        json!({ "text": TEXT, "words": words.collect::<Vec<_>>(), "detected_language": "en" });
    let reference = json!({ "reference_text": TEXT, "reference_wps": 3.0 });
    let arrivals =
        json!({ "arrivals": [[30, 192_000]], "eos_frame": 50, "first_output_frame": 30 });
    let batch = json!({
        "challenge_uid": "c", "utterance_id": "c:1", "source_duration_sec": 10.0,
        "reference": { "utterances": [{ "utterance_id": "1", "reference_text": TEXT, "reference_wps": 3.0 }] },
        "predictions": [{
            "miner": "m", "duration_sec": 2.0, "first_output_frame": 30, "frame_rate_hz": 12.5, "arrivals": [],
            "eos_frame": 50, "transcript": transcript,
        }],
    });
    assert_unchanged(&[
        Case::new(bb, "score-batch batch.json", "results").file("batch.json", batch.to_string()),
        Case::new(bb, SCORE, TEXT)
            .file("source.wav", wav(4))
            .file("predicted.wav", wav(2))
            .file("reference.json", reference.to_string())
            .file("arrivals.json", arrivals.to_string())
            .file("transcript.json", transcript.to_string()),
    ]);
}

/// Returns a WAV file of a tone.
fn wav(seconds: u16) -> Vec<u8> {
    let samples =
        (0..24_000 * u32::from(seconds)).map(|index| 0.1 * (index as f32 / 20.0).sin()).collect();
    Wav::encode(&Pcm::mono(samples, SampleRate::HZ_24K), SampleFormat::S16).unwrap()
}
