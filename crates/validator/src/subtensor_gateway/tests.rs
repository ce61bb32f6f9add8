use std::path::Path;

use crate::api::WeightsRequest;
use axum::http::Method;
use serde_json::{Value, json};
use taonet_chain::testing::{MockChain, Script, weight_rules};
use taonet_chain::{CommitReveal, DispatchError, RefusalReason, Schedule, WeightRules};
use taonet_ledger::{Ledger, StepProgress};
use taonet_neuron::{Neuron, Neurons};
use taonet_primitives::{BlockNumber, Rao, Uid, split_hint};
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::testing::{LocalChain, NETUID, key, listen, post, send_request, unused_address};

const SET: &str = "/v1/weights/set_and_confirm";

/// A gateway in front of a scripted chain.
struct GatewayFixture {
    _directory: TempDir,
    chain: MockChain,
    gateway: Gateway,
    router: Router,
}

fn rules(commit_reveal: Option<CommitReveal>) -> WeightRules {
    WeightRules { version_key: 3, rate_limit_blocks: 0, ..weight_rules(100, commit_reveal) }
}

async fn connected(chain: &MockChain, directory: &Path, settings: GatewaySettings) -> Gateway {
    let gateway = Gateway::new(settings);
    let ledger = Ledger::open(directory).await.unwrap();
    let submitter =
        Submitter::new(ledger, Arc::new(chain.clone()), key("//validator")).await.unwrap();
    gateway.connect(Arc::new(chain.clone()), submitter);
    gateway
}

impl GatewayFixture {
    async fn new(
        commit_reveal: Option<CommitReveal>,
        script: impl IntoIterator<Item = Script>,
    ) -> Self {
        let (directory, chain) = (tempfile::tempdir().unwrap(), MockChain::default());
        chain.set_weight_rules(NETUID, rules(commit_reveal));
        chain.mine(10);
        chain.script(script);
        let settings = GatewaySettings::new(NETUID, key("//validator").hotkey());
        let gateway = connected(&chain, directory.path(), settings).await;
        let router = gateway.router(OperatorLimits::new(None));
        Self { _directory: directory, chain, gateway, router }
    }

    async fn set_weights(&self, weights: &[f64]) -> (u16, Value) {
        let uids: Vec<usize> = (0..weights.len()).collect();
        post(
            &self.router,
            SET,
            &json!({ "uids": uids, "weights": weights, "retries": 3, "delay_s": 0 }),
        )
        .await
    }
}

#[tokio::test]
async fn gateway_without_chain_responds_503() {
    let gateway = Gateway::new(GatewaySettings::new(NETUID, key("//validator").hotkey()));
    let router = gateway.router(OperatorLimits::new(None));
    assert_eq!(
        send_request(&router, Method::GET, "/healthz", &[], "").await,
        (200, json!({ "ok": true }))
    );
    for path in
        ["/v1/block/current", "/v1/block/wait", "/v1/metagraph/snapshot", "/v1/registry/context"]
    {
        let (status, response) = post(&router, path, &json!({})).await;
        assert_eq!((status, response["error"].as_str().is_some()), (503, true), "{path}");
    }
    assert_eq!(post(&router, SET, &json!({ "uids": 1, "weights": 1 })).await.0, 503);
}

#[tokio::test]
async fn waiting_requests_are_notified_of_a_block_together() {
    let fixture = GatewayFixture::new(None, []).await;
    assert_eq!(
        post(&fixture.router, "/v1/block/current", &json!({})).await,
        (200, json!({ "block": 10 }))
    );
    let body = json!({ "timeout_s": 60 });
    let waiting: Vec<_> = (0..50).map(|_| post(&fixture.router, "/v1/block/wait", &body)).collect();
    let (responses, ()) = tokio::join!(futures::future::join_all(waiting), async {
        tokio::task::yield_now().await;
        fixture.chain.mine(2);
    });
    for response in responses {
        assert_eq!(response, (200, json!({ "block": 12 })));
    }
    let (status, response) =
        post(&fixture.router, "/v1/block/wait", &json!({ "timeout_s": 0.01 })).await;
    assert_eq!((status, &response["error"]), (504, &json!("no new block within 0.01 s")));
    assert_eq!(
        post(&fixture.router, "/v1/block/wait", &json!({ "timeout_s": "soon" })).await.0,
        400
    );
}

