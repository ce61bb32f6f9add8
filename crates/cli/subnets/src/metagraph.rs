//! The `tao metagraph` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_chain::metagraph::Difference;
use taonet_chain::{At, Chain as _, Detail, Metagraph, Share};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, chain_error, parse_at};
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{table, tao_decimals, wrap_text};
use taonet_cli_base::tables::{BOND_ROWS, METAGRAPH, METAGRAPH_CHANGES, WEIGHT_ROWS};
use taonet_primitives::{Hotkey, MechId, NetUid};

/// Show a subnet's neurons: stake, incentive, consensus, endpoints.
///
/// In JSON, shares are in parts of 65535 and amounts in rao; with --full, each neuron has its
/// weights and bonds as pairs of uid and share.
#[derive(Debug, Args)]
pub struct MetagraphArgs {
    /// Netuid of the subnet
    netuid: NetUid,
    /// Incentive mechanism, numbered from 0, on subnets with several
    #[arg(long, value_name = "MECHANISM", default_value = "0")]
    mech: MechId,
    /// Include weights and bonds
    #[arg(long)]
    full: bool,
    /// Print the neurons as CSV
    #[arg(long, conflicts_with_all = ["json", "diff"])]
    csv: bool,
    /// Also write the metagraph to this file as JSON
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Show the changes since this block: a number, a hash, or `finalized`
    #[arg(long, value_name = "BLOCK", value_parser = parse_at)]
    diff: Option<At>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `tao metagraph`.
pub fn run(args: &MetagraphArgs, context: &Context) -> anyhow::Result<()> {
    let (metagraph, earlier) = context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let detail = if args.full { Detail::Full } else { Detail::Lite };
        let metagraph = chain
            .metagraph(args.netuid, args.mech, detail, block.into())
            .await
            .map_err(chain_error)?;
        let earlier = match args.diff {
            Some(at) => Some(
                chain
                    .metagraph(args.netuid, args.mech, Detail::Lite, at)
                    .await
                    .map_err(chain_error)?,
            ),
            None => None,
        };
        Ok((metagraph, earlier))
    })?;
    if let Some(file) = &args.save {
        metagraph.save(file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match earlier.map(|earlier| earlier.diff(&metagraph)) {
        Some(difference) if context.json => context.print_json(&difference),
        Some(difference) => context.print(&format_changes(&difference)),
        None if context.json => context.print_json(&metagraph),
        None if args.csv => context.print(metagraph.to_csv().trim_end()),
        None => context.print(&format_metagraph(&metagraph)),
    }
}

fn format_changes(difference: &Difference) -> String {
    let mut rows = table(&METAGRAPH_CHANGES);
    let name =
        |hotkey: Option<Hotkey>| hotkey.map_or_else(|| "–".to_owned(), |hotkey| hotkey.to_string());
    for (uid, before, after) in &difference.replaced {
        rows.add_row([
            uid.to_string(),
            String::new(),
            "hotkey".to_owned(),
            name(*before),
            name(*after),
        ]);
    }
    for change in &difference.changed {
        for (field, before, after) in &change.fields {
            let [before, after] =
                [before, after].map(|value| printable(&value.to_string()).into_owned());
            rows.add_row([
                change.uid.to_string(),
                change.hotkey.to_string(),
                field.clone(),
                before,
                after,
            ]);
        }
    }
    format!("{rows}\n\nfrom block {} to block {}", difference.from, difference.to)
}

fn format_metagraph(metagraph: &Metagraph) -> String {
    let mut rows = table(&METAGRAPH);
    for neuron in &metagraph.neurons {
        rows.add_row([
            neuron.uid.to_string(),
            tao_decimals(neuron.total_stake.get()),
            fraction(neuron.incentive),
            tao_decimals(neuron.emission.get()),
            fraction(neuron.consensus),
            fraction(neuron.validator_trust),
            fraction(neuron.dividends),
            if neuron.validator_permit { "yes" } else { "" }.to_owned(),
            metagraph.block.number.since(neuron.last_update).to_string(),
            neuron.axon.map_or_else(|| "–".to_owned(), |axon| axon.address.to_string()),
            neuron.hotkey.to_string(),
            neuron.coldkey.to_string(),
        ]);
    }
    let Metagraph { netuid, name, neurons, max_uids, tempo, burn, block, .. } = metagraph;
    let name = printable(name);
    let subnet = format!(
        "subnet {netuid} {name}: {} of {max_uids} neurons, tempo {tempo}, registration {burn} TAO, block {block}",
        neurons.len()
    );
    let mut text = format!("{rows}\n\n{}", wrap_text(&subnet));
    let matrices =
        [(table(&WEIGHT_ROWS), &metagraph.weights), (table(&BOND_ROWS), &metagraph.bonds)];
    for (mut rows, matrix) in matrices {
        let Some(matrix) = matrix else { continue };
        for (uid, row) in matrix.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let entries: Vec<_> =
                row.iter().map(|(to, parts)| format!("{to}: {}", fraction(*parts))).collect();
            rows.add_row([uid.to_string(), entries.join("  ")]);
        }
        text.push_str("\n\n");
        text.push_str(&rows.to_string());
    }
    text
}

fn fraction(parts: u16) -> String {
    format!("{:.4}", Share::new(parts).fraction())
}
