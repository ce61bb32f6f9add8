//! Buyers that close their sending side, that disconnect while they wait, and that read slowly.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use futures::StreamExt as _;
use serde_json::{Value, json};
use taonet_http::ServeLimits;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::Price;
use taonet_nineteen_store::KeyTerms;
use taonet_testing::is_exhaustive;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::market::{TASK, TestGateway, start_gateway_for, word};
use super::sockets::{LONG_TIMEOUT, RawResponse, ServedGateway, request};

/// Longer than the gateway needs to notice a closed connection.
const PAUSE: Duration = Duration::from_millis(150);
/// Maximum number of tokens of the slow reader's answer.
const MAX_TOKENS: usize = 32_768;

/// Counts the requests in flight at a miner.
#[derive(Clone, Default)]
struct Running(Arc<AtomicUsize>);

/// A request in flight.
struct InFlightGuard(Running);

impl Running {
    fn enter(&self) -> InFlightGuard {
        self.0.fetch_add(1, Ordering::SeqCst);
        InFlightGuard(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    async fn wait_for_count(&self, count: usize) {
        let count_reached = async {
            while self.count() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG_TIMEOUT, count_reached)
            .await
            .unwrap_or_else(|_| panic!("{} requests in flight", self.count()));
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts a gateway and a miner whose words cost a credit each.
async fn start_gateway(miner: MethodRouter) -> TestGateway {
    let mut config = MarketConfig::default();
    config.tasks[0].price = Price { input: 0, output: 1_000, step: 0 };
    start_gateway_for(config, TASK, miner).await
}

/// Returns a handler that streams three words, with a pause before each.
fn slow_words() -> MethodRouter {
    post(|| async {
        let words = futures::stream::iter(0..3).then(|_| async {
            sleep(PAUSE).await;
            Ok::<_, Infallible>(Bytes::from(word()))
        });
        Body::from_stream(words)
    })
}

fn question(text: &str, max_tokens: usize, streams: bool) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    json!({"model": TASK, "messages": messages, "max_tokens": max_tokens, "stream": streams})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_closed_buyer_gets_the_complete_answer() {
    let gateway = start_gateway(slow_words()).await;
    let served = ServedGateway::start(&gateway, ServeLimits::default()).await;
    let responses = json!({"model": TASK, "input": "a", "max_output_tokens": 9, "stream": true});
    let mut charged = 0;
    for (path, body) in [
        ("/v1/chat/completions", question("a", 9, false)),
        ("/v1/chat/completions", question("a", 9, true)),
        ("/v1/messages", question("a", 9, false)),
        ("/v1/messages", question("a", 9, true)),
        ("/v1/responses", responses),
    ] {
        let mut stream = served.connect().await;
        stream.write_all(&request(path, &gateway.key, &body)).await.unwrap();
        stream.shutdown().await.unwrap();
        let response = RawResponse::read(&mut stream).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let words = response.body.matches("word ").count();
        // The last events of a response repeat its text.
        assert!(words >= 3 && !response.body.contains("error\":{"), "{path}: {response:?}");
        charged += 3;
        assert_eq!(gateway.wait_for_charges().await, charged, "{path}");
    }
    served.stop().await;
}

/// A buyer that has gone away before the first token occupies no slot and pays nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnected_buyer_releases_its_slot() {
    let running = Running::default();
    let counted = running.clone();
    let miner = post(move || async move {
        let _entered = counted.enter();
        std::future::pending::<()>().await;
    });
    let gateway = start_gateway(miner).await;
    let served = ServedGateway::start(&gateway, ServeLimits::default()).await;
    for (streams, closes_first) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut stream = served.connect().await;
        let body = question("a", 9, streams);
        stream.write_all(&request("/v1/chat/completions", &gateway.key, &body)).await.unwrap();
        running.wait_for_count(1).await;
        if closes_first {
            stream.shutdown().await.unwrap();
            sleep(PAUSE).await;
            assert_eq!(running.count(), 1, "the buyer still waits");
        }
        drop(stream);
        running.wait_for_count(0).await;
        gateway.wait_until_settled().await;
    }
    assert_eq!(gateway.wait_for_charges().await, 0);
    served.stop().await;
}

/// Returns a chunk with a word and log-probabilities of 2 KiB: the system buffers few of them.
fn large_chunk() -> Bytes {
    let entry = json!({"token": "word ", "logprob": -0.5, "padding": "x".repeat(2_048)});
    let choice = json!({"delta": {"content": "word "}, "logprobs": {"content": [entry]}});
    format!("data: {}\n\n", json!({ "choices": [choice] })).into()
}

/// Connects with a small receive buffer.
async fn connect_slowly(served: &ServedGateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(served.address).await.unwrap()
}

/// Reads until the server resets the connection; returns the number of received words.
async fn received_words(stream: &mut TcpStream) -> usize {
    let mut received = Vec::new();
    let read = timeout(LONG_TIMEOUT, stream.read_to_end(&mut received))
        .await
        .expect("the connection stays open");
    assert!(read.is_err(), "the answer is complete");
    memchr::memmem::find_iter(&received, b"\"content\":\"word \"").count()
}

/// A buyer that does not read its answer is cut off after the write timeout, which is 30 s, and
/// pays for what was sent. Other buyers do not notice it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyer_that_does_not_read_is_cut_off_and_charged() {
    let default = ServeLimits::default();
    assert_eq!(default.write_timeout, Duration::from_secs(30), "docs/nineteen.md names it");
    let write_timeout =
        if is_exhaustive() { default.write_timeout } else { Duration::from_secs(3) };
    let (running, sent) = (Running::default(), Arc::new(AtomicUsize::new(0)));
    let (counted, counter) = (running.clone(), Arc::clone(&sent));
    let miner = post(move |Json(payload): Json<Value>| async move {
        if payload["messages"][0]["content"] != "slow" {
            return Response::new(Body::from(word()));
        }
        let entered = counted.enter();
        let chunk = large_chunk();
        let words = futures::stream::iter(0..MAX_TOKENS).map(move |_| {
            let _in_flight = &entered;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(chunk.clone())
        });
        Body::from_stream(words).into_response()
    });
    let gateway = start_gateway(miner).await;
    let terms = KeyTerms::new("slow", 100);
    let credits = 2 * u64::try_from(MAX_TOKENS).unwrap();
    let slow_key =
        gateway.store.create_key_with_credits(&terms, credits, &[5; 40], 0).await.unwrap();
    let served = ServedGateway::start(&gateway, ServeLimits { write_timeout, ..default }).await;
    let start = Instant::now();
    let mut stream = connect_slowly(&served).await;
    let mut body = question("slow", MAX_TOKENS, true);
    body["logprobs"] = json!(true);
    stream.write_all(&request("/v1/chat/completions", &slow_key.secret, &body)).await.unwrap();
    running.wait_for_count(1).await;
    for _ in 0..10 {
        let mut other = served.connect().await;
        other
            .write_all(&request("/v1/chat/completions", &gateway.key, &question("a", 9, true)))
            .await
            .unwrap();
        assert_eq!(RawResponse::read(&mut other).await.status, 200);
    }
    assert_eq!(running.count(), 1, "others have their answers before the slow buyer is cut off");
    let cut_off = async {
        while running.count() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(2 * write_timeout + LONG_TIMEOUT, cut_off).await.expect("the buyer is not cut off");
    assert!(start.elapsed() >= write_timeout, "{:?}", start.elapsed());
    gateway.wait_until_settled().await;
    let received = received_words(&mut stream).await;
    let charged = gateway.store.usage(Some(&slow_key.id)).await.unwrap()[0].charged;
    let charged = usize::try_from(charged).unwrap();
    assert!(received > 0 && charged >= received, "{charged} credits for {received} words");
    assert!(charged <= sent.load(Ordering::SeqCst) && charged < MAX_TOKENS, "{charged} credits");
    served.stop().await;
}
