//! Routes that the OpenAPI document leaves out, which schemathesis therefore does not test: pages,
//! their scripts, the document itself and the liveness probe.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request};
use axum::response::Response;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::gateway;
use super::market::document;

/// Paths with the types of their content.
const PAGES: [(&str, &str); 7] = [
    ("/", "text/html; charset=utf-8"),
    ("/status", "text/html; charset=utf-8"),
    ("/status.js", "text/javascript; charset=utf-8"),
    ("/usage", "text/html; charset=utf-8"),
    ("/usage.js", "text/javascript; charset=utf-8"),
    ("/healthz", "text/plain; charset=utf-8"),
    ("/openapi.json", "application/json"),
];

/// Headers that a page ignores.
const HEADERS: [(&str, &[u8]); 9] = [
    ("accept", b"application/xml"),
    ("authorization", b"Bearer \xff"),
    ("x-api-key", b"sk-tao-none"),
    ("content-type", b"application/json"),
    ("host", b"<script>"),
    ("range", b"bytes=5-2"),
    ("if-none-match", b"*"),
    ("cookie", &[b'a'; 8_000]),
    ("x-request-id", &[b'<'; 128]),
];

async fn send(
    router: &axum::Router,
    request: axum::http::request::Builder,
    body: Vec<u8>,
) -> Response {
    router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn every_route_is_documented_or_a_page() {
    let (router, _store, _folder) = gateway().await;
    let api = document(send(&router, Request::get("/openapi.json"), Vec::new()).await).await;
    let documented_routes = api["paths"].as_object().unwrap().keys().cloned();
    let known_routes: BTreeSet<String> =
        documented_routes.chain(PAGES.map(|(path, _)| path.to_owned())).collect();
    let routes = include_str!("../routes.rs").split(".route(\"").skip(1);
    let routes: BTreeSet<String> =
        routes.map(|rest| rest.split('"').next().unwrap().replace("{*", "{")).collect();
    assert_eq!(routes, known_routes);
}

#[tokio::test]
async fn pages_answer_every_get_request() {
    let (router, _store, _folder) = gateway().await;
    for (path, kind) in PAGES {
        let plain = bytes(send(&router, Request::get(path), Vec::new()).await).await;
        assert!(!plain.is_empty(), "{path}");
        for query in [
            String::new(),
            "?".to_owned(),
            "?a=%ff&a=%00&=".to_owned(),
            format!("?{}", "a".repeat(30_000)),
        ] {
            for (name, value) in HEADERS {
                let value = HeaderValue::from_bytes(value).unwrap();
                let request = Request::get(format!("{path}{query}")).header(name, value);
                let response = send(&router, request, b"{\"a\":".to_vec()).await;
                assert_eq!(response.status(), 200, "{path}, {name}");
                assert_eq!(response.headers()["content-type"], kind, "{path}, {name}");
                assert_eq!(bytes(response).await, plain, "{path}, {name}");
            }
        }
    }
}

#[tokio::test]
async fn pages_refuse_other_methods() {
    let (router, _store, _folder) = gateway().await;
    for (path, kind) in PAGES {
        let response = send(&router, Request::head(path), Vec::new()).await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
            (200, kind)
        );
        assert!(bytes(response).await.is_empty(), "{path}");
        for method in [
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
            Method::TRACE,
        ] {
            let response =
                send(&router, Request::builder().method(&method).uri(path), vec![b'x'; 1 << 20])
                    .await;
            assert_eq!(response.status(), 405, "{method} {path}");
            assert!(
                response.headers()["allow"].to_str().unwrap().contains("GET"),
                "{method} {path}"
            );
            assert!(document(response).await["error"]["message"].is_string(), "{method} {path}");
        }
    }
}
