//! The Python package of `tao subnets new --python`: its own tests, and its miner with the
//! validator of the Rust package.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use taonet_chain::Chain;
use taonet_kit::{AddressPolicy, Validator, ValidatorSettings};
use taonet_neuron::Neurons;
use taonet_service::{Access, Shutdown, atomic_write};
use taonet_summing_subnet::Summing;
use taonet_validator::testing::{LocalChain, NETUID, key};
use taonet_wallet::{Keyfile, Keypair};

use super::new;
use crate::peers::Peer;
use crate::support::{KillOnDrop, document, free_address, program, stderr, terminate};

/// Published address that represents this machine: the chain rejects loopback addresses.
const PUBLISHED: &str = "192.0.2.1";
/// Maximum time until the miner has started, or has stopped.
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);

/// Writes a package `demo-subnet`, and returns a command that runs Python with SDK 10 in its
/// Python package. `None` if the SDK is missing.
fn python(folder: &Path) -> Option<Command> {
    let peer = Peer::find("sdk10")?;
    let report = document(&new(folder, &["demo-subnet", "--python", "--json"]));
    let files = report["files"].as_array().unwrap();
    assert!(files.contains(&json!("python/demo_subnet_miner/protocol.py")), "{report}");
    let mut python = program(peer.programs().join("python"));
    python.current_dir(folder.join("demo-subnet/python"));
    Some(python)
}

/// Writes the wallet of a miner: its hotkey, and the public file of the coldkey.
fn write_wallet(directory: &Path, hotkey: &Keypair) {
    let wallet = directory.join("wallets/default");
    std::fs::create_dir_all(wallet.join("hotkeys")).unwrap();
    let hotkey = Keyfile::from_keypair(hotkey.clone()).to_json();
    atomic_write(wallet.join("hotkeys/default"), &hotkey, Access::Owner).unwrap();
    let coldkey = Keyfile::from_public(key("//Alice").public()).to_json();
    atomic_write(wallet.join("coldkeypub.txt"), &coldkey, Access::Everyone).unwrap();
}

/// Waits until a process ends after SIGTERM; returns its exit code.
fn terminate_and_wait(process: &mut KillOnDrop) -> Option<i32> {
    terminate(&process.0);
    let start = Instant::now();
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            assert_eq!(status.signal(), None);
            return status.code();
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "the miner ignores SIGTERM");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tests_of_the_python_package_pass() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut python) = python(folder.path()) else { return };
    // The module finds the package in the current directory.
    let output = python.args(["-m", "unittest", "tests/test_miner.py"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("Ran 4 tests"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn python_miner_earns_weight_from_the_rust_validator() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut python) = python(folder.path()) else { return };
    let chain = LocalChain::start(1).await;
    let keypair = chain.miners[0].clone();
    write_wallet(folder.path(), &keypair);
    let (address, log) = (free_address(), folder.path().join("log"));
    let port = address.rsplit_once(':').unwrap().1;
    let announced_address = format!("{PUBLISHED}:{port}");
    python.args(["-m", "demo_subnet_miner", "--netuid", &NETUID.to_string()]);
    python.args(["--network", &chain.node.url(), "--port", port, "--announce", &announced_address]);
    python.arg("--wallet-path").arg(folder.path().join("wallets"));
    let output = std::fs::File::create(&log).unwrap();
    python.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut miner = KillOnDrop(python.spawn().unwrap());
    let start = Instant::now();
    loop {
        let neurons = Neurons::read(&*chain.client, NETUID).await.unwrap();
        let is_published = neurons
            .list
            .iter()
            .any(|neuron| neuron.address == Some(announced_address.parse().unwrap()));
        if is_published && TcpStream::connect(&address).is_ok() {
            break;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "{}", std::fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let (state, shutdown) = (folder.path().join("state"), Shutdown::new());
    let local_miner_ip = Some(PUBLISHED.to_owned());
    let addresses = AddressPolicy { local_miner_ip, ..AddressPolicy::default() };
    let settings = ValidatorSettings { addresses, ..ValidatorSettings::new(NETUID) };
    let client: Arc<dyn Chain> = chain.client.clone();
    let validator = chain.validator.clone();
    let mut validator =
        Validator::open(Summing, validator, client, &state, settings, &shutdown).await.unwrap();
    let uid = chain.uid(&keypair).await;
    for _ in 0..3 {
        let rewards = validator.step().await.unwrap().rewards;
        assert_eq!(rewards, [(uid, 1.0)], "{}", std::fs::read_to_string(&log).unwrap());
    }
    assert!(validator.set_weights().await.unwrap().outcome.is_success());
    assert_eq!(chain.weights().await, [(uid, u16::MAX)]);
    let exit = tokio::task::spawn_blocking(move || terminate_and_wait(&mut miner)).await.unwrap();
    assert_eq!(exit, Some(0), "{}", std::fs::read_to_string(&log).unwrap());
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}
