//! The load generator: calls that start at a constant rate, with bounded concurrency.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use futures::{StreamExt as _, stream};
use indicatif::ProgressBar;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::progress::Progress;
use taonet_service::Shutdown;
use taonet_wire::{Call, ClientConfig, Peer, Retry, ReturnCode, SignedClient};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::requests::Requests;
use crate::axon::CallOutcome;

/// Maximum length of a recorded failure reason, in characters.
const MAX_REASON_CHARS: usize = 200;
/// Maximum size of all concurrent requests and responses, in bytes.
const MAX_MEMORY_BYTES: usize = 2 << 30;

/// Number, rate and concurrency of the requests.
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

impl Plan {
    /// Returns when a request should start, since the start of the benchmark.
    fn start_time(&self, index: u32) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate).saturating_mul(index / self.batch)
    }

    /// Returns the configuration of a client that reads all concurrent responses at full size,
    /// without waiting for memory.
    pub(super) fn client_config(&self) -> ClientConfig {
        ClientConfig {
            max_response_bytes: self.max_response_bytes,
            large_responses_bytes: self.concurrency.saturating_mul(self.max_response_bytes),
            idle_per_host: self.concurrency,
            ..ClientConfig::default()
        }
    }

    /// Checks that the concurrent requests, each of at most `request_bytes`, and their responses
    /// fit in memory.
    pub(super) fn check_memory(&self, request_bytes: usize) -> anyhow::Result<()> {
        let Self { concurrency, max_response_bytes, .. } = *self;
        if concurrency.saturating_mul(request_bytes.saturating_add(max_response_bytes))
            <= MAX_MEMORY_BYTES
        {
            return Ok(());
        }
        let message = format!(
            "--concurrency {concurrency} × (--max-response {max_response_bytes} and {request_bytes} bytes of a request) \
             is more than 2 GiB of memory"
        );
        Err(ClassifiedError::usage(message))
    }
}

/// A benchmark of one axon.
pub(super) struct LoadTest {
    client: SignedClient,
    /// Clients without a request in flight.
    idle_clients: Mutex<Vec<SignedClient>>,
    peer: Peer,
    requests: Requests,
    plan: Plan,
    /// Whether the axon reports its status in headers.
    is_dendrite: bool,
}

/// The result of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// Number of the call, from 0.
    pub(super) call: u32,
    /// Scheduled start of the request, since the start of the benchmark.
    pub(super) scheduled_start: Duration,
    /// Actual start, since the start of the benchmark.
    pub(super) start: Duration,
    /// Time from the start of the request to the complete response or the error.
    pub(super) service_time: Duration,
    pub(super) code: ReturnCode,
    pub(super) status: StatusCode,
    /// Why the request failed; empty for a success.
    pub(super) reason: String,
    /// Bytes of the response's body.
    pub(super) bytes: usize,
}

impl Sample {
    /// Returns how late the request started.
    pub(super) fn lateness(&self) -> Duration {
        self.start.saturating_sub(self.scheduled_start)
    }

    /// Returns the response time without coordinated omission: from when
    /// the request was due to the complete response or the error. Measured from the start, a slow
    /// response would hide that it delays the requests after it.
    pub(super) fn latency(&self) -> Duration {
        self.lateness() + self.service_time
    }
}

/// The results of a benchmark.
#[derive(Debug)]
pub(super) struct LoadResults {
    /// Samples in the order in which their requests started.
    pub(super) samples: Vec<Sample>,
    pub(super) elapsed: Duration,
}

impl LoadTest {
    pub(super) fn new(
        client: SignedClient,
        peer: Peer,
        requests: Requests,
        plan: Plan,
        is_dendrite: bool,
    ) -> Self {
        Self { client, idle_clients: Mutex::default(), peer, requests, plan, is_dendrite }
    }

    /// Sends the requests until all are answered, the time is over, or `stop` is requested.
    /// Requests in flight are completed when the time is over, and abandoned on `stop`.
    pub(super) async fn run(self, stop: &Shutdown) -> LoadResults {
        let Plan { calls, batch, concurrency, max_time, .. } = self.plan;
        let bar = ProgressBar::new(u64::from(calls) * u64::from(batch));
        let bar = Progress::new(bar, "{pos}/{len} requests [{wide_bar}] {per_sec} {elapsed}");
        let load = Arc::new(self);
        let start = Instant::now();
        let scheduled = stream::iter(0..calls.saturating_mul(batch)).then(|index| {
            let start_time = start + load.plan.start_time(index);
            async move {
                tokio::time::sleep_until(start_time).await;
                index
            }
        });
        // If all requests that may be concurrent are in flight, the next one starts late.
        let samples = scheduled
            .take_until(tokio::time::sleep(max_time))
            // Each in its own task: the work for one response must not delay the others.
            .map(|index| {
                let load = Arc::clone(&load);
                AbortOnDropHandle::new(tokio::spawn(async move {
                    load.send_request(index, start).await
                }))
            })
            .buffer_unordered(concurrency)
            .filter_map(|joined| std::future::ready(unwrap_sample(joined)))
            .inspect(|_| bar.0.inc(1))
            .take_until(stop.requested());
        let mut samples: Vec<Sample> = samples.collect().await;
        let elapsed = start.elapsed();
        samples.sort_by_key(|sample| (sample.start, sample.call));
        LoadResults { samples, elapsed }
    }

