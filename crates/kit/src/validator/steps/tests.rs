use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use axum::Router;
use taonet_chain::Neuron as ChainNeuron;
use taonet_ledger::{Ledger, Submitter};
use taonet_neuron::AddressPolicy;
use taonet_validator::LocalWeights;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::testing::{NETUID, SumRequest, chain, client, key, listen, neuron};
use crate::validator::Selection;

/// Number of validators that the tests have started.
static STARTS: AtomicU32 = AtomicU32::new(0);
/// Time of the tests' clock, in seconds since the Unix epoch.
const NOW: u64 = 1_000;

/// Behaviour of a challenge, which rewards each response with 1.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Works,
    /// Selects only the neurons with these uids.
    Selects(&'static [u16]),
    RequestFails,
    RewardsFail,
    RewardsHang,
}

impl Challenge for Behaviour {
    type Request = SumRequest;

    fn select(&self, eligible: Vec<Neuron>, selection: Selection) -> Vec<Neuron> {
        match self {
            Self::Selects(uids) => {
                eligible.into_iter().filter(|neuron| uids.contains(&neuron.uid.0)).collect()
            }
            _ => selection.choose(eligible),
        }
    }

    async fn request(&self, _: &[MinerEntry]) -> Result<SumRequest, BoxError> {
        if *self == Self::RequestFails {
            Err("no number left".into())
        } else {
            Ok(SumRequest::ONE_AND_TWO)
        }
    }

    async fn rewards(
        &self,
        _: &SumRequest,
        replies: &[Reply<SumRequest>],
    ) -> Result<Vec<f64>, BoxError> {
        match self {
            Self::RewardsFail => return Err("the calculator is broken".into()),
            Self::RewardsHang => std::future::pending().await,
            _ => {}
        }
        Ok(replies.iter().map(|reply| f64::from(u8::from(reply.response.is_ok()))).collect())
    }
}

/// The state of a validator.
struct Fixture {
    directory: TempDir,
    scores: Scores,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scores = Scores::open(&directory.path().join("scores.sqlite"), NETUID).await.unwrap();
        Self { directory, scores }
    }

    /// Returns the steps of a validator whose chain is at a block, and whose newest reward counts a
    /// half.
    async fn steps<C: Challenge>(
        &self,
        challenge: C,
        block: u32,
        neurons: Vec<ChainNeuron>,
    ) -> StepLoop<C> {
        let chain = Arc::new(chain(block, neurons));
        // Each start has its own ledger: a ledger is locked for some time after a stop.
        let number = STARTS.fetch_add(1, Ordering::Relaxed);
        let ledger =
            Ledger::open(&self.directory.path().join(format!("weights-{number}"))).await.unwrap();
        let submitter =
            Submitter::new(ledger, Arc::clone(&chain) as _, key("//validator")).await.unwrap();
        let settings = ValidatorSettings {
            alpha: 0.5,
            challenge_timeout: Duration::from_millis(200),
            ..ValidatorSettings::new(NETUID)
        };
        StepLoop {
            challenge,
            service: WeightService::Local(Arc::new(LocalWeights::new(chain, submitter))),
            client: client(key("//validator"), &[]),
            scores: self.scores.clone(),
            directory: MinerDirectory {
                own_hotkey: Some(key("//validator").hotkey()),
                ..MinerDirectory::new(AddressPolicy::private())
            },
            settings,
            clock: Arc::new(|| UNIX_EPOCH + Duration::from_secs(NOW)),
        }
    }

    /// Returns the scores of hotkeys; `None` for hotkeys without one.
    async fn scores_of<const N: usize>(&self, uris: [&str; N]) -> [Option<f64>; N] {
        let scores = self.scores.read().await.unwrap();
        uris.map(|uri| scores.get(&key(uri).hotkey()).copied())
    }
}

/// Serves a miner that gives the right response, and returns its port.
async fn serve_honest_miner() -> Option<u16> {
    Some(listen(Router::new().fallback(|| async { SumRequest::THREE })).await.port())
}

