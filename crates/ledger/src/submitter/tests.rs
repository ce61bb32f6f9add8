use std::panic::resume_unwind;
use std::path::Path;

use taonet_chain::testing::{MockChain, Script};
use taonet_chain::{CommitReveal, DispatchError, Follow, Outcome, RefusedBecause, Schedule, SignOptions, WeightRules};
use tempfile::TempDir;

use super::*;
use crate::State;

const NETUID: NetUid = NetUid(59);
const MECH: MechId = MechId(0);
const TEMPO: u16 = 100;

/// A ledger's directory and a chain, which live on when a process ends.
struct World {
    directory: TempDir,
    chain: MockChain,
    rules: WeightRules,
}

impl World {
    fn new(commit_reveal: Option<CommitReveal>) -> Self {
        let schedule = Schedule { tempo: TEMPO, last_epoch: BlockNumber::new(0), pending_epoch: None, epoch_index: 7 };
        let rules = WeightRules {
            neurons: 9,
            min_allowed_weights: 1,
            max_weights_limit: u16::MAX,
            version_key: 3,
            rate_limit_blocks: 100,
            commit_reveal,
            mechanisms: 1,
            schedule,
        };
        let chain = MockChain::default();
        chain.set_weight_rules(NETUID, rules.clone());
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
        let clock: Clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_650_000));
        Submitter::new(ledger, Arc::new(self.chain.clone()), alice).await.unwrap().with_clock(clock)
    }

    /// Ends as a killed process does: what comes after that moment of a step is not done.
    async fn crash(&self, step: Step, at: Moment, weights: Option<NewWeights>) {
        let submitter = self.start().await.with_observer(Arc::new(move |_, now, moment| {
            if (now, moment) == (step, at) {
                resume_unwind(Box::new("killed"));
            }
        }));
        let run = async move {
            match weights {
                Some(weights) => submitter.submit(weights).await.map(drop),
                None => submitter.advance().await.map(drop),
            }
        };
        let ended = tokio::spawn(run).await;
        assert!(ended.is_err_and(|error| error.is_panic()), "it came past {step:?} {at:?}");
    }

    /// The next epoch begins with the next block.
    async fn next_epoch(&mut self) {
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

    /// The names of the calls that reached the pool.
    fn calls(&self) -> Vec<String> {
        self.chain.submitted().iter().map(|one| one.call.as_ref().unwrap().name().to_owned()).collect()
    }
}

/// The only open intent, after everything due was done.
async fn advance(submitter: &Submitter) -> Submission {
    let mut all = submitter.advance().await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0).1.unwrap()
}

fn submit_state(submission: &Submission) -> Option<State> {
    submission.submit.as_ref().map(|signed| signed.state)
}

fn rate_limit() -> RefusedBecause {
    RefusedBecause::custom(6)
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
    let world = World::plain();
    let submitter = world.start().await;
    let submission = submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(submit_state(&submission), Some(State::Finalized));
    assert!(submission.is_done());
    assert_eq!(world.calls(), ["set_mechanism_weights"]);
    assert!(submitter.advance().await.unwrap().is_empty());
    // Other weights for the same epoch change nothing.
    let other = NewWeights { weights: vec![(Uid(5), 1)], ..world.weights().await };
    assert_eq!(submitter.submit(other).await.unwrap(), submission);
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test]
async fn the_subnets_setting_chooses_the_call() {
    let timelocked = World::new(Some(CommitReveal { version: 4, period_epochs: 1 }));
    for (world, call, done) in [
        (World::plain(), "set_mechanism_weights", true),
        (World::by_hash(), "commit_mechanism_weights", false),
        (timelocked, "commit_timelocked_mechanism_weights", true),
    ] {
        let submission = world.start().await.submit(world.weights().await).await.unwrap();
        assert_eq!((world.calls(), submission.is_done()), (vec![call.to_owned()], done));
    }
}

