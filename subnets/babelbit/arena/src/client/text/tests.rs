use serde_json::json;
use taonet_babelbit_core::arena_api::{LIST_PATH, RUNSYNC_PATH};
use wiremock::{MockServer, ResponseTemplate};

use super::super::testing::{
    VirtualClock, body, config, gateway, hotkey, ok, registered, requests_to, route, text_response,
};
use super::*;
use crate::ArenaSettings;
use crate::client::ArenaConfig;

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn request() -> PredictedUtterance {
    serde_json::from_value(json!({ "index": "s", "step": 0, "prefix": "Is" })).unwrap()
}

/// Lists a miner in a container, one behind the gateway, and one in a pod without an API key.
async fn list_miners(server: &MockServer, virtual_clock: &VirtualClock) -> Vec<TextMiner> {
    let row = |uid: u16, provider: &str, path: &str| {
        let url = format!("{}{path}", server.uri());
        let kind = if uid == 3 { "POD" } else { "" };
        json!({ "hotkey": hotkey(uid), "status": "running", "provider": provider, "url": url, "endpoint_type": kind })
    };
    let rows = [
        row(1, "vast", "/1/predict"),
        row(2, "gateway", RUNSYNC_PATH),
        row(3, "runpod", "/3/predict"),
    ];
    route(server, "GET", LIST_PATH, vec![ok(json!({ "containers": rows }))]).await;
    let settings = ArenaSettings {
        status: "any".into(),
        pod_wake_timeout: Duration::ZERO,
        ..ArenaSettings::default()
    };
    let config =
        ArenaConfig { predict_path: "/predict".to_owned(), ..config(&server.uri(), settings) };
    let arena = Arena::with_time(config, virtual_clock.time()).unwrap();
    let miners = arena.text_miners(&registered(&[1, 2, 3])).await.unwrap();
    assert_eq!(miners.iter().map(|miner| miner.key.uid.0).collect::<Vec<_>>(), [1, 2, 3]);
    miners
}

/// Columns: endpoint · predict path · health route
#[test]
fn health_route_replaces_the_predict_path() {
    for (endpoint, path, expected) in [
        ("http://a:9000", "predict", "http://a:9000/health"),
        ("http://a:9000/", "predict", "http://a:9000/health"),
        ("http://a:9000/predict", "predict", "http://a:9000/health"),
        ("http://a:9000/predict/", "/predict", "http://a:9000/health"),
        ("http://a:9000/v1/predict", "predict", "http://a:9000/v1/health"),
        ("http://a:9000/v1/predict", "v1/predict", "http://a:9000/health"),
        ("http://a:9000/miner", "predict", "http://a:9000/miner/health"),
        ("http://a:9000/xpredict", "predict", "http://a:9000/xpredict/health"),
    ] {
        assert_eq!(
            health_url(&endpoint.parse().unwrap(), path).as_str(),
            expected,
            "{endpoint} {path}"
        );
    }
}

#[tokio::test]
async fn miners_behind_the_gateway_are_not_probed() {
    let server = gateway().await;
    let miners = list_miners(&server, &VirtualClock::default()).await;
    route(
        &server,
        "GET",
        "/1/health",
        vec![text_response(503, ""), text_response(404, ""), text_response(200, "")],
    )
    .await;
    let [container, gateway, pod] = &miners[..] else { panic!("{miners:?}") };
    for expected in [false, false, true] {
        assert_eq!(container.connection.is_healthy(TEN_SECONDS).await, expected);
    }
    assert_eq!(requests_to(&server, "/1/health").await.len(), 3);
    let request_count = server.received_requests().await.unwrap().len();
    assert!(gateway.connection.is_healthy(TEN_SECONDS).await);
    assert!(!pod.connection.is_healthy(TEN_SECONDS).await, "a pod needs an API key");
    assert_eq!(server.received_requests().await.unwrap().len(), request_count);
}

#[tokio::test]
async fn predictions_are_requested_directly_and_through_the_gateway() {
    let server = gateway().await;
    let miners = list_miners(&server, &VirtualClock::default()).await;
    for path in ["/1/predict", "/3/predict"] {
        route(&server, "POST", path, vec![ok(json!({ "prediction": path }))]).await;
    }
    route(
        &server,
        "POST",
        RUNSYNC_PATH,
        vec![ok(json!({ "output": { "prediction": "gateway" } }))],
    )
    .await;
    for (miner, expected) in miners.iter().zip(["/1/predict", "gateway", "/3/predict"]) {
        assert_eq!(miner.connection.predict(&request(), TEN_SECONDS).await.unwrap(), expected);
    }
    let direct = &requests_to(&server, "/1/predict").await[0];
    assert_eq!(serde_json::from_value::<PredictedUtterance>(body(direct)).unwrap(), request());
    assert_eq!(direct.headers["name"], PREDICT_MESSAGE);
    assert_eq!(direct.headers["timeout"], "10.0");
    let forwarded = body(&requests_to(&server, RUNSYNC_PATH).await[0]);
    assert_eq!(forwarded["input"]["predict_payload"], body(direct));
    let headers = &forwarded["input"]["bt_headers"];
    assert_eq!((&headers["name"], &headers["timeout"]), (&json!(PREDICT_MESSAGE), &json!("10.0")));
    let id = forwarded["request_id"].as_str().unwrap();
    assert!(id.starts_with("gw-audio:BBPredictedUtterance:2:1:"), "{id}");
}

#[tokio::test]
async fn gateway_is_retried_within_the_timeout_of_a_prediction() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    let miners = list_miners(&server, &virtual_clock).await;
    route(&server, "POST", RUNSYNC_PATH, vec![ResponseTemplate::new(503)]).await;
    let error = miners[1].connection.predict(&request(), TEN_SECONDS).await.unwrap_err();
    assert!(matches!(error, CallError::Status { status: 503, .. }), "{error}");
    assert_eq!(virtual_clock.waits(), [2.0, 4.0, 3.5]);
}
