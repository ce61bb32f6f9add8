//! A load generator for HTTP/1.1. It does as little work per byte as possible, because it shares
//! two cores with the processes that it measures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// The end of a chunked body.
const END: &[u8] = b"\r\n0\r\n\r\n";
/// Timeout of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A server and its API key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) key: String,
}

/// Load pattern of the generator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Load {
    /// Closed loop: each caller sends its next request when the previous one ends.
    Closed { target: Target, callers: usize, seconds: u64 },
    /// Open loop: requests at fixed times, regardless of the response times.
    Open { target: Target, per_second: u32, seconds: u64 },
    /// Slow streams that are open concurrently.
    Idle { target: Target, streams: usize, seconds: u64 },
}

/// Generates a load; returns the results, and the streams that are still open.
pub(crate) fn run(load: &Load) -> (Value, Vec<TcpStream>) {
    rustix::process::setrlimit(rustix::process::Resource::Nofile, {
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = limit.maximum;
        limit
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match load {
            Load::Closed { target, callers, seconds } => {
                (closed_loop(target, *callers, *seconds).await, Vec::new())
            }
            Load::Open { target, per_second, seconds } => {
                (open_loop(target, *per_second, *seconds).await, Vec::new())
            }
            Load::Idle { target, streams, seconds } => {
                hold_idle_streams(target, *streams, *seconds).await
            }
        }
    })
}

fn request(target: &Target, content: &str, max_tokens: u32) -> Arc<[u8]> {
    let body = json!({
        "model": "chat-llama-3-2-3b", "stream": true, "max_tokens": max_tokens,
        "messages": [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": content}],
    })
    .to_string();
    let host = target.url.trim_start_matches("http://");
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        target.key,
        body.len()
    )
    .into_bytes()
    .into()
}

async fn connect(target: &Target) -> TcpStream {
    let stream = TcpStream::connect(target.url.trim_start_matches("http://")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request and reads its answer. Returns the arrival time of the first event, or `None`
/// after a failure.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<Instant> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    let mut first = None;
    loop {
        let before = buffer.len();
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        if first.is_none()
            && memchr::memmem::find(&buffer[before.saturating_sub(5)..], b"data:").is_some()
        {
            first = Some(Instant::now());
        }
        if buffer.ends_with(END) {
            break;
        }
        if first.is_none()
            && buffer.starts_with(b"HTTP/1.1")
            && !buffer.starts_with(b"HTTP/1.1 200")
        {
            eprintln!("{}", String::from_utf8_lossy(buffer));
            return None;
        }
    }
    first.filter(|_| {
        memchr::memmem::find(&buffer[buffer.len().saturating_sub(64)..], b"[DONE]").is_some()
    })
}

/// A connection with its read buffer.
type Connection = (TcpStream, Vec<u8>);

async fn closed_loop(target: &Target, callers: usize, seconds: u64) -> Value {
    let request_bytes = request(target, "What is a subnet?", 64);
    // Warm up: connections, and a proxy's own caches.
    let end = Instant::now() + Duration::from_secs(1 + seconds);
    let start = Instant::now() + Duration::from_secs(1);
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (target, request_bytes) = (target.clone(), Arc::clone(&request_bytes));
            tokio::spawn(async move {
                let (mut stream, mut buffer) =
                    (connect(&target).await, Vec::with_capacity(64 * 1024));
                let (mut done, mut failed) = (0_u32, 0_u32);
                while Instant::now() < end {
                    let answered = timeout(
                        RESPONSE_TIMEOUT,
                        exchange(&mut stream, &request_bytes, &mut buffer),
                    )
                    .await;
                    if answered.ok().flatten().is_none() {
                        failed += 1;
                        stream = connect(&target).await;
                    } else if Instant::now() > start {
                        done += 1;
                    }
                }
                (done, failed)
            })
        })
        .collect();
    let (mut done, mut failed) = (0, 0);
    for caller in callers {
        let (caller_done, caller_failed) = caller.await.unwrap();
        (done, failed) = (done + caller_done, failed + caller_failed);
    }
    let elapsed = start.elapsed().as_secs_f64();
    json!({"per_second": f64::from(done) / elapsed, "failed": failed})
}

async fn open_loop(target: &Target, per_second: u32, seconds: u64) -> Value {
    let request_bytes = request(target, "What is a subnet?", 64);
    let (due, mut times) = mpsc::unbounded_channel();
    // Tokio's timers have a resolution of a millisecond, those of threads one of 50 µs.
    std::thread::spawn(move || {
        let (start, interval) = (Instant::now(), Duration::from_secs(1) / per_second);
        for number in 0..per_second * u32::try_from(1 + seconds).unwrap() {
            let at = start + interval * number;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if due.send((at, number >= per_second)).is_err() {
                return;
            }
        }
    });
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let (results, mut measured) = mpsc::unbounded_channel();
    while let Some((at, counts)) = times.recv().await {
        let (idle, request_bytes, results, target) =
            (Arc::clone(&idle), Arc::clone(&request_bytes), results.clone(), target.clone());
        tokio::spawn(async move {
            let idle_connection = idle.lock().await.pop();
            let (mut stream, mut buffer) = match idle_connection {
                Some(idle_connection) => idle_connection,
                None => (connect(&target).await, Vec::with_capacity(64 * 1024)),
            };
            let first =
                timeout(RESPONSE_TIMEOUT, exchange(&mut stream, &request_bytes, &mut buffer))
                    .await
                    .ok()
                    .flatten();
            if first.is_some() {
                idle.lock().await.push((stream, buffer));
            }
            if counts {
                let _ =
                    results.send(first.map(|first| first.duration_since(at).as_secs_f64() * 1e3));
            }
        });
    }
    drop(results);
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while let Some(result) = measured.recv().await {
        match result {
            Some(latency) => latencies.push(latency),
            None => failed += 1,
        }
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied();
    json!({"p50_ms": at(50), "p99_ms": at(99), "answered": latencies.len(), "failed": failed})
}

async fn hold_idle_streams(
    target: &Target,
    streams: usize,
    seconds: u64,
) -> (Value, Vec<TcpStream>) {
    let request_bytes = request(target, super::servers::SLOW_PROMPT, 32_000);
    let mut open_streams = Vec::with_capacity(streams);
    let mut buffer = vec![0; 4_096];
    for _ in 0..streams {
        let mut stream = connect(target).await;
        stream.write_all(&request_bytes).await.unwrap();
        let read = timeout(RESPONSE_TIMEOUT, stream.read(&mut buffer)).await;
        assert!(
            buffer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buffer[..read.unwrap().unwrap()])
        );
        open_streams.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // None has ended.
    let mut alive = 0;
    for stream in &mut open_streams {
        alive += usize::from(
            timeout(RESPONSE_TIMEOUT, stream.read(&mut buffer))
                .await
                .is_ok_and(|read| read.is_ok_and(|read| read > 0)),
        );
    }
    (json!({"streams": alive}), open_streams)
}
