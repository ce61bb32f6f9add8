//! Requests and responses that are cut after any number of bytes: buyers pay for what was
//! delivered, and no slot and no credit stays reserved.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::routing::{MethodRouter, post};
use futures::StreamExt as _;
use serde_json::{Value, json};
use taonet_http::ServeLimits;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::Price;
use taonet_nineteen_store::KeyTerms;
use taonet_testing::is_exhaustive;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::market::{TASK, TestGateway, start_gateway_for, word};
use super::sockets::{LONG_TIMEOUT, RawResponse, ServedGateway, request};

/// Number of words of an answer, each of which is a token and costs a credit.
const WORDS: usize = 3;
/// Credits of a buyer: so few that none are reserved for further requests.
const CREDITS: u64 = 60;
/// Number of connections at the same time.
const MAX_CONCURRENT: usize = 8;
/// Content of an event with a word.
const WORD: &[u8] = b"\"content\":\"word \"";
/// End of an event and of its chunk.
const EVENT_END: &[u8] = b"\n\n\r\n";

/// Permits of the words of answers, by the texts of their requests.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<HashMap<String, Arc<Semaphore>>>>);

impl Gates {
    fn gate_of(&self, text: &str) -> Arc<Semaphore> {
        let mut gates = self.0.lock().unwrap();
        Arc::clone(gates.entry(text.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    /// Returns a handler that streams a word for each permit.
    fn miner(&self) -> MethodRouter {
        let gates = self.clone();
        post(move |Json(payload): Json<Value>| async move {
            let gate = gates.gate_of(payload["messages"][0]["content"].as_str().unwrap());
            let words = futures::stream::iter(0..WORDS).then(move |_| {
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Bytes::from(word()))
                }
            });
            Body::from_stream(words)
        })
    }
}

/// Starts a gateway and a miner whose words cost a credit each.
async fn start_gateway(miner: MethodRouter) -> TestGateway {
    let mut config = MarketConfig::default();
    config.tasks[0].price = Price { input: 0, output: 1_000, step: 0 };
    start_gateway_for(config, TASK, miner).await
}

fn question(text: &str, streams: bool) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    json!({"model": TASK, "messages": messages, "max_tokens": 8, "stream": streams})
}

/// Creates a buyer with a number; returns the key's ID and text.
async fn create_buyer(gateway: &TestGateway, number: usize) -> (String, String) {
    let mut random = [9; 40];
    random[..8].copy_from_slice(&number.to_be_bytes());
    let terms = KeyTerms::new("cut", 100);
    let key = gateway.store.create_key_with_credits(&terms, CREDITS, &random, 0).await.unwrap();
    (key.id, key.secret.to_string())
}

/// Closes a connection, or resets it.
fn disconnect(stream: TcpStream, resets: bool) {
    if resets {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
}

/// What a buyer got until the connection was cut.
#[derive(Debug)]
struct InterruptedResponse {
    key_id: String,
    bytes: usize,
    /// Whether the response ended before the cut.
    is_complete: bool,
    /// Number of complete words.
    received: usize,
    /// Number of words that the miner was allowed to send.
    sent: usize,
}

/// Buys an answer as a stream, and cuts the connection after a number of bytes. The miner sends a
/// word once the buyer has the one before.
async fn cut_stream(
    gateway: &TestGateway,
    served: &ServedGateway,
    gates: &Gates,
    bytes: usize,
) -> InterruptedResponse {
    let (text, mut sent, mut is_complete) = (format!("cut after {bytes}"), 1, false);
    let mut received: Vec<u8> = Vec::new();
    let (key_id, key) = create_buyer(gateway, bytes).await;
    let gate = gates.gate_of(&text);
    gate.add_permits(1);
    let mut stream = served.connect().await;
    stream.write_all(&request("/v1/chat/completions", &key, &question(&text, true))).await.unwrap();
    while received.len() < bytes {
        let complete = memchr::memmem::rfind(&received, EVENT_END).unwrap_or(0);
        if sent < WORDS && memchr::memmem::find_iter(&received[..complete], WORD).count() == sent {
            gate.add_permits(1);
            sent += 1;
        }
        let mut buffer = vec![0; (bytes - received.len()).min(4_096)];
        let read = timeout(LONG_TIMEOUT, stream.read(&mut buffer))
            .await
            .expect("the answer stalls")
            .unwrap();
        if read == 0 {
            is_complete = true;
            break;
        }
        received.extend_from_slice(&buffer[..read]);
    }
    disconnect(stream, bytes % 2 == 1);
    let bytes = received.len();
    let received = memchr::memmem::find_iter(&received, WORD).count();
    InterruptedResponse { key_id, bytes, is_complete, received, sent }
}

/// Returns the credits that were charged for a key.
async fn charged_words(gateway: &TestGateway, key_id: &str) -> usize {
    let charged: i64 =
        gateway.store.usage(Some(key_id)).await.unwrap().iter().map(|row| row.charged).sum();
    usize::try_from(charged).unwrap()
}

/// A buyer pays at least for each word received, and at most for each word that the miner has sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_stream_is_charged_for_its_delivered_part() {
    let gates = Gates::default();
    let gateway = start_gateway(gates.miner()).await;
    let served = ServedGateway::start(&gateway, ServeLimits::default()).await;
    let complete = cut_stream(&gateway, &served, &gates, usize::MAX).await;
    assert!(complete.is_complete && complete.received == WORDS, "{complete:?}");
    // Events that are sent together have fewer chunks, and so fewer bytes.
    let end = complete.bytes + 64;
    let step = if is_exhaustive() { 1 } else { 13 };
    let cuts = (0..=end).step_by(step).map(|bytes| cut_stream(&gateway, &served, &gates, bytes));
    let cuts: Vec<_> = futures::stream::iter(cuts).buffer_unordered(MAX_CONCURRENT).collect().await;
    gateway.wait_until_settled().await;
    for cut in cuts.iter().chain([&complete]) {
        let charged = charged_words(&gateway, &cut.key_id).await;
        let minimum = if cut.is_complete { WORDS } else { cut.received };
        assert!((minimum..=cut.sent).contains(&charged), "{charged} credits for {cut:?}");
    }
    assert!(cuts.iter().any(|cut| cut.received == 0) && cuts.iter().any(|cut| cut.is_complete));
    served.stop().await;
}

