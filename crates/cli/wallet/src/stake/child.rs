//! `tao stake child …`: child hotkeys, which validate with a part of another hotkey's stake.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use std::collections::HashSet;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use taonet_chain::{At, Chain as _, Inclusion, Proportion, Relative, Share, calls};
use taonet_cli_base::chain::{
    Account, AtArgs, NetworkArgs, PairArgs, Plan, RateLimit, TxArgs, block_json, chain_error,
    stored_blocks,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::RELATIVES;
use taonet_cli_base::wallet_args::HotkeyArgs;
use taonet_primitives::{Hotkey, NetUid, counted};

/// Maximum number of children of a hotkey on a subnet.
const MAX_CHILDREN: usize = 5;
/// Minimum number of blocks between two changes of a hotkey's children on a subnet. The chain has
/// no constant for it.
const MIN_CHANGE_BLOCKS: u64 = 150;
/// The chain's transaction type of a change of children, a key of `TransactionKeyLastBlock`.
const SET_CHILDREN_TRANSACTION: u16 = 0;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the children and parents of a hotkey
    Get(GetArgs),
    /// Replace the children of a hotkey
    Set(SetArgs),
    /// Remove all children of a hotkey
    Revoke(RevokeArgs),
    /// Show or change the childkey take of a hotkey
    Take(TakeArgs),
}

/// Show the children and parents of a hotkey
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Hotkey address [default: the wallet's hotkey]
    #[arg(value_name = "HOTKEY")]
    address: Option<Account>,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    hotkey: HotkeyArgs,
}

/// Replace the children of a hotkey
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Children with their parts of the stake in percent, such as 5F…:25
    #[arg(value_name = "HOTKEY:PERCENT", required = true)]
    children: Vec<Child>,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Remove all children of a hotkey
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Show or change the childkey take of a hotkey
#[derive(Debug, Args)]
pub struct TakeArgs {
    /// New take in percent, 0..=18 [default: show the take]
    #[arg(value_name = "PERCENT")]
    take: Option<Share>,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// A child with its part of the stake: `HOTKEY:PERCENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child(Relative);

impl FromStr for Child {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hotkey, percent) =
            text.rsplit_once(':').ok_or("expected a hotkey and its percentage, such as 5F…:25")?;
        let proportion: Proportion =
            percent.parse().map_err(|error| format!("{percent}: {error}"))?;
        Ok(Self(Relative { hotkey: hotkey.parse::<Account>()?.hotkey(), proportion }))
    }
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Get(args) => get(args, context),
        Command::Set(args) => set(args, context),
        Command::Revoke(args) => revoke(args, context),
        Command::Take(args) => show_or_change_take(args, context),
    }
}

fn get(args: &GetArgs, context: &Context) -> anyhow::Result<()> {
    // An invalid network is reported before a missing wallet.
    args.network.network()?;
    let hotkey = match args.address {
        Some(account) => account.hotkey(),
        None => args.hotkey.wallet()?.hotkeypub(&args.hotkey.name()?)?.hotkey(),
    };
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let relatives =
            chain.relatives(hotkey, args.netuid, block.into()).await.map_err(chain_error)?;
        if context.json {
            let scheduled = relatives
                .scheduled
                .as_ref()
                .map(|scheduled| {
                    json!({
                        "children": relatives_json(&scheduled.children),
                        "from_block": scheduled.from,
                    })
                });
            return context.print_json(&json!({
                "block": block_json(block),
                "hotkey": hotkey,
                "netuid": args.netuid,
                "children": relatives_json(&relatives.children),
                "parents": relatives_json(&relatives.parents),
                "scheduled": scheduled,
                "take_parts": relatives.take,
            }));
        }
        let mut rows = table(&RELATIVES);
        let scheduled = relatives.scheduled.iter().flat_map(|scheduled| &scheduled.children);
        let children = relatives.children.iter().map(|child| ("child", child));
        let children = children.chain(scheduled.map(|child| ("scheduled child", child)));
        let parents = relatives.parents.iter().map(|parent| ("parent", parent));
        for (label, relative) in children.chain(parents) {
            let proportion = relative.proportion.to_string();
            rows.add_row([label.to_owned(), relative.hotkey.to_string(), proportion]);
        }
        let change = match &relatives.scheduled {
            None => String::new(),
            Some(scheduled) if scheduled.children.is_empty() => {
                format!("\nat the first epoch after block {}, all children are removed", scheduled.from)
            }
            Some(scheduled) => {
                format!(
                    "\nat the first epoch after block {}, the scheduled children replace the others",
                    scheduled.from
                )
            }
        };
        context.print(&format!("{rows}\n\nchildkey take {}{change}\nblock {block}", relatives.take))
    })
}

fn relative_json(relative: &Relative) -> Value {
    let percent = relative.proportion.to_string();
    let percent = percent.trim_end_matches(" %").to_owned();
    json!({ "hotkey": relative.hotkey, "proportion": relative.proportion, "percent": percent })
}

fn relatives_json(relatives: &[Relative]) -> Vec<Value> {
    relatives.iter().map(relative_json).collect()
}

fn set(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    let children: Vec<Relative> = args.children.iter().map(|Child(child)| *child).collect();
    check_children(hotkey, &children)?;
    let list: Vec<String> =
        children.iter().map(|child| format!("{} of {}", child.proportion, child.hotkey)).collect();
    let description = format!(
        "Lend the stake on {hotkey} on subnet {} to its children: {}",
        args.netuid,
        list.join(", ")
    );
    submit((hotkey, args.netuid, &children), description, &args.tx, context)
}

