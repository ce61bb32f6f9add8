//! Half-open connections to an address, and the response time of others meanwhile.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::support::is_exhaustive;

/// Concurrent half-open connections, from 127.0.0.2 to 127.0.0.9.
pub(crate) const ATTACKERS: u16 = 2_000;
/// Addresses of the attackers.
pub(crate) const ATTACKER_ADDRESSES: u16 = 8;
/// Number of attackers that reopen a closed connection immediately, so that the server always has
/// connections to accept. If all of them did, the test would measure the length of the accept
/// queue.
pub(crate) const IMMEDIATE_REOPENERS: u16 = 16;
/// Delay before the others reopen a closed connection.
const REOPEN_DELAY: Duration = Duration::from_secs(1);
/// The same delay for TLS and QUIC, where a connection costs the attackers as much processor time
/// as the server, and both run on this machine.
pub(crate) const TLS_REOPEN_DELAY: Duration = Duration::from_secs(10);
/// Measured requests of a round, sequential, each on a new connection.
const REQUESTS: usize = 200;
/// Maximum number of rounds: other programs on the machine can slow several rounds in a row.
const MAX_ROUNDS: usize = 15;
/// Maximum 99th percentile of the response time.
pub(crate) const MAX_P99: Duration = Duration::from_millis(50);
/// Maximum response time: long enough for slow machines, shorter than the wait for a connection
/// slot.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(5);

/// Commands with a server of their own. All others read heads with the one of taonet-http.
const OWN_SERVERS: [&str; 1] = ["tao localnet start"];

/// A body of which attackers send the beginning.
const HALF_BODY: &[u8] = &[b' '; 1_000];

/// Function that returns the headers of a request with this body from this caller, after which a
/// daemon reads the body. Caller 0 is measured, the others attack.
pub(crate) type HeaderBuilder = Arc<dyn Fn(&[u8], u16) -> String + Send + Sync>;

/// A route that reads request bodies.
#[derive(Clone)]
pub(crate) struct BodyRoute {
    pub(crate) path: &'static str,
    pub(crate) headers: HeaderBuilder,
    /// A complete body, and the expected status of the response.
    pub(crate) complete_body: (&'static str, u16),
}

/// An address on which a daemon listens, and its test requests.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// A public GET path, and the expected status of the response.
    pub(crate) page: (&'static str, u16),
    /// `None` if no route reads a body: every request is answered after its head.
    pub(crate) body_route: Option<BodyRoute>,
    /// Configuration of its clients if it serves TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// An address, and how to connect to it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// A TCP or TLS connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Target {
    async fn connect(&self, from: IpAddr) -> io::Result<Box<dyn Stream>> {
        let stream = connect(from, self.address).await?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(server_name(), stream).await?))
    }
}

fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Returns the first half of a client's first TLS message.
fn partial_client_hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut hello = Vec::new();
    ClientConnection::new(Arc::clone(config), server_name())
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    hello.truncate(hello.len() / 2);
    hello
}

/// Function that returns the bytes to send on a connection, from the caller's number.
pub(crate) type RequestBuilder = Arc<dyn Fn(u16) -> Vec<u8> + Send + Sync>;

impl Listener {
    /// The server responds within `max_latency` despite thousands of half-open connections.
    #[track_caller]
    pub(crate) fn assert_responds_within(&self, max_latency: Duration, name: &str) {
        let (path, status) = self.page;
        let get =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)
                .into_bytes();
        let (plain, target) = (self.target(None), self.target(self.tls.clone()));
        let mut attacks = Vec::new();
        // A daemon's own code runs after the head. Where attackers can send half a body, `./test`
        // tries half a head once for each server.
        let is_own_server = self.tls.is_some() || OWN_SERVERS.contains(&name);
        if is_exhaustive() || self.body_route.is_none() || is_own_server {
            attacks.push(("half a head", &target, fixed_request(get[..30].to_vec())));
        }
        attacks.extend(
            self.tls.iter().map(|tls| {
                ("half a TLS handshake", &plain, fixed_request(partial_client_hello(tls)))
            }),
        );
        let mut complete = vec![(status, fixed_request(get))];
        if let Some(body_route) = &self.body_route {
            let (body, status) = body_route.complete_body;
            complete.push((status, self.post(body_route, body.as_bytes(), body.len())));
            attacks.push(("half a body", &target, self.post(body_route, HALF_BODY, 9)));
        }
        let runtime = Runtime::new().unwrap();
        for (case, attacked, half) in attacks {
            runtime.block_on(async {
                let attack = attack(attacked, half).await;
                assert_eq!(attack.answered(), 0, "{name}: {case} is answered, so nothing is held");
                for (status, request) in &complete {
                    let p99 = p99(max_latency, async || {
                        response_time(&target, &request(0), *status).await
                    })
                    .await;
                    assert!(
                        p99 < max_latency,
                        "{name}: status {status} took {p99:?} while others sent {case}"
                    );
                }
            });
        }
    }

    fn target(&self, tls: Option<Arc<ClientConfig>>) -> Target {
        Target { address: self.address, tls }
    }

    /// Returns a request with the first `sent` bytes of a body. Each is signed when it is sent,
    /// since a signature is valid once.
    pub(crate) fn post(
        &self,
        body_route: &BodyRoute,
        body: &'static [u8],
        sent: usize,
    ) -> RequestBuilder {
        let (to, BodyRoute { path, headers, .. }) = (self.address, body_route.clone());
        Arc::new(move |caller| {
            let (headers, length) = (headers(body, caller), body.len());
            let headers =
                format!("host: {to}\r\nconnection: close\r\n{headers}content-length: {length}\r\n");
            [format!("POST {path} HTTP/1.1\r\n{headers}\r\n").as_bytes(), &body[..sent]].concat()
        })
    }
}

