use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Json};
use serde_json::{Value, json};
use taonet_neuron::Neurons;
use taonet_primitives::{Hotkey, Weights};
use taonet_service::{sleeper, system_clock};
use tempfile::TempDir;
use url::Url;

use super::state::SavedState;
use super::*;
use crate::policy::{PolicyState, PreviousWeights};
use crate::signer::SignerClient;
use crate::subnet::RoundScores;
use crate::subtensor_gateway::GatewayClient;
use crate::testing::{NETUID, listen, silent_server};
use crate::weight_service::HttpWeights;

/// Hotkey of the only miner.
const MINER: Hotkey = Hotkey::from_bytes([1; 32]);

/// A subnet with one miner.
#[derive(Default)]
struct SingleMinerSubnet {
    /// Number of requests without scores before the first scores.
    without_scores: AtomicU32,
}

impl Subnet for SingleMinerSubnet {
    type Scores = Option<Uid>;
    type Error = Infallible;

    async fn scores(
        &self,
        neurons: &Neurons,
        _: bool,
    ) -> Result<RoundScores<Option<Uid>>, Infallible> {
        let still_missing =
            self.without_scores
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let scores = neurons.uid_of(&MINER).filter(|_| still_missing.is_err());
        Ok(RoundScores { round: Some("r".into()), scores })
    }

    fn weights(&self, scores: &Option<Uid>, _: Option<Uid>) -> Option<Weights> {
        scores.map(|uid| Weights { uids: vec![uid], weights: vec![1.0] })
    }

    fn unearned_reason(&self) -> &'static str {
        "the miner has left"
    }

    fn measure(&mut self, _: &Option<Uid>) {}
}

/// Starts a mock of both gateway and signer that reports the given blocks; 0 means a failure. It
/// refuses weights whose scores are not new.
async fn chain(blocks: Vec<u32>) -> (Url, Arc<Mutex<Vec<Value>>>) {
    chain_with_full_disk(blocks, 0).await
}

/// Like [`chain`], but the disk is full for the first `full_disk_count` weights.
async fn chain_with_full_disk(
    blocks: Vec<u32>,
    full_disk_count: usize,
) -> (Url, Arc<Mutex<Vec<Value>>>) {
    let submitted: Arc<Mutex<Vec<Value>>> = Arc::default();
    let (recorded, blocks) = (Arc::clone(&submitted), Arc::new(Mutex::new(blocks.into_iter())));
    let failures = Arc::new(Mutex::new(0..full_disk_count));
    let routes = Router::new().fallback(move |request: Request| {
        let (recorded, blocks) = (Arc::clone(&recorded), Arc::clone(&blocks));
        let failures = Arc::clone(&failures);
        async move {
            let path = request.uri().path().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            match path.as_str() {
                "/v1/metagraph/snapshot" => {
                    let hotkeys = [Hotkey::from_bytes([2; 32]), MINER];
                    Json(json!({ "block": 700, "hotkeys": hotkeys, "last_update": [], "axons": [] })).into_response()
                }
                "/set_weights" | "/v1/weights/set_and_confirm" => {
                    let request: Value = serde_json::from_slice(&body).unwrap();
                    if request.get("state_block").is_some() {
                        return Json(json!({ "success": false, "error": "the weights are stale", "details": {} }))
                            .into_response();
                    }
                    if failures.lock().unwrap().next().is_some() {
                        return Json(json!({ "success": false, "error": "the disk is full", "details": {} }))
                            .into_response();
                    }
                    recorded.lock().unwrap().push(request);
                    Json(json!({ "success": true })).into_response()
                }
                _ => match blocks.lock().unwrap().next() {
                    Some(block) if block > 0 => Json(json!({ "block": block })).into_response(),
                    _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                },
            }
        }
    });
    (listen(routes).await, submitted)
}

fn validator(chain: &Url, directory: &TempDir) -> Validator<SingleMinerSubnet> {
    let service = WeightService::from(HttpWeights {
        gateway: GatewayClient::new(chain, None, Duration::from_secs(5)).unwrap(),
        signer: SignerClient::new(chain, None).unwrap(),
        retries: 7,
        retry_delay: Duration::from_secs(1),
    });
    let settings =
        ValidatorSettings { netuid: NETUID, tempo: 100, burn_uid: Uid(8), max_skipped_epochs: 12 };
    let state = StateFile::open(&directory.path().join("state.json")).unwrap();
    let no_sleep: Sleeper = Arc::new(|_| Box::pin(std::future::ready(())));
    Validator::new(SingleMinerSubnet::default(), service, settings, state, system_clock(), no_sleep)
}