#[tokio::test]
async fn each_epoch_and_mechanism_has_its_own() {
    let mut world = World::plain();
    let submitter = world.start().await;
    submitter.submit(world.weights().await).await.unwrap();
    let other = NewWeights { mech: MechId(1), ..world.weights().await };
    submitter.submit(other).await.unwrap();
    world.next_epoch().await;
    submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(world.chain.included().len(), 3);
    // The epoch that is due in the next block is the one that the weights land in.
    world.chain.mine(u32::from(TEMPO) - 2);
    let submission = submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(submission.intent.plan.key.epoch, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_only_one_submits() {
    let world = World::plain();
    let submitter = Arc::new(world.start().await);
    let weights = world.weights().await;
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
    assert_eq!((hashes.len(), world.chain.submitted().len(), world.chain.included().len()), (1, 1, 1));
}

#[tokio::test]
async fn bytes_whose_fate_is_unknown_are_sent_again() {
    for script in [Script::LoseRequest, Script::LoseAnswer, Script::Drop] {
        let world = World::plain();
        let submitter = world.start().await;
        world.chain.script([script.clone()]);
        let first = submitter.submit(world.weights().await).await.unwrap();
        assert!(submit_state(&first).is_some_and(State::is_pending), "{script:?}");
        drop(submitter);
        let second = advance(&world.start().await).await;
        assert!(second.is_done(), "{script:?}");
        assert_eq!(first.submit.unwrap().extrinsic, second.submit.unwrap().extrinsic);
        assert_eq!(world.chain.included().len(), 1, "{script:?}");
    }
}

#[tokio::test]
async fn without_a_chain_nothing_is_known_and_nothing_signed() {
    let world = World::plain();
    let submitter = world.start().await;
    let weights = world.weights().await;
    world.chain.set_unreachable(true);
    let error = submitter.submit(weights.clone()).await.unwrap_err();
    assert!(matches!(error, SubmitError::Chain(_)) && error.is_retryable());
    world.chain.set_unreachable(false);
    assert!(submitter.submit(weights).await.unwrap().is_done());
}

#[tokio::test]
async fn a_block_that_is_undone_is_noticed() {
    let world = World::plain();
    world.chain.set_finality_lag(3);
    let submitter = world.start().await;
    let submission = submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(submit_state(&submission), Some(State::Included));
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Included));
    // Without an answer what was known stays known.
    world.chain.set_unreachable(true);
    assert!(matches!(submitter.advance().await.unwrap().remove(0).1, Err(SubmitError::Chain(_))));
    world.chain.set_unreachable(false);
    world.chain.mine(3);
    assert!(advance(&submitter).await.is_done());
}

#[tokio::test]
async fn what_expired_is_signed_anew_in_its_epoch_only() {
    let mut world = World::plain();
    // An era of eight blocks.
    world.chain.mine(u32::from(TEMPO) - 12);
    world.chain.script([Script::LoseRequest]);
    let submitter = world.start().await;
    let lost = submitter.submit(world.weights().await).await.unwrap();
    world.next_epoch().await;
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Unknown), "its era is not over");
    assert_eq!(world.calls().len(), 0, "nothing of a past epoch is sent again");
    world.chain.mine(8);
    let missed = advance(&submitter).await;
    assert_eq!((submit_state(&missed), missed.intent.state), (Some(State::Expired), IntentState::Missed));
    assert!(submitter.advance().await.unwrap().is_empty());
    assert!(world.chain.included().is_empty());

    // The same with the epoch going on.
    let mut world = World::plain();
    world.chain.mine(u32::from(TEMPO) - 12);
    world.chain.script([Script::LoseRequest]);
    let submitter = world.start().await;
    assert_eq!(lost.intent.plan.key.epoch, 7);
    submitter.submit(world.weights().await).await.unwrap();
    world.rules.schedule.last_epoch = world.chain.head().await.unwrap().number;
    world.chain.set_weight_rules(NETUID, world.rules.clone());
    world.chain.mine(8);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Expired));
    assert!(advance(&submitter).await.is_done());
    assert_eq!(world.chain.included().len(), 1);
}

