use std::net::SocketAddr;
use std::sync::Arc;
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
async fn shutdown_waits_for_running_requests() {
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_started, handler_release) = (started.clone(), release.clone());
    let slow = get(move || async move {
        handler_started.notify_one();
        handler_release.notified().await;
        "done"
    });
    let (address, shutdown) = start(Router::new().route("/", slow), ServeLimits::default()).await;
    let stream = send(address, REQUEST).await;
    started.notified().await;
    shutdown.request();
    release.notify_one();
    assert!(receive(stream).await.ends_with("done"));
    assert_eq!(shutdown.finished().await, Ok(()));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn endless_request_is_aborted_at_shutdown() {
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
async fn slow_heads_time_out_although_bytes_keep_arriving() {
    let limits = ServeLimits {
        connections: 1,
        header_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    };
    let (address, shutdown) =
        start(Router::new().route("/", get(|| async { "here" })), limits).await;
    let (mut reader, mut writer) = send(address, b"GET / HTTP/1.1\r\nx: ").await.into_split();
    let slow_writer = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut response = Vec::new();
    let _ = reader.read_to_end(&mut response).await;
    assert!(!String::from_utf8_lossy(&response).contains("here"));
    slow_writer.await.unwrap();
    assert!(receive(send(address, REQUEST).await).await.ends_with("here"));
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
}

/// Connects to `to` from another loopback address.
async fn connect_from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn connections_per_address_are_limited() {
    let busy = Arc::new(Notify::new());
    let started = busy.clone();
    let stuck = get(move || async move {
        started.notify_one();
        std::future::pending::<()>().await;
    });
    let limits = ServeLimits { connections_per_address: 2, ..ServeLimits::default() };
    let (address, _shutdown) =
        start(Router::new().route("/", get(|| async { "here" })).route("/stuck", stuck), limits)
            .await;
    let mut stuck = Vec::new();
    for _ in 0..2 {
        stuck.push(send(address, b"GET /stuck HTTP/1.1\r\nhost: x\r\n\r\n").await);
        busy.notified().await;
    }
    assert_eq!(receive(send(address, b"").await).await, "", "closed");
    let mut other_client = connect_from("127.0.0.2", address).await;
    other_client.write_all(REQUEST).await.unwrap();
    assert!(receive(other_client).await.ends_with("here"));
    drop(stuck);
    while !receive(send(address, REQUEST).await).await.ends_with("here") {
        tokio::task::yield_now().await;
    }
}

/// Incomplete heads, incomplete bodies and silent connections do not block other clients.
#[tokio::test]
async fn incomplete_requests_are_evicted_for_new_connections() {
    let routes = || {
        Router::new()
            .route("/", get(|| async { "here" }).post(|body: Bytes| async move { drop(body) }))
    };
    for incomplete in [
        "",
        "GET / HTTP/1.1\r\nhost: x\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let limits =
            ServeLimits { connections: 8, connections_per_address: 4, ..ServeLimits::default() };
        let (address, _shutdown) = start(routes(), limits).await;
        let mut attackers = Vec::new();
        for count in 0..32 {
            let mut attacker = connect_from(&format!("127.0.0.{}", 2 + count % 4), address).await;
            attacker.write_all(incomplete.as_bytes()).await.unwrap();
            attackers.push(attacker);
        }
        let started = Instant::now();
        assert!(receive(send(address, REQUEST).await).await.ends_with("here"), "{incomplete}");
        assert!(started.elapsed() < limits.header_timeout / 2, "{incomplete}");
    }
}

/// Incomplete TLS handshakes are evicted for new connections, and time out.
#[tokio::test]
async fn incomplete_handshakes_are_evicted_and_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let server = shutdown.clone();
    let router = Router::new().route("/", get(|| async { "answer" }));
    let limits = ServeLimits {
        connections: 1,
        header_timeout: Duration::from_millis(500),
        ..ServeLimits::default()
    };
    shutdown.spawn("server", async move {
        let handshake = async |mut stream: WriteDeadline| {
            stream.read_u8().await?;
            Ok(stream)
        };
        serve_over(listener, router, &server, limits, handshake).await;
    });
    let evicted = TcpStream::connect(address).await.unwrap();
    let connection = send(address, &[b"!", REQUEST].concat()).await;
    assert!(receive(connection).await.ends_with("answer"));
    assert_eq!(receive(evicted).await, "");
    assert_eq!(receive(TcpStream::connect(address).await.unwrap()).await, "");
}

