mod calls;
mod connections;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect};
use axum::routing::post;
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};
use taonet_http::testing::listen;
use taonet_wallet::Keypair;

use super::response_memory::UNRESERVED_BYTES;
use super::*;
use crate::{BabelbitScheme, Caller, Limits, ManualClock, Peer, Policy, SignedLayer};

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn peer(address: SocketAddr) -> Peer {
    Peer::new(key("//Bob").hotkey(), address.ip().to_string(), address.port()).unwrap()
}

fn client() -> SignedClient {
    let signer = Signer::new(key("//Alice"), "127.0.0.1", BabelbitScheme::axon());
    SignedClient::new(
        signer,
        ClientConfig { max_response_bytes: 10_000, ..ClientConfig::default() },
    )
    .unwrap()
}

/// Signs `request`, posts it and parses the response as JSON; returns null if it is not JSON.
async fn send(
    client: &SignedClient,
    peer: &Peer,
    path: &str,
    request: &Value,
    timeout: Duration,
) -> Result<Value, CallError> {
    let body = request.to_string();
    let headers =
        client.signer().headers(peer, &Method::POST, path, "X", timeout, body.as_bytes())?;
    let response = client.post(&peer.url(path), headers, body.into(), timeout, usize::MAX).await?;
    Ok(serde_json::from_slice(&response).unwrap_or_default())
}

async fn call(router: Router) -> Result<Value, CallError> {
    send(&client(), &peer(listen(router).await), "v1/predict", &json!({}), Duration::from_secs(10))
        .await
}

fn responding_router(
    response: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static,
) -> Router {
    Router::new().route("/v1/predict", post(move || async move { response() }))
}

#[tokio::test]
async fn signed_request_gets_its_response() {
    let layer = SignedLayer::new(
        key("//Bob").hotkey(),
        BabelbitScheme::axon(),
        Limits::default(),
        Policy::open(),
    );
    let echo = |caller: Caller, axum::Json(body): axum::Json<Value>| async move {
        axum::Json(json!({"caller": caller.hotkey, "uuid": caller.uuid, "body": body}))
    };
    let router = Router::new().route("/v1/predict", post(echo)).route_layer(layer);
    let peer = peer(listen(router).await);
    let request = json!({"text": "café", "frame_rate_hz": 12.5});
    let timeout = Duration::from_secs(10);
    for scheme in [BabelbitScheme::axon(), BabelbitScheme::managed()] {
        let signer = Signer::new(key("//Alice"), "127.0.0.1", scheme);
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let response = send(&client, &peer, "/v1/predict", &request, timeout).await.unwrap();
        assert_eq!(response["caller"], client.signer().hotkey().to_string());
        assert_eq!(response["body"], request);
    }
    // No two concurrent requests share a nonce.
    let client = client();
    let calls = (0..50).map(|_| send(&client, &peer, "v1/predict", &request, timeout));
    let responses = futures::future::join_all(calls).await;
    assert!(responses.iter().all(Result::is_ok), "{responses:?}");

    let other_peer = Peer::new(key("//Dave").hotkey(), peer.host(), peer.port()).unwrap();
    let refused = send(&client, &other_peer, "v1/predict", &request, timeout).await.unwrap_err();
    assert_eq!(refused.to_string(), r#"401:{"error":"request was signed for another receiver"}"#);
}

#[tokio::test]
async fn statuses_other_than_200_are_errors_with_truncated_text() {
    let response = || (StatusCode::SERVICE_UNAVAILABLE, "é".repeat(5_000)).into_response();
    let Err(CallError::Status { status, text }) = call(responding_router(response)).await else {
        panic!()
    };
    assert_eq!((status, text), (StatusCode::SERVICE_UNAVAILABLE, "é".repeat(300)));
    let error =
        call(responding_router(|| (StatusCode::CREATED, "{}").into_response())).await.unwrap_err();
    assert_eq!(error.to_string(), "201:{}");
    let error =
        call(responding_router(|| Redirect::temporary("http://127.0.0.1:1/").into_response()))
            .await
            .unwrap_err();
    assert_eq!(error.to_string(), "307:");
}

#[tokio::test]
async fn oversized_responses_are_refused() {
    assert!(
        call(responding_router(|| format!("\"{}\"", "x".repeat(9_998)).into_response()))
            .await
            .is_ok()
    );
    let error = call(responding_router(|| "x".repeat(10_001).into_response())).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { limit: 10_000 }), "{error}");
    let endless = || {
        Body::from_stream(futures::stream::repeat_with(|| Ok::<_, std::io::Error>("xxxx")))
            .into_response()
    };
    assert!(matches!(call(responding_router(endless)).await, Err(CallError::TooLarge { .. })));
}

