use serde_json::json;
use taonet_wire::compact_hash;
use wiremock::{MockServer, ResponseTemplate};

use super::super::testing::{
    VirtualClock, body, client, gateway, key, miner_key, ok, requests_to, route, text_response,
};
use super::*;
use crate::gateway::testing::init;

const MINUTE: Duration = Duration::from_mins(1);

fn miner(server: &MockServer, virtual_clock: &VirtualClock) -> GatewayMiner {
    miner_at(&format!("{}/runsync", server.uri()), virtual_clock)
}

fn miner_at(url: &str, virtual_clock: &VirtualClock) -> GatewayMiner {
    let tokens =
        Tokens::new(Arc::new(key("//validator")), Duration::from_secs(5), virtual_clock.time());
    let route =
        GatewayRoute { url: url.parse().unwrap(), hotkey: miner_key(7).hotkey(), uid: Uid(7) };
    GatewayMiner::new(
        client(),
        Arc::new(tokens),
        route,
        &ArenaSettings::default(),
        virtual_clock.time(),
    )
    .unwrap()
}

fn frame(session: &str) -> PredictCall {
    PredictCall {
        session_id: session.into(),
        audio_b64: "".into(),
        in_eos: true,
        max_response_bytes: 1_000,
    }
}

fn ok_response() -> ResponseTemplate {
    ok(json!({ "output": { "session_id": "s1", "out_eos": true } }))
}

/// Returns the bodies of all calls.
async fn calls(server: &MockServer) -> Vec<Value> {
    requests_to(server, "/runsync").await.iter().map(body).collect()
}

#[tokio::test]
async fn message_carries_signed_headers_token_and_miner() {
    let server = gateway().await;
    route(&server, "POST", "/runsync", vec![ok_response()]).await;
    let miner = miner(&server, &VirtualClock::default());
    assert!(miner.predict(frame("s1"), MINUTE).await.unwrap().out_eos);
    // The response is incomplete, but the request can be inspected.
    miner.init(init(0), MINUTE).await.unwrap_err();
    let calls = calls(&server).await;
    let hotkey = miner_key(7).hotkey().to_string();
    for (call, name, hash) in [
        (
            &calls[0],
            PREDICT_MESSAGE,
            "8db618b579f6667e1cbdf641d0704a326abae8d0e9a0037cff59ddc5c98f04c2",
        ),
        (
            &calls[1],
            INIT_MESSAGE,
            "8bf3b03b89a68cdcd7f64b01f0072a7a5db443a9e1febbbadf0e977e9313cf69",
        ),
    ] {
        assert_eq!((&call["auth_token"], &call["uid"]), (&json!("token-0"), &json!(7)));
        assert_eq!(call["miner_hotkey"], hotkey);
        let id = call["request_id"].as_str().unwrap();
        let (prefix, uuid) = id.rsplit_once(':').unwrap();
        assert_eq!(prefix, format!("gw-audio:{name}:7:1"));
        assert!(uuid.len() == 32 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let headers = &call["input"]["bt_headers"];
        assert_eq!(
            (&headers["name"], &headers["computed_body_hash"]),
            (&json!(name), &json!(hash))
        );
        assert_eq!(
            (&headers["bt_header_axon_ip"], &headers["bt_header_axon_port"]),
            (&json!("0.0.0.0"), &json!("0"))
        );
        assert_eq!(
            (&headers["bt_header_axon_hotkey"], &headers["timeout"]),
            (&json!(hotkey), &json!("600.0"))
        );
        assert_eq!(headers.get("content-type"), None);
        // The signed bytes are the sent bytes.
        let payload = serde_json::to_string(&call["input"]["predict_payload"]).unwrap();
        assert_eq!(compact_hash(payload.as_bytes()).unwrap(), hash);
    }
    let auth = body(&requests_to(&server, "/auth/token").await[0]);
    assert_eq!((&auth["miner_hotkey"], &auth["uid"]), (&json!(hotkey), &json!(7)));
}

/// Columns: response · session ID in it, or the error
#[tokio::test]
async fn response_envelope_is_unwrapped() {
    for (answer, expected) in [
        (ok(json!({ "output": { "session_id": "a" }, "session_id": "b" })), Ok("a")),
        (ok(json!({ "session_id": "b" })), Ok("b")),
        (ok(json!({ "session_id": "b", "output": "text" })), Ok("b")),
        (ok(json!({ "output": { "error": "unknown session" } })), Err("unknown session")),
        (ok(json!({ "error": "no" })), Err("no")),
        (ok(json!([])), Err("invalid_payload_type")),
        (ok(json!({ "status": "IN_QUEUE" })), Err("parse:missing field `session_id`")),
    ] {
        let server = gateway().await;
        route(&server, "POST", "/runsync", vec![answer]).await;
        let outcome = miner(&server, &VirtualClock::default()).predict(frame("s"), MINUTE).await;
        match (outcome, expected) {
            (Ok(response), Ok(session)) => assert_eq!(response.session_id, session),
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text),
            (outcome, expected) => panic!("{outcome:?} {expected:?}"),
        }
    }
}

