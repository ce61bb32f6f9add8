//! Addresses and commands of the daemons.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::network::{ChainSpeed, Validator};
use crate::process::Process;

/// Names and development keys of the validators.
pub(crate) const VALIDATORS: [(&str, &str); 2] = [("A", "//Alice"), ("B", "//Bob")];
/// Profiles of the miners.
pub(crate) const MINERS: [&str; 2] = ["interpreter", "parrot"];
/// Placeholder address for this machine, since the chain rejects loopback addresses.
pub(crate) const ANNOUNCED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The main challenge, with four short utterances; the solo challenge has the same ones.
const CHALLENGE: &str = include_str!("../../e2e/data/ferry.json");
/// Variables that the daemons inherit.
const INHERITED: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "BB_MODELS_DIR", "RUST_LOG", "RUST_BACKTRACE"];

/// The chain's node that produces the blocks.
pub(crate) const LEADER: &str = "chain";
/// A second node, which imports the leader's blocks.
pub(crate) const FOLLOWER: &str = "chain follower";
const ENGINE: &str = "utterance engine";
/// The subnet owner's scoring service.
pub(crate) const SCORING: &str = "scoring API";

pub(crate) fn miner_name(profile: &str) -> String {
    format!("miner {profile}")
}

pub(crate) fn miner_key(profile: &str) -> String {
    format!("//miner//{profile}")
}

/// Addresses and commands of the daemons.
pub(crate) struct Plan {
    tao: PathBuf,
    bb: PathBuf,
    pub(crate) folder: TempDir,
    pub(crate) speed: ChainSpeed,
    addresses: Vec<(String, SocketAddr)>,
    /// The nodes of the chain.
    nodes: [String; 2],
}

impl Plan {
    pub(crate) fn new(tao: &Path, speed: ChainSpeed) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("taonet-chaos-").tempdir()?;
        let bb = folder.path().join("bb");
        let tao = tao.canonicalize()?;
        std::os::unix::fs::symlink(&tao, &bb)?;
        fs::write(folder.path().join("ferry.json"), CHALLENGE)?;
        let solo = CHALLENGE.replace(r#""challenge_uid": "ferry""#, r#""challenge_uid": "pier""#);
        fs::write(folder.path().join("pier.json"), solo)?;
        let mut names: Vec<String> = [LEADER, FOLLOWER, ENGINE, SCORING].map(str::to_owned).into();
        names.extend(MINERS.map(miner_name));
        for (name, _) in VALIDATORS {
            names.extend(
                ["gateway", "signer", "validator", "runner"]
                    .map(|daemon| format!("{daemon} {name}")),
            );
        }
        let addresses = names.into_iter().zip(free_addresses()).collect();
        let mut plan =
            Self { tao, bb, folder, speed, addresses, nodes: [String::new(), String::new()] };
        plan.nodes = [plan.url(LEADER)?, plan.url(FOLLOWER)?];
        Ok(plan)
    }

