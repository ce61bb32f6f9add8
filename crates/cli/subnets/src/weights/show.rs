use clap::Args;
use serde_json::json;
use taonet_chain::{Chain as _, Detail, Share, WeightRow};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::WEIGHTS;
use taonet_primitives::Uid;

use super::MechanismArgs;

/// Show the weights of validators
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only the weights of this uid
    #[arg(long, value_name = "UID")]
    uid: Option<Uid>,
    #[command(flatten)]
    mechanism: MechanismArgs,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(super) fn run(args: &ShowArgs, context: &Context) -> anyhow::Result<()> {
    let MechanismArgs { netuid, mech } = args.mechanism;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let metagraph =
            chain.metagraph(netuid, mech, Detail::Full, block.into()).await.map_err(chain_error)?;
        let weight_rows = (0..).map(Uid).zip(metagraph.weights.into_iter().flatten());
        let weight_rows: Vec<(Uid, WeightRow)> =
            weight_rows.filter(|(uid, row)| args.uid.map_or(!row.is_empty(), |selected| selected == *uid)).collect();
        if context.json {
            let rows: Vec<_> = weight_rows.iter().map(|(uid, row)| json!({ "uid": uid, "weights": row })).collect();
            return context
                .print_json(&json!({ "block": block_json(block), "netuid": netuid, "mech": mech, "rows": rows }));
        }
        let mut rows = table(&WEIGHTS);
        for (validator, row) in &weight_rows {
            let sum: f64 = row.iter().map(|(_, weight)| f64::from(*weight)).sum();
            for (target, weight) in row {
                let share = Share::new((f64::from(*weight) / sum * f64::from(u16::MAX)).round() as u16);
                rows.add_row([
                    validator.to_string(),
                    target.to_string(),
                    weight.to_string(),
                    share.to_string(),
                ]);
            }
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}
