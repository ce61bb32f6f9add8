//! `author_` methods: submission of extrinsics.

use jsonrpsee::core::SubscriptionError;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::sync::Arc;

use super::error::{Answer, internal, submit};
use super::params::Args;
use super::subscribe::Asked;
use super::{Context, Methods, RegisterError};
use crate::pool::{TxEvent, Watcher};

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    methods.heavy(&["author_submitExtrinsic"], submit_extrinsic);
    methods.heavy(&["author_pendingExtrinsics"], |context, _| {
        let mut room = context.room();
        context.chain.pool.pending().iter().map(|bytes| room.hex(bytes)).collect::<Result<_, _>>().map(Value::Array)
    });
    methods.subscription(
        ["author_submitAndWatchExtrinsic", "author_extrinsicUpdate", "author_unwatchExtrinsic"],
        |params, asked, context| Box::pin(watch(params, asked, context)),
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

async fn watch(params: Params<'static>, asked: Asked, context: Arc<Context>) -> Result<(), SubscriptionError> {
    let (watcher, mut events) = Watcher::channel();
    let bytes = match Args::parse(&params).and_then(|args| args.bytes(0, "an extrinsic")) {
        Ok(bytes) => bytes,
        Err(error) => return asked.reject(error).await,
    };
    let chain = context.chain.clone();
    let submitted = asked.pace.heavy(context.workers.run(move || chain.submit(bytes, watcher))).await;
    match submitted {
        Some(Ok(_)) => {}
        Some(Err(error)) => return asked.reject(submit(&error)).await,
        None => return asked.reject(internal("cannot validate the extrinsic")).await,
    }
    let feed = asked.accept().await?;
    loop {
        let event = tokio::select! {
            () = feed.sink.closed() => return Ok(()),
            event = events.recv() => event,
        };
        let Some(event) = event else { return Ok(()) };
        feed.send(&to_json(event)).await?;
        if event.is_last() {
            return Ok(());
        }
    }
}
