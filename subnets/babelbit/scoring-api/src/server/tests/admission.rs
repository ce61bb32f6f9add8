//! Admission, rate limits and stake of validators.

use axum::Router;
use axum::routing::post as post_route;

use super::*;
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_validator::testing::{LocalChain, NETUID, listen};

async fn query_scores(api: &ScoringApi, signer: &Keypair) -> (u16, Value) {
    let timestamp = now();
    let signed = json!({ "challenge_id": "c", "data": { "challenge_uid": "c" }, "hotkey": signer.hotkey(), "timestamp": timestamp });
    let signature = signer.sign(sorted_json(&signed).as_bytes()).to_bare_hex();
    let hotkey = signer.hotkey();
    let path = format!(
        "/v1/get_scores?hotkey={hotkey}&timestamp={timestamp}&signature={signature}&challenge_uid=c"
    );
    send_request(&api.router(), Method::GET, &path, &[], "").await
}

#[tokio::test]
async fn only_validators_submit_and_query_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (validator, unlisted, miner) = (key("//a"), key("//stranger"), key("//good"));
    let admission = Admission::Listed(BTreeSet::from([validator.hotkey()]));
    let api = api(folder.path(), &sqlite(folder.path()), admission).await;
    assert_eq!(post(&api, &score_submission(&unlisted, &miner, "main", 0.9, now())).await.0, 403);
    assert_eq!(query_scores(&api, &unlisted).await.0, 403);
    assert_eq!(post(&api, &score_submission(&validator, &miner, "main", 0.5, now())).await.0, 200);
    let (status, answer) = query_scores(&api, &validator).await;
    assert_eq!((status, answer["scores"].as_array().unwrap().len()), (200, 1));
}

#[tokio::test]
async fn readers_query_scores_and_cannot_submit() {
    let folder = tempfile::tempdir().unwrap();
    let (validator, reader, miner) = (key("//a"), key("//gateway"), key("//good"));
    let admission = Admission::Listed(BTreeSet::from([validator.hotkey()]));
    let limits =
        ScoringLimits { readers: BTreeSet::from([reader.hotkey()]), ..ScoringLimits::default() };
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let api = ScoringApi::new(store, artifacts, admission, limits);
    assert_eq!(post(&api, &score_submission(&validator, &miner, "main", 0.5, now())).await.0, 200);
    assert_eq!(post(&api, &score_submission(&reader, &miner, "main", 0.9, now())).await.0, 403);
    let (status, answer) = query_scores(&api, &reader).await;
    assert_eq!((status, &answer["scores"][0]["challenge_mean_score"]), (200, &json!(0.5)));
}

#[tokio::test]
async fn requests_are_refused_until_validators_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayClient::new(&unused_address(), None, Duration::from_secs(1)).unwrap();
    let api =
        api(folder.path(), &sqlite(folder.path()), Admission::Permits { gateway, netuid: NETUID })
            .await;
    let (status, answer) =
        post(&api, &score_submission(&key("//a"), &key("//good"), "main", 0.9, now())).await;
    let expected = "the list of validators has not been fetched yet; hint: retry later";
    assert_eq!((status, &answer["error"]), (503, &json!(expected)));
}

