//! The quickstart of subnet 2's reference, row by row in docs/proof.md: our command of every row
//! runs on a local chain.

use std::fs;

use super::machine::GuideMachine;
use crate::support::{Daemon, document, program, repository, stderr};

/// Parts of every command and tool in the quickstart of the reference's README.
const STEPS: [&str; 19] = [
    "rustup.rs",
    "PM2",
    "btcli",
    "install.sh | bash",
    "bash -s -- sn2-miner",
    "bash -s -- sn2-validator",
    "NETWORK=testnet bash",
    "GitHub Releases",
    "cargo build --release --bin sn2-validator --bin sn2-miner",
    "btcli subnet register --subtensor.network finney --netuid 2",
    "docker compose: `command: sn2-miner --wallet-name",
    "docker compose: `command: sn2-validator --wallet-name",
    "watchtower",
    "docker run -d -p 8091:8091",
    "docker run -d -p 8443:8443 -p 9090:9090",
    "make pm2-miner WALLET_NAME=",
    "make pm2-validator WALLET_NAME=",
    "pm2 start ./sn2-miner --name subnet-2-miner",
    "pm2 start ./sn2-validator --name subnet-2-validator",
];

/// A row of the table: the reference's step, and our commands.
struct Row {
    step: String,
    commands: Vec<String>,
}

fn rows() -> Vec<Row> {
    let guide = fs::read_to_string(repository("docs/proof.md")).unwrap();
    let chapter = guide
        .split("\n## From the reference's quickstart\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let table = chapter.split("| Reference | Here | Difference |\n|---|---|---|\n").nth(1).unwrap();
    let lines = table.lines().take_while(|line| line.starts_with("| "));
    let rows = lines.map(|line| {
        // An escaped bar belongs to its cell.
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<String> =
            line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let &["", step, our_cell, difference, ""] = cells.as_slice() else { panic!("{line}") };
        assert!(!difference.is_empty(), "{line}");
        Row {
            step: step.to_owned(),
            commands: our_cell.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
        }
    });
    rows.collect()
}

/// Runs a command of the table.
fn start_and_stop(machine: &GuideMachine, line: &str) {
    let words = machine.words(line);
    match (words[0].as_str(), words[1].as_str()) {
        ("tao", _) => drop(machine.run(line)),
        ("ln", "-s") => drop(machine.run_shell(line)),
        // This test belongs to that build.
        ("cargo", "build") => assert!(line.ends_with("--release --bin tao"), "{line}"),
        ("sh", "install.sh") => refuse_unsigned(machine, &words),
        ("docker", "run") => {
            let image = words.iter().position(|word| word == "taonet").unwrap();
            serve(machine, &words[image + 1..]);
        }
        ("pm2", "start") => {
            let separator = words.iter().position(|word| word == "--").unwrap();
            serve(machine, &[&words[2..3], &words[separator + 1..]].concat());
        }
        ("sn2-miner" | "sn2-validator", _) => serve(machine, &words),
        _ => panic!("unknown program in {line}"),
    }
}

/// The release server has no signed release, so nothing is installed: crates/update tests
/// installations.
fn refuse_unsigned(machine: &GuideMachine, words: &[String]) {
    let mut script = program("sh");
    script.arg(repository("install.sh")).args(&words[2..]).env("HOME", machine.directory());
    let output = script.output().unwrap();
    assert!(!output.status.success() && !machine.directory().join(".local/bin/tao").exists());
    // Either the release or the program that verifies it is missing.
    let text = stderr(&output);
    assert!(text.contains("SHA256SUMS") || text.contains("minisign is not installed"), "{text}");
}

/// Starts a neuron, waits until it has read the chain, and stops it.
fn serve(machine: &GuideMachine, words: &[String]) {
    if words[0] == "sn2-miner" {
        // It announces its address once it has read the permits.
        assert!(Daemon::launch(&mut machine.command(words)).terminate().success(), "{words:?}");
    } else {
        machine.run_validator(words);
    }
}

#[test]
fn every_row_of_reference_quickstart_works() {
    let rows = rows();
    let steps: Vec<&str> = rows.iter().map(|row| row.step.as_str()).collect();
    for step in STEPS {
        assert!(steps.iter().any(|row| row.contains(step)), "no row for {step}");
    }
    let machine = GuideMachine::new(&["miner", "validator"]);
    machine.run("tao register --netuid 2 --wallet-name validator --yes");
    let commands: Vec<&String> = rows.iter().flat_map(|row| &row.commands).collect();
    assert!(commands.len() >= 16, "{commands:#?}");
    for command in commands {
        start_and_stop(&machine, command);
    }
    // The miner's endpoint is on the chain.
    let publish = rows
        .iter()
        .flat_map(|row| &row.commands)
        .find(|line| line.starts_with("tao serve-axon "))
        .unwrap();
    let mut repeated_publish = machine.command(&machine.words(publish));
    assert_eq!(document(&repeated_publish.arg("--json").output().unwrap())["outcome"], "unchanged");
}

#[test]
fn docker_image_links_every_program_name() {
    let file = fs::read_to_string(repository("docker/Dockerfile")).unwrap();
    let links = file
        .lines()
        .find_map(|line| line.strip_prefix("RUN for link in ")?.split_once("; do ln -s tao "))
        .unwrap();
    assert_eq!(links.0.split(' ').collect::<Vec<_>>(), ["bb", "sn2-miner", "sn2-validator"]);
}
