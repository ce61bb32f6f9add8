use std::convert::Infallible;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;
use taonet_chain::testing::{MockChain, Script, metagraph, weight_rules};
use taonet_chain::{Chain as _, RefusalReason, WeightRules};
use taonet_ledger::{Ledger, Submitter};
use taonet_primitives::Uid;
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_testing::CapturedLog;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::signer::AuditLog;
use crate::testing::{NETUID, key};
use crate::{Neurons, RoundScores, StateFile, Subnet, Validator, ValidatorSettings};

/// A local service with a scripted chain, whose pauses take no time.
struct Fixture {
    directory: TempDir,
    chain: MockChain,
    pauses: Arc<Mutex<Vec<Duration>>>,
}

impl Fixture {
    fn new(script: impl IntoIterator<Item = Script>) -> Self {
        let chain = MockChain::default();
        chain.set_weight_rules(
            NETUID,
            WeightRules { version_key: 3, rate_limit_blocks: 0, ..weight_rules(100, None) },
        );
        chain.mine(10);
        chain.script(script);
        Self { directory: tempfile::tempdir().unwrap(), chain, pauses: Arc::default() }
    }

    async fn local(&self, audit: &Path) -> LocalWeights {
        let ledger = Ledger::open(self.directory.path()).await.unwrap();
        let submitter =
            Submitter::new(ledger, Arc::new(self.chain.clone()), key("//validator")).await.unwrap();
        LocalWeights::new(Arc::new(self.chain.clone()), submitter)
            .with_audit(AuditLog::open(audit).unwrap())
    }

    /// Starts the service, as at a start of the process.
    async fn start(&self) -> WeightService {
        WeightService::Local(Arc::new(self.local(&self.directory.path().join("audit.jsonl")).await))
    }

    fn sleeper(&self) -> Sleeper {
        let pauses = Arc::clone(&self.pauses);
        Arc::new(move |pause| {
            pauses.lock().unwrap().push(pause);
            Box::pin(std::future::ready(()))
        })
    }

    /// Submits weights for uid 1 until the first pause, then stops, as a kill does.
    async fn set_weights_until_pause(&self, service: &WeightService) {
        let is_paused = Arc::new(Notify::new());
        let paused = Arc::clone(&is_paused);
        let sleeper: Sleeper = Arc::new(move |_| {
            paused.notify_one();
            Box::pin(std::future::pending())
        });
        let weights = Weights { uids: vec![Uid(1)], weights: vec![1.0] };
        tokio::select! {
            outcome = service.set_weights(NETUID, &weights, None, Duration::from_mins(1), &sleeper) => {
                panic!("{outcome:?}")
            }
            () = is_paused.notified() => {}
        }
    }

    async fn set_weights(&self, service: &WeightService, weights: &[f64]) -> WeightsOutcome {
        let weights = Weights {
            uids: (0..).map(Uid).take(weights.len()).collect(),
            weights: weights.to_vec(),
        };
        service.set_weights(NETUID, &weights, None, Duration::from_mins(1), &self.sleeper()).await
    }
}

#[tokio::test]
async fn local_submission_has_typed_outcome_and_audit_record() {
    let fixture = Fixture::new([]);
    let service = fixture.start().await;
    let WeightsOutcome::Submitted { details } = fixture.set_weights(&service, &[1.0, 3.0]).await
    else {
        panic!("not submitted")
    };
    assert_eq!(
        (&details["block"], &details["attempt"], &details["unchanged"]),
        (&json!(11), &json!(1), &json!(false))
    );
    let audit = std::fs::read_to_string(fixture.directory.path().join("audit.jsonl")).unwrap();
    let entry: Value = serde_json::from_str(&audit).unwrap();
    assert_eq!(
        (&entry["action"], &entry["peer"], &entry["uids"], &entry["weights"]),
        (&json!("set_weights"), &Value::Null, &json!([0, 1]), &json!([1.0, 3.0]))
    );
}

#[tokio::test]
async fn later_weights_of_an_epoch_are_not_submitted() {
    let fixture = Fixture::new([]);
    let service = fixture.start().await;
    assert!(matches!(
        fixture.set_weights(&service, &[1.0, 3.0]).await,
        WeightsOutcome::Submitted { .. }
    ));
    assert!(
        matches!(
            fixture.set_weights(&service, &[1.0, 3.0]).await,
            WeightsOutcome::Submitted { .. }
        ),
        "the same weights"
    );
    assert!(
        matches!(
            fixture.set_weights(&service, &[9.0, 1.0]).await,
            WeightsOutcome::Unchanged { .. }
        ),
        "other weights"
    );
    assert_eq!(fixture.chain.submitted().len(), 1);
}

