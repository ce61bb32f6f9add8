//! Gateway faults at startup and later: down, slow, half-open, overloaded, malformed, truncated.
//! Transient failures are retried, and the miner processes each frame once; a permanent failure
//! fails the utterance with the reason, and the next utterance is played.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use url::Url;

use super::*;
use crate::gateway::testing::{frame, frame_b64, init};
use taonet_babelbit_runner::CallError;
use taonet_validator::testing::{listen, unused_address};

const REGISTRY_TIMEOUT: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Never sends a response.
    Slow,
    Status(u16, &'static str),
    /// Sends this text as the response.
    Garbage(&'static str),
    /// Truncates the body.
    Truncated,
    /// Truncates the body after the miner was called.
    LostResponse,
}

/// A proxy in front of a gateway that fails a limited number of requests for one path.
#[derive(Clone)]
struct FaultyGateway {
    inner: Router,
    path: &'static str,
    fault: Arc<Mutex<Option<(Fault, usize)>>>,
    failed: Arc<AtomicUsize>,
}

impl FaultyGateway {
    async fn start(inner: Router, path: &'static str) -> (Self, Url) {
        let gateway = Self { inner, path, fault: Arc::default(), failed: Arc::default() };
        let handler = gateway.clone();
        let url = listen(
            Router::new().fallback(move |request| async move { handler.answer(request).await }),
        )
        .await;
        (gateway, url)
    }

    fn fail(&self, fault: Fault, times: usize) {
        *self.fault.lock().unwrap() = Some((fault, times));
    }

    fn failures(&self) -> usize {
        self.failed.load(Ordering::SeqCst)
    }

    async fn answer(&self, request: axum::extract::Request) -> Response<Body> {
        let fault = (request.uri().path() == self.path).then(|| self.next()).flatten();
        match fault {
            None => self.inner.clone().oneshot(request).await.unwrap(),
            Some(Fault::Slow) => std::future::pending().await,
            Some(Fault::Status(status, body)) => {
                (StatusCode::from_u16(status).unwrap(), body).into_response()
            }
            Some(Fault::Garbage(text)) => text.into_response(),
            Some(Fault::Truncated) => truncated(),
            Some(Fault::LostResponse) => {
                let answer = self.inner.clone().oneshot(request).await.unwrap();
                axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
                truncated()
            }
        }
    }

    fn next(&self) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        let (kind, times) = (*fault)?;
        self.failed.fetch_add(1, Ordering::SeqCst);
        *fault = (times > 1).then_some((kind, times - 1));
        Some(kind)
    }
}

fn truncated() -> Response<Body> {
    let chunks =
        [Ok(Bytes::from("{\"output\": {\"session_id\"")), Err(std::io::Error::other("cut"))];
    Response::builder()
        .header("content-length", 4_000)
        .body(Body::from_stream(futures::stream::iter(chunks)))
        .unwrap()
}

fn settings() -> ArenaSettings {
    ArenaSettings {
        registry_timeout: REGISTRY_TIMEOUT,
        ready_timeout: Duration::from_mins(1),
        ..ArenaSettings::default()
    }
}

fn arena_at(url: &Url, virtual_clock: &VirtualClock) -> Arena {
    Arena::with_time(config(url.as_str(), settings()), virtual_clock.time()).unwrap()
}

/// Columns: fault · whether the request for the list of miners is retried
#[tokio::test]
async fn list_request_is_retried_after_temporary_faults() {
    let fixture = start_gateway_with_miners(Listing::Gateway, &[1]).await;
    for path in ["/auth/token", "/list_arena_miners"] {
        for (fault, passes) in [
            (Fault::Slow, true),
            (Fault::Truncated, true),
            (Fault::Status(500, "boom"), true),
            (Fault::Status(429, "slow down"), true),
            (Fault::Garbage("<html>"), path == "/list_arena_miners"),
            (Fault::Garbage(r#"{"miners": 7, "auth_token": 7}"#), false),
        ] {
            let (gateway, url) = FaultyGateway::start(fixture.router.clone(), path).await;
            // If the gateway responds, its two token requests count as one attempt.
            gateway.fail(fault, 2);
            let virtual_clock = VirtualClock::default();
            let outcome = arena_at(&url, &virtual_clock).miners(&registered(&[1])).await;
            match outcome {
                Ok(miners) => {
                    assert!(passes, "{path} {fault:?}");
                    assert_eq!((miners.len(), gateway.failures()), (1, 2), "{path} {fault:?}");
                    play(&*miners[0].connection, 0, 2).await;
                }
                Err(error) => assert!(!passes, "{path} {fault:?}: {error}"),
            }
            // If the fault persists, the client fails before the timeout, with the reason.
            gateway.fail(fault, usize::MAX);
            let virtual_clock = VirtualClock::default();
            let mut settings = settings();
            settings.ready_timeout = Duration::from_secs(3);
            settings.registry_timeout = Duration::from_millis(50);
            let arena =
                Arena::with_time(config(url.as_str(), settings), virtual_clock.time()).unwrap();
            let error = arena.miners(&registered(&[1])).await.err().unwrap().to_string();
            assert!(error.starts_with("cannot list the arena's miners: "), "{error}");
            assert!(
                virtual_clock.waits().iter().sum::<f64>() < 20.0,
                "{path} {fault:?}: {:?}",
                virtual_clock.waits()
            );
        }
    }
}

#[tokio::test]
async fn unreachable_or_half_open_gateway_is_an_error() {
    let virtual_clock = VirtualClock::default();
    let error = arena_at(&unused_address(), &virtual_clock)
        .miners(&registered(&[1]))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("cannot connect"), "{error}");

    // Accepts the connection and the request, and sends half of a response head.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let connection = tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await;
            streams.push(stream);
        }
    });
    let mut settings = settings();
    settings.ready_timeout = Duration::from_secs(3);
    settings.registry_timeout = Duration::from_millis(50);
    let arena = Arena::with_time(config(url.as_str(), settings), virtual_clock.time()).unwrap();
    let error = arena.miners(&registered(&[1])).await.err().unwrap().to_string();
    assert!(error.contains("timeout after 0.05s"), "{error}");
    connection.abort();
}

