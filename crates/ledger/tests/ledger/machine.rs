//! A model-based test with random sequences of submissions, retries, process kills, outcomes and
//! blocks. Nothing may be submitted twice, and in the end every outcome must be known.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use taonet_chain::testing::{MockChain, Script, weight_rules};
use taonet_chain::{Chain as _, CommitReveal, DispatchError, Outcome, RefusalReason, WeightRules};
use taonet_ledger::{
    IntentKey, IntentState, Ledger, NewWeights, State, Step, StepProgress, Submitter,
};
use taonet_primitives::{BlockNumber, ExtrinsicHash, MechId, NetUid, Uid};
use taonet_wallet::Keypair;
use tempfile::TempDir;

const NETUID: NetUid = NetUid(59);
const TEMPO: u16 = 40;

#[derive(Debug, Clone)]
enum Event {
    Submit,
    Advance,
    Retry,
    /// Kills the process at this moment of the next event, or after the event.
    KillAt(Step, StepProgress),
    Script(Script),
    MineBlocks(u32),
    /// Reverts some blocks; their extrinsics are included in the next one, or in none.
    Revert(u32, bool),
    NextEpoch,
    Unreachable(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let progress = prop::sample::select(vec![
        StepProgress::IntentStored,
        StepProgress::Signed,
        StepProgress::ExtrinsicStored,
        StepProgress::Sending,
        StepProgress::ResponseReceived,
        StepProgress::OutcomeStored,
    ]);
    let step = prop::sample::select(vec![Step::Submit, Step::Reveal]);
    let error = DispatchError::Other("no".into());
    let script = prop::sample::select(vec![
        Script::Include,
        Script::Fail(error),
        Script::Refuse(RefusalReason::custom(6)),
        Script::Drop,
        Script::LoseResponse,
        Script::LoseRequest,
    ]);
    prop_oneof![
        4 => Just(Event::Submit),
        4 => Just(Event::Advance),
        2 => Just(Event::Retry),
        3 => (step, progress).prop_map(|(step, progress)| Event::KillAt(step, progress)),
        4 => script.prop_map(Event::Script),
        3 => (1..12_u32).prop_map(Event::MineBlocks),
        2 => (1..5_u32, any::<bool>()).prop_map(|(blocks, is_kept)| Event::Revert(blocks, is_kept)),
        2 => Just(Event::NextEpoch),
        1 => any::<bool>().prop_map(Event::Unreachable),
    ]
}

struct SubmitterProcess {
    directory: TempDir,
    chain: MockChain,
    rules: WeightRules,
    submitter: Option<Arc<Submitter>>,
    /// The moment at which the observer kills the process.
    kill_at: Arc<Mutex<Option<(Step, StepProgress)>>>,
    last: Option<IntentKey>,
    unreachable: bool,
}

impl SubmitterProcess {
    fn new(commit_reveal: Option<CommitReveal>, finality_lag: u32) -> Self {
        let rules = weight_rules(TEMPO, commit_reveal);
        let chain = MockChain::default();
        chain.set_weight_rules(NETUID, rules.clone());
        chain.mine(5);
        chain.set_finality_lag(finality_lag);
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            chain,
            rules,
            submitter: None,
            kill_at: Arc::default(),
            last: None,
            unreachable: false,
        }
    }

    fn head(&self) -> BlockNumber {
        self.chain.heads().borrow().unwrap().number
    }

    /// Begins the next epoch with a new block.
    fn enter_next_epoch(&mut self) {
        self.chain.mine(1);
        self.rules.schedule.last_epoch = self.head();
        self.rules.schedule.epoch_index += 1;
        self.chain.set_weight_rules(NETUID, self.rules.clone());
    }

    /// Returns the running submitter; starts one if none is running and a node responds.
    async fn submitter(&mut self) -> Option<Arc<Submitter>> {
        if self.submitter.is_none() {
            let kill_at = Arc::clone(&self.kill_at);
            let observer = move |_: &IntentKey, step, progress| {
                if kill_at.lock().unwrap().take_if(|moment| *moment == (step, progress)).is_some() {
                    resume_unwind(Box::new("killed"));
                }
            };
            let ledger = Ledger::open(self.directory.path()).await.unwrap();
            let alice = Keypair::from_uri("//Alice").unwrap();
            let started = Submitter::new(ledger, Arc::new(self.chain.clone()), alice).await.ok()?;
            self.submitter = Some(Arc::new(started.with_observer(Arc::new(observer))));
        }
        self.submitter.clone()
    }

    fn set_unreachable(&mut self, unreachable: bool) {
        self.unreachable = unreachable;
        self.chain.set_unreachable(unreachable);
    }

