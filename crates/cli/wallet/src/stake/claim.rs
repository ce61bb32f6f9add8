#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Inclusion, calls};
use taonet_cli_base::chain::{Account, ColdkeyArgs, Plan, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_primitives::Rao;

/// Claim the dividends of root stake
#[derive(Debug, Args)]
pub struct ClaimArgs {
    /// Claim only on this validator, by its hotkey [default: on all validators]
    #[arg(value_name = "HOTKEY")]
    hotkey: Option<Account>,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

pub(super) fn run(args: &ClaimArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let (coldkey, hotkey) = (args.tx.submit.coldkey(&key), args.hotkey.map(Account::hotkey));
        let claimable = chain.root_dividends(hotkey, coldkey, At::Head).await.map_err(chain_error)?;
        let (call, scope) = match hotkey {
            Some(hotkey) => (calls::claim_root_with_hotkey(hotkey), format!("on {hotkey}")),
            None => (calls::claim_root(), "on all validators".to_owned()),
        };
        if claimable == Rao::ZERO {
            bail!(
                "{coldkey} has no dividends to claim {scope}\nhint: stake on the root network (netuid 0) earns dividends at \
                the validator's epochs; list it with `tao stake list`"
            );
        }
        let details = json!({ "coldkey": coldkey, "hotkey": hotkey, "expected_rao": claimable });
        let description =
            format!("Claim about {claimable} TAO of root dividends {scope} as root stake");
        let mut plan = Plan::new(call, description, details);
        plan.event_fields = claim_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the claimed amount from the event, as JSON.
fn claim_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("SubtensorModule", "RootClaimed"));
    json!({ "claimed_rao": event.map(|event| &event.fields["tao"]) })
}