#[tokio::test]
async fn retry_after_temporary_failure_has_a_new_nonce() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    let answers = vec![
        text_response(503, r#"{"error":"pod_capacity_exhausted"}"#),
        text_response(500, "miner pod is being recreated"),
        text_response(410, "miner endpoint unavailable"),
        text_response(409, "upstream said no"),
        text_response(404, ""),
        ok_response(),
    ];
    route(&server, "POST", "/runsync", answers).await;
    miner(&server, &virtual_clock).predict(frame("s1"), MINUTE).await.unwrap();
    assert_eq!(virtual_clock.waits(), [2.0, 4.0, 8.0, 10.0, 10.0]);
    let calls = calls(&server).await;
    for (call, attempt) in calls.iter().zip(1..) {
        let prefix = format!("gw-audio:BBAudioMinerPredictPayload:7:{attempt}:");
        assert!(call["request_id"].as_str().unwrap().starts_with(&prefix), "{call}");
    }
    let nonces: std::collections::BTreeSet<_> = calls
        .iter()
        .map(|call| call["input"]["bt_headers"]["bt_header_dendrite_nonce"].to_string())
        .collect();
    assert_eq!(nonces.len(), 6, "each attempt has a new signature");
}

#[tokio::test]
async fn retried_frame_carries_its_index() {
    let server = gateway().await;
    let answers = vec![
        ok_response(),
        text_response(504, ""),
        text_response(504, ""),
        ok_response(),
        ok_response(),
        text_response(504, ""),
        ok_response(),
    ];
    route(&server, "POST", "/runsync", answers).await;
    let miner = miner(&server, &VirtualClock::default());
    for session in ["s1", "s1", "s1", "s2"] {
        miner.predict(frame(session), MINUTE).await.unwrap();
    }
    let sent_frames: Vec<_> = calls(&server)
        .await
        .iter()
        .map(|call| {
            let payload = &call["input"]["predict_payload"];
            let hash = compact_hash(payload.to_string().as_bytes()).unwrap();
            assert_eq!(call["input"]["bt_headers"]["computed_body_hash"], hash);
            (
                payload["session_id"].as_str().unwrap().to_owned(),
                payload.get("frame_index").cloned(),
            )
        })
        .collect();
    let without_index = |session: &str| (session.to_owned(), None);
    let with_index = |session: &str, index: u64| (session.to_owned(), Some(json!(index)));
    assert_eq!(
        sent_frames,
        [
            without_index("s1"),
            without_index("s1"),
            with_index("s1", 1),
            with_index("s1", 1),
            without_index("s1"),
            without_index("s2"),
            with_index("s2", 0)
        ]
    );
}

/// Columns: response · immediate error
#[tokio::test]
async fn permanent_failure_is_not_retried() {
    for (answer, text) in [
        (
            text_response(503, r#"{"error":"miner_app_unavailable"}"#),
            r#"503:{"error":"miner_app_unavailable"}"#,
        ),
        (text_response(503, "Miner not initialized"), "503:Miner not initialized"),
        (text_response(500, "boom"), "500:boom"),
        (text_response(422, "what?"), "422:what?"),
        (text_response(302, ""), "302:"),
    ] {
        let (server, virtual_clock) = (gateway().await, VirtualClock::default());
        route(&server, "POST", "/runsync", vec![answer]).await;
        let error = miner(&server, &virtual_clock).predict(frame("s"), MINUTE).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), virtual_clock.waits().len()), (text, 0));
        assert_eq!(calls(&server).await.len(), 1, "{text}");
    }
}

#[tokio::test]
async fn retries_end_at_the_deadline() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    route(&server, "POST", "/runsync", vec![text_response(503, "busy")]).await;
    let error = miner(&server, &virtual_clock).predict(frame("s"), MINUTE).await.unwrap_err();
    assert_eq!(error, CallError::Status { status: 503, body: "busy".into() });
    let waited_seconds: f64 = virtual_clock.waits().iter().sum();
    assert!((599.0..=599.6).contains(&waited_seconds), "{waited_seconds}");
}

#[tokio::test]
async fn refused_token_is_renewed_once_for_each_call() {
    let server = gateway().await;
    route(
        &server,
        "POST",
        "/runsync",
        vec![text_response(401, "invalid_auth_token"), ok_response()],
    )
    .await;
    let (miner, virtual_clock) =
        (miner(&server, &VirtualClock::default()), VirtualClock::default());
    miner.predict(frame("s"), MINUTE).await.unwrap();
    let tokens: Vec<_> =
        calls(&server).await.iter().map(|call| call["auth_token"].clone()).collect();
    assert_eq!(tokens, [json!("token-0"), json!("token-1")]);
    let server = gateway().await;
    route(&server, "POST", "/runsync", vec![text_response(401, "invalid_auth_token")]).await;
    let miner = self::miner(&server, &virtual_clock);
    for calls_so_far in [2, 4] {
        assert_eq!(
            miner.predict(frame("s"), MINUTE).await.unwrap_err().to_string(),
            "401:invalid_auth_token"
        );
        assert_eq!(calls(&server).await.len(), calls_so_far);
    }
}

/// Columns: call route · token route
#[test]
fn token_route_is_derived_from_call_route() {
    for (route, expected) in [
        ("https://gw/runsync", "https://gw/auth/token"),
        ("https://gw/v1/runsync/", "https://gw/v1/auth/token"),
        ("https://gw/other", "https://gw/other/auth/token"),
    ] {
        assert_eq!(auth_url(&route.parse().unwrap(), "/runsync", "/auth/token").as_str(), expected);
    }
}

#[tokio::test]
async fn gateway_call_timeout_is_at_least_10_min() {
    let miner = miner_at("http://127.0.0.1:1/runsync", &VirtualClock::default());
    assert_eq!(miner.min_timeout(), Duration::from_mins(10));
}