#[tokio::test]
async fn requests_in_flight_are_not_evicted() {
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (handler_started, handler_release) = (started.clone(), release.clone());
    let slow = post(move |body: Bytes| async move {
        handler_started.notify_one();
        handler_release.notified().await;
        format!("{} bytes", body.len())
    });
    let limits =
        ServeLimits { connections: 2, connections_per_address: 2, ..ServeLimits::default() };
    let routes = Router::new().route("/slow", slow).route("/", get(|| async { "here" }));
    let (address, _shutdown) = start(routes, limits).await;
    let mut slow =
        send(address, b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nfull").await;
    started.notified().await;
    for _ in 0..8 {
        let _half = connect_from("127.0.0.2", address).await;
        assert!(receive(send(address, REQUEST).await).await.ends_with("here"));
    }
    release.notify_one();
    let mut response = [0; 512];
    let length = slow.read(&mut response).await.unwrap();
    assert!(String::from_utf8_lossy(&response[..length]).ends_with("4 bytes"));
    // The same connection is now idle, and the oldest idle one.
    let (_first, _second) =
        (connect_from("127.0.0.2", address).await, connect_from("127.0.0.2", address).await);
    assert_eq!(receive(slow).await, "");
}

#[tokio::test]
async fn handlers_get_the_peer_address() {
    let show_address =
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() });
    let (address, _shutdown) =
        start(Router::new().route("/", show_address), ServeLimits::default()).await;
    assert!(receive(send(address, REQUEST).await).await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn large_heads_are_refused() {
    let (address, _shutdown) = start(Router::new(), ServeLimits::default()).await;
    let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    let response = receive(send(address, head.as_bytes()).await).await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}

/// Returns a router that rejects every request without reading its body.
fn refusing_router() -> Router {
    Router::new()
        .route("/", post(|| async { (StatusCode::UNAUTHORIZED, "no") }).get(|| async { "here" }))
}

fn head(bytes: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n")
}

/// A client that sends a large body before it reads the response gets the refusal and a clean end
/// of the connection.
#[tokio::test]
async fn refusal_arrives_after_any_part_of_the_body() {
    let (address, shutdown) = start(refusing_router(), ServeLimits::default()).await;
    let body = vec![0; 16 << 20];
    for sent_bytes in [0, 2, body.len() / 2, body.len()] {
        let mut stream = send(address, head(body.len()).as_bytes()).await;
        stream.write_all(&body[..sent_bytes]).await.unwrap();
        let response = receive(stream).await;
        assert!(
            response.starts_with("HTTP/1.1 401") && response.ends_with("no"),
            "{sent_bytes}: {response}"
        );
        assert!(response.contains("connection: close"), "{sent_bytes}: {response}");
    }
    // A client that waits for the response before it sends its body gets the refusal too.
    let response = receive(send(address, head(1 << 20).as_bytes()).await).await;
    assert!(response.contains("connection: close") && response.ends_with("no"), "{response}");
    shutdown.request();
    assert_eq!(shutdown.finished().await, Ok(()));
}

/// An endless body does not delay shutdown.
#[tokio::test]
async fn endless_body_is_read_until_linger_timeout() {
    let limits = ServeLimits { linger: Duration::from_millis(100), ..ServeLimits::default() };
    let (address, _shutdown) = start(refusing_router(), limits).await;
    let started = Instant::now();
    let mut endless = send(address, head(1 << 30).as_bytes()).await;
    while endless.write_all(&[0; 64]).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() >= limits.linger);
}