#[tokio::test]
async fn only_selected_neurons_and_non_miners_change_their_scores() {
    let (fixture, port) = (Fixture::new().await, serve_honest_miner().await);
    let all = ["//validator", "//miner", "//silent", "//other", "//absent"];
    let neurons = || {
        let ports = [None, port, None, port, None];
        (0..)
            .zip(all)
            .zip(ports)
            .map(|((uid, uri), port)| neuron(uid, uri, port))
            .collect::<Vec<_>>()
    };
    // Rewards for all, so that all have scores.
    let all_miners = StepResults {
        step: CompletedStep { block: BlockNumber::new(1), started_at: UNIX_EPOCH },
        request: RequestHash::from_bytes([0; 32]),
        rewards: all.map(|uri| (key(uri).hotkey(), 1.0)).into(),
        registered: (0..).map(Uid).zip(all).map(|(uid, uri)| (key(uri).hotkey(), uid)).collect(),
    };
    fixture.scores.update(&all_miners, Averaging { alpha: 0.5, absence: 100 }).await.unwrap();
    assert_eq!(fixture.scores_of(all).await, [Some(0.5); 5]);
    let report =
        fixture.steps(Behaviour::Selects(&[1, 2]), 2, neurons()).await.step().await.unwrap();
    assert_eq!(report.rewards, [(Uid(1), 1.0)]);
    assert_eq!(fixture.scores_of(all).await, [0.25, 0.75, 0.25, 0.5, 0.5].map(Some));
    let report = fixture.steps(Behaviour::Works, 3, neurons()).await.step().await.unwrap();
    assert_eq!(report.rewards, [(Uid(1), 1.0), (Uid(3), 1.0)]);
    assert!(report.is_registered);
    assert_eq!(fixture.scores_of(all).await, [0.125, 0.875, 0.125, 0.75, 0.25].map(Some));
    let last = fixture.scores.last_step().await.unwrap().unwrap();
    assert_eq!((last.block.get(), last.started_at), (3, UNIX_EPOCH + Duration::from_secs(NOW)));
}

#[tokio::test]
async fn validator_that_is_not_registered_is_reported() {
    let (fixture, port) = (Fixture::new().await, serve_honest_miner().await);
    let report = fixture
        .steps(Behaviour::Works, 1, vec![neuron(0, "//miner", port)])
        .await
        .step()
        .await
        .unwrap();
    assert!(!report.is_registered, "{report:?}");
    // A subnet with one neuron, the validator, has nobody to ask.
    let report = fixture
        .steps(Behaviour::Works, 2, vec![neuron(0, "//validator", None)])
        .await
        .step()
        .await
        .unwrap();
    assert_eq!((report.is_registered, report.rewards), (true, Vec::new()));
}

/// Columns: block of the node · whether its neurons are accepted after block 150
#[tokio::test]
async fn neurons_of_a_lagging_node_are_refused() {
    let port = serve_honest_miner().await;
    for (block, is_accepted) in [(151, true), (150, true), (149, false), (50, false), (49, true)] {
        let fixture = Fixture::new().await;
        let registered = vec![neuron(0, "//miner", port)];
        fixture.steps(Behaviour::Works, 150, registered).await.step().await.unwrap();
        // The miner is not registered at the other block.
        match fixture.steps(Behaviour::Works, block, vec![]).await.step().await {
            Ok(_) => assert!(is_accepted, "{block}"),
            Err(error) => assert!(
                !is_accepted && matches!(error, StepError::OldBlock { .. }),
                "{block}: {error}"
            ),
        }
        // One list without the miner does not delete its score.
        assert_eq!(fixture.scores_of(["//miner"]).await, [Some(0.5)], "{block}");
    }
}

/// Columns: behaviour of the challenge · error
#[tokio::test]
async fn failure_of_the_challenge_changes_no_score() {
    let port = serve_honest_miner().await;
    for (behaviour, expected) in [
        (Behaviour::RequestFails, "the challenge failed: no number left"),
        (Behaviour::RewardsFail, "the challenge failed: the calculator is broken"),
        (
            Behaviour::RewardsHang,
            "the challenge took longer than 200ms; hint: increase `challenge_timeout`",
        ),
    ] {
        let fixture = Fixture::new().await;
        let error = fixture
            .steps(behaviour, 1, vec![neuron(0, "//miner", port)])
            .await
            .step()
            .await
            .unwrap_err();
        assert_eq!(with_causes(&error), expected);
        assert_eq!(
            (fixture.scores_of(["//miner"]).await, fixture.scores.last_step().await.unwrap()),
            ([None], None)
        );
    }
}

/// Part of a step in which a challenge or its miner hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepPart {
    Request,
    Query,
    Rewards,
}

/// A challenge that notifies the test of a part of the step, and hangs in it.
struct HangingChallenge {
    part: StepPart,
    hang_started: Arc<Notify>,
}