#[tokio::test]
async fn unreachable_chain_is_reported() {
    let fixture = GatewayFixture::new(None, []).await;
    fixture.chain.set_unreachable(true);
    for path in ["/v1/block/current", "/v1/metagraph/snapshot", "/v1/registry/context"] {
        let (status, response) = post(&fixture.router, path, &json!({})).await;
        assert_eq!(status, 503, "{path}");
        assert!(response["error"].as_str().unwrap().contains("no node responded"), "{response}");
    }
    let (status, response) = fixture.set_weights(&[1.0]).await;
    assert_eq!((status, &response["success"]), (500, &json!(false)));
    assert!(response["error"].as_str().unwrap().contains("no node responded"), "{response}");
    assert_eq!(response["details"]["attempt"], 3);
    fixture.chain.set_unreachable(false);
    assert_eq!(fixture.set_weights(&[1.0]).await.0, 200);
}

#[tokio::test]
async fn weights_are_set_and_confirmed() {
    let fixture = GatewayFixture::new(None, []).await;
    let (status, response) = fixture.set_weights(&[0.0, 0.75, 0.25]).await;
    assert_eq!((status, &response["success"], response.get("error")), (200, &json!(true), None));
    let details = &response["details"];
    for (field, value) in [
        ("uid_count", json!(3)),
        ("nonzero_weights", json!(2)),
        (
            "top_weights",
            json!([{ "uid": 1, "weight": 0.75 }, { "uid": 2, "weight": 0.25 }, { "uid": 0, "weight": 0.0 }]),
        ),
        ("ref_block", json!(10)),
        ("block", json!(11)),
        ("attempt", json!(1)),
        ("commit_reveal", json!(false)),
        ("confirmation", json!("weights_set")),
        ("state", json!("finalized")),
        ("epoch", json!(7)),
        ("unchanged", json!(false)),
    ] {
        assert_eq!(details[field], value, "{field} of {details}");
    }
    assert_eq!(fixture.chain.included().len(), 1);
}

/// Repeated requests, with the same or different weights, concurrent or later, track the epoch's
/// only submission.
#[tokio::test]
async fn epoch_has_one_submission() {
    let fixture = GatewayFixture::new(None, []).await;
    let responses =
        futures::future::join_all((0..8).map(|_| fixture.set_weights(&[1.0, 3.0]))).await;
    assert!(responses.iter().all(|(status, _)| *status == 200), "{responses:?}");
    let (status, response) = fixture.set_weights(&[9.0, 1.0]).await;
    assert_eq!((status, &response["details"]["unchanged"]), (200, &json!(true)));
    assert_eq!(fixture.chain.submitted().len(), 1);
    // The next epoch begins in the block after that of the submission.
    fixture.chain.mine(1);
    fixture.chain.set_weight_rules(NETUID, {
        let schedule =
            Schedule { epoch_index: 8, last_epoch: BlockNumber::new(12), ..rules(None).schedule };
        WeightRules { schedule, ..rules(None) }
    });
    let (status, response) = fixture.set_weights(&[9.0, 1.0]).await;
    assert_eq!((status, &response["details"]["unchanged"]), (200, &json!(false)));
    assert_eq!(fixture.chain.included().len(), 2);
}

