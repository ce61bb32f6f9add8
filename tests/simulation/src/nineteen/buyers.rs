//! Buyers, which record the outcome of each purchase.

use std::time::Duration;

use serde_json::{Value, json};
use taonet_nineteen_core::task::Price;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use url::Url;

use super::market_records::{MarketRecords, Outcome, Receipt};
use super::miners::MAX_ANSWER_TOKENS;
use super::{GATEWAYS, INPUT_PRICE, OUTPUT_PRICE, TASK};

/// Time between two purchases.
const PURCHASE_INTERVAL: Duration = Duration::from_secs(11);
/// Time after which a buyer gives up.
const WAIT_TIMEOUT: Duration = Duration::from_mins(3);
/// Timeout for a connection, which takes some ticks.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Price of all tasks.
const PRICE: Price = Price { input: INPUT_PRICE, output: OUTPUT_PRICE, step: 0 };

/// An API key of buyers, which follows from its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct BuyerKey {
    /// Each random byte of the key.
    pub(super) byte: u8,
    /// Initial credits.
    pub(super) credits: u64,
}

/// The buyers' API keys: one with credits for all purchases, and one with credits for a few.
pub(super) const KEYS: [BuyerKey; 2] =
    [BuyerKey { byte: 1, credits: 1_000_000 }, BuyerKey { byte: 2, credits: 80 }];

impl BuyerKey {
    pub(super) fn id(self) -> String {
        hex::encode([self.byte; 8])
    }

    fn secret(self) -> String {
        format!("sk-tao-{}-{}", self.id(), hex::encode([self.byte; 32]))
    }
}

/// Buys answers at regular times, at any of the gateways.
pub(super) async fn buyers(urls: [Url; 2], market_records: MarketRecords) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
    let mut running = JoinSet::new();
    loop {
        sleep(PURCHASE_INTERVAL).await;
        while running.try_join_next().is_some() {}
        let ([rich, poor], [first, second]) = (KEYS, &urls);
        let key = if rand::random_range(0..6) > 0 { rich } else { poor };
        let [query_a, query_b] = GATEWAYS;
        let (url, gateway) = if rand::random() { (first, query_a) } else { (second, query_b) };
        let number = market_records.begin(gateway);
        let body = json!({
            "model": TASK,
            "messages": [{"role": "user", "content": format!("Purchase {number:>5}.")}],
            "max_tokens": rand::random_range(1..=MAX_ANSWER_TOKENS),
        });
        let purchase = buy(http.clone(), url.join("/v1/chat/completions")?, key, body);
        let market_records = market_records.clone();
        running.spawn(async move { market_records.end(number, purchase.await) });
    }
}

/// Sends a request; returns what has arrived until the end of the response, or until the buyer gives
/// up. Every second answer is a stream.
async fn buy(http: reqwest::Client, url: Url, key: BuyerKey, mut body: Value) -> Receipt {
    let streams = rand::random();
    if streams && let Some(fields) = body.as_object_mut() {
        fields.insert("stream".to_owned(), true.into());
        fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    let mut receipt = Receipt::default();
    let request = http.post(url).bearer_auth(key.secret()).json(&body);
    // After a failure, the receipt has what arrived before it.
    let _ = timeout(WAIT_TIMEOUT, receive(request, streams, &mut receipt)).await;
    receipt
}

async fn receive(
    request: reqwest::RequestBuilder,
    streams: bool,
    receipt: &mut Receipt,
) -> Result<(), reqwest::Error> {
    let mut response = request.send().await?;
    if !response.status().is_success() {
        receipt.outcome = Outcome::Refused;
        return Ok(());
    }
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await? {
        text.extend_from_slice(&piece);
        if streams {
            *receipt = read_stream(&String::from_utf8_lossy(&text));
        }
    }
    if !streams {
        *receipt = read_document(&serde_json::from_slice(&text).unwrap_or_default());
    }
    Ok(())
}

/// Reads an answer, or an event of a stream.
fn read_document(document: &Value) -> Receipt {
    let id = document.get("id").and_then(Value::as_str);
    let request = id.and_then(|id| id.strip_prefix("chatcmpl-")).map(str::to_owned);
    let tokens = |name: &str| {
        document.get("usage").and_then(|usage| usage.get(name)).and_then(Value::as_u64)
    };
    let outcome = match (tokens("prompt_tokens"), tokens("completion_tokens")) {
        (Some(input), Some(output)) => Outcome::Complete { credits: PRICE.text(input, output) },
        _ => Outcome::Unknown,
    };
    Receipt { request, outcome }
}

/// Reads the events of a stream, whose last one may be incomplete.
fn read_stream(text: &str) -> Receipt {
    let (mut receipt, mut complete, mut is_interrupted) =
        (Receipt::default(), Outcome::Interrupted, false);
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            receipt.outcome = if is_interrupted { Outcome::Interrupted } else { complete };
            break;
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
        is_interrupted |= event.get("error").is_some();
        let Receipt { request, outcome } = read_document(&event);
        receipt.request = receipt.request.or(request);
        if outcome != Outcome::Unknown {
            complete = outcome;
        }
    }
    receipt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(request: Option<&str>, outcome: Outcome) -> Receipt {
        Receipt { request: request.map(str::to_owned), outcome }
    }

    #[test]
    fn price_of_a_document_follows_from_its_usage() {
        let usage = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13});
        let answer = json!({"id": "chatcmpl-7", "choices": [], "usage": usage});
        let complete = Outcome::Complete { credits: 17 };
        assert_eq!(read_document(&answer), receipt(Some("7"), complete));
        assert_eq!(read_document(&Value::Null), receipt(None, Outcome::Unknown));
    }

    #[test]
    fn outcome_of_a_stream_follows_its_last_events() {
        let first = "data: {\"id\":\"chatcmpl-7\",\"choices\":[]}\n\n";
        let usage = "data: {\"id\":\"chatcmpl-7\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n";
        let (error, done) = ("data: {\"error\":{}}\n\n", "data: [DONE]\n\n");
        for (events, expected) in [
            (vec![], receipt(None, Outcome::Unknown)),
            (vec![first], receipt(Some("7"), Outcome::Unknown)),
            (vec![first, usage], receipt(Some("7"), Outcome::Unknown)),
            (vec![first, usage, done], receipt(Some("7"), Outcome::Complete { credits: 17 })),
            (vec![first, error, done], receipt(Some("7"), Outcome::Interrupted)),
            (vec![first, done], receipt(Some("7"), Outcome::Interrupted)),
            (vec![first, "data: {\"id\":\"chat"], receipt(Some("7"), Outcome::Unknown)),
        ] {
            assert_eq!(read_stream(&events.concat()), expected, "{events:?}");
        }
    }
}
