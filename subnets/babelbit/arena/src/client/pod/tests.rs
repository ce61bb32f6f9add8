use serde_json::json;
use wiremock::MockServer;

use super::super::testing::{
    VirtualClock, client, miner_key, ok, policy, requests_to, route, text_response,
};
use super::*;

const MINUTE: Duration = Duration::from_mins(1);

struct ScriptedPod {
    server: MockServer,
    virtual_clock: VirtualClock,
}

impl ScriptedPod {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let init_response = json!({
            "ready": true, "session_id": "s1", "challenge_uid": "c1", "utterance_id": "c1:0", "sample_rate_hz": 24_000,
            "frame_rate_hz": 12.5, "frame_samples": 1_920, "dtype": "float32le", "channels": 1,
        });
        route(&server, "POST", "/v1/predict", vec![ok(init_response)]).await;
        Self { server, virtual_clock: VirtualClock::default() }
    }

    fn miner(&self, key: Option<&str>, id: Option<&str>, is_up: bool) -> PodMiner {
        let settings =
            ArenaSettings { runpod_api_key: key.map(Secret::new), ..ArenaSettings::default() };
        let mut pods =
            Pods::new(&settings, policy(true).permitted(), self.virtual_clock.time()).unwrap();
        pods.api_url = format!("{}/api", self.server.uri());
        let address = policy(true).resolve_managed(&self.server.uri()).unwrap();
        let container =
            ContainerMiner::new(client(), miner_key(1).hotkey(), &address, "v1/predict").unwrap();
        let pod = Pod { id: id.map(str::to_owned), is_up };
        PodMiner::new(container, Arc::new(pods), &address, "v1/predict", pod)
    }

    async fn paths(&self) -> Vec<String> {
        self.server
            .received_requests()
            .await
            .unwrap()
            .iter()
            .map(|r| r.url.path().to_owned())
            .collect()
    }
}

fn init() -> InitRequest {
    InitRequest::new("c1", "c1:0", None, 1)
}

fn frame() -> PredictCall {
    PredictCall {
        session_id: "s1".into(),
        audio_b64: "".into(),
        in_eos: false,
        max_response_bytes: 10_000,
    }
}

#[tokio::test]
async fn stopped_pod_is_started_and_checked_before_its_session() {
    let pod = ScriptedPod::new().await;
    route(&pod.server, "POST", "/api/pods/abc/start", vec![text_response(201, "")]).await;
    route(&pod.server, "GET", "/healthz", vec![text_response(200, "")]).await;
    let miner = pod.miner(Some("secret"), Some("abc"), false);
    miner.init(init(), MINUTE).await.unwrap();
    miner.predict(frame(), MINUTE).await.unwrap();
    miner.predict(frame(), MINUTE).await.unwrap();
    // The client checks the pod's health before the session, not before each frame, and does not
    // start a running pod again.
    miner.init(init(), MINUTE).await.unwrap();
    let predict = "/v1/predict";
    let expected =
        ["/api/pods/abc/start", "/healthz", predict, predict, predict, "/healthz", predict];
    assert_eq!(pod.paths().await, expected);
    let start = &requests_to(&pod.server, "/api/pods/abc/start").await[0];
    assert_eq!(start.headers["authorization"], "Bearer secret");
}

#[tokio::test]
async fn running_pod_is_checked_without_a_start() {
    let pod = ScriptedPod::new().await;
    route(&pod.server, "GET", "/healthz", vec![text_response(404, "")]).await;
    route(
        &pod.server,
        "GET",
        "/health",
        vec![text_response(503, "loading"), text_response(503, "loading"), text_response(200, "")],
    )
    .await;
    pod.miner(Some("k"), Some("abc"), true).init(init(), MINUTE).await.unwrap();
    let mut expected = ["/healthz", "/health"].repeat(3);
    expected.push("/v1/predict");
    assert_eq!(pod.paths().await, expected);
    assert_eq!(pod.virtual_clock.waits(), [2.0, 2.0]);
}

#[tokio::test]
async fn pod_that_never_becomes_healthy_times_out_and_is_restarted() {
    let pod = ScriptedPod::new().await;
    route(
        &pod.server,
        "POST",
        "/api/pods/abc/start",
        vec![text_response(200, ""), text_response(500, "no capacity")],
    )
    .await;
    let miner = pod.miner(Some("k"), Some("abc"), false);
    let error = miner.init(init(), Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error, CallError::Timeout(Duration::from_secs(90)));
    let waited_seconds: f64 = pod.virtual_clock.waits().iter().sum();
    assert!((waited_seconds - 90.0).abs() < 0.1, "{waited_seconds}");
    let error = miner.init(init(), MINUTE).await.unwrap_err();
    assert_eq!(error.to_string(), "500:no capacity");
    assert!(requests_to(&pod.server, "/v1/predict").await.is_empty());
}

#[tokio::test]
async fn missing_pod_setting_is_reported() {
    let pod = ScriptedPod::new().await;
    for (key, id, expected_message) in [
        (None, Some("abc"), "missing_runpod_api_key_for_pod_route"),
        (Some("k"), None, "missing_endpoint_id_for_pod_route"),
    ] {
        let error = pod.miner(key, id, true).init(init(), MINUTE).await.unwrap_err();
        assert_eq!(error.to_string(), expected_message);
    }
    assert!(pod.paths().await.is_empty());
}

#[tokio::test]
async fn endpoint_id_is_escaped_in_the_path() {
    let pod = ScriptedPod::new().await;
    let error =
        pod.miner(Some("k"), Some("../x?y/z"), false).init(init(), MINUTE).await.unwrap_err();
    assert!(error.to_string().starts_with("404:"), "{error}");
    assert_eq!(pod.paths().await, ["/api/pods/..%2Fx%3Fy%2Fz/start"]);
}
