//! The chain commands through the binaries, on a development chain in a separate process.

mod calls;
mod documents;
mod follow;
mod fork;
mod guide;
mod holders;
mod localnet;
mod locks;
mod money;
mod multisig;
mod neurons;
#[cfg(all(feature = "opencl", target_os = "linux", target_arch = "x86_64"))]
mod opencl;
mod overview;
mod owners;
mod refusals;
mod subnets;
mod suites;
mod watch;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Daemon, bb, document, tao};

pub(crate) const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
pub(crate) const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
/// Netuid of Babelbit, the only subnet that the genesis block has started. Its tempo is ten blocks.
pub(crate) const BABELBIT: &str = "59";
/// Signs as //Alice, who has most of the TAO and the sudo key.
pub(crate) const AS_ALICE: [&str; 3] = ["--key-uri", "//Alice", "--json"];

/// An in-memory development chain, and a wallet directory.
pub(crate) struct Chain {
    daemon: Daemon,
    folder: TempDir,
}

impl Chain {
    pub(crate) fn start() -> Self {
        // Tests look at all of their blocks, of which the default history would keep those of two
        // minutes.
        Self::with(&["--archive", "--block-time", "50ms"])
    }

    /// Starts a chain with these options of `tao localnet`.
    pub(crate) fn with(options: &[&str]) -> Self {
        let daemon = Daemon::start(tao().args(["localnet", "--memory"]).args(options));
        Self { daemon, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn url(&self) -> &str {
        self.daemon.url()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run_with_files(
        &self,
        mut command: Command,
        arguments: &[&str],
        extra_args: &[&str],
    ) -> Output {
        command.args(arguments).args(extra_args);
        command.env("BT_CHAIN_ENDPOINT", self.url()).env("BT_WALLET_PATH", self.path("wallets"));
        command.output().unwrap()
    }

    /// `tao …` on this chain.
    pub(crate) fn tao(&self, arguments: &[&str], extra_args: &[&str]) -> Output {
        self.run_with_files(tao(), arguments, extra_args)
    }

    /// `bb …` on this chain.
    pub(crate) fn bb(&self, arguments: &[&str], extra_args: &[&str]) -> Output {
        self.run_with_files(bb(), arguments, extra_args)
    }

    /// JSON document of a successful command.
    #[track_caller]
    pub(crate) fn run_json(&self, arguments: &[&str]) -> Value {
        document(&self.tao(arguments, &["--json"]))
    }

    /// JSON document of a call signed by //Alice.
    #[track_caller]
    pub(crate) fn alice(&self, arguments: &[&str]) -> Value {
        let result = document(&self.tao(arguments, &AS_ALICE));
        assert_eq!(result["success"], true, "{result}");
        result
    }

    /// Creates a wallet `default` with unencrypted keys and 5000 TAO; returns the addresses of
    /// coldkey and hotkey.
    #[track_caller]
    pub(crate) fn wallet(&self) -> (String, String) {
        let [cold, hot] =
            ["coldkey.words", "hotkey.words"].map(|name| self.path(name).display().to_string());
        let files = ["--coldkey-mnemonic-file", &cold, "--hotkey-mnemonic-file", &hot];
        let created =
            self.run_json(&[&["wallet", "create", "--no-use-password"], &files[..]].concat());
        self.add_faucet_funds(5000);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&created["coldkey"]["address"]), text(&created["hotkey"]["address"]))
    }

    fn add_faucet_funds(&self, amount: u32) {
        let result = self.run_json(&["wallet", "faucet", "--amount", &amount.to_string()]);
        assert_eq!(result["success"], true, "{result}");
    }

    /// Free balance of an account, in rao.
    #[track_caller]
    pub(crate) fn free(&self, account: &str) -> u64 {
        self.run_json(&["balance", account])["accounts"][0]["free_rao"].as_u64().unwrap()
    }

    /// Produces blocks up to and including a subnet's next epoch.
    pub(crate) fn mine_to_epoch(&self, netuid: &str) {
        document(
            &tao()
                .args(["localnet", "to-epoch", netuid, "--network", self.url(), "--json"])
                .output()
                .unwrap(),
        );
    }
}

/// JSON document and exit code of a failed call.
#[track_caller]
pub(crate) fn failure(output: &Output) -> (i32, Value) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("panicked"), "{text}");
    let result =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), result)
}
