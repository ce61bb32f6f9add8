//! `tao wallet swap-hotkey`, `swap-coldkey` and `associate-hotkey`: new keys in place of old ones.

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use taonet_chain::{At, Chain as _, calls};
use taonet_cli_base::chain::{
    Account, ColdkeyArgs, PairArgs, Plan, ReadColdkeyArgs, Spending, TxArgs, block_json,
    chain_error,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::key_values;
use taonet_cli_base::wallet_args::HotkeyArgs;
use taonet_primitives::{Hotkey, NetUid, Rao, counted};
use taonet_wallet::Name;

/// Replace a hotkey on one or all subnets
#[derive(Debug, Args)]
pub struct SwapHotkeyArgs {
    /// New hotkey: a name in the wallet, an address, or a development account such as //Bob
    #[arg(value_name = "NEW_HOTKEY")]
    new: String,
    /// Netuid of the subnet [default: all subnets]
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    /// Leave the stake on the old hotkey
    #[arg(long)]
    keep_stake: bool,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Record the coldkey as the owner of a hotkey that has none
#[derive(Debug, Args)]
pub struct AssociateHotkeyArgs {
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Announce the coldkey that will replace this one
    Announce(NewColdkeyArgs),
    /// Replace the coldkey by the announced one, after the delay
    Execute(NewColdkeyArgs),
    /// Freeze the coldkey, because somebody else announced a swap
    Dispute(AnnouncedSwapArgs),
    /// Withdraw the announcement
    Clear(AnnouncedSwapArgs),
    /// Show the announced swap of a coldkey
    Status(ReadColdkeyArgs),
}

/// Announce or execute a swap
#[derive(Debug, Args)]
pub struct NewColdkeyArgs {
    /// Address of the new coldkey, or a development account such as //Bob
    #[arg(value_name = "NEW_COLDKEY")]
    new: Account,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Dispute or withdraw the announced swap
#[derive(Debug, Args)]
pub struct AnnouncedSwapArgs {
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

pub(super) fn swap_hotkey(args: &SwapHotkeyArgs, context: &Context) -> anyhow::Result<()> {
    let (old_hotkey, new_hotkey, netuid) = (
        args.tx.hotkey_address()?,
        parse_hotkey(&args.new, args.tx.key.wallet_hotkey())?,
        args.netuid,
    );
    if old_hotkey == new_hotkey {
        return Err(ClassifiedError::usage("the new hotkey is the old one"));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let cost = chain.key_swap_cost(netuid.is_some()).await.map_err(chain_error)?;
        let details = json!({
            "coldkey": args.tx.submit.coldkey(&key),
            "hotkey": old_hotkey,
            "new_hotkey": new_hotkey,
            "netuid": netuid,
            "keep_stake": args.keep_stake,
            "cost_rao": cost,
        });
        let subnets =
            netuid.map_or_else(|| "all subnets".to_owned(), |netuid| format!("subnet {netuid}"));
        let stake_note = if args.keep_stake { ", without its stake" } else { "" };
        let description = format!(
            "Replace {old_hotkey} by {new_hotkey} on {subnets}{stake_note}, for {cost} TAO"
        );
        let plan = Plan::new(
            calls::swap_hotkey(old_hotkey, new_hotkey, netuid, args.keep_stake),
            description,
            details,
        )
        .spending(Spending::read(&chain, args.tx.submit.coldkey(&key), cost).await?);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the hotkey with this address, or with this name in the wallet.
fn parse_hotkey(text: &str, wallet: &HotkeyArgs) -> anyhow::Result<Hotkey> {
    if let Ok(account) = text.parse::<Account>() {
        return Ok(account.hotkey());
    }
    let name: Name =
        text.parse().map_err(|error| ClassifiedError::usage(format!("{text}: {error}")))?;
    Ok(wallet.wallet()?.hotkeypub(&name)?.hotkey())
}

pub(super) fn associate(args: &AssociateHotkeyArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let details = json!({ "coldkey": coldkey, "hotkey": hotkey });
        let description = format!("Record {coldkey} as the owner of {hotkey}");
        let plan = Plan::new(calls::associate_hotkey(hotkey), description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

pub(super) fn run_swap_coldkey(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Announce(args) => announce(args, context),
        Command::Execute(args) => execute(args, context),
        Command::Dispute(args) => dispute(args, context),
        Command::Clear(args) => clear(args, context),
        Command::Status(args) => status(args, context),
    }
}

fn announce(args: &NewColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let (old_coldkey, new_coldkey) = (args.tx.submit.coldkey(&key), args.new.coldkey());
        if old_coldkey == new_coldkey {
            return Err(ClassifiedError::usage("the new coldkey is the old one"));
        }
        let delay = chain.coldkey_swap_delay(At::Head).await.map_err(chain_error)?;
        let is_first =
            chain.coldkey_swap(old_coldkey, At::Head).await.map_err(chain_error)?.is_none();
        let cost = if is_first {
            chain.key_swap_cost(false).await.map_err(chain_error)?
        } else {
            Rao::ZERO
        };
        let details = json!({
            "coldkey": old_coldkey,
            "new_coldkey": new_coldkey,
            "delay_blocks": delay,
            "cost_rao": cost,
        });
        let description = format!(
            "Announce for {cost} TAO that {new_coldkey} replaces {old_coldkey} in {}; until then, \
             {old_coldkey} can make no other calls",
            counted(delay, "block")
        );
        let plan = Plan::new(calls::announce_coldkey_swap(new_coldkey), description, details)
            .spending(Spending::read(&chain, old_coldkey, cost).await?);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

fn execute(args: &NewColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let (old_coldkey, new_coldkey) = (args.tx.submit.coldkey(&key), args.new.coldkey());
        let swap = chain.coldkey_swap(old_coldkey, At::Head).await.map_err(chain_error)?;
        let Some(swap) = swap else {
            bail!(
                "no swap of {old_coldkey} is announced\nhint: announce it with `tao wallet swap-coldkey \
                 announce {new_coldkey}`"
            );
        };
        let head = chain.head().await.map_err(chain_error)?;
        // The chain executes the call in the next block at the earliest.
        if head.number.plus(1) < swap.due {
            bail!("the swap can be executed from block {}, and the newest block is {}", swap.due, head.number);
        }
        let details = json!({ "coldkey": old_coldkey, "new_coldkey": new_coldkey });
        let description = format!("Move everything that {old_coldkey} owns to {new_coldkey}");
        let plan = Plan::new(calls::swap_coldkey_announced(new_coldkey), description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

fn dispute(args: &AnnouncedSwapArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let details = json!({ "coldkey": coldkey });
        let description = format!(
            "Dispute the announced swap of {coldkey}: it can make no calls until the chain's root resets the swap"
        );
        let plan = Plan::new(calls::dispute_coldkey_swap(), description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

fn clear(args: &AnnouncedSwapArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let details = json!({ "coldkey": coldkey });
        let description = format!("Withdraw the announced swap of {coldkey}");
        let plan = Plan::new(calls::clear_coldkey_swap_announcement(), description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

fn status(args: &ReadColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let coldkey = args.coldkey()?;
    context.block_on(async {
        let (chain, block) = args.connect().await?;
        let swap = chain.coldkey_swap(coldkey, block.into()).await.map_err(chain_error)?;
        if context.json {
            return context.print_json(
                &json!({ "block": block_json(block), "coldkey": coldkey, "swap": swap }),
            );
        }
        let Some(swap) = swap else {
            context.print_notice(&format!("no swap of {coldkey} is announced"));
            return Ok(());
        };
        let mut rows = key_values();
        for (name, value) in [
            ("coldkey", coldkey.to_string()),
            ("new hash", swap.new_coldkey_hash.to_string()),
            ("due", format!("block {}", swap.due)),
            ("clear", format!("from block {}", swap.replaceable)),
            (
                "disputed",
                swap.disputed.map_or_else(|| "no".to_owned(), |block| format!("in block {block}")),
            ),
        ] {
            rows.add_row([name, &value]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}
