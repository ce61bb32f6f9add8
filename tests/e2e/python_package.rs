//! The Python package, as scripts/python-wheel installed it last: its own tests, with SDK 10, and
//! its examples, which run in an environment without other packages.

mod babelbit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use taonet_testing::skip;
use taonet_validator::testing::{LocalChain, NETUID};

use crate::peers::Peer;
use crate::support::{KillOnDrop, free_address, program, repository, stderr};

/// The virtual environment with the package alone.
struct Environment(PathBuf);

impl Environment {
    /// Finds the environment. If the package is not built, the test is skipped with a message, or
    /// fails if `CI` is set.
    fn find() -> Option<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_tao")).ancestors().nth(2).unwrap();
        let directory = target.join("python/dev/venv");
        if directory.join("bin/python").exists() {
            return Some(Self(directory));
        }
        skip(&format!(
            "NOT TESTED: the Python package is not in {}. Run scripts/python-wheel dev, or ./test, which does so",
            directory.display()
        ));
        None
    }

    fn packages(&self) -> PathBuf {
        let python = std::fs::read_dir(self.0.join("lib")).unwrap().next().unwrap().unwrap();
        python.path().join("site-packages")
    }

    fn example(&self, file: &str) -> Command {
        let mut command = program(self.0.join("bin/python"));
        command.arg(repository("python/examples").join(file));
        command
    }
}

/// Returns Python with SDK 10 and our package, or `None` if one of them is missing.
fn python() -> Option<Command> {
    let (peer, environment) = (Peer::find("sdk10")?, Environment::find()?);
    let mut python = program(peer.programs().join("python"));
    python.env("PYTHONPATH", environment.packages()).current_dir(repository("python/tests"));
    Some(python)
}

/// Runs a module of the package's tests.
fn test(module: &str, chain: Option<&str>) {
    let Some(mut python) = python() else { return };
    python.args(["-m", "unittest", "--verbose", module]);
    if let Some(chain) = chain {
        python.env("TAONET_TEST_CHAIN", chain);
    }
    let output = python.output().unwrap();
    // For readers of a failure, and of the ratio that test_speed prints.
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{module}: {}", stderr(&output));
}

#[test]
fn keys_and_keyfiles_match_bittensor_wallet() {
    test("test_keys", None);
}

#[test]
fn consensus_matches_the_recorded_epochs() {
    test("test_yuma", None);
}

#[test]
fn middleware_rejects_invalid_requests_and_serves_sdk() {
    test("test_server", None);
}

#[test]
fn python_client_calls_sdk_server_and_own_server() {
    test("test_client", None);
}

#[test]
fn type_stubs_match_package() {
    test("test_types", None);
}

#[test]
fn requests_are_verified_ten_times_faster_than_by_sdk() {
    test("test_speed", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn metagraph_and_weights_match_the_sdk() {
    let chain = LocalChain::start(2).await;
    let url = chain.node.url();
    tokio::task::spawn_blocking(move || test("test_chain", Some(&url))).await.unwrap();
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn wheel_is_installed_with_pip() {
    let Some(environment) = Environment::find() else { return };
    let code = "import importlib.metadata, taonet
package = importlib.metadata.distribution('taonet')
print(package.read_text('INSTALLER').strip(), package.version, taonet.__version__)";
    let mut python = program(environment.0.join("bin/python"));
    let installed = stdout(&python.args(["-c", code]).output().unwrap());
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(installed, format!("pip {version} {version}\n"));
}

#[test]
fn examples_run_without_other_packages() {
    let Some(environment) = Environment::find() else { return };
    assert!(
        stdout(&environment.example("keys.py").output().unwrap())
            .ends_with("signed 1000 messages\n")
    );
    let consensus = stdout(&environment.example("consensus.py").output().unwrap());
    assert_eq!(consensus.lines().nth(2), Some("uid 2: 50% of the emission"));
}

#[tokio::test(flavor = "multi_thread")]
async fn example_validator_submits_weights_for_the_example_miner() {
    let (Some(mut python), Some(environment)) = (python(), Environment::find()) else { return };
    let chain = LocalChain::start(2).await;
    let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
    let port = address.rsplit_once(':').unwrap().1;
    python.arg(repository("python/examples/miner.py")).args([
        "--port",
        port,
        "--key-uri",
        "//miner//1",
    ]);
    let _miner = KillOnDrop(python.spawn().unwrap());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(std::time::Instant::now() < deadline, "the miner did not start");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut validator = environment.example("validator.py");
    validator.args([
        "--network",
        &chain.node.url(),
        "--netuid",
        &NETUID.to_string(),
        "--key-uri",
        "//validator",
    ]);
    validator.arg("--ledger").arg(folder.path().join("ledger"));
    let miner = chain.miners[1].hotkey();
    validator.args(["--miner", &format!("{miner}@{address}")]);
    // The development chain produces blocks meanwhile, in this process.
    let output = tokio::task::spawn_blocking(move || validator.output().unwrap()).await.unwrap();
    let report = stdout(&output);
    assert!(
        report.contains(&format!("{miner}: Success")) && report.contains("s, correct\n"),
        "{report}"
    );
    let uid = chain.uid(&chain.miners[1]).await;
    assert_eq!(chain.weights().await, [(uid, 65_535)], "{report}");
}
