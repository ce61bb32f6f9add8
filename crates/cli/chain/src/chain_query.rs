//! The `tao query` command: any storage item, constant or runtime API of the chain, from its
//! metadata.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{Block, ChainError, Client, StorageItem};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error, parse_argument};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::printable::{printable_json, printable_lines};
use taonet_primitives::counted;

/// Maximum size of the entries that a query reads, in bytes.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// Read any storage item, constant or runtime API, or list the storage items
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Item as PALLET.NAME, such as SubtensorModule.Tempo, or a method as API.NAME; only PALLET
    /// lists its storage items [default: list all storage items]
    #[arg(value_name = "ITEM")]
    item: Option<String>,
    /// Keys of a map, or arguments of a method: integers, true, false, addresses, 0x…, text, JSON,
    /// or amounts such as 0.5tao
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    keys: Vec<String>,
    /// Maximum number of entries to read from a map whose keys are not all given
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=999))]
    limit: u16,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `tao query`.
pub fn run(args: &QueryArgs, context: &Context) -> anyhow::Result<()> {
    let keys = args
        .keys
        .iter()
        .map(|key| parse_argument(key))
        .collect::<Result<Vec<Value>, _>>()
        .map_err(ClassifiedError::usage)?;
    let item = args.item.as_deref().unwrap_or_default();
    if !item.contains('.') && !keys.is_empty() {
        return Err(ClassifiedError::usage(format!(
            "{item}: expected an item such as SubtensorModule.Tempo"
        )));
    }
    context.block_on(async {
        let chain = args.network.connect().await?;
        let items = chain.storage_items().await.map_err(chain_error)?;
        let Some((pallet, name)) = item.split_once('.') else {
            return list_items(&items, item, context);
        };
        let block = args.at.block(&chain).await?;
        let storage_item = items.iter().find(|item| item.pallet == pallet && item.name == name);
        let key_count = storage_item.map_or(keys.len(), |item| item.keys);
        if keys.len() > key_count {
            return Err(ClassifiedError::usage(format!(
                "{item} has {}, not {}",
                counted(key_count, "key"),
                keys.len()
            )));
        }
        if keys.len() < key_count {
            return print_entries(&chain, (pallet, name), &keys, block, args, context).await;
        }
        let value = match storage_item {
            Some(_) => {
                chain.storage(pallet, name, &keys, block.into()).await.map_err(chain_error)?
            }
            None => constant_or_api_result(&chain, pallet, name, &keys, block).await?,
        };
        if context.json {
            let document =
                json!({ "block": block_json(block), "item": item, "keys": keys, "value": value });
            return context.print_json(&document);
        }
        context.print(&format_value(&value))
    })
}

/// Lists the storage items of a pallet, or of all pallets.
fn list_items(items: &[StorageItem], pallet: &str, context: &Context) -> anyhow::Result<()> {
    let matching: Vec<&StorageItem> =
        items.iter().filter(|item| pallet.is_empty() || item.pallet == pallet).collect();
    if matching.is_empty() {
        let mut names: Vec<&str> = items.iter().map(|item| item.pallet.as_str()).collect();
        names.dedup();
        bail!(
            "the chain has no pallet {pallet} with storage\nhint: use one of {}",
            names.join(", ")
        );
    }
    if context.json {
        let list: Vec<_> = matching
            .iter()
            .map(|item| json!({ "pallet": item.pallet, "name": item.name, "keys": item.keys, "summary": item.summary }))
            .collect();
        return context.print_json(&json!({ "items": list }));
    }
    let lines: Vec<String> = matching
        .iter()
        .map(|item| {
            let keys = if item.keys == 0 {
                String::new()
            } else {
                format!(" ({})", counted(item.keys, "key"))
            };
            let summary =
                if item.summary.is_empty() { String::new() } else { format!(": {}", item.summary) };
            format!("{}.{}{keys}{summary}", item.pallet, item.name)
        })
        .collect();
    context.print(&printable_lines(&lines.join("\n")))
}

/// Prints the first entries of a map.
async fn print_entries(
    chain: &Client,
    (pallet, name): (&str, &str),
    keys: &[Value],
    block: Block,
    args: &QueryArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let limit = usize::from(args.limit);
    let page = chain.storage_page(pallet, name, keys, limit, MAX_PAGE_BYTES, block.into()).await;
    let (entries, has_more) = page.map_err(chain_error)?;
    if context.json {
        let list: Vec<_> =
            entries.iter().map(|(keys, value)| json!({ "keys": keys, "value": value })).collect();
        return context.print_json(&json!({
            "block": block_json(block),
            "item": args.item,
            "keys": keys,
            "entries": list,
            "more": has_more,
        }));
    }
    for (keys, value) in &entries {
        let keys: Vec<String> = keys.iter().map(format_value).collect();
        context.print(&format!("{}: {}", keys.join(" "), printable_json(&value.to_string())))?;
    }
    if has_more {
        context.print_notice(&format!(
            "{pallet}.{name} has more entries than these {}",
            entries.len()
        ));
    }
    Ok(())
}

/// Reads a constant, or calls a method of a runtime API.
async fn constant_or_api_result(
    chain: &Client,
    pallet: &str,
    name: &str,
    keys: &[Value],
    block: Block,
) -> anyhow::Result<Value> {
    if keys.is_empty() {
        match chain.constant(pallet, name).await {
            Err(ChainError::NotInRuntime { .. }) => {}
            result => return result.map_err(chain_error),
        }
    }
    match chain.runtime_api(pallet, name, keys, block.into()).await {
        Err(ChainError::NotInRuntime { .. }) => bail!(
            "the chain has no storage item, constant or method {pallet}.{name}\nhint: list the storage items with `tao \
             query`"
        ),
        result => result.map_err(chain_error),
    }
}

/// Returns a value for people: text without quotes, and objects on several lines.
fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => printable_lines(text).into_owned(),
        other => printable_json(&format!("{other:#}")).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_no_quotes_and_control_characters_are_escaped() {
        for (value, text) in [
            (json!("5GrwvaEF"), "5GrwvaEF"),
            (json!("a\u{1b}[31m"), "a\\u{1b}[31m"),
            (json!(360), "360"),
            (json!(null), "null"),
            (json!({ "free": 1 }), "{\n  \"free\": 1\n}"),
        ] {
            assert_eq!(format_value(&value), text);
        }
    }
}
