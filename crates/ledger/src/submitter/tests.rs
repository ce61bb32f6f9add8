use std::panic::resume_unwind;
use std::path::Path;

use taonet_chain::testing::{MockChain, Script, weight_rules};
use taonet_chain::{
    CommitReveal, DispatchError, Follow, Outcome, RefusalReason, SignOptions, WeightRules,
};
use tempfile::TempDir;

use super::*;

mod copies;
mod epochs;
mod forks;
mod outcomes;
mod reader;
mod restarts;
mod upgrades;

const NETUID: NetUid = NetUid(59);
const MECH: MechId = MechId(0);
const TEMPO: u16 = 100;
/// The time of the chain and of the local clock, in seconds since the Unix epoch.
const TIME: u64 = 1_763_650_000;

/// A chain and a ledger's directory, which outlive the submitter.
struct Fixture {
    directory: TempDir,
    chain: MockChain,
    rules: WeightRules,
}

impl Fixture {
    fn new(commit_reveal: Option<CommitReveal>) -> Self {
        let rules = WeightRules { version_key: 3, ..weight_rules(TEMPO, commit_reveal) };
        let chain = MockChain::default();
        chain.set_weight_rules(NETUID, rules.clone());
        chain.set_time(Duration::from_secs(TIME));
        chain.mine(10);
        Self { directory: tempfile::tempdir().unwrap(), chain, rules }
    }

    fn plain() -> Self {
        Self::new(None)
    }

    fn by_hash() -> Self {
        Self::new(Some(CommitReveal { version: 2, period_epochs: 1 }))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn start(&self) -> Submitter {
        let ledger = Ledger::open(self.path()).await.unwrap();
        let alice = Keypair::from_uri("//Alice").unwrap();
        let clock: Clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(TIME));
        Submitter::new(ledger, Arc::new(self.chain.clone()), alice).await.unwrap().with_clock(clock)
    }

    /// Closes a submitter and starts a new one on the same ledger.
    async fn start_again(&self, before: Submitter) -> Submitter {
        before.close().await.unwrap();
        self.start().await
    }

    /// Simulates a killed process: nothing after this moment of the step is executed.
    async fn crash(&self, step: Step, crash_at: StepProgress, weights: Option<NewWeights>) {
        let submitter =
            self.start().await.with_observer(Arc::new(move |_, current_step, progress| {
                if (current_step, progress) == (step, crash_at) {
                    resume_unwind(Box::new("killed"));
                }
            }));
        let run = async move {
            match weights {
                Some(weights) => submitter.submit(weights).await.map(drop),
                None => submitter.advance().await.map(drop),
            }
        };
        let result = tokio::spawn(run).await;
        assert!(
            result.is_err_and(|error| error.is_panic()),
            "the process survived {step:?} {crash_at:?}"
        );
    }

    /// Begins the next epoch with a new block.
    async fn enter_next_epoch(&mut self) {
        self.chain.mine(1);
        self.rules.schedule.last_epoch = self.chain.head().await.unwrap().number;
        self.rules.schedule.epoch_index += 1;
        self.chain.set_weight_rules(NETUID, self.rules.clone());
    }

    async fn weights(&self) -> NewWeights {
        NewWeights {
            netuid: NETUID,
            mech: MECH,
            weights: vec![(Uid(1), 65_535), (Uid(2), 7)],
            version_key: 3,
            state_block: self.chain.head().await.unwrap().number,
        }
    }

    /// Returns the names of the calls that reached the pool.
    fn calls(&self) -> Vec<String> {
        self.chain
            .submitted()
            .iter()
            .map(|one| one.call.as_ref().unwrap().name().to_owned())
            .collect()
    }
}

/// Advances and returns the only open intent's submission.
async fn advance(submitter: &Submitter) -> Submission {
    let mut all = submitter.advance().await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0).1.unwrap()
}

fn submit_state(submission: &Submission) -> Option<State> {
    submission.submit.as_ref().map(|signed| signed.state)
}

fn rate_limit() -> RefusalReason {
    RefusalReason::custom(6)
}

fn too_fast() -> DispatchError {
    DispatchError::Module {
        pallet: "SubtensorModule".into(),
        name: "SettingWeightsTooFast".into(),
        docs: String::new(),
    }
}

