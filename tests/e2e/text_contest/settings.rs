//! Settings of a text miner, and the file `.env` of the working directory.

use std::process::Command;

use serde_json::json;

use super::train_model;
use crate::axon;
use crate::chain::BOB;
use crate::support::{Daemon, bb, document, free_address, local_bb, refusal, tao};

#[test]
fn requests_need_no_signature_in_development_mode() {
    let folder = tempfile::tempdir().unwrap();
    let model = train_model(folder.path());
    let miner = |network: &str, mode: &str| {
        let mut miner = bb();
        miner.args(["miner", "--contest", "text", "--key-uri", "//Bob", "--model"]).arg(&model);
        miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", network).env("MINER_DEV_MODE", mode);
        miner
    };
    let request = json!({ "index": "s", "step": 0, "prefix": "Is this" }).to_string();
    for (mode, expected) in [("0", "HTTP/1.1 401"), ("1", "HTTP/1.1 200")] {
        let miner = Daemon::start(&mut miner("local", mode));
        let response = axon::post(miner.url().trim_start_matches("http://"), "/predict", &request);
        assert!(response.starts_with(expected), "{response}");
        assert_eq!(
            response.contains(r#"{"prediction":"Is this seat free?"}"#),
            mode == "1",
            "{response}"
        );
        // Health needs no signature in either mode.
        let health = axon::get(miner.url().trim_start_matches("http://"), "/healthz");
        assert!(health.contains(r#""status":"healthy""#), "{health}");
    }
    let refused = refusal(&miner("finney", "1").output().unwrap(), 2);
    assert!(refused.contains("MINER_DEV_MODE") && refused.contains("hint: unset it"), "{refused}");
    let refused = refusal(&miner("local", "1").args(["--allow", BOB]).output().unwrap(), 2);
    assert!(refused.contains("check signatures, which MINER_DEV_MODE disables"), "{refused}");
}

#[test]
fn miner_listens_on_port_from_environment() {
    let folder = tempfile::tempdir().unwrap();
    let model = train_model(folder.path());
    let miner = || {
        let mut miner = local_bb();
        miner.args(["miner", "--contest", "text", "--key-uri", "//Bob", "--model"]).arg(&model);
        miner
    };
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let daemon = Daemon::launch(miner().env("MINER_AXON_PORT", port));
    assert_eq!(daemon.url(), format!("http://0.0.0.0:{port}"));
    assert!(axon::get(&address, "/healthz").contains(r#""status":"healthy""#));
    drop(daemon);
    // Without signatures, the miner listens on loopback only.
    let unsigned = Daemon::launch(miner().env("MINER_AXON_PORT", port).env("MINER_DEV_MODE", "1"));
    assert_eq!(unsigned.url(), format!("http://{address}"));
    let other = free_address();
    let daemon = Daemon::start_at(miner().env("MINER_AXON_PORT", port), &other);
    assert_eq!(daemon.url(), format!("http://{other}"), "the option wins");
}

#[test]
fn settings_are_read_from_env_file_in_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    train_model(folder.path());
    let (address, file) = (free_address(), folder.path().join(".env"));
    let port = address.rsplit(':').next().unwrap();
    let port_and_mode = format!("export MINER_AXON_PORT={port} # public\nMINER_DEV_MODE='1'\n");
    std::fs::write(&file, format!("# Miner\nBITTENSOR_SUBTENSOR_ENDPOINT=local\n{port_and_mode}"))
        .unwrap();
    let run_here = |program: fn() -> Command, words: &[&str]| {
        let mut command = program();
        command.args(words).current_dir(folder.path());
        command
    };
    let words =
        ["-vv", "miner", "--contest", "text", "--key-uri", "//Bob", "--model", "ngram.model"];
    let miner = Daemon::launch(&mut run_here(bb, &words));
    assert_eq!(miner.url(), format!("http://{address}"));
    assert!(
        miner.log().contains("settings read") && miner.log().contains(".env"),
        "{}",
        miner.log()
    );
    // The environment wins, also with a blank value.
    let mut show = run_here(bb, &["config", "show", "--json"]);
    let shown =
        document(&show.env("MINER_AXON_PORT", "1").env("MINER_DEV_MODE", "").output().unwrap());
    let setting = |name: &str| {
        let settings = shown["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["name"] == name).unwrap();
        [&setting["value"], &setting["origin"]].map(|text| text.as_str().unwrap().to_owned())
    };
    assert_eq!(setting("BITTENSOR_SUBTENSOR_ENDPOINT"), ["local", ".env"]);
    assert_eq!(setting("MINER_AXON_PORT"), ["1", "environment"]);
    assert_eq!(setting("MINER_DEV_MODE"), ["0", "default"]);
    // A malformed line is named without its text; programs other than `bb` do not read the file.
    std::fs::write(&file, "MINER_AXON_PORT=8091\nsk-quite-secret\n").unwrap();
    for words in [&["config", "check"][..], &["register-axon"]] {
        let error = refusal(&run_here(bb, words).output().unwrap(), 2);
        assert!(
            error.contains(".env: line 2: expected NAME=VALUE") && !error.contains("secret"),
            "{error}"
        );
    }
    document(&run_here(tao, &["models", "list", "--json"]).output().unwrap());
    refusal(&run_here(tao, &["babelbit", "config", "check"]).output().unwrap(), 2);
}
