//! Resident memory of a signed server under hostile traffic: for a minute in `./test --all`.
//! docs/reliability.md has the figures of longer runs.
//!
//! ```text
//! TAONET_SOAK_SECONDS=600 cargo test -p taonet-wire --test soak -- --ignored --nocapture
//! ```

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that prints its figures"
)]

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::post;
use http::Method;
use taonet_http::{ServeLimits, serve};
use taonet_service::Shutdown;
use taonet_telemetry::Metrics;
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, Caller, Limits, Load, Peer, Rate, SignedLayer, Signer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The allocator of `tao` and `bb`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of clients of each kind.
const CLIENTS: u64 = 4;
/// Number of connections that each slow client holds open with half a request.
const HALF_OPEN: usize = 50;

static SENT: AtomicU64 = AtomicU64::new(0);

/// Resident memory in MiB.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    (pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096) >> 20
}

async fn count_sent(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    metrics::counter!("taonet_soak_total", "status" => response.status().as_str().to_owned())
        .increment(1);
    metrics::histogram!("taonet_soak_seconds").record(start.elapsed());
    response
}

/// Formats a request; a client with a signer signs it.
fn request(signer: Option<&Signer>, peer: &Peer, body: &str) -> String {
    let mut text = format!(
        "POST /echo HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
        peer.host(),
        body.len()
    );
    if let Some(signer) = signer {
        let headers = signer.headers(
            peer,
            &Method::POST,
            "/echo",
            "",
            Duration::from_secs(1),
            body.as_bytes(),
        );
        for (name, value) in &headers.unwrap() {
            let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap());
        }
    }
    text + "\r\n" + body
}

/// Sends a request and reads some of the response; opens a connection if there is none.
async fn send(open: &mut Option<TcpStream>, address: SocketAddr, text: &str) {
    let mut stream = match open.take() {
        Some(stream) => stream,
        None => match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(_) => return,
        },
    };
    let mut response = [0; 4_096];
    if stream.write_all(text.as_bytes()).await.is_ok()
        && stream.read(&mut response).await.is_ok_and(|read| read > 0)
    {
        SENT.fetch_add(1, Ordering::Relaxed);
        *open = Some(stream);
    }
}

/// The kinds of hostile clients.
#[derive(Clone, Copy)]
enum Kind {
    /// Unsigned requests, each on its own connection.
    Unsigned,
    /// Signed requests whose signature does not match.
    BadSignature,
    /// Correctly signed requests, each by another hotkey.
    DistinctHotkeys,
    /// Correctly signed requests of one hotkey, above its rate limit.
    OneHotkey,
    /// Connections that end in the middle of a request.
    HalfOpen,
}

async fn attack(kind: Kind, number: u64, peer: Peer, address: SocketAddr) {
    let own_signer = Signer::new(
        Keypair::from_uri(&format!("//Own{number}")).unwrap(),
        "127.0.0.1",
        BtauthScheme::new(),
    );
    let body = "x".repeat(2_048);
    let (mut connection, mut half_open) = (None, std::collections::VecDeque::new());
    for count in number.. {
        match kind {
            Kind::Unsigned => {
                connection = None;
                send(&mut connection, address, &request(None, &peer, &body)).await;
            }
            Kind::BadSignature => {
                let signed = request(Some(&own_signer), &peer, &body)
                    .replace("POST /echo ", "POST /echo?x ");
                send(&mut connection, address, &signed).await;
            }
            Kind::DistinctHotkeys => {
                let mut seed = [0; 32];
                seed.iter_mut()
                    .zip((count * CLIENTS).to_le_bytes())
                    .for_each(|(byte, part)| *byte = part);
                seed[31] = u8::try_from(number).unwrap();
                let other =
                    Signer::new(Keypair::from_seed(&seed), "127.0.0.1", BtauthScheme::new());
                send(&mut connection, address, &request(Some(&other), &peer, &body)).await;
            }
            Kind::OneHotkey => {
                send(&mut connection, address, &request(Some(&own_signer), &peer, &body)).await;
            }
            Kind::HalfOpen => {
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    let complete = request(Some(&own_signer), &peer, &body);
                    let _ = stream.write_all(complete.get(..600).unwrap().as_bytes()).await;
                    half_open.push_back(stream);
                }
                if half_open.len() > HALF_OPEN {
                    half_open.pop_front();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Returns the duration of the attack in seconds.
fn duration() -> u64 {
    std::env::var("TAONET_SOAK_SECONDS").map_or(60, |text| text.parse().unwrap())
}

#[test]
#[ignore = "takes a minute; ./test --all runs it"]
fn memory_is_bounded_under_hostile_traffic() {
    let duration = duration();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let metrics = Metrics::install().unwrap();
    runtime.block_on(async {
        let me = Keypair::from_uri("//Bob").unwrap().hotkey();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Peer::new(me, "127.0.0.1", address.port()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let load = Load { rate: Some(Rate { per_second: 100, burst: 200 }), ..Load::default() };
        let layer =
            SignedLayer::builder(me, BtauthScheme::new()).limits(Limits::default()).load(load);
        let layer = layer.build_with_replay_log(folder.path().join("replay")).unwrap();
        let echo = |_: Caller, body: bytes::Bytes| async move { body };
        let router =
            Router::new().route("/echo", post(echo)).layer(layer).layer(from_fn(count_sent));
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        tokio::spawn(async move { serve(listener, router, &stop, ServeLimits::default()).await });
        for number in 0..CLIENTS {
            for kind in [
                Kind::Unsigned,
                Kind::BadSignature,
                Kind::DistinctHotkeys,
                Kind::OneHotkey,
                Kind::HalfOpen,
            ] {
                tokio::spawn(attack(kind, number, peer.clone(), address));
            }
        }
        let start = Instant::now();
        let mut samples = Vec::new();
        while start.elapsed() < Duration::from_secs(duration) {
            tokio::time::sleep(Duration::from_secs(duration / 20)).await;
            samples.push(resident());
            let sent = SENT.load(Ordering::Relaxed);
            println!("{:4} s {:8} requests {:5} MiB", start.elapsed().as_secs(), sent, resident());
        }
        println!(
            "{}",
            metrics
                .render()
                .lines()
                .filter(|line| line.contains("_total{"))
                .collect::<Vec<_>>()
                .join("\n")
        );
        // After the first half, every bounded table is full.
        let (first, second) = samples.split_at(samples.len() / 2);
        let growth = second.iter().max().unwrap().saturating_sub(*first.iter().max().unwrap());
        assert!(growth < 32, "{growth} MiB more in the second half: {samples:?}");
        shutdown.request();
    });
}