/// Connections whose bodies are read stay alive for further requests.
#[tokio::test]
async fn connection_stays_alive_after_body_is_read() {
    let length = post(|body: Bytes| async move { format!("{} bytes", body.len()) });
    let routes = Router::new().route("/", length.get(|| async { "here" }));
    let (address, _shutdown) = start(routes, ServeLimits::default()).await;
    let chunked =
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let requests =
        [head(3).as_str(), "abc", chunked, head(0).as_str(), str::from_utf8(REQUEST).unwrap()]
            .concat();
    let responses = receive(send(address, requests.as_bytes()).await).await;
    for expected in ["3 bytes", "2 bytes", "0 bytes", "here"] {
        assert!(responses.contains(expected), "{responses}");
    }
    assert_eq!(
        responses.matches("connection: close").count(),
        1,
        "the last request asks for it: {responses}"
    );
}

/// Returns a route that streams without end, with a notification when the stream is dropped.
fn endless_routes() -> (Router, Arc<Notify>) {
    struct DropNotifier(Arc<Notify>);
    impl Drop for DropNotifier {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let ended = Arc::new(Notify::new());
    let handler_ended = ended.clone();
    let stream = get(move || async move {
        let ended = DropNotifier(handler_ended.clone());
        let chunks = futures::stream::repeat_with(move || {
            let _held = &ended;
            Ok::<_, io::Error>(vec![0; 64 * 1024])
        });
        axum::body::Body::from_stream(chunks)
    });
    (Router::new().route("/", get(|| async { "here" })).route("/endless", stream), ended)
}

const ENDLESS: &[u8] = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn unread_response_times_out() {
    let (routes, ended) = endless_routes();
    let limits =
        ServeLimits { write_timeout: Duration::from_millis(200), ..ServeLimits::default() };
    let (address, _shutdown) = start(routes, limits).await;
    let mut stream = send(address, ENDLESS).await;
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(20), ended.notified())
        .await
        .expect("the body is dropped");
    assert!(started.elapsed() >= limits.write_timeout);
    let mut remaining = Vec::new();
    let error = stream.read_to_end(&mut remaining).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "the system keeps nothing either");
}

/// A response that the client reads slowly is not truncated.
#[tokio::test]
async fn slowly_read_response_does_not_time_out() {
    let (routes, _ended) = endless_routes();
    let limits = ServeLimits { write_timeout: Duration::from_secs(3), ..ServeLimits::default() };
    let (address, _shutdown) = start(routes, limits).await;
    let mut stream = send(address, ENDLESS).await;
    let (started, mut buffer) = (Instant::now(), vec![0; 64 * 1024]);
    while started.elapsed() < 2 * limits.write_timeout {
        stream.read_exact(&mut buffer).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Connections whose clients do not read the response are evicted long before the write timeout.
#[tokio::test]
async fn unread_responses_are_evicted_for_new_connections() {
    let (routes, _ended) = endless_routes();
    let limits = ServeLimits {
        connections: 4,
        connections_per_address: 2,
        write_timeout: Duration::from_hours(1),
        ..ServeLimits::default()
    };
    let (address, _shutdown) = start(routes, limits).await;
    let mut attackers = Vec::new();
    for count in 0..8 {
        let mut attacker = connect_from(&format!("127.0.0.{}", 2 + count % 4), address).await;
        attacker.write_all(ENDLESS).await.unwrap();
        attackers.push(attacker);
    }
    let response = tokio::time::timeout(Duration::from_secs(20), async {
        receive(send(address, REQUEST).await).await
    });
    assert!(response.await.expect("a slot within seconds").ends_with("here"));
}

/// More clients than the per-address limit can share an address when their keep-alive connections
/// are idle.
#[tokio::test]
async fn idle_connections_of_an_address_are_evicted_for_its_other_clients() {
    let limits = ServeLimits { connections_per_address: 4, ..ServeLimits::default() };
    let (address, _shutdown) =
        start(Router::new().route("/", get(|| async { "here" })), limits).await;
    let request_and_read = async |stream: &mut TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let mut response = [0; 512];
        let length = stream.read(&mut response).await?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&response[..length]).ends_with("here"))
    };
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = send(address, b"").await;
        assert!(request_and_read(&mut client).await.unwrap());
        clients.push(client);
    }
    let closed = clients.drain(..8).map(receive);
    for closed in closed {
        assert_eq!(closed.await, "", "the oldest make room");
    }
    for client in &mut clients {
        assert!(request_and_read(client).await.unwrap(), "the newest remain open");
    }
}
