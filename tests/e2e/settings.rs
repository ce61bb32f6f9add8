//! Settings of one subnet, which must not affect commands that do not use them.

use std::process::{Command, Output};

use taonet_babelbit_config::variables;
use taonet_neuron::OperatorConfig;
use tempfile::TempDir;

use crate::nineteen::create_database;
use crate::support::{bb, refusal, repository, tao};

/// Variables of one subnet, or of a service that several subnets use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Babelbit's own variables.
    Babelbit,
    /// Variables of the proof subnet. Nineteen and the prompting subnet have none.
    Proof,
    /// Database and queue.
    Database,
    /// S3 service.
    Storage,
}

impl Group {
    const ALL: [Self; 4] = [Self::Babelbit, Self::Proof, Self::Database, Self::Storage];

    /// Returns the names of the variables.
    fn names(self) -> Vec<&'static str> {
        let shared: Vec<_> = OperatorConfig::variables::<OperatorConfig>()
            .iter()
            .map(|variable| variable.name)
            .collect();
        match self {
            Self::Babelbit => {
                let all = variables().iter().map(|variable| variable.name);
                all.filter(|name| !shared.contains(name)).collect()
            }
            Self::Proof => vec!["SN2_CIRCUIT_CACHE_DIR"],
            Self::Database => vec!["DATABASE_URL", "NATS_URL"],
            Self::Storage => shared.into_iter().filter(|name| name.starts_with("S3_")).collect(),
        }
    }

    /// Returns a value that is invalid for most of the variables; a directory cannot be below a
    /// file.
    const fn nonsense(self) -> &'static str {
        match self {
            Self::Babelbit | Self::Database | Self::Storage => "abc def",
            Self::Proof => "/dev/null/none",
        }
    }
}

/// A command, and the groups of variables that it uses.
type Case<'a> = (&'a [&'a str], &'a [Group]);

/// Runs a command with nonsense in all groups that it does not use; standard error must name none
/// of the variables.
#[track_caller]
fn run_with_nonsense(mut command: Command, used: &[Group]) -> Output {
    let unused: Vec<Group> = Group::ALL.into_iter().filter(|group| !used.contains(group)).collect();
    for group in &unused {
        command.envs(group.names().into_iter().map(|name| (name, group.nonsense())));
    }
    let output = command.output().unwrap();
    let text = errors(&output);
    for name in unused.into_iter().flat_map(Group::names) {
        assert!(!text.contains(name), "{name}: {text}");
    }
    output
}

fn with_arguments(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn unused_settings_do_not_stop_a_command() {
    let folder = TempDir::new().unwrap();
    create_database(folder.path());
    let keys = folder.path().join("api-keys.json");
    let (folder, keys) = (folder.path().to_str().unwrap(), keys.to_str().unwrap());
    let proof = repository("vectors/proof/stark-3.json");
    let commands: [Case<'_>; 6] = [
        (&["nineteen", "keys", "list", "--state", folder], &[Group::Database]),
        (&["nineteen", "tasks"], &[]),
        (&["proof", "verify", proof.to_str().unwrap()], &[]),
        (&["proof", "api-key", "list", "--api-keys", keys], &[]),
        (&["models", "list"], &[]),
        (&["wallet", "list", "--wallet-path", folder], &[]),
    ];
    for (arguments, used) in commands {
        let output = run_with_nonsense(with_arguments(tao(), arguments), used);
        assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    }
    let check = with_arguments(bb(), &["config", "check"]);
    let output = run_with_nonsense(check, &[Group::Babelbit, Group::Database, Group::Storage]);
    assert!(output.status.success(), "{}", errors(&output));
}

/// Daemons, which here find no hotkey, and clients of miners.
#[test]
fn unused_settings_do_not_stop_a_daemon() {
    let folder = TempDir::new().unwrap();
    let commands: [Case<'_>; 8] = [
        (
            &[
                "nineteen",
                "miner",
                "--no-metagraph",
                "--backend-url",
                "http://127.0.0.1:9/v1",
                "--task",
                "chat@6=a",
            ],
            &[],
        ),
        (&["nineteen", "query", "--database", "postgres://127.0.0.1:9/x"], &[Group::Database]),
        (&["nineteen", "validator"], &[Group::Database]),
        (&["prompting", "miner", "--netuid", "1", "--canned", "answers.jsonl"], &[]),
        (&["prompting", "validator", "--netuid", "1", "--questions", "questions.txt"], &[]),
        (&["prompt", "hello", "--netuid", "1"], &[]),
        (&["proof", "miner"], &[Group::Proof]),
        (&["proof", "validator", "--api", "127.0.0.1:0"], &[Group::Proof]),
    ];
    for (arguments, used) in commands {
        let mut command = with_arguments(tao(), arguments);
        command.env("HOME", folder.path()).env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
        let output = run_with_nonsense(command, used);
        let text = errors(&output);
        assert!(
            !output.status.success() && text.contains("no signing key found"),
            "{arguments:?}: {text}"
        );
    }
    // An entry process has no key; the queue is the first setting that it needs.
    let entry = with_arguments(tao(), &["nineteen", "entry", "--listen", "127.0.0.1:0"]);
    let output = run_with_nonsense(entry, &[Group::Database]);
    let text = errors(&output);
    assert!(!output.status.success() && text.contains("NATS_URL is not set"), "{text}");
}

/// A command that uses a setting validates it.
#[test]
fn used_setting_is_validated() {
    let folder = TempDir::new().unwrap();
    let output = with_arguments(bb(), &["config", "check"])
        .env("BB_MAX_MINERS_PER_RUN", "abc def")
        .output()
        .unwrap();
    let error = refusal(&output, 2);
    assert!(error.contains("BB_MAX_MINERS_PER_RUN=abc def: expected"), "{error}");
    let output = with_arguments(tao(), &["nineteen", "keys", "list"])
        .env("DATABASE_URL", "abc def")
        .output()
        .unwrap();
    let error = refusal(&output, 2);
    assert!(error.contains("DATABASE_URL=abc def: expected postgres://"), "{error}");
    let circuit = "0".repeat(64);
    let bucket = ["--catalogue", "s3://bucket/circuits.json", "--additional-circuits", &circuit];
    for (name, value, expected) in [
        ("S3_ENDPOINT_URL", "ftp://example", "an http or https URL"),
        ("S3_ADDRESSING_STYLE", "abc", "path or virtual"),
    ] {
        let mut command =
            with_arguments(tao(), &["proof", "miner", "--loopback", "--key-uri", "//Alice"]);
        command.args(bucket).arg("--circuit-cache-dir").arg(folder.path());
        let error = refusal(&command.env(name, value).output().unwrap(), 2);
        assert!(error.contains(&format!("{name}={value}: expected {expected}")), "{error}");
    }
}