#[tokio::test]
async fn another_extrinsic_with_the_nonce_is_overcome() {
    let world = World::plain();
    world.chain.script([Script::LoseRequest]);
    let submitter = world.start().await;
    submitter.submit(world.weights().await).await.unwrap();
    drop(submitter);
    // Another program of the same hotkey.
    let alice = Keypair::from_uri("//Alice").unwrap();
    let call = taonet_chain::calls::set_mechanism_weights(NetUid(1), MECH, &[], 0);
    let other = world.chain.sign(&call, &alice, SignOptions::default()).await.unwrap();
    assert!(world.chain.submit(&other, Follow::default()).await.is_success());
    let submitter = world.start().await;
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Superseded));
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(world.chain.included().len(), 2);
    assert_eq!(submitter.ledger().extrinsics(&done.intent, Step::Submit).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_final_until_a_retry() {
    let world = World::plain();
    let submitter = world.start().await;
    world.chain.script([Script::Refuse(rate_limit()), Script::Refuse(rate_limit())]);
    let refused = submitter.submit(world.weights().await).await.unwrap();
    let key = refused.intent.plan.key;
    let unknown = IntentKey { epoch: 6, ..key };
    assert!(matches!(submitter.retry(&unknown).await, Err(SubmitError::NothingToRetry(6))));
    let outcome = |submission: &Submission| submission.submit.as_ref().and_then(|signed| signed.outcome.clone());
    assert_eq!(outcome(&refused), Some(Outcome::Invalid(rate_limit())));
    // Neither of these signs or sends anything.
    assert_eq!(outcome(&submitter.submit(world.weights().await).await.unwrap()), outcome(&refused));
    assert_eq!(outcome(&advance(&submitter).await), outcome(&refused));
    assert_eq!(world.calls().len(), 1);

    let again = submitter.retry(&key).await.unwrap();
    assert_eq!(submit_state(&again), Some(State::Invalid));
    let nonces: Vec<_> = world.chain.submitted().iter().map(|one| one.extrinsic.nonce).collect();
    assert_eq!(nonces, [0, 0], "at most one of the two can ever be in a block");
    assert!(submitter.retry(&key).await.unwrap().is_done());
    assert_eq!(submitter.retry(&key).await.unwrap(), submitter.submit(world.weights().await).await.unwrap());
    assert_eq!(world.chain.included().len(), 1);
}

#[tokio::test]
async fn refused_bytes_that_might_still_land_are_waited_for() {
    let world = World::plain();
    let submitter = world.start().await;
    world.chain.script([Script::Refuse(rate_limit())]);
    let submission = submitter.submit(world.weights().await).await.unwrap();
    let (key, refused) = (submission.intent.plan.key, submission.submit.unwrap());
    // A pool had taken them after all.
    assert!(world.chain.submit(&refused.extrinsic, Follow::default()).await.is_success());
    let error = submitter.retry(&key).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unsettled { state: State::Invalid, .. }), "{error}");
    assert!(error.to_string().contains("up to block"), "{error}");
    world.chain.mine(128);
    assert!(advance(&submitter).await.is_done());
    assert_eq!(world.chain.included().len(), 1);
}

#[tokio::test]
async fn a_call_that_fails_in_a_block_is_signed_again_once_the_block_is_final() {
    let world = World::plain();
    world.chain.set_finality_lag(2);
    let submitter = world.start().await;
    world.chain.script([Script::Fail(too_fast())]);
    let failed = submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(submit_state(&failed), Some(State::Included));
    let key = failed.intent.plan.key;
    assert!(matches!(submitter.retry(&key).await, Err(SubmitError::Unsettled { state: State::Included, .. })));
    world.chain.mine(2);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Failed));
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Failed));
    let again = submitter.retry(&key).await.unwrap();
    assert_eq!(submit_state(&again), Some(State::Included));
    world.chain.mine(2);
    assert!(advance(&submitter).await.is_done());
    assert_eq!(world.chain.included().len(), 2);
}