/// The response to the submission is lost, and the process is killed before it learns of the
/// outcome.
#[tokio::test]
async fn restarted_service_tracks_earlier_submission() {
    let fixture = Fixture::new([Script::LoseResponse]);
    let service = fixture.start().await;
    fixture.set_weights_until_pause(&service).await;
    drop(service);
    let service = fixture.start().await;
    assert!(matches!(
        fixture.set_weights(&service, &[1.0, 3.0]).await,
        WeightsOutcome::Unchanged { .. }
    ));
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn refused_weights_are_retried_with_backoff() {
    let fixture = Fixture::new(vec![Script::Refuse(RefusalReason::custom(6)); 3]);
    let service = fixture.start().await;
    let outcome = fixture.set_weights(&service, &[1.0]).await;
    assert!(matches!(outcome, WeightsOutcome::Submitted { .. }), "{outcome:?}");
    assert_eq!(outcome.details()["attempt"], 4);
    assert_eq!(*fixture.pauses.lock().unwrap(), [500, 1_000, 2_000].map(Duration::from_millis));
}

#[tokio::test]
async fn unreachable_chain_is_retried_until_deadline() {
    let fixture = Fixture::new([]);
    let service = fixture.start().await;
    fixture.chain.set_unreachable(true);
    assert!(matches!(service.current_block().await, Err(ReadError::Chain(_))));
    let weights = Weights { uids: vec![Uid(1)], weights: vec![1.0] };
    let (start, timeout) = (Instant::now(), Duration::from_secs(1));
    let outcome = service.set_weights(NETUID, &weights, None, timeout, &sleeper()).await;
    assert!(start.elapsed() >= timeout);
    assert!(outcome.error().unwrap().contains("no node responded"), "{outcome:?}");
    assert_eq!(outcome.details()["attempt"], 2);
}

#[tokio::test]
async fn unusable_weights_fail_without_retry() {
    let fixture = Fixture::new([]);
    let service = fixture.start().await;
    let outcome = fixture.set_weights(&service, &[0.0]).await;
    assert_eq!((outcome.is_success(), outcome.error()), (false, Some("all weights are 0")));
    assert!(fixture.pauses.lock().unwrap().is_empty());
}

#[tokio::test]
async fn weight_that_rounds_to_zero_is_logged_with_its_uid() {
    let fixture = Fixture::new([]);
    let service = fixture.start().await;
    let (log, _guard) = CapturedLog::start();
    assert!(matches!(
        fixture.set_weights(&service, &[1.0, 1e-7, 0.5]).await,
        WeightsOutcome::Submitted { .. }
    ));
    let text = log.text();
    let warning =
        text.lines().find(|line| line.contains("weights that round to 0 of 65535 are left out"));
    assert!(
        warning.is_some_and(|line| line.contains("WARN") && line.contains("uids=[Uid(1)]")),
        "{text}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn weights_without_audit_record_are_not_submitted() {
    let full_device = Path::new("/dev/full");
    if !full_device.exists() {
        return;
    }
    let fixture = Fixture::new([]);
    let service = WeightService::Local(Arc::new(fixture.local(full_device).await));
    let outcome = fixture.set_weights(&service, &[1.0]).await;
    assert!(
        outcome.error().unwrap().starts_with("not signed: cannot write the audit log"),
        "{outcome:?}"
    );
    assert!(fixture.chain.submitted().is_empty());
}

/// The task that `start` spawns completes a submission whose extrinsic was dropped.
#[tokio::test]
async fn started_service_completes_unfinished_weights() {
    let fixture = Fixture::new([Script::Drop]);
    let service = fixture.start().await;
    fixture.set_weights_until_pause(&service).await;
    drop(service);
    assert!(fixture.chain.included().is_empty());
    let shutdown = Shutdown::new();
    let _service =
        fixture.local(&fixture.directory.path().join("audit.jsonl")).await.start(&shutdown);
    let mut heads = fixture.chain.heads();
    while fixture.chain.included().is_empty() {
        heads.changed().await.unwrap();
    }
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
}

/// A subnet whose only miner is the neuron with uid 0.
struct SingleMinerSubnet;

impl Subnet for SingleMinerSubnet {
    type Scores = ();
    type Error = Infallible;

    async fn scores(&self, _: &Neurons, _: bool) -> Result<RoundScores<()>, Infallible> {
        Ok(RoundScores { round: None, scores: () })
    }

    fn weights(&self, (): &(), _: Option<Uid>) -> Option<Weights> {
        Some(Weights { uids: vec![Uid(0)], weights: vec![1.0] })
    }

    fn unearned_reason(&self) -> &'static str {
        "never"
    }

    fn measure(&mut self, (): &()) {}
}

/// The process is killed after the submission, before the state file is written.
#[tokio::test]
async fn epoch_processed_twice_is_submitted_once() {
    let fixture = Fixture::new([]);
    fixture.chain.set_metagraph(metagraph(NETUID, &key("//Alice")));
    for start in 0..2 {
        let settings = ValidatorSettings {
            netuid: NETUID,
            tempo: 100,
            burn_uid: Uid(0),
            max_skipped_epochs: 12,
        };
        let state =
            StateFile::open(&fixture.directory.path().join(format!("state-{start}.json"))).unwrap();
        let service = fixture.start().await;
        let mut validator = Validator::new(
            SingleMinerSubnet,
            service,
            settings,
            state,
            system_clock(),
            fixture.sleeper(),
        );
        let report = validator.run_once().await.unwrap();
        assert_eq!((report.epoch, report.decision), (0, "scored"));
        assert!(matches!(report.outcome, WeightsOutcome::Submitted { .. }), "{report:?}");
    }
    assert_eq!(fixture.chain.submitted().len(), 1);
}

/// The names of the files are those of earlier versions.
#[tokio::test]
async fn opened_validator_has_its_files_in_the_directory() {
    let fixture = Fixture::new([]);
    fixture.chain.set_metagraph(metagraph(NETUID, &key("//Alice")));
    let directory = fixture.directory.path().join("new");
    let settings =
        ValidatorSettings { netuid: NETUID, tempo: 100, burn_uid: Uid(0), max_skipped_epochs: 12 };
    let (keypair, chain, shutdown) =
        (key("//validator"), Arc::new(fixture.chain.clone()), Shutdown::new());
    let opened = Validator::open(
        SingleMinerSubnet,
        keypair,
        chain,
        &directory,
        "epochs.json",
        settings,
        &shutdown,
    );
    let report = opened.await.unwrap().run_once().await.unwrap();
    assert!(matches!(report.outcome, WeightsOutcome::Submitted { .. }), "{report:?}");
    for file in ["weights", "audit.jsonl", "epochs.json"] {
        assert!(directory.join(file).exists(), "{file}");
    }
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
}
