//! Signed requests of 1 KB, echoed over loopback by a server in the same process, on two threads:
//! `cargo bench -p taonet-benches --bench wire`.
//!
//! The benchmark measures the throughput over 64 connections, and the latency at 6 000 requests per
//! second, which is half of the required throughput. The server has its default configuration, with
//! a replay log. With `-- --json` the output is one JSON document.
#![allow(clippy::print_stdout, reason = "the measures are the output")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};
use taonet_http::{ServeLimits, serve};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{
    BtauthScheme, Call, ClientConfig, DendriteScheme, Peer, Retry, Scheme, SignedClient,
    SignedLayer, Signer, Synapse, SynapseClass,
};
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Mutex, mpsc};

const CONNECTIONS: usize = 64;
const BODY_BYTES: usize = 1024;
const SECONDS: f64 = 5.0;
/// Half of the goal, in requests per second.
const MIN_REQUESTS_PER_SECOND: f64 = 6_000.0;
const NAME: &str = "EchoSynapse";

fn main() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut results = Vec::new();
    for scheme in ["btauth", "dendrite"] {
        results.push(measure(&runtime, scheme).with_context(|| scheme.to_owned())?);
    }
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", json!(results));
        return Ok(());
    }
    println!(
        "{BODY_BYTES} bytes, {CONNECTIONS} connections  requests/s  CPU µs each    at p50 ms  p99 ms  at this rate"
    );
    for result in results {
        let text = |name: &str| result.get(name).and_then(Value::as_f64).unwrap_or_default();
        println!(
            "{:28} {:10.0} {:12.1} {:10.0} {:6.2} {:7.2}",
            result.get("scheme").and_then(Value::as_str).unwrap_or_default(),
            text("per_second"),
            text("cpu_microseconds"),
            text("open_per_second"),
            text("p50_ms"),
            text("p99_ms"),
        );
    }
    println!("goal for btauth: at least 12000 requests/s; p99 under 2 ms at 6000 a second");
    Ok(())
}

/// One connection, with one request in flight at a time.
struct Caller {
    client: SignedClient,
    turn: Mutex<()>,
}

/// A neuron that echoes, and its callers.
struct Bench {
    callers: Vec<Arc<Caller>>,
    peer: Peer,
    call: Arc<Call>,
}

fn measure(runtime: &Runtime, scheme: &'static str) -> Result<Value> {
    let shutdown = Shutdown::new();
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("replay");
    let bench = Arc::new(runtime.block_on(start(scheme, &log, &shutdown))?);
    // A new log refuses requests signed before its start, and up to 3 s after.
    std::thread::sleep(Duration::from_millis(3_100));
    runtime.block_on(closed_loop(&bench, 0.5))?;
    let started = cpu_seconds();
    let per_second = runtime.block_on(closed_loop(&bench, SECONDS))?;
    let cpu = (cpu_seconds() - started) * 1e6 / (per_second * SECONDS);
    let mut latencies = open_loop(runtime.handle(), &bench, MIN_REQUESTS_PER_SECOND)?;
    shutdown.request();
    latencies.sort_unstable();
    let quantile = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len() - 1)).map_or(0.0, Duration::as_secs_f64) * 1e3
    };
    Ok(json!({
        "scheme": scheme,
        "per_second": per_second,
        "cpu_microseconds": cpu,
        "open_per_second": MIN_REQUESTS_PER_SECOND,
        "p50_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
    }))
}

