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
pub(super) async fn follow(inner: Weak<Inner>) {
    let mut is_connected = true;
    while let Some(chain) = inner.upgrade() {
        let pause = chain.rpc.timing.pause();
        let subscribed = chain
            .rpc
            .subscribe("chain_subscribeNewHeads", json!([]), "chain_unsubscribeNewHeads")
            .await;
        drop(chain);
        match subscribed {
            Ok(OpenedSubscription { result: Ok(subscription), .. }) => {
                if !std::mem::replace(&mut is_connected, true) {
                    tracing::info!("subscribed to new blocks again");
                }
                listen(&inner, subscription).await;
            }
            // Logged once, regardless of how long the failure lasts.
            failure => {
                if std::mem::replace(&mut is_connected, false) {
                    tracing::warn!(?failure, "cannot subscribe to new blocks, retrying");
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Reads the subscription until it ends or the connection is found to be dead.
async fn listen(inner: &Weak<Inner>, mut subscription: Subscription) {
    loop {
        let Some(silence) = inner.upgrade().map(|chain| chain.rpc.timing.read_timeout()) else {
            return;
        };
        match tokio::time::timeout(silence, subscription.next()).await {
            Ok(Some(raw)) => {
                let Ok(header) = serde_json::from_str::<Header>(raw.get()) else { return };
                let Some(chain) = inner.upgrade() else { return };
                let head = header.block();
                chain.cache().add_announced(head.hash);
                chain.heads.send_replace(Some(head));
            }
            Ok(None) => return,
            Err(_) => {
                let Some(chain) = inner.upgrade() else { return };
                let Ok(head) = chain.head().await else { return };
                if chain.heads.send_if_modified(|current| current.replace(head) != Some(head)) {
                    return;
                }
            }
        }
    }
}