#[tokio::test]
async fn a_commit_by_hash_is_revealed_after_a_restart_in_its_epoch() {
    let mut world = World::by_hash();
    let submitter = world.start().await;
    let commit = submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(commit.intent.commit_epoch, Some(7));
    assert_eq!(advance(&submitter).await.reveal, None, "too early");
    submitter.close().await.unwrap();
    world.next_epoch().await;
    let submitter = world.start().await;
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(world.calls(), ["commit_mechanism_weights", "reveal_mechanism_weights"]);
    let expected = crate::form::reveal_call(&commit.intent.plan);
    assert_eq!(world.chain.submitted().last().unwrap().call, expected, "with the stored salt and weights");
    assert!(submitter.advance().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_reveal_whose_epoch_is_over_is_missed() {
    let mut world = World::by_hash();
    let submitter = world.start().await;
    submitter.submit(world.weights().await).await.unwrap();
    world.next_epoch().await;
    world.next_epoch().await;
    let missed = advance(&submitter).await;
    assert_eq!((missed.reveal, missed.intent.state), (None, IntentState::Missed));
    assert_eq!(world.calls(), ["commit_mechanism_weights"]);
}

#[tokio::test]
async fn a_refused_reveal_can_be_retried_in_its_epoch() {
    let mut world = World::by_hash();
    let submitter = world.start().await;
    let commit = submitter.submit(world.weights().await).await.unwrap();
    world.next_epoch().await;
    world.chain.script([Script::Refuse(RefusedBecause::custom(17))]);
    assert_eq!(advance(&submitter).await.reveal.unwrap().state, State::Invalid);
    assert_eq!(advance(&submitter).await.reveal.unwrap().state, State::Invalid);
    let done = submitter.retry(&commit.intent.plan.key).await.unwrap();
    assert!(done.is_done());
    assert_eq!(world.calls().len(), 3);
}

#[tokio::test]
async fn the_first_weights_after_a_start_are_fresh() {
    let mut world = World::plain();
    world.chain.mine(200);
    world.next_epoch().await;
    let head = world.chain.head().await.unwrap().number;
    let weights = world.weights().await;
    let of = |age| NewWeights { state_block: head.minus(age), ..weights.clone() };
    let submitter = world.start().await;
    let error = submitter.submit(of(101)).await.unwrap_err();
    assert!(matches!(error, SubmitError::StaleState { age: 101, tempo: TEMPO, .. }), "{error}");
    // Nothing was written for them: fresh ones take the epoch.
    assert!(submitter.submit(of(100)).await.unwrap().is_done());
    world.next_epoch().await;
    assert!(submitter.submit(of(190)).await.unwrap().is_done(), "later ones may follow from the same state");
}

#[tokio::test]
async fn weights_that_cannot_be_meant_are_refused() {
    let mut world = World::plain();
    let submitter = world.start().await;
    let old = NewWeights { version_key: 2, ..world.weights().await };
    assert!(matches!(submitter.submit(old).await, Err(SubmitError::VersionKey { wanted: 3, given: 2, .. })));
    let unknown = NewWeights { netuid: NetUid(60), ..world.weights().await };
    assert!(matches!(submitter.submit(unknown).await, Err(SubmitError::Chain(ChainError::NoSuchSubnet(NetUid(60))))));
    world.rules.schedule.tempo = 0;
    world.chain.set_weight_rules(NETUID, world.rules.clone());
    assert!(matches!(submitter.submit(world.weights().await).await, Err(SubmitError::NoEpochs(NETUID))));
    assert!(submitter.advance().await.unwrap().is_empty());
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_chain_that_was_begun_anew_is_not_taken_for_the_old_one() {
    let mut world = World::plain();
    world.start().await.submit(world.weights().await).await.unwrap();
    world.chain = MockChain::default();
    world.chain.set_weight_rules(NETUID, world.rules.clone());
    let error = world.start().await.submit(world.weights().await).await.unwrap_err();
    assert!(matches!(error, SubmitError::AnotherChain(_)), "{error}");
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let world = World::plain();
    let _first = world.start().await;
    let error = Ledger::open(world.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("another process is using the weight ledger in "), "{error}");
}

#[tokio::test]
async fn an_end_at_any_moment_loses_and_doubles_nothing() {
    use Moment::{Answered, Intended, Recorded, Sending, Signed, Stored};
    for moment in [Intended, Signed, Stored, Sending, Answered, Recorded] {
        let world = World::plain();
        world.crash(Step::Submit, moment, Some(world.weights().await)).await;
        let was_sent = matches!(moment, Answered | Recorded);
        assert_eq!(world.calls().len(), usize::from(was_sent), "{moment:?}");
        let submitter = world.start().await;
        let done = match submitter.advance().await.unwrap().pop() {
            Some((_, submission)) => submission.unwrap(),
            None => submitter.submit(world.weights().await).await.unwrap(),
        };
        assert!(done.is_done(), "{moment:?}");
        assert_eq!(world.chain.included().len(), 1, "{moment:?}");
        assert_eq!(submitter.ledger().extrinsics(&done.intent, Step::Submit).await.unwrap().len(), 1, "{moment:?}");
    }
}

#[tokio::test]
async fn an_end_at_any_moment_of_a_reveal_loses_and_doubles_nothing() {
    use Moment::{Answered, Recorded, Sending, Signed, Stored};
    for moment in [Signed, Stored, Sending, Answered, Recorded] {
        let mut world = World::by_hash();
        world.start().await.submit(world.weights().await).await.unwrap();
        world.next_epoch().await;
        world.crash(Step::Reveal, moment, None).await;
        let submitter = world.start().await;
        assert!(advance(&submitter).await.is_done(), "{moment:?}");
        assert_eq!(world.chain.included().len(), 2, "{moment:?}");
    }
}

#[tokio::test]
async fn an_intent_without_a_signature_takes_newer_weights() {
    let world = World::plain();
    world.crash(Step::Submit, Moment::Intended, Some(world.weights().await)).await;
    let newer = NewWeights { weights: vec![(Uid(8), 5)], ..world.weights().await };
    let done = world.start().await.submit(newer.clone()).await.unwrap();
    assert_eq!(done.intent.plan.weights, newer.weights);
    assert_eq!(done.intent.id, 1);
}

#[tokio::test]
async fn what_was_signed_and_never_sent_is_withdrawn_with_its_epoch() {
    let mut world = World::plain();
    world.crash(Step::Submit, Moment::Stored, Some(world.weights().await)).await;
    world.next_epoch().await;
    let missed = advance(&world.start().await).await;
    assert_eq!((submit_state(&missed), missed.intent.state), (Some(State::Withdrawn), IntentState::Missed));
    assert!(world.calls().is_empty());
}

#[tokio::test]
async fn timelocked_bytes_are_not_encrypted_again() {
    let world = World::new(Some(CommitReveal { version: 4, period_epochs: 1 }));
    world.crash(Step::Submit, Moment::Answered, Some(world.weights().await)).await;
    assert!(advance(&world.start().await).await.is_done());
    let sent = world.chain.submitted();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
}
