//! Versions and settings of both programs.

mod completion;
mod errors;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_settings::NETWORK_VARIABLES;

use crate::support::{Daemon, bb, document, refusal, require_sentence_model, stderr, tao};
pub(crate) use completion::candidates;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

#[test]
fn version_is_printed_without_delay() {
    for (name, mut command) in [("tao", tao()), ("bb", bb())] {
        command.arg("--version");
        let expected = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        // Loading a model would always take longer. A busy machine is slower at times: the fastest
        // run counts.
        let fastest = (0..10).map(|_| {
            let start = Instant::now();
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
            start.elapsed()
        });
        let fastest = fastest.min().unwrap();
        assert!(fastest < Duration::from_secs(1), "{name} took {fastest:?}");
    }
}

fn config(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    bb().arg("config").args(arguments).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn settings_are_shown_with_their_origin() {
    let result = document(&config(
        &["show", "--json"],
        &[("BB_S2S_CHUNK_TIMEOUT_SEC", "2.5"), ("BB_RULES", " ")],
    ));
    let settings = result["settings"].as_array().unwrap();
    let setting = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    for (name, value, origin) in [
        ("BB_S2S_CHUNK_TIMEOUT_SEC", "2.5", "environment"),
        ("BB_RULES", "reference", "default"),
        ("BABELBIT_NETUID", "59", "default"),
        ("BB_AUDIO_SCORING_ACCURACY_THRESHOLD", "0.65", "default"),
        ("BB_DEFAULT_FALLBACK_UID", "248", "default"),
    ] {
        assert_eq!(
            (&setting(name)["value"], &setting(name)["origin"]),
            (&json!(value), &json!(origin)),
            "{name}"
        );
    }
    assert_eq!(result["warnings"], json!([]));
}

#[cfg(unix)]
#[test]
fn non_utf8_variable_fails_only_where_used() {
    use std::os::unix::ffi::OsStrExt as _;
    let non_utf8 = std::ffi::OsStr::from_bytes(b"/\xff");
    let show =
        |name: &str| bb().args(["config", "show", "--json"]).env(name, non_utf8).output().unwrap();
    assert_eq!(document(&show("X"))["warnings"], json!([]));
    let error = refusal(&show("BB_MODELS_DIR"), 2);
    assert!(error.contains("BB_MODELS_DIR=/\u{fffd}: expected text in UTF-8"), "{error}");
}

#[test]
fn config_check_validates_every_network_variable() {
    for name in NETWORK_VARIABLES {
        let error = refusal(&config(&["check"], &[(name, "locall")]), 2);
        let line = format!(
            "{name}=locall: expected finney, test, archive, local, or URLs of nodes (ws://HOST:PORT"
        );
        assert!(error.contains(&line), "{error}");
        assert!(config(&["check"], &[(name, "local")]).status.success(), "{name}");
    }
}

#[test]
fn unknown_settings_give_warning() {
    let warnings =
        document(&config(&["check", "--json"], &[("BB_COLOUR", "red"), ("UNRELATED", "1")]));
    assert_eq!(warnings["warnings"], json!(["unknown setting BB_COLOUR"]));
    let folder = tempfile::tempdir().unwrap();
    let scores = folder.path().join("scores.json");
    std::fs::write(&scores, "{}").unwrap();
    let output = bb().arg("compute-weights").arg(scores).env("BB_COLOUR", "red").output().unwrap();
    document(&output);
    assert!(stderr(&output).contains("unknown setting BB_COLOUR"), "{}", stderr(&output));
}

#[test]
fn all_invalid_settings_are_reported_together() {
    let variables = [
        ("BB_RULES", "maybe"),
        ("BB_S2S_CHUNK_TIMEOUT_SEC", "-1"),
        ("BB_UTTERANCE_ENGINE_URL", "engine"),
    ];
    for arguments in [["show", "--json"], ["check", "--json"]] {
        let error = refusal(&config(&arguments, &variables), 2);
        for (name, value) in variables {
            assert!(error.contains(&format!("{name}={value}")), "{name}: {error}");
        }
    }
}

#[test]
fn group_without_a_command_shows_its_help() {
    for (arguments, line) in [(&["wallet"][..], "Commands:"), (&[], "Run:"), (&[], "Develop:")] {
        let output = tao().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("Examples:") && text.lines().any(|printed| printed == line),
            "{arguments:?}: {text}"
        );
    }
}

