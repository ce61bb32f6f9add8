use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn start(router: Router, limits: ServeLimits) -> (SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let server = shutdown.clone();
    shutdown.spawn("server", async move { serve(listener, router, &server, limits).await });
    (address, shutdown)
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the peer closes the connection.
async fn receive(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    text
}

#[tokio::test]
async fn running_requests_end_before_the_server_does() {
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_started, handler_go) = (started.clone(), go.clone());
    let slow = get(move || async move {
        handler_started.notify_one();
        handler_go.notified().await;
        "done"
    });
    let (address, shutdown) = start(Router::new().route("/", slow), ServeLimits::default()).await;
    let stream = send(address, REQUEST).await;
    started.notified().await;
    shutdown.request();
    go.notify_one();
    assert!(receive(stream).await.ends_with("done"));
    assert_eq!(shutdown.finished().await, Ok(()));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_request_without_end_is_cut_off() {
    let started = Arc::new(Notify::new());
    let handler_started = started.clone();
    let stuck = get(move || async move {
        handler_started.notify_one();
        std::future::pending::<()>().await;
    });
    let limits = ServeLimits { drain: Duration::from_millis(10), ..ServeLimits::default() };
    let (address, shutdown) = start(Router::new().route("/", stuck), limits).await;
    let stream = send(address, REQUEST).await;
    started.notified().await;
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
    assert_eq!(receive(stream).await, "");
}

#[tokio::test]
async fn heads_that_dribble_in_are_cut_off_and_free_their_place() {
    let limits = ServeLimits { connections: 1, header_timeout: Duration::from_millis(50), ..ServeLimits::default() };
    let (address, shutdown) = start(Router::new().route("/", get(|| async { "here" })), limits).await;
    let slow = send(address, b"GET / HT").await;
    // The only slot is taken; this request waits until the slow one has timed out.
    let patient = send(address, REQUEST).await;
    assert!(receive(patient).await.ends_with("here"));
    assert!(!receive(slow).await.contains("here"));
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let limits = ServeLimits { connections_per_address: 2, ..ServeLimits::default() };
    let (address, _shutdown) = start(Router::new().route("/", get(|| async { "here" })), limits).await;
    let idle = [send(address, b"").await, send(address, b"").await];
    assert_eq!(receive(send(address, b"").await).await, "", "closed");
    // Another loopback address.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    assert!(receive(other).await.ends_with("here"));
    drop(idle);
    while !receive(send(address, REQUEST).await).await.ends_with("here") {
        tokio::task::yield_now().await;
    }
}

#[test]
fn addresses_of_one_network_count_together() {
    let addresses = Addresses::default();
    let enter = |address: &str| addresses.enter(address.parse().unwrap(), 1);
    let first = enter("2001:db8::1");
    assert!(first.is_some() && enter("2001:db8::2").is_none());
    let others = [enter("2001:db8:0:1::1"), enter("192.0.2.1"), enter("192.0.2.2")];
    assert!(others.iter().all(Option::is_some));
    assert!(enter("::ffff:192.0.2.1").is_none(), "the same IPv4 address");
    drop((first, others));
    assert!(enter("2001:db8::2").is_some());
    assert!(addresses.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn handlers_learn_who_calls() {
    let who = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() });
    let (address, _shutdown) = start(Router::new().route("/", who), ServeLimits::default()).await;
    assert!(receive(send(address, REQUEST).await).await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn large_heads_are_refused() {
    let (address, _shutdown) = start(Router::new(), ServeLimits::default()).await;
    let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    let answer = receive(send(address, head.as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// A router that refuses every request without reading its body.
fn refusing() -> Router {
    Router::new().route("/", post(|| async { (StatusCode::UNAUTHORIZED, "no") }).get(|| async { "here" }))
}

fn head(bytes: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n")
}

/// A client that sends a large body before it reads the response gets the refusal and a clean end of the connection.
#[tokio::test]
async fn a_refusal_is_readable_whatever_of_its_body_is_still_to_come() {
    let (address, shutdown) = start(refusing(), ServeLimits::default()).await;
    let body = vec![0; 16 << 20];
    for sent in [0, 2, body.len() / 2, body.len()] {
        let mut stream = send(address, head(body.len()).as_bytes()).await;
        stream.write_all(&body[..sent]).await.unwrap();
        let answer = receive(stream).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.ends_with("no"), "{sent}: {answer}");
        assert!(answer.contains("connection: close"), "{sent}: {answer}");
    }
    // A client that waits for the response before it sends its body gets the refusal too.
    let answer = receive(send(address, head(1 << 20).as_bytes()).await).await;
    assert!(answer.contains("connection: close") && answer.ends_with("no"), "{answer}");
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
}

/// An endless body holds no connection slot and delays no shutdown.
#[tokio::test]
async fn what_nobody_ends_is_not_read_for_ever() {
    let limits = ServeLimits { connections: 1, linger: Duration::from_millis(100), ..ServeLimits::default() };
    let (address, _shutdown) = start(refusing(), limits).await;
    let began = Instant::now();
    let endless = send(address, head(1 << 30).as_bytes()).await;
    assert!(receive(send(address, REQUEST).await).await.ends_with("here"));
    assert!(began.elapsed() >= limits.linger);
    drop(endless);
}

/// Connections whose bodies are read stay alive for further requests.
#[tokio::test]
async fn what_is_read_keeps_its_connection() {
    let length = post(|body: Bytes| async move { format!("{} bytes", body.len()) });
    let routes = Router::new().route("/", length.get(|| async { "here" }));
    let (address, _shutdown) = start(routes, ServeLimits::default()).await;
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let requests = [head(3).as_str(), "abc", chunked, head(0).as_str(), str::from_utf8(REQUEST).unwrap()].concat();
    let answers = receive(send(address, requests.as_bytes()).await).await;
    for found in ["3 bytes", "2 bytes", "0 bytes", "here"] {
        assert!(answers.contains(found), "{answers}");
    }
    assert_eq!(answers.matches("connection: close").count(), 1, "the last request asks for it: {answers}");
}
