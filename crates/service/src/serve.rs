use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Shutdown;

/// How long to wait after the system refused to accept a connection, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that a connection reads ahead at most; unread bodies stay in the system's buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// What a server takes from strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections at a time; more wait in the system's queue.
    pub connections: usize,
    /// Connections at a time from one address (of IPv6, from one /64); more are closed at once. Behind a proxy all come
    /// from its address.
    pub connections_per_address: usize,
    /// How long the head of a request may take, and how long a connection may idle between requests.
    pub header_timeout: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// How long requests may go on after the end was asked for.
    pub drain: Duration,
}

impl Default for ServeLimits {
    /// 1 024 connections, 256 from one address, heads of 32 KiB within 30 s, 10 s to drain (less than [`crate::STOP_WITHIN`]).
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_address: 256,
            header_timeout: Duration::from_secs(30),
            header_bytes: 32 * 1024,
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves HTTP/1.1 until the end is asked for; then lets running requests end, for [`ServeLimits::drain`] at most.
/// Handlers may take `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown, limits: ServeLimits) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(BUFFER_BYTES));
    let permits = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::default();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = shutdown.requested() => break,
            (permit, accepted) = next => match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = addresses.enter(peer.ip(), limits.connections_per_address) else {
                        tracing::debug!(%peer, "connection closed: too many from its address");
                        continue;
                    };
                    let router = router.clone().layer(Extension(ConnectInfo(peer)));
                    let connection = connection(&http, stream, router, graceful.watcher());
                    connections.spawn(async move {
                        let _held = (permit, place);
                        connection.await;
                    });
                }
                Err(error) => pause(&error).await,
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off");
    }
    connections.shutdown().await;
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address, until it is dropped.
struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let address = match address.to_canonical() {
            // Whoever has one address of a /64 has them all.
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address @ IpAddr::V4(_) => address,
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn connection(
    http: &http1::Builder,
    stream: TcpStream,
    router: Router,
    watcher: Watcher,
) -> impl Future<Output = ()> + Send + 'static {
    // Requests are small and answered at once: waiting for more to send only costs time.
    let _ = stream.set_nodelay(true);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    async move {
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// A connection that is gone before it was accepted costs nothing; when files have run out, some need time to close.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

    /// All that arrives until the other side closes.
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
        let limits =
            ServeLimits { connections: 1, header_timeout: Duration::from_millis(50), ..ServeLimits::default() };
        let (address, shutdown) = start(Router::new().route("/", get(|| async { "here" })), limits).await;
        let slow = send(address, b"GET / HT").await;
        // The only place is taken; this one waits until the slow one has lost it.
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
        // Another address of the same machine.
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
}
