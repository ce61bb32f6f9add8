//! `state_` methods: storage, runtime calls, metadata.

use codec::{Decode, Encode};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};
use sp_core::H256;
use sp_core::storage::well_known_keys;
use sp_io::hashing::blake2_256;
use sp_state_machine::{Backend, IterArgs};
use taonet_localnet_runtime::VERSION;
use taonet_localnet_runtime::runtime::SlotDuration;

use super::error::{self, RpcResult, internal, too_many_keys};
use super::params::{Args, ParamNames, to_hex};
use super::{Context, Methods, ResponseBudget};
use crate::chain::StateError;
use crate::store::State;

/// Maximum number of keys in a page, as in the real chain's node.
const MAX_PAGE_KEYS: u64 = 1_000;
/// Maximum number of keys in an unpaged listing.
const MAX_UNPAGED_KEYS: usize = 250_000;
/// Parameters of methods that read a storage key.
const KEY_PARAMS: ParamNames = &["key", "hash"];
/// Parameters of a page of storage keys.
const PAGED_PARAMS: ParamNames = &["prefix", "count", "start_key", "hash"];

pub(super) fn register(methods: &mut Methods) {
    methods.register_on_worker(
        &["state_getRuntimeVersion", "chain_getRuntimeVersion"],
        &["hash"],
        runtime_version,
    );
    methods.register_on_worker(&["state_getMetadata"], &["hash"], metadata);
    methods.register_on_worker(&["state_call", "state_callAt"], &["name", "bytes", "hash"], call);
    methods.register_on_worker(
        &["state_getStorage", "state_getStorageAt"],
        KEY_PARAMS,
        |context, args| {
            read_key(context, args, |state, key| {
                Ok(json!(state.storage(key)?.map(|value| to_hex(&value))))
            })
        },
    );
    methods.register_on_worker(
        &["state_getStorageHash", "state_getStorageHashAt"],
        KEY_PARAMS,
        |context, args| {
            read_key(context, args, |state, key| match key {
                well_known_keys::CODE => Ok(json!(code_hash(state)?)),
                key => Ok(json!(state.storage_hash(key)?)),
            })
        },
    );
    methods.register_on_worker(
        &["state_getStorageSize", "state_getStorageSizeAt"],
        KEY_PARAMS,
        |context, args| {
            read_key(context, args, |state, key| {
                Ok(json!(state.storage(key)?.map(|value| value.len())))
            })
        },
    );
    methods.register_on_worker(&["state_queryStorageAt"], &["keys", "at"], query_storage);
    methods.register_on_worker(
        &["state_getKeysPaged", "state_getKeysPagedAt"],
        PAGED_PARAMS,
        keys_paged,
    );
    methods.register_on_worker(&["state_getKeys"], &["prefix", "hash"], keys);
}

pub(super) fn state_at(
    context: &Context,
    at: Option<H256>,
) -> Result<(H256, State), ErrorObjectOwned> {
    let (head, state) = context.chain.state(at).map_err(|failure| error::state_error(&failure))?;
    Ok((head.hash, state))
}

pub(super) fn trie_error(reason: String) -> ErrorObjectOwned {
    error::state_error(&StateError::Trie(reason))
}

/// Returns the runtime version, which is the same for all blocks; the block hash must still be
/// known.
fn runtime_version(context: &Context, args: &Args) -> RpcResult {
    if let Some(hash) = args.hash(0)? {
        let header =
            context.chain.store.header(hash).map_err(|failure| error::store_error(&failure))?;
        header.ok_or_else(|| error::state_error(&StateError::UnknownBlock(hash)))?;
    }
    Ok(json!(VERSION))
}

/// Returns the hash of the runtime's code, by which clients cache its metadata. The code is native
/// and not in storage, so this hashes the inputs of the metadata: the runtime's version, and the
/// block time of the chain.
fn code_hash(state: &State) -> Result<H256, String> {
    Ok(H256(blake2_256(&(VERSION, state.storage(SlotDuration::KEY)?).encode())))
}

fn metadata(context: &Context, args: &Args) -> RpcResult {
    let encoded = context
        .chain
        .call(args.hash(0)?, "Metadata_metadata", &[])
        .map_err(|failure| error::state_error(&failure))?;
    // The result is opaque bytes; clients expect their content.
    let metadata_bytes = Vec::<u8>::decode(&mut encoded.as_slice())
        .map_err(|failure| internal(failure.to_string()))?;
    Ok(json!(to_hex(&metadata_bytes)))
}

fn call(context: &Context, args: &Args) -> RpcResult {
    let (method, data, at) =
        (args.string(0, "a method")?, args.bytes(1, "arguments")?, args.hash(2)?);
    let output = context.chain.call(at, &method, &data).map_err(|failure| match failure {
        StateError::Discarded(hash) => error::discarded_state_error(hash),
        failure => error::state_error(&failure),
    })?;
    Ok(json!(to_hex(&output)))
}

fn read_key(
    context: &Context,
    args: &Args,
    read_value: fn(&State, &[u8]) -> Result<Value, String>,
) -> RpcResult {
    let key = args.bytes(0, "a storage key")?;
    let (_, state) = state_at(context, args.hash(1)?)?;
    read_value(&state, &key).map_err(trie_error)
}

fn query_storage(context: &Context, args: &Args) -> RpcResult {
    let keys = args.keys(0)?;
    let (hash, state) = state_at(context, args.hash(1)?)?;
    let mut budget = context.budget();
    let mut changes = Vec::with_capacity(keys.len());
    for key in &keys {
        let value = state.storage(key).map_err(trie_error)?;
        changes.push(json!([
            budget.encode_hex(key)?,
            value.map(|value| budget.encode_hex(&value)).transpose()?
        ]));
    }
    Ok(json!([{"block": hash, "changes": changes}]))
}

fn keys_paged(context: &Context, args: &Args) -> RpcResult {
    let prefix = args.optional_bytes(0, "a prefix")?;
    let count = args.count(1, "a count")?;
    if count > MAX_PAGE_KEYS {
        return Err(too_many_keys(count, MAX_PAGE_KEYS));
    }
    let start = args.optional_bytes(2, "a start key")?;
    let (_, state) = state_at(context, args.hash(3)?)?;
    list_keys(&state, prefix.as_deref(), start.as_deref(), count as usize, context.budget())
}

fn keys(context: &Context, args: &Args) -> RpcResult {
    let prefix = args.optional_bytes(0, "a prefix")?;
    let (_, state) = state_at(context, args.hash(1)?)?;
    let key_list =
        list_keys(&state, prefix.as_deref(), None, MAX_UNPAGED_KEYS + 1, context.budget())?;
    match key_list.as_array().map_or(0, Vec::len) {
        count if count > MAX_UNPAGED_KEYS => {
            Err(too_many_keys(count as u64, MAX_UNPAGED_KEYS as u64))
        }
        _ => Ok(key_list),
    }
}

fn list_keys(
    state: &State,
    prefix: Option<&[u8]>,
    start: Option<&[u8]>,
    count: usize,
    mut budget: ResponseBudget,
) -> RpcResult {
    let mut iter_args = IterArgs::default();
    iter_args.prefix = prefix;
    iter_args.start_at = start;
    iter_args.start_at_exclusive = true;
    let keys = state.keys(iter_args).map_err(trie_error)?.take(count);
    keys.map(|key| budget.encode_hex(&key.map_err(trie_error)?))
        .collect::<Result<_, _>>()
        .map(Value::Array)
}