    pub(crate) fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let entry = self.addresses.iter().find(|(listed, _)| listed == name);
        entry.map(|(_, address)| *address).with_context(|| format!("{name} has no address"))
    }

    pub(crate) fn url(&self, name: &str) -> anyhow::Result<String> {
        let scheme = if name.starts_with(LEADER) { "ws" } else { "http" };
        Ok(format!("{scheme}://{}", self.address(name)?))
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    /// Returns a command with a clean environment.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command
            .envs(INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1");
        // Takes precedence for the nodes; `local` above selects the defaults of services on this
        // machine.
        command.env("BT_CHAIN_ENDPOINT", self.nodes.join(","));
        command
    }

    fn process(&self, name: &str, mut command: Command, option: &str) -> anyhow::Result<Process> {
        let address = self.address(name)?;
        command.args([option, &address.to_string()]);
        Ok(Process::new(name, Some(address), command, &self.folder.path().join("logs"))?)
    }

    pub(crate) fn leader(&self) -> anyhow::Result<Process> {
        let block_time = format!("{}ms", self.speed.block_time.as_millis());
        let command = self.command(
            &self.tao,
            &["localnet", "--data", &self.path("chain"), "--archive", "--block-time", &block_time],
        );
        self.process(LEADER, command, "--listen")
    }

    /// The follower of the chain, the subnet owner's services and the miners.
    pub(crate) fn shared_processes(&self) -> anyhow::Result<Vec<Process>> {
        let [leader, _] = &self.nodes;
        let follower = self.command(
            &self.tao,
            &["localnet", "--data", &self.path("follower"), "--follow", leader],
        );
        let engine =
            self.command(&self.bb, &["engine", &self.path("ferry.json"), &self.path("pier.json")]);
        let scoring = self.command(&self.bb, &["scoring-api", "--state", &self.path("scoring")]);
        let mut processes = vec![
            self.process(FOLLOWER, follower, "--listen")?,
            self.process(ENGINE, engine, "--listen")?,
            self.process(SCORING, scoring, "--listen")?,
        ];
        for profile in MINERS {
            let (key, log) = (miner_key(profile), self.path(&format!("{profile}.replay")));
            let arguments =
                ["miner", "--profile", profile, "--key-uri", &key, "--replay-log", &log];
            processes.push(self.process(
                &miner_name(profile),
                self.command(&self.bb, &arguments),
                "--listen",
            )?);
        }
        Ok(processes)
    }

    /// Gateway, signer, runner and validator with this key.
    pub(crate) fn validator(
        &self,
        validator: &Validator,
        key: &str,
    ) -> anyhow::Result<Vec<Process>> {
        let name = |daemon: &str| format!("{daemon} {}", validator.name);
        let (gateway_url, signer_url) = (self.url(&name("gateway"))?, self.url(&name("signer"))?);
        let mut nodes = self.nodes.clone();
        if validator.name != "A" {
            nodes.reverse();
        }
        let nodes = nodes.join(",");
        let path = |file: &str| validator.disk.join(file).display().to_string();
        let (engine, scoring, cache) = (self.url(ENGINE)?, self.url(SCORING)?, path("cache"));
        let tempo = self.speed.epoch_blocks.to_string();
        let bb = |arguments: &[&str]| {
            let mut command = self.command(&self.bb, arguments);
            command.args(["--key-uri", key]).env("BABELBIT_CACHE_DIR", &cache);
            command.env("SUBTENSOR_GATEWAY_URL", &gateway_url).env("SIGNER_URL", &signer_url);
            command.env("BB_UTTERANCE_ENGINE_URL", &engine).env("BB_SUBMIT_API_URL", &scoring);
            command
        };
        let gateway = bb(&["subtensor-gateway", "--network", &nodes, "--state", &path("gateway")]);
        let signer = bb(&["signer", "--audit-log", &path("audit.jsonl")]);
        let state = path("validator.json");
        let validator_command =
            bb(&["validate", "--tempo", &tempo, "--arena-percent", "0", "--state", &state]);
        let mut runner = bb(&["runner", "--keep", &path("runner")]);
        runner.env("BB_RUNNER_ON_STARTUP", "1").env("BABELBIT_RUNNER_TEMPO", &tempo);
        runner
            .env("BB_LOCAL_MINER_IP", ANNOUNCED.to_string())
            .env("BB_S2S_CHUNK_TIMEOUT_SEC", "30");
        Ok(vec![
            self.process(&name("gateway"), gateway, "--listen")?,
            self.process(&name("signer"), signer, "--listen")?,
            self.process(&name("validator"), validator_command, "--metrics")?,
            self.process(&name("runner"), runner, "--metrics")?,
        ])
    }

    /// Runs a command of `tao localnet` on the chain.
    pub(crate) fn control(&self, arguments: &[&str], url: &str) -> anyhow::Result<()> {
        let mut command = self.command(&self.tao, &["localnet"]);
        let output = command.args(arguments).args(["--network", url, "--json"]).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tao localnet {}: {error}", arguments.join(" "));
        Ok(())
    }
}

/// Number of networks that this process has planned.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Returns addresses that are free now, with ports below those that the system gives to
/// connections, so that none takes the port of a daemon that is down.
fn free_addresses() -> impl Iterator<Item = SocketAddr> {
    // Networks of one process, such as those of parallel tests, are started before the others'
    // daemons listen.
    let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
    let first = std::process::id().wrapping_mul(100).wrapping_add(network.wrapping_mul(50));
    let addresses = (0_u32..).filter_map(move |number| {
        let port = u16::try_from(10_000 + first.wrapping_add(number) % 22_000).ok()?;
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    });
    addresses.filter(|address| TcpListener::bind(address).is_ok())
}
