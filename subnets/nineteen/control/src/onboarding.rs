//! Handshakes with miners, and queries of their capacities.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use taonet_http::parse_object;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::capacity::{Capacity, sampled_share};
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_store::{NewContender, Node, Store, StoreError};
use taonet_nineteen_transport::{CONCURRENCY, FiberClient, HandshakeError, Session};
use taonet_primitives::Hotkey;

use crate::metrics;

/// Maximum number of concurrent calls to miners.
const MAX_CONCURRENT_CALLS: usize = 51;
/// Timeout of a capacity query.
const CAPACITY_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a capacity response, in bytes.
const MAX_CAPACITY_BYTES: usize = 256 * 1024;

/// A miner's session and its offers for tasks.
pub(crate) struct Offer {
    pub(crate) session: Session,
    pub(crate) contenders: Vec<NewContender>,
}

/// Response of a miner to `/capacity`.
struct CapacityResponse {
    body: Map<String, Value>,
    concurrency: Option<usize>,
}

/// Log of refused handshakes: each miner's refusal is logged once, and again only after another
/// reason or a success.
#[derive(Debug, Default)]
pub(crate) struct HandshakeLog(Mutex<HashMap<Hotkey, String>>);

impl HandshakeLog {
    /// Logs a failed handshake. Unreachable miners, of which a subnet has many, are logged at debug
    /// level.
    fn log_failure(&self, node: &Node, error: &HandshakeError) {
        let (uid, hotkey) = (node.uid, node.peer.hotkey());
        let is_new = self.record_reason(hotkey, error);
        let is_unsigned = node.has_signed && matches!(error, HandshakeError::Unsigned);
        let error = error as &dyn std::error::Error;
        if !is_new {
            tracing::debug!(%uid, error, "handshake failed");
        } else if is_unsigned {
            tracing::warn!(
                %uid,
                %hotkey,
                "miner's hotkey has signed its encryption keys before, but not this one; handshake refused"
            );
        } else {
            tracing::warn!(%uid, %hotkey, error, "handshake refused; the miner gets no requests");
        }
    }

    /// Records the reason of a refused handshake; returns whether it is new.
    fn record_reason(&self, hotkey: &Hotkey, error: &HandshakeError) -> bool {
        // A miner's explanation may differ each time.
        let reason = match error {
            HandshakeError::Call(_) => return false,
            HandshakeError::Refused { status, .. } => status.to_string(),
            error => error.to_string(),
        };
        self.reasons().insert(*hotkey, reason.clone()).is_none_or(|previous| previous != reason)
    }

    fn clear_reason(&self, hotkey: &Hotkey) {
        self.reasons().remove(hotkey);
    }

    /// Removes the reasons of miners that have left the subnet.
    pub(crate) fn retain_miners(&self, nodes: &[Node]) {
        self.reasons().retain(|hotkey, _| nodes.iter().any(|node| node.peer.hotkey() == hotkey));
    }

    fn reasons(&self) -> MutexGuard<'_, HashMap<Hotkey, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queries the capacities of all miners. First performs a handshake with each miner whose key
/// expires before `min_expiry_ns` (Unix time in nanoseconds). Omits unreachable miners.
pub(crate) async fn query_offers(
    client: &FiberClient,
    log: &HandshakeLog,
    store: &Store,
    nodes: Vec<Node>,
    config: &MarketConfig,
    min_expiry_ns: u64,
    mut draw: impl FnMut() -> f64,
) -> Result<Vec<Offer>, StoreError> {
    let configs: Vec<_> = config.enabled().map(taonet_nineteen_core::Task::public).collect();
    let mut payload = Map::new();
    payload.insert("task_configs".to_owned(), json!(configs));
    let calls = nodes.into_iter().map(|node| {
        let payload = payload.clone();
        async move {
            let stored_session =
                node.session.clone().filter(|session| session.expires_at_ns() > min_expiry_ns);
            let is_stored = stored_session.is_some();
            let session = match stored_session {
                Some(session) => session,
                None => handshake(client, log, store, &node).await?,
            };
            match query_capacity(client, &session, payload.clone()).await {
                // A restarted miner no longer has its session keys.
                Err(CapacityError::UnknownSession) if is_stored => {
                    let session = handshake(client, log, store, &node).await?;
                    let response = query_capacity(client, &session, payload).await.ok()?;
                    Some((node, session, response))
                }
                result => Some((node, session, result.ok()?)),
            }
        }
    });
    let responses: Vec<_> =
        futures::stream::iter(calls).buffer_unordered(MAX_CONCURRENT_CALLS).collect().await;
    let mut responses: Vec<_> = responses.into_iter().flatten().collect();
    responses.sort_by_key(|(node, _, _)| node.uid);
    let offer = |(node, session, response): (Node, Session, CapacityResponse)| {
        let capacities = parse_capacities(config, &response.body, &mut draw);
        let (hotkey, uid, concurrency) = (*node.peer.hotkey(), node.uid, response.concurrency);
        let contender =
            |(task, capacity)| NewContender { task, hotkey, uid, capacity, concurrency };
        let contenders = capacities.into_iter().map(contender).collect();
        Offer { session, contenders }
    };
    Ok(responses.into_iter().map(offer).collect())
}

async fn handshake(
    client: &FiberClient,
    log: &HandshakeLog,
    store: &Store,
    node: &Node,
) -> Option<Session> {
    let result = if node.has_signed {
        client.handshake_with_signer(&node.peer).await
    } else {
        client.handshake(&node.peer).await
    };
    metrics::count_handshake(result.is_ok());
    match result {
        Ok(session) => {
            log.clear_reason(node.peer.hotkey());
            // If the key is not stored, the next start repeats the handshake.
            if let Err(error) = store.put_session(&session).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to store a miner's session key"
                );
            }
            Some(session)
        }
        Err(error) => {
            log.log_failure(node, &error);
            None
        }
    }
}

