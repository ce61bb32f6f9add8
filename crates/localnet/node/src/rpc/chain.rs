//! `chain_` methods: blocks and their hashes.

use serde_json::{Value, json};
use sp_core::H256;

use super::error::{RpcResult, store_error};
use super::params::{Args, BlockRef, check_list_length, parse_block_ref, to_hex};
use super::{Context, Methods};

pub(super) fn register(methods: &mut Methods) {
    methods.register_on_worker(&["chain_getBlockHash", "chain_getHead"], &["hash"], block_hash);
    methods.register_on_worker(
        &["chain_getFinalizedHead", "chain_getFinalisedHead"],
        &[],
        |context, _| {
            Ok(json!(context.chain.finalized().map_err(|error| store_error(&error))?.hash))
        },
    );
    methods.register_on_worker(&["chain_getHeader"], &["hash"], header);
    methods.register_on_worker(&["chain_getBlock"], &["hash"], block);
}

fn block_hash(context: &Context, args: &Args) -> RpcResult {
    match args.value(0) {
        Value::Array(numbers) => check_list_length(numbers)?
            .iter()
            .map(|number| hash_of_number(context, number))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        number => hash_of_number(context, number),
    }
}

fn hash_of_number(context: &Context, number: &Value) -> RpcResult {
    let head = context.chain.head();
    let hash: Option<H256> = match parse_block_ref(number)? {
        BlockRef::Newest => Some(head.hash),
        BlockRef::Number(Some(number)) if number == head.number() => Some(head.hash),
        BlockRef::Number(Some(number)) if number < head.number() => {
            context.chain.store.hash(number).map_err(|error| store_error(&error))?
        }
        BlockRef::Number(_) => None,
    };
    Ok(json!(hash))
}

fn header(context: &Context, args: &Args) -> RpcResult {
    let head = context.chain.head();
    match args.hash(0)? {
        Some(hash) if hash != head.hash => context
            .chain
            .store
            .header(hash)
            .map(|header| json!(header))
            .map_err(|error| store_error(&error)),
        _ => Ok(json!(head.header)),
    }
}

fn block(context: &Context, args: &Args) -> RpcResult {
    let hash = args.hash(0)?.unwrap_or_else(|| context.chain.head().hash);
    let block = context.chain.store.block(hash).map_err(|error| store_error(&error))?;
    Ok(block.map_or(Value::Null, |(head, extrinsics)| {
        let extrinsics: Vec<_> = extrinsics.iter().map(|bytes| to_hex(bytes)).collect();
        json!({"block": {"header": head.header, "extrinsics": extrinsics}, "justifications": null})
    }))
}
