//! The commands for the main network on the first pages of the book's parts: every line runs, in
//! order, on a development chain, with a recogniser that `./test` installs. Only Docker is not
//! run: `operations::compose` checks the compose file.

use std::fs;

use serde_json::Value;

use super::{Walkthrough, first_block};
use crate::support::{are_installed, repository, require_sentence_model, tao};

/// Stands for the recogniser of the main network, which takes longer to load.
const RECOGNISER: &str = "faster-whisper-base";
/// Voice of the miner.
const VOICE: &str = "en_US-joe-medium";

/// Runs the block "On the main network" of a page.
fn run_page(page: &str) -> Walkthrough {
    require_sentence_model();
    let mut walkthrough = Walkthrough::empty();
    walkthrough.export("BITTENSOR_SUBTENSOR_ENDPOINT=local BB_DEV_MODE=1 BT_WALLET_PATH=wallets");
    walkthrough.export("BITTENSOR_WALLET_PATH=wallets BABELBIT_CACHE_DIR=cache");
    walkthrough.serve("tao localnet --memory");
    for line in first_block(page, "On the main network").lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        if !line.is_empty() {
            run_line(&mut walkthrough, line);
        }
    }
    walkthrough
}

fn run_line(walkthrough: &mut Walkthrough, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["tao", "models", "pull", model] => {
            let model = if model.starts_with("faster-whisper-") { RECOGNISER } else { model };
            if are_installed(&[model]) {
                walkthrough.run(&format!("tao models pull {model}"));
            }
        }
        ["tao", "wallet", "create", "--wallet-name", wallet, ..] => {
            let files = "--coldkey-mnemonic-file cold.txt --hotkey-mnemonic-file hot.txt";
            walkthrough.run(&format!("{line} --no-use-password {files}"));
            walkthrough.run(&format!("tao wallet faucet --amount 5000 --wallet-name {wallet}"));
        }
        ["tao", "register", ..] => walkthrough.run(&format!("{line} --yes")),
        // The subnet is new: its price changes with every stake.
        ["tao", "stake", "add", ..] => walkthrough.run(&format!("{line} --no-limit --yes")),
        ["cp", file, _] => {
            fs::copy(repository(file), walkthrough.path(file)).unwrap();
            walkthrough.run(line);
        }
        ["tao", "doctor"] => check_doctor(walkthrough),
        ["docker", "compose", "up", ..] => {}
        ["bb", "miner", .., "--keyfile", keyfile] => {
            if are_installed(&[RECOGNISER, VOICE]) {
                let line = line.replace(keyfile, "wallets/miner/hotkeys/default");
                walkthrough.export(&format!("BB_AUDIO_SCORING_STT_MODEL={RECOGNISER}"));
                // The test chooses the port.
                walkthrough.serve(&line.replace(" --listen 0.0.0.0:8092", ""));
            }
        }
        ["bb", "register-axon", ..] => {
            walkthrough.run(&format!("{line} --external-ip 203.0.113.7 --yes"));
        }
        ["bb", "config", "check"] | ["tao", "weights", "show", ..] | ["tao", "metagraph", ..] => {
            walkthrough.run(line);
        }
        _ => panic!("the test does not run this line: {line}"),
    }
}

/// Checks the validator's daemons. Faults of the machine, such as ports in use, depend on where the
/// test runs.
fn check_doctor(walkthrough: &Walkthrough) {
    let mut doctor = tao();
    doctor.args(["doctor", "--json", "--ntp-server", "127.0.0.1:9"]);
    doctor.args(["--role", "gateway", "--role", "signer", "--role", "validator"]);
    let output = walkthrough.prepare(&mut doctor).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    for check in ["settings", "clock", "keys", "network", "subnet", "registration"] {
        let mut check_findings =
            findings.iter().filter(|finding| finding["check"] == check).peekable();
        assert!(check_findings.peek().is_some(), "no finding of {check}: {report:#}");
        assert!(check_findings.all(|finding| finding["status"] != "fault"), "{check}: {report:#}");
    }
}

#[test]
fn main_network_commands_of_first_pages_work() {
    let validator = run_page("docs/validate.md");
    let overview = validator.run_json(&["wallet", "overview"]);
    assert!(overview["stake_rao"].as_u64() > Some(0), "{overview}");
    let miner = run_page("docs/mine.md");
    let metagraph = miner.run_json(&["metagraph", "59"]);
    let neurons = metagraph["neurons"].as_array().unwrap();
    assert!(
        neurons.iter().any(|neuron| neuron["axon"]["address"] == "203.0.113.7:8092"),
        "{metagraph}"
    );
}