fn revoke(args: &RevokeArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    let description = format!("Remove all children of {hotkey} on subnet {}", args.netuid);
    submit((hotkey, args.netuid, &[]), description, &args.tx, context)
}

fn submit(
    (hotkey, netuid, children): (Hotkey, NetUid, &[Relative]),
    description: String,
    tx: &TxArgs<PairArgs>,
    context: &Context,
) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = tx.connect().await?;
        let key = tx.unlock()?;
        let list: Vec<Value> = children.iter().map(relative_json).collect();
        let details = json!({ "coldkey": tx.submit.coldkey(&key), "hotkey": hotkey, "netuid": netuid, "children": list });
        let head = chain.head().await.map_err(chain_error)?;
        let keys = [json!(hotkey), json!(netuid), json!(SET_CHILDREN_TRANSACTION)];
        let last_change_block =
            stored_blocks(&chain, "TransactionKeyLastBlock", &keys, head.into()).await?;
        let limit = RateLimit {
            error: "SubtensorModule.TxRateLimitExceeded",
            actions: "changes of the hotkey's children on the subnet",
        };
        let expected_refusal =
            limit.expected_refusal(&chain, last_change_block, MIN_CHANGE_BLOCKS, head.number).await?;
        let call = calls::set_children(hotkey, netuid, children);
        let mut plan = Plan::new(call, description, details).expected_refusal(expected_refusal);
        plan.event_fields = schedule_json;
        tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the block from which the next epoch applies the children, from the event, as JSON.
fn schedule_json(inclusion: &Inclusion) -> Value {
    let event =
        inclusion.events.iter().find(|event| event.is("SubtensorModule", "SetChildrenScheduled"));
    json!({ "from_block": event.map(|event| &event.fields[2]) })
}

/// Checks the rules of the chain that do not depend on its state.
fn check_children(hotkey: Hotkey, children: &[Relative]) -> anyhow::Result<()> {
    if children.len() > MAX_CHILDREN {
        return Err(ClassifiedError::usage(format!(
            "{} are too many (at most {MAX_CHILDREN})",
            counted(children.len(), "child hotkey")
        )));
    }
    let mut hotkeys = HashSet::new();
    for child in children {
        if child.hotkey == hotkey {
            return Err(ClassifiedError::usage(format!("{hotkey} cannot be its own child")));
        }
        if !hotkeys.insert(child.hotkey) {
            return Err(ClassifiedError::usage(format!("duplicate child {}", child.hotkey)));
        }
    }
    let sum: u128 = children.iter().map(|child| u128::from(child.proportion.parts())).sum();
    if sum > u128::from(u64::MAX) {
        return Err(ClassifiedError::usage("the percentages exceed 100 %"));
    }
    Ok(())
}

fn show_or_change_take(args: &TakeArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid) = (args.tx.hotkey_address()?, args.netuid);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let current_take =
            chain.relatives(hotkey, netuid, At::Head).await.map_err(chain_error)?.take;
        let Some(new_take) = args.take else {
            if args.tx.submit.is_dry_run() {
                return Err(ClassifiedError::usage("--dry-run requires the new take"));
            }
            return if context.json {
                context.print_json(
                    &json!({ "hotkey": hotkey, "netuid": netuid, "take_parts": current_take }),
                )
            } else {
                context
                    .print(&format!("childkey take of {hotkey} on subnet {netuid}: {current_take}"))
            };
        };
        let key = args.tx.unlock()?;
        let details = json!({
            "hotkey": hotkey,
            "netuid": netuid,
            "coldkey": args.tx.submit.coldkey(&key),
            "take_before_parts": current_take,
            "take_parts": new_take,
        });
        let description = format!(
            "Change the childkey take of {hotkey} on subnet {netuid} from {current_take} to \
             {new_take}"
        );
        let call = calls::set_childkey_take(hotkey, netuid, new_take);
        let plan = Plan::new(call, description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(text: &str) -> Relative {
        text.parse::<Child>().unwrap().0
    }

    #[test]
    fn children_have_a_hotkey_and_a_percentage() {
        let alice = child("//Alice:12.5");
        assert_eq!(alice, child("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY:12.5%"));
        assert_eq!(alice.proportion.parts(), u64::MAX / 8);
        for text in ["", "//Alice", "//Alice:", "//Alice:0", "//Alice:101", "Alice:5", ":5"] {
            assert!(text.parse::<Child>().is_err(), "{text}");
        }
    }

    #[test]
    fn invalid_children_are_refused() {
        let parent = child("//Parent:1").hotkey;
        let names = ["//A", "//B", "//C", "//D", "//E", "//F"];
        let six: Vec<String> = names.iter().map(|name| format!("{name}:1")).collect();
        let six: Vec<&str> = six.iter().map(String::as_str).collect();
        for (texts, expected_error) in [
            (&["//A:50", "//A:50"][..], "duplicate child"),
            (&["//Parent:50"], "its own child"),
            (&["//A:50", "//B:50.000001"], "exceed 100 %"),
            (&six, "6 child hotkeys are too many (at most 5)"),
        ] {
            let children: Vec<Relative> = texts.iter().map(|text| child(text)).collect();
            let error = check_children(parent, &children).unwrap_err().to_string();
            assert!(error.contains(expected_error), "{error}");
        }
        let thirds: Vec<Relative> =
            ["//A:33.333333", "//B:33.333333", "//C:33.333334"].map(child).into();
        assert!(check_children(parent, &thirds).is_ok());
    }
}