fn fixed_request(bytes: Vec<u8>) -> RequestBuilder {
    Arc::new(move |_| bytes.clone())
}

/// Open connections; closed on drop.
pub(crate) struct Attack {
    _attackers: JoinSet<()>,
    answered: Arc<AtomicUsize>,
}

impl Attack {
    /// Connections with a response, which are not half-open.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Opens connections that send half a request, and reopens closed ones.
async fn attack(to: &Target, half: RequestBuilder) -> Attack {
    let (opened_connections, answered_count) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut attackers = JoinSet::new();
    let reopen_delay = if to.tls.is_some() { TLS_REOPEN_DELAY } else { REOPEN_DELAY };
    for number in 0..ATTACKERS {
        let caller = 1 + number % ATTACKER_ADDRESSES;
        let from = Ipv4Addr::new(127, 0, 0, 1 + caller as u8);
        let (to, half, opened_connections, answered_count) =
            (to.clone(), half.clone(), opened_connections.clone(), answered_count.clone());
        attackers.spawn(async move {
            loop {
                match to.connect(from.into()).await {
                    Ok(mut stream) => {
                        let _ = stream.write_all(&half(caller)).await;
                        let _ = stream.flush().await;
                        opened_connections.add_permits(1);
                        let start = Instant::now();
                        let is_answered = stream.read(&mut [0]).await.is_ok_and(|bytes| bytes > 0);
                        // While others still connect, the server can already refuse a body that is
                        // late.
                        let is_answered = is_answered && start.elapsed() < MAX_RESPONSE_TIME;
                        answered_count.fetch_add(is_answered.into(), Ordering::Relaxed);
                    }
                    // No local port is free at the moment, or the server closed the connection
                    // during the handshake.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
                if number >= IMMEDIATE_REOPENERS {
                    tokio::time::sleep(reopen_delay).await;
                }
            }
        });
    }
    // All connections were open once.
    let all = opened_connections.acquire_many(ATTACKERS.into());
    drop(
        timeout(Duration::from_mins(1), all)
            .await
            .expect("the connections are not accepted")
            .unwrap(),
    );
    Attack { _attackers: attackers, answered: answered_count }
}

pub(crate) async fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Returns the 99th percentile of the response times (`None` counts as `MAX_RESPONSE_TIME`) in the
/// best round, or in `./test --all` in the third best. The rounds stop as soon as they decide
/// whether it is below `max_latency`.
pub(crate) async fn p99(
    max_latency: Duration,
    response_time: impl AsyncFn() -> Option<Duration>,
) -> Duration {
    let required_rounds = if is_exhaustive() { 3 } else { 1 };
    let mut rounds = Vec::new();
    while rounds.len() < MAX_ROUNDS
        && rounds.iter().filter(|round| **round < max_latency).count() < required_rounds
    {
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            times.push(response_time().await.unwrap_or(MAX_RESPONSE_TIME));
            if times.iter().filter(|time| **time >= max_latency).count() > REQUESTS / 100 {
                break;
            }
        }
        times.sort_unstable();
        let round_p99 = times[(times.len() - 1).min(REQUESTS * 99 / 100)];
        rounds.push(round_p99);
        if round_p99 >= max_latency {
            // One slow spell of the machine must not fill all rounds.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    }
    rounds.sort_unstable();
    rounds[required_rounds - 1]
}

/// Returns the time to the response, and asserts its status; `None` without a response.
async fn response_time(to: &Target, request: &[u8], status: u16) -> Option<Duration> {
    let start = Instant::now();
    let actual = timeout(MAX_RESPONSE_TIME, send_request(to, request)).await.ok()??;
    assert_eq!(actual, status, "{}", String::from_utf8_lossy(request));
    Some(start.elapsed())
}

/// Returns the status of the response, if there is one.
async fn send_request(to: &Target, request: &[u8]) -> Option<u16> {
    let mut stream = to.connect(Ipv4Addr::LOCALHOST.into()).await.ok()?;
    let mut response = Vec::new();
    stream.write_all(request).await.ok()?;
    stream.flush().await.ok()?;
    stream.read_to_end(&mut response).await.ok()?;
    str::from_utf8(response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}
