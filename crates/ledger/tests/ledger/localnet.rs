//! Tests of the ledger on the localnet.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_chain::{At, Call, Chain as _, Client, Event, Follow, SignOptions, calls};
use taonet_ledger::{
    IntentKey, IntentState, Ledger, NewWeights, Step, StepProgress, SubmitError, Submitter,
};
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_primitives::{BlockNumber, MechId, NetUid, Rao, Uid};
use taonet_wallet::Keypair;
use tempfile::TempDir;

const NETUID: NetUid = NetUid(59);
/// The client's timeouts are fractions of the block time: with faster blocks, busy machines would
/// exceed them.
const BLOCK_TIME: Duration = Duration::from_secs(1);

struct Fixture {
    node: NodeHandle,
    chain: Arc<Client>,
    hotkey: Keypair,
}

impl Fixture {
    /// Starts a chain on which the hotkey may set weights.
    async fn new() -> Self {
        let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[]).unwrap());
        config.clock = Some(Clock::Every(BLOCK_TIME));
        let node = Node::start(config).await.unwrap();
        let chain = Arc::new(Client::connect(&node.url().parse().unwrap()).await.unwrap());
        let (alice, hotkey) = (
            Keypair::from_uri("//Alice").unwrap(),
            Keypair::from_uri("//Alice//validator").unwrap(),
        );
        let send = async |call: Call| {
            let outcome = chain.send(&call, &alice, Follow::default()).await.unwrap();
            assert!(outcome.is_success(), "{call:?}: {outcome:?}");
        };
        // Long enough for a loaded machine.
        send(
            setting_call(&chain, "sudo_set_tempo", json!({ "netuid": NETUID.0, "tempo": 200 }))
                .await,
        )
        .await;
        send(calls::burned_register(NETUID, hotkey.hotkey())).await;
        send(calls::add_stake(hotkey.hotkey(), NETUID, Rao::new(1_000_000_000_000))).await;
        Self { node, chain, hotkey }
    }

    /// Advances until weights may be set: into a new epoch, after the rate limit.
    async fn enter_next_epoch(&self) {
        let rules = self.chain.weight_rules(NETUID, At::Head).await.unwrap();
        self.node.mine(u32::try_from(rules.rate_limit_blocks).unwrap()).await.unwrap();
        self.node.mine_to_epoch(NETUID.0).await.unwrap();
    }

    /// Makes a call of AdminUtils as root.
    async fn apply_setting(&self, name: &str, arguments: Value) {
        let call = setting_call(&self.chain, name, arguments).await;
        let alice = Keypair::from_uri("//Alice").unwrap();
        let outcome = self.chain.send(&call, &alice, Follow::default()).await.unwrap();
        assert!(outcome.is_success(), "{name}: {outcome:?}");
    }

    async fn start(&self, directory: &Path) -> Submitter {
        let ledger = Ledger::open(directory).await.unwrap();
        Submitter::new(ledger, self.chain.clone(), self.hotkey.clone()).await.unwrap()
    }

    async fn head(&self) -> BlockNumber {
        self.chain.head().await.unwrap().number
    }

    async fn weights(&self) -> NewWeights {
        let weights = vec![(Uid(0), 65_535)];
        NewWeights {
            netuid: NETUID,
            mech: MechId(0),
            weights,
            version_key: 0,
            state_block: self.head().await,
        }
    }

    /// Advances until the intent is done.
    async fn finish(&self, submitter: &Submitter, key: &IntentKey) {
        for _ in 0..100 {
            match submitter.ledger().intent(key).await.unwrap().unwrap().state {
                IntentState::Open => tokio::time::sleep(BLOCK_TIME).await,
                state => return assert_eq!(state, IntentState::Done),
            }
            for (_, submission) in submitter.advance().await.unwrap() {
                submission.unwrap();
            }
        }
        panic!("the intent for epoch {} stays open", key.epoch);
    }

    /// Returns the number of weight submissions included after a block.
    async fn submissions_since(&self, block: BlockNumber) -> usize {
        let mut count = 0;
        for number in block.plus(1).get()..=self.head().await.get() {
            let events = self.chain.events(BlockNumber::new(number).into()).await.unwrap();
            let is_ours = |event: &&Event| {
                ["WeightsSet", "WeightsCommitted", "TimelockedWeightsCommitted"]
                    .iter()
                    .any(|name| event.is("SubtensorModule", name))
            };
            count += events.iter().filter(is_ours).count();
        }
        count
    }
}

/// Builds a call of AdminUtils by root.
async fn setting_call(chain: &Client, name: &str, arguments: Value) -> Call {
    let call = json!({ "call": { "AdminUtils": { name: arguments } } });
    chain.call("Sudo", "sudo", &call).await.unwrap()
}

