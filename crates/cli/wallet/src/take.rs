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
        let now = chain.take(hotkey, At::Head).await.map_err(chain_error)?;
        let document = json!({ "hotkey": hotkey, "take": now.fraction(), "take_parts": now });
        let Some(new) = args.take else {
            if args.tx.submit.is_dry_run() {
                return Err(ClassifiedError::usage("--dry-run requires the new take"));
            }
            return if context.json {
                context.print_json(&document)
            } else {
                context.print(&format!("take of {hotkey}: {now}"))
            };
        };
        let key = args.tx.unlock()?;
        let call = if new < now { calls::decrease_take(hotkey, new) } else { calls::increase_take(hotkey, new) };
        let coldkey = args.tx.submit.coldkey(&key);
        let details = json!({ "hotkey": hotkey, "coldkey": coldkey, "take_before_parts": now, "take_parts": new });
        let plan = Plan::new(call, format!("Change the take of {hotkey} from {now} to {new}"), details);
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}
