//! Settings of one subnet, which must not affect commands that do not use them.

use std::process::{Command, Output};

use taonet_babelbit_config::variables;
use taonet_neuron::OperatorConfig;
use tempfile::TempDir;

use crate::nineteen::create_database;
use crate::support::{bb, refusal, repository, tao};

fn with_arguments(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// Sets all of Babelbit's own settings to nonsense.
fn with_nonsense(mut command: Command) -> Command {
    let shared = OperatorConfig::variables::<OperatorConfig>();
    let names = variables().iter().map(|variable| variable.name);
    for name in names.filter(|name| shared.iter().all(|variable| variable.name != *name)) {
        command.env(name, "abc def");
    }
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn babelbit_settings_do_not_stop_other_commands() {
    let folder = TempDir::new().unwrap();
    create_database(folder.path());
    let (folder, proof) =
        (folder.path().to_str().unwrap(), repository("vectors/proof/stark-3.json"));
    // The nonsense stops a command that uses it.
    let output = with_nonsense(with_arguments(bb(), &["config", "check"])).output().unwrap();
    let error = refusal(&output, 2);
    assert!(error.contains("BB_MAX_MINERS_PER_RUN=abc def: expected"), "{error}");
    for arguments in [
        &["nineteen", "keys", "list", "--state", folder][..],
        &["nineteen", "tasks"],
        &["proof", "verify", proof.to_str().unwrap()],
        &["models", "list"],
        &["wallet", "list", "--wallet-path", folder],
    ] {
        let mut command = with_nonsense(with_arguments(tao(), arguments));
        let output = command.arg("--json").output().unwrap();
        let text = errors(&output);
        assert!(output.status.success() && !text.contains("BB_"), "{arguments:?}: {text}");
    }
    // Daemons of other subnets, which here find no hotkey.
    let miner = [
        "nineteen",
        "miner",
        "--no-metagraph",
        "--backend-url",
        "http://127.0.0.1:9/v1",
        "--task",
        "chat@6=a",
    ];
    for arguments in [&miner[..], &["nineteen", "query", "--database", "postgres://127.0.0.1:9/x"]]
    {
        let mut command = with_nonsense(with_arguments(tao(), arguments));
        command.env("HOME", folder).env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
        let text = errors(&command.output().unwrap());
        assert!(
            text.contains("no signing key found") && !text.contains("BB_"),
            "{arguments:?}: {text}"
        );
    }
}

#[test]
fn settings_of_other_subnets_do_not_stop_a_command() {
    let proof = repository("vectors/proof/stark-3.json");
    for (name, value) in [
        ("DATABASE_URL", "abc def"),
        ("NATS_URL", "abc def"),
        ("SN2_CIRCUIT_CACHE_DIR", "/dev/null/none"),
    ] {
        for mut command in [
            with_arguments(tao(), &["nineteen", "tasks"]),
            with_arguments(tao(), &["proof", "verify", proof.to_str().unwrap()]),
        ] {
            let output = command.env(name, value).output().unwrap();
            assert!(output.status.success(), "{name}: {command:?}: {}", errors(&output));
        }
    }
    let mut command = with_arguments(bb(), &["config", "check"]);
    let output = command.env("SN2_CIRCUIT_CACHE_DIR", "/dev/null/none").output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
}

/// A command that uses a shared setting validates it.
#[test]
fn used_setting_is_validated() {
    let output = with_arguments(tao(), &["nineteen", "keys", "list"])
        .env("DATABASE_URL", "abc def")
        .output()
        .unwrap();
    let error = refusal(&output, 2);
    assert!(error.contains("DATABASE_URL=abc def: expected postgres://"), "{error}");
}