/// Writes a keyfile whose key is not a development key, and returns its path.
fn keyfile(folder: &Path) -> PathBuf {
    let keyfile = folder.join("hotkey");
    let seed = format!("0x{}", "5a".repeat(32));
    std::fs::write(&keyfile, json!({ "secretSeed": seed }).to_string()).unwrap();
    keyfile
}

/// Returns the command of a runner with a real key on a public network, which must fail before any
/// network access.
fn public_runner(folder: &Path) -> Command {
    let miners = folder.join("miners.json");
    std::fs::write(
        &miners,
        json!([{ "uid": 1, "hotkey": ALICE, "address": "8.8.8.8:80" }]).to_string(),
    )
    .unwrap();
    let mut runner = bb();
    runner.args(["runner", "--once", "--engine", "http://127.0.0.1:9", "--miners"]).arg(miners);
    runner.arg("--keyfile").arg(keyfile(folder)).arg("--keep").arg(folder.join("keep"));
    runner
}

#[test]
fn scoring_refuses_the_embedded_recogniser_on_public_networks() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    for network in ["finney", "test", "wss://node.example:443"] {
        let mut runner = public_runner(folder.path());
        runner
            .env("BB_AUDIO_SCORING_STT_MODEL", "tiny-ctc")
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", network);
        let error = refusal(&runner.output().unwrap(), 2);
        assert!(error.contains("tiny-ctc is for local networks"), "{network}: {error}");
    }
    // A custom model is refused, too.
    let mut runner = public_runner(folder.path());
    let error =
        refusal(&runner.env("BB_AUDIO_SCORING_STT_MODEL", "./my-whisper").output().unwrap(), 2);
    assert!(error.contains("the recogniser in ./my-whisper is for local networks"), "{error}");
    // There is no fallback for the recogniser of public networks.
    let mut runner = public_runner(folder.path());
    hide_models(&mut runner, folder.path());
    let error = refusal(&runner.output().unwrap(), 2);
    assert!(error.contains("faster-whisper-small is not installed"), "{error}");
    assert!(error.contains("tao models pull faster-whisper-small"), "{error}");
    assert!(!folder.path().join("keep").exists());
}

#[test]
fn miner_refuses_the_embedded_recogniser_on_public_networks() {
    let folder = tempfile::tempdir().unwrap();
    let miner = |profile: &str, network: &str| {
        let mut miner = bb();
        miner.args(["miner", "--profile", profile, "--keyfile"]).arg(keyfile(folder.path()));
        miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", network);
        miner
    };
    for profile in ["interpreter", "patient"] {
        let error = refusal(
            &miner(profile, "finney")
                .env("BB_AUDIO_SCORING_STT_MODEL", "tiny-ctc")
                .output()
                .unwrap(),
            2,
        );
        assert!(error.contains("tiny-ctc is for local networks"), "{profile}: {error}");
        // There is no fallback for a missing model.
        let mut command = miner(profile, "finney");
        hide_models(&mut command, folder.path());
        let error = refusal(&command.output().unwrap(), 2);
        assert!(error.contains("faster-whisper-small is not installed"), "{profile}: {error}");
    }
    // Profiles without a recogniser start on public networks, all profiles on a local one.
    Daemon::start(&mut miner("parrot", "finney"));
    Daemon::start(&mut miner("interpreter", "local"));
}

#[test]
fn development_keys_are_refused_on_public_networks() {
    let folder = tempfile::tempdir().unwrap();
    let miners = folder.path().join("miners.json");
    std::fs::write(&miners, "[]").unwrap();
    let miners = miners.to_str().unwrap();
    for arguments in
        [&["miner", "--listen", "127.0.0.1:0"][..], &["runner", "--once", "--miners", miners]]
    {
        let output = bb().args(arguments).args(["--key-uri", "//Alice"]).output().unwrap();
        let error = stderr(&output);
        assert!(!output.status.success() && output.stdout.is_empty(), "{error}");
        assert!(
            error.contains("a development key, whose secret is public") && error.contains("finney"),
            "{error}"
        );
    }
}

#[test]
fn public_engine_requires_an_allow_list() {
    let error = stderr(&bb().args(["engine", "--listen", "0.0.0.0:0"]).output().unwrap());
    assert!(error.contains("--allow"), "{error}");
}

/// Keeps a command from finding models.
fn hide_models(command: &mut Command, folder: &Path) {
    command.env("BB_MODELS_DIR", folder.join("models")).env("XDG_CACHE_HOME", folder.join("cache"));
}

