use std::time::{Duration, Instant};

use serde_json::json;

use super::{AS_ALICE, BOB, Chain};
use crate::support::{Daemon, bb, document, free_address, refusal, repository, stderr, tao};

#[test]
fn unreachable_chain_is_network_failure() {
    let network = format!("ws://{}", free_address());
    let started = Instant::now();
    for command in [&["block"][..], &["metagraph", "1"], &["balance", BOB], &["subnets", "list"]] {
        let error =
            refusal(&tao().args(command).args(["--network", &network]).output().unwrap(), 3);
        assert!(error.contains(&network), "{error}");
    }
    // A client that retries would do so for 24 s; the limit leaves time for a busy machine.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "the client retried a node that does not exist"
    );
}

#[test]
fn invalid_network_is_usage_error() {
    for network in ["Finney", "127.0.0.1:9944", "http://127.0.0.1:1"] {
        refusal(&tao().args(["block", "--network", network]).output().unwrap(), 2);
    }
}

/// A unit test of the command line checks that the list has every command with `--key-uri`.
#[test]
fn development_keys_are_refused_on_chains_with_another_sudo_key() {
    // The commands need the processor, not blocks.
    let chain = Chain::with(&["--block-time", "1s"]);
    chain.alice(&["call", "Sudo.set_key", "new=//Bob", "--yes"]);
    let commit = chain.path("commit.json");
    let secret = json!({
        "netuid": 59, "mech": 0, "hotkey": BOB, "uids": [0], "values": [65_535], "salt": [1], "version_key": 0,
    });
    std::fs::write(&commit, secret.to_string()).unwrap();
    let commit = commit.to_str().unwrap();
    let list = std::fs::read_to_string(repository("tests/e2e/data/key-uri-commands.txt")).unwrap();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (program, arguments) = line.split_once(' ').unwrap();
        let words = arguments.split(' ').map(|word| if word == "COMMIT" { commit } else { word });
        let words: Vec<&str> = words.collect();
        let alice = ["--key-uri", "//Alice"];
        let output =
            if program == "bb" { chain.bb(&words, &alice) } else { chain.tao(&words, &alice) };
        let error = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {error}");
        assert!(error.contains("a development key, whose secret is public"), "{line}: {error}");
    }
}

/// No node responds when the gateway opens its key: it asks the chain before it can sign weights.
#[test]
fn daemon_refuses_development_key_when_its_node_starts_later() {
    let folder = tempfile::tempdir().unwrap();
    let (address, data) = (free_address(), folder.path().join("chain"));
    let start_node = || {
        Daemon::start_at(
            tao().args(["localnet", "start", "--block-time", "1s", "--data"]).arg(&data),
            &address,
        )
    };
    let node = start_node();
    let network = node.url().to_owned();
    let set_key = ["call", "Sudo.set_key", "new=//Bob", "--yes", "--network", &network];
    assert_eq!(document(&tao().args(set_key).args(AS_ALICE).output().unwrap())["success"], true);
    assert!(node.terminate().success());
    let mut gateway = bb();
    gateway.args(["subtensor-gateway", "--key-uri", "//Alice", "--network", &network, "--state"]);
    let mut gateway = Daemon::start(gateway.arg(folder.path().join("gateway")));
    let _node = start_node();
    assert_eq!(gateway.wait_for_exit().code(), Some(2), "{}", gateway.log());
    let log = gateway.log();
    assert!(log.contains("a development key, whose secret is public"), "{log}");
}

#[test]
fn missing_subnet_or_block_is_reported() {
    let chain = Chain::start();
    for (arguments, words) in [
        (&["metagraph", "77"][..], "subnet 77 does not exist"),
        (&["subnets", "show", "77"], "subnet 77 does not exist"),
        (&["subnets", "hyperparameters", "77"], "subnet 77 does not exist"),
        (
            &["register", "--netuid", "77", "--hotkey-ss58", BOB, "--key-uri", "//Alice"],
            "subnet 77 does not exist",
        ),
        (&["block", "4000000000"], "the node does not have block 4000000000"),
    ] {
        let error = refusal(&chain.tao(arguments, &[]), 1);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}
