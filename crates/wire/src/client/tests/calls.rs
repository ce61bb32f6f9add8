//! Calls: retries, streams in both directions, many peers concurrently.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::routing::any;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};

use super::*;
use crate::BtauthScheme;

fn btauth(config: ClientConfig) -> SignedClient {
    SignedClient::new(Signer::new(key("//Alice"), "127.0.0.1", BtauthScheme::new()), config)
        .unwrap()
}

fn post_to(path: &str, body: impl Into<Bytes>) -> Call {
    Call::new(Method::POST, path, body)
}

/// The nonces of all received requests.
type ReceivedNonces = Arc<Mutex<Vec<String>>>;

/// Serves these statuses in order, then repeats the last one.
async fn serve_statuses(statuses: &'static [u16]) -> (Peer, ReceivedNonces) {
    let nonces = ReceivedNonces::default();
    let handler = move |State(nonces): State<ReceivedNonces>, headers: HeaderMap| async move {
        let mut nonces = nonces.lock().unwrap();
        nonces.push(headers["x-bittensor-nonce"].to_str().unwrap().to_owned());
        let status = statuses[(nonces.len() - 1).min(statuses.len() - 1)];
        (StatusCode::from_u16(status).unwrap(), "x".repeat(2 * MAX_ERROR_BYTES))
    };
    let router = Router::new().route("/", any(handler)).with_state(nonces.clone());
    (peer(listen(router).await), nonces)
}

#[tokio::test]
async fn only_retryable_requests_are_retried_with_new_signature() {
    let client =
        btauth(ClientConfig { pause: Duration::from_millis(1), ..ClientConfig::default() });
    for (statuses, retry, status, requests) in [
        (&[503, 200][..], Retry::Idempotent, 200, 2),
        (&[502, 504, 503, 200], Retry::Idempotent, 503, 3),
        (&[503, 200], Retry::Unsent, 503, 1),
        (&[503, 200], Retry::Never, 503, 1),
        (&[500, 200], Retry::Idempotent, 500, 1),
        (&[401, 200], Retry::Idempotent, 401, 1),
        (&[201], Retry::Idempotent, 201, 1),
    ] {
        let (peer, nonces) = serve_statuses(statuses).await;
        let response = client.call(&peer, &Call { retry, ..post_to("/", "") }).await.unwrap();
        assert_eq!(response.status.as_u16(), status, "{statuses:?} {retry:?}");
        let nonces = nonces.lock().unwrap();
        assert_eq!(nonces.len(), requests, "{statuses:?} {retry:?}");
        assert!(
            nonces.is_sorted_by(|one, next| one < next),
            "each attempt has its own nonce: {nonces:?}"
        );
        // An error response is truncated, a success is not.
        assert_eq!(
            response.body.len(),
            if status < 300 { 2 * MAX_ERROR_BYTES } else { MAX_ERROR_BYTES }
        );
    }
}

/// Starts a server that reads requests, counts them and closes the connection without a response.
async fn disconnecting_peer() -> (Peer, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    (peer(address), connections)
}

#[tokio::test]
async fn possibly_executed_request_is_not_retried() {
    let client =
        btauth(ClientConfig { pause: Duration::from_millis(1), ..ClientConfig::default() });
    for (retry, expected) in [(Retry::Never, 1), (Retry::Unsent, 1), (Retry::Idempotent, 3)] {
        let (peer, connections) = disconnecting_peer().await;
        let error = client.call(&peer, &Call { retry, ..post_to("/", "x") }).await.unwrap_err();
        assert!(matches!(error, CallError::ConnectionLost(_)), "{error}");
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{retry:?}");
    }
}

#[tokio::test]
async fn restarted_peer_is_reached_by_retry() {
    // Until it listens, connections to the port are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let client = btauth(ClientConfig {
        attempts: 1_000,
        pause: Duration::from_millis(1),
        ..ClientConfig::default()
    });
    let late = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        axum::serve(socket.listen(1_024).unwrap(), Router::new().route("/", any(|| async {}))).await
    };
    let (peer, call) = (peer(address), post_to("/", ""));
    tokio::select! {
        result = client.call(&peer, &call) => assert_eq!(result.unwrap().status, StatusCode::OK),
        _ = late => {}
    }
}