enum CapacityError {
    UnknownSession,
    Other,
}

async fn query_capacity(
    client: &FiberClient,
    session: &Session,
    payload: Map<String, Value>,
) -> Result<CapacityResponse, CapacityError> {
    let response = client.send(session, "/capacity", payload, CAPACITY_TIMEOUT).await;
    let mut response = response.map_err(|_| CapacityError::Other)?;
    match response.status.as_u16() {
        200 => {}
        400 => return Err(CapacityError::UnknownSession),
        _ => return Err(CapacityError::Other),
    }
    let concurrency =
        response.headers.get(CONCURRENCY).and_then(|value| value.to_str().ok()?.parse().ok());
    let concurrency = concurrency.filter(|concurrency| *concurrency > 0);
    let mut body = Vec::new();
    while let Some(chunk) = response.next().await {
        let chunk = chunk.map_err(|_| CapacityError::Other)?;
        if body.len() + chunk.len() > MAX_CAPACITY_BYTES {
            return Err(CapacityError::Other);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(CapacityResponse {
        body: parse_object(&body).map_err(|_| CapacityError::Other)?,
        concurrency,
    })
}

/// Parses a capacity response: `miner_type`, and a number for each task of that type. Ignores other
/// tasks.
fn parse_capacities(
    config: &MarketConfig,
    response: &Map<String, Value>,
    draw: &mut impl FnMut() -> f64,
) -> Vec<(taonet_nineteen_core::TaskName, Capacity)> {
    let task_type = response.get("miner_type").and_then(|name| TaskType::deserialize(name).ok());
    let Some(task_type) = task_type else { return Vec::new() };
    let mut capacities = Vec::new();
    for task in config.enabled().filter(|task| task.task_type == task_type) {
        let Some(declared) = response.get(task.task.as_str()).and_then(Value::as_f64) else {
            continue;
        };
        let share = sampled_share(draw());
        let capacity = Capacity::accept(
            declared,
            task.max_capacity,
            share,
            config.capacity_to_score_multiplier,
        );
        if capacity.accepted > 0.0 {
            capacities.push((task.task.clone(), capacity));
        }
    }
    capacities
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_capacities_are_ignored_or_clamped() {
        let config = MarketConfig::default();
        let read = |answer: Value| {
            let actual = parse_capacities(&config, answer.as_object().unwrap(), &mut || 0.0);
            actual
                .into_iter()
                .map(|(task, capacity)| (task.to_string(), capacity.accepted))
                .collect::<Vec<_>>()
        };
        let answer = json!({
            "miner_type": "text", "chat-llama-3-2-3b": 1e9, "chat-llama-3-1-8b": "many", "chat-llama-3-1-70b": -5,
            "avatar": 100, "unknown": 7,
        });
        assert_eq!(read(answer), [("chat-llama-3-2-3b".to_owned(), 120_000.0)]);
        assert_eq!(read(json!({"miner_type": "image", "avatar": 100}))[0].1, 100.0);
        for invalid in [
            json!({}),
            json!({"avatar": 100}),
            json!({"miner_type": 7}),
            json!({"miner_type": "gold"}),
        ] {
            assert_eq!(read(invalid), []);
        }
    }

    #[test]
    fn refused_handshake_is_logged_once_per_reason() {
        let (log, hotkey) = (HandshakeLog::default(), Hotkey::from_bytes([1; 32]));
        let refused = |status: u16, text: &str| HandshakeError::Refused {
            status: status.try_into().unwrap(),
            text: text.to_owned(),
        };
        assert!(log.record_reason(&hotkey, &refused(401, "retry in 60 s")));
        assert!(!log.record_reason(&hotkey, &refused(401, "retry in 30 s")));
        assert!(log.record_reason(&hotkey, &refused(403, "no stake")));
        assert!(log.record_reason(&hotkey, &HandshakeError::Clock));
        // An unreachable miner is not a refusal.
        assert!(!log.record_reason(
            &hotkey,
            &HandshakeError::Call(taonet_wire::CallError::ConnectionLost("closed".into()))
        ));
        assert!(!log.record_reason(&hotkey, &HandshakeError::Clock));
        log.clear_reason(&hotkey);
        assert!(log.record_reason(&hotkey, &HandshakeError::Clock));
        log.retain_miners(&[]);
        assert!(
            log.record_reason(&hotkey, &HandshakeError::Clock),
            "a miner that has left and come back"
        );
    }
}
