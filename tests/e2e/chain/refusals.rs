use std::process::Output;
use std::time::{Duration, Instant};

use super::{BOB, Chain};
use crate::support::{free_address, refusal, tao};

#[test]
fn an_unreachable_chain_is_a_network_failure() {
    let network = format!("ws://{}", free_address());
    let started = Instant::now();
    for command in [&["block"][..], &["metagraph", "1"], &["balance", BOB], &["subnets", "list"]] {
        let error = refusal(&tao().args(command).args(["--network", &network]).output().unwrap(), 3);
        assert!(error.contains(&network), "{error}");
    }
    // A client that asks again does so for 24 s. A busy machine can also be slower.
    assert!(started.elapsed() < Duration::from_secs(20), "a node that does not exist was asked again and again");
}

#[test]
fn a_network_that_is_none_is_wrong_usage() {
    for network in ["Finney", "127.0.0.1:9944", "http://127.0.0.1:1"] {
        refusal(&tao().args(["block", "--network", network]).output().unwrap(), 2);
    }
}

#[test]
fn development_keys_are_refused_where_another_key_is_sudo() {
    let chain = Chain::start();
    chain.alice(&["call", "Sudo.set_key", "new=//Bob", "--yes"]);
    let is_refused = |output: &Output| {
        let error = refusal(output, 2);
        assert!(error.contains("a development key, whose secret is public"), "{error}");
    };
    let alice = ["--key-uri", "//Alice"];
    for arguments in [
        &["transfer", BOB, "1", "--yes"][..],
        &["stake", "add", "1", "--netuid", "59", "--hotkey-ss58", BOB, "--yes"],
        &["weights", "set", "--netuid", "59", "0:1"],
        &["serve-axon", "--netuid", "59", "--ip", "1.2.3.4", "--port", "8091"],
        &["commitment", "set", "--netuid", "59", "text", "--yes"],
        &["call", "System.remark", "remark=0x00", "--yes"],
        &["nineteen", "miner", "--task", "chat-a", "--backend-url", "http://127.0.0.1:9", "--listen", "127.0.0.1:0"],
        &["nineteen", "validator", "--listen", "127.0.0.1:0"],
        &["proof", "miner", "--listen", "127.0.0.1:0"],
        &["proof", "validator"],
    ] {
        is_refused(&chain.tao(arguments, &alice));
    }
    for arguments in [
        &["miner", "--listen", "127.0.0.1:0"][..],
        &["runner", "--once"],
        &["signer", "--listen", "127.0.0.1:0"],
        &["subtensor-gateway", "--listen", "127.0.0.1:0"],
        &["register-axon", "--ip", "1.2.3.4", "--port", "8091"],
    ] {
        is_refused(&chain.bb(arguments, &alice));
    }
}

#[test]
fn what_is_not_there_is_told() {
    let chain = Chain::start();
    for (arguments, words) in [
        (&["metagraph", "77"][..], "subnet 77 does not exist"),
        (&["subnets", "show", "77"], "subnet 77 does not exist"),
        (&["subnets", "hyperparameters", "77"], "subnet 77 does not exist"),
        (&["register", "--netuid", "77", "--hotkey-ss58", BOB, "--key-uri", "//Alice"], "subnet 77 does not exist"),
        (&["block", "4000000000"], "the node does not have block 4000000000"),
    ] {
        let error = refusal(&chain.tao(arguments, &[]), 1);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}
