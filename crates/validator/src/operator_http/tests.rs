use axum::http::Method;
use axum::routing::{get, post};
use serde_json::json;

use super::*;
use crate::testing::send_request;

const JSON: (&str, &str) = ("content-type", "application/json");

fn service(limits: OperatorLimits) -> Router {
    let echo = |Body(value): Body<serde_json::Value>| async move { axum::Json(value) };
    protect(Router::new().route("/echo", post(echo)), limits, "test_requests_total")
}

/// Columns: method · path · headers · body · status · error
#[tokio::test]
async fn callers_are_admitted_before_their_bodies_are_read() {
    let token = AccessToken::parse("0123456789abcdef").unwrap();
    let limits = OperatorLimits { max_body_bytes: 64, ..OperatorLimits::new(Some(token)) };
    let service = service(limits);
    let authorization = ("authorization", "Bearer 0123456789abcdef");
    let long = format!("\"{}\"", "x".repeat(100));
    for (method, path, headers, body, status, expected_message) in [
        (Method::POST, "/echo", &[JSON, authorization][..], "7", 200, ""),
        (
            Method::POST,
            "//echo",
            &[("content-type", "Application/JSON; charset=utf-8"), authorization],
            "7",
            200,
            "",
        ),
        (Method::GET, "/healthz", &[], "", 200, ""),
        (Method::POST, "/echo", &[JSON], "{", 401, "access token"),
        (
            Method::POST,
            "/echo",
            &[JSON, ("authorization", "Bearer 0123456789abcdeX")],
            "7",
            401,
            "access token",
        ),
        // Web pages can send text to any address, but their requests have an `Origin` header.
        (
            Method::POST,
            "/echo",
            &[("content-type", "text/plain"), authorization],
            "7",
            415,
            "application/json",
        ),
        (Method::POST, "/echo", &[authorization], "7", 415, "application/json"),
        (
            Method::POST,
            "/echo",
            &[JSON, authorization, ("origin", "http://127.0.0.1")],
            "7",
            403,
            "web pages",
        ),
        (Method::GET, "/healthz", &[("origin", "null")], "", 403, "web pages"),
        (Method::POST, "/echo", &[JSON, authorization], "{", 400, "not JSON"),
        (Method::POST, "/echo", &[JSON, authorization], "7 7", 400, "not JSON"),
        (Method::POST, "/echo", &[JSON, authorization], &long, 413, ""),
        (Method::GET, "/echo", &[], "", 405, "Method Not Allowed"),
        (Method::POST, "/none", &[JSON, authorization], "7", 404, "Not Found"),
        // Unauthenticated callers must not learn which routes exist.
        (Method::POST, "/none", &[JSON], "7", 401, "access token"),
    ] {
        let (actual, response) = send_request(&service, method.clone(), path, headers, body).await;
        assert_eq!(actual, status, "{method} {path} {headers:?} {body:.20}: {response}");
        if status != 200 {
            assert_eq!(response["success"], false, "{response}");
            assert!(response["error"].as_str().unwrap().contains(expected_message), "{response}");
        }
    }
}

#[tokio::test]
async fn loopback_needs_no_token() {
    let service = service(OperatorLimits::new(None));
    assert_eq!(send_request(&service, Method::POST, "/echo", &[JSON], "7").await, (200, json!(7)));
    assert_eq!(
        send_request(&service, Method::POST, "/echo", &[JSON, ("origin", "http://x")], "7").await.0,
        403
    );
}

#[tokio::test]
async fn stuck_request_times_out() {
    let stuck = Router::new().route("/stuck", get(|| async { std::future::pending::<()>().await }));
    let limits =
        OperatorLimits { request_timeout: Duration::from_millis(10), ..OperatorLimits::new(None) };
    let service = protect(stuck, limits, "test_requests_total");
    let (status, response) = send_request(&service, Method::GET, "/stuck", &[], "").await;
    assert_eq!((status, &response["error"]), (503, &json!("Service Unavailable")));
}

/// Requests that wait for the chain may take ten minutes; `/healthz` responds meanwhile.
#[tokio::test]
async fn health_responds_at_the_concurrency_limit() {
    let started = std::sync::Arc::new(tokio::sync::Notify::new());
    let handler_started = started.clone();
    let stuck = get(move || async move {
        handler_started.notify_one();
        std::future::pending::<()>().await;
    });
    let limits = OperatorLimits { concurrency: 1, ..OperatorLimits::new(None) };
    let service = protect(Router::new().route("/stuck", stuck), limits, "test_requests_total");
    let stuck = tokio::spawn({
        let service = service.clone();
        async move { send_request(&service, Method::GET, "/stuck", &[], "").await }
    });
    started.notified().await;
    let waiting = tokio::time::timeout(
        Duration::from_millis(50),
        send_request(&service, Method::GET, "/stuck", &[], ""),
    );
    assert!(waiting.await.is_err(), "the only slot is taken");
    let health = tokio::time::timeout(
        Duration::from_secs(5),
        send_request(&service, Method::GET, "/healthz", &[], ""),
    );
    assert_eq!(health.await.unwrap(), (200, json!({ "ok": true })));
    stuck.abort();
}
