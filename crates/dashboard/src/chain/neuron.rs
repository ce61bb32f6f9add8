//! The page of a neuron, and the neurons' results over the epochs.

use std::cmp::Reverse;

use maud::{Markup, html};
use taonet_chain::{Neuron, WeightRow};
use taonet_primitives::{AccountId, Uid, counted};

use super::epochs::NeuronResults;
use super::pages::{PER_PAGE, amount, share};
use super::source::State;
use super::text::account_path;
use crate::draw::sparkline;
use crate::format::{percent, shortened};
use crate::layout::live;
use crate::view::{Page, View};

/// Maximum number of bonds in a row of the table of epochs.
const MAX_BONDS: usize = 4;
/// Maximum number of neurons on the overview.
const MAX_LISTED_NEURONS: usize = 10;

/// Renders one neuron: its results by epoch, the weights it set and the weights it received.
pub(super) fn page(view: &View, state: &State, uid: u16) -> Page {
    let Some(metagraph) = &state.metagraph else {
        return Err(view.unavailable(
            "Chain",
            state.problem.as_deref().unwrap_or("The subnet has not been read yet."),
        ));
    };
    let Some(neuron) = metagraph.neurons.iter().find(|neuron| neuron.uid.0 == uid) else {
        return Err(view.missing("This neuron"));
    };
    let set = row_of(metagraph.weights.as_ref(), uid);
    let bonds = row_of(metagraph.bonds.as_ref(), uid);
    let received_weights: WeightRow = metagraph
        .weights
        .iter()
        .flatten()
        .zip(&metagraph.neurons)
        .filter_map(|(row, from)| {
            row.iter().find(|(to, _)| to.0 == uid).map(|(_, weight)| (from.uid, *weight))
        })
        .collect();
    let facts: [(&str, String); 8] = [
        ("Axon", neuron.axon.map_or_else(|| "–".to_owned(), |axon| axon.address.to_string())),
        ("Stake", amount(neuron.total_stake.get())),
        ("Incentive", percent(Some(share(neuron.incentive)))),
        ("Emission of the last epoch", format!("{} α", amount(neuron.emission.get()))),
        ("Dividends", percent(Some(share(neuron.dividends)))),
        ("Validator permit", if neuron.validator_permit { "yes" } else { "no" }.to_owned()),
        ("Weights last set at block", neuron.last_update.to_string()),
        ("Registered at block", neuron.registered_at.to_string()),
    ];
    let part = html! {
        section.card {
            table.facts {
                tbody {
                    @for (name, account) in
                        [("Hotkey", neuron.hotkey.into()), ("Coldkey", AccountId::from(neuron.coldkey))]
                    {
                        tr { th scope="row" { (name) } td { a href=(view.href(&account_path(account))) { (account) } } }
                    }
                    @for (name, value) in &facts { tr { th scope="row" { (name) } td { (value) } } }
                }
            }
        }
        (by_epoch(view, state, neuron))
        div.columns-2 {
            (weights(view, "Weights set by the neuron", &set))
            (weights(view, "Weights set on the neuron", &received_weights))
            (weights(view, "Bonds", &bonds))
        }
    };
    let title = format!("Neuron {uid}");
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain")], &title))
        h1 { (title) }
        (live("neuron", &part))
    };
    Ok(view.page(&title, &body))
}

/// Returns a neuron's row of a matrix; empty if it has none.
fn row_of(matrix: Option<&Vec<WeightRow>>, uid: u16) -> WeightRow {
    matrix.and_then(|rows| rows.get(usize::from(uid))).cloned().unwrap_or_default()
}

