//! Tests of the epoch loop: which epochs are processed, and how fast.

use std::time::Instant;

use axum::Router;
use taonet_ledger::{Ledger, StepProgress, Submitter};
use taonet_wallet::Keypair;

use super::*;
use taonet_service::Shutdown;
use taonet_validator::operator_http::OperatorLimits;
use taonet_validator::signer::{AuditLog, Signer, SignerConfig};
use taonet_validator::subtensor_gateway::{Gateway, GatewaySettings};
use taonet_validator::testing::{LocalChain, listen};

/// Starts a gateway that reports these blocks in order.
async fn blocks(numbers: Vec<u32>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let (calls, numbers) =
        (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(numbers.into_iter())));
    let recorded = Arc::clone(&calls);
    let router = Router::new().fallback(move |request: axum::extract::Request| {
        let (recorded, numbers) = (Arc::clone(&recorded), Arc::clone(&numbers));
        async move {
            let path = request.uri().path().to_owned();
            let next = || numbers.lock().unwrap().next();
            let answer = match path.as_str() {
                "/v1/metagraph/snapshot" => snapshot(),
                "/v1/weights/set_and_confirm" => json!({ "success": true, "details": {} }),
                _ => match next() {
                    Some(0) => return Err(axum::http::StatusCode::INTERNAL_SERVER_ERROR),
                    Some(block) => json!({ "block": block }),
                    None => std::future::pending().await,
                },
            };
            recorded.lock().unwrap().push(path);
            Ok(axum::Json(answer))
        }
    });
    (listen(router).await, calls)
}