#[tokio::test]
async fn large_responses_wait_for_memory_until_their_deadline() {
    let signer = Signer::new(key("//Alice"), "127.0.0.1", BabelbitScheme::axon());
    let client = SignedClient::new(
        signer,
        ClientConfig { large_responses_bytes: 1_000, ..ClientConfig::default() },
    );
    let client = client.unwrap();
    let text = |length: usize| format!("\"{}\"", "x".repeat(length));
    let small_peer = peer(listen(responding_router(move || text(1_000).into_response())).await);
    let large =
        peer(listen(responding_router(move || text(UNRESERVED_BYTES + 100).into_response())).await);
    // Sends slightly more than a small response, then stalls.
    let stalling_router = responding_router(move || {
        let start = futures::stream::iter([Ok::<_, std::io::Error>(text(UNRESERVED_BYTES + 100))]);
        Body::from_stream(start.chain(futures::stream::pending())).into_response()
    });
    let stalling_peer = peer(listen(stalling_router).await);
    let request_with_timeout = |peer: &Peer, millis: u64| {
        let (client, peer) = (client.clone(), peer.clone());
        async move {
            send(&client, &peer, "v1/predict", &json!({}), Duration::from_millis(millis)).await
        }
    };
    assert!(request_with_timeout(&large, 60_000).await.is_ok(), "its memory is free again");
    assert!(request_with_timeout(&large, 60_000).await.is_ok());
    let large_request = tokio::spawn(request_with_timeout(&stalling_peer, 60_000));
    while client.memory.shared.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(
        request_with_timeout(&large, 60_000).await.is_ok(),
        "one at a time needs no shared memory"
    );
    let second_request = tokio::spawn(request_with_timeout(&stalling_peer, 60_000));
    while client.memory.extra.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(request_with_timeout(&small_peer, 60_000).await.is_ok());
    assert!(request_with_timeout(&large, 300).await.unwrap_err().is_timeout());
    large_request.abort();
    assert!(request_with_timeout(&large, 60_000).await.is_ok());
    second_request.abort();
}

#[tokio::test]
async fn concurrent_large_responses_do_not_deadlock() {
    let signer = Signer::new(key("//Alice"), "127.0.0.1", BabelbitScheme::axon());
    let config = ClientConfig { large_responses_bytes: 2 << 20, ..ClientConfig::default() };
    let client = SignedClient::new(signer, config).unwrap();
    let peer = peer(listen(responding_router(|| "x".repeat(4 << 20).into_response())).await);
    let request = json!({});
    let calls =
        (0..8).map(|_| send(&client, &peer, "v1/predict", &request, Duration::from_mins(1)));
    let responses = futures::future::join_all(calls).await;
    assert!(responses.iter().all(Result::is_ok), "{responses:?}");
    assert_eq!(
        (client.memory.shared.available_permits(), client.memory.extra.available_permits()),
        (2 << 20, 1)
    );
}

#[tokio::test]
async fn maximum_deadline_does_not_overflow() {
    let peer = peer(listen(responding_router(|| "{}".into_response())).await);
    assert!(send(&client(), &peer, "v1/predict", &json!({}), Duration::MAX).await.is_ok());
}

#[tokio::test]
async fn deadline_covers_the_complete_response() {
    let timeout = Duration::from_millis(50);
    let silent_router = Router::new().route("/", post(std::future::pending::<()>));
    let stalling_router = Router::new().route(
        "/",
        post(|| async {
            let start = futures::stream::iter([Ok::<_, std::io::Error>("{")]);
            Body::from_stream(start.chain(futures::stream::pending()))
        }),
    );
    for router in [silent_router, stalling_router] {
        let error = send(&client(), &peer(listen(router).await), "/", &json!({}), timeout)
            .await
            .unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(error.to_string(), "timeout after 0.05s");
    }
}

