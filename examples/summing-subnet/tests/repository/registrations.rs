//! The validator on an embedded chain: a full subnet, a uid that is replaced between a step and the
//! weights, a subnet without miners, and one that hides weights.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail like the tests themselves")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use taonet_chain::{At, Chain, Detail, calls};
use taonet_kit::{AddressPolicy, MinerSettings, QueryLimits, Scores, Validator, ValidatorSettings};
use taonet_neuron::Neurons;
use taonet_primitives::{MechId, Uid};
use taonet_service::Shutdown;
use taonet_validator::testing::{LocalChain, NETUID, key};
use taonet_wallet::Keypair;
use tokio::net::TcpListener;

use taonet_summing_subnet::{Summing, miner};

/// Address that the miners publish, which represents the machine itself.
const PUBLISHED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Maximum number of neurons of a subnet.
const FULL: usize = 256;
/// Number of registrations in one extrinsic.
const BATCH: usize = 64;

/// Starts a miner, and waits until it has published its address.
async fn start(chain: &LocalChain, keypair: &Keypair, shutdown: &Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let announce = Some(SocketAddr::new(PUBLISHED, listener.local_addr().unwrap().port()));
    let miner = miner(keypair.clone(), MinerSettings { announce, ..MinerSettings::new(NETUID) });
    let (client, stop): (Arc<dyn Chain>, _) = (chain.client.clone(), shutdown.clone());
    shutdown.spawn("miner", async move { miner.run(listener, client, &stop).await.unwrap() });
    let hotkey = keypair.hotkey();
    let published = async {
        loop {
            let neurons = Neurons::read(&*chain.client, NETUID).await.unwrap();
            if neurons.list.iter().any(|neuron| neuron.hotkey == hotkey && neuron.address == announce) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), published).await.unwrap();
}

async fn open(chain: &LocalChain, directory: &Path, shutdown: &Shutdown) -> Validator<Summing> {
    let query = QueryLimits { deadline: Duration::from_secs(3), ..QueryLimits::default() };
    let addresses = AddressPolicy { local_miner_ip: Some(PUBLISHED.to_string()), ..AddressPolicy::default() };
    let settings = ValidatorSettings { query, addresses, ..ValidatorSettings::new(NETUID) };
    let client: Arc<dyn Chain> = chain.client.clone();
    Validator::open(Summing, chain.validator.clone(), client, directory, settings, shutdown).await.unwrap()
}

/// Registers hotkeys without an address until the subnet is full.
async fn fill(chain: &LocalChain) {
    let count = Neurons::read(&*chain.client, NETUID).await.unwrap().list.len();
    let hotkeys: Vec<_> = (count..FULL).map(|number| key(&format!("//filler//{number}")).hotkey()).collect();
    for batch in hotkeys.chunks(BATCH) {
        let registrations = batch.iter().map(|hotkey| calls::burned_register(NETUID, *hotkey));
        chain.send(calls::batch_all(registrations), &key("//Alice")).await;
    }
}

/// Returns the emission of a neuron.
async fn emission(chain: &LocalChain, uid: Uid) -> u64 {
    let metagraph = chain.client.metagraph(NETUID, MechId(0), Detail::Lite, At::Head).await.unwrap();
    metagraph.neurons[usize::from(uid.0)].emission.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_uid_of_a_full_subnet_does_not_inherit_weight() {
    let chain = LocalChain::start(2).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    let [first, second] = chain.miners.as_slice() else { panic!("two miners") };
    let uids = [chain.uid(first).await, chain.uid(second).await];
    start(&chain, first, &shutdown).await;
    let mut validator = open(&chain, directory.path(), &shutdown).await;
    validator.step().await.unwrap();
    assert!(validator.set_weights().await.unwrap().outcome.is_success());
    for _ in 0..3 {
        chain.node.mine_to_epoch(NETUID.0).await.unwrap();
    }
    // The second miner has earned nothing yet: the next neuron in the full subnet replaces it.
    let emissions = [emission(&chain, uids[0]).await, emission(&chain, chain.uid(&chain.validator).await).await];
    assert!(emissions.iter().all(|emission| *emission > 0), "{emissions:?}");

    start(&chain, second, &shutdown).await;
    fill(&chain).await;
    let report = validator.step().await.unwrap();
    assert_eq!(report.rewards, [(uids[0], 1.0), (uids[1], 1.0)]);
    assert_eq!(report.scores.len(), FULL);
    assert!((report.scores[&second.hotkey()] - 0.1).abs() < 1e-9, "{report:?}");

    let newcomer = key("//newcomer");
    chain.send(calls::burned_register(NETUID, newcomer.hotkey()), &key("//Alice")).await;
    assert_eq!(chain.uid(&newcomer).await, uids[1], "the newcomer has another uid");
    assert!(validator.set_weights().await.unwrap().outcome.is_success());
    assert_eq!(chain.weights().await, [(uids[0], u16::MAX)]);

    // The newcomer publishes no address; the score of the replaced miner is kept for some time.
    let report = validator.step().await.unwrap();
    assert_eq!(report.rewards, [(uids[0], 1.0)]);
    let scores = Scores::open_read_only(&directory.path().join("scores.sqlite"), NETUID).await.unwrap();
    assert_eq!(scores.hotkey_of(uids[1]).await.unwrap(), Some(newcomer.hotkey()));
    for (hotkey, steps) in [(first.hotkey(), 3), (second.hotkey(), 2), (newcomer.hotkey(), 1)] {
        let explanation = scores.explain(&hotkey).await.unwrap().unwrap();
        assert!(explanation.is_consistent(), "{explanation:?}");
        assert_eq!(explanation.rewards.len(), steps, "{explanation:?}");
    }
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}

/// All weight goes to the burn uid.
#[tokio::test(flavor = "multi_thread")]
async fn subnet_without_miners_burns_all_weight() {
    let chain = LocalChain::start(0).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    let mut validator = open(&chain, directory.path(), &shutdown).await;
    let report = validator.step().await.unwrap();
    assert!(report.rewards.is_empty(), "{report:?}");
    assert!(report.scores.values().all(|score| score.abs() < f64::MIN_POSITIVE), "{report:?}");
    let report = validator.set_weights().await.unwrap();
    assert!(report.outcome.is_success(), "{report:?}");
    assert_eq!(chain.weights().await, [(Uid(0), u16::MAX)]);
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_of_commit_reveal_subnet_are_committed() {
    let chain = LocalChain::start(1).await;
    let call = "sudo_set_commit_reveal_weights_enabled";
    chain.sudo("AdminUtils", call, json!({ "netuid": NETUID, "enabled": true })).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    start(&chain, &chain.miners[0], &shutdown).await;
    let mut validator = open(&chain, directory.path(), &shutdown).await;
    let uid = chain.uid(&chain.miners[0]).await;
    assert_eq!(validator.step().await.unwrap().rewards, [(uid, 1.0)]);
    let report = validator.set_weights().await.unwrap();
    assert!(report.outcome.is_success(), "{report:?}");
    assert!(chain.weights().await.is_empty(), "hidden until the round of their reveal");
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}
