use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use taonet_wallet::Keypair;
use tower::ServiceExt;

use super::*;
use crate::{Caller, Limits, ManualClock, Peer, Policy, SignedLayer, Signer};

const NOW: u64 = 1_800_000_000_000_000_000;

fn scheme() -> DendriteScheme {
    DendriteScheme::new()
        .class(SynapseClass::new("Echo").hash(["prompt"]).required("prompt", json!("")))
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn head(path: &str, body: &str) -> Parts {
    let signer =
        Signer::with_clock(key("//Alice"), "203.0.113.7", scheme(), Arc::new(ManualClock::at(NOW)));
    let peer = Peer::new(key("//Bob").hotkey(), "10.0.0.1", 8091).unwrap();
    let timeout = Duration::from_millis(2_500);
    let headers = signer
        .headers(&peer, &http::Method::POST, path, &path[1..], timeout, body.as_bytes())
        .unwrap();
    let (mut head, ()) = Request::post(path).body(()).unwrap().into_parts();
    head.headers = headers;
    head
}

async fn call(
    router: &Router,
    head: Parts,
    body: impl Into<Body>,
) -> (http::response::Parts, String) {
    let response = router.clone().oneshot(Request::from_parts(head, body.into())).await.unwrap();
    let (head, body) = response.into_parts();
    (head, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

fn server(router: Router, scheme: DendriteScheme) -> Router {
    let clock = Arc::new(ManualClock::at(NOW));
    router.layer(SignedLayer::with_clock(
        key("//Bob").hotkey(),
        scheme,
        Limits::default(),
        Policy::open(),
        clock,
    ))
}

#[tokio::test]
async fn handlers_get_the_caller_from_the_headers() {
    let echo = |caller: Caller, terminal: Terminal, synapse: Synapse| async move {
        assert_eq!(caller.hotkey.to_string(), terminal.hotkey);
        assert_eq!(synapse.get("dendrite"), Some(&json!(terminal)));
        synapse
    };
    let router = server(Router::new().route("/Echo", any(echo)), scheme());
    let forged = json!({"hotkey": key("//Charlie").hotkey().to_string(), "nonce": 1, "ip": "1.1.1.1", "status_code": 7});
    for dendrite in [forged, json!("nobody"), Value::Null] {
        let body = json!({"prompt": "x", "dendrite": dendrite, "axon": [1]}).to_string();
        let (head, response_body) = call(&router, head("/Echo", &body), body.clone()).await;
        assert_eq!(head.status, StatusCode::OK, "{response_body}");
        let response_body: Value = serde_json::from_str(&response_body).unwrap();
        assert_eq!(response_body["dendrite"]["hotkey"], key("//Alice").hotkey().to_string());
        assert_eq!(response_body["dendrite"]["nonce"], NOW);
        assert_eq!(response_body["dendrite"]["ip"], "203.0.113.7");
        assert_eq!(response_body["axon"], json!({"status_code": 200, "status_message": "Success"}));
        assert_eq!(AxonStatus::of(&head.headers).unwrap().message, "Success");
    }
}

#[tokio::test]
async fn handler_failures_set_the_axon_status() {
    let failing_handler = |synapse: Synapse| async move {
        synapse.parse::<std::collections::HashMap<String, u8>>().map(|_| ())
    };
    let router = server(Router::new().route("/Echo", any(failing_handler)), scheme());
    let body = r#"{"prompt": "x"}"#;
    let (head, response_body) = call(&router, head("/Echo", body), body).await;
    assert_eq!(head.status, StatusCode::UNPROCESSABLE_ENTITY);
    let status = AxonStatus::of(&head.headers).unwrap();
    assert_eq!(status.code, head.status);
    assert_eq!(
        serde_json::from_str::<Value>(&response_body).unwrap(),
        json!({"message": status.message})
    );
    assert_eq!(head.headers["bt_header_input_obj_prompt"], "IiI=");
    assert_eq!(head.headers[TIMEOUT], "2.5");
}

#[tokio::test]
async fn caller_cannot_set_the_axon_status() {
    let router = server(Router::new().route("/Synapse", any(|| async {})), scheme());
    let mut head = head("/Synapse", "{}");
    head.headers.insert("bt_header_axon_status_code", HeaderValue::from_static("418"));
    let (head, _) = call(&router, head, "{}").await;
    assert_eq!(AxonStatus::of(&head.headers).unwrap().code, StatusCode::OK);
    assert_eq!(head.headers.get_all("bt_header_axon_status_code").iter().count(), 1);
}

#[test]
fn unknown_classes_are_not_signed() {
    let signer = Signer::new(key("//Alice"), "1.1.1.1", scheme());
    let peer = Peer::new(key("//Bob").hotkey(), "10.0.0.1", 1).unwrap();
    let sign = |name, body: &str| {
        signer
            .headers(&peer, &http::Method::POST, "/", name, Duration::ZERO, body.as_bytes())
            .map(|_| ())
    };
    assert_eq!(sign("Echo", r#"{"prompt": 1}"#), Ok(()));
    assert_eq!(sign("Other", "{}"), Err(SigningError::UnknownClass("Other".into())));
    assert_eq!(sign("Echo", "{}"), Err(SigningError::FieldMissing));
    assert!(matches!(sign("Echo", "x"), Err(SigningError::Body(_))));
}

#[test]
fn nonces_of_old_versions_are_undated_only_if_accepted() {
    let has_dated_nonce = |scheme: &DendriteScheme, version: Option<&str>| {
        let mut head = head("/Synapse", "{}");
        head.headers.remove(VERSION);
        if let Some(version) = version {
            head.headers.insert(VERSION, HeaderValue::from_str(version).unwrap());
        }
        scheme.claim(&head).map(|claim| claim.dated)
    };
    let (strict, lenient) = (scheme(), scheme().accept_old_versions());
    for (version, old) in
        [(None, true), (Some("7001999"), true), (Some("7002000"), false), (Some("10005000"), false)]
    {
        assert_eq!(has_dated_nonce(&strict, version), Ok(true), "{version:?}");
        assert_eq!(has_dated_nonce(&lenient, version), Ok(!old), "{version:?}");
    }
    assert_eq!(has_dated_nonce(&strict, Some("7.2.0")), Err(Refusal::Malformed(VERSION)));
    assert_eq!(strict.replay_rule(), ReplayRule::Increasing);
    assert_eq!(lenient.replay_rule(), ReplayRule::IncreasingForEver);
}

#[test]
fn duplicate_headers_are_refused() {
    for name in [
        NAME,
        TIMEOUT,
        BODY_HASH,
        NONCE,
        SENDER,
        SIGNATURE,
        UUID,
        SENDER_IP,
        VERSION,
        RECEIVER,
        RECEIVER_IP,
    ] {
        let mut head = head("/Synapse", "{}");
        let value = head.headers[name].clone();
        head.headers.append(name, value);
        assert_eq!(scheme().claim(&head), Err(Refusal::Duplicate(name)));
    }
    for name in [BODY_HASH, NONCE, SENDER, SIGNATURE, UUID, RECEIVER] {
        let mut head = head("/Synapse", "{}");
        head.headers.remove(name);
        assert_eq!(scheme().claim(&head), Err(Refusal::Missing(name)));
    }
}
