use std::sync::Weak;

use serde_json::json;

use super::Inner;
use super::blocks::Header;
use crate::rpc::{Offered, Subscription};

/// Keeps [`Inner::heads`] at the newest block for as long as there is a client.
///
/// Nothing heard for some block times is either a chain that stands still or a connection that is dead without knowing:
/// the node is asked, and where it knows a newer block or does not answer, there is a new subscription.
pub(super) async fn follow(inner: Weak<Inner>) {
    let mut is_well = true;
    while let Some(chain) = inner.upgrade() {
        let pause = chain.rpc.pace.pause();
        let subscribed = chain.rpc.subscribe("chain_subscribeNewHeads", json!([]), "chain_unsubscribeNewHeads").await;
        drop(chain);
        match subscribed {
            Ok(Offered { answer: Ok(subscription), .. }) => {
                if !std::mem::replace(&mut is_well, true) {
                    tracing::info!("following the chain again");
                }
                listen(&inner, subscription).await;
            }
            // Said once, however long it lasts.
            failure => {
                if std::mem::replace(&mut is_well, false) {
                    tracing::warn!(?failure, "no node to follow the chain with");
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Until the subscription ends, or is found to be dead.
async fn listen(inner: &Weak<Inner>, mut subscription: Subscription) {
    loop {
        let Some(silence) = inner.upgrade().map(|chain| chain.rpc.pace.silence()) else { return };
        match tokio::time::timeout(silence, subscription.next()).await {
            Ok(Some(raw)) => {
                let Ok(header) = serde_json::from_str::<Header>(raw.get()) else { return };
                let Some(chain) = inner.upgrade() else { return };
                let head = header.block();
                chain.cache().named(head.hash);
                chain.heads.send_replace(Some(head));
            }
            Ok(None) => return,
            Err(_) => {
                let Some(chain) = inner.upgrade() else { return };
                let Ok(head) = chain.head().await else { return };
                if chain.heads.send_if_modified(|known| known.replace(head) != Some(head)) {
                    return;
                }
            }
        }
    }
}
