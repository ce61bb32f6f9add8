//! The neurons of opentensor/bittensor-subnet-template, unmodified and with SDK 10, and ours on a
//! development chain: each miner answers the other's validator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_chain::Chain;
use taonet_kit::{
    AddressPolicy, BoxError, Caller, Challenge, Miner, MinerEntry, MinerSettings, Protocol, Reply,
    SynapseClass, SynapseError, Validator, ValidatorSettings,
};
use taonet_neuron::Neurons;
use taonet_service::Shutdown;
use taonet_testing::suite_directory;
use taonet_validator::testing::{LocalChain, NETUID};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::peers::Peer;
use crate::support::{KillOnDrop, free_address};

/// Published address that represents this machine: the chain rejects loopback addresses.
const PUBLISHED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Maximum time until a neuron of the template has started, or has submitted weights.
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);

/// The protocol of the template, whose miners double a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Dummy {
    dummy_input: i64,
    dummy_output: Option<i64>,
}

impl Protocol for Dummy {
    fn class() -> SynapseClass {
        SynapseClass::new("Dummy").required("dummy_input", json!(0))
    }
}

async fn double(request: Dummy, _: Caller) -> Result<Dummy, SynapseError> {
    Ok(Dummy { dummy_output: Some(request.dummy_input.wrapping_mul(2)), ..request })
}

struct DoublingChallenge;

impl Challenge for DoublingChallenge {
    type Request = Dummy;

    async fn request(&self, _: &[MinerEntry]) -> Result<Dummy, BoxError> {
        Ok(Dummy { dummy_input: 21, dummy_output: None })
    }

    async fn rewards(&self, _: &Dummy, replies: &[Reply<Dummy>]) -> Result<Vec<f64>, BoxError> {
        let is_right = |reply: &Reply<Dummy>| {
            reply.response.as_ref().is_ok_and(|response| response.dummy_output == Some(42))
        };
        Ok(replies.iter().map(|reply| f64::from(u8::from(is_right(reply)))).collect())
    }
}

/// The template, and SDK 10.
struct Template {
    sdk10: Peer,
    checkout: PathBuf,
}

impl Template {
    /// Finds the template and the SDK. If one of them is missing, the test is skipped with a
    /// message.
    fn find() -> Option<Self> {
        let checkout = suite_directory("subnet-template", "TAONET_SUBNET_TEMPLATE", "template")?;
        Some(Self { sdk10: Peer::find("sdk10")?, checkout })
    }

    /// Starts a neuron with the hotkey of a URI.
    fn start(&self, neuron: &str, hotkey: &str, chain: &LocalChain, options: &[&str]) -> Neuron {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = self.sdk10.script("subnet_template.py");
        command.arg(&self.checkout).args([neuron, hotkey]).arg(folder.path());
        command.args(["--netuid", &NETUID.to_string(), "--subtensor.network", &chain.node.url()]);
        command.args(options).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Neuron { _process: KillOnDrop(command.spawn().unwrap()), folder }
    }
}

/// A running neuron of the template.
struct Neuron {
    _process: KillOnDrop,
    folder: TempDir,
}

impl Neuron {
    /// Waits until a condition holds.
    async fn wait_until(&self, condition: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while !condition().await {
            assert!(start.elapsed() < WAIT_TIMEOUT, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn template_miner_earns_weight_from_taonet_validator() {
    let Some(template) = Template::find() else { return };
    let (chain, directory, shutdown) =
        (LocalChain::start(1).await, tempfile::tempdir().unwrap(), Shutdown::new());
    let (address, ip) = (free_address(), PUBLISHED.to_string());
    let (host, port) = address.split_once(':').unwrap();
    let axon = ["--axon.ip", host, "--axon.port", port, "--axon.external_ip", &ip];
    let options = [&axon[..], &["--blacklist.force_validator_permit"]].concat();
    let miner = template.start("miner", "//miner//0", &chain, &options);
    // It publishes its address before it listens.
    miner.wait_until(async || TcpStream::connect(&address).await.is_ok()).await;

    let addresses = AddressPolicy { local_miner_ip: Some(ip), ..AddressPolicy::default() };
    let settings = ValidatorSettings { addresses, ..ValidatorSettings::new(NETUID) };
    let client: Arc<dyn Chain> = chain.client.clone();
    let keypair = chain.validator.clone();
    let mut validator =
        Validator::open(DoublingChallenge, keypair, client, directory.path(), settings, &shutdown)
            .await
            .unwrap();
    let uid = chain.uid(&chain.miners[0]).await;
    for _ in 0..3 {
        assert_eq!(validator.step().await.unwrap().rewards, [(uid, 1.0)], "{}", miner.log());
    }
    let report = validator.set_weights().await.unwrap();
    assert!(report.outcome.is_success(), "{report:?}");
    assert_eq!(chain.weights().await, [(uid, u16::MAX)]);
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taonet_miner_earns_weight_from_template_validator() {
    let Some(template) = Template::find() else { return };
    let (chain, shutdown) = (LocalChain::start(1).await, Shutdown::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let announce = Some(SocketAddr::new(PUBLISHED, listener.local_addr().unwrap().port()));
    let keypair = chain.miners[0].clone();
    let settings = MinerSettings { announce, ..MinerSettings::new(NETUID) };
    let miner = Miner::new(keypair.clone(), settings).serve(double);
    let (client, stop): (Arc<dyn Chain>, _) = (chain.client.clone(), shutdown.clone());
    shutdown.spawn("miner", async move { miner.run(listener, client, &stop).await.unwrap() });
    let start = Instant::now();
    loop {
        let neurons = Neurons::read(&*chain.client, NETUID).await.unwrap();
        if neurons.list.iter().any(|neuron| neuron.address == announce) {
            break;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "the miner has not published its address");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // The validator reads the addresses of the miners at its start.
    let options = ["--neuron.axon_off", "--neuron.epoch_length", "1"];
    let validator = template.start("validator", "//validator", &chain, &options);
    let uid = chain.uid(&keypair).await;
    validator.wait_until(async || chain.weights().await == [(uid, u16::MAX)]).await;
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}