/// A document is charged before its first byte is sent; until then, the buyer can cancel it for
/// free, even if one of its answers is complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_document_is_charged_from_its_first_byte() {
    let gates = Gates::default();
    let gateway = start_gateway(gates.miner()).await;
    let served = ServedGateway::start(&gateway, ServeLimits::default()).await;
    let (gateway, server, gates) = (&gateway, &served, &gates);
    let cut_document = |(bytes, answers): (usize, usize)| async move {
        let (key_id, key) = create_buyer(gateway, 2 * bytes + answers).await;
        let (text, mut stream) =
            (format!("cut after {bytes} of {answers}"), server.connect().await);
        let gate = gates.gate_of(&text);
        let words = answers * WORDS;
        gate.add_permits(if bytes == 0 { words - 1 } else { words });
        let mut body = question(&text, false);
        body["n"] = answers.into();
        stream.write_all(&request("/v1/chat/completions", &key, &body)).await.unwrap();
        let mut received = vec![0; bytes];
        let read_until_cut = async {
            // Without the last word, there is no document.
            while bytes == 0 && gate.available_permits() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
            if bytes == 0 {
                // Meanwhile, the gateway gets the complete answer.
                sleep(Duration::from_millis(100)).await;
            }
            stream.read_exact(&mut received).await.unwrap();
        };
        timeout(LONG_TIMEOUT, read_until_cut).await.expect("the answer stalls");
        disconnect(stream, bytes % 2 == 1);
        (key_id, bytes, words)
    };
    let end = 400;
    let step = if is_exhaustive() { 1 } else { 23 };
    let cuts = (0..end).step_by(step).flat_map(|bytes| [(bytes, 1), (bytes, 2)]).map(cut_document);
    let cuts: Vec<_> = futures::stream::iter(cuts).buffer_unordered(MAX_CONCURRENT).collect().await;
    gateway.wait_until_settled().await;
    for (key_id, bytes, words) in cuts {
        let expected = if bytes == 0 { 0 } else { words };
        assert_eq!(
            charged_words(gateway, &key_id).await,
            expected,
            "cut after {bytes} bytes of {words} words"
        );
    }
    served.stop().await;
}

/// How a buyer ends a connection.
#[derive(Debug, Clone, Copy)]
enum Disconnect {
    Close,
    Reset,
    /// Closes the sending side only, and reads the response.
    HalfClose,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_request_is_free() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let miner = post(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { word() }
    });
    let gateway = start_gateway(miner).await;
    let served = ServedGateway::start(&gateway, ServeLimits::default()).await;
    let complete_request = request("/v1/chat/completions", &gateway.key, &question("a", false));
    let head_end = memchr::memmem::find(&complete_request, b"\r\n\r\n").unwrap() + 4;
    let (server, head_and_body) = (&served, complete_request.as_slice());
    let cut_request = |(bytes, ending): (usize, Disconnect)| async move {
        let mut stream = server.connect().await;
        stream.write_all(&head_and_body[..bytes]).await.unwrap();
        match ending {
            Disconnect::Close | Disconnect::Reset => {
                disconnect(stream, matches!(ending, Disconnect::Reset));
            }
            Disconnect::HalfClose => {
                stream.shutdown().await.unwrap();
                let mut received = Vec::new();
                let _ = timeout(LONG_TIMEOUT, stream.read_to_end(&mut received))
                    .await
                    .expect("the connection stays open");
                // An incomplete head has no response.
                assert_eq!(received.is_empty(), bytes < head_end, "{bytes} of {head_end}");
                if !received.is_empty() {
                    let response = RawResponse::parse(&received).unwrap();
                    assert!((400..500).contains(&response.status), "{bytes}: {response:?}");
                }
            }
        }
    };
    let step = if is_exhaustive() { 1 } else { 7 };
    let endings = [Disconnect::Close, Disconnect::Reset, Disconnect::HalfClose];
    let cuts = (0..complete_request.len())
        .step_by(step)
        .flat_map(|bytes| endings.map(|ending| (bytes, ending)));
    futures::stream::iter(cuts.map(cut_request))
        .buffer_unordered(4 * MAX_CONCURRENT)
        .collect::<Vec<()>>()
        .await;
    gateway.wait_until_settled().await;
    assert_eq!((gateway.wait_for_charges().await, requests.load(Ordering::SeqCst)), (0, 0));
    let mut stream = served.connect().await;
    stream.write_all(&complete_request).await.unwrap();
    assert_eq!(RawResponse::read(&mut stream).await.status, 200);
    assert_eq!(gateway.wait_for_charges().await, 1);
    served.stop().await;
}
