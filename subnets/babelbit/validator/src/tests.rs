use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use taonet_babelbit_core::weights::REFERENCE_TEMPO;
use taonet_wallet::verify;
use tempfile::TempDir;
use url::Url;
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use taonet_babelbit_engine::client::EngineOptions;
use taonet_primitives::BlockNumber;
use taonet_service::Sleeper;
use taonet_service::system_clock;
use taonet_validator::signer::SignerClient;
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_validator::testing::{NETUID, key};
use taonet_validator::{
    EpochError, EpochReport, HttpWeights, StateFile, Validator, ValidatorSettings,
};

mod epochs;
mod reported_metrics;
mod scoring_faults;
mod submission_faults;

const SCORES: &str = "/v1/get_scores";

/// A validator with scripted services, and a record of its pauses.
struct Fixture {
    directory: TempDir,
    engine: MockServer,
    scoring: MockServer,
    gateway: MockServer,
    signer: MockServer,
    waits: Arc<Mutex<Vec<u64>>>,
    max_skipped_epochs: u32,
    arena_share: ArenaShare,
}

fn hotkey(uid: u16) -> String {
    key(&format!("//neuron//{uid}")).hotkey().to_string()
}

/// Returns the hotkeys of ten neurons.
fn hotkeys() -> Vec<String> {
    (0..10).map(hotkey).collect()
}

fn snapshot() -> Value {
    let hotkeys = hotkeys();
    let axons = vec![json!({ "ip": "0.0.0.0", "port": 0 }); 10];
    json!({ "block": 700, "hotkeys": hotkeys, "last_update": vec![0; 10], "axons": axons })
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn row(uid: u16, score: f64) -> Value {
    json!({ "miner_hotkey": hotkey(uid), "challenge_mean_score": score })
}

async fn mount(server: &MockServer, http_method: &str, url_path: &str, answer: ResponseTemplate) {
    Mock::given(method(http_method)).and(path(url_path)).respond_with(answer).mount(server).await;
}

impl Fixture {
    async fn new() -> Self {
        let fixture = Self {
            directory: tempfile::tempdir().unwrap(),
            engine: MockServer::start().await,
            scoring: MockServer::start().await,
            gateway: MockServer::start().await,
            signer: MockServer::start().await,
            waits: Arc::default(),
            max_skipped_epochs: 12,
            arena_share: ArenaShare::default(),
        };
        fixture.serve_challenge("ch").await;
        mount(&fixture.gateway, "POST", "/v1/metagraph/snapshot", ok(snapshot())).await;
        mount(&fixture.gateway, "POST", "/v1/block/current", ok(json!({ "block": 742 }))).await;
        mount(
            &fixture.signer,
            "POST",
            "/set_weights",
            ok(json!({ "success": true, "details": {} })),
        )
        .await;
        fixture
    }

    /// Sets the chain's block, and the metagraph to these hotkeys.
    async fn set_block(&self, block: u32, hotkeys: &[String]) {
        self.gateway.reset().await;
        let snapshot =
            json!({ "hotkeys": hotkeys, "block": block, "last_update": [], "axons": [] });
        mount(&self.gateway, "POST", "/v1/metagraph/snapshot", ok(snapshot)).await;
        mount(&self.gateway, "POST", "/v1/block/current", ok(json!({ "block": block }))).await;
    }

    async fn serve_challenge(&self, uid: &str) {
        serve_challenge(&self.engine, uid).await;
    }

    /// Sets the responses of the scoring API: for the main contest, for the arena, and for all
    /// contests.
    async fn serve_scores(
        &self,
        main: ResponseTemplate,
        arena: ResponseTemplate,
        all: ResponseTemplate,
    ) {
        self.scoring.reset().await;
        for (name, answer) in [("qualifying", main), ("arena", arena)] {
            let mock = Mock::given(method("GET"))
                .and(path(SCORES))
                .and(query_param("challenge_type", name));
            mock.respond_with(answer).mount(&self.scoring).await;
        }
        let mock = Mock::given(method("GET"))
            .and(path(SCORES))
            .and(query_param_is_missing("challenge_type"));
        mock.respond_with(all).mount(&self.scoring).await;
    }

    async fn serve_rows(&self, main: &[Value], arena: &[Value]) {
        let answer = |rows: &[Value]| ok(json!({ "scores": rows }));
        self.serve_scores(answer(main), answer(arena), answer(&[])).await;
    }

    fn validator(&self) -> Validator<Babelbit> {
        let url = |server: &MockServer| server.uri().parse::<Url>().unwrap();
        self.validator_of(&url(&self.signer), &url(&self.gateway))
    }

    fn validator_of(&self, signer: &Url, gateway: &Url) -> Validator<Babelbit> {
        let keypair = Arc::new(key("//validator"));
        let recorded = Arc::clone(&self.waits);
        let sleeper: Sleeper = Arc::new(move |wait| {
            recorded.lock().unwrap().push(wait.as_secs());
            Box::pin(std::future::ready(()))
        });
        let options = EngineOptions { sleeper: Arc::clone(&sleeper), ..EngineOptions::default() };
        let engine = EngineClient::new(&self.engine.uri(), Arc::clone(&keypair), options).unwrap();
        let scores = ScoresClient::new(&self.scoring.uri().parse().unwrap(), keypair).unwrap();
        let babelbit = Babelbit::new(
            engine,
            scores.with_time(system_clock(), Arc::clone(&sleeper)),
            BabelbitSettings {
                current: CurrentChallenge::Speech,
                arena_share: self.arena_share,
                rules: Rules::Reference,
                cache_dir: self.directory.path().to_owned(),
            },
        );
        let service = HttpWeights {
            gateway: GatewayClient::new(gateway, None, Duration::from_secs(5)).unwrap(),
            signer: SignerClient::new(signer, None).unwrap(),
            retries: 7,
            retry_delay: Duration::from_millis(1_500),
        };
        let settings = ValidatorSettings {
            netuid: NETUID,
            tempo: REFERENCE_TEMPO,
            burn_uid: Uid(8),
            max_skipped_epochs: self.max_skipped_epochs,
        };
        let state = StateFile::open(&self.directory.path().join("state.json")).unwrap();
        Validator::new(babelbit, service.into(), settings, state, system_clock(), sleeper)
    }

    fn take_waits(&self) -> Vec<u64> {
        std::mem::take(&mut self.waits.lock().unwrap())
    }
}

/// Serves an engine whose current challenge has this uid.
async fn serve_challenge(engine: &MockServer, uid: &str) {
    engine.reset().await;
    mount(engine, "POST", "/auth", ok(json!({ "challenge": "sign me", "timestamp": 1 }))).await;
    mount(engine, "POST", "/auth/verify", ok(json!({ "access_token": "t" }))).await;
    let utterance = json!({
        "challenge_uid": uid, "session_id": "s", "utterance_id": "u", "language": "fr", "utterance_index": 0,
        "sample_rate_hz": 16_000, "channels": 1, "sample_width_bytes": 2, "utterance_frames": 1,
    });
    mount(engine, "POST", "/source-audio/start", ok(utterance)).await;
}

/// Returns the bodies of the requests that a server received at the path `url_path`.
async fn request_bodies(server: &MockServer, url_path: &str) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    let to_path = requests.iter().filter(|request| request.url.path() == url_path);
    to_path.map(|request| serde_json::from_slice(&request.body).unwrap_or_default()).collect()
}

