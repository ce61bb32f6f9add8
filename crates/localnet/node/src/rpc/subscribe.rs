//! Subscriptions to heads, to storage and to the runtime version.
//!
//! A slow subscriber does not block the others: it misses heads, and receives merged storage
//! changes.

use std::collections::HashMap;
use std::sync::Arc;

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink};
use serde::Serialize;
use serde_json::{Value, json};
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_state_machine::Backend;
use taonet_localnet_runtime::VERSION;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::backpressure::{Backpressure, SubscriptionSlot};
use super::error::internal;
use super::params::{Args, to_hex};
use super::state::{state_at, trie_error};
use super::{Context, Methods, RegisterError};
use crate::chain::{ChainEvent, NewBlock};
use crate::meter::SubscriptionGuard;
use crate::store::Head;

/// A pending subscription request.
pub(super) struct SubscriptionRequest {
    pub(super) pending: PendingSubscriptionSink,
    pub(super) backpressure: Arc<Backpressure>,
    /// Guard that counts the subscription on its connection.
    pub(super) slot: SubscriptionSlot,
}

impl SubscriptionRequest {
    pub(super) async fn reject(self, error: ErrorObjectOwned) -> Result<(), SubscriptionError> {
        self.pending.reject(error).await;
        Ok(())
    }

    pub(super) async fn accept(self) -> Result<Feed, SubscriptionError> {
        let sink = self.pending.accept().await?;
        Ok(Feed {
            sink,
            backpressure: self.backpressure,
            _slot: self.slot,
            _guard: SubscriptionGuard::new(),
        })
    }
}

/// An accepted subscription.
pub(super) struct Feed {
    pub(super) sink: SubscriptionSink,
    backpressure: Arc<Backpressure>,
    _slot: SubscriptionSlot,
    _guard: SubscriptionGuard,
}

impl Feed {
    pub(super) async fn send(&self, message: &impl Serialize) -> Result<(), SubscriptionError> {
        let message = serde_json::value::to_raw_value(message)?;
        let bytes = message.get().len();
        self.backpressure.add_unsent(bytes);
        let result = self.sink.send(message).await;
        if result.is_err() {
            self.backpressure.subtract_unsent(bytes);
        }
        Ok(result?)
    }

