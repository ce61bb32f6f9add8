//! The load generator: calls that start at a constant rate, with bounded concurrency.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use futures::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use taonet_service::Shutdown;
use taonet_wire::{Call, Peer, Retry, ReturnCode, SignedClient};
use tokio::time::Instant;

use super::requests::Requests;
use crate::commands::axon::Verdict;

/// Longest reason of a failure that is kept, in characters.
const MAX_REASON: usize = 200;

/// How much is sent, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub(super) calls: u32,
    /// Requests per call.
    pub(super) batch: u32,
    /// Calls per second.
    pub(super) rate: f64,
    /// Maximum number of concurrent requests.
    pub(super) concurrency: usize,
    pub(super) timeout: Duration,
    /// Time after which no request starts.
    pub(super) max_time: Duration,
    pub(super) max_response_bytes: usize,
}

/// A benchmark of one axon.
pub(super) struct Load {
    pub(super) client: SignedClient,
    pub(super) peer: Peer,
    pub(super) requests: Requests,
    pub(super) plan: Plan,
    /// Whether the axon reports its status in headers.
    pub(super) is_dendrite: bool,
}

/// The result of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// Number of the call, from 0.
    pub(super) call: u32,
    /// Start of the request, since the start of the benchmark.
    pub(super) start: Duration,
    /// Time from the start of the request to the complete response or the error.
    pub(super) latency: Duration,
    pub(super) code: ReturnCode,
    pub(super) status: StatusCode,
    /// Why the request failed; empty for a success.
    pub(super) reason: String,
    /// Bytes of the response's body.
    pub(super) bytes: usize,
}

/// The results of a benchmark.
#[derive(Debug)]
pub(super) struct Run {
    /// Samples in the order in which their requests started.
    pub(super) samples: Vec<Sample>,
    pub(super) elapsed: Duration,
}

impl Load {
    /// Sends the requests until all are answered, the time is over, or `stop` is requested. Requests in flight are
    /// completed when the time is over, and abandoned on `stop`.
    pub(super) async fn run(&self, stop: &Shutdown) -> Run {
        let Plan { calls, batch, rate, concurrency, max_time, .. } = self.plan;
        let bar = Progress::new(u64::from(calls) * u64::from(batch));
        let began = Instant::now();
        let interval = Duration::from_secs_f64(1.0 / rate);
        let due = stream::iter(0..calls.saturating_mul(batch)).then(|index| async move {
            tokio::time::sleep_until(began + interval.saturating_mul(index / batch)).await;
            index
        });
        // If all requests that may be concurrent are in flight, the next one starts late.
        let samples = due
            .take_until(tokio::time::sleep(max_time))
            .map(|index| self.exchange(index, began))
            .buffer_unordered(concurrency)
            .inspect(|_| bar.0.inc(1))
            .take_until(stop.requested());
        let mut samples: Vec<Sample> = samples.collect().await;
        let elapsed = began.elapsed();
        samples.sort_by_key(|sample| (sample.start, sample.call));
        Run { samples, elapsed }
    }

