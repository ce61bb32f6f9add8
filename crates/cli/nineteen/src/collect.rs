//! The `tao nineteen collect` command.

use std::cmp::Reverse;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_chain::{At, Chain as _, Client, calls};
use taonet_cli_base::chain::{ColdkeyArgs, Plan, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_nineteen_store::StoreError;
use taonet_primitives::{AccountId, Rao, counted};

use super::database::DatabaseArgs;

/// Maximum number of addresses in one extrinsic, whose fee and weight grow with it.
const MAX_ADDRESSES: usize = 100;

/// Collect the TAO of all deposit addresses in the account of --topup-account
#[derive(Debug, Args)]
pub struct CollectArgs {
    /// The validator's --state directory; not needed with PostgreSQL
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Only check that the key is that of the validator's --topup-account, before you sell credits
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

pub(crate) fn run(args: &CollectArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let account = AccountId::from(args.tx.submit.coldkey(&key));
        let store = args.database.open_existing(args.state.as_deref()).await?;
        let (topups, addresses) = (store.topups().await, store.collectable_addresses(account).await);
        store.close().await;
        let addresses = addresses?;
        if args.check {
            let topup_account = topups?.map(|topups| topups.terms.account);
            return check_account(topup_account, account, addresses.len(), context);
        }
        if addresses.is_empty() {
            bail!("there are no deposit addresses of {account}\nhint: sign with the key of --topup-account");
        }
        let mut funded = funded_addresses(&chain, addresses).await?;
        if funded.is_empty() {
            bail!("no deposit address of {account} has TAO");
        }
        funded.sort_by_key(|(free, _)| Reverse(*free));
        let remaining = funded.split_off(funded.len().min(MAX_ADDRESSES));
        if !remaining.is_empty() {
            context.print_notice(
                &format!("run the command again for the other {}", counted(remaining.len(), "address")),
            );
        }
        let plan = collection_plan(&funded, account)?;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Checks that the unlocked key is that of the account for which TAO is collected.
fn check_account(
    topup_account: Option<AccountId>,
    account: AccountId,
    addresses: usize,
    context: &Context,
) -> anyhow::Result<()> {
    let topup_account = topup_account.ok_or(StoreError::TopUpsDisabled)?;
    if topup_account != account {
        bail!(
            "the key is that of {account}, but TAO is collected for {topup_account}\nhint: select the wallet of \
             --topup-account, or start the validator with --topup-account {account}"
        );
    }
    if context.json {
        return context.print_json(&json!({ "account": account, "addresses": addresses }));
    }
    let count = counted(addresses, "deposit address");
    context.print(&format!("the key can collect the TAO of {account}, which has {count}"))
}

/// Returns the indices of the derivatives with TAO, all at the same block.
async fn funded_addresses(
    chain: &Client,
    addresses: Vec<(u16, AccountId)>,
) -> anyhow::Result<Vec<(Rao, u16)>> {
    let (indices, accounts): (Vec<u16>, Vec<AccountId>) = addresses.into_iter().unzip();
    let block = chain.head().await.map_err(chain_error)?;
    let balances = chain.balances(&accounts, At::Hash(block.hash)).await.map_err(chain_error)?;
    let funded = balances.into_iter().map(|balance| balance.free).zip(indices);
    Ok(funded.filter(|(free, _)| *free > Rao::ZERO).collect())
}

/// Plans the transfer of all TAO of derivatives to the account to which they belong.
fn collection_plan(funded: &[(Rao, u16)], account: AccountId) -> anyhow::Result<Plan> {
    let sum = funded.iter().try_fold(Rao::ZERO, |sum, (free, _)| sum.checked_add(*free));
    let sum = sum.context("the balances exceed the supply of TAO")?;
    let call = calls::batch_all(
        funded
            .iter()
            .map(|(_, index)| calls::as_derivative(*index, calls::transfer_all(account, false))),
    );
    let description =
        format!("Collect {sum} TAO from {} to {account}", counted(funded.len(), "deposit address"));
    Ok(Plan::new(
        call,
        description,
        json!({ "to": account, "amount_rao": sum, "addresses": funded.len() }),
    ))
}
