//! Wrong arguments of the commands for the text contest.

use super::train_model;
use crate::support::{bb, local_bb, refusal, repository, tao};

/// arguments · status · part of the error
#[test]
fn text_contest_usage_errors_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (nonsense, cut) = (
        path("nonsense.model", "x"),
        path("cut.json", r#"{"dialogues": [{"utterances": ["a", "b"#),
    );
    let output = folder.path().join("new.model").display().to_string();
    let empty = folder.path().join("empty").display().to_string();
    std::fs::create_dir(&empty).unwrap();
    let nowhere = folder.path().join("nowhere/new.model").display().to_string();
    let challenge =
        repository("subnets/babelbit/challenges/01-the-late-train.json").display().to_string();
    #[rustfmt::skip]
    let table: [(&[&str], i32, &str); 38] = [
        (&["miner", "--stt", "vosk", "--key-uri", "//Bob"], 2, "phrases, whisper"),
        (&["miner", "--stt", "whisper", "--stt-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "cannot be used with"),
        (&["miner", "--stt", "whisper", "--profile", "mumbler", "--key-uri", "//Bob"], 2, "hint: use --profile interpreter"),
        (&["miner", "--stt", "whisper", "--contest", "text", "--key-uri", "//Bob"], 2, "for speech miners"),
        (&["miner", "--contest", "text", "--lm", "gpt2", "--backend-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "cannot be used with"),
        (&["miner", "--contest", "text", "--lm", "no-such-model", "--key-uri", "//Bob"], 1, "no-such-model does not exist"),
        (&["miner", "--contest", "text", "--lm", "hub:al/../x", "--key-uri", "//Bob"], 2, "expected hub: and OWNER/NAME"),
        (&["miner", "--contest", "text", "--lm", &nonsense, "--key-uri", "//Bob"], 1, "nonsense.model: header: "),
        (&["miner", "--contest", "text", "--lm", &empty, "--key-uri", "//Bob"], 1, "hint: a model is a GGUF file"),
        (&["miner", "--contest", "text", "--lm", &empty, "--lm-sessions", "0", "--key-uri", "//Bob"], 2, "--lm-sessions"),
        (&["miner", "--contest", "text", "--key-uri", "//Bob"], 2, "--model <FILE>"),
        (&["miner", "--model", &nonsense, "--key-uri", "//Bob"], 2, "hint: add --contest text"),
        (&["miner", "--contest", "text", "--model", &nonsense, "--key-uri", "//Bob"], 1, "not an n-gram model"),
        (&["miner", "--contest", "text", "--model", "missing.model", "--key-uri", "//Bob"], 1, "cannot read missing.model"),
        (&["miner", "--contest", "text", "--backend-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 3, "hint: name the model with --backend-model"),
        (&["miner", "--contest", "text", "--backend-url", "127.0.0.1:9", "--key-uri", "//Bob"], 2, "expected an http or https URL"),
        (&["miner", "--contest", "text", "--tts-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "for speech miners"),
        (&["miner", "--contest", "text", "--frame-timeout", "2", "--key-uri", "//Bob"], 2, "for speech miners"),
        (&["miner", "--contest", "text", "--profile", "parrot", "--model", &nonsense, "--key-uri", "//Bob"], 2, "is for speech miners"),
        (&["miner", "--contest", "text", "--server-timeout", "2", "--model", &nonsense, "--key-uri", "//Bob"], 2, "no effect on an n-gram model"),
        (&["miner", "--contest", "text", "--lm-memory", "2", "--model", &nonsense, "--key-uri", "//Bob"], 2, "hint: add --lm"),
        (&["miner", "--lm-sessions", "2", "--key-uri", "//Bob"], 2, "hint: add --contest text"),
        (&["miner", "--server-timeout", "2", "--key-uri", "//Bob"], 2, "limit calls to inference servers"),
        (&["miner", "--stt", "whisper", "--frame-timeout", "2", "--key-uri", "//Bob"], 2, "limit calls to inference servers"),
        (&["miner", "--backend-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "hint: add --contest text"),
        (&["miner", "--backend-model", "gpt2", "--key-uri", "//Bob"], 2, "--backend-url <URL>"),
        (&["miner", "--llm-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "--llm-model <NAME>"),
        (&["miner", "--profile", "parrot", "--stt-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "hint: use --profile interpreter or patient"),
        (&["miner", "--server-timeout", "0", "--key-uri", "//Bob"], 2, "above 0 and at most 600"),
        (&["miner", "--tts-url", "http://127.0.0.1:9/v1", "--tts-timeout", "3", "--key-uri", "//Bob"], 2, "hint: validators wait 3 s"),
        (&["miner", "--tts-timeout", "3", "--key-uri", "//Bob"], 2, "--tts-url <URL>"),
        (&["runner", "--contest", "text", "--once", "--metrics", "--key-uri", "//Alice"], 2, "--metrics with --once shows metrics of the speech contest"),
        (&["runner", "--contest", "text", "--once", "--no-gates", "--key-uri", "//Alice"], 2, "--no-gates is for the speech contest"),
        (&["text", "train", &cut, "--output", &output], 1, "cut.json: the file is truncated: EOF while parsing a string at line 1"),
        (&["text", "train", "missing.txt", "--output", &output], 1, "cannot read missing.txt"),
        (&["text", "train", &cut, "--output", &output, "--context", "7"], 2, "expected a number from 1 to 6"),
        // The output is checked before the training.
        (&["text", "train", &cut, "--output", &empty], 1, "empty is a directory"),
        (&["text", "train", &cut, "--output", &nowhere], 1, "nowhere is not a directory"),
    ];
    for (arguments, status, text) in table {
        let mut command = local_bb();
        command.args(arguments);
        if arguments[0] == "miner" {
            // Another test may have the default port.
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let error = refusal(&command.output().unwrap(), status);
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    assert!(!folder.path().join("new.model").exists(), "nothing is written");
    // A model that exists stays as it is.
    let existing = train_model(folder.path());
    let before = std::fs::read(&existing).unwrap();
    let retrain = bb().args(["text", "train", &cut, "--output"]).arg(&existing).output().unwrap();
    assert!(refusal(&retrain, 1).contains("hint: download or copy it again"));
    assert!(std::fs::read(&existing).unwrap() == before, "the model has changed");
    let speech =
        tao().args(["demo", "--contest", "text", "--challenge", &challenge]).output().unwrap();
    assert!(refusal(&speech, 2).contains("not a text challenge"));
}
