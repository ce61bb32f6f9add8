use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect};
use axum::routing::post;
use futures::StreamExt;
use serde_json::json;
use taonet_wallet::Keypair;
use tokio::net::TcpListener;

use super::*;
use crate::{BabelbitScheme, Caller, Limits, ManualClock, Policy, SignedLayer};

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn peer(address: SocketAddr) -> Peer {
    Peer::new(key("//Bob").hotkey(), address.ip().to_string(), address.port()).unwrap()
}

fn client() -> SignedClient {
    let signer = Signer::new(key("//Alice"), "127.0.0.1", BabelbitScheme::axon());
    SignedClient::new(signer, ClientConfig { max_response_bytes: 10_000, ..ClientConfig::default() }).unwrap()
}

async fn call(router: Router) -> Result<Value, CallError> {
    client().call(&peer(serve(router).await), "v1/predict", "X", &json!({}), Duration::from_secs(10)).await
}

fn answering(answer: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static) -> Router {
    Router::new().route("/v1/predict", post(move || async move { answer() }))
}

#[tokio::test]
async fn a_signed_call_goes_there_and_back() {
    let layer = SignedLayer::new(key("//Bob").hotkey(), BabelbitScheme::axon(), Limits::default(), Policy::AllowAll);
    let echo = |caller: Caller, axum::Json(body): axum::Json<Value>| async move {
        axum::Json(json!({"caller": caller.hotkey, "uuid": caller.uuid, "body": body}))
    };
    let router = Router::new().route("/v1/predict", post(echo)).route_layer(layer);
    let peer = peer(serve(router).await);
    let request = json!({"text": "café", "frame_rate_hz": 12.5});
    let timeout = Duration::from_secs(10);
    for scheme in [BabelbitScheme::axon(), BabelbitScheme::managed()] {
        let signer = client().signer().with_scheme(scheme);
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let answer = client.call(&peer, "/v1/predict", "X", &request, timeout).await.unwrap();
        assert_eq!(answer["caller"], client.signer().hotkey().to_string());
        assert_eq!(answer["body"], request);
    }
    // Many at once: no two share a nonce.
    let client = client();
    let calls = (0..50).map(|_| client.call(&peer, "v1/predict", "X", &request, timeout));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");

    let stranger = Peer::new(key("//Dave").hotkey(), peer.host(), peer.port()).unwrap();
    let refused = client.call(&stranger, "v1/predict", "X", &request, timeout).await.unwrap_err();
    assert_eq!(refused.to_string(), r#"401:{"error":"request was signed for another receiver"}"#);
}

#[tokio::test]
async fn other_statuses_are_errors_with_the_first_300_characters() {
    let answer = || (StatusCode::SERVICE_UNAVAILABLE, "é".repeat(5_000)).into_response();
    let Err(CallError::Status { status, text }) = call(answering(answer)).await else { panic!() };
    assert_eq!((status, text), (StatusCode::SERVICE_UNAVAILABLE, "é".repeat(300)));
    let created = call(answering(|| (StatusCode::CREATED, "{}").into_response())).await.unwrap_err();
    assert_eq!(created.to_string(), "201:{}");
    let away = call(answering(|| Redirect::temporary("http://127.0.0.1:1/").into_response())).await.unwrap_err();
    assert_eq!(away.to_string(), "307:");
}

#[tokio::test]
async fn large_answers_are_cut_off() {
    assert!(call(answering(|| format!("\"{}\"", "x".repeat(9_998)).into_response())).await.is_ok());
    let error = call(answering(|| "x".repeat(10_001).into_response())).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { limit: 10_000 }), "{error}");
    let endless =
        || Body::from_stream(futures::stream::repeat_with(|| Ok::<_, std::io::Error>("xxxx"))).into_response();
    assert!(matches!(call(answering(endless)).await, Err(CallError::TooLarge { .. })));
}

#[tokio::test]
async fn what_is_not_json_is_an_error() {
    for text in ["", "<html>", "{", "NaN"] {
        let error = call(answering(|| text.into_response())).await.unwrap_err();
        assert!(matches!(error, CallError::NotJson(_)), "{error}");
        assert!(error.to_string().starts_with("parse:"), "{error}");
    }
}

#[tokio::test]
async fn the_deadline_covers_the_whole_answer() {
    let brief = Duration::from_millis(50);
    let never = Router::new().route("/", post(std::future::pending::<()>));
    let stalls = Router::new().route(
        "/",
        post(|| async {
            let start = futures::stream::iter([Ok::<_, std::io::Error>("{")]);
            Body::from_stream(start.chain(futures::stream::pending()))
        }),
    );
    for router in [never, stalls] {
        let error = client().call(&peer(serve(router).await), "/", "X", &json!({}), brief).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(error.to_string(), "timeout after 0.05s");
    }
}

#[tokio::test]
async fn nobody_at_home_is_an_error_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client().call(&peer(address), "/", "X", &json!({}), Duration::from_secs(10)).await.unwrap_err();
    assert!(error.is_connect());
    assert_eq!(error.to_string(), format!("cannot connect to {address}"));
}

#[test]
fn nonces_grow_even_when_the_clock_does_not() {
    let clock = Arc::new(ManualClock::at(1_000));
    let signer = Signer::with_clock(key("//Alice"), "127.0.0.1", BabelbitScheme::axon(), clock.clone());
    let peer = Peer::new(key("//Bob").hotkey(), "127.0.0.1", 1).unwrap();
    let nonce = |signer: &Signer| {
        let headers = signer.headers(&peer, &Method::POST, "/", "X", Duration::ZERO, b"").unwrap();
        headers["bt_header_dendrite_nonce"].to_str().unwrap().to_owned()
    };
    assert_eq!(nonce(&signer), "1000");
    assert_eq!(nonce(&signer.clone()), "1001");
    assert_eq!(nonce(&signer.with_scheme(BabelbitScheme::axon())), "1002");
    clock.set(5);
    assert_eq!(nonce(&signer), "1003");
    clock.set(2_000);
    assert_eq!(nonce(&signer), "2000");
    assert!(!format!("{signer:?}").contains("33a6f3093f158a71"), "no secret in sight");
}
