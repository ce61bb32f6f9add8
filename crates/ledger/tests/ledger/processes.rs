//! Tests with killed and concurrent processes. The chain stays in the test process, the ledger in a
//! file, and each process is this program run as a subprocess.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod child;
mod remote;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use child::{ChildResult, Task};
use remote::Server;
use taonet_chain::testing::{MockChain, weight_rules};
use taonet_chain::{Chain as _, CommitReveal, WeightRules};
use taonet_ledger::{IntentState, Ledger, Step, StepProgress};
use taonet_primitives::{BlockNumber, NetUid};
use tempfile::TempDir;

const NETUID: NetUid = NetUid(59);
const KILL: i32 = 9;

/// A chain and the directory of a ledger, which outlive the subprocesses.
struct Fixture {
    chain: MockChain,
    rules: WeightRules,
    server: Server,
    directory: TempDir,
}

impl Fixture {
    async fn new(commit_reveal: Option<CommitReveal>) -> Self {
        let rules = weight_rules(100, commit_reveal);
        let chain = MockChain::default();
        chain.set_weight_rules(NETUID, rules.clone());
        chain.mine(10);
        let server = Server::start(chain.clone()).await;
        Self { chain, rules, server, directory: tempfile::tempdir().unwrap() }
    }

    /// Begins the next epoch with a new block.
    async fn enter_next_epoch(&mut self) {
        self.chain.mine(1);
        self.rules.schedule.last_epoch = self.chain.head().await.unwrap().number;
        self.rules.schedule.epoch_index += 1;
        self.chain.set_weight_rules(NETUID, self.rules.clone());
    }

    fn task(&self, tasks: usize, kill: Option<(Step, StepProgress)>) -> Task {
        Task { port: self.server.port(), directory: self.path().to_owned(), tasks, kill }
    }

    /// Runs a process until it exits.
    async fn run(&self, tasks: usize) -> ChildResult {
        let (status, result) = child::run(&self.task(tasks, None)).await;
        assert!(status.success(), "{status}");
        result.unwrap()
    }

    /// Runs a process until it is killed.
    async fn run_until(&self, step: Step, progress: StepProgress) {
        let (status, result) = child::run(&self.task(1, Some((step, progress)))).await;
        assert_eq!((status.signal(), result), (Some(KILL), None), "at {step:?} {progress:?}");
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Reads the ledger while no process has it open: the state of its only intent, and the number
    /// of extrinsics for each step.
    async fn ledger(&self) -> (IntentState, usize, usize) {
        let ledger = Ledger::open(self.path()).await.unwrap();
        let genesis = self.chain.block_hash(BlockNumber::new(0)).await.unwrap().unwrap();
        let intents = ledger.intents(genesis, &child::hotkey().hotkey(), false).await.unwrap();
        let [intent] = intents.as_slice() else { panic!("{} intents", intents.len()) };
        let submits = ledger.extrinsics(intent, Step::Submit).await.unwrap().len();
        let reveals = ledger.extrinsics(intent, Step::Reveal).await.unwrap().len();
        (intent.state, submits, reveals)
    }
}

/// Kills a process at each moment, then starts another.
async fn assert_survives_kills(commit_reveal: Option<CommitReveal>, expected: IntentState) {
    use StepProgress::{
        ExtrinsicStored, IntentStored, OutcomeStored, ResponseReceived, Sending, Signed,
    };
    for progress in
        [IntentStored, Signed, ExtrinsicStored, Sending, ResponseReceived, OutcomeStored]
    {
        let fixture = Fixture::new(commit_reveal).await;
        fixture.run_until(Step::Submit, progress).await;
        let sent = usize::from(matches!(progress, ResponseReceived | OutcomeStored));
        assert_eq!(fixture.chain.included().len(), sent, "{progress:?}");
        let result = fixture.run(1).await;
        assert_eq!(
            (fixture.chain.included().len(), result.extrinsics.len()),
            (1, 1),
            "{progress:?}"
        );
        assert_eq!(
            fixture.chain.included().first().map(|one| one.hash.to_string()),
            result.extrinsics.into_iter().next()
        );
        assert_eq!(fixture.ledger().await, (expected, 1, 0), "{progress:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_survive_a_kill_at_every_moment() {
    assert_survives_kills(None, IntentState::Done).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timelocked_weights_survive_a_kill_at_every_moment() {
    assert_survives_kills(Some(CommitReveal { version: 4, period_epochs: 1 }), IntentState::Done)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_survive_a_kill_at_every_moment() {
    assert_survives_kills(Some(CommitReveal { version: 2, period_epochs: 1 }), IntentState::Open)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reveals_survive_a_kill_at_every_moment() {
    use StepProgress::{ExtrinsicStored, OutcomeStored, ResponseReceived, Sending, Signed};
    for progress in [Signed, ExtrinsicStored, Sending, ResponseReceived, OutcomeStored] {
        let mut fixture = Fixture::new(Some(CommitReveal { version: 2, period_epochs: 1 })).await;
        fixture.run(1).await;
        fixture.enter_next_epoch().await;
        fixture.run_until(Step::Reveal, progress).await;
        let result = fixture.run(0).await;
        assert_eq!(result.extrinsics.len(), 0, "nothing new was submitted");
        assert_eq!(fixture.chain.included().len(), 2, "{progress:?}");
        assert_eq!(fixture.ledger().await, (IntentState::Done, 1, 1), "{progress:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_64_threads_each_submit_once() {
    let fixture = Fixture::new(None).await;
    let task = fixture.task(64, None);
    let (first, second) = tokio::join!(child::run(&task), child::run(&task));
    for (status, result) in [first, second] {
        assert!(status.success(), "{status}");
        assert_eq!(result.unwrap().extrinsics.len(), 1, "all tasks report the same extrinsic");
    }
    assert_eq!((fixture.chain.submitted().len(), fixture.chain.included().len()), (1, 1));
    assert_eq!(fixture.ledger().await, (IntentState::Done, 1, 0));
}
