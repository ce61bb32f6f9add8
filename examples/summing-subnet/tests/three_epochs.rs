//! The subnet on an embedded chain: a good, a wrong and a silent miner, and a validator that
//! restarts in each epoch.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like the tests themselves")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::{At, Chain, Detail, calls};
use taonet_kit::{
    AddressPolicy, Caller, EpochReport, Miner, MinerSettings, QueryLimits, Scores, SynapseError, Validator,
    ValidatorSettings,
};
use taonet_neuron::Neurons;
use taonet_primitives::{MechId, Uid};
use taonet_service::Shutdown;
use taonet_validator::testing::{LocalChain, NETUID, silent_server};
use taonet_wallet::Keypair;
use tokio::net::TcpListener;

use taonet_summing_subnet::{Sum, Summing, miner};

/// Address that the miners publish: the chain rejects loopback addresses, and this one represents
/// the machine itself.
const PUBLISHED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const EPOCHS: i32 = 3;
const STEPS: i32 = 2;

async fn add_off_by_one(request: Sum, _: Caller) -> Result<Sum, SynapseError> {
    Ok(Sum { sum: Some(request.a + request.b + 1), ..request })
}

fn wrong_miner(keypair: Keypair, settings: MinerSettings) -> Miner {
    Miner::new(keypair, settings).serve(add_off_by_one)
}

/// Starts a miner, which publishes its address itself.
async fn start(
    chain: &LocalChain,
    keypair: &Keypair,
    create: fn(Keypair, MinerSettings) -> Miner,
    shutdown: &Shutdown,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let announce = Some(SocketAddr::new(PUBLISHED, listener.local_addr().unwrap().port()));
    let miner = create(keypair.clone(), MinerSettings { announce, ..MinerSettings::new(NETUID) });
    let (client, stop): (Arc<dyn Chain>, _) = (chain.client.clone(), shutdown.clone());
    shutdown.spawn("miner", async move { miner.run(listener, client, &stop).await.unwrap() });
}

/// Waits until this many neurons have published an address.
async fn wait_for_addresses(chain: &LocalChain, count: usize) {
    let wait = async {
        loop {
            let neurons = Neurons::read(&*chain.client, NETUID).await.unwrap();
            if neurons.list.iter().filter(|neuron| neuron.address.is_some()).count() == count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), wait).await.unwrap();
}

/// Runs a validator for one epoch, as its own process would.
async fn run_epoch(chain: &LocalChain, directory: &Path, expected: &[(Uid, f64)]) -> EpochReport {
    let query = QueryLimits { deadline: Duration::from_secs(3), ..QueryLimits::default() };
    let addresses = AddressPolicy { local_miner_ip: Some(PUBLISHED.to_string()), ..AddressPolicy::default() };
    let settings = ValidatorSettings { query, addresses, ..ValidatorSettings::new(NETUID) };
    let (client, shutdown): (Arc<dyn Chain>, _) = (chain.client.clone(), Shutdown::new());
    let keypair = chain.validator.clone();
    let mut validator = Validator::open(Summing, keypair, client, directory, settings, &shutdown).await.unwrap();
    for _ in 0..STEPS {
        assert_eq!(validator.step().await.unwrap().rewards, expected);
    }
    let report = validator.set_weights().await.unwrap();
    shutdown.request();
    shutdown.finished().await.unwrap();
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn good_miner_earns_most_after_three_epochs() {
    let chain = LocalChain::start(3).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), Shutdown::new());
    let [good, wrong, mute] = chain.miners.as_slice() else { panic!("three miners") };
    start(&chain, good, miner, &shutdown).await;
    start(&chain, wrong, wrong_miner, &shutdown).await;
    let port = silent_server().await.port().unwrap();
    chain.send(calls::serve_axon(NETUID, 1, SocketAddr::new(PUBLISHED, port)), mute).await;
    wait_for_addresses(&chain, 3).await;

    let uids = [chain.uid(good).await, chain.uid(wrong).await, chain.uid(mute).await];
    let expected = [(uids[0], 1.0), (uids[1], 0.0), (uids[2], 0.0)];
    for number in 1..=EPOCHS {
        let report = run_epoch(&chain, directory.path(), &expected).await;
        assert!(report.outcome.is_success(), "epoch {number}: {report:?}");
        assert_eq!(report.decision, "scored");
        chain.node.mine_to_epoch(NETUID.0).await.unwrap();
    }

    // The averages of all epochs are on disk, although the validator restarted in each.
    let scores = Scores::open(&directory.path().join("scores.sqlite"), NETUID).await.unwrap().read().await.unwrap();
    let average = 1.0 - 0.9_f64.powi(EPOCHS * STEPS);
    assert!((scores[&good.hotkey()] - average).abs() < 1e-9, "{scores:?}");
    assert_eq!(chain.weights().await, [(uids[0], u16::MAX)]);
    let metagraph = chain.client.metagraph(NETUID, MechId(0), Detail::Lite, At::Head).await.unwrap();
    let emission = |uid: Uid| metagraph.neurons[usize::from(uid.0)].emission.get();
    let emissions = uids.map(emission);
    assert!(emissions[0] > 0 && emissions[1] == 0 && emissions[2] == 0, "{emissions:?}");
    shutdown.request();
    shutdown.finished().await.unwrap();
    chain.node.stop().await;
}
