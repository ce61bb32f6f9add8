//! `tao metagraph`.

use clap::Args;
use taonet_chain::{Chain as _, Detail, Metagraph, Share};
use taonet_primitives::{MechId, NetUid};

use crate::chain::{AtArgs, NetworkArgs, failed};
use crate::context::Context;
use crate::table::{short, table, whole};

/// Show a subnet's neurons: stake, incentive, consensus, endpoints.
///
/// The JSON document has shares in parts of 65535 and amounts in the smallest unit, and with --full the weights and bonds
/// of each neuron as pairs of uid and share.
#[derive(Debug, Args)]
pub(crate) struct MetagraphArgs {
    /// The subnet's number
    netuid: NetUid,
    /// The incentive mechanism, where the subnet has several
    #[arg(long, value_name = "MECHANISM", default_value = "0")]
    mech: MechId,
    /// Read weights and bonds, too
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: &MetagraphArgs, context: &Context) -> anyhow::Result<()> {
    let metagraph = context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let detail = if args.full { Detail::Full } else { Detail::Lite };
        chain.metagraph(args.netuid, args.mech, detail, block.into()).await.map_err(failed)
    })?;
    if context.json { context.print_json(&metagraph) } else { context.print(&text(&metagraph)) }
}

fn text(metagraph: &Metagraph) -> String {
    let header = ["uid", "stake S", "I", "E", "C", "Tv", "D", "permit", "updated", "axon", "hotkey", "coldkey"];
    let mut rows = table(&header, &[0, 1, 2, 3, 4, 5, 6, 8]);
    let share = |parts: u16| format!("{:.4}", Share::new(parts).fraction());
    for neuron in &metagraph.neurons {
        rows.add_row([
            neuron.uid.to_string(),
            whole(neuron.total_stake.get()),
            share(neuron.incentive),
            whole(neuron.emission.get()),
            share(neuron.consensus),
            share(neuron.validator_trust),
            share(neuron.dividends),
            if neuron.validator_permit { "yes" } else { "" }.to_owned(),
            metagraph.block.number.since(neuron.last_update).to_string(),
            neuron.axon.map_or_else(|| "–".to_owned(), |axon| axon.address.to_string()),
            short(neuron.hotkey),
            short(neuron.coldkey),
        ]);
    }
    let Metagraph { netuid, name, neurons, max_uids, tempo, burn, block, .. } = metagraph;
    let mut text = format!(
        "{rows}\n\nsubnet {netuid} {name}: {} of {max_uids} neurons, tempo {tempo}, registration {burn} TAO, block {block}",
        neurons.len()
    );
    for (title, matrix) in [("weights W", &metagraph.weights), ("bonds B", &metagraph.bonds)] {
        let Some(matrix) = matrix else { continue };
        let mut rows = table(&["from", title], &[0]);
        for (uid, row) in matrix.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let entries: Vec<_> = row.iter().map(|(to, parts)| format!("{to}: {}", share(*parts))).collect();
            rows.add_row([uid.to_string(), entries.join("  ")]);
        }
        text.push_str("\n\n");
        text.push_str(&rows.to_string());
    }
    text
}