/// Renders a neuron's results in the latest epochs, newest first.
fn by_epoch(view: &View, state: &State, neuron: &Neuron) -> Markup {
    let matching: Vec<_> = state
        .epochs
        .iter()
        .filter_map(|epoch| Some((epoch, epoch.neuron_results(neuron.uid.0, &neuron.hotkey)?)))
        .collect();
    html! {
        section.card aria-labelledby="epochs" {
            h2 id="epochs" { "Results by epoch" }
            @if matching.is_empty() { p.empty { "No results yet. An epoch of the subnet computes them." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="epochs" {
                    table {
                        thead {
                            tr {
                                th.num scope="col" { "Epoch" }
                                th.num scope="col" { "Block" }
                                th.num scope="col" { "Incentive" }
                                th.num scope="col" { "Dividends" }
                                th.num scope="col" { "Emission α" }
                                th.num scope="col" { "Consensus" }
                                th scope="col" { "Bonds" }
                            }
                        }
                        tbody {
                            @for (epoch, results) in &matching {
                                tr {
                                    th.num scope="row" { (epoch.index) }
                                    td.num { (epoch.block) }
                                    td.num { (percent(Some(share(results.incentive)))) }
                                    td.num { (percent(Some(share(results.dividends)))) }
                                    td.num { (amount(results.emission.get())) }
                                    td.num { (percent(Some(share(results.consensus)))) }
                                    td { (bonds(view, &results.bonds)) }
                                }
                            }
                        }
                    }
                }
                p.sub { "Each row is the chain's state at the block of the epoch." }
            }
        }
    }
}

/// Renders the highest bonds of a row, as shares of the row's sum.
fn bonds(view: &View, row: &WeightRow) -> Markup {
    let sorted = sorted_by_weight(row);
    html! {
        @if sorted.is_empty() { "–" }
        @for (uid, _, share) in sorted.iter().take(MAX_BONDS) {
            span.bond { a href=(view.href(&format!("/chain/{uid}"))) { "Neuron " (uid) } " " (percent(Some(*share))) } " "
        }
        @if sorted.len() > MAX_BONDS { span.bond { "and " (sorted.len() - MAX_BONDS) " more" } }
    }
}

/// Renders the neurons with the highest incentive, with their results over the latest epochs; empty
/// before the first epoch.
pub(super) fn best_miners(view: &View, state: &State) -> Markup {
    let Some((metagraph, latest)) = state.metagraph.as_ref().zip(state.epochs.front()) else {
        return Markup::default();
    };
    let mut neurons: Vec<_> =
        metagraph.neurons.iter().filter(|neuron| neuron.incentive > 0).collect();
    neurons.sort_by_key(|neuron| (Reverse(neuron.incentive), neuron.uid));
    html! {
        section.card aria-labelledby="by-epoch" {
            h2 id="by-epoch" { "Incentive by epoch" }
            @if neurons.is_empty() { p.empty { "No neuron had an incentive in epoch " (latest.index) "." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="by-epoch" {
                    table {
                        thead {
                            tr {
                                th.num scope="col" { "Uid" }
                                th scope="col" { "Hotkey" }
                                th.num scope="col" { "Consensus weight" }
                                th scope="col" { "Over time" }
                                th.num scope="col" { "Incentive" }
                                th scope="col" { "Over time" }
                                th.num scope="col" { "Emission α" }
                                th scope="col" { "Over time" }
                            }
                        }
                        tbody {
                            @for neuron in neurons.iter().take(MAX_LISTED_NEURONS) {
                                @let hotkey = neuron.hotkey.to_string();
                                @let [consensus, incentive, emission] = lines(state, neuron);
                                tr {
                                    td.num { (neuron.uid) }
                                    th scope="row" {
                                        a.mono href=(view.href(&format!("/chain/{}", neuron.uid))) title=(hotkey) { (shortened(&hotkey)) }
                                    }
                                    td.num { (percent(Some(share(neuron.consensus)))) }
                                    td { (consensus) }
                                    td.num { (percent(Some(share(neuron.incentive)))) }
                                    td { (incentive) }
                                    td.num { (amount(neuron.emission.get())) }
                                    td { (emission) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Draws a neuron's consensus weight, incentive and emission over the epochs.
fn lines(state: &State, neuron: &Neuron) -> [Markup; 3] {
    [
        line(
            "Consensus weight",
            &values_by_epoch(state, neuron, |results| share(results.consensus)),
        ),
        line("Incentive", &values_by_epoch(state, neuron, |results| share(results.incentive))),
        line("Emission", &values_by_epoch(state, neuron, |results| results.emission.get() as f64)),
    ]
}

/// Returns a neuron's results over the epochs, oldest first; `None` for epochs without it.
fn values_by_epoch(
    state: &State,
    neuron: &Neuron,
    value: fn(&NeuronResults) -> f64,
) -> Vec<Option<f64>> {
    let epochs = state.epochs.iter().rev();
    epochs.map(|epoch| epoch.neuron_results(neuron.uid.0, &neuron.hotkey).map(value)).collect()
}

/// Draws values over the epochs, oldest first, in proportion to the highest one.
fn line(name: &str, values: &[Option<f64>]) -> Markup {
    let maximum = values.iter().flatten().copied().fold(0.0, f64::max);
    let scaled: Vec<_> = values
        .iter()
        .map(|value| value.map(|value| if maximum > 0.0 { value / maximum } else { 0.0 }))
        .collect();
    sparkline(&scaled, &format!("{name} over the last {}", counted(values.len(), "epoch")))
}

/// Returns the entries of a row, highest first, each with its share of the row's sum.
fn sorted_by_weight(row: &WeightRow) -> Vec<(Uid, u16, f64)> {
    let total: u64 = row.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut sorted = row.clone();
    sorted.sort_by_key(|(uid, weight)| (Reverse(*weight), *uid));
    sorted
        .into_iter()
        .map(|(uid, weight)| (uid, weight, f64::from(weight) / total.max(1) as f64))
        .collect()
}

fn weights(view: &View, title: &str, row: &WeightRow) -> Markup {
    let sorted = sorted_by_weight(row);
    html! {
        section.card aria-label=(title) {
            h2 { (title) }
            @if sorted.is_empty() { p.empty { "None." } }
            ul.list {
                @for (uid, weight, share) in sorted.iter().take(PER_PAGE) {
                    li {
                        a href=(view.href(&format!("/chain/{uid}"))) { "Neuron " (uid) }
                        small { (weight) " of 65535 · " (percent(Some(*share))) }
                    }
                }
            }
        }
    }
}