fn pairs(report: &EpochReport) -> Vec<(u16, f64)> {
    let weights = report.weights.as_ref();
    let pairs = weights.into_iter().flat_map(|weights| weights.uids.iter().zip(&weights.weights));
    // Rounded to nine places: sums of shares are not exact.
    pairs.map(|(uid, weight)| (uid.0, (weight * 1e9).round() / 1e9)).collect()
}

#[tokio::test]
async fn scores_of_both_contests_become_weights() {
    let fixture = Fixture::new().await;
    let unregistered =
        json!({ "miner_hotkey": key("//stranger").hotkey(), "challenge_mean_score": 1.0 });
    fixture
        .serve_rows(
            &[row(1, 0.9), row(3, 0.2), row(4, 0.5), row(1, 0.1), unregistered],
            &[row(2, 0.4), row(3, 0.3)],
        )
        .await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!((report.epoch, report.block, report.decision), (7, BlockNumber::new(742), "scored"));
    assert!(report.outcome.is_success());
    assert_eq!(pairs(&report), [(1, 0.056_25), (3, 0.012_5), (4, 0.031_25), (2, 0.9)]);

    let body = request_bodies(&fixture.signer, "/set_weights").await.remove(0);
    let fields: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["netuid", "uids", "weights", "wait_for_inclusion"]);
    assert_eq!(
        (&body["netuid"], &body["uids"], &body["wait_for_inclusion"]),
        (&json!(59), &json!([1, 3, 4, 2]), &json!(false))
    );
    // Both contests have scores: the older form is not requested.
    let requests = fixture.scoring.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        let query: std::collections::HashMap<_, _> =
            request.url.query_pairs().into_owned().collect();
        let validator = key("//validator").hotkey();
        assert_eq!(
            (&query["hotkey"], &query["challenge_uid"]),
            (&validator.to_string(), &"ch".to_owned())
        );
        let (hotkey, timestamp) = (&query["hotkey"], &query["timestamp"]);
        let text = if query["challenge_type"] == "arena" {
            format!(
                r#"{{"challenge_id":"ch","challenge_type":"arena","data":{{"challenge_type":"arena","challenge_uid":"ch"}},"hotkey":"{hotkey}","timestamp":{timestamp}}}"#
            )
        } else {
            format!(
                r#"{{"challenge_id":"ch","data":{{"challenge_uid":"ch"}},"hotkey":"{hotkey}","timestamp":{timestamp}}}"#
            )
        };
        let signature = &query["signature"];
        assert!(!signature.starts_with("0x"));
        assert!(verify(&validator, text.as_bytes(), &signature.parse().unwrap()), "{text}");
    }
    assert!(
        request_bodies(&fixture.gateway, "/v1/weights/set_and_confirm").await.is_empty(),
        "the signer submitted the weights"
    );
}