    async fn apply_event(&mut self, event: Event) {
        match event {
            Event::KillAt(step, progress) => *self.kill_at.lock().unwrap() = Some((step, progress)),
            Event::Script(script) => self.chain.script([script]),
            Event::MineBlocks(blocks) => {
                self.chain.mine(blocks);
                // Epochs also begin without a trigger.
                if self.head().since(self.rules.schedule.last_epoch) >= u32::from(TEMPO) {
                    self.enter_next_epoch();
                }
            }
            Event::Revert(blocks, is_kept) => {
                self.chain.revert(blocks);
                if is_kept {
                    self.chain.include_reverted();
                }
            }
            Event::NextEpoch => self.enter_next_epoch(),
            Event::Unreachable(unreachable) => self.set_unreachable(unreachable),
            Event::Submit | Event::Advance | Event::Retry => {
                let Some(submitter) = self.submitter().await else { return };
                let (last, state_block) = (self.last, self.head());
                let done = tokio::spawn(async move {
                    let submission = match event {
                        Event::Retry => submitter.retry(&last?).await,
                        Event::Submit => submitter.submit(weights(state_block)).await,
                        _ => return submitter.advance().await.map(|_| None).unwrap(),
                    };
                    submission.ok().map(|submission| submission.intent.plan.key)
                })
                .await;
                match done {
                    Ok(key) => self.last = key.or(self.last),
                    // The process was killed.
                    Err(_) => self.submitter = None,
                }
            }
        }
    }

    /// Checks the invariants.
    async fn check(&mut self) -> Result<(), TestCaseError> {
        self.chain.set_unreachable(false);
        let result = self.compare().await;
        self.chain.set_unreachable(self.unreachable);
        result
    }

    /// Checks that the ledger agrees with the chain.
    async fn compare(&mut self) -> Result<(), TestCaseError> {
        let (chain, head) = (self.chain.clone(), self.head());
        let submitter = self.submitter().await.unwrap();
        let genesis = chain.block_hash(BlockNumber::new(0)).await.unwrap().unwrap();
        let hotkey = Keypair::from_uri("//Alice").unwrap().hotkey();
        let mut states = BTreeMap::<ExtrinsicHash, State>::new();
        for intent in submitter.ledger().intents(genesis, &hotkey, false).await.unwrap() {
            let mut effects = Vec::new();
            for step in [Step::Submit, Step::Reveal] {
                let extrinsics = submitter.ledger().extrinsics(&intent, step).await.unwrap();
                let mut effective = 0;
                for signed in &extrinsics {
                    let hash = signed.extrinsic.hash;
                    let outcome = chain.lookup(hash, BlockNumber::new(0), head).await.unwrap();
                    let succeeded = outcome.as_ref().is_some_and(Outcome::is_success);
                    effective += usize::from(succeeded);
                    if signed.state == State::Finalized {
                        prop_assert!(succeeded, "{} is not in the chain", hash);
                    }
                    if signed.state.is_void() {
                        prop_assert!(!succeeded, "{} counts as void", hash);
                    }
                    states.insert(hash, signed.state);
                }
                prop_assert!(
                    effective <= 1,
                    "{:?} of epoch {} happened {} times",
                    step,
                    intent.plan.key.epoch,
                    effective
                );
                effects.push(effective);
            }
            let is_by_hash = self.rules.commit_reveal.is_some();
            if intent.state == IntentState::Done {
                prop_assert_eq!(effects, [1, usize::from(is_by_hash)]);
            }
        }
        for submitted in chain.submitted() {
            prop_assert!(
                states.contains_key(&submitted.extrinsic.hash),
                "sent, but not in the ledger"
            );
        }
        Ok(())
    }

    /// Makes the chain reachable and mines blocks, after which no intent may stay open.
    async fn settle(&mut self) -> Result<(), TestCaseError> {
        self.set_unreachable(false);
        *self.kill_at.lock().unwrap() = None;
        for _ in 0..4 {
            self.apply_event(Event::MineBlocks(64)).await;
            self.enter_next_epoch();
            self.apply_event(Event::Advance).await;
            self.check().await?;
        }
        self.apply_event(Event::MineBlocks(200)).await;
        self.apply_event(Event::Advance).await;
        let open = self.submitter().await.unwrap().advance().await.unwrap();
        prop_assert!(open.is_empty(), "{:?}", open);
        self.check().await
    }
}

fn weights(state_block: BlockNumber) -> NewWeights {
    NewWeights {
        netuid: NETUID,
        mech: MechId(0),
        weights: vec![(Uid(1), 65_535)],
        version_key: 0,
        state_block,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_faults_neither_repeat_weights_nor_lose_their_state(
        events in prop::collection::vec(event(), 1..40),
        is_by_hash: bool,
        finality_lag in 0..4_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let commit_reveal = is_by_hash.then_some(CommitReveal { version: 2, period_epochs: 1 });
            let mut process = SubmitterProcess::new(commit_reveal, finality_lag);
            for event in events {
                process.apply_event(event).await;
                process.check().await?;
            }
            process.settle().await
        })?;
    }
}