/// Columns: outcomes of the submissions · status · last attempt · blocks with weights
#[tokio::test]
async fn faults_neither_lose_nor_repeat_submissions() {
    let rate_limit = || RefusalReason::custom(6);
    let bad_origin = || DispatchError::Other("BadOrigin".into());
    for (script, status, attempt, included) in [
        (vec![Script::LoseResponse], 200, 2, 1),
        (vec![Script::LoseRequest], 200, 2, 1),
        (vec![Script::Drop], 200, 2, 1),
        (vec![Script::Drop, Script::LoseResponse], 200, 3, 1),
        // Weights rejected by the chain are signed again.
        (vec![Script::Refuse(rate_limit())], 200, 2, 1),
        (vec![Script::Fail(bad_origin())], 200, 2, 2),
        (vec![Script::Refuse(rate_limit()); 3], 500, 3, 0),
        (
            vec![
                Script::Fail(bad_origin()),
                Script::Fail(bad_origin()),
                Script::Fail(bad_origin()),
            ],
            500,
            3,
            3,
        ),
    ] {
        let fixture = GatewayFixture::new(None, script.clone()).await;
        let (actual, response) = fixture.set_weights(&[1.0, 3.0]).await;
        assert_eq!(actual, status, "{script:?}: {response}");
        assert_eq!(response["details"]["attempt"], attempt, "{script:?}: {response}");
        assert_eq!(fixture.chain.included().len(), included, "{script:?}");
        if status == 500 {
            assert_eq!(response["error"], "confirmation failed");
            assert!(
                response["details"]["message"].as_str().is_some_and(|message| !message.is_empty()),
                "{response}"
            );
        }
    }
}

/// Columns: body · status · error
#[tokio::test]
async fn malformed_weights_are_refused() {
    let fixture = GatewayFixture::new(None, []).await;
    let bob = key("//Bob").hotkey();
    for (body, status, expected_message) in [
        (json!({ "uids": [1], "weights": [] }), 400, "uids/weights mismatch or empty"),
        (json!({ "uids": [1, 2], "weights": [1] }), 400, "uids/weights mismatch or empty"),
        (json!("weights"), 400, "uids/weights mismatch or empty"),
        (
            json!({ "uids": [1], "weights": ["a"] }),
            400,
            "weights: expected finite non-negative numbers",
        ),
        (json!({ "uids": [1], "weights": [1], "netuid": 4 }), 400, "serves subnet 59, not 4"),
        (json!({ "uids": [1], "weights": [1], "wallet_hotkey": bob }), 400, "not 5FHneW46"),
        (json!({ "uids": [99], "weights": [1] }), 500, "uid 99 is not on the subnet"),
        (json!({ "uids": [1, 1], "weights": [1, 2] }), 500, "duplicate uid 1"),
        (json!({ "uids": [1], "weights": [0] }), 500, "all weights are 0"),
    ] {
        let (actual, response) = post(&fixture.router, SET, &body).await;
        assert_eq!((actual, &response["success"]), (status, &json!(false)), "{body}");
        assert!(
            response["error"].as_str().unwrap().contains(expected_message),
            "{body}: {response}"
        );
    }
    // A wallet name is ignored.
    assert_eq!(
        post(&fixture.router, SET, &json!({ "uids": 1, "weights": 1, "wallet_hotkey": "default" }))
            .await
            .0,
        200
    );
    assert_eq!(fixture.chain.submitted().len(), 1);
}

#[tokio::test]
async fn request_is_answered_before_its_caller_times_out() {
    let (directory, chain) = (tempfile::tempdir().unwrap(), MockChain::default());
    chain.set_weight_rules(NETUID, rules(None));
    chain.script([Script::Drop, Script::Drop, Script::Drop]);
    let settings = GatewaySettings {
        confirm_timeout: Duration::from_secs(2),
        ..GatewaySettings::new(NETUID, key("//validator").hotkey())
    };
    let router =
        connected(&chain, directory.path(), settings).await.router(OperatorLimits::new(None));
    let (status, response) =
        post(&router, SET, &json!({ "uids": 1, "weights": 1, "retries": 1000, "delay_s": 600 }))
            .await;
    assert_eq!((status, &response["details"]["state"]), (500, &json!("dropped")));
}

