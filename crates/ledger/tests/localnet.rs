//! Tests of the ledger on the localnet.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use taonet_chain::{At, Call, Chain as _, Client, Event, Follow, calls};
use taonet_ledger::{IntentKey, IntentState, Ledger, Moment, NewWeights, Step, Submitter};
use taonet_localnet::{Clock, Node, NodeConfig, NodeHandle};
use taonet_primitives::{BlockNumber, MechId, NetUid, Rao, Uid};
use taonet_wallet::Keypair;

const NETUID: NetUid = NetUid(59);
/// The client's timeouts are fractions of the block time: with faster blocks, busy machines would exceed them.
const BLOCK: Duration = Duration::from_secs(1);

struct World {
    node: NodeHandle,
    chain: Arc<Client>,
    hotkey: Keypair,
}

impl World {
    /// Starts a chain on which the hotkey may set weights.
    async fn new() -> Self {
        let mut config = NodeConfig::new(taonet_localnet_runtime::genesis::genesis(&[]).unwrap());
        config.clock = Some(Clock::Every(BLOCK));
        let node = Node::start(config).await.unwrap();
        let chain = Arc::new(Client::connect(&node.url().parse().unwrap()).await.unwrap());
        let (alice, hotkey) = (Keypair::from_uri("//Alice").unwrap(), Keypair::from_uri("//Alice//validator").unwrap());
        let send = async |call: Call| {
            let outcome = chain.send(&call, &alice, Follow::default()).await.unwrap();
            assert!(outcome.is_success(), "{call:?}: {outcome:?}");
        };
        // Long enough for a loaded machine.
        let tempo = json!({ "call": { "AdminUtils": { "sudo_set_tempo": { "netuid": NETUID.0, "tempo": 200 } } } });
        send(chain.call("Sudo", "sudo", &tempo).await.unwrap()).await;
        send(calls::burned_register(NETUID, hotkey.hotkey())).await;
        send(calls::add_stake(hotkey.hotkey(), NETUID, Rao::new(1_000_000_000_000))).await;
        Self { node, chain, hotkey }
    }

    /// Advances until weights may be set: into a new epoch, after the rate limit.
    async fn next(&self) {
        let rules = self.chain.weight_rules(NETUID, At::Head).await.unwrap();
        self.node.mine(u32::try_from(rules.rate_limit_blocks).unwrap()).await.unwrap();
        self.node.mine_to_epoch(NETUID.0).await.unwrap();
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
        NewWeights { netuid: NETUID, mech: MechId(0), weights, version_key: 0, state_block: self.head().await }
    }

    /// Advances until the intent is done.
    async fn finish(&self, submitter: &Submitter, key: &IntentKey) {
        for _ in 0..100 {
            match submitter.ledger().intent(key).await.unwrap().unwrap().state {
                IntentState::Open => tokio::time::sleep(BLOCK).await,
                state => return assert_eq!(state, IntentState::Done),
            }
            for (_, submission) in submitter.advance().await.unwrap() {
                submission.unwrap();
            }
        }
        panic!("the intent for epoch {} stays open", key.epoch);
    }

    /// Returns the number of weight submissions included after a block.
    async fn times_since(&self, block: BlockNumber) -> usize {
        let mut times = 0;
        for number in block.plus(1).get()..=self.head().await.get() {
            let events = self.chain.events(BlockNumber::new(number).into()).await.unwrap();
            let is_ours = |event: &&Event| {
                event.is("SubtensorModule", "WeightsSet") || event.is("SubtensorModule", "TimelockedWeightsCommitted")
            };
            times += events.iter().filter(is_ours).count();
        }
        times
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_tasks_one_submits() {
    let (world, directory) = (World::new().await, tempfile::tempdir().unwrap());
    world.next().await;
    let (begin, weights) = (world.head().await, world.weights().await);
    let submitter = Arc::new(world.start(directory.path()).await);
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
    assert_eq!((hashes.len(), world.times_since(begin).await), (1, 1));
    world.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_between_any_two_steps_loses_and_doubles_nothing() {
    use Moment::{Answered, Intended, Recorded, Sending, Signed, Stored};
    let (world, directory) = (World::new().await, tempfile::tempdir().unwrap());
    for moment in [Intended, Signed, Stored, Sending, Answered, Recorded] {
        world.next().await;
        let (begin, weights) = (world.head().await, world.weights().await);
        let ends = Arc::new(move |_: &IntentKey, step, now| {
            if (step, now) == (Step::Submit, moment) {
                resume_unwind(Box::new("ended"));
            }
        });
        let submitter = world.start(directory.path()).await.with_observer(ends);
        let ended = tokio::spawn(async move { submitter.submit(weights).await.map(drop) }).await;
        assert!(ended.is_err_and(|error| error.is_panic()), "{moment:?}");
        let submitter = world.start(directory.path()).await;
        let key = submitter.submit(world.weights().await).await.unwrap().intent.plan.key;
        world.finish(&submitter, &key).await;
        assert_eq!(world.times_since(begin).await, 1, "{moment:?}");
        submitter.close().await.unwrap();
    }
    world.node.stop().await;
}
