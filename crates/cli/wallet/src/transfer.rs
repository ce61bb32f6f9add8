//! The `tao transfer` command.

use anyhow::bail;
use clap::Args;
use serde_json::json;
use taonet_chain::calls;
use taonet_cli_base::chain::{Account, ColdkeyArgs, Plan, Spending, TxArgs};
use taonet_cli_base::context::Context;
use taonet_primitives::Rao;

/// Send TAO to another account
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Recipient: an address, or a development account such as //Bob
    #[arg(value_name = "TO")]
    to: Account,
    /// Amount in TAO, with at most 9 decimals
    #[arg(value_name = "TAO", required_unless_present = "all", conflicts_with = "all")]
    amount: Option<Rao>,
    /// Transfer the entire free balance and close the account
    #[arg(long)]
    all: bool,
    /// Allow the transfer to close the account, if the remainder is below the existential deposit
    #[arg(long)]
    allow_death: bool,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Runs `tao transfer`.
pub fn run(args: &TransferArgs, context: &Context) -> anyhow::Result<()> {
    let to = args.to;
    let (call, amount) = match args.amount {
        _ if args.all => (calls::transfer_all(to.id(), false), "all TAO".to_owned()),
        Some(amount) if args.allow_death => {
            (calls::transfer_allow_death(to.id(), amount), format!("{amount} TAO"))
        }
        Some(amount) => (calls::transfer_keep_alive(to.id(), amount), format!("{amount} TAO")),
        None => bail!("no amount given\nhint: pass an amount of TAO, or --all"),
    };
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let from = args.tx.submit.coldkey(&key);
        let details = json!({ "from": from, "to": to.id(), "amount_rao": args.amount });
        let description = format!("Transfer {amount} from {from} to {to}");
        let mut plan = Plan::new(call, description, details);
        // Without an amount, the chain transfers what is left after the fee.
        if let Some(amount) = args.amount.filter(|_| !args.all) {
            let spending = Spending::read(&chain, from, amount).await?;
            plan = plan.spending(if args.allow_death {
                spending
            } else {
                spending.keeping_account(&chain).await?
            });
        }
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}
