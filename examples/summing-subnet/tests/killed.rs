//! A validator that is killed again and again, as by a supervisor of a crash loop.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like the tests themselves")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use taonet_kit::{Averaging, CompletedStep, Scores, StepResults};
use taonet_primitives::{BlockNumber, Hotkey};
use taonet_service::{Access, atomic_write};
use taonet_validator::testing::{LocalChain, NETUID};
use taonet_wallet::{Keyfile, Keypair};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Writes the hotkey of the default wallet.
fn write_wallet(root: &Path, keypair: &Keypair) {
    let hotkeys = root.join("default/hotkeys");
    std::fs::create_dir_all(&hotkeys).unwrap();
    let json = Keyfile::from_keypair(keypair.clone()).to_json();
    atomic_write(hotkeys.join("default"), &json, Access::Owner).unwrap();
}

/// Starts the validator in a directory with its wallet and its state.
fn start(chain: &LocalChain, directory: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_summing-subnet"));
    command.args(["--network", chain.node.url().as_str(), "--netuid", "59", "--metrics", "127.0.0.1:0"]);
    command.arg("--wallet-path").arg(directory.join("wallets"));
    // No second step is due during the test.
    command.args(["validator", "--interval", "1800", "--state"]).arg(directory.join("state"));
    command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Waits until the validator has completed a step, or waits for one; returns whether it has completed one.
async fn completes_step(validator: &mut Child) -> bool {
    let mut lines = BufReader::new(validator.stderr.take().unwrap()).lines();
    let outcome = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.contains("step complete") || line.contains("waiting for the rest of the interval") {
                return line.contains("step complete");
            }
            assert!(!line.contains("step failed"), "{line}");
        }
    };
    tokio::time::timeout(Duration::from_mins(2), outcome).await.unwrap()
}

/// Writes the score 1 for a hotkey, of a step long ago.
async fn write_score(file: &Path, hotkey: Hotkey) {
    let results = StepResults {
        step: CompletedStep { block: BlockNumber::new(0), began: UNIX_EPOCH },
        rewards: BTreeMap::from([(hotkey, 1.0)]),
        registered: BTreeSet::from([hotkey]),
    };
    let scores = Scores::open(file, NETUID).await.unwrap();
    scores.update(&results, Averaging { alpha: 1.0, absence: 100 }).await.unwrap();
}

/// The only miner publishes no address, so that each step takes a tenth of its score.
#[tokio::test(flavor = "multi_thread")]
async fn killed_validator_has_the_averages_of_one_that_was_not_killed() {
    let chain = LocalChain::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    let (state, miner) = (directory.path().join("state"), chain.miners[0].hotkey());
    std::fs::create_dir(&state).unwrap();
    write_wallet(&directory.path().join("wallets"), &chain.validator);
    write_score(&state.join("scores.sqlite"), miner).await;
    let mut steps = 0;
    for _ in 0..5 {
        let mut validator = start(&chain, directory.path());
        steps += u32::from(completes_step(&mut validator).await);
        // SIGKILL on Unix.
        validator.kill().await.unwrap();
    }
    let scores = Scores::open(&state.join("scores.sqlite"), NETUID).await.unwrap().read().await.unwrap();
    assert_eq!(steps, 1);
    assert!((scores[&miner] - 0.9).abs() < 1e-9, "{scores:?}");
    chain.node.stop().await;
}