/// Columns: permits and stakes of a, b and c; the stake-weighted median of their scores 0.2, 0.4
/// and 0.9.
#[tokio::test]
async fn scores_are_weighted_by_validator_stake() {
    let validators = ["//a", "//b", "//c"].map(key);
    for (permits, stakes, expected) in [
        ([true, true, true], [1, 1, 1], Some(0.4)),
        ([true, true, true], [1, 1, 3], Some(0.9)),
        ([true, true, false], [3, 1, 9], Some(0.2)),
        ([true, true, true], [0, 0, 0], Some(0.4)),
        ([false, false, false], [3, 1, 9], None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let hotkeys = validators.each_ref().map(Keypair::hotkey);
        let snapshot = json!({ "block": 1, "hotkeys": hotkeys, "last_update": [0, 0, 0], "axons": [],
                               "validator_permit": permits, "stake": stakes });
        let gateway = Router::new()
            .route("/v1/metagraph/snapshot", post_route(move || async { axum::Json(snapshot) }));
        let gateway =
            GatewayClient::new(&listen(gateway).await, None, Duration::from_secs(5)).unwrap();
        let api = api(
            folder.path(),
            &sqlite(folder.path()),
            Admission::Permits { gateway, netuid: NETUID },
        )
        .await;
        let shutdown = Shutdown::new();
        let (background_api, stop) = (api.clone(), shutdown.clone());
        shutdown.spawn("upkeep", async move { background_api.follow(&stop).await });
        for ((validator, mean), is_permitted) in validators.iter().zip([0.2, 0.4, 0.9]).zip(permits)
        {
            let body = score_submission(validator, &key("//good"), "main", mean, now());
            while post(&api, &body).await.0 == 503 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(post(&api, &body).await.0, if is_permitted { 200 } else { 403 });
        }
        let scores = api.store().scores("c", None).await.unwrap();
        let answer = answer::answer("c", scores, api.state.validators.stake());
        assert_eq!(
            answer.scores.first().map(|row| row.challenge_mean_score),
            expected,
            "{permits:?} {stakes:?}"
        );
        shutdown.request();
        shutdown.finished().await.unwrap();
    }
}

/// A gateway without permits would make every miner a validator.
#[tokio::test]
async fn gateway_without_permits_admits_no_validator() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot =
        json!({ "block": 1, "hotkeys": [key("//a").hotkey()], "last_update": [0], "axons": [] });
    let gateway = Router::new()
        .route("/v1/metagraph/snapshot", post_route(move || async { axum::Json(snapshot) }));
    let gateway = GatewayClient::new(&listen(gateway).await, None, Duration::from_secs(5)).unwrap();
    let api =
        api(folder.path(), &sqlite(folder.path()), Admission::Permits { gateway, netuid: NETUID })
            .await;
    let shutdown = Shutdown::new();
    let follow = api.follow(&shutdown);
    let submit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let status =
            post(&api, &score_submission(&key("//a"), &key("//good"), "main", 0.9, now())).await.0;
        shutdown.request();
        status
    };
    assert_eq!(tokio::join!(follow, submit).1, 503);
}

/// Permits and stakes pass from the chain through the gateway to the scoring API.
#[tokio::test(flavor = "multi_thread")]
async fn permits_and_stakes_come_from_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let chain = LocalChain::start(1).await;
    let gateway = chain.gateway(folder.path()).await;
    let url =
        listen(gateway.router(taonet_validator::operator_http::OperatorLimits::new(None))).await;
    let gateway = GatewayClient::new(&url, None, Duration::from_secs(5)).unwrap();
    let api =
        api(folder.path(), &sqlite(folder.path()), Admission::Permits { gateway, netuid: NETUID })
            .await;
    let shutdown = Shutdown::new();
    let (background_api, stop) = (api.clone(), shutdown.clone());
    shutdown.spawn("upkeep", async move { background_api.follow(&stop).await });
    let body = score_submission(&chain.validator, &chain.miners[0], "main", 0.5, now());
    while post(&api, &body).await.0 == 503 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(post(&api, &body).await.0, 200);
    assert_eq!(
        post(&api, &score_submission(&chain.miners[0], &chain.miners[0], "main", 1.0, now()))
            .await
            .0,
        403
    );
    assert!(api.state.validators.stake()(&chain.validator.hotkey()).unwrap() > 0);
    shutdown.request();
    shutdown.finished().await.unwrap();
}

#[tokio::test]
async fn requests_above_the_rate_limit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let store = Store::open(&sqlite(folder.path())).await.unwrap();
    let low_limit = RateLimit { requests: 2, window: Duration::from_mins(1) };
    let limits = ScoringLimits { per_validator: low_limit, ..ScoringLimits::default() };
    let api = ScoringApi::new(store, artifacts, Admission::Open, limits);
    let body =
        |validator: &str| score_submission(&key(validator), &key("//good"), "main", 0.5, now());
    for status in [200, 200, 429, 429] {
        assert_eq!(post(&api, &body("//a")).await.0, status);
    }
    assert_eq!(post(&api, &body("//b")).await.0, 200, "validators have separate rate limits");
}
