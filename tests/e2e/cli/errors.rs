//! Errors as text and as JSON, and which of several is reported.

use std::io::ErrorKind;
use std::net::TcpListener;

use super::ALICE;
use crate::support::{bb, error_document, refusal, repository, stderr, tao};

#[test]
fn invalid_arguments_are_usage_errors() {
    for arguments in [
        &["dance"][..],
        &["runner", "--solo"],
        &["config"],
        &["score-batch"],
        &["miner", "--profile", "shouter"],
    ] {
        refusal(&bb().args(arguments).output().unwrap(), 2);
    }
}

#[test]
fn errors_are_text_or_json_with_separate_hint() {
    let folder = tempfile::tempdir().unwrap();
    let network = ["balance", ALICE, "--network", "locall"];
    for (arguments, message, hint) in [
        (
            &network[..],
            "--network: unknown network locall",
            "use finney, test, archive, local, or the URL",
        ),
        (
            &["balance", "--networks", "local"],
            "unexpected argument '--networks' found",
            "a similar argument exists:",
        ),
        (
            &["metagraph"],
            "the following required arguments were not provided: <netuid>",
            "usage: tao metagraph",
        ),
        (
            &["wallet", "sign", "--message", "x"],
            "no such file or directory",
            "`tao wallet list` lists your keys",
        ),
        (&["senate"], "the chain has no senate", "calls of root need the sudo key"),
    ] {
        let run = |json: &[&str]| {
            let mut command = tao();
            command
                .args(arguments)
                .args(json)
                .env("BT_WALLET_PATH", folder.path())
                .env("NO_COLOR", "1");
            command.output().unwrap()
        };
        let plain = run(&[]);
        let code = plain.status.code().unwrap();
        let text = refusal(&plain, code);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("error: "), "{text}");
        assert!(text.to_lowercase().contains(message), "{text}");
        assert!(lines.iter().any(|line| line.starts_with(&format!("hint: {hint}"))), "{text}");

        let output = run(&["--json"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0));
        let error =
            error_document(&output).unwrap_or_else(|| panic!("{arguments:?}: {}", stderr(&output)));
        assert!(error["error"].as_str().unwrap().to_lowercase().contains(message), "{error}");
        assert!(error["hint"].as_str().unwrap().starts_with(hint), "{error}");
        assert_eq!(error["exit_code"], code, "{error}");
    }
}

/// No command looks for a wallet first. A unit test of the command line runs the commands that have
/// the option `--network`.
#[test]
fn invalid_network_variable_is_reported_before_missing_wallet() {
    let folder = tempfile::tempdir().unwrap();
    let list = std::fs::read_to_string(repository("tests/e2e/data/key-uri-commands.txt")).unwrap();
    let mut checked = 0;
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (program, arguments) = line.split_once(' ').unwrap();
        let words: Vec<&str> = arguments.split(' ').collect();
        // `bb test-miner` connects to no chain without --key-uri.
        if words[0] == "test-miner" {
            continue;
        }
        if program == "tao" && !["axon", "dashboard", "nineteen", "proof"].contains(&words[0]) {
            continue;
        }
        let mut command = if program == "bb" { bb() } else { tao() };
        command.args(&words).env("HOME", folder.path()).env("BT_NETWORK", "locall");
        let error = refusal(&command.output().unwrap(), 2);
        assert!(error.contains("unknown network locall"), "{line}: {error}");
        checked += 1;
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn invalid_network_is_reported_before_address_detection() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    service.set_nonblocking(true).unwrap();
    let source = format!("http://{}/", service.local_addr().unwrap());
    let commands = [
        (bb(), &["register-axon"][..]),
        (tao(), &["serve-axon", "--netuid", "59", "--port", "8091"]),
    ];
    for (mut command, arguments) in commands {
        command.args(arguments).args([
            "--network",
            "locall",
            "--ip-source",
            &source,
            "--ip-timeout",
            "1",
        ]);
        let error = refusal(&command.output().unwrap(), 2);
        assert!(error.contains("unknown network locall"), "{error}");
    }
    assert_eq!(service.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
