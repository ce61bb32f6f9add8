//! Orders to a running localnet: its `dev_` methods.

#![allow(clippy::indexing_slicing, reason = "a JSON value is null where it has no such key")]

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use crate::exit::{Classified, Failure};

/// Making many blocks takes long; that the node is there shows at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const METHOD_NOT_FOUND: i64 = -32_601;

/// Why an order was not carried out.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Nobody answers.
    NotRunning(reqwest::Error),
    /// A node answers and takes no orders.
    NoOrders,
    /// The node says why.
    Said(String),
}

/// Calls a method of the node at a `ws://` address, over HTTP on the same port.
pub(super) async fn call(url: &str, method: &str, params: Value) -> Result<Value, Refusal> {
    let client = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).no_proxy().build();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let sent = client.map_err(Refusal::NotRunning)?.post(http(url)).json(&request).send();
    let answer = sent.await.map_err(Refusal::NotRunning)?;
    let mut answer: Value = answer.json().await.map_err(|_| Refusal::NoOrders)?;
    let Some(error) = answer.get("error") else { return Ok(answer["result"].take()) };
    if error["code"].as_i64() == Some(METHOD_NOT_FOUND) {
        return Err(Refusal::NoOrders);
    }
    let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let (message, data) = (part("message"), part("data"));
    Err(Refusal::Said(if data.is_empty() { message } else { format!("{message}: {data}") }))
}

/// As [`call`], for a command that fails with the refusal.
pub(super) async fn order(url: &str, method: &str, params: Value) -> anyhow::Result<Value> {
    call(url, method, params).await.map_err(|refusal| refusal.into_error(url))
}

/// The same node's address for requests over HTTP.
pub(super) fn http(url: &str) -> String {
    url.replacen("ws", "http", 1)
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
