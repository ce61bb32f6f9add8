//! The `tao balance` command.

use clap::Args;
use serde_json::json;
use taonet_chain::Client;
use taonet_cli_base::chain::{Account, AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::BALANCE;
use taonet_cli_base::wallet_args::WalletArgs;
use taonet_primitives::{NetUid, Rao};

const ROOT: NetUid = NetUid(0);

/// Show account balances: free TAO, and the value of the stake in TAO
#[derive(Debug, Args)]
pub struct BalanceArgs {
    /// Addresses, or development accounts such as //Alice [default: the wallet's coldkey]
    #[arg(value_name = "ACCOUNT")]
    accounts: Vec<Account>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

/// Runs `tao balance`.
pub fn run(args: &BalanceArgs, context: &Context) -> anyhow::Result<()> {
    // An invalid network is reported before a missing wallet.
    args.network.network()?;
    let accounts = match args.accounts.as_slice() {
        [] => vec![args.wallet.wallet()?.coldkeypub()?.coldkey().into()],
        accounts => accounts.to_vec(),
    };
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let mut documents = Vec::new();
        let mut rows = table(&BALANCE);
        for account in accounts {
            let balance = chain.balance(account.id(), block.into()).await.map_err(chain_error)?;
            let stake_value = total_stake_value(&chain, account, block.into()).await?;
            documents.push(json!({
                "address": account.id(),
                "free_rao": balance.free,
                "reserved_rao": balance.reserved,
                "frozen_rao": balance.frozen,
                "stake_rao": stake_value,
            }));
            let amounts = [balance.free, balance.reserved, balance.frozen, stake_value]
                .map(|amount| amount.to_string());
            rows.add_row(std::iter::once(account.to_string()).chain(amounts));
        }
        if context.json {
            return context
                .print_json(&json!({ "block": block_json(block), "accounts": documents }));
        }
        context.print(&rows.to_string())
    })
}

/// Returns the value of a coldkey's stake in TAO, at spot prices.
pub(crate) async fn total_stake_value(
    chain: &Client,
    account: Account,
    at: taonet_chain::At,
) -> anyhow::Result<Rao> {
    let stakes = chain.stakes(account.coldkey(), at).await.map_err(chain_error)?;
    if stakes.is_empty() {
        return Ok(Rao::ZERO);
    }
    let prices = chain.prices(at).await.map_err(chain_error)?;
    let values = stakes.iter().map(|stake| stake_value(&prices, stake));
    Ok(values.fold(Rao::ZERO, |sum, value| sum.checked_add(value).unwrap_or(sum)))
}

/// Returns the value of a stake in TAO: 1 TAO per alpha on the root network, 0 on a subnet without
/// a price.
pub(crate) fn stake_value(prices: &[taonet_chain::Price], stake: &taonet_chain::Stake) -> Rao {
    let price = match prices.iter().find(|price| price.netuid == stake.netuid) {
        Some(price) => price.price.get(),
        None if stake.netuid == ROOT => 1_000_000_000,
        None => 0,
    };
    let rao = u128::from(stake.stake.get()) * u128::from(price) / 1_000_000_000;
    Rao::new(u64::try_from(rao).unwrap_or(u64::MAX))
}
