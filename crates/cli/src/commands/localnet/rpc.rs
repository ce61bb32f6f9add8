//! Orders to a running localnet: its `dev_` methods.

#![allow(clippy::indexing_slicing, reason = "a JSON value is null where it has no such key")]

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use crate::exit::{Classified, Failure};

/// Making many blocks takes long; that the node is there shows at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A node that runs answers what takes no work.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const METHOD_NOT_FOUND: i64 = -32_601;

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody answers.
    NotRunning(reqwest::Error),
    /// Somebody takes the request and does not answer.
    Silent,
    /// A node answers and takes no orders.
    NoOrders,
    /// The node says why.
    Said(String),
}

/// Calls a method that is answered at once, of the node at a `ws://` address, over HTTP on the same port.
pub(super) async fn call(url: &str, method: &str, params: Value) -> Result<Value, Refusal> {
    send(url, method, params, Some(ANSWER_WITHIN)).await
}

async fn send(url: &str, method: &str, params: Value, within: Option<Duration>) -> Result<Value, Refusal> {
    let mut client = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).no_proxy();
    if let Some(within) = within {
        client = client.timeout(within);
    }
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let sent = client.build().map_err(Refusal::NotRunning)?.post(http(url)).json(&request).send();
    let silent = |error: &reqwest::Error| error.is_timeout() && !error.is_connect();
    let answer =
        sent.await.map_err(|error| if silent(&error) { Refusal::Silent } else { Refusal::NotRunning(error) })?;
    let mut answer: Value =
        answer.json().await.map_err(|error| if silent(&error) { Refusal::Silent } else { Refusal::NoOrders })?;
    let Some(error) = answer.get("error") else { return Ok(answer["result"].take()) };
    if error["code"].as_i64() == Some(METHOD_NOT_FOUND) {
        return Err(Refusal::NoOrders);
    }
    let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let (message, data) = (part("message"), part("data"));
    Err(Refusal::Said(if data.is_empty() { message } else { format!("{message}: {data}") }))
}

/// Has a node do something that may take long, such as making many blocks.
pub(super) async fn order(url: &str, method: &str, params: Value) -> anyhow::Result<Value> {
    send(url, method, params, None).await.map_err(|refusal| refusal.into_error(url))
}

/// The same node's address for requests over HTTP.
pub(super) fn http(url: &str) -> String {
    url.strip_prefix("ws").map_or_else(|| url.to_owned(), |rest| format!("http{rest}"))
}

impl Refusal {
    pub(super) fn into_error(self, url: &str) -> anyhow::Error {
        match self {
            Self::NotRunning(error) => {
                let text = format!(
                    "no localnet answers at {url} ({}): start one with tao localnet, or name another with --data or \
                     --network",
                    cause(&error)
                );
                Classified::error(Failure::Network, text)
            }
            Self::Silent => {
                let text = format!("the localnet at {url} takes requests and does not answer: end its process");
                Classified::error(Failure::Network, text)
            }
            Self::NoOrders => anyhow!(
                "the node at {url} takes no orders: it is no localnet, or one that other machines reach. Steer that one \
                 by its process"
            ),
            Self::Said(text) => anyhow!("{text}"),
        }
    }
}

/// The innermost cause: what the system said.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A field of an answer.
pub(super) fn number(answer: &Value, field: &str) -> anyhow::Result<u64> {
    answer[field].as_u64().with_context(|| format!("the localnet's answer has no {field}: is it of another version?"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_scheme_changes_and_nothing_else() {
        for (url, expected) in [
            ("ws://127.0.0.1:9944", "http://127.0.0.1:9944"),
            ("wss://ws.example/ws", "https://ws.example/ws"),
            ("http://news.example", "http://news.example"),
        ] {
            assert_eq!(http(url), expected);
        }
    }

    #[tokio::test]
    async fn silence_is_told_apart_from_absence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let within = Some(Duration::from_millis(100));
        let silent = send(&url, "system_health", json!([]), within).await;
        assert!(matches!(silent, Err(Refusal::Silent)), "{silent:?}");
        drop(listener);
        let absent = send(&url, "system_health", json!([]), within).await;
        assert!(matches!(absent, Err(Refusal::NotRunning(_))), "{absent:?}");
    }
}