/// The gateway completes the epoch's submission even if the request was lost.
#[tokio::test]
async fn pending_submission_continues_at_each_block() {
    let fixture = GatewayFixture::new(None, [Script::Drop, Script::Drop, Script::Drop]).await;
    assert_eq!(fixture.set_weights(&[1.0]).await.0, 500);
    assert!(fixture.chain.included().is_empty());
    let (shutdown, gateway) = (Shutdown::new(), fixture.gateway.clone());
    let stop = shutdown.clone();
    shutdown.spawn("follow", async move { gateway.follow(&stop).await });
    let mut heads = fixture.chain.heads();
    heads.borrow_and_update();
    fixture.chain.mine(1);
    while fixture.chain.included().is_empty() {
        heads.changed().await.unwrap();
    }
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
    assert_eq!(fixture.chain.included().len(), 1);
    assert_eq!(fixture.set_weights(&[1.0]).await.0, 200);
    assert_eq!(fixture.chain.included().len(), 1);
}

/// Several epochs may pass between two attempts of a request.
#[tokio::test]
async fn weights_set_between_two_attempts_are_confirmed() {
    let fixture = GatewayFixture::new(None, []).await;
    let epoch = |last_epoch: u32, epoch_index| {
        let schedule = Schedule {
            tempo: 10,
            last_epoch: BlockNumber::new(last_epoch),
            pending_epoch: None,
            epoch_index,
        };
        fixture.chain.set_weight_rules(NETUID, WeightRules { schedule, ..rules(None) });
    };
    // At block 18, too few blocks of epoch 7 are left: the weights are for epoch 8.
    fixture.chain.mine(8);
    epoch(10, 7);
    let body = json!({ "uids": 1, "weights": 1, "retries": 2, "delay_s": 4 });
    let ((status, response), ()) = tokio::join!(post(&fixture.router, SET, &body), async {
        let submitter = fixture.gateway.inner.connected().unwrap().submitter();
        while submitter.advance().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        fixture.chain.mine(3);
        epoch(20, 8);
        submitter.advance().await.unwrap();
        // The end of epoch 9.
        fixture.chain.mine(16);
        epoch(30, 9);
    });
    let details = &response["details"];
    assert_eq!(
        (status, &details["epoch"], &details["attempt"]),
        (200, &json!(8), &json!(2)),
        "{response}"
    );
    assert_eq!(fixture.chain.included().len(), 1);
}

/// After a restart, weights based on old scores are not signed first.
#[tokio::test]
async fn weights_of_stale_scores_are_not_signed_after_restart() {
    let fixture = GatewayFixture::new(None, []).await;
    fixture.chain.mine(200);
    fixture.chain.set_weight_rules(NETUID, {
        let schedule = Schedule { last_epoch: BlockNumber::new(210), ..rules(None).schedule };
        WeightRules { schedule, ..rules(None) }
    });
    let body = |state_block: u32| json!({ "uids": 1, "weights": 1, "retries": 1, "delay_s": 0, "state_block": state_block });
    let (status, response) = post(&fixture.router, SET, &body(109)).await;
    assert_eq!(status, 500, "{response}");
    assert!(
        response["error"].as_str().unwrap().contains("evaluate the miners again"),
        "{response}"
    );
    assert!(fixture.chain.submitted().is_empty());
    // The caller's node is ahead of ours.
    assert_eq!(post(&fixture.router, SET, &body(300)).await.0, 200);
}

