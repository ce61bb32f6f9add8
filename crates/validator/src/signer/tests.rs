use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Method;
use axum::routing::post as on_post;
use serde_json::{Value, json};
use taonet_wallet::verify;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::testing::{LocalChain, NETUID, key, listen, post, send_request, unused_address};

/// A signer and its audit log.
struct Fixture {
    directory: TempDir,
    router: Router,
}

impl Fixture {
    fn new(gateway: &Url, adjust: impl FnOnce(&mut SignerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keypair = Arc::new(key("//validator"));
        let mut config = SignerConfig {
            policy: Box::new(permit_submissions),
            keypair,
            netuid: NETUID,
            gateway: GatewayClient::new(gateway, None, Duration::from_secs(30)).unwrap(),
            retries: 5,
            retry_delay: Duration::from_millis(500),
            audit: AuditLog::open(&directory.path().join("audit.jsonl")).unwrap(),
        };
        adjust(&mut config);
        let router = Signer::new(config).router(OperatorLimits::new(None));
        Self { directory, router }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("audit.jsonl")
    }

    fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.log()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the text is not a submission")]
struct NoSubmission;

/// A policy that permits texts that begin with `submission:`.
fn permit_submissions(text: &str) -> Result<&'static str, PayloadRefusal> {
    if text.starts_with("submission:") {
        Ok("submission")
    } else {
        Err(PayloadRefusal::new(NoSubmission))
    }
}

fn submission(content: &str) -> String {
    format!("submission:{content}")
}

#[tokio::test]
async fn payloads_are_signed_and_recorded() {
    let fixture = Fixture::new(&unused_address(), |_| ());
    assert_eq!(
        send_request(&fixture.router, Method::GET, "/healthz", &[], "").await,
        (200, json!({ "ok": true }))
    );
    let hotkey = key("//validator").hotkey();
    let (a, b) = (submission("é"), submission("b"));
    for (body, texts) in [
        (json!({ "payloads": [a, b] }), vec![&a, &b]),
        (json!({ "data": a }), vec![&a]),
        (json!({ "data": [b, a] }), vec![&b, &a]),
        (json!({ "payloads": null, "data": a }), vec![&a]),
    ] {
        let (status, response) = post(&fixture.router, "/sign", &body).await;
        assert_eq!(
            (status, &response["success"], &response["hotkey"]),
            (200, &json!(true), &json!(hotkey)),
            "{body}"
        );
        let signatures = response["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), texts.len());
        for (signature, text) in signatures.iter().zip(texts) {
            let signature = signature.as_str().unwrap();
            assert!(signature.len() == 128 && !signature.starts_with("0x"), "{signature}");
            assert!(verify(&hotkey, text.as_bytes(), &signature.parse().unwrap()));
        }
    }
    let audit = fixture.audit();
    assert_eq!(audit.len(), 6);
    assert_eq!(
        (&audit[0]["action"], &audit[0]["kind"], &audit[0]["bytes"]),
        (&json!("sign"), &json!("submission"), &json!(a.len()))
    );
}

/// Columns: body · status · error
#[tokio::test]
async fn request_with_one_invalid_text_is_refused() {
    let fixture = Fixture::new(&unused_address(), |_| ());
    for (body, status, expected_message) in [
        (json!({}), 400, "expected 1 to 256 texts"),
        (json!([]), 400, "expected 1 to 256 texts"),
        (json!({ "payloads": [] }), 400, "expected 1 to 256 texts"),
        (json!({ "payloads": "text" }), 400, "expected 1 to 256 texts"),
        (json!({ "payloads": [7] }), 400, "expected 1 to 256 texts"),
        (json!({ "data": { "a": 1 } }), 400, "expected 1 to 256 texts"),
        (json!({ "payloads": vec!["x"; 257] }), 400, "expected 1 to 256 texts"),
        (json!({ "data": "pay Bob" }), 403, "payload 0: the text is not a submission"),
        (json!({ "payloads": [submission("a"), "pay Bob"] }), 403, "payload 1: "),
        (json!({ "data": submission("a").replace("sub", "com") }), 403, "payload 0: "),
    ] {
        let (actual, response) = post(&fixture.router, "/sign", &body).await;
        assert_eq!((actual, &response["success"]), (status, &json!(false)), "{body:.100}");
        assert!(response["error"].as_str().unwrap().contains(expected_message), "{response}");
        assert!(response.get("signatures").is_none());
    }
    let large = json!({ "data": "x".repeat(2 << 20) });
    assert_eq!(post(&fixture.router, "/sign", &large).await.0, 413);
    assert!(fixture.audit().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn text_without_audit_record_is_not_signed() {
    let full_device = PathBuf::from("/dev/full");
    if !full_device.exists() {
        return;
    }
    let fixture = Fixture::new(&unused_address(), |config| {
        config.audit = AuditLog::open(&full_device).unwrap();
    });
    for (path, body) in [
        ("/sign", json!({ "data": submission("a") })),
        ("/set_weights", json!({ "uids": 1, "weights": 1 })),
    ] {
        let (status, response) = post(&fixture.router, path, &body).await;
        assert_eq!(status, 500, "{path}");
        assert!(
            response["error"]
                .as_str()
                .unwrap()
                .starts_with("not signed: cannot write the audit log"),
            "{response}"
        );
    }
}

/// Starts a gateway that counts requests and returns a fixed response.
async fn gateway(status: u16, response: &'static str) -> (Url, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let route = on_post(move |body: String| {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&body["retries"], &body["delay_s"]),
            (&json!(5), &json!(0.5)),
            "the signer's own settings"
        );
        count.fetch_add(1, Ordering::SeqCst);
        async move { (axum::http::StatusCode::from_u16(status).unwrap(), response) }
    });
    (listen(Router::new().route("/v1/weights/set_and_confirm", route)).await, requests)
}

/// Columns: the gateway's status and response · the signer's status · error
#[tokio::test]
async fn weights_are_sent_to_the_gateway_once() {
    for (status, response, expected, expected_message) in [
        (200, r#"{"success":true,"details":{"attempt":1}}"#, 200, None),
        (
            200,
            r#"{"success":false,"error":"confirmation failed","details":{"attempt":5}}"#,
            500,
            Some("confirmation failed"),
        ),
        (
            500,
            r#"{"success":false,"error":"confirmation failed","details":{"attempt":5}}"#,
            500,
            Some("confirmation failed"),
        ),
        (
            500,
            "Internal Server Error",
            500,
            Some(
                "gateway /v1/weights/set_and_confirm failed status=500 body=Internal Server Error",
            ),
        ),
        (503, r#"{"success":false,"error":"not connected"}"#, 500, Some("failed status=503")),
        (429, "slow down", 500, Some("failed status=429")),
        (200, "garbage", 500, Some("returned invalid json")),
        (200, r#"{"success":"yes"}"#, 500, Some("invalid payload")),
        (200, "{}", 500, Some("confirmation failed")),
    ] {
        let (url, requests) = gateway(status, response).await;
        let fixture = Fixture::new(&url, |_| ());
        // Scalars are accepted too.
        let (actual, signer_response) =
            post(&fixture.router, "/set_weights", &json!({ "uids": 5, "weights": 1.0 })).await;
        assert_eq!(
            (actual, &signer_response["success"]),
            (expected, &json!(expected == 200)),
            "{response}: {signer_response}"
        );
        if let Some(expected_message) = expected_message {
            assert!(
                signer_response["error"].as_str().unwrap().contains(expected_message),
                "{response}: {signer_response}"
            );
        }
        if response.contains("details") {
            assert!(signer_response["details"]["attempt"].is_u64(), "{signer_response}");
        }
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{response}");
        assert_eq!(fixture.audit()[0]["action"], "set_weights");
    }
    let fixture = Fixture::new(&unused_address(), |_| ());
    let (status, response) =
        post(&fixture.router, "/set_weights", &json!({ "uids": [5], "weights": [1.0] })).await;
    assert_eq!(status, 500, "{response}");
    assert!(
        response["error"].as_str().unwrap().contains("gateway /v1/weights/set_and_confirm failed"),
        "{response}"
    );
}

#[tokio::test]
async fn malformed_weights_never_reach_the_gateway() {
    let (url, requests) = gateway(200, r#"{"success":true}"#).await;
    let fixture = Fixture::new(&url, |_| ());
    for (body, expected_message) in [
        (json!({}), "uids/weights mismatch or empty"),
        (json!({ "uids": [1], "weights": [1, 2] }), "uids/weights mismatch or empty"),
        (
            json!({ "uids": [1], "weights": [null] }),
            "weights: expected finite non-negative numbers",
        ),
        (json!({ "uids": [1], "weights": [1], "netuid": 1 }), "serves subnet 59, not 1"),
    ] {
        let (status, response) = post(&fixture.router, "/set_weights", &body).await;
        assert_eq!((status, &response["success"]), (400, &json!(false)), "{body}");
        assert!(response["error"].as_str().unwrap().contains(expected_message), "{response}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    assert!(fixture.audit().is_empty());
}

#[tokio::test]
async fn access_check_signs_nothing() {
    let fixture = Fixture::new(&unused_address(), |_| ());
    let client = |url: &Url| SignerClient::new(url, None).unwrap();
    let timeout = Duration::from_secs(5);
    let url = listen(fixture.router.clone()).await;
    client(&url).check_access(timeout).await.unwrap();
    assert!(fixture.audit().is_empty());
    client(&unused_address()).check_access(timeout).await.unwrap_err();
}

/// Validator, signer and gateway with one token, connected to a real chain.
#[tokio::test(flavor = "multi_thread")]
async fn weights_reach_a_real_chain() {
    let chain = LocalChain::start(2).await;
    let directory = tempfile::tempdir().unwrap();
    let token = taonet_http::AccessToken::parse("0123456789abcdef").unwrap();
    let limits = OperatorLimits::new(Some(token.clone()));
    let gateway = listen(chain.gateway(directory.path()).await.router(limits.clone())).await;
    let with_token = |config: &mut SignerConfig| {
        config.gateway =
            GatewayClient::new(&gateway, Some(&token), Duration::from_secs(30)).unwrap();
    };
    let (unauthorized, authorized) =
        (Fixture::new(&gateway, |_| ()), Fixture::new(&gateway, with_token));
    let (uid_1, uid_2) = (chain.uid(&chain.miners[0]).await, chain.uid(&chain.miners[1]).await);
    let body = json!({ "netuid": 59, "uids": [uid_1, uid_2], "weights": [0.5, 0.25], "wait_for_inclusion": false });
    let (status, response) = post(&unauthorized.router, "/set_weights", &body).await;
    assert_eq!(status, 500);
    assert!(response["error"].as_str().unwrap().contains("status=401"), "{response}");
    assert!(chain.weights().await.is_empty());
    let (status, response) = post(&authorized.router, "/set_weights", &body).await;
    assert_eq!((status, &response["success"]), (200, &json!(true)), "{response}");
    assert_eq!(chain.weights().await, [(uid_1, 65_535), (uid_2, 32_768)]);
    chain.node.stop().await;
}