/// A copy of a ledger that no process has open.
fn copy(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// In every form, a ledger that is restored from a backup neither submits nor reveals again, and
/// continues with the next epoch.
#[tokio::test(flavor = "multi_thread")]
async fn restored_ledger_does_not_repeat_extrinsics_of_the_chain() {
    let fixture = Fixture::new().await;
    for (name, version) in [("plain", None), ("timelocked", Some(4)), ("hash", Some(2))] {
        if let Some(version) = version {
            fixture
                .apply_setting("sudo_set_commit_reveal_version", json!({ "version": version }))
                .await;
        }
        let enabled = json!({ "netuid": NETUID.0, "enabled": version.is_some() });
        fixture.apply_setting("sudo_set_commit_reveal_weights_enabled", enabled).await;
        fixture.enter_next_epoch().await;
        let directory = tempfile::tempdir().unwrap();
        fixture.start(directory.path()).await.close().await.unwrap();
        let (empty, start_block) = (copy(directory.path()), fixture.head().await);
        let submitter = fixture.start(directory.path()).await;
        let key = submitter.submit(fixture.weights().await).await.unwrap().intent.plan.key;
        submitter.close().await.unwrap();
        let committed = copy(directory.path());

        let submitter = fixture.start(empty.path()).await;
        let error = submitter.submit(fixture.weights().await).await.unwrap_err();
        assert!(
            matches!(error, SubmitError::AlreadySubmitted { netuid: NETUID, .. }),
            "{name}: {error}"
        );
        assert_eq!(fixture.submissions_since(start_block).await, 1, "{name}");
        submitter.close().await.unwrap();

        if name == "hash" {
            fixture.node.mine_to_epoch(NETUID.0).await.unwrap();
            let submitter = fixture.start(directory.path()).await;
            fixture.finish(&submitter, &key).await;
            submitter.close().await.unwrap();
            let submitter = fixture.start(committed.path()).await;
            let error = submitter.advance().await.unwrap().remove(0).1.unwrap_err();
            assert!(matches!(error, SubmitError::NotCommitted { netuid: NETUID, .. }), "{error}");
            submitter.close().await.unwrap();
        }
        fixture.enter_next_epoch().await;
        let start_block = fixture.head().await;
        let submitter = fixture.start(empty.path()).await;
        submitter.submit(fixture.weights().await).await.unwrap();
        assert_eq!(fixture.submissions_since(start_block).await, 1, "{name}");
        submitter.close().await.unwrap();
    }
    fixture.node.stop().await;
}

/// Weights that are in the pool, but not in the restored ledger, are waited for.
#[tokio::test(flavor = "multi_thread")]
async fn restored_ledger_waits_for_extrinsics_in_the_pool() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    fixture.enter_next_epoch().await;
    let weights = fixture.weights().await;
    let call = calls::set_mechanism_weights(NETUID, MechId(0), &weights.weights, 0);
    let lease = fixture.chain.lease_nonce(fixture.hotkey.hotkey().into()).await.unwrap();
    let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
    let extrinsic = fixture.chain.sign(&call, &fixture.hotkey, options).await.unwrap();
    drop(lease);
    let start_block = fixture.head().await;
    let submitter = fixture.start(directory.path()).await;
    let chain = Arc::clone(&fixture.chain);
    let pool_submission =
        tokio::spawn(async move { chain.submit(&extrinsic, Follow::default()).await });
    while fixture.chain.lease_nonce(fixture.hotkey.hotkey().into()).await.unwrap().nonce()
        == options.nonce
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let submission = submitter.submit(weights.clone()).await;
    let outcome = pool_submission.await.unwrap();
    assert!(outcome.is_success(), "{outcome:?}");
    // Depending on when the block is made, the submission finds the weights in the pool or in the
    // block.
    if let Ok(submission) = submission {
        assert_eq!(submission.submit, None);
    }
    let error = submitter.submit(weights).await.unwrap_err();
    assert!(matches!(error, SubmitError::AlreadySubmitted { .. }), "{error}");
    assert_eq!(fixture.submissions_since(start_block).await, 1);
    fixture.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_submissions_of_64_tasks_send_one_extrinsic() {
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    fixture.enter_next_epoch().await;
    let (start_block, weights) = (fixture.head().await, fixture.weights().await);
    let submitter = Arc::new(fixture.start(directory.path()).await);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (submitter, weights) = (Arc::clone(&submitter), weights.clone());
            tokio::spawn(async move { submitter.submit(weights).await.unwrap() })
        })
        .collect();
    let mut hashes = BTreeSet::new();
    for task in tasks {
        let submission = task.await.unwrap();
        assert_eq!(submission.intent.state, IntentState::Done, "every block is final immediately");
        hashes.insert(submission.submit.unwrap().extrinsic.hash);
    }
    assert_eq!((hashes.len(), fixture.submissions_since(start_block).await), (1, 1));
    fixture.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_any_two_steps_neither_loses_nor_repeats_weights() {
    use StepProgress::{
        ExtrinsicStored, IntentStored, OutcomeStored, ResponseReceived, Sending, Signed,
    };
    let (fixture, directory) = (Fixture::new().await, tempfile::tempdir().unwrap());
    for progress in
        [IntentStored, Signed, ExtrinsicStored, Sending, ResponseReceived, OutcomeStored]
    {
        fixture.enter_next_epoch().await;
        let (start_block, weights) = (fixture.head().await, fixture.weights().await);
        let crash = Arc::new(move |_: &IntentKey, step, current| {
            if (step, current) == (Step::Submit, progress) {
                resume_unwind(Box::new("ended"));
            }
        });
        let submitter = fixture.start(directory.path()).await.with_observer(crash);
        let ended = tokio::spawn(async move { submitter.submit(weights).await.map(drop) }).await;
        assert!(ended.is_err_and(|error| error.is_panic()), "{progress:?}");
        let submitter = fixture.start(directory.path()).await;
        let key = submitter.submit(fixture.weights().await).await.unwrap().intent.plan.key;
        fixture.finish(&submitter, &key).await;
        assert_eq!(fixture.submissions_since(start_block).await, 1, "{progress:?}");
        submitter.close().await.unwrap();
    }
    fixture.node.stop().await;
}