#[tokio::test]
async fn older_score_format_is_requested_if_no_contest_has_scores() {
    let fixture = Fixture::new().await;
    let all = json!({ "scores": [{ "hotkey": hotkey(1), "score": 0.5 }, { "hotkey": hotkey(2), "score": 0.7, "challenge_type": "round2" }] });
    fixture.serve_scores(ok(json!({ "scores": [] })), ResponseTemplate::new(404), ok(all)).await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!(pairs(&report), [(1, 0.1), (2, 0.9)]);
    assert_eq!(fixture.take_waits(), [0_u64; 0], "a 404 is not retried");
}

/// Without scores, no weights are submitted until the limit is reached; then all weight goes to the
/// fallback uid. The count survives a restart.
#[tokio::test]
async fn count_of_epochs_without_scores_survives_a_restart() {
    let mut fixture = Fixture::new().await;
    fixture.max_skipped_epochs = 3;
    fixture.serve_rows(&[], &[]).await;
    for (count, decision) in [(1, "wait"), (2, "wait"), (3, "fallback"), (4, "previous")] {
        let report = fixture.validator().run_once().await.unwrap();
        assert_eq!((report.epochs_without_scores, report.decision), (count, decision));
    }
    assert_eq!(request_bodies(&fixture.signer, "/set_weights").await.len(), 2);
    assert_eq!(request_bodies(&fixture.signer, "/set_weights").await[1]["uids"], json!([8]));
    // A new challenge resets the count; the last weights are submitted again.
    fixture.serve_challenge("other").await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!((report.epochs_without_scores, report.decision), (1, "previous"));
}

#[tokio::test]
async fn last_weights_are_resubmitted_after_a_restart() {
    let fixture = Fixture::new().await;
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    fixture.validator().run_once().await.unwrap();
    fixture.serve_rows(&[], &[]).await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!((report.decision, pairs(&report)), ("previous", vec![(1, 0.1), (2, 0.9)]));
    // The second request contains the block of the reused scores.
    let bodies = request_bodies(&fixture.signer, "/set_weights").await;
    assert_eq!((&bodies[0]["state_block"], &bodies[1]["state_block"]), (&json!(null), &json!(700)));
}

/// After more than twelve epochs of 100 blocks without scores, a restarted process discards its
/// state, and a running one keeps it.
#[tokio::test]
async fn last_weights_are_not_resubmitted_after_a_long_pause() {
    let fixture = Fixture::new().await;
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    let mut validator = fixture.validator();
    validator.run_once().await.unwrap();
    fixture.serve_rows(&[], &[]).await;
    fixture.set_block(700 + 1_200, &hotkeys()).await;
    assert_eq!(fixture.validator().run_once().await.unwrap().decision, "previous");
    fixture.set_block(700 + 1_201, &hotkeys()).await;
    assert_eq!(validator.run_once().await.unwrap().decision, "previous");
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!((report.decision, report.epochs_without_scores), ("wait", 1));
}

#[tokio::test]
async fn last_weights_move_with_their_hotkeys() {
    let fixture = Fixture::new().await;
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    fixture.validator().run_once().await.unwrap();
    fixture.serve_rows(&[], &[]).await;
    let mut hotkeys = hotkeys();
    // Another miner has the winner's uid, and the recipient of the main contest's share has moved.
    hotkeys[2] = key("//newcomer").hotkey().to_string();
    hotkeys.swap(1, 5);
    fixture.set_block(742, &hotkeys).await;
    assert_eq!(pairs(&fixture.validator().run_once().await.unwrap()), [(5, 0.1), (8, 0.9)]);
}

#[tokio::test]
async fn fallback_uid_that_is_not_registered_gets_no_weight() {
    let mut fixture = Fixture::new().await;
    fixture.max_skipped_epochs = 1;
    fixture.gateway.reset().await;
    let hotkeys: Vec<_> = (0..3).map(hotkey).collect();
    let axons = vec![json!({ "ip": "0.0.0.0", "port": 0 }); 3];
    let without_fallback =
        json!({ "block": 7, "hotkeys": hotkeys, "last_update": [0, 0, 0], "axons": axons });
    mount(&fixture.gateway, "POST", "/v1/metagraph/snapshot", ok(without_fallback)).await;
    mount(&fixture.gateway, "POST", "/v1/block/current", ok(json!({ "block": 7 }))).await;
    fixture.serve_rows(&[], &[]).await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!(
        (report.decision, report.outcome.error()),
        ("wait", Some("no scores, and no previous weights"))
    );
    fixture.serve_rows(&[row(1, 0.5)], &[]).await;
    assert_eq!(pairs(&fixture.validator().run_once().await.unwrap()), [(1, 1.0)]);
    // The main contest has no share, and the arena has no winner.
    fixture.arena_share = ArenaShare::from_percent(100.0);
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!((report.decision, &report.weights), ("unearned", &None));
    assert!(
        report.outcome.is_success()
            && report.outcome.error().unwrap().contains("the arena has the full share")
    );
}
