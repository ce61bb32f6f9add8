//! A second node that follows the first one, and a client with the URLs of both.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{AS_ALICE, BABELBIT, BOB};
use crate::support::{Daemon, document, free_address, refusal, tao};

const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

fn localnet(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = tao();
    command.args(["localnet", "start", "--data"]).arg(folder).args(arguments);
    command
}

fn run(arguments: &[&str], network: &str) -> Output {
    tao().args(arguments).args(["--network", network]).output().unwrap()
}

fn run_json(arguments: &[&str], network: &str) -> Value {
    document(&run(&[arguments, &["--json"]].concat(), network))
}

/// Makes a call signed by //Alice.
fn call_as_alice(arguments: &[&str], network: &str) {
    let result = document(&run(&[arguments, &AS_ALICE, &["--yes"]].concat(), network));
    assert_eq!(result["success"], true, "{result}");
}

fn free_balance(network: &str) -> u64 {
    run_json(&["balance", BOB], network)["accounts"][0]["free_rao"].as_u64().unwrap()
}

/// Waits until the follower is connected to its leader, or disconnected; returns its status.
fn wait_for_connection(network: &str, is_connected: bool) -> Value {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        let status = run_json(&["localnet", "status"], network);
        if status["leader"]["connected"] == is_connected {
            return status;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn follower_serves_the_chain_while_its_leader_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let address = free_address();
    let start = || Daemon::start_at(&mut localnet(&first, &["--block-time", "250ms"]), &address);
    let leader = start();
    let leader_url = leader.url().to_owned();
    let follower = Daemon::start(&mut localnet(&second, &["--follow", &leader_url]));
    let url = follower.url().to_owned();
    let both_urls = format!("{leader_url},{url}");
    wait_for_connection(&url, true);
    // Calls through the follower.
    let before = free_balance(&url);
    call_as_alice(&["transfer", BOB, "5"], &url);
    call_as_alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB], &url);
    for network in [&url, &leader_url, &both_urls] {
        assert_eq!(free_balance(network), before + 5_000_000_000, "{network}");
    }
    let neurons = |network: &str| run_json(&["metagraph", BABELBIT], network)["neurons"].clone();
    assert!(neurons(&url).as_array().unwrap().iter().any(|neuron| neuron["hotkey"] == BOB));
    let error = refusal(&run(&["localnet", "mine", "1"], &url), 1);
    assert!(error.contains(&format!("this node follows {leader_url}")), "{error}");

    // `kill -9`.
    drop(leader);
    let status_during_outage = wait_for_connection(&url, false);
    assert_eq!(free_balance(&both_urls), before + 5_000_000_000);
    assert!(neurons(&both_urls).as_array().unwrap().iter().any(|neuron| neuron["hotkey"] == BOB));
    let refused = run(&[&["transfer", BOB, "5"], &AS_ALICE[..], &["--yes"]].concat(), &both_urls);
    assert!(!refused.status.success());
    assert_eq!(wait_for_connection(&url, false)["block"], status_during_outage["block"]);

    let leader = start();
    wait_for_connection(&url, true);
    call_as_alice(&["transfer", BOB, "7"], &both_urls);
    call_as_alice(&["transfer", BOB, "1"], &url);
    assert_eq!(free_balance(&url), before + 13_000_000_000);
    // Both nodes have the same block.
    let number = run_json(&["localnet", "status"], &url)["block"]["number"].to_string();
    let hash = |network: &str| run_json(&["block", &number], network)["block"]["hash"].clone();
    assert_eq!(hash(&url), hash(&leader_url));
    // The follower is killed, too.
    drop(follower);
    let follower = Daemon::start(&mut localnet(&second, &["--follow", &leader_url]));
    wait_for_connection(follower.url(), true);
    assert_eq!(free_balance(follower.url()), before + 13_000_000_000);
    assert!(follower.terminate().success());
    assert!(leader.terminate().success());
}

#[test]
fn follower_refuses_block_author_options() {
    let url = format!("ws://{}", free_address());
    for (option, value) in [
        ("--block-time", "12s"),
        ("--at", "2026-01-31T12:00:00Z"),
        ("--fork", "subnets.jsonl"),
        ("--endow", BOB),
    ] {
        let output =
            tao().args(["localnet", "--memory", "--follow", &url, option, value]).output().unwrap();
        let error = refusal(&output, 2);
        assert!(error.contains("cannot be used with"), "{option}: {error}");
    }
}

#[test]
fn malformed_leader_url_is_refused() {
    for malformed in ["127.0.0.1:9944", "http://127.0.0.1:9944", "local", "ws://"] {
        let output = tao().args(["localnet", "--memory", "--follow", malformed]).output().unwrap();
        assert!(refusal(&output, 2).contains("expected ws://HOST:PORT"), "{malformed}");
    }
}

#[test]
fn follower_of_an_unreachable_leader_does_not_start() {
    let url = format!("ws://{}", free_address());
    let output =
        tao().args(["localnet", "--memory", "--port", "0", "--follow", &url]).output().unwrap();
    let error = refusal(&output, 3);
    assert!(
        error.contains("cannot reach the node to follow")
            && error.contains("start that node first"),
        "{error}"
    );
}

#[test]
fn node_without_follow_option_has_no_leader() {
    let chain = Daemon::start(tao().args(["localnet", "--memory", "--block-time", "manual"]));
    let result = run_json(&["localnet", "status"], chain.url());
    assert_eq!((&result["leader"], &result["clock"]), (&Value::Null, &json!("manual")));
    assert!(!chain.log().contains("follow"));
}
