//! The chapter on subnet 2: the preflight, the start and the way back, beside files of the
//! reference that stay as they are. PM2 is replaced by a script.

use std::fs;

use serde_json::json;

use super::super::machine::GuideMachine;
use super::{BOB, Programs, commands, files};
use crate::support::{Daemon, document, program, stderr};

/// Files of the reference's validator, below the home directory.
const STATE: &str = ".bittensor/subnet-2";

/// Writes state and a circuit of the reference.
fn write_state(machine: &GuideMachine) {
    let circuit = format!("circuit_cache/model_{}", "5c".repeat(32));
    let metadata = json!({
        "name": "net", "description": "", "author": "", "version": "1.0.0", "type": "PROOF_OF_COMPUTATION",
        "proof_system": "JSTPROVE", "netuid": 2, "timeout": 60,
    });
    let files = [
        ("scores.json".to_owned(), json!([0.000_296, 0.0, 0.000_802])),
        ("performance_tracker.json".to_owned(), json!({"windows": {}, "capacities": {"3": 12}})),
        (
            "rsv_state.json".to_owned(),
            json!({"first_seen": {"3": 7_654_321}, "strikes": {}, "skiplist": {}}),
        ),
        (format!("{circuit}/circuit_metadata.json"), metadata),
        (format!("{circuit}/settings.json"), json!({"num_inputs": 10})),
    ];
    for (name, content) in files {
        let path = machine.directory().join(STATE).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.to_string()).unwrap();
    }
}

#[test]
fn subnet_2_guide_leaves_reference_files_unchanged() {
    let machine = GuideMachine::new(&["validator"]);
    machine.run("tao register --netuid 2 --wallet-name validator --yes");
    write_state(&machine);
    let before = files(&machine.directory().join(STATE));
    let programs = Programs::create(machine.directory(), &[("pm2", "")]);
    let run_with_pm2 = |line: &str| {
        let mut command = program("sh");
        command.args(["-c", line]).current_dir(machine.directory()).env("PATH", programs.path());
        assert!(command.status().unwrap().success(), "{line}");
    };

    let lines = commands("Subnet 2 in ten commands");
    assert!((5..=10).contains(&lines.len()), "{lines:#?}");
    let mut miner: Option<Daemon> = None;
    for (line, _) in &lines {
        let mut actual = line.clone();
        if let Some(miner) = &miner {
            let address = miner.url().trim_start_matches("http://");
            actual = actual.replace("127.0.0.1:8091", address);
        }
        let words = machine.words(&actual);
        match [&words[0], &words[1], &words[2]].map(String::as_str) {
            // The test of the proof guide runs it.
            ["tao", "proof", "demo"] => assert_eq!(line, "tao proof demo --once"),
            ["tao", "proof", "miner"] => {
                let mut command = machine.command(&words);
                miner = Some(Daemon::launch(command.args(["--listen", "127.0.0.1:0"])));
            }
            ["tao", "proof", "validator"] => {
                let report = document(&machine.command(&words).arg("--json").output().unwrap());
                let tally = &report["miners"][0];
                let counts = (&tally["hotkey"], &tally["verified"]);
                assert_eq!(counts, (&json!(BOB), &json!(5)), "{report:#}");
            }
            // It finds no time server here.
            ["tao", "doctor", _] => {
                let mut command = machine.command(&words);
                command.args(["--ntp-server", "127.0.0.1:9"]).env("HOME", machine.directory());
                let output = command.output().unwrap();
                assert!(!output.stdout.is_empty(), "{line}: {}", stderr(&output));
            }
            ["pm2", ..] => run_with_pm2(&actual),
            ["sn2-validator", ..] => {
                let links = machine.directory().join("target/release/sn2-validator");
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tao"), links).unwrap();
                machine.run_validator(&words);
            }
            _ => panic!("unknown program in {line}"),
        }
    }
    assert!(miner.expect("the guide starts a miner").terminate().success());

    // The default directory has the circuits of the reference only, which are refused.
    let words =
        ["tao", "proof", "validator", "--loopback", "--key-uri", "//Alice", "--requests", "1"];
    let mut command = machine.command(&words.map(str::to_owned));
    command.args(["--peer", &format!("{BOB}@127.0.0.1:9")]);
    command.env_remove("SN2_CIRCUIT_CACHE_DIR").env("HOME", machine.directory());
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", stderr(&output));

    for (line, _) in commands("Subnet 2's way back") {
        run_with_pm2(&line);
    }
    assert_eq!(
        files(&machine.directory().join(STATE)),
        before,
        "files of the reference have changed"
    );
    let name = machine.directory().file_name().unwrap().to_str().unwrap();
    let expected = ["stop", "start"].map(|verb| format!("{name}: pm2 {verb} subnet-2-validator"));
    assert_eq!(programs.calls(), expected);
}