/// Columns: fault · number of times · outcome of the frame
#[tokio::test]
async fn frame_is_retried_only_after_temporary_faults() {
    let fixture = start_gateway_with_miners(Listing::Gateway, &[1]).await;
    let (gateway, url) = FaultyGateway::start(fixture.router.clone(), "/runsync").await;
    let virtual_clock = VirtualClock::default();
    let miners = arena_at(&url, &virtual_clock).miners(&registered(&[1])).await.unwrap();
    let miner = &*miners[0].connection;
    for (utterance, (fault, times, failure)) in (0..).zip([
        (Fault::Status(503, "busy"), 3, None),
        (Fault::Status(429, "rate_limited"), 2, None),
        (Fault::Status(504, ""), 1, None),
        (Fault::Status(500, "upstream_error"), 1, None),
        (Fault::Truncated, 2, None),
        // The miner has processed the frame, and repeats its response.
        (Fault::LostResponse, 2, None),
        (Fault::Status(401, "invalid_auth_token"), 1, None),
        (Fault::Status(500, "boom"), 1, Some("500:boom")),
        (Fault::Status(503, "miner_app_unavailable"), 1, Some("503:miner_app_unavailable")),
        (Fault::Garbage("<html>"), 1, Some("parse:expected value at line 1 column 1")),
        (Fault::Garbage("[]"), 1, Some("invalid_payload_type")),
        (Fault::Garbage(r#"{"output":{"session_id":7}}"#), 1, Some("parse:invalid type: ")),
        (Fault::Slow, 1, Some("no answer")),
    ]) {
        let session = miner.init(init(utterance), Duration::from_secs(5)).await.unwrap().session_id;
        let failures_before = gateway.failures();
        for number in 0..4 {
            if number == 2 {
                gateway.fail(fault, times);
            }
            let call = miner.predict(frame(&session, number, number == 3), Duration::from_secs(20));
            // The player's own deadline for a frame.
            let deadline =
                if fault == Fault::Slow { REGISTRY_TIMEOUT * 3 } else { Duration::from_mins(1) };
            let answer = tokio::time::timeout(deadline, call).await;
            let answer = answer.unwrap_or_else(|_| Err(CallError::Refused("no answer".into())));
            match (answer, failure) {
                (Ok(answer), _) => {
                    assert!(answer.audio_b64 == frame_b64(number), "{fault:?}: frame {number}");
                }
                (Err(error), Some(text)) if number == 2 => {
                    assert!(error.to_string().starts_with(text), "{fault:?}: {error}");
                    break;
                }
                (Err(error), _) => panic!("{fault:?}: frame {number}: {error}"),
            }
        }
        assert_eq!(gateway.failures() - failures_before, times, "{fault:?}");
    }
    play(miner, 99, 3).await;
}

/// The gateway restarts at the same address, and its tokens are lost.
#[tokio::test]
async fn restarted_gateway_is_used_with_a_new_token() {
    let fixture = start_gateway_with_miners(Listing::Gateway, &[1]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let url: Url = format!("http://{address}").parse().unwrap();
    let serve = |listener, router: Router| axum::serve(listener, router).into_future();
    // A separate runtime, since dropping a runtime closes its connections.
    let first =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let router = fixture.router.clone();
    first.spawn(async move { serve(TcpListener::from_std(listener).unwrap(), router).await });
    // Real time, since the gateway has to restart meanwhile.
    let mut settings = settings();
    settings.retry_base_delay = Duration::from_millis(50);
    let arena = Arena::new(config(url.as_str(), settings)).unwrap();
    let miners = arena.miners(&registered(&[1])).await.unwrap();
    play(&*miners[0].connection, 0, 3).await;
    first.shutdown_background();

    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(fixture.directory.path().join("arena.json"), directory.path().join("arena.json"))
        .unwrap();
    let config = crate::gateway::testing::config();
    let restarted_gateway =
        crate::gateway::ArenaGateway::open(config, directory.path(), false, None).await.unwrap();
    let restart = async {
        tokio::time::sleep(REGISTRY_TIMEOUT).await;
        let listener = loop {
            match TcpListener::bind(address).await {
                // The first runtime has not closed its listener yet.
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tokio::task::yield_now().await;
                }
                bound => break bound.unwrap(),
            }
        };
        let second = tokio::spawn(serve(listener, restarted_gateway.router()));
        move || second.abort()
    };
    let ((), stop) = tokio::join!(play(&*miners[0].connection, 1, 3), restart);
    play(&*miners[0].connection, 2, 3).await;
    stop();
}
