//! `dev_` methods, which control a development chain.

use std::path::PathBuf;

use codec::DecodeLimit;
use serde_json::{Value, json};
use taonet_localnet_runtime::dev::StorageEntry;
use taonet_localnet_runtime::{RuntimeCall, UncheckedExtrinsic, VERSION};

use super::error::{
    RpcResult, author_error, internal, invalid_params, snapshot_error, store_error,
};
use super::params::{Args, to_hex};
use super::{Context, Methods, RegisterError};
use crate::author::{Action, AppliedCommand, AuthorError, CommandOutput, simulate};
use crate::clock::Clock;
use crate::pool::MAX_CALL_DEPTH;
use crate::store::Snapshot;

/// Maximum bytes of keys and values that a block sets: they are in its header, which is sent to
/// subscribers.
const MAX_SET_BYTES: usize = 64 << 10;

pub(super) fn register(methods: &mut Methods) -> Result<(), RegisterError> {
    methods.register_command("dev_mine", &["blocks"], |args| {
        let blocks = args.count(0, "the number of blocks")?;
        let blocks = u32::try_from(blocks)
            .map_err(|_| invalid_params("the number of blocks is at most 4294967295"))?;
        Ok(Action::MineBlocks(blocks))
    })?;
    methods.register_command("dev_epoch", &["netuid"], |args| {
        let netuid = args.count(0, "a netuid")?;
        let netuid =
            u16::try_from(netuid).map_err(|_| invalid_params("a netuid is at most 65535"))?;
        Ok(Action::MineToEpoch(netuid))
    })?;
    methods.register_on_worker(&["dev_status"], &[], status);
    methods.register_on_worker(&["dev_dryRun"], &["extrinsic"], |context, args| {
        let extrinsic = args.bytes(0, "an extrinsic")?;
        UncheckedExtrinsic::decode_all_with_depth_limit(MAX_CALL_DEPTH, &mut extrinsic.as_slice())
            .map_err(|failure| invalid_params(format!("malformed extrinsic: {failure}")))?;
        let simulated = simulate(&context.chain, context.clock, &extrinsic)
            .map_err(|failure| author_error(&failure))?;
        Ok(json!({
            "parent": simulated.parent,
            "index": simulated.index,
            "error": simulated.result.err(),
            "events": to_hex(&simulated.events),
        }))
    });
    methods.register_on_worker(&["dev_snapshot"], &["path"], |context, args| {
        let path = PathBuf::from(args.string(0, "a file")?);
        if path.is_relative() {
            return Err(invalid_params("the path of the file must be absolute"));
        }
        context.chain.store.save(&path).map_err(|failure| snapshot_error(&failure))?;
        Ok(json!(path))
    });
    methods.register_on_worker(&["dev_takeSnapshot"], &["name"], |context, args| {
        let name = args.string(0, "a snapshot")?;
        let result = context.chain.snapshot_store().and_then(|store| store.take_snapshot(&name));
        Ok(snapshot_to_json(&result.map_err(|failure| snapshot_error(&failure))?))
    });
    methods.register_on_worker(&["dev_listSnapshots"], &[], |context, _| {
        let snapshots =
            context.chain.store.snapshots().map_err(|failure| snapshot_error(&failure))?;
        Ok(snapshots.iter().map(snapshot_to_json).collect())
    });
    methods.register_on_worker(&["dev_dropSnapshot"], &["name"], |context, args| {
        let name = args.string(0, "a snapshot")?;
        let result = context.chain.snapshot_store().and_then(|store| store.drop_snapshot(&name));
        result.map_err(|failure| snapshot_error(&failure))?;
        Ok(json!(true))
    });
    methods.register_command("dev_revertSnapshot", &["name"], |args| {
        Ok(Action::Revert(args.string(0, "a snapshot")?))
    })?;
    methods.module.register_async_method("dev_advance", |params, context, _| async move {
        let millis = Args::parse(&params, &["millis"])?.count(0, "a number of milliseconds")?;
        context
            .control
            .execute(Action::Advance(millis))
            .await
            .map_err(|failure| author_error(&failure))?;
        let time = context.chain.store.time().map_err(|failure| store_error(&failure))?;
        RpcResult::Ok(json!({"time": time.floor}))
    })?;
    methods.module.register_async_method("dev_impersonate", |params, context, _| async move {
        let args = Args::parse(&params, &["account", "call"])?;
        let (account, bytes) = (args.account(0)?, args.bytes(1, "a call")?);
        // Decoding recurses into nested calls, for which only the workers have enough stack.
        let call = context
            .workers
            .run(move || {
                RuntimeCall::decode_all_with_depth_limit(MAX_CALL_DEPTH, &mut bytes.as_slice())
                    .map(Box::new)
            })
            .await
            .ok_or_else(|| internal("the request's worker panicked"))?;
        let call = call.map_err(|failure| invalid_params(format!("malformed call: {failure}")))?;
        command_response(context.control.execute(Action::Impersonate(account, call)).await)
    })?;
    methods.register_command("dev_setStorage", &["items"], |args| {
        let entries = args.entries(0)?;
        if entries.iter().any(|(key, _)| key.is_empty() || key.starts_with(b":")) {
            return Err(invalid_params("only keys of pallets can be set"));
        }
        if entries.iter().map(entry_size).sum::<usize>() > MAX_SET_BYTES {
            return Err(invalid_params(format!(
                "keys and values must have at most {MAX_SET_BYTES} bytes in total"
            )));
        }
        Ok(Action::SetStorage(entries))
    })?;
    methods.register_in_memory(&["dev_stop"], &[], |context, _| {
        context.control.stop();
        Ok(json!(true))
    });
    Ok(())
}

