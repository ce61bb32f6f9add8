//! Half-open connections to an address, and how long others wait for an answer meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Half-open connections at a time, from 127.0.0.2 to 127.0.0.9.
const ATTACKERS: u16 = 2_000;
/// Addresses of the attackers.
const ADDRESSES: u16 = 8;
/// So many of them reopen a closed connection immediately. There is always a server queue of that many connections, so that
/// it has no idle time; with all of them, the measurement would be that of the queue.
pub(crate) const IMPATIENT: u16 = 16;
/// Delay before the others reopen a closed connection.
const AGAIN: Duration = Duration::from_secs(1);
/// Requests of a round, one after the other, each on a connection of its own.
const REQUESTS: usize = 200;
/// Rounds of a measurement: their median counts.
const ROUNDS: usize = 5;
/// 99 of 100 requests are answered within this time.
pub(crate) const P99: Duration = Duration::from_millis(50);
/// The longest wait for an answer. Long enough for the slowest machine, and shorter than the wait for a place.
const NEVER: Duration = Duration::from_secs(5);

/// Of a body of this size, attackers send the beginning.
const HALF: &[u8] = &[b' '; 1_000];

/// The headers with which a daemon waits for a body: of these bytes, from this caller. Caller 0 is measured, the others
/// attack.
pub(crate) type Headers = Arc<dyn Fn(&[u8], u16) -> String + Send + Sync>;

/// A route that waits for the body of a request.
#[derive(Clone)]
pub(crate) struct Waits {
    pub(crate) path: &'static str,
    pub(crate) headers: Headers,
    /// A whole body, and the status of the answer.
    pub(crate) whole: (&'static str, u16),
}

/// An address that a daemon serves.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    /// A path that GET answers to everyone, and the status of the answer.
    pub(crate) page: (&'static str, u16),
    /// `None` where no route reads a body: every request is answered once its head is there.
    pub(crate) waits: Option<Waits>,
}

/// What a connection sends, by the number of its caller.
pub(crate) type Request = Arc<dyn Fn(u16) -> Vec<u8> + Send + Sync>;

impl Served {
    /// The server is held by thousands of half-open connections, and answers within `most` all the same.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "a test's measurements")]
    pub(crate) fn holds_within(&self, most: Duration, impatient: u16, name: &str) {
        let (path, status) = self.page;
        let get = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address).into_bytes();
        let mut half = vec![("half a head", sent(get[..30].to_vec()))];
        let mut whole = vec![(status, sent(get))];
        if let Some(waits) = &self.waits {
            let (body, status) = waits.whole;
            whole.push((status, self.post(waits, body.as_bytes(), body.len())));
            half.push(("half a body", self.post(waits, HALF, 9)));
        }
        let runtime = Runtime::new().unwrap();
        for (what, half) in half {
            runtime.block_on(async {
                let attack = attack(self.address, half, impatient).await;
                assert_eq!(attack.answered(), 0, "{name}: {what} is answered, so nothing is held");
                for (status, request) in &whole {
                    let p99 = median_p99(self.address, request, *status, most).await;
                    assert!(p99 < most, "{name}: status {status} took {p99:?} while others sent {what}");
                }
            });
        }
    }

    /// A request with so many bytes of a body. Signed ones are good once: each is made when it is sent.
    pub(crate) fn post(&self, waits: &Waits, body: &'static [u8], sent: usize) -> Request {
        let (to, Waits { path, headers, .. }) = (self.address, waits.clone());
        Arc::new(move |caller| {
            let (headers, length) = (headers(body, caller), body.len());
            let headers = format!("host: {to}\r\nconnection: close\r\n{headers}content-length: {length}\r\n");
            [format!("POST {path} HTTP/1.1\r\n{headers}\r\n").as_bytes(), &body[..sent]].concat()
        })
    }
}

fn sent(bytes: Vec<u8>) -> Request {
    Arc::new(move |_| bytes.clone())
}

/// Connections that are held open, until it is dropped.
pub(crate) struct Attack {
    _attackers: JoinSet<()>,
    answered: Arc<AtomicUsize>,
}

impl Attack {
    /// Connections that got an answer, and so hold nothing.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Opens connections that send half a request, and opens each again that is closed.
pub(crate) async fn attack(to: SocketAddr, half: Request, impatient: u16) -> Attack {
    let (opened, answered) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut attackers = JoinSet::new();
    for number in 0..ATTACKERS {
        let caller = 1 + number % ADDRESSES;
        let from = Ipv4Addr::new(127, 0, 0, 1 + caller as u8);
        let (half, opened, answered) = (half.clone(), opened.clone(), answered.clone());
        attackers.spawn(async move {
            loop {
                match connect(from.into(), to).await {
                    Ok(mut stream) => {
                        let _ = stream.write_all(&half(caller)).await;
                        opened.add_permits(1);
                        let is_answered = stream.read(&mut [0]).await.is_ok_and(|bytes| bytes > 0);
                        answered.fetch_add(is_answered.into(), Ordering::Relaxed);
                    }
                    // The system has no port for it, for a moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
                if number >= impatient {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        });
    }
    // As many have been there.
    let all = opened.acquire_many(ATTACKERS.into());
    drop(timeout(Duration::from_mins(1), all).await.expect("the connections are not accepted").unwrap());
    Attack { _attackers: attackers, answered }
}

pub(crate) async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// The 99th percentile of the time to an answer with this status: the median of some rounds, as far as they decide
/// whether it is below `most`.
pub(crate) async fn median_p99(to: SocketAddr, request: &Request, status: u16, most: Duration) -> Duration {
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS {
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            let request = request(0);
            let began = Instant::now();
            let answer = timeout(NEVER, ask(to, &request)).await;
            if let Ok(Some(found)) = answer {
                assert_eq!(found, status, "of {to}");
            }
            times.push(if let Ok(Some(_)) = answer { began.elapsed() } else { NEVER });
            if times.iter().filter(|time| **time >= most).count() > REQUESTS / 100 {
                break;
            }
        }
        times.sort_unstable();
        rounds.push(times[(times.len() - 1).min(REQUESTS * 99 / 100)]);
        let below = rounds.iter().filter(|round| **round < most).count();
        if below.max(rounds.len() - below) > ROUNDS / 2 {
            break;
        }
    }
    rounds.sort_unstable();
    // Rounds that were left out would not move it to the other side of `most`.
    rounds[ROUNDS / 2]
}

/// The status of the answer, if there is one.
async fn ask(to: SocketAddr, request: &[u8]) -> Option<u16> {
    let mut stream = connect(Ipv4Addr::LOCALHOST.into(), to).await.ok()?;
    let mut answer = Vec::new();
    stream.write_all(request).await.ok()?;
    stream.read_to_end(&mut answer).await.ok()?;
    str::from_utf8(answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}
