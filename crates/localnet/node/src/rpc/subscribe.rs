//! Subscriptions to heads, to storage and to the runtime's version.
//!
//! A subscriber that reads slowly holds up nobody: it misses heads, and storage changes reach it merged.

use std::collections::HashMap;
use std::sync::Arc;

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::types::Params;
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink};
use serde::Serialize;
use serde_json::{Value, json};
use taonet_localnet_runtime::VERSION;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::params::{Args, to_hex};
use super::{Context, Methods, RegisterError};
use crate::chain::NewBlock;
use crate::meter::Subscribed;

/// Most storage keys of one subscription.
const KEYS: usize = 1_000;

/// An accepted subscription.
pub(super) struct Feed {
    pub(super) sink: SubscriptionSink,
    pub(super) _open: Subscribed,
}

pub(super) async fn accept(pending: PendingSubscriptionSink) -> Result<Feed, SubscriptionError> {
    Ok(Feed { sink: pending.accept().await?, _open: Subscribed::new() })
}

impl Feed {
    async fn send(&self, message: &impl Serialize) -> Result<(), SubscriptionError> {
        Ok(self.sink.send(serde_json::value::to_raw_value(message)?).await?)
    }

    /// The next block, or the newest ones after a lag; `None` when either side is gone.
    async fn next(&self, news: &mut Receiver<Arc<NewBlock>>) -> Option<News> {
        tokio::select! {
            () = self.sink.closed() => None,
            block = news.recv() => match block {
                Ok(block) => Some(News::Block(block)),
                Err(RecvError::Lagged(_)) => Some(News::Missed),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

enum News {
    Block(Arc<NewBlock>),
    Missed,
}

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    for names in [
        ["chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads"],
        ["chain_subscribeAllHeads", "chain_allHead", "chain_unsubscribeAllHeads"],
        ["chain_subscribeFinalizedHeads", "chain_finalizedHead", "chain_unsubscribeFinalizedHeads"],
    ] {
        methods.subscription(names, |_, pending, context| Box::pin(heads(pending, context)))?;
    }
    for (alias, name) in [
        ("chain_subscribeNewHead", "chain_subscribeNewHeads"),
        ("subscribe_newHead", "chain_subscribeNewHeads"),
        ("chain_unsubscribeNewHead", "chain_unsubscribeNewHeads"),
        ("unsubscribe_newHead", "chain_unsubscribeNewHeads"),
        ("chain_subscribeFinalisedHeads", "chain_subscribeFinalizedHeads"),
        ("chain_unsubscribeFinalisedHeads", "chain_unsubscribeFinalizedHeads"),
    ] {
        methods.alias(alias, name)?;
    }
    methods.subscription(
        ["state_subscribeRuntimeVersion", "state_runtimeVersion", "state_unsubscribeRuntimeVersion"],
        |_, pending, _| Box::pin(runtime_version(pending)),
    )?;
    methods.subscription(
        ["state_subscribeStorage", "state_storage", "state_unsubscribeStorage"],
        |params, pending, context| Box::pin(storage(params, pending, context)),
    )
}

async fn heads(pending: PendingSubscriptionSink, context: Arc<Context>) -> Result<(), SubscriptionError> {
    // Followed before the head is read: nothing falls between.
    let mut news = context.chain.follow();
    let head = context.chain.head();
    let feed = accept(pending).await?;
    feed.send(&head.header).await?;
    let mut sent = head.number();
    while let Some(news) = feed.next(&mut news).await {
        let News::Block(block) = news else { continue };
        if block.head.number() > sent {
            feed.send(&block.head.header).await?;
            sent = block.head.number();
        }
    }
    Ok(())
}

async fn runtime_version(pending: PendingSubscriptionSink) -> Result<(), SubscriptionError> {
    let feed = accept(pending).await?;
    feed.send(&VERSION).await?;
    // The runtime is this program: its version does not change while it runs.
    feed.sink.closed().await;
    Ok(())
}

/// What a storage subscriber was last told.
type Told = HashMap<Vec<u8>, Option<Vec<u8>>>;

async fn storage(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
) -> Result<(), SubscriptionError> {
    let keys = match Args::parse(&params).and_then(|args| args.keys(0)) {
        Ok(keys) if keys.len() <= KEYS => keys,
        Ok(keys) => {
            pending.reject(super::error::too_many(keys.len() as u64, KEYS as u64)).await;
            return Ok(());
        }
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let mut news = context.chain.follow();
    let mut told = Told::new();
    let first = read_changes(&context, &keys, &mut told).await;
    let feed = accept(pending).await?;
    if let Some(first) = first {
        feed.send(&first).await?;
    }
    while let Some(news) = feed.next(&mut news).await {
        let message = match news {
            News::Block(block) => block_changes(&block, &mut told),
            News::Missed => read_changes(&context, &keys, &mut told).await,
        };
        if let Some(message) = message {
            feed.send(&message).await?;
        }
    }
    Ok(())
}

fn message(hash: sp_core::H256, changes: &[(&Vec<u8>, &Option<Vec<u8>>)]) -> Option<Value> {
    let write =
        |(key, value): &(&Vec<u8>, &Option<Vec<u8>>)| json!([to_hex(key), value.as_ref().map(|value| to_hex(value))]);
    let changes: Vec<Value> = changes.iter().map(write).collect();
    (!changes.is_empty()).then(|| json!({"block": hash, "changes": changes}))
}

/// What a block changed of the keys that a subscriber was told of.
fn block_changes(block: &NewBlock, told: &mut Told) -> Option<Value> {
    let mut changed = Vec::new();
    for (key, value) in &block.changes {
        if let Some(known) = told.get_mut(key)
            && known != value
        {
            known.clone_from(value);
            changed.push((key, value));
        }
    }
    message(block.head.hash, &changed)
}

/// What differs, after the newest block, from what a subscriber was told; everything at first.
async fn read_changes(context: &Arc<Context>, keys: &[Vec<u8>], told: &mut Told) -> Option<Value> {
    use sp_state_machine::Backend;
    let (chain, wanted) = (context.chain.clone(), keys.to_vec());
    let read = context.workers.run(move || {
        let (head, state) = chain.state(None).ok()?;
        let values: Option<Vec<_>> = wanted.iter().map(|key| state.storage(key).ok()).collect();
        Some((head.hash, values?))
    });
    let (hash, values) = read.await.flatten()?;
    let differs = |(key, value): &(&Vec<u8>, &Option<Vec<u8>>)| told.get(*key) != Some(*value);
    let changed: Vec<_> = keys.iter().zip(&values).filter(differs).collect();
    let message = message(hash, &changed);
    told.extend(keys.iter().cloned().zip(values));
    message
}