fn entry_size((key, value): &StorageEntry) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

fn snapshot_to_json(snapshot: &Snapshot) -> Value {
    json!({"name": snapshot.name, "number": snapshot.number, "hash": snapshot.hash})
}

fn status(context: &Context, _: &Args) -> RpcResult {
    let chain = &context.chain;
    let head = chain.head();
    let (ready, total) = chain.pool.ready_and_total();
    let (clock, millis) = match context.clock {
        _ if chain.leader.is_some() => (None, None),
        Clock::Every(interval) => {
            (Some("every"), Some(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)))
        }
        Clock::Fastest => (Some("fast"), None),
        Clock::Manual => (Some("manual"), None),
        Clock::Instant => (Some("instant"), None),
    };
    Ok(json!({
        "number": head.number(),
        "hash": head.hash,
        "genesis": chain.genesis,
        "oldest": chain.store.oldest_state().map_err(|failure| store_error(&failure))?,
        "oldestBlock": chain.store.oldest_block().map_err(|failure| store_error(&failure))?,
        "specVersion": VERSION.spec_version,
        "clock": clock,
        "blockMillis": millis,
        "offsetMillis": chain.store.time().map_err(|failure| store_error(&failure))?.offset,
        "pool": {"ready": ready, "future": total - ready},
        "bytes": chain.store.file_size(),
        "nodes": chain.store.node_count().map_err(|failure| store_error(&failure))?,
        "pid": std::process::id(),
        "leader": chain.leader.as_ref().map(|leader| leader.status()),
    }))
}

/// Returns the response to a finished command.
pub(super) fn command_response(outcome: Result<CommandOutput, AuthorError>) -> RpcResult {
    let CommandOutput { head, applied } = outcome.map_err(|failure| author_error(&failure))?;
    Ok(match applied {
        None => json!({"number": head.number(), "hash": head.hash}),
        Some(AppliedCommand { hash, index, result }) => json!({
            "number": head.number(),
            "hash": head.hash,
            "extrinsic": {"hash": hash, "index": index},
            "error": result.err(),
        }),
    })
}
