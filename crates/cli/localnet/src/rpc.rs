//! Client for the `dev_` control methods of a running localnet.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_primitives::innermost_cause;

/// Connection timeout. Responses have no timeout, since producing many blocks can take long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Response timeout of methods that return immediately.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const METHOD_NOT_FOUND: i64 = -32_601;

/// Why a control method failed.
#[derive(Debug)]
pub(crate) enum RpcError {
    /// No process listens at the address.
    NotRunning(reqwest::Error),
    /// The request timed out.
    Timeout,
    /// Control methods are disabled, or the node is not a localnet.
    ControlDisabled,
    /// Error message from the node.
    Node(String),
}

/// Calls a method that returns immediately, over HTTP on the port of a `ws://` URL.
pub(crate) async fn call(url: &str, method: &str, params: Value) -> Result<Value, RpcError> {
    send(url, method, params, Some(RESPONSE_TIMEOUT)).await
}

async fn send(
    url: &str,
    method: &str,
    params: Value,
    timeout: Option<Duration>,
) -> Result<Value, RpcError> {
    let mut client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy();
    if let Some(timeout) = timeout {
        client = client.timeout(timeout);
    }
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let result =
        client.build().map_err(RpcError::NotRunning)?.post(http_url(url)).json(&request).send();
    let response = result.await.map_err(|error| {
        if is_timeout(&error) { RpcError::Timeout } else { RpcError::NotRunning(error) }
    })?;
    let mut response: Value = response.json().await.map_err(|error| {
        if is_timeout(&error) { RpcError::Timeout } else { RpcError::ControlDisabled }
    })?;
    let Some(error) = response.get("error") else { return Ok(response["result"].take()) };
    if error["code"].as_i64() == Some(METHOD_NOT_FOUND) {
        return Err(RpcError::ControlDisabled);
    }
    let [message, data] =
        ["message", "data"].map(|name| error[name].as_str().unwrap_or_default().to_owned());
    Err(RpcError::Node(if data.is_empty() { message } else { format!("{message}: {data}") }))
}

fn is_timeout(error: &reqwest::Error) -> bool {
    error.is_timeout() && !error.is_connect()
}

/// Calls a control method that can take long, such as producing many blocks, without a response
/// timeout.
pub(crate) async fn call_control_method(
    url: &str,
    method: &str,
    params: Value,
) -> anyhow::Result<Value> {
    send(url, method, params, None).await.map_err(|error| error.into_error(url))
}

/// Converts the WebSocket URL of a node to its HTTP URL.
pub(crate) fn http_url(url: &str) -> String {
    url.strip_prefix("ws").map_or_else(|| url.to_owned(), |suffix| format!("http{suffix}"))
}

impl RpcError {
    pub(crate) fn into_error(self, url: &str) -> anyhow::Error {
        match self {
            Self::NotRunning(error) => {
                let text = format!(
                    "no localnet is listening at {url} ({})\nhint: start one with `tao localnet`, or select another with --data or --network",
                    innermost_cause(&error)
                );
                ClassifiedError::error(Failure::Network, text)
            }
            Self::Timeout => {
                let text =
                    format!("the localnet at {url} does not respond\nhint: stop its process");
                ClassifiedError::error(Failure::Network, text)
            }
            Self::ControlDisabled => anyhow!(
                "control methods are disabled at {url}: it is not a localnet, or it listens beyond loopback\nhint: \
                 control it through its process"
            ),
            Self::Node(text) => anyhow!("{text}"),
        }
    }
}

/// Reads a number from a response.
pub(crate) fn number(response: &Value, field: &str) -> anyhow::Result<u64> {
    response[field].as_u64().with_context(|| {
        format!(
            "the localnet's response lacks {field}\nhint: the localnet may have a different version"
        )
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn websocket_scheme_becomes_http() {
        for (url, expected) in [
            ("ws://127.0.0.1:9944", "http://127.0.0.1:9944"),
            ("wss://ws.example/ws", "https://ws.example/ws"),
            ("http://news.example", "http://news.example"),
        ] {
            assert_eq!(http_url(url), expected);
        }
    }

    #[tokio::test]
    async fn timeout_differs_from_refused_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let silent = send(&url, "system_health", json!([]), Some(Duration::from_millis(500))).await;
        assert!(matches!(silent, Err(RpcError::Timeout)), "{silent:?}");
        let timeout = Some(Duration::from_mins(1));
        let absent = send("ws://127.0.0.1:9", "system_health", json!([]), timeout).await;
        assert!(matches!(absent, Err(RpcError::NotRunning(_))), "{absent:?}");
    }
}
