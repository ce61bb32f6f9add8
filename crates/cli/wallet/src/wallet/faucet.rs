//! The `tao wallet faucet` command.

use clap::Args;
use serde_json::json;
use taonet_chain::calls;
use taonet_cli_base::chain::{Account, NetworkArgs, Plan, SubmitArgs, check_development};
use taonet_cli_base::context::Context;
use taonet_cli_base::wallet_args::WalletArgs;
use taonet_primitives::Rao;
use taonet_wallet::Keypair;

/// The account that funds the faucet: it holds most of the TAO on a development chain.
const SENDER_URI: &str = "//Alice";

/// Get TAO for a wallet on a development chain.
///
/// Transfers TAO from the development account //Alice of a local chain. Subtensor's own faucet,
/// which exists in its test builds only, is not used.
#[derive(Debug, Args)]
pub struct FaucetArgs {
    /// Amount in TAO
    #[arg(long, value_name = "TAO", default_value = "10000")]
    amount: Rao,
    /// Recipient [default: the wallet's coldkey]
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
    // An invalid network is reported before a missing wallet.
    args.network.network()?;
    let to = match args.to {
        Some(account) => account,
        None => args.wallet.wallet()?.coldkeypub()?.coldkey().into(),
    };
    context.block_on(async {
        let chain = args.network.connect().await?;
        check_development(&chain, &args.network.network()?).await?;
        let sender = Keypair::from_uri(SENDER_URI)?;
        let amount = args.amount;
        let details =
            json!({ "from": args.submit.coldkey(&sender), "to": to.id(), "amount_rao": amount });
        let plan = Plan::new(
            calls::transfer_keep_alive(to.id(), amount),
            format!("Transfer {amount} TAO from {SENDER_URI} to {to}"),
            details,
        );
        args.submit.submit(&chain, &sender, plan, context).await
    })
}
