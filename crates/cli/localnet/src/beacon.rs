//! `--drand`: fetches the pulses of drand's network quicknet, as the off-chain workers of the real
//! chain's nodes do.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Client;
use serde::Deserialize;
use taonet_localnet::{NodeHandle, SubmitError};
use taonet_localnet_runtime::drand::{last_round_key, pulse_extrinsic};

/// Hash that identifies quicknet, whose key is fixed in clients.
const QUICKNET_HASH: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
/// Interval between requests; quicknet publishes a pulse every 3 s.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of pulses that are submitted together; the pool accepts the next 50.
const MAX_PULSES: u64 = 20;

/// A pulse in the beacon's API.
#[derive(Debug, Deserialize)]
struct Pulse {
    round: u64,
    signature: String,
}

/// Submits the beacon's pulses to the chain, from the newest one at the first start on; waits
/// forever without a `url`. A beacon that does not respond is asked again.
pub(crate) async fn relay(node: &NodeHandle, url: Option<&str>) -> Infallible {
    let Some(url) = url else { return std::future::pending().await };
    let (client, mut fetched, mut is_failing) = (Client::new(), BTreeMap::new(), false);
    loop {
        match submit_next(node, &client, url, &mut fetched).await {
            Ok(()) if is_failing => {
                tracing::info!(url, "the drand beacon responds again");
                is_failing = false;
            }
            Err(error) if !is_failing => {
                tracing::warn!(
                    url,
                    error = format!("{error:#}"),
                    "cannot fetch pulses of the drand beacon, retrying"
                );
                is_failing = true;
            }
            _ => {}
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Fetches and submits the rounds after the latest stored one. `fetched` are those that are not
/// stored yet.
async fn submit_next(
    node: &NodeHandle,
    client: &Client,
    url: &str,
    fetched: &mut BTreeMap<u64, [u8; 48]>,
) -> anyhow::Result<()> {
    let (latest_round, signature) = fetch(client, url, "latest").await?;
    let stored_round = node.storage(&last_round_key())?.and_then(|bytes| bytes.try_into().ok());
    let stored_round = stored_round.map_or(0, u64::from_le_bytes);
    *fetched = fetched.split_off(&stored_round.saturating_add(1));
    fetched.insert(latest_round, signature);
    // The first pulse may be of any round.
    let first_round = if stored_round == 0 { latest_round } else { stored_round.saturating_add(1) };
    for round in first_round..=latest_round.min(first_round.saturating_add(MAX_PULSES)) {
        let signature = if let Some(signature) = fetched.get(&round) {
            *signature
        } else {
            let (response_round, signature) = fetch(client, url, &round.to_string()).await?;
            ensure!(
                response_round == round,
                "the beacon answered with round {response_round} in place of {round}"
            );
            fetched.insert(round, signature);
            signature
        };
        match node.submit(pulse_extrinsic(round, signature)).await {
            // Submitted before, and not in a block yet, or just included.
            Ok(_) | Err(SubmitError::Known(_) | SubmitError::Banned) => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("the pool refuses the pulse of round {round}"));
            }
        }
    }
    Ok(())
}

/// Fetches the pulse of a round, or the latest one.
async fn fetch(client: &Client, url: &str, round: &str) -> anyhow::Result<(u64, [u8; 48])> {
    let request = client
        .get(format!("{}/{QUICKNET_HASH}/public/{round}", url.trim_end_matches('/')))
        .timeout(REQUEST_TIMEOUT);
    let pulse: Pulse = request.send().await?.error_for_status()?.json().await?;
    let signature = hex::decode(&pulse.signature).ok().and_then(|bytes| bytes.try_into().ok());
    let signature =
        signature.with_context(|| format!("malformed signature of round {}", pulse.round))?;
    Ok((pulse.round, signature))
}

#[cfg(test)]
mod tests {
    use taonet_localnet::{Clock, Node, NodeConfig};
    use taonet_localnet_runtime::genesis::genesis;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// The signature of quicknet's round 1 000.
    const SIGNATURE: &str = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

    #[tokio::test]
    async fn beacon_pulse_is_stored_after_a_failed_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let expected = format!("GET /{QUICKNET_HASH}/public/latest HTTP/1.1");
        let server = async {
            for attempt in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.starts_with(&expected), "{request}");
                // The first request fails, and is repeated.
                let (status, body) = if attempt == 0 {
                    ("503 Service Unavailable", String::new())
                } else {
                    (
                        "200 OK",
                        format!(r#"{{"round":1000,"randomness":"00","signature":"{SIGNATURE}"}}"#),
                    )
                };
                let response = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        };
        let mut config = NodeConfig::new(genesis(&[]).unwrap());
        config.clock = Some(Clock::Instant);
        let node = Node::start(config).await.unwrap();
        let stored = async {
            while node.storage(&last_round_key()).unwrap() != Some(1_000_u64.to_le_bytes().to_vec())
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = server => panic!("the server ended"),
            never = relay(&node, Some(&url)) => match never {},
            stored = timeout(Duration::from_secs(30), stored) => stored.unwrap(),
        }
        node.stop().await;
    }
}
