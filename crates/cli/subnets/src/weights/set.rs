use std::time::SystemTime;
use taonet_primitives::counted;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_chain::{Chain as _, calls};
use taonet_cli_base::chain::{Plan, SigningHotkeyArgs, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_ledger::{Sealing, SubmissionForm, timelocked_commit};
use taonet_timelock::{Beacon, WeightsPayload};

use super::MechanismArgs;
use super::pairs::{
    Pair, check_weights, rate_limit_refusal, rounded_to_zero, warn_of_zeros, weight_row,
};

/// Set a validator's weights
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Weights as uid:weight, such as 3:0.5 4:1; only the proportions matter
    #[arg(value_name = "UID:WEIGHT", required = true)]
    weights: Vec<Pair>,
    #[command(flatten)]
    mechanism: MechanismArgs,
    /// Version key [default: the subnet's weights_version]
    #[arg(long, value_name = "NUMBER")]
    version_key: Option<u64>,
    #[command(flatten)]
    tx: TxArgs<SigningHotkeyArgs>,
}

pub(super) fn run(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    let MechanismArgs { netuid, mech } = args.mechanism;
    let weights = weight_row(&args.weights)?;
    let rounded_uids = rounded_to_zero(&args.weights, &weights);
    warn_of_zeros(&rounded_uids, context);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let head = chain.head().await.map_err(chain_error)?;
        let rules = chain.weight_rules(netuid, head.into()).await.map_err(chain_error)?;
        let version_key = args.version_key.unwrap_or(rules.version_key);
        let key = args.tx.unlock()?;
        let hotkey = args.tx.submit.hotkey(&key);
        let Some(uid) = chain.uid(netuid, &hotkey, head.into()).await.map_err(chain_error)? else {
            bail!(
                "{hotkey} is not registered on subnet {netuid}\nhint: register it with `tao register --netuid \
                {netuid}`"
            );
        };
        check_weights(&weights, uid, mech, &rules)?;
        let expected_refusal =
            rate_limit_refusal(&chain, (netuid, mech, uid), &rules, head.number).await?;
        let rng = &mut rand::rng();
        let (form, call, round) = match SubmissionForm::of(netuid, &rules, rng)? {
            SubmissionForm::Plain => ("plain", calls::set_mechanism_weights(netuid, mech, &weights, version_key), None),
            SubmissionForm::Timelocked { period_epochs } => {
                let local_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let local_time = local_time.context("the system clock is before 1970")?;
                let state = chain
                    .hotkey_state(netuid, mech, &hotkey, head.into())
                    .await
                    .map_err(chain_error)?;
                let (beacon, block_time) = (Beacon::quicknet(), chain.block_time());
                let sealing = Sealing { beacon, head: head.number, block_time, state: &state, local_time };
                let (uids, values) = weights.iter().copied().unzip();
                let payload = WeightsPayload { hotkey, uids, values, version_key };
                let (call, round) = timelocked_commit(&payload, (netuid, mech), &rules, period_epochs, &sealing, rng)?;
                ("timelocked", call, Some(round.0))
            }
            _ => bail!(
                "subnet {netuid} requires commit-reveal by hash\nhint: use `tao weights commit` and `tao weights \
                 reveal`"
            ),
        };
        let description = match round {
            None => format!("Set {} on subnet {netuid}", counted(weights.len(), "weight")),
            Some(round) => {
                format!(
                    "Commit to {} on subnet {netuid}, revealed at drand round {round}",
                    counted(weights.len(), "weight")
                )
            }
        };
        let details = json!({
            "netuid": netuid,
            "mech": mech,
            "hotkey": hotkey,
            "form": form,
            "reveal_round": round,
            "uids": weights.iter().map(|(uid, _)| uid).collect::<Vec<_>>(),
            "values": weights.iter().map(|(_, value)| value).collect::<Vec<_>>(),
            "rounded_to_zero": rounded_uids,
            "version_key": version_key,
        });
        let plan = Plan::new(call, description, details).expected_refusal(expected_refusal);
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}