#[tokio::test]
async fn weights_are_submitted_and_become_final() {
    let fixture = Fixture::plain();
    let submitter = fixture.start().await;
    let submission = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(submit_state(&submission), Some(State::Finalized));
    assert!(submission.is_done());
    assert_eq!(fixture.calls(), ["set_mechanism_weights"]);
    assert!(submitter.advance().await.unwrap().is_empty());
    // Other weights for the same epoch have no effect.
    let other = NewWeights { weights: vec![(Uid(5), 1)], ..fixture.weights().await };
    assert_eq!(submitter.submit(other).await.unwrap(), submission);
    assert_eq!(fixture.calls().len(), 1);
}

#[tokio::test]
async fn commit_reveal_setting_selects_the_call() {
    let timelocked = Fixture::new(Some(CommitReveal { version: 4, period_epochs: 1 }));
    for (fixture, call, done) in [
        (Fixture::plain(), "set_mechanism_weights", true),
        (Fixture::by_hash(), "commit_mechanism_weights", false),
        (timelocked, "commit_timelocked_mechanism_weights", true),
    ] {
        let submission = fixture.start().await.submit(fixture.weights().await).await.unwrap();
        assert_eq!((fixture.calls(), submission.is_done()), (vec![call.to_owned()], done));
    }
}

#[tokio::test]
async fn each_epoch_and_mechanism_has_its_own_submission() {
    let mut fixture = Fixture::plain();
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    let other = NewWeights { mech: MechId(1), ..fixture.weights().await };
    submitter.submit(other).await.unwrap();
    fixture.enter_next_epoch().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(fixture.chain.included().len(), 3);
    // The weights are included in the epoch that is due in the next block.
    fixture.chain.mine(u32::from(TEMPO) - 2);
    let submission = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(submission.intent.plan.key.epoch, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_submissions_send_one_extrinsic() {
    let fixture = Fixture::plain();
    let submitter = Arc::new(fixture.start().await);
    let weights = fixture.weights().await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (submitter, weights) = (Arc::clone(&submitter), weights.clone());
            tokio::spawn(async move { submitter.submit(weights).await.unwrap() })
        })
        .collect();
    let mut hashes = Vec::new();
    for task in tasks {
        hashes.push(task.await.unwrap().submit.unwrap().extrinsic.hash);
    }
    hashes.dedup();
    assert_eq!(
        (hashes.len(), fixture.chain.submitted().len(), fixture.chain.included().len()),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn weights_that_violate_chain_rules_are_refused() {
    let mut fixture = Fixture::plain();
    let submitter = fixture.start().await;
    let old = NewWeights { version_key: 2, ..fixture.weights().await };
    assert!(matches!(
        submitter.submit(old).await,
        Err(SubmitError::VersionKey { required: 3, actual: 2, .. })
    ));
    let unknown = NewWeights { netuid: NetUid(60), ..fixture.weights().await };
    assert!(matches!(
        submitter.submit(unknown).await,
        Err(SubmitError::Chain(ChainError::NoSuchSubnet(NetUid(60))))
    ));
    fixture.rules.min_allowed_weights = 3;
    fixture.chain.set_weight_rules(NETUID, fixture.rules.clone());
    assert!(matches!(
        submitter.submit(fixture.weights().await).await,
        Err(SubmitError::Limits { .. })
    ));
    fixture.rules.schedule.tempo = 0;
    fixture.chain.set_weight_rules(NETUID, fixture.rules.clone());
    assert!(matches!(
        submitter.submit(fixture.weights().await).await,
        Err(SubmitError::NoEpochs(NETUID))
    ));
    assert!(submitter.advance().await.unwrap().is_empty());
    assert!(fixture.calls().is_empty());
}

#[tokio::test]
async fn restarted_chain_is_rejected_as_another_chain() {
    let mut fixture = Fixture::plain();
    fixture.start().await.submit(fixture.weights().await).await.unwrap();
    fixture.chain = MockChain::default();
    fixture.chain.set_weight_rules(NETUID, fixture.rules.clone());
    let error = fixture.start().await.submit(fixture.weights().await).await.unwrap_err();
    assert!(matches!(error, SubmitError::AnotherChain(_)), "{error}");
    assert!(fixture.calls().is_empty());
}

#[tokio::test]
async fn ledger_open_in_another_process_is_refused() {
    let fixture = Fixture::plain();
    let _first = fixture.start().await;
    let error = Ledger::open(fixture.path()).await.unwrap_err();
    assert!(
        error.to_string().starts_with("another process is using the weight ledger in "),
        "{error}"
    );
}
