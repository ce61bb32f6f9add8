//! `author_`: submitting calls.

use jsonrpsee::PendingSubscriptionSink;
use jsonrpsee::core::SubscriptionError;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::sync::Arc;

use super::error::{Answer, internal, submit};
use super::params::{Args, to_hex};
use super::subscribe::{Feed, accept};
use super::{Context, Methods, RegisterError};
use crate::pool::{TxEvent, Watcher};

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    methods.heavy(&["author_submitExtrinsic"], submit_extrinsic);
    methods.light(&["author_pendingExtrinsics"], |context, _| {
        let pending: Vec<_> = context.chain.pool.pending().iter().map(|bytes| to_hex(bytes)).collect();
        Ok(json!(pending))
    });
    methods.subscription(
        ["author_submitAndWatchExtrinsic", "author_extrinsicUpdate", "author_unwatchExtrinsic"],
        |params, pending, context| Box::pin(watch(params, pending, context)),
    )
}

fn submit_extrinsic(context: &Context, args: &Args) -> Answer {
    let bytes = args.bytes(0, "an extrinsic")?;
    let hash = context.chain.submit(bytes, Watcher::default()).map_err(|error| submit(&error))?;
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
    pending: PendingSubscriptionSink,
    context: Arc<Context>,
) -> Result<(), SubscriptionError> {
    let (watcher, mut events) = Watcher::channel();
    let bytes = match Args::parse(&params).and_then(|args| args.bytes(0, "an extrinsic")) {
        Ok(bytes) => bytes,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let chain = context.chain.clone();
    let submitted = context.workers.run(move || chain.submit(bytes, watcher)).await;
    match submitted {
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            pending.reject(submit(&error)).await;
            return Ok(());
        }
        None => {
            pending.reject(internal("the call could not be checked")).await;
            return Ok(());
        }
    }
    let Feed { sink, _open } = accept(pending).await?;
    loop {
        let event = tokio::select! {
            () = sink.closed() => return Ok(()),
            event = events.recv() => event,
        };
        let Some(event) = event else { return Ok(()) };
        sink.send(serde_json::value::to_raw_value(&to_json(event))?).await?;
        if event.is_last() {
            return Ok(());
        }
    }
}