#[tokio::test]
async fn epoch_is_processed_once() {
    let (url, submitted) = chain(vec![742, 743, 743, 800, 801]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut first = validator(&url, &directory);
    assert_eq!(first.step(None).await, Some(BlockNumber::new(743)));
    let mut restarted = validator(&url, &directory);
    assert_eq!(restarted.step(None).await, Some(BlockNumber::new(800)), "743 is of the same epoch");
    assert_eq!(submitted.lock().unwrap().len(), 1);
    restarted.step(Some(BlockNumber::new(800))).await;
    let submitted = submitted.lock().unwrap();
    assert_eq!((submitted.len(), &submitted[1]["uids"]), (2, &json!([1])));
}

/// A gateway that was restarted refuses previous weights whose scores are old, and accepts new
/// scores.
///
/// Columns: blocks, of an epoch whose last third begins at 767 · epochs without scores at first ·
/// weights set · epochs without scores at last
#[tokio::test]
async fn refused_previous_weights_leave_epoch_due_until_its_last_third() {
    for (blocks, without_scores, set_count, expected) in [
        (vec![742, 745, 746], 1, 1, 0),
        (vec![742, 745, 766, 767, 768], 3, 1, 0),
        (vec![742, 745, 767, 768], 3, 0, 1),
    ] {
        let (steps, last) = (blocks.len() - 1, blocks.last().copied().map(BlockNumber::new));
        let (url, submitted) = chain(blocks.clone()).await;
        let directory = tempfile::tempdir().unwrap();
        let mut validator = validator(&url, &directory);
        validator.subnet.without_scores = AtomicU32::new(without_scores);
        let weights = Weights { uids: vec![Uid(1)], weights: vec![1.0] };
        let previous =
            PreviousWeights::new(&weights, |_| Some(MINER.to_string()), BlockNumber::new(650));
        let policy = PolicyState { previous: Some(previous), ..PolicyState::default() };
        validator
            .state
            .replace(SavedState { last_epoch: Some(6), policy, ..validator.state.saved().clone() })
            .unwrap();
        for step in 1..steps {
            assert_eq!(validator.step(None).await, None, "{blocks:?}: retried after step {step}");
            assert_eq!(validator.state.saved().last_epoch, Some(6));
        }
        assert_eq!(validator.step(None).await, last, "{blocks:?}");
        let saved = validator.state.saved();
        assert_eq!(
            (saved.last_epoch, saved.policy.epochs_without_scores),
            (Some(7), expected),
            "{blocks:?}"
        );
        assert_eq!(submitted.lock().unwrap().len(), set_count, "{blocks:?}");
    }
}

/// Columns: blocks, of an epoch whose last third begins at 767 · attempts on a full disk, each
/// through signer and gateway · weights set
#[tokio::test]
async fn full_disk_leaves_epoch_due_until_its_last_third() {
    for (blocks, failed_attempts, set_count) in [
        (vec![742, 745, 746], 1, 1),
        (vec![742, 745, 766, 767], 2, 1),
        (vec![742, 745, 767, 768], 3, 0),
    ] {
        let (steps, last) = (blocks.len() - 1, blocks.last().copied().map(BlockNumber::new));
        let (url, submitted) = chain_with_full_disk(blocks.clone(), 2 * failed_attempts).await;
        let directory = tempfile::tempdir().unwrap();
        let mut validator = validator(&url, &directory);
        for step in 1..steps {
            assert_eq!(validator.step(None).await, None, "{blocks:?}: retried after step {step}");
            assert_eq!(validator.state.saved().last_epoch, None);
        }
        assert_eq!(validator.step(None).await, last, "{blocks:?}");
        assert_eq!(validator.state.saved().last_epoch, Some(7), "{blocks:?}");
        assert_eq!(submitted.lock().unwrap().len(), set_count, "{blocks:?}");
    }
}

#[tokio::test]
async fn validator_is_ready_after_its_first_block() {
    let (url, _) = chain(vec![0, 742, 743]).await;
    let directory = tempfile::tempdir().unwrap();
    let readiness = Readiness::starting();
    let mut validator = validator(&url, &directory).with_readiness(readiness.clone());
    assert_eq!(validator.step(None).await, None);
    assert!(!readiness.is_ready(), "the gateway failed");
    assert_eq!(validator.step(None).await, Some(BlockNumber::new(743)));
    assert!(readiness.is_ready());
}

/// Weights decided in one epoch must not be submitted in the next.
#[tokio::test]
async fn unresponsive_services_block_at_most_one_epoch() {
    let (silent, directory) = (silent_server().await, tempfile::tempdir().unwrap());
    let validator = Validator { sleeper: sleeper(), ..validator(&silent, &directory) };
    let weights = Weights { uids: vec![Uid(1)], weights: vec![1.0] };
    // Tokio advances paused time whenever the runtime is idle.
    tokio::time::pause();
    let (start, timeout) = (tokio::time::Instant::now(), Duration::from_mins(10));
    let outcome = validator.submit(&weights, None, timeout).await;
    assert!(!outcome.is_success());
    assert!(outcome.error().unwrap().contains("within 600 s"));
    assert!(start.elapsed() < timeout + Duration::from_secs(1), "{:?}", start.elapsed());
}
