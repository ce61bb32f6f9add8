//! Broken set-ups on the embedded development chain.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::{Value, json};
use taonet_chain::{At, Call, Chain as _, Client, Follow, HotkeyState, calls};
use taonet_doctor::{
    Check, Endpoint, EndpointCall, Finding, LedgerView, Registration, Status, clock_against_chain,
    ledger, reachability, registration,
};
use taonet_ledger::{Ledger, NewWeights, Submitter};
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_neuron::AddressPolicy;
use taonet_primitives::{BlockHash, BlockNumber, MechId, NetUid, Rao, Uid};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, Call as AxonCall, ClientConfig, Retry, SignedClient, Signer};
use tokio::net::TcpSocket;

const NETUID: NetUid = NetUid(59);
const NO_SUBNET: NetUid = NetUid(60_000);
/// The client's timeouts are fractions of the block time: with faster blocks, busy machines would
/// exceed them.
const BLOCK_TIME: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// A chain on which `hotkey` can set weights.
struct Fixture {
    node: NodeHandle,
    chain: Arc<Client>,
    alice: Keypair,
    hotkey: Keypair,
}

impl Fixture {
    async fn new() -> Self {
        let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[]).unwrap());
        config.clock = Some(Clock::Every(BLOCK_TIME));
        let node = Node::start(config).await.unwrap();
        let chain = Arc::new(Client::connect(&node.url().parse().unwrap()).await.unwrap());
        let (alice, hotkey) = (
            Keypair::from_uri("//Alice").unwrap(),
            Keypair::from_uri("//Alice//validator").unwrap(),
        );
        Self { node, chain, alice, hotkey }
    }

    /// Registers the hotkey, and lets it set weights at once.
    async fn register(&self) {
        self.as_root("sudo_set_tempo", json!({ "netuid": NETUID.0, "tempo": 200 })).await;
        self.send(&calls::burned_register(NETUID, self.hotkey.hotkey()), &self.alice).await;
        self.add_stake().await;
    }

    /// Adds stake, with which the next epoch gives the hotkey a validator permit.
    async fn add_stake(&self) {
        self.send(
            &calls::add_stake(self.hotkey.hotkey(), NETUID, Rao::new(1_000_000_000_000)),
            &self.alice,
        )
        .await;
        self.enter_next_epoch().await;
    }

    /// Advances into a new epoch, after the rate limit of weights.
    async fn enter_next_epoch(&self) {
        let rules = self.chain.weight_rules(NETUID, At::Head).await.unwrap();
        self.node.mine(u32::try_from(rules.rate_limit_blocks).unwrap()).await.unwrap();
        self.node.mine_to_epoch(NETUID.0).await.unwrap();
    }

    async fn send(&self, call: &Call, signer: &Keypair) {
        let outcome = self.chain.send(call, signer, Follow::default()).await.unwrap();
        assert!(outcome.is_success(), "{call:?}: {outcome:?}");
    }

    async fn as_root(&self, name: &str, arguments: Value) {
        let call = json!({ "call": { "AdminUtils": { name: arguments } } });
        self.send(&self.chain.call("Sudo", "sudo", &call).await.unwrap(), &self.alice).await;
    }

    async fn state(&self) -> HotkeyState {
        self.chain.hotkey_state(NETUID, MechId(0), &self.hotkey.hotkey(), At::Head).await.unwrap()
    }

    /// Submits weights through the ledger in a directory, until the chain has them.
    async fn submit(&self, directory: &Path) {
        let ledger = Ledger::open(directory).await.unwrap();
        let submitter = Submitter::new(ledger, Arc::clone(&self.chain) as _, self.hotkey.clone())
            .await
            .unwrap();
        let state_block = self.chain.head().await.unwrap().number;
        let weights = NewWeights {
            netuid: NETUID,
            mech: MechId(0),
            weights: vec![(Uid(0), 65_535)],
            version_key: 0,
            state_block,
        };
        let submission = submitter.submit(weights).await.unwrap().submit.unwrap();
        assert!(submission.outcome.is_some_and(|outcome| outcome.is_success()));
    }

    /// Compares a ledger with the chain; `genesis` replaces that of the chain.
    async fn check_ledger(&self, directory: &Path, genesis: Option<BlockHash>) -> Finding {
        let Registration { neuron, .. } =
            registration(&*self.chain, NETUID, Some(&self.hotkey.hotkey())).await;
        let view = LedgerView {
            genesis: genesis.unwrap_or_else(|| self.chain.genesis()),
            netuid: NETUID,
            hotkey: self.hotkey.hotkey(),
            state: &self.state().await,
            registered_at: neuron.map_or(BlockNumber::new(0), |neuron| neuron.registered_at),
        };
        ledger(directory, &view).await
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn axon_call() -> AxonCall {
    let deadline = Duration::from_secs(10);
    AxonCall { deadline, retry: Retry::Never, ..AxonCall::new(Method::GET, "ping", "") }
}

#[track_caller]
fn assert_fault(finding: &Finding, check: Check, seen: &str) {
    assert_eq!((finding.check, finding.status), (check, Status::Fault), "{finding:?}");
    assert!(finding.seen.contains(seen), "{finding:?}");
    assert!(finding.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_off_by_a_day_is_fault() {
    let fixture = Fixture::new().await;
    fixture.node.mine(1).await.unwrap();
    assert_eq!(clock_against_chain(&fixture.state().await, now()).status, Status::Ok);
    // Anybody can advance the time of a development chain, so that is not a fault yet.
    fixture.node.advance(DAY).await.unwrap();
    fixture.node.mine(1).await.unwrap();
    let finding = clock_against_chain(&fixture.state().await, now());
    assert_eq!(finding.status, Status::Warning, "{finding:?}");
    // Without //Alice's sudo, the same chain counts as a public one.
    let bob = Keypair::from_uri("//Bob").unwrap();
    let call = json!({ "new": { "Id": bob.hotkey() } });
    fixture
        .send(&fixture.chain.call("Sudo", "set_key", &call).await.unwrap(), &fixture.alice)
        .await;
    let fault = clock_against_chain(&fixture.state().await, now());
    assert_fault(&fault, Check::Clock, "24.0 hours behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_network_and_unregistered_hotkey_are_faults() {
    let fixture = Fixture::new().await;
    let hotkey = fixture.hotkey.hotkey();
    let wrong_network = registration(&*fixture.chain, NO_SUBNET, Some(&hotkey)).await;
    assert_fault(&wrong_network.findings[0], Check::Subnet, "subnet 60000 does not exist");
    assert_eq!(wrong_network.findings[0].exit_code(), Some(1));

    let unregistered = registration(&*fixture.chain, NETUID, Some(&hotkey)).await;
    assert_eq!(unregistered.findings[0].status, Status::Ok, "the subnet exists");
    assert_fault(&unregistered.findings[1], Check::Registration, "not registered on subnet 59");
    assert_eq!(unregistered.findings[1].exit_code(), Some(5));

    // Without stake, no validator permit.
    fixture.as_root("sudo_set_tempo", json!({ "netuid": NETUID.0, "tempo": 200 })).await;
    fixture.send(&calls::burned_register(NETUID, hotkey), &fixture.alice).await;
    let registered = registration(&*fixture.chain, NETUID, Some(&hotkey)).await;
    assert!(registered.neuron.is_some_and(|neuron| !neuron.validator_permit));
    assert_eq!(registered.findings[1].status, Status::Warning, "{:?}", registered.findings);
    fixture.add_stake().await;
    let permitted = registration(&*fixture.chain, NETUID, Some(&hotkey)).await;
    assert_eq!(permitted.findings[1].status, Status::Ok, "{:?}", permitted.findings);
    let without_hotkey = registration(&*fixture.chain, NETUID, None).await;
    assert_eq!(without_hotkey.findings[1].status, Status::Skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn ledger_behind_and_ahead_of_chain_are_faults() {
    let fixture = Fixture::new().await;
    fixture.register().await;
    let (current, restored, empty) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(
        fixture.check_ledger(empty.path(), None).await.status,
        Status::Skipped,
        "a new validator"
    );
    let snapshot = fixture.node.take_snapshot("before").unwrap();
    fixture.submit(current.path()).await;
    assert_eq!(fixture.check_ledger(current.path(), None).await.status, Status::Ok);
    // Another validator's ledger, or a backup of the time before.
    let finding = fixture.check_ledger(empty.path(), None).await;
    assert_eq!(finding.status, Status::Warning, "{finding:?}");
    // A validator that moved here from another program.
    drop(Ledger::open(restored.path()).await.unwrap());
    let finding = fixture.check_ledger(restored.path(), None).await;
    assert_eq!(finding.status, Status::Warning, "{finding:?}");
    assert!(finding.seen.starts_with("the ledger is new"), "{finding:?}");

    let other_chain = fixture
        .check_ledger(current.path(), Some(format!("0x{}", "07".repeat(32)).parse().unwrap()))
        .await;
    assert_fault(&other_chain, Check::Ledger, "the ledger is of the chain");

    fixture.enter_next_epoch().await;
    fixture.submit(restored.path()).await;
    assert_fault(
        &fixture.check_ledger(current.path(), None).await,
        Check::Ledger,
        "behind the chain",
    );
    assert_eq!(fixture.check_ledger(restored.path(), None).await.status, Status::Ok);

    drop(snapshot);
    fixture.node.revert("before").await.unwrap();
    assert_fault(
        &fixture.check_ledger(current.path(), None).await,
        Check::Ledger,
        "ahead of the chain",
    );
    std::fs::write(current.path().join("weights.sqlite"), "not a database, ".repeat(4_096))
        .unwrap();
    assert_fault(&fixture.check_ledger(current.path(), None).await, Check::Ledger, "is damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn published_endpoint_without_miner_is_fault() {
    let fixture = Fixture::new().await;
    fixture.register().await;
    // A socket that is bound and does not listen: no other program gets the port, and connections
    // are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let published = SocketAddr::from(([8, 8, 8, 8], socket.local_addr().unwrap().port()));
    fixture.send(&calls::serve_axon(NETUID, 1, published), &fixture.hotkey).await;
    let Registration { neuron, .. } =
        registration(&*fixture.chain, NETUID, Some(&fixture.hotkey.hotkey())).await;
    let axon = neuron.and_then(|neuron| neuron.axon).map(|axon| axon.address);
    assert_eq!(axon, Some(published));

    // The published address stands for this machine.
    let local_miner_ip = Some("8.8.8.8".to_owned());
    let policy = AddressPolicy { allow_private: true, local_miner_ip, ..AddressPolicy::default() };
    let signer = Signer::new(fixture.alice.clone(), "0.0.0.0", BtauthScheme::new());
    let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
    let request = axon_call();
    let hotkey = fixture.hotkey.hotkey();
    let call = EndpointCall { hotkey, client: &client, request: &request, is_subnet_route: true };
    let endpoint = Endpoint { published: axon, port: Some(published.port()), external_ip: None };
    let findings = reachability(endpoint, &policy, Some(call)).await;
    assert_fault(&findings[0], Check::Reachability, "no response to a signed request");
    let wrong_port = Endpoint { port: Some(9), ..endpoint };
    let findings = reachability(wrong_port, &policy, Some(call)).await;
    assert_fault(&findings[0], Check::Reachability, "is published, but MINER_AXON_PORT is 9");
}