    async fn exchange(&self, index: u32, began: Instant) -> Sample {
        let request = self.requests.request(index);
        let name = self.requests.class().name();
        let call = Call {
            name: name.to_owned(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            deadline: self.plan.timeout,
            max_answer_bytes: self.plan.max_response_bytes,
            // A failed attempt is part of the measurement.
            retry: Retry::Never,
            ..Call::new(Method::POST, name, request.body.clone())
        };
        let start = Instant::now();
        let result = self.client.call(&self.peer, &call).await;
        let latency = start.elapsed();
        let verdict = Verdict::of(&result, self.is_dendrite);
        let answer = result.as_ref().ok();
        let problem = answer.filter(|_| verdict.code.is_success()).and_then(|answer| request.problem(&answer.body));
        let (code, reason) = match problem {
            Some(problem) => problem,
            None if verdict.code.is_success() => (verdict.code, String::new()),
            None => (verdict.code, verdict.message.chars().take(MAX_REASON).collect()),
        };
        Sample {
            call: index / self.plan.batch,
            start: start - began,
            latency,
            code,
            status: verdict.status,
            reason,
            bytes: answer.map_or(0, |answer| answer.body.len()),
        }
    }
}

/// A progress bar that is cleared on drop.
struct Progress(ProgressBar);

impl Progress {
    fn new(requests: u64) -> Self {
        let style = ProgressStyle::with_template("{pos}/{len} requests [{wide_bar}] {per_sec} {elapsed}");
        let bar = ProgressBar::new(requests);
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::body::Bytes;
    use serde_json::Value;
    use taonet_http::{ServeLimits, serve};
    use taonet_wallet::Keypair;
    use taonet_wire::{ClientConfig, DendriteScheme, Signer};
    use tokio::net::TcpListener;

    use super::super::requests::Kind;
    use super::*;

    /// A scripted miner of the summing subnet: each request in turn gets the next of the replies.
    #[derive(Debug, Clone, Copy)]
    enum Reply {
        Right,
        Wrong,
        Status(StatusCode),
        Large,
        /// The right response after 200 ms.
        Slow,
        Silent,
    }

    async fn answer(reply: Reply, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let request: Value = serde_json::from_slice(body).unwrap();
        let sum = request["a"].as_i64().unwrap() + request["b"].as_i64().unwrap();
        match reply {
            Reply::Right => (StatusCode::OK, format!(r#"{{"sum": {sum}}}"#).into()),
            Reply::Wrong => (StatusCode::OK, format!(r#"{{"sum": {}}}"#, sum + 1).into()),
            Reply::Status(status) => (status, b"no".to_vec()),
            Reply::Large => (StatusCode::OK, vec![b' '; 5_000]),
            Reply::Slow => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                (StatusCode::OK, format!(r#"{{"sum": {sum}}}"#).into())
            }
            Reply::Silent => std::future::pending().await,
        }
    }

    /// Runs a benchmark against a miner with these replies; also returns how many requests it got at the same time.
    async fn bench(plan: Plan, replies: &'static [Reply], stop: &Shutdown) -> (Run, usize) {
        let (number, running, most) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let router = Router::new().fallback(move |body: Bytes| {
            let reply = replies[number.fetch_add(1, Ordering::SeqCst) % replies.len()];
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let answer = answer(reply, &body).await;
                running.fetch_sub(1, Ordering::SeqCst);
                answer
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { serve(listener, router, &Shutdown::new(), ServeLimits::default()).await });
        let requests = Requests::new(&Kind::Summing, None).unwrap();
        let scheme = DendriteScheme::new().class(requests.class().clone());
        let signer = Signer::new(Keypair::from_uri("//Alice").unwrap(), "0.0.0.0", scheme);
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let peer = Peer::new(Keypair::from_uri("//Bob").unwrap().hotkey(), "127.0.0.1", port).unwrap();
        let run = Load { client, peer, requests, plan, is_dendrite: true }.run(stop).await;
        (run, seen.load(Ordering::SeqCst))
    }

    fn plan(calls: u32, batch: u32) -> Plan {
        Plan {
            calls,
            batch,
            rate: 1_000.0,
            concurrency: 1,
            timeout: Duration::from_secs(10),
            max_time: Duration::from_mins(1),
            max_response_bytes: 1_000,
        }
    }

    #[tokio::test]
    async fn each_result_has_its_code_and_reason() {
        let replies =
            &[Reply::Right, Reply::Wrong, Reply::Status(StatusCode::TOO_MANY_REQUESTS), Reply::Large, Reply::Silent];
        let short = Plan { timeout: Duration::from_millis(500), ..plan(5, 1) };
        let (run, _) = bench(short, replies, &Shutdown::new()).await;
        let found: Vec<_> =
            run.samples.iter().map(|sample| (sample.call, sample.code, sample.reason.as_str())).collect();
        let expected = [
            (0, ReturnCode::Success, ""),
            (1, ReturnCode::InvalidResponse, "the response has a wrong sum, or none"),
            (2, ReturnCode::Backoff, "429 Too Many Requests: no"),
            (3, ReturnCode::ResponseShapeException, "response is larger than 1000 bytes"),
            (4, ReturnCode::Timeout, "timeout after 0.5s"),
        ];
        assert_eq!(found, expected);
        let silent = &run.samples[4];
        assert!(silent.latency >= Duration::from_millis(500) && silent.status == StatusCode::REQUEST_TIMEOUT);
        assert!(run.samples[0].bytes > 0 && silent.bytes == 0);
    }

    #[tokio::test]
    async fn calls_start_at_the_rate() {
        let (run, _) = bench(Plan { rate: 20.0, ..plan(4, 2) }, &[Reply::Right], &Shutdown::new()).await;
        let calls: Vec<_> = run.samples.iter().map(|sample| sample.call).collect();
        assert_eq!(calls, [0, 0, 1, 1, 2, 2, 3, 3]);
        for sample in &run.samples {
            let due = Duration::from_millis(50) * sample.call;
            assert!(sample.start >= due, "call {} started after {:?}", sample.call, sample.start);
        }
    }

    #[tokio::test]
    async fn slow_miner_gets_no_more_than_the_concurrency() {
        let (run, most) = bench(Plan { concurrency: 3, ..plan(9, 1) }, &[Reply::Slow], &Shutdown::new()).await;
        assert_eq!(run.samples.len(), 9);
        assert_eq!(most, 3);
        assert!(run.elapsed >= Duration::from_millis(600), "three rounds of 200 ms: {:?}", run.elapsed);
    }

    #[tokio::test]
    async fn no_request_starts_after_the_time() {
        let limits = Plan { rate: 10.0, max_time: Duration::from_millis(450), ..plan(1_000, 1) };
        let (run, _) = bench(limits, &[Reply::Right], &Shutdown::new()).await;
        assert!((1..=5).contains(&run.samples.len()), "{}", run.samples.len());
    }

    #[tokio::test]
    async fn interruption_keeps_the_samples_and_abandons_requests_in_flight() {
        let stop = Shutdown::new();
        let limits = Plan { concurrency: 2, ..plan(2, 1) };
        let started = std::time::Instant::now();
        let interrupt = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.request();
        };
        let ((run, _), ()) = tokio::join!(bench(limits, &[Reply::Right, Reply::Silent], &stop), interrupt);
        assert_eq!(run.samples.len(), 1);
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    }
}