#[tokio::test]
async fn refused_connection_is_a_connect_error() {
    let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let error = send(&client(), &peer(address), "/", &json!({}), Duration::from_secs(10))
        .await
        .unwrap_err();
    assert!(error.is_connect());
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
}

#[test]
fn nonces_increase_while_the_clock_stands_still() {
    let clock = Arc::new(ManualClock::at(1_000));
    let signer =
        Signer::with_clock(key("//Alice"), "127.0.0.1", BabelbitScheme::axon(), clock.clone());
    let peer = Peer::new(key("//Bob").hotkey(), "127.0.0.1", 1).unwrap();
    let nonce = |signer: &Signer| {
        let headers = signer.headers(&peer, &Method::POST, "/", "X", Duration::ZERO, b"").unwrap();
        headers["bt_header_dendrite_nonce"].to_str().unwrap().to_owned()
    };
    assert_eq!(nonce(&signer), "1000");
    assert_eq!(nonce(&signer.clone()), "1001");
    clock.set(5);
    assert_eq!(nonce(&signer), "1002");
    clock.set(2_000);
    assert_eq!(nonce(&signer), "2000");
    assert!(!format!("{signer:?}").contains("33a6f3093f158a71"), "no secret in sight");
}

#[test]
fn nonces_restart_with_new_uuid_after_the_clock_was_far_ahead() {
    const DAY: u64 = 86_400_000_000_000;
    // The clock is a day ahead.
    let clock = Arc::new(ManualClock::at(2 * DAY));
    let signer =
        Signer::with_clock(key("//Alice"), "127.0.0.1", BabelbitScheme::axon(), clock.clone());
    let peer = Peer::new(key("//Bob").hotkey(), "127.0.0.1", 1).unwrap();
    let nonce_and_uuid = |signer: &Signer| {
        let headers = signer.headers(&peer, &Method::POST, "/", "X", Duration::ZERO, b"").unwrap();
        let [nonce, process] = ["nonce", "uuid"]
            .map(|name| headers[format!("bt_header_dendrite_{name}")].to_str().unwrap().to_owned());
        (nonce.parse::<u64>().unwrap(), process)
    };
    let (nonce, first_uuid) = nonce_and_uuid(&signer);
    assert_eq!(nonce, 2 * DAY);
    clock.set(DAY);
    let (nonce, second_uuid) = nonce_and_uuid(&signer.clone());
    assert_eq!(nonce, DAY, "receivers refuse nonces of the next day");
    assert_ne!(second_uuid, first_uuid, "the nonces of a process increase");
    assert_eq!(nonce_and_uuid(&signer), (DAY + 1, second_uuid.clone()));
    // Receivers accept nonces that are up to 3 s ahead.
    clock.set(DAY + 1 - 3_000_000_000);
    assert_eq!(nonce_and_uuid(&signer), (DAY + 2, second_uuid.clone()));
    let (nonce, third_uuid) = nonce_and_uuid(&signer);
    assert_eq!(nonce, DAY + 1 - 3_000_000_000);
    assert!(third_uuid != second_uuid && third_uuid != first_uuid);
}

#[tokio::test]
async fn host_names_resolve_to_permitted_addresses_only() {
    let port = listen(responding_router(|| axum::Json(json!({})).into_response())).await.port();
    let call = async |permitted: fn(IpAddr) -> bool| {
        let signer = Signer::new(key("//Alice"), "127.0.0.1", BabelbitScheme::axon());
        let client =
            SignedClient::with_addresses(signer, ClientConfig::default(), permitted).unwrap();
        let peer = Peer::new(key("//Bob").hotkey(), "localhost", port).unwrap();
        send(&client, &peer, "v1/predict", &json!({}), Duration::from_secs(10)).await
    };
    assert_eq!(call(|_| true).await.unwrap(), json!({}));
    let error = call(|ip| !ip.is_loopback()).await.unwrap_err();
    let source =
        std::iter::successors(error.source(), |&error| error.source()).map(ToString::to_string);
    assert!(error.is_connect());
    assert!(
        source.collect::<String>().contains("localhost resolves to no allowed address"),
        "{error:?}"
    );
}