    fn lock_idle_clients(&self) -> MutexGuard<'_, Vec<SignedClient>> {
        self.idle_clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_request(&self, index: u32, bench_start: Instant) -> Sample {
        let request = self.requests.request(index);
        let name = self.requests.class().name();
        let call = Call {
            name: name.to_owned(),
            headers: HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]),
            deadline: self.plan.timeout,
            max_response_bytes: self.plan.max_response_bytes,
            // A failed attempt is part of the measurement.
            retry: Retry::Never,
            ..Call::new(Method::POST, name, request.body.clone())
        };
        // Concurrent requests of one process could arrive in another order than they were signed,
        // which axons refuse.
        let client =
            self.lock_idle_clients().pop().unwrap_or_else(|| self.client.with_new_process());
        let start = Instant::now();
        let result = client.call(&self.peer, &call).await;
        let service_time = start.elapsed();
        self.lock_idle_clients().push(client);
        let outcome = CallOutcome::from_result(&result, self.is_dendrite);
        let response = result.as_ref().ok();
        let problem = response
            .filter(|_| outcome.code.is_success())
            .and_then(|response| request.response_problem(&response.body));
        let (code, reason) = match problem {
            Some(problem) => problem,
            None if outcome.code.is_success() => (outcome.code, String::new()),
            None => (outcome.code, outcome.message.chars().take(MAX_REASON_CHARS).collect()),
        };
        Sample {
            call: index / self.plan.batch,
            scheduled_start: self.plan.start_time(index),
            start: start - bench_start,
            service_time,
            code,
            status: outcome.status,
            reason,
            bytes: response.map_or(0, |response| response.body.len()),
        }
    }
}