/// Shutdown is immediate, even while a submission is in flight that may take minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_does_not_wait_for_pending_submission() {
    let (directory, chain) = (tempfile::tempdir().unwrap(), MockChain::default());
    chain.set_weight_rules(NETUID, rules(None));
    chain.mine(10);
    let (release_sender, release_receiver) = std::sync::mpsc::channel::<()>();
    let (sending_sender, mut sending_receiver) = tokio::sync::mpsc::unbounded_channel();
    let release_receiver = std::sync::Mutex::new(release_receiver);
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let submitter =
        Submitter::new(ledger, Arc::new(chain.clone()), key("//validator")).await.unwrap();
    let submitter = submitter.with_observer(Arc::new(move |_, _, progress| {
        if progress == StepProgress::Sending {
            sending_sender.send(()).unwrap();
            let _ = release_receiver.lock().unwrap().recv();
        }
    }));
    let gateway = Gateway::new(GatewaySettings::new(NETUID, key("//validator").hotkey()));
    gateway.connect(Arc::new(chain), submitter);
    let router = gateway.router(OperatorLimits::new(None));
    let request =
        tokio::spawn(async move { post(&router, SET, &json!({ "uids": 1, "weights": 1 })).await });
    sending_receiver.recv().await.unwrap();

    let shutdown = Shutdown::new();
    let follow = gateway.follow(&shutdown);
    tokio::pin!(follow);
    assert!(futures::poll!(&mut follow).is_pending());
    shutdown.request();
    tokio::time::timeout(Duration::from_secs(5), follow).await.unwrap();
    release_sender.send(()).unwrap();
    assert_eq!(request.await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_reads_and_writes_a_real_chain() {
    let chain = LocalChain::start(3).await;
    let directory = tempfile::tempdir().unwrap();
    let gateway = chain.gateway(directory.path()).await;
    let url = listen(gateway.router(OperatorLimits::new(None))).await;
    let client = GatewayClient::new(&url, None, Duration::from_secs(30)).unwrap();
    let block = client.current_block(Duration::from_mins(1)).await.unwrap();
    let next = client.wait_for_block(Duration::from_mins(1)).await.unwrap().unwrap();
    assert!(next > block, "{next} after {block}");

    let miner = &chain.miners[1];
    let address = "203.0.113.7:9000".parse().unwrap();
    chain.send(serve_axon_call(address), miner).await;
    let neurons = client.neurons(NETUID).await.unwrap();
    let neuron_of = |hotkey| *neurons.list.iter().find(|neuron| neuron.hotkey == hotkey).unwrap();
    let (served, own) = (neuron_of(miner.hotkey()), neuron_of(chain.validator.hotkey()));
    assert_eq!((served.uid, served.address), (chain.uid(miner).await, Some(address)));
    assert_eq!((served.validator_permit, served.stake), (Some(false), Some(Rao::new(0))));
    assert_eq!((own.uid, own.address), (chain.uid(&chain.validator).await, None));
    assert!(own.validator_permit == Some(true) && own.stake > Some(Rao::new(0)), "{own:?}");
    let node_neurons = Neurons::read(&*chain.client, NETUID).await.unwrap();
    let fields =
        |neuron: &Neuron| (neuron.uid, neuron.hotkey, neuron.address, neuron.validator_permit);
    assert!(
        neurons.list.iter().map(fields).eq(node_neurons.list.iter().map(fields)),
        "{neurons:?} {node_neurons:?}"
    );
    assert_eq!((neurons.registered, neurons.malformed), (node_neurons.registered, 0));
    let router = gateway.router(OperatorLimits::new(None));
    let (status, context) =
        post(&router, "/v1/registry/context", &json!({ "netuid": 59, "lite": true })).await;
    assert_eq!((status, &context["commitments"]), (200, &json!({})));
    let (metagraph, uid, validator) =
        (&context["metagraph"], usize::from(served.uid.0), usize::from(own.uid.0));
    assert_eq!(metagraph["hotkeys"][uid], json!(miner.hotkey()));
    assert_eq!(metagraph["axons"][uid], json!({ "ip": "203.0.113.7", "port": 9000 }));
    assert_eq!(metagraph["axons"][validator], json!({ "ip": "0.0.0.0", "port": 0 }));
    for list in ["hotkeys", "last_update", "axons", "validator_permit", "stake"] {
        assert_eq!(metagraph[list].as_array().map(Vec::len), Some(neurons.registered), "{list}");
    }
    assert_eq!(post(&router, "/v1/metagraph/snapshot", &json!({ "netuid": 700 })).await.0, 404);

    let miner_uids: Vec<Uid> =
        [chain.uid(&chain.miners[0]).await, chain.uid(&chain.miners[2]).await].to_vec();
    let request = WeightsRequest::new(NETUID, miner_uids.clone(), vec![0.25, 0.75]);
    let response = client.set_and_confirm(&request).await.unwrap();
    assert!(response.success, "{response:?}");
    assert_eq!(chain.weights().await, [(miner_uids[0], 21_845), (miner_uids[1], 65_535)]);
    let last_update = client.neurons(NETUID).await.unwrap().list[validator].last_update.unwrap();
    assert!(
        u64::from(last_update.get()) >= response.details["ref_block"].as_u64().unwrap(),
        "{last_update} {}",
        response.details
    );
    chain.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_reveal_subnet_gets_timelocked_commits() {
    let chain = LocalChain::start(1).await;
    let call = "sudo_set_commit_reveal_weights_enabled";
    chain.sudo("AdminUtils", call, json!({ "netuid": 59, "enabled": true })).await;
    let directory = tempfile::tempdir().unwrap();
    let router = chain.gateway(directory.path()).await.router(OperatorLimits::new(None));
    let uid = chain.uid(&chain.miners[0]).await;
    let (status, response) = post(&router, SET, &json!({ "uids": uid, "weights": 1 })).await;
    assert_eq!(status, 200, "{response}");
    let details = &response["details"];
    assert_eq!(
        (&details["commit_reveal"], &details["confirmation"]),
        (&json!(true), &json!("timelocked_commit"))
    );
    assert!(details["reveal_round"].as_u64().is_some_and(|round| round > 0), "{details}");
    assert!(chain.weights().await.is_empty(), "hidden until the round");
    chain.node.stop().await;
}

#[tokio::test]
async fn client_errors_name_their_cause() {
    let client = |url: &Url| GatewayClient::new(url, None, Duration::from_secs(5)).unwrap();
    let long = "x".repeat(1000);
    let server = |status: u16, body: String| {
        listen(Router::new().fallback(move || {
            let body = body.clone();
            async move { (axum::http::StatusCode::from_u16(status).unwrap(), body) }
        }))
    };
    let message = |error: GatewayError| error.to_string();
    let failing_client = client(&server(500, "Internal Server Error".into()).await);
    let error = message(failing_client.neurons(NETUID).await.unwrap_err());
    assert_eq!(
        error,
        "gateway /v1/metagraph/snapshot failed status=500 body=Internal Server Error"
    );
    let error = message(
        client(&server(503, long).await).current_block(Duration::from_secs(5)).await.unwrap_err(),
    );
    assert_eq!(
        error,
        format!("gateway /v1/block/current failed status=503 body={}", "x".repeat(300))
    );
    let refusal = r#"{"error":"the token is wrong; hint: send it"}"#;
    let error = client(&server(401, refusal.into()).await).neurons(NETUID).await.unwrap_err();
    assert!(error.is_authentication(), "{error:?}");
    let error = message(error);
    let (_, hint) = split_hint(&error);
    assert!(hint.is_some_and(|hint| hint.contains("BB_API_TOKEN_FILE")), "{error}");
    for body in ["[1]", "7", "{", "", "<html>"] {
        let error =
            message(client(&server(200, body.into()).await).neurons(NETUID).await.unwrap_err());
        assert_eq!(error, "gateway /v1/metagraph/snapshot returned invalid json", "{body}");
    }
    let error = message(client(&server(200, "{}".into()).await).neurons(NETUID).await.unwrap_err());
    assert!(error.contains("missing field"), "{error}");
    let error =
        message(client(&unused_address()).current_block(Duration::from_secs(5)).await.unwrap_err());
    assert!(error.contains("refused"), "{error}");
}

fn serve_axon_call(address: std::net::SocketAddr) -> taonet_chain::Call {
    taonet_chain::calls::serve_axon(NETUID, 4, address)
}
