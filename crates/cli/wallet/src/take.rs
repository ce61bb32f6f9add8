//! The `tao take` command.

use clap::Args;
use serde_json::json;
use taonet_chain::{At, Share, calls};
use taonet_cli_base::chain::{PairArgs, Plan, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;

/// Show or change the take of a hotkey
#[derive(Debug, Args)]
pub struct TakeArgs {
    /// New take in percent, 0..=18; increases are limited to one per month [default: show the take]
    #[arg(value_name = "PERCENT")]
    take: Option<Share>,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Runs `tao take`.
pub fn run(args: &TakeArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let current_take = chain.take(hotkey, At::Head).await.map_err(chain_error)?;
        let document = json!({
            "hotkey": hotkey,
            "take": current_take.fraction(),
            "take_parts": current_take,
        });
        let Some(new_take) = args.take else {
            if args.tx.submit.is_dry_run() {
                return Err(ClassifiedError::usage("--dry-run requires the new take"));
            }
            return if context.json {
                context.print_json(&document)
            } else {
                context.print(&format!("take of {hotkey}: {current_take}"))
            };
        };
        let key = args.tx.unlock()?;
        let call = if new_take < current_take {
            calls::decrease_take(hotkey, new_take)
        } else {
            calls::increase_take(hotkey, new_take)
        };
        let coldkey = args.tx.submit.coldkey(&key);
        let details = json!({
            "hotkey": hotkey,
            "coldkey": coldkey,
            "take_before_parts": current_take,
            "take_parts": new_take,
        });
        let description = format!("Change the take of {hotkey} from {current_take} to {new_take}");
        let plan = Plan::new(call, description, details);
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}
