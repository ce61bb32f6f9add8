//! `tao localnet set-storage`: sets any storage item by name.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use clap::Args;
use serde_json::{Value, json};
use taonet_cli_base::chain::{chain_error, parse_argument};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;

use super::control::{TargetArgs, connect, value_text};
use super::rpc::{call_control_method, number};

/// Set a storage item of the chain
#[derive(Debug, Args)]
pub(crate) struct SetStorageArgs {
    /// Storage item, such as SubtensorModule.Tempo
    #[arg(value_name = "PALLET.ITEM")]
    item: String,
    /// The keys of a map, then the value: integers, true, false, addresses, 0x…, text, JSON, or
    /// amounts such as 0.5tao
    #[arg(value_name = "VALUE", allow_negative_numbers = true, required_unless_present = "remove")]
    words: Vec<String>,
    /// Remove the value, so that the item has its default; give only the keys
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    target: TargetArgs,
}

pub(crate) fn run(args: &SetStorageArgs, context: &Context) -> anyhow::Result<()> {
    let (pallet, item) = args.item.split_once('.').ok_or_else(|| {
        ClassifiedError::usage(format!(
            "{}: expected an item such as SubtensorModule.Tempo",
            args.item
        ))
    })?;
    let mut keys = args
        .words
        .iter()
        .map(|word| parse_argument(word))
        .collect::<Result<Vec<Value>, _>>()
        .map_err(ClassifiedError::usage)?;
    let new_value = if args.remove { None } else { keys.pop() };
    context.block_on(async {
        let (url, chain) = connect(&args.target).await?;
        let (key, bytes) = chain
            .encode_storage(pallet, item, &keys, new_value.as_ref())
            .await
            .map_err(chain_error)?;
        let bytes = bytes.map(|bytes| format!("0x{}", hex::encode(bytes)));
        let key = format!("0x{}", hex::encode(key));
        let block = call_control_method(&url, "dev_setStorage", json!([[[key, bytes]]])).await?;
        if context.json {
            return context.print_json(&json!({
                "item": args.item,
                "keys": keys,
                "value": new_value,
                "storage_key": key,
                "storage_value": bytes,
                "block": { "number": block["number"], "hash": block["hash"] },
            }));
        }
        let action = if args.remove { "removed" } else { "set" };
        context.print(&format!(
            "{} {action} in block {} {}",
            args.item,
            number(&block, "number")?,
            value_text(&block["hash"])
        ))
    })
}
