//! `tao wallet faucet`.

use clap::Args;
use serde_json::json;
use taonet_chain::calls;
use taonet_primitives::Rao;

use super::place::WalletArgs;
use crate::chain::{Account, NetworkArgs, Plan, SubmitArgs, development_key};
use crate::context::Context;

/// Who has most of the TAO on a development chain.
const RICH: &str = "//Alice";

/// Get TAO for a wallet on a development chain.
///
/// On a localnet this is a transfer from the development account //Alice. The real chain has a faucet only in builds made
/// for tests, and this command does not ask it.
#[derive(Debug, Args)]
pub(crate) struct FaucetArgs {
    /// How much TAO
    #[arg(long, value_name = "TAO", default_value = "10000")]
    amount: Rao,
    /// The account that gets it [default: the wallet's coldkey]
    #[arg(long, value_name = "ACCOUNT")]
    to: Option<Account>,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

pub(crate) fn run(args: &FaucetArgs, context: &Context) -> anyhow::Result<()> {
    let to = match args.to {
        Some(account) => account,
        None => args.wallet.wallet()?.coldkeypub()?.coldkey().into(),
    };
    context.block_on(async {
        let chain = args.network.connect().await?;
        let rich = development_key(RICH, &args.network, &chain)?;
        let amount = args.amount;
        let about = json!({ "from": rich.coldkey(), "to": to.id(), "amount_rao": amount });
        let plan =
            Plan::new(calls::transfer_keep_alive(to.id(), amount), format!("Give {to} {amount} TAO of {RICH}"), about);
        args.submit.carry_out(&chain, &rich, plan, context).await
    })
}