impl HangingChallenge {
    async fn hang_at(&self, part: StepPart) {
        if self.part == part {
            self.hang_started.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

impl Challenge for HangingChallenge {
    type Request = SumRequest;

    async fn request(&self, _: &[MinerEntry]) -> Result<SumRequest, BoxError> {
        self.hang_at(StepPart::Request).await;
        Ok(SumRequest::ONE_AND_TWO)
    }

    async fn rewards(
        &self,
        _: &SumRequest,
        replies: &[Reply<SumRequest>],
    ) -> Result<Vec<f64>, BoxError> {
        self.hang_at(StepPart::Rewards).await;
        Ok(vec![1.0; replies.len()])
    }
}

/// The step is dropped, as at shutdown. `interrupted_update_is_atomic` covers the update of the
/// scores, the last part of a step.
#[tokio::test]
async fn interrupted_step_is_repeated_and_counted_once() {
    for part in [StepPart::Request, StepPart::Query, StepPart::Rewards] {
        let (fixture, hang_started) = (Fixture::new().await, Arc::new(Notify::new()));
        let miner_reached = Arc::clone(&hang_started);
        let unresponsive = Router::new().fallback(move || {
            let miner_reached = Arc::clone(&miner_reached);
            async move {
                miner_reached.notify_one();
                std::future::pending::<()>().await;
            }
        });
        let port = if part == StepPart::Query {
            Some(listen(unresponsive).await.port())
        } else {
            serve_honest_miner().await
        };
        let challenge = HangingChallenge { part, hang_started: Arc::clone(&hang_started) };
        let steps = fixture.steps(challenge, 1, vec![neuron(0, "//miner", port)]).await;
        tokio::select! {
            step = steps.step() => panic!("{part:?}: {step:?}"),
            () = hang_started.notified() => {}
        }
        let scores = fixture.scores_of(["//miner"]).await;
        assert_eq!((scores, fixture.scores.last_step().await.unwrap()), ([None], None), "{part:?}");
        let neurons = vec![neuron(0, "//miner", serve_honest_miner().await)];
        fixture.steps(Behaviour::Works, 1, neurons).await.step().await.unwrap();
        assert_eq!(fixture.scores_of(["//miner"]).await, [Some(0.5)], "{part:?}");
        let explanation = fixture.scores.explain(&key("//miner").hotkey()).await.unwrap().unwrap();
        assert_eq!(explanation.rewards.len(), 1, "{part:?}");
    }
}

#[tokio::test]
async fn every_miner_of_a_full_subnet_is_queried() {
    let (fixture, port) = (Fixture::new().await, serve_honest_miner().await);
    let neurons = (0..256).map(|uid| neuron(uid, &format!("//miner//{uid}"), port)).collect();
    let mut steps = fixture.steps(Behaviour::Works, 1, neurons).await;
    // A busy machine takes a while for all requests.
    steps.settings.query.deadline = Duration::from_mins(1);
    let report = steps.step().await.unwrap();
    assert_eq!(report.rewards, (0..256).map(|uid| (Uid(uid), 1.0)).collect::<Vec<_>>());
    assert_eq!(report.scores.len(), 256);
    assert!(report.scores.values().all(|score| (score - 0.5).abs() < 1e-9), "{report:?}");
}

#[tokio::test]
async fn step_without_neurons_changes_no_score() {
    let fixture = Fixture::new().await;
    let report = fixture.steps(Behaviour::Works, 1, vec![]).await.step().await.unwrap();
    assert!(
        report.rewards.is_empty() && report.scores.is_empty() && !report.is_registered,
        "{report:?}"
    );
    assert_eq!(fixture.scores.last_step().await.unwrap().unwrap().block.get(), 1);
}

/// Columns: start of the last step, in seconds before now · pause after a start
#[tokio::test]
async fn restart_waits_for_the_remaining_interval() {
    let minute = ValidatorSettings::new(NETUID).interval.as_secs();
    for (before, pause) in [(0, minute), (10, minute - 10), (60, 0), (NOW, 0)] {
        let fixture = Fixture::new().await;
        let steps = fixture.steps(Behaviour::Works, 1, vec![]).await;
        assert_eq!(steps.initial_pause().await, Duration::ZERO, "no step yet");
        let results = StepResults {
            step: CompletedStep {
                block: BlockNumber::new(1),
                started_at: UNIX_EPOCH + Duration::from_secs(NOW - before),
            },
            request: RequestHash::from_bytes([0; 32]),
            rewards: BTreeMap::new(),
            registered: BTreeMap::new(),
        };
        fixture.scores.update(&results, Averaging { alpha: 0.5, absence: 100 }).await.unwrap();
        assert_eq!(steps.initial_pause().await, Duration::from_secs(pause), "{before}");
    }
    // The clock was set back.
    let later = UNIX_EPOCH + Duration::from_secs(NOW);
    assert_eq!(remaining(Duration::from_mins(1), later, UNIX_EPOCH), Duration::from_mins(1));
}

fn replies(count: u16) -> Vec<Reply<SumRequest>> {
    let reply = |uid| Reply {
        uid: Uid(uid),
        hotkey: key("//miner").hotkey(),
        response: Ok(SumRequest::ONE_AND_TWO),
        elapsed: MIN_STEP_PAUSE,
    };
    (0..count).map(reply).collect()
}

#[test]
fn rewards_are_limited_to_their_range() {
    let rewards = [0.5, -1.0, 7.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let limited = zip_rewards(&replies(6), &rewards).unwrap();
    let limited: Vec<_> = limited.iter().map(|(_, _, reward)| *reward).collect();
    assert_eq!(limited, [0.5, 0.0, 1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn wrong_number_of_rewards_is_an_error() {
    for (count, rewards, text) in [
        (1, &[][..], "the challenge returned 0 rewards for 1 reply"),
        (2, &[1.0], "the challenge returned 1 reward for 2 replies"),
    ] {
        assert_eq!(zip_rewards(&replies(count), rewards).unwrap_err().to_string(), text);
    }
}