async fn start(scheme: &str, log: &Path, shutdown: &Shutdown) -> Result<Bench> {
    let bob = Keypair::from_uri("//Bob")?.hotkey();
    let text = "x".repeat(BODY_BYTES - 30);
    let (router, path, clients) = if scheme == "btauth" {
        let router = Router::new().route("/echo", post(|body: Bytes| async { body }));
        let layer = SignedLayer::builder(bob, BtauthScheme::new()).build_with_replay_log(log)?;
        (router.route_layer(layer), "echo", vec![client(BtauthScheme::new())?; CONNECTIONS])
    } else {
        let dendrite = || DendriteScheme::new().class(SynapseClass::new(NAME).hash(["prompt"]));
        let echo = |mut synapse: Synapse| async {
            let answer = synapse.get("prompt").cloned();
            synapse.set("answer", answer.unwrap_or_default());
            synapse
        };
        let router = Router::new().route(&format!("/{NAME}"), post(echo));
        let layer = SignedLayer::builder(bob, dendrite()).build_with_replay_log(log)?;
        // The nonces of a process must arrive in order: each connection is a separate process.
        let clients = (0..CONNECTIONS).map(|_| client(dendrite())).collect::<Result<_>>()?;
        (router.route_layer(layer), NAME, clients)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let stop = shutdown.clone();
    shutdown.spawn("server", async move {
        serve(listener, router, &stop, ServeLimits::default()).await;
    });
    let body = json!({ "name": NAME, "prompt": text }).to_string();
    let call = Call {
        name: NAME.to_owned(),
        retry: Retry::Never,
        ..Call::new(http::Method::POST, path, body)
    };
    let callers = clients
        .into_iter()
        .map(|client| Arc::new(Caller { client, turn: Mutex::new(()) }))
        .collect();
    Ok(Bench { callers, peer: Peer::new(bob, "127.0.0.1", port)?, call: Arc::new(call) })
}

fn client(scheme: impl Scheme) -> Result<SignedClient> {
    let config = ClientConfig { idle_per_host: CONNECTIONS, ..ClientConfig::default() };
    Ok(SignedClient::new(Signer::new(Keypair::from_uri("//Alice")?, "127.0.0.1", scheme), config)?)
}

impl Bench {
    async fn send_one(&self, caller: &Caller) -> Result<()> {
        let _turn = caller.turn.lock().await;
        let answer = caller.client.call(&self.peer, &self.call).await?;
        ensure!(answer.status == http::StatusCode::OK, "{}: {:?}", answer.status, answer.body);
        ensure!(answer.body.len() >= self.call.body.len(), "the answer is cut off");
        Ok(())
    }
}

/// Measures the throughput of a closed loop, in requests per second.
async fn closed_loop(bench: &Arc<Bench>, seconds: f64) -> Result<f64> {
    let (end, completed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let start = Instant::now();
    let callers = bench.callers.iter().map(|caller| {
        let (bench, caller, end, completed) =
            (bench.clone(), caller.clone(), end.clone(), completed.clone());
        tokio::spawn(async move {
            while !end.load(Ordering::Relaxed) {
                bench.send_one(&caller).await?;
                completed.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, anyhow::Error>(())
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    end.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await??;
    }
    Ok(f64::from(completed.load(Ordering::Relaxed)) / start.elapsed().as_secs_f64())
}

/// Sends at fixed times, whether or not responses have arrived; returns each latency from the
/// scheduled time.
fn open_loop(runtime: &Handle, bench: &Arc<Bench>, per_second: f64) -> Result<Vec<Duration>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let start = Instant::now();
    let requests = (per_second * SECONDS) as u32;
    for (index, caller) in (0..requests).zip(bench.callers.iter().cycle()) {
        let due_at = start + Duration::from_secs_f64(f64::from(index) / per_second);
        std::thread::sleep(due_at.saturating_duration_since(Instant::now()));
        let (bench, caller, sender) = (bench.clone(), caller.clone(), sender.clone());
        runtime.spawn(async move {
            let result = bench.send_one(&caller).await;
            let _ = sender.send(result.map(|()| due_at.elapsed()));
        });
    }
    drop(sender);
    let mut latencies = Vec::with_capacity(requests as usize);
    while let Some(latency) = receiver.blocking_recv() {
        latencies.push(latency?);
    }
    Ok(latencies)
}

/// Returns the processor time of this process on all cores, in seconds; Linux only.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    // User and system time, in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
