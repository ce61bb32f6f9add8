use std::net::SocketAddr;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use axum::{Router, middleware};
use taonet_service::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::*;
use crate::{ServeLimits, serve};

/// Longer than the first probes take.
const PAUSE: Duration = Duration::from_millis(200);
/// Timeout for what takes milliseconds on an idle machine.
const LONG_TIMEOUT: Duration = Duration::from_secs(20);

fn request(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
}

/// Notifies when it is dropped.
struct DropNotifier(Arc<Notify>);

impl Drop for DropNotifier {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Returns routes that respond after a pause, and a notification when a request for `/endless`
/// ends.
fn routes() -> (Router, Arc<Notify>) {
    let request_ended = Arc::new(Notify::new());
    let handler_ended = Arc::clone(&request_ended);
    let endless = get(move || async move {
        let _ended = DropNotifier(handler_ended);
        std::future::pending::<()>().await;
    });
    let slow = get(|| async {
        sleep(PAUSE).await;
        "done"
    });
    let streamed = get(|| async {
        let parts = futures::stream::iter(["one ", "two ", "three"]);
        let parts = futures::StreamExt::then(parts, |part| async move {
            sleep(PAUSE).await;
            Ok::<_, io::Error>(part)
        });
        Body::from_stream(parts)
    });
    // More than the system buffers.
    let large = get(|| async { vec![b'a'; 16 << 20] });
    let late = post(|body: Body| async move {
        sleep(PAUSE).await;
        axum::body::to_bytes(body, 64).await.unwrap_or_else(|_| Bytes::from("incomplete"))
    });
    let tolerant = Router::new()
        .route("/slow", slow.clone())
        .route("/streamed", streamed)
        .route("/large", large)
        .route("/late", late)
        .route("/endless", endless)
        .layer(middleware::from_fn(tolerate_half_close));
    (tolerant.route("/strict", slow), request_ended)
}

async fn start(routes: Router) -> (SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
    let server = shutdown.clone();
    shutdown.spawn("server", async move {
        serve(listener, routes, &server, ServeLimits::default()).await;
    });
    (address, shutdown)
}

/// Sends bytes, closes the sending side, and reads to the end of the connection.
async fn send_and_half_close(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut response = Vec::new();
    let _ = timeout(LONG_TIMEOUT, stream.read_to_end(&mut response))
        .await
        .expect("the connection stays open");
    String::from_utf8(response).unwrap()
}

#[tokio::test]
async fn half_closed_client_gets_its_response() {
    let (address, _shutdown) = start(routes().0).await;
    let response = send_and_half_close(address, &request("/slow", "")).await;
    let (interim, response) =
        response.rsplit_once("100 Continue\r\n\r\n").expect("an interim response");
    assert!(
        interim.starts_with("HTTP/1.1 ") && response.starts_with("HTTP/1.1 200"),
        "{interim}{response}"
    );
    assert!(response.ends_with("done"), "{response}");
    // The second request of a connection as well.
    let pipelined = [request("/slow", ""), request("/slow", "")].concat();
    assert_eq!(send_and_half_close(address, &pipelined).await.matches("done").count(), 2);
    // A body that the handler reads late.
    let post = b"POST /late HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
    assert!(send_and_half_close(address, post).await.ends_with("body"));
}

#[tokio::test]
async fn half_closed_client_gets_all_chunks() {
    let (address, _shutdown) = start(routes().0).await;
    let response = send_and_half_close(address, &request("/streamed", "")).await;
    let (_, response) = response.split_once("HTTP/1.1 200").unwrap();
    let (_, mut chunks) = response.split_once("\r\n\r\n").unwrap();
    let (mut text, mut leading_zeros) = (String::new(), 0);
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        leading_zeros += size.len() - 1;
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        chunks = rest[size..].strip_prefix("\r\n").unwrap();
    }
    assert_eq!(text, "one two three");
    assert!(leading_zeros > 0, "the gaps are probed: {response}");
}

/// A client that reads nothing before it closes its sending side gets more than the system buffers.
#[tokio::test]
async fn half_closed_client_gets_a_large_response() {
    let (address, _shutdown) = start(routes().0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request("/large", "")).await.unwrap();
    stream.shutdown().await.unwrap();
    sleep(PAUSE).await;
    let mut response = Vec::new();
    timeout(LONG_TIMEOUT, stream.read_to_end(&mut response)).await.unwrap().unwrap();
    assert!(response.len() > 16 << 20, "{}", response.len());
}

#[tokio::test]
async fn request_of_a_closed_client_is_cancelled() {
    let (routes, request_ended) = routes();
    let (address, _shutdown) = start(routes).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request("/endless", "")).await.unwrap();
    sleep(PAUSE).await;
    drop(stream);
    timeout(LONG_TIMEOUT, request_ended.notified()).await.expect("the request is cancelled");
}

/// A client that closes its sending side first, and disconnects later.
#[tokio::test]
async fn request_is_cancelled_when_a_half_closed_client_disconnects() {
    let (routes, request_ended) = routes();
    let (address, _shutdown) = start(routes).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request("/endless", "")).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(timeout(PAUSE, request_ended.notified()).await.is_err(), "the client still waits");
    drop(stream);
    timeout(LONG_TIMEOUT, request_ended.notified()).await.expect("the request is cancelled");
}

#[tokio::test]
async fn half_close_cancels_request_where_not_tolerated() {
    let (address, _shutdown) = start(routes().0).await;
    assert_eq!(send_and_half_close(address, &request("/strict", "")).await, "");
    // Clients of HTTP/1.0 know no interim responses.
    assert_eq!(send_and_half_close(address, b"GET /slow HTTP/1.0\r\nhost: x\r\n\r\n").await, "");
    // An incomplete head, and no request at all.
    for bytes in [&b"GET /slow HT"[..], b""] {
        let started = Instant::now();
        assert_eq!(send_and_half_close(address, bytes).await, "");
        assert!(started.elapsed() < ServeLimits::default().header_timeout / 2);
    }
}

/// A waiting client is still probed after an interim response, and after the late end of the
/// previous response.
#[test]
fn interim_or_previous_response_does_not_begin_responding_phase() {
    let exchange = Exchange::default();
    for _ in 0..2 {
        exchange.begin_request(false);
        exchange.record_body_end();
        exchange.record_response_bytes();
        assert_eq!(exchange.phase(), Phase::AwaitingResponse);
        exchange.record_response(&Response::new(Body::empty()));
        exchange.record_response_bytes();
        assert_eq!(exchange.phase(), Phase::Responding);
    }
}

#[tokio::test]
async fn truncated_body_is_incomplete_after_grace_period() {
    let (address, _shutdown) = start(routes().0).await;
    let started = Instant::now();
    let response = send_and_half_close(
        address,
        b"POST /late HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nbody",
    )
    .await;
    assert!(response.ends_with("incomplete"), "{response}");
    assert!(started.elapsed() >= BODY_GRACE);
}