/// Columns: blocks seen (0: the gateway fails) · processed epochs
#[tokio::test]
async fn each_epoch_is_processed_once_for_any_block_sequence() {
    for (numbers, epochs) in [
        (vec![742, 743, 799, 800, 801], vec![7, 8]),
        // The first block of an epoch was missed; several epochs were missed.
        (vec![742, 843, 844, 1_155], vec![7, 8, 11]),
        (vec![742, 0, 0, 843, 0, 844], vec![7, 8]),
        // A lagging node, and a chain restarted from genesis.
        (vec![842, 799, 843, 3, 105], vec![8, 0, 1]),
    ] {
        let fixture = Fixture::new().await;
        fixture.serve_rows(&[row(1, 0.5)], &[]).await;
        let (url, calls) = blocks(numbers.clone()).await;
        let signer: Url = fixture.signer.uri().parse().unwrap();
        let mut validator = fixture.validator_of(&signer, &url);
        let shutdown = Shutdown::new();
        let (stop, path) = (shutdown.clone(), fixture.directory.path().join("state.json"));
        let failures = numbers.iter().filter(|number| **number == 0).count();
        let stop_after_epochs = async {
            loop {
                let request_count =
                    calls.lock().unwrap().iter().filter(|call| call.contains("/block/")).count();
                let saved_state = std::fs::read(&path).unwrap_or_default();
                let saved_state: Value = serde_json::from_slice(&saved_state).unwrap_or_default();
                if request_count + failures == numbers.len()
                    && saved_state["last_epoch"] == json!(epochs.last())
                {
                    break stop.request();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(validator.run(&shutdown), stop_after_epochs);
        assert_eq!(
            request_bodies(&fixture.signer, "/set_weights").await.len(),
            epochs.len(),
            "{numbers:?}"
        );
    }
}

/// Runs until an epoch is processed.
async fn run_until_epoch(fixture: &Fixture, mut validator: Validator<Babelbit>, epoch: u64) {
    let (shutdown, path) = (Shutdown::new(), fixture.directory.path().join("state.json"));
    let stop = shutdown.clone();
    let stop_after_epochs = async {
        loop {
            let saved_state: Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap_or_default())
                    .unwrap_or_default();
            if saved_state["last_epoch"] == json!(epoch) {
                break stop.request();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(validator.run(&shutdown), stop_after_epochs);
}

/// A brief outage of the scoring API costs no miner its share.
#[tokio::test]
async fn failed_score_request_is_retried() {
    let fixture = Fixture::new().await;
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    let failing_response =
        Mock::given(method("GET")).and(path(SCORES)).and(query_param("challenge_type", "arena"));
    let failing_response = failing_response.respond_with(ResponseTemplate::new(500));
    failing_response.up_to_n_times(3).with_priority(1).mount(&fixture.scoring).await;
    let (url, _) = blocks(vec![742, 745]).await;
    let validator = fixture.validator_of(&fixture.signer.uri().parse().unwrap(), &url);
    run_until_epoch(&fixture, validator, 7).await;
    let bodies = request_bodies(&fixture.signer, "/set_weights").await;
    assert_eq!((bodies.len(), &bodies[0]["uids"]), (1, &json!([1, 2])));
    assert_eq!(fixture.take_waits(), [1, 2, 30]);
}

/// Measures the time from the epoch to the signed extrinsic, with real services and a real chain.
#[tokio::test(flavor = "multi_thread")]
async fn weights_are_signed_soon_after_the_epoch() {
    let chain = LocalChain::start(8).await;
    let (engine, scoring) = (MockServer::start().await, MockServer::start().await);
    serve_challenge(&engine, "ch").await;
    let rows: Vec<_> = (1..)
        .zip(&chain.miners)
        .map(|(n, miner)| json!({ "miner_hotkey": miner.hotkey(), "score": f64::from(n) }))
        .collect();
    mount(&scoring, "GET", SCORES, ok(json!({ "scores": rows }))).await;

    let signed_at: Arc<Mutex<Option<Instant>>> = Arc::default();
    let recorded = Arc::clone(&signed_at);
    let directory = tempfile::tempdir().unwrap();
    let submitter = Submitter::new(
        Ledger::open(directory.path()).await.unwrap(),
        Arc::clone(&chain.client) as _,
        chain.validator.clone(),
    );
    let submitter = submitter.await.unwrap().with_observer(Arc::new(move |_, _, moment| {
        if moment == StepProgress::ExtrinsicStored {
            *recorded.lock().unwrap() = Some(Instant::now());
        }
    }));
    let gateway = Gateway::new(GatewaySettings::new(NETUID, chain.validator.hotkey()));
    gateway.connect(Arc::clone(&chain.client) as _, submitter);
    let gateway_url = listen(gateway.router(OperatorLimits::new(None))).await;
    let keypair = Arc::new(Keypair::clone(&chain.validator));
    let gateway_client = GatewayClient::new(&gateway_url, None, Duration::from_secs(30)).unwrap();
    let signer = Signer::new(SignerConfig {
        keypair: Arc::clone(&keypair),
        netuid: NETUID,
        gateway: gateway_client.clone(),
        retries: 20,
        retry_delay: Duration::from_secs(2),
        policy: PayloadPolicy::new(keypair.hotkey()).into_signing_policy(),
        audit: AuditLog::open(&directory.path().join("audit.jsonl")).unwrap(),
    });
    let signer_url = listen(signer.router(OperatorLimits::new(None))).await;
    let sleeper: Sleeper = Arc::new(|pause| Box::pin(tokio::time::sleep(pause)));
    let engine =
        EngineClient::new(&engine.uri(), Arc::clone(&keypair), EngineOptions::default()).unwrap();
    let scores = ScoresClient::new(&scoring.uri().parse().unwrap(), keypair).unwrap();
    let cache_dir = directory.path().to_owned();
    let settings = BabelbitSettings {
        current: CurrentChallenge::Speech,
        arena_share: ArenaShare::NONE,
        rules: Rules::Reference,
        cache_dir,
    };
    let babelbit = Babelbit::new(engine, scores, settings);
    let service = HttpWeights {
        gateway: gateway_client,
        signer: SignerClient::new(&signer_url, None).unwrap(),
        retries: 20,
        retry_delay: Duration::from_secs(2),
    };
    let settings =
        ValidatorSettings { netuid: NETUID, tempo: 10, burn_uid: Uid(248), max_skipped_epochs: 12 };
    let state = StateFile::open(&directory.path().join("state.json")).unwrap();
    let mut validator =
        Validator::new(babelbit, service.into(), settings, state, system_clock(), sleeper);
    let start = Instant::now();
    let report = validator.run_once().await.unwrap();
    let elapsed = signed_at.lock().unwrap().unwrap() - start;
    println!(
        "from the epoch to the signed submission: {elapsed:?}, to its block: {:?}",
        start.elapsed()
    );
    assert!(report.outcome.is_success(), "{report:?}");
    // A debug build on a busy machine takes longer than the 200 ms in production.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    let on_chain = chain.weights().await;
    assert_eq!(on_chain.len(), 8);
    assert_eq!(on_chain.last(), Some(&(chain.uid(&chain.miners[7]).await, 65_535)));
    chain.node.stop().await;
}
