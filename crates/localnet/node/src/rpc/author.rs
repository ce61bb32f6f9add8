//! `author_` methods: submission of extrinsics.

use std::sync::Arc;

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::core::client::Subscription;
use jsonrpsee::types::Params;
use serde::Deserialize as _;
use serde_json::{Value, json};
use sp_core::H256;

use super::error::{RpcResult, internal, submit_error};
use super::params::Args;
use super::subscribe::SubscriptionRequest;
use super::{Context, Methods, RegisterError};
use crate::chain::Chain;
use crate::follow::wait_for_import;
use crate::pool::{StatusSender, TxEvent};

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    methods.register_forwarded(&["author_submitExtrinsic"], &["extrinsic"], submit_extrinsic);
    methods.register_forwarded(&["author_pendingExtrinsics"], &[], |context, _| {
        let mut budget = context.budget();
        context
            .chain
            .pool
            .all_extrinsics()
            .iter()
            .map(|bytes| budget.encode_hex(bytes))
            .collect::<Result<_, _>>()
            .map(Value::Array)
    });
    methods.register_subscription(
        ["author_submitAndWatchExtrinsic", "author_extrinsicUpdate", "author_unwatchExtrinsic"],
        |params, request, context| Box::pin(watch(params, request, context)),
    )
}

fn submit_extrinsic(context: &Context, args: &Args) -> RpcResult {
    let bytes = args.bytes(0, "an extrinsic")?;
    let hash = context
        .chain
        .submit(bytes, StatusSender::default())
        .map_err(|error| submit_error(&error))?;
    context.control.notify_submitted(context.clock);
    Ok(json!(hash))
}

fn to_json(event: TxEvent) -> Value {
    match event {
        TxEvent::Future => json!("future"),
        TxEvent::Ready => json!("ready"),
        TxEvent::InBlock(hash) => json!({"inBlock": hash}),
        TxEvent::Finalized(hash) => json!({"finalized": hash}),
        TxEvent::Usurped(hash) => json!({"usurped": hash}),
        TxEvent::Dropped => json!("dropped"),
        TxEvent::Invalid => json!("invalid"),
    }
}

async fn watch(
    params: Params<'static>,
    request: SubscriptionRequest,
    context: Arc<Context>,
) -> Result<(), SubscriptionError> {
    let (status_sender, mut events) = StatusSender::channel();
    let bytes =
        match Args::parse(&params, &["bytes"]).and_then(|args| args.bytes(0, "an extrinsic")) {
            Ok(bytes) => bytes,
            Err(error) => return request.reject(error).await,
        };
    let chain = context.chain.clone();
    if let Some(leader) = &chain.leader {
        return match leader.watch(bytes).await {
            Ok(events) => relay(events, request, &chain).await,
            Err(error) => request.reject(submit_error(&error)).await,
        };
    }
    let worker_chain = chain.clone();
    let submitted = request
        .backpressure
        .run_heavy(context.workers.run(move || worker_chain.submit(bytes, status_sender)))
        .await;
    match submitted {
        Some(Ok(_)) => context.control.notify_submitted(context.clock),
        Some(Err(error)) => return request.reject(submit_error(&error)).await,
        None => return request.reject(internal("cannot validate the extrinsic")).await,
    }
    let subscription = request.accept().await?;
    loop {
        let event = tokio::select! {
            () = subscription.sink.closed() => return Ok(()),
            event = events.recv() => event,
        };
        let Some(mut event) = event else { return Ok(()) };
        if let TxEvent::Finalized(hash) = event {
            let is_final = tokio::select! {
                () = subscription.sink.closed() => return Ok(()),
                is_final = chain.wait_until_final(hash) => is_final,
            };
            if !is_final {
                event = TxEvent::Dropped;
            }
        }
        subscription.send(&to_json(event)).await?;
        if event.is_last() {
            return Ok(());
        }
    }
}

/// Relays the followed node's reports on an extrinsic. Reports of its block wait until this node
/// has the block.
async fn relay(
    mut events: Subscription<Value>,
    request: SubscriptionRequest,
    chain: &Chain,
) -> Result<(), SubscriptionError> {
    let subscription = request.accept().await?;
    loop {
        let event = tokio::select! {
            () = subscription.sink.closed() => return Ok(()),
            event = events.next() => event,
        };
        // The connection is lost: report the extrinsic as dropped, like a node that shuts down.
        let Some(Ok(event)) = event else {
            return subscription.send(&to_json(TxEvent::Dropped)).await;
        };
        let [in_block, finalized] = ["inBlock", "finalized"].map(|name| event.get(name));
        if let Some(hash) = in_block.or(finalized).and_then(|hash| H256::deserialize(hash).ok()) {
            tokio::select! {
                () = subscription.sink.closed() => return Ok(()),
                () = wait_for_import(chain, hash) => {}
            }
        }
        subscription.send(&event).await?;
        let is_last = finalized.is_some()
            || event.get("usurped").is_some()
            || ["dropped", "invalid"].iter().any(|last| event == *last);
        if is_last {
            return Ok(());
        }
    }
}