    /// Returns the next event, or a notice of missed events; `None` when the subscription or the
    /// chain is closed.
    async fn next(&self, events: &mut Receiver<Arc<ChainEvent>>) -> Option<Received> {
        tokio::select! {
            () = self.sink.closed() => None,
            received = events.recv() => match received {
                Ok(event) => Some(Received::ChainEvent(event)),
                Err(RecvError::Lagged(_)) => Some(Received::Lagged),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

enum Received {
    ChainEvent(Arc<ChainEvent>),
    Lagged,
}

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    for names in [
        ["chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads"],
        ["chain_subscribeAllHeads", "chain_allHead", "chain_unsubscribeAllHeads"],
    ] {
        methods.register_subscription(names, |_, request, context| {
            Box::pin(heads(request, context, false))
        })?;
    }
    methods.register_subscription(
        ["chain_subscribeFinalizedHeads", "chain_finalizedHead", "chain_unsubscribeFinalizedHeads"],
        |_, request, context| Box::pin(heads(request, context, true)),
    )?;
    for (alias, name) in [
        ("chain_subscribeNewHead", "chain_subscribeNewHeads"),
        ("subscribe_newHead", "chain_subscribeNewHeads"),
        ("chain_unsubscribeNewHead", "chain_unsubscribeNewHeads"),
        ("unsubscribe_newHead", "chain_unsubscribeNewHeads"),
        ("chain_subscribeFinalisedHeads", "chain_subscribeFinalizedHeads"),
        ("chain_unsubscribeFinalisedHeads", "chain_unsubscribeFinalizedHeads"),
    ] {
        methods.register_alias(alias, name)?;
    }
    methods.register_subscription(
        [
            "state_subscribeRuntimeVersion",
            "state_runtimeVersion",
            "state_unsubscribeRuntimeVersion",
        ],
        |_, request, _| Box::pin(runtime_version(request)),
    )?;
    methods.register_subscription(
        ["state_subscribeStorage", "state_storage", "state_unsubscribeStorage"],
        |params, request, context| Box::pin(storage(params, request, context)),
    )
}

async fn heads(
    request: SubscriptionRequest,
    context: Arc<Context>,
    only_finalized: bool,
) -> Result<(), SubscriptionError> {
    let chain = &context.chain;
    let head_to_announce =
        |head: &Head| if only_finalized { chain.finalized_at(head) } else { Ok(head.clone()) };
    let (head, mut events) = chain.subscribe();
    let feed = request.accept().await?;
    let mut last = head_to_announce(&head)?;
    feed.send(&last.header).await?;
    while let Some(received) = feed.next(&mut events).await {
        let Received::ChainEvent(event) = received else { continue };
        let (ChainEvent::Block(NewBlock { head, .. }) | ChainEvent::Reverted(head)) = &*event;
        let next = head_to_announce(head)?;
        // The first blocks of a chain finalize none.
        if next.hash != last.hash || next.hash == head.hash {
            feed.send(&next.header).await?;
            last = next;
        }
    }
    Ok(())
}

async fn runtime_version(request: SubscriptionRequest) -> Result<(), SubscriptionError> {
    let feed = request.accept().await?;
    feed.send(&VERSION).await?;
    // The runtime is compiled in: its version never changes while the node runs.
    feed.sink.closed().await;
    Ok(())
}

/// Hashes of the last values sent to a storage subscriber, by key. Hashes save memory when many
/// subscribers follow large values.
type SentFingerprints = HashMap<Vec<u8>, Option<H256>>;

async fn storage(
    params: Params<'static>,
    request: SubscriptionRequest,
    context: Arc<Context>,
) -> Result<(), SubscriptionError> {
    let keys = match Args::parse(&params, &["keys"]).and_then(|args| args.keys(0)) {
        Ok(keys) => keys,
        Err(error) => return request.reject(error).await,
    };
    let (_, mut events) = context.chain.subscribe();
    let mut sent = SentFingerprints::new();
    let first = match request.backpressure.run_heavy(read_changes(&context, &keys, &mut sent)).await
    {
        Ok(first) => first,
        Err(error) => return request.reject(error).await,
    };
    let feed = request.accept().await?;
    if let Some(first) = first {
        feed.send(&first).await?;
    }
    while let Some(received) = feed.next(&mut events).await {
        let block = match &received {
            Received::ChainEvent(event) => match &**event {
                ChainEvent::Block(block) => Some(block),
                ChainEvent::Reverted(_) => None,
            },
            Received::Lagged => None,
        };
        let message = match block {
            Some(block) => block_changes(block, &mut sent),
            // A failed read may succeed after the next block.
            None => read_changes(&context, &keys, &mut sent).await.unwrap_or_default(),
        };
        if let Some(message) = message {
            feed.send(&message).await?;
        }
    }
    Ok(())
}

fn message(hash: H256, changes: &[Value]) -> Option<Value> {
    (!changes.is_empty()).then(|| json!({"block": hash, "changes": changes}))
}

fn fingerprint(value: Option<&Vec<u8>>) -> Option<H256> {
    value.map(|value| H256(blake2_256(value)))
}

/// Returns the changes of a block to a subscriber's keys.
fn block_changes(block: &NewBlock, sent: &mut SentFingerprints) -> Option<Value> {
    let mut changed = Vec::new();
    for (key, value) in &block.changes {
        let Some(last) = sent.get_mut(key) else { continue };
        let new = fingerprint(value.as_ref());
        if *last != new {
            *last = new;
            changed.push(json!([to_hex(key), value.as_ref().map(|value| to_hex(value))]));
        }
    }
    message(block.head.hash, &changed)
}

/// Reads the values that have changed in the newest state since they were last sent; at first, all
/// values.
async fn read_changes(
    context: &Arc<Context>,
    keys: &[Vec<u8>],
    sent: &mut SentFingerprints,
) -> Result<Option<Value>, ErrorObjectOwned> {
    let (worker_context, keys, mut fingerprints) = (context.clone(), keys.to_vec(), sent.clone());
    let result = context.workers.run(move || {
        let (head, state) = state_at(&worker_context, None)?;
        let (mut budget, mut changed) = (worker_context.budget(), Vec::new());
        for key in keys {
            let value = state.storage(&key).map_err(trie_error)?;
            let new = fingerprint(value.as_ref());
            if fingerprints.get(&key) != Some(&new) {
                changed.push(json!([
                    budget.hex(&key)?,
                    value.map(|value| budget.hex(&value)).transpose()?
                ]));
                fingerprints.insert(key, new);
            }
        }
        Ok((message(head, &changed), fingerprints))
    });
    let result = result.await.unwrap_or_else(|| Err(internal("the request's worker panicked")));
    let (message, fingerprints) = result?;
    *sent = fingerprints;
    Ok(message)
}