#[tokio::test]
async fn last_failure_is_returned_when_no_time_is_left() {
    let unreachable = Peer::new(key("//Bob").hotkey(), "127.0.0.1", 1).unwrap();
    let client = btauth(ClientConfig { pause: Duration::from_mins(1), ..ClientConfig::default() });
    assert!(client.call(&unreachable, &post_to("/", "")).await.unwrap_err().is_connect());
}

#[tokio::test]
async fn each_attempt_sends_the_remaining_timeout() {
    let timeouts = Arc::new(Mutex::new(Vec::<f64>::new()));
    let handler = move |State(timeouts): State<Arc<Mutex<Vec<f64>>>>, headers: HeaderMap| async move {
        timeouts.lock().unwrap().push(headers["timeout"].to_str().unwrap().parse().unwrap());
        StatusCode::SERVICE_UNAVAILABLE
    };
    let peer =
        peer(listen(Router::new().route("/", any(handler)).with_state(timeouts.clone())).await);
    let call =
        Call { retry: Retry::Idempotent, deadline: Duration::from_mins(1), ..post_to("/", "") };
    assert_eq!(client().call(&peer, &call).await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    let timeouts = timeouts.lock().unwrap();
    // After pauses of 50 ms and 100 ms.
    assert!(
        timeouts.len() == 3 && timeouts[0] > 59.999 && timeouts[1] <= 59.95 && timeouts[2] <= 59.85,
        "{timeouts:?}"
    );
}

#[tokio::test]
async fn malformed_paths_are_refused() {
    let (peer, nonces) = serve_statuses(&[200]).await;
    for path in ["/a b", "/a#b"] {
        let error =
            btauth(ClientConfig::default()).call(&peer, &post_to(path, "")).await.unwrap_err();
        assert!(matches!(error, CallError::InvalidUrl { .. }), "{error}");
    }
    assert!(nonces.lock().unwrap().is_empty());
}

#[tokio::test]
async fn response_chunks_are_streamed() {
    let next_chunk = Arc::new(Notify::new());
    let handler_next_chunk = next_chunk.clone();
    let handler = move || {
        let handler_next_chunk = handler_next_chunk.clone();
        async move {
            let pieces = futures::stream::unfold(0, move |index| {
                let handler_next_chunk = handler_next_chunk.clone();
                async move {
                    if index == 2 {
                        return None;
                    }
                    if index == 1 {
                        handler_next_chunk.notified().await;
                    }
                    Some((Ok::<_, Infallible>(format!("piece {index}")), index + 1))
                }
            });
            Body::from_stream(pieces)
        }
    };
    let peer = peer(listen(Router::new().route("/", any(handler))).await);
    let mut response =
        btauth(ClientConfig::default()).stream(&peer, &post_to("/", "")).await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    // The second piece is sent only after the first was received.
    assert_eq!(response.next().await.unwrap().unwrap(), "piece 0");
    next_chunk.notify_one();
    assert_eq!(response.next().await.unwrap().unwrap(), "piece 1");
    assert!(response.next().await.is_none());
    assert!(response.next().await.is_none(), "the stream stays ended");
}

#[tokio::test]
async fn streams_end_at_their_deadline_and_at_their_limit() {
    let handler = || async {
        let start = futures::stream::iter([Ok::<_, Infallible>("0123456789")]);
        Body::from_stream(start.chain(futures::stream::pending()))
    };
    let peer = peer(listen(Router::new().route("/", any(handler))).await);
    let client = btauth(ClientConfig::default());
    let call = Call { deadline: Duration::from_secs(10), ..post_to("/", "") };
    let mut response = client.stream(&peer, &call).await.unwrap();
    assert_eq!(response.next().await.unwrap().unwrap(), "0123456789");
    assert!(response.next().await.unwrap().unwrap_err().is_timeout());
    assert!(response.next().await.is_none());

    let mut response = client.stream(&peer, &Call { max_response_bytes: 9, ..call }).await.unwrap();
    assert!(matches!(response.next().await, Some(Err(CallError::TooLarge { limit: 9 }))));
    assert!(response.next().await.is_none());
}

#[tokio::test]
async fn signed_and_unsigned_bodies_are_uploaded() {
    let echo = || async |body: Body| body;
    let layer = || {
        SignedLayer::new(
            key("//Bob").hotkey(),
            BabelbitScheme::axon(),
            Limits::default(),
            Policy::open(),
        )
    };
    let unsigned = peer(listen(Router::new().route("/", any(echo())).route_layer(layer())).await);
    let layer = SignedLayer::new(
        key("//Bob").hotkey(),
        BtauthScheme::new(),
        Limits::default(),
        Policy::open(),
    );
    let signed = peer(listen(Router::new().route("/", any(echo())).route_layer(layer)).await);
    let body = || {
        futures::stream::iter(
            ["a", "b", "c"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text))),
        )
    };
    let read = async |response: Result<CallResponseStream, CallError>| {
        let response = response.unwrap();
        assert_eq!(response.status, StatusCode::OK);
        response
            .try_fold(String::new(), async |text, chunk| {
                Ok(text + std::str::from_utf8(&chunk).unwrap())
            })
            .await
    };
    let call = post_to("/", "");
    assert_eq!(read(client().upload(&unsigned, &call, body()).await).await.unwrap(), "abc");
    let config = ClientConfig { max_signed_body_bytes: 3, ..ClientConfig::default() };
    assert_eq!(read(btauth(config).upload(&signed, &call, body()).await).await.unwrap(), "abc");

    let config = ClientConfig { max_signed_body_bytes: 2, ..config };
    let error = btauth(config).upload(&signed, &call, body()).await.unwrap_err();
    assert!(matches!(error, CallError::RequestTooLarge { limit: 2 }), "{error}");
    let broken = || futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    let error = btauth(config).upload(&signed, &call, broken()).await.unwrap_err();
    assert!(matches!(error, CallError::RequestBody(_)), "{error}");
    let error = client().upload(&unsigned, &call, broken()).await.unwrap_err();
    assert!(matches!(error, CallError::ConnectionLost(_)), "{error}");
}