/// State of the models that every test machine has, in an answer of `tao models`.
fn states(output: &Output) -> Vec<(String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let models = report["models"].as_array().unwrap();
    let states = models.iter().map(|model| (text(&model["model"]), text(&model["state"])));
    states.filter(|(name, _)| ["all-MiniLM-L6-v2", "tiny-ctc"].contains(&name.as_str())).collect()
}

fn expected_states(sentences: &str) -> Vec<(String, String)> {
    [("all-MiniLM-L6-v2", sentences), ("tiny-ctc", "built in")]
        .map(|(name, state)| (name.into(), state.into()))
        .into()
}

#[test]
fn models_are_listed_and_verified() {
    require_sentence_model();
    let models = |verb: &str| tao().args(["models", verb, "--json"]).output().unwrap();
    assert_eq!(states(&models("list")), expected_states("present"));
    let verified = models("verify");
    assert!(verified.status.success());
    assert_eq!(states(&verified), expected_states("present"));
}

#[test]
fn pull_from_directory_rejects_missing_and_corrupt_files() {
    let folder = tempfile::tempdir().unwrap();
    let models = |arguments: &[&str]| {
        let mut command = tao();
        hide_models(&mut command, folder.path());
        command.arg("models").args(arguments).output().unwrap()
    };
    let source = folder.path().join("disk");
    std::fs::create_dir(&source).unwrap();
    let from = source.to_str().unwrap();
    let pull = || stderr(&models(&["pull", "faster-whisper-small", "--from", from]));
    let error = pull();
    assert!(error.contains("cannot read or write"), "{error}");
    for file in ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"] {
        std::fs::write(source.join(file), "not this").unwrap();
    }
    let error = pull();
    let expected =
        "disk has another model than faster-whisper-small, or a damaged one: config.json has ";
    assert!(error.contains(expected), "{error}");
    assert!(error.ends_with("hint: pass the directory of faster-whisper-small\n"), "{error}");
    // Only models that the command names must be present.
    let verified = |arguments: &[&str]| models(&[&["verify", "--json"], arguments].concat());
    assert_eq!(verified(&["faster-whisper-small"]).status.code(), Some(1));
    assert_eq!(verified(&["tiny-ctc"]).status.code(), Some(0));
    assert!(stderr(&verified(&["tiny"])).contains("unknown model `tiny`"));
}

#[test]
fn model_in_cache_is_copied_and_not_downloaded() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let pull = |directory: &Path, extra_args: &[&str]| {
        let mut pull = tao();
        pull.args(["models", "pull", "all-MiniLM-L6-v2", "--models"])
            .arg(directory)
            .args(extra_args);
        let output = pull.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(directory.join("all-MiniLM-L6-v2/model.safetensors").is_file());
        stderr(&output)
    };
    // Nothing listens at the mirror's port.
    for (name, extra_args) in [("hub", &[][..]), ("mirror", &["--from", "http://127.0.0.1:9"])] {
        let directory = folder.path().join(name);
        let output_text = pull(&directory, extra_args);
        assert!(
            output_text.contains("copying all-MiniLM-L6-v2 from /")
                && !output_text.contains("downloading"),
            "{name}: {output_text}"
        );
        let output_text = pull(&directory, extra_args);
        assert!(
            !output_text.contains("copying") && !output_text.contains("downloading"),
            "{name}, already there: {output_text}"
        );
    }
}

#[test]
fn missing_and_corrupt_models_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let verify = || {
        let mut command = tao();
        command
            .args(["models", "verify", "--json"])
            .env("HOME", home.path())
            .env_remove("XDG_CACHE_HOME");
        command.env("BB_MODELS_DIR", home.path().join("models")).output().unwrap()
    };
    let output = verify();
    assert_eq!((output.status.code(), states(&output)), (Some(1), expected_states("missing")));

    let model = home.path().join("models/all-MiniLM-L6-v2");
    std::fs::create_dir_all(&model).unwrap();
    for file in ["model.safetensors", "tokenizer.json"] {
        std::fs::write(model.join(file), "not this").unwrap();
    }
    let output = verify();
    assert_eq!((output.status.code(), states(&output)), (Some(1), expected_states("corrupt")));
    // A corrupt model is never used.
    let speech = tao()
        .args(["speech", "embed", "a"])
        .env("BB_MODELS_DIR", home.path().join("models"))
        .output();
    let output = speech.unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    assert!(stderr(&output).contains("all-MiniLM-L6-v2"), "{}", stderr(&output));
}
