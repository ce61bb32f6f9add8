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

    pub(super) async fn accept(self) -> Result<AcceptedSubscription, SubscriptionError> {
        let sink = self.pending.accept().await?;
        Ok(AcceptedSubscription {
            sink,
            backpressure: self.backpressure,
            _slot: self.slot,
            _guard: SubscriptionGuard::new(),
        })
    }
}

/// An accepted subscription.
pub(super) struct AcceptedSubscription {
    pub(super) sink: SubscriptionSink,
    backpressure: Arc<Backpressure>,
    _slot: SubscriptionSlot,
    _guard: SubscriptionGuard,
}

impl AcceptedSubscription {
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
    async fn next(&self, events: &mut Receiver<Arc<ChainEvent>>) -> Option<ReceivedEvent> {
        tokio::select! {
            () = self.sink.closed() => None,
            received = events.recv() => match received {
                Ok(event) => Some(ReceivedEvent::ChainEvent(event)),
                Err(RecvError::Lagged(_)) => Some(ReceivedEvent::Lagged),
                Err(RecvError::Closed) => None,
            },
        }
    }
}

enum ReceivedEvent {
    ChainEvent(Arc<ChainEvent>),
    Lagged,
}

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    for names in [
        ["chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads"],
        ["chain_subscribeAllHeads", "chain_allHead", "chain_unsubscribeAllHeads"],
    ] {
        methods.register_subscription(names, |_, request, context| {
            Box::pin(send_heads(request, context, false))
        })?;
    }
    methods.register_subscription(
        ["chain_subscribeFinalizedHeads", "chain_finalizedHead", "chain_unsubscribeFinalizedHeads"],
        |_, request, context| Box::pin(send_heads(request, context, true)),
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
        |_, request, _| Box::pin(send_runtime_version(request)),
    )?;
    methods.register_subscription(
        ["state_subscribeStorage", "state_storage", "state_unsubscribeStorage"],
        |params, request, context| Box::pin(send_storage_changes(params, request, context)),
    )
}

async fn send_heads(
    request: SubscriptionRequest,
    context: Arc<Context>,
    only_finalized: bool,
) -> Result<(), SubscriptionError> {
    let chain = &context.chain;
    let head_to_announce =
        |head: &Head| if only_finalized { chain.finalized_at(head) } else { Ok(head.clone()) };
    let (head, mut events) = chain.subscribe();
    let subscription = request.accept().await?;
    let mut last_sent = head_to_announce(&head)?;
    subscription.send(&last_sent.header).await?;
    while let Some(received) = subscription.next(&mut events).await {
        let ReceivedEvent::ChainEvent(event) = received else { continue };
        let (ChainEvent::Block(NewBlock { head, .. }) | ChainEvent::Reverted(head)) = &*event;
        let next = head_to_announce(head)?;
        // The first blocks of a chain finalize none.
        if next.hash != last_sent.hash || next.hash == head.hash {
            subscription.send(&next.header).await?;
            last_sent = next;
        }
    }
    Ok(())
}

async fn send_runtime_version(request: SubscriptionRequest) -> Result<(), SubscriptionError> {
    let subscription = request.accept().await?;
    subscription.send(&VERSION).await?;
    // The runtime is compiled in: its version never changes while the node runs.
    subscription.sink.closed().await;
    Ok(())
}

/// Hashes of the last values sent to a storage subscriber, by key. Hashes save memory when many
/// subscribers follow large values.
type SentFingerprints = HashMap<Vec<u8>, Option<H256>>;

async fn send_storage_changes(
    params: Params<'static>,
    request: SubscriptionRequest,
    context: Arc<Context>,
) -> Result<(), SubscriptionError> {
    let keys = match Args::parse(&params, &["keys"]).and_then(|args| args.keys(0)) {
        Ok(keys) => keys,
        Err(error) => return request.reject(error).await,
    };
    let (_, mut events) = context.chain.subscribe();
    let mut sent_fingerprints = SentFingerprints::new();
    let initial_changes = match request
        .backpressure
        .run_heavy(read_changes(&context, &keys, &mut sent_fingerprints))
        .await
    {
        Ok(initial_changes) => initial_changes,
        Err(error) => return request.reject(error).await,
    };
    let subscription = request.accept().await?;
    if let Some(initial_changes) = initial_changes {
        subscription.send(&initial_changes).await?;
    }
    while let Some(received) = subscription.next(&mut events).await {
        let block = match &received {
            ReceivedEvent::ChainEvent(event) => match &**event {
                ChainEvent::Block(block) => Some(block),
                ChainEvent::Reverted(_) => None,
            },
            ReceivedEvent::Lagged => None,
        };
        let message = match block {
            Some(block) => block_changes(block, &mut sent_fingerprints),
            // A failed read may succeed after the next block.
            None => read_changes(&context, &keys, &mut sent_fingerprints).await.unwrap_or_default(),
        };
        if let Some(message) = message {
            subscription.send(&message).await?;
        }
    }
    Ok(())
}

fn changes_message(hash: H256, changes: &[Value]) -> Option<Value> {
    (!changes.is_empty()).then(|| json!({"block": hash, "changes": changes}))
}

fn fingerprint(value: Option<&Vec<u8>>) -> Option<H256> {
    value.map(|value| H256(blake2_256(value)))
}

/// Returns the changes of a block to a subscriber's keys.
fn block_changes(block: &NewBlock, sent_fingerprints: &mut SentFingerprints) -> Option<Value> {
    let mut changed = Vec::new();
    for (key, value) in &block.changes {
        let Some(last) = sent_fingerprints.get_mut(key) else { continue };
        let new_fingerprint = fingerprint(value.as_ref());
        if *last != new_fingerprint {
            *last = new_fingerprint;
            changed.push(json!([to_hex(key), value.as_ref().map(|value| to_hex(value))]));
        }
    }
    changes_message(block.head.hash, &changed)
}

/// Reads the values that have changed in the newest state since they were last sent; at first, all
/// values.
async fn read_changes(
    context: &Arc<Context>,
    keys: &[Vec<u8>],
    sent_fingerprints: &mut SentFingerprints,
) -> Result<Option<Value>, ErrorObjectOwned> {
    let (worker_context, keys, mut fingerprints) =
        (context.clone(), keys.to_vec(), sent_fingerprints.clone());
    let result = context.workers.run(move || {
        let (head, state) = state_at(&worker_context, None)?;
        let (mut budget, mut changed) = (worker_context.budget(), Vec::new());
        for key in keys {
            let value = state.storage(&key).map_err(trie_error)?;
            let new_fingerprint = fingerprint(value.as_ref());
            if fingerprints.get(&key) != Some(&new_fingerprint) {
                changed.push(json!([
                    budget.encode_hex(&key)?,
                    value.map(|value| budget.encode_hex(&value)).transpose()?
                ]));
                fingerprints.insert(key, new_fingerprint);
            }
        }
        Ok((changes_message(head, &changed), fingerprints))
    });
    let result = result.await.unwrap_or_else(|| Err(internal("the request's worker panicked")));
    let (message, fingerprints) = result?;
    *sent_fingerprints = fingerprints;
    Ok(message)
}