#[tokio::test]
async fn concurrent_calls_are_limited_and_return_their_outcomes() {
    let running = Arc::new(AtomicUsize::new(0));
    let maximum = Arc::new(AtomicUsize::new(0));
    let (handler_running, handler_maximum, barrier) =
        (running.clone(), maximum.clone(), Arc::new(Barrier::new(3)));
    let busy = any(move || {
        let (handler_running, handler_maximum, barrier) =
            (handler_running.clone(), handler_maximum.clone(), barrier.clone());
        async move {
            handler_maximum
                .fetch_max(handler_running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait().await;
            handler_running.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let never = any(std::future::pending::<()>);
    let router = Router::new().route("/busy", busy).route("/never", never);
    let responding_peer = peer(listen(router).await);
    let unreachable = Peer::new(key("//Bob").hotkey(), "127.0.0.1", 1).unwrap();
    let mut calls = vec![
        (
            responding_peer.clone(),
            Call { deadline: Duration::from_millis(100), ..post_to("/never", "") },
        ),
        (unreachable, post_to("/busy", "")),
        (responding_peer.clone(), post_to("/elsewhere", "")),
    ];
    calls.extend((0..9).map(|_| (responding_peer.clone(), post_to("/busy", ""))));
    let replies =
        btauth(ClientConfig::default()).call_all(calls, NonZeroUsize::new(3).unwrap()).await;
    let codes: Vec<_> = replies.iter().map(|reply| reply.code).collect();
    assert_eq!(
        codes[..3],
        [ReturnCode::Timeout, ReturnCode::Unavailable, ReturnCode::NotImplemented]
    );
    assert_eq!(codes[3..], [ReturnCode::Success; 9]);
    assert!(replies[0].elapsed >= Duration::from_millis(100));
    // The peer that never responds holds a third slot most of the time.
    assert!((2..=3).contains(&maximum.load(Ordering::SeqCst)), "three at a time");
}
