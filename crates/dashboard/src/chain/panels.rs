use std::cmp::Reverse;

use taonet_chain::Neuron;

use super::pages::{amount, next_epoch, share};
use super::source::State;
use crate::format::{percent, printable, shortened};
use crate::panel::{Column, Content, Panel, PlainTable};

/// Returns the chain's part of the overview in a terminal: figures, and the neurons by incentive.
pub(super) fn from_state(state: &State) -> Vec<Panel> {
    let mut figures = Vec::new();
    if let Some(contents) = state.blocks.front() {
        figures.push(("Block", contents.block.number.to_string()));
    }
    if let Some(schedule) = &state.schedule {
        let next = next_epoch(state).map(|next| format!(", {next}")).unwrap_or_default();
        figures.push(("Epoch", format!("{}{next}", schedule.epoch_index)));
    }
    let mut neurons = Vec::new();
    if let Some(metagraph) = &state.metagraph {
        figures.push(("Subnet", format!("{} {}", metagraph.netuid, printable(&metagraph.name))));
        figures.push(("Neurons", format!("{} of {}", metagraph.neurons.len(), metagraph.max_uids)));
        figures.push(("Tempo", format!("{} blocks", metagraph.tempo)));
        figures.push(("Registration", format!("{} TAO", amount(metagraph.burn.get()))));
        neurons = metagraph.neurons.iter().collect();
    }
    neurons.sort_by_key(|neuron| (Reverse((neuron.incentive, neuron.dividends)), neuron.uid));
    let columns = vec![
        Column::number("Uid"),
        Column::text("Hotkey"),
        Column::number("Incentive"),
        Column::number("Emission α"),
        Column::number("Stake"),
        Column::number("Dividends"),
        Column::number("Updated"),
    ];
    let rows = neurons.into_iter().map(row).collect();
    let table = PlainTable { columns, rows, empty: "The subnet has not been read yet." };
    vec![
        Panel {
            title: "Chain".to_owned(),
            problem: state.problem.clone(),
            content: Content::Figures(figures),
        },
        Panel { title: "Neurons".to_owned(), problem: None, content: Content::Table(table) },
    ]
}

fn row(neuron: &Neuron) -> Vec<String> {
    vec![
        neuron.uid.to_string(),
        shortened(&neuron.hotkey.to_string()),
        percent(Some(share(neuron.incentive))),
        amount(neuron.emission.get()),
        amount(neuron.total_stake.get()),
        percent(Some(share(neuron.dividends))),
        neuron.last_update.to_string(),
    ]
}
