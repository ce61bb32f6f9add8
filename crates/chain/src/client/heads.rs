use std::sync::Weak;

use serde_json::json;

use super::Inner;
use super::blocks::Header;
use crate::rpc::{OpenedSubscription, Subscription};

/// Publishes new blocks in [`Inner::heads`] as long as a client exists.
///
/// If no block arrives for two block times, the chain is stalled or the connection is half-open.
/// The node is then queried; if it knows a newer block or does not respond, the subscription is
/// renewed.
pub(super) async fn publish_heads(inner: Weak<Inner>) {
    let mut is_connected = true;
    while let Some(client) = inner.upgrade() {
        let retry_delay = client.rpc.timing.retry_delay();
        let result = client
            .rpc
            .subscribe("chain_subscribeNewHeads", json!([]), "chain_unsubscribeNewHeads")
            .await;
        drop(client);
        match result {
            Ok(OpenedSubscription { result: Ok(subscription), .. }) => {
                if !std::mem::replace(&mut is_connected, true) {
                    tracing::info!("subscribed to new blocks again");
                }
                publish_until_closed(&inner, subscription).await;
            }
            // Logged once, regardless of how long the failure lasts.
            failure => {
                if std::mem::replace(&mut is_connected, false) {
                    tracing::warn!(?failure, "cannot subscribe to new blocks, retrying");
                }
            }
        }
        tokio::time::sleep(retry_delay).await;
    }
}

/// Publishes the blocks of a subscription until it ends or its node stops responding.
async fn publish_until_closed(inner: &Weak<Inner>, mut subscription: Subscription) {
    loop {
        let Some(silence_timeout) = inner.upgrade().map(|client| client.rpc.timing.read_timeout())
        else {
            return;
        };
        match tokio::time::timeout(silence_timeout, subscription.next()).await {
            Ok(Some(raw)) => {
                let Ok(header) = serde_json::from_str::<Header>(raw.get()) else { return };
                let Some(client) = inner.upgrade() else { return };
                let head = header.block();
                client.cache().add_announced(head.hash);
                client.heads.send_replace(Some(head));
            }
            Ok(None) => return,
            Err(_) => {
                let Some(client) = inner.upgrade() else { return };
                let Ok(head) = client.head().await else { return };
                if client.heads.send_if_modified(|current| current.replace(head) != Some(head)) {
                    return;
                }
            }
        }
    }
}