/// Returns the sample of a task, or resumes its panic.
fn unwrap_sample(joined: Result<Sample, JoinError>) -> Option<Sample> {
    match joined {
        Ok(sample) => Some(sample),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::body::Bytes;
    use serde_json::Value;
    use taonet_http::{ServeLimits, serve};
    use taonet_wallet::Keypair;
    use taonet_wire::{DendriteScheme, Signer};
    use tokio::net::TcpListener;

    use super::super::requests::RequestKind;
    use super::*;

    /// A scripted miner of the summing subnet: each request in turn gets the next of the replies.
    #[derive(Debug, Clone, Copy)]
    enum Reply {
        Right,
        Wrong,
        Status(StatusCode),
        Large,
        /// The right response after 17 MiB of spaces, more than clients read by default.
        Huge,
        /// The right response after 200 ms.
        Slow,
        Silent,
    }

    async fn respond(reply: Reply, body: &[u8]) -> (StatusCode, Vec<u8>) {
        let request: Value = serde_json::from_slice(body).unwrap();
        let sum = request["a"].as_i64().unwrap() + request["b"].as_i64().unwrap();
        match reply {
            Reply::Right => (StatusCode::OK, format!(r#"{{"sum": {sum}}}"#).into()),
            Reply::Wrong => (StatusCode::OK, format!(r#"{{"sum": {}}}"#, sum + 1).into()),
            Reply::Status(status) => (status, b"no".to_vec()),
            Reply::Large => (StatusCode::OK, vec![b' '; 5_000]),
            Reply::Huge => {
                (StatusCode::OK, format!("{}{{\"sum\": {sum}}}", " ".repeat(17 << 20)).into())
            }
            Reply::Slow => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                (StatusCode::OK, format!(r#"{{"sum": {sum}}}"#).into())
            }
            Reply::Silent => std::future::pending().await,
        }
    }

    /// Runs a benchmark against a miner with these replies; also returns how many requests it got
    /// at the same time.
    async fn bench(plan: Plan, replies: &'static [Reply], stop: &Shutdown) -> (LoadResults, usize) {
        let (request_count, running, maximum) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let max_running = Arc::clone(&maximum);
        let router = Router::new().fallback(move |body: Bytes| {
            let reply = replies[request_count.fetch_add(1, Ordering::SeqCst) % replies.len()];
            let (running, maximum) = (Arc::clone(&running), Arc::clone(&maximum));
            async move {
                maximum.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let response = respond(reply, &body).await;
                running.fetch_sub(1, Ordering::SeqCst);
                response
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            serve(listener, router, &Shutdown::new(), ServeLimits::default()).await;
        });
        let requests = Requests::new(&RequestKind::Summing, None).unwrap();
        let scheme = DendriteScheme::new().class(requests.class().clone());
        let signer = Signer::new(Keypair::from_uri("//Alice").unwrap(), "0.0.0.0", scheme);
        let client = SignedClient::new(signer, plan.client_config()).unwrap();
        let peer =
            Peer::new(Keypair::from_uri("//Bob").unwrap().hotkey(), "127.0.0.1", port).unwrap();
        let run = LoadTest::new(client, peer, requests, plan, true).run(stop).await;
        (run, max_running.load(Ordering::SeqCst))
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
        let replies = &[
            Reply::Right,
            Reply::Wrong,
            Reply::Status(StatusCode::TOO_MANY_REQUESTS),
            Reply::Large,
            Reply::Silent,
        ];
        let short = Plan { timeout: Duration::from_millis(500), ..plan(5, 1) };
        let (run, _) = bench(short, replies, &Shutdown::new()).await;
        let results: Vec<_> = run
            .samples
            .iter()
            .map(|sample| (sample.call, sample.code, sample.reason.as_str()))
            .collect();
        let expected = [
            (0, ReturnCode::Success, ""),
            (1, ReturnCode::InvalidResponse, "the response has a wrong sum, or none"),
            (2, ReturnCode::Backoff, "429 Too Many Requests: no"),
            (3, ReturnCode::ResponseShapeException, "response is larger than 1000 bytes"),
            (4, ReturnCode::Timeout, "timeout after 0.5s"),
        ];
        assert_eq!(results, expected);
        let silent = &run.samples[4];
        assert!(
            silent.service_time >= Duration::from_millis(500)
                && silent.status == StatusCode::REQUEST_TIMEOUT
        );
        assert!(run.samples[0].bytes > 0 && silent.bytes == 0);
    }

    #[tokio::test]
    async fn calls_start_at_configured_rate() {
        let (run, _) =
            bench(Plan { rate: 4.0, ..plan(4, 2) }, &[Reply::Right], &Shutdown::new()).await;
        let calls: Vec<_> = run.samples.iter().map(|sample| sample.call).collect();
        assert_eq!(calls, [0, 0, 1, 1, 2, 2, 3, 3]);
        for sample in &run.samples {
            assert_eq!(sample.scheduled_start, Duration::from_millis(250) * sample.call);
            assert!(
                sample.start >= sample.scheduled_start,
                "call {} started after {:?}",
                sample.call,
                sample.start
            );
            // Before the next call is due.
            assert!(
                sample.lateness() < Duration::from_millis(250),
                "call {} started after {:?}",
                sample.call,
                sample.start
            );
        }
    }

    #[tokio::test]
    async fn latency_counts_from_scheduled_start() {
        let one = Plan { rate: 20.0, ..plan(4, 1) };
        let (run, _) = bench(one, &[Reply::Slow], &Shutdown::new()).await;
        for (sample, earlier_calls) in run.samples.iter().zip(0_u32..) {
            // Each of the requests before takes 200 ms, and calls are due every 50 ms.
            let late = Duration::from_millis(150) * earlier_calls;
            assert!(
                sample.lateness() >= late,
                "call {} was {:?} late",
                sample.call,
                sample.lateness()
            );
            assert!(sample.service_time >= Duration::from_millis(200), "{:?}", sample.service_time);
            assert_eq!(sample.latency(), sample.lateness() + sample.service_time);
        }
        assert_eq!(run.samples.len(), 4);
    }

    #[tokio::test]
    async fn response_within_size_limit_is_read() {
        let large = Plan { max_response_bytes: 18 << 20, ..plan(1, 1) };
        let (run, _) = bench(large, &[Reply::Huge], &Shutdown::new()).await;
        let Sample { code, bytes, reason, .. } = &run.samples[0];
        assert!(*code == ReturnCode::Success && *bytes > 17 << 20, "{bytes} {reason}");
    }

    #[test]
    fn memory_of_concurrent_requests_is_bounded() {
        let plan = Plan { concurrency: 1_024, max_response_bytes: 1 << 20, ..plan(1, 1) };
        assert!(plan.check_memory(1 << 20).is_ok());
        let error = plan.check_memory((1 << 20) + 1).unwrap_err().to_string();
        assert!(
            error.contains("--concurrency 1024 × (--max-response 1048576 and 1048577 bytes"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn concurrent_requests_to_slow_miner_are_limited() {
        let (run, maximum) =
            bench(Plan { concurrency: 3, ..plan(9, 1) }, &[Reply::Slow], &Shutdown::new()).await;
        assert_eq!(run.samples.len(), 9);
        assert_eq!(maximum, 3);
        assert!(
            run.elapsed >= Duration::from_millis(600),
            "three rounds of 200 ms: {:?}",
            run.elapsed
        );
    }

    #[tokio::test]
    async fn no_request_starts_after_max_time() {
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
        let ((run, _), ()) =
            tokio::join!(bench(limits, &[Reply::Right, Reply::Silent], &stop), interrupt);
        assert_eq!(run.samples.len(), 1);
        assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    }
}
