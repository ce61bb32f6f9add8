//! `tao crowdloan contributors`: the contributors of a crowdloan with their shares.

use serde_json::json;
use taonet_cli_base::chain::{block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::CROWDLOAN_SHARES;
use taonet_primitives::Rao;

use super::ShowArgs;

pub(super) fn run(args: &ShowArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let raised = super::find_crowdloan(&chain, args.id, block.into()).await?.raised;
        let contributions = chain.contributions(args.id, block.into()).await.map_err(chain_error)?;
        if context.json {
            let list: Vec<_> = contributions
                .iter()
                .map(|(account, amount)| {
                    json!({ "account": account, "amount_rao": amount, "percent": percent(*amount, raised) })
                })
                .collect();
            let document =
                json!({ "block": block_json(block), "id": args.id, "raised_rao": raised, "contributors": list });
            return context.print_json(&document);
        }
        let mut rows = table(&CROWDLOAN_SHARES);
        for (account, amount) in &contributions {
            let share = format!("{:.2} %", percent(*amount, raised));
            rows.add_row([account.to_string(), amount.to_string(), share]);
        }
        context.print(&format!("{rows}\n\nraised {raised} TAO, block {block}"))
    })
}

/// Returns an amount as a percentage of a total.
fn percent(amount: Rao, total: Rao) -> f64 {
    if total == Rao::ZERO { 0.0 } else { amount.get() as f64 / total.get() as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_are_percentages_of_the_total() {
        for (amount, total, expected) in
            [(10, 40, 25.0), (40, 40, 100.0), (0, 40, 0.0), (0, 0, 0.0)]
        {
            let actual = percent(Rao::new(amount), Rao::new(total));
            assert!((actual - expected).abs() < 1e-9, "{amount} of {total}: {actual}");
        }
    }
}
