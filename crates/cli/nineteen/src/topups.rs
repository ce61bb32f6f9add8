//! Credits for TAO: arguments of the validator, and the commands of `tao nineteen keys` for
//! deposits.

use std::num::NonZeroU64;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_chain::{Chain as _, Client};
use taonet_cli_base::chain::{Account, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::DEPOSITS;
use taonet_nineteen_control::TopUpWatcher;
use taonet_nineteen_store::{Store, StoreError, TopUpTerms};
use taonet_primitives::{BlockNumber, Rao};
use taonet_service::{Shutdown, system_clock};

use super::keys::{KeyArg, find_key, now_ms};

/// One TAO, in rao.
const ONE_TAO: Rao = Rao::new(1_000_000_000);

/// Arguments of a validator that sells credits for TAO
#[derive(Debug, Args)]
pub(crate) struct TopUpArgs {
    /// Account for which buyers' TAO is collected: its derivative accounts are the deposit
    /// addresses of the keys. It must be the coldkey of a wallet of yours: nobody can collect for
    /// an address of an exchange, and `tao nineteen collect` not for a multisig account. Test it
    /// with `tao nineteen collect --check`. The validator needs no key of it [default: no credits
    /// for TAO]
    #[arg(long, value_name = "ACCOUNT", requires = "rao_per_credit")]
    topup_account: Option<Account>,
    /// Price of one credit in rao; 1 TAO is 1000000000 rao
    #[arg(long, value_name = "RAO", requires = "topup_account")]
    rao_per_credit: Option<NonZeroU64>,
}

impl TopUpArgs {
    /// Spawns the task that credits transfers of TAO, if it is enabled.
    pub(crate) async fn start(
        &self,
        chain: &Arc<Client>,
        store: &Store,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let (Some(account), Some(rao_per_credit)) = (self.topup_account, self.rao_per_credit)
        else {
            return Ok(store.disable_topups().await?);
        };
        let terms = TopUpTerms { account: account.id(), rao_per_credit };
        let finalized = chain.finalized_head().await.map_err(chain_error)?;
        store.enable_topups(terms, chain.genesis(), (finalized.number, finalized.hash)).await?;
        let watcher = TopUpWatcher::new(Arc::clone(chain) as _, store.clone(), system_clock());
        shutdown.spawn_until("topups", |stop| async move { watcher.run(&stop).await });
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct DepositsArgs {
    /// Show the transfers for this key only [default: all transfers]
    #[arg(value_name = "KEY_ID", conflicts_with = "unattributed")]
    key: Option<String>,
    /// Show only transfers that belong to no active key
    #[arg(long)]
    unattributed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AssignArgs {
    /// Block of the transfer, as in `tao nineteen keys deposits`
    #[arg(value_name = "BLOCK")]
    block: BlockNumber,
    /// Index of the transfer's event in the block
    #[arg(value_name = "EVENT")]
    event: u32,
    #[command(flatten)]
    key: KeyArg,
}

/// Shows the deposit address of a key.
pub(crate) async fn show_deposit_address(
    store: &Store,
    key: &KeyArg,
    context: &Context,
) -> anyhow::Result<()> {
    let key = find_key(store, &key.id).await?;
    if key.revoked_ms.is_some() {
        bail!("key {} is revoked", key.id);
    }
    let topups = store.topups().await?.ok_or(StoreError::TopUpsDisabled)?;
    let deposit_address = store
        .deposit_address(&key.id)
        .await?
        .with_context(|| format!("there is no key {}", key.id))?;
    if key.is_expired(now_ms()) {
        context.print_notice(&format!(
            "key {} has expired: transfers are not credited to it; hint: `keys update`",
            key.id
        ));
    }
    let credits = topups.terms.credits(ONE_TAO);
    if context.json {
        return context.print_json(&json!({
            "id": key.id,
            "address": deposit_address.address,
            "account": deposit_address.account,
            "index": deposit_address.index,
            "rao_per_credit": topups.terms.rao_per_credit,
            "credits_per_tao": credits,
            "balance": key.balance,
        }));
    }
    context.print_notice(&format!(
        "TAO sent to this address, from any wallet, becomes credits of key {}; 1 TAO: {credits}",
        key.id
    ));
    context.print(&deposit_address.address.to_string())
}

/// Lists the recorded transfers.
pub(crate) async fn list_deposits(
    store: &Store,
    args: &DepositsArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let mut deposits = store.deposits(args.key.as_deref()).await?;
    deposits.retain(|deposit| !args.unattributed || deposit.key_id.is_none());
    if context.json {
        return context.print_json(&deposits);
    }
    let mut rows = table(&DEPOSITS);
    for deposit in deposits {
        rows.add_row([
            deposit.block.to_string(),
            deposit.event.to_string(),
            deposit.key_id.unwrap_or_else(|| "–".to_owned()),
            deposit.amount_rao.to_string(),
            deposit.credits.to_string(),
            deposit.from.to_string(),
            deposit.to.to_string(),
        ]);
    }
    context.print(&rows.to_string())
}

/// Credits an unattributed transfer to a key.
pub(crate) async fn assign(
    store: &Store,
    args: &AssignArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let (block, event) = (args.block, args.event);
    let key = find_key(store, &args.key.id).await?;
    let deposits = store.deposits_at(block, event).await?;
    let hint = "hint: `tao nineteen keys deposits --unattributed` lists those that can be assigned";
    if deposits.is_empty() {
        bail!("there is no transfer with event {event} of block {block}\n{hint}");
    }
    let deposit = deposits.iter().find(|deposit| deposit.key_id.is_none());
    let deposit = deposit.with_context(|| {
        let owners: Vec<_> =
            deposits.iter().filter_map(|deposit| deposit.key_id.as_deref()).collect();
        format!("the transfer is already credited to key {}\n{hint}", owners.join(", "))
    })?;
    let assigned = store.assign_deposit(deposit.block_hash, event, &key.id, now_ms()).await?;
    context.print_json(&assigned.context("the transfer was credited meanwhile")?)
}
