use axum::response::Response;
use maud::{Markup, html};
use taonet_chain::{Hyperparameters, Metagraph, Neuron};
use taonet_primitives::counted;

use super::source::State;
use super::text::account_path;
use super::{blocks, neuron, search};
use crate::draw::meter;
use crate::format::{percent, printable, shortened, timestamp};
use crate::layout::{live, problem};
use crate::table::{Paging, Sort};
use crate::view::View;

/// Maximum number of neurons per page.
pub(super) const PER_PAGE: usize = 64;
/// Maximum length of a filter in characters.
const MAX_FILTER: usize = 100;
/// Columns, and whether the first click sorts each in descending order.
const COLUMNS: [(&str, bool); 8] = [
    ("uid", false),
    ("stake", true),
    ("incentive", true),
    ("emission", true),
    ("consensus", true),
    ("dividends", true),
    ("trust", true),
    ("updated", true),
];

pub(super) fn share(parts: u16) -> f64 {
    f64::from(parts) / f64::from(u16::MAX)
}

/// Formats an amount given in units of 10⁻⁹, with three decimal places.
pub(super) fn amount(smallest: u64) -> String {
    format!("{:.3}", smallest as f64 / 1e9)
}

pub(super) fn warning(state: &State) -> Markup {
    html! { @if let Some(reason) = &state.problem { (problem("The chain cannot be read", reason)) } }
}

fn figures(view: &View, state: &State) -> Markup {
    html! {
        dl.figures {
            @if let Some(contents) = state.blocks.front() {
                div { dt { "Block" } dd title=(timestamp(contents.read_unix)) { (contents.block.number) } }
            }
            @if let Some(schedule) = &state.schedule {
                div { dt { "Epoch" } dd { (schedule.epoch_index) small { (next_epoch(state).unwrap_or_default()) } } }
            }
            @if let Some(metagraph) = &state.metagraph {
                div {
                    dt { "Subnet" }
                    dd {
                        (metagraph.netuid) small { (printable(&metagraph.name)) }
                        @if let Some(subnets) = &state.subnets {
                            small { a href=(view.href("/chain/subnets")) { "of " (subnets.len()) } }
                        }
                    }
                }
                div { dt { "Neurons" } dd { (metagraph.neurons.len()) small { "of " (metagraph.max_uids) } } }
                div { dt { "Tempo" } dd { (metagraph.tempo) small { "blocks" } } }
                div { dt { "Registration" } dd { (amount(metagraph.burn.get())) small { "TAO" } } }
            }
        }
    }
}

/// Returns the number of blocks until the next epoch, as text; `None` if unknown.
pub(super) fn next_epoch(state: &State) -> Option<String> {
    let (schedule, head) = (state.schedule?, state.blocks.front()?.block.number);
    Some(format!("next in {}", counted(schedule.next_epoch(head)?.since(head), "block")))
}

/// Renders the chain's part of the overview.
pub(super) fn overview(view: &View, state: &State) -> Markup {
    let body = html! {
        h2 { a href=(view.href("/chain")) { "Chain" } }
        (warning(state))
        @if state.problem.is_none() && state.blocks.is_empty() { p.empty { "Connecting to the chain." } }
        (figures(view, state))
        (neuron::best_miners(view, state))
    };
    live("chain", &body)
}

fn matches(neuron: &Neuron, filter: &str) -> bool {
    let axon = neuron.axon.map(|axon| axon.address.to_string()).unwrap_or_default();
    neuron.uid.to_string() == filter
        || [neuron.hotkey.to_string(), neuron.coldkey.to_string(), axon]
            .iter()
            .any(|text| text.contains(filter))
}

fn sort(neurons: &mut [&Neuron], key: &str) {
    neurons.sort_by_key(|neuron| {
        let value = match key {
            "stake" => neuron.total_stake.get(),
            "incentive" => u64::from(neuron.incentive),
            "emission" => neuron.emission.get(),
            "consensus" => u64::from(neuron.consensus),
            "dividends" => u64::from(neuron.dividends),
            "trust" => u64::from(neuron.validator_trust),
            "updated" => u64::from(neuron.last_update.get()),
            _ => u64::from(neuron.uid.0),
        };
        (value, neuron.uid)
    });
}

/// Returns the visitor's filter of a table; empty if there is none.
pub(super) fn filter(view: &View) -> String {
    view.param("q").unwrap_or_default().trim().chars().take(MAX_FILTER).collect()
}

/// Renders the form of a table's filter.
pub(super) fn filter_form(view: &View, path: &str, filter: &str, fields: &str) -> Markup {
    html! {
        form.filter method="get" action=(view.href(path)) role="search" {
            label { "Filter " input type="search" name="q" value=(filter) placeholder=(fields); }
            button { "Apply" }
        }
    }
}

/// Renders the subnet's neurons, sorted and filtered.
pub(super) fn metagraph(view: &View, state: &State) -> Response {
    let filter = filter(view);
    let table = html! {
        @if let Some(metagraph) = &state.metagraph { (neurons(view, metagraph, &filter, true)) }
        @else { p.empty { "The subnet has not been read yet." } }
    };
    let body = html! {
        (search::heading(view, "Chain"))
        (live("chain-problem", &warning(state)))
        (live("chain-figures", &figures(view, state)))
        section.card aria-labelledby="metagraph" {
            div.head {
                h2 id="metagraph" { "Neurons" }
                (filter_form(view, "/chain", &filter, "uid, hotkey, coldkey or address"))
            }
            (live("chain-neurons", &table))
        }
        div.columns-2 {
            (live("chain-blocks", &blocks::latest(view, state)))
            (live("chain-hyperparameters", &hyperparameters(state.hyperparameters.as_deref())))
        }
    };
    view.page("Chain", &body)
}

/// Renders the neurons of a subnet, sorted and filtered. `is_shown` is whether the dashboard shows
/// this subnet, and therefore has pages of its neurons.
pub(super) fn neurons(view: &View, metagraph: &Metagraph, filter: &str, is_shown: bool) -> Markup {
    let order = Sort::of(view, &COLUMNS);
    let mut matching: Vec<_> = metagraph
        .neurons
        .iter()
        .filter(|neuron| filter.is_empty() || matches(neuron, filter))
        .collect();
    sort(&mut matching, order.key());
    order.apply(&mut matching);
    let paging = Paging::of(view, "page", PER_PAGE, matching.len());
    html! {
        @if matching.is_empty() { p.empty { "No neuron matches." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Neurons" {
                table {
                    thead {
                        tr {
                            (order.header(view, "uid", "Uid", "num"))
                            th scope="col" { "Hotkey" }
                            (order.header(view, "stake", "Stake", "num"))
                            (order.header(view, "incentive", "Incentive", "num"))
                            (order.header(view, "emission", "Emission α", "num"))
                            (order.header(view, "consensus", "Consensus", "num"))
                            (order.header(view, "dividends", "Dividends", "num"))
                            (order.header(view, "trust", "Validator trust", "num"))
                            (order.header(view, "updated", "Updated", "num"))
                            th scope="col" { "Axon" }
                        }
                    }
                    tbody {
                        @for neuron in paging.slice(&matching) { (row(view, metagraph, neuron, is_shown)) }
                    }
                }
            }
            (paging.links(view, "neurons"))
            p.sub { "Block " (metagraph.block.number) }
        }
    }
}

fn row(view: &View, metagraph: &Metagraph, neuron: &Neuron, is_shown: bool) -> Markup {
    let hotkey = neuron.hotkey.to_string();
    let path =
        if is_shown { format!("/chain/{}", neuron.uid) } else { account_path(neuron.hotkey) };
    let age = metagraph.block.number.since(neuron.last_update);
    html! {
        tr {
            td.num { (neuron.uid) }
            th scope="row" {
                a.mono href=(view.href(&path)) title=(hotkey) { (shortened(&hotkey)) }
                @if neuron.validator_permit { " " span.badge { "permit" } }
            }
            td.num { (amount(neuron.total_stake.get())) }
            td.num { span.score { (percent(Some(share(neuron.incentive)))) (meter(share(neuron.incentive), "incentive")) } }
            td.num { (amount(neuron.emission.get())) }
            td.num { (percent(Some(share(neuron.consensus)))) }
            td.num { (percent(Some(share(neuron.dividends)))) }
            td.num { (percent(Some(share(neuron.validator_trust)))) }
            td.num { (age) " blocks ago" }
            td.mono { @if let Some(axon) = neuron.axon { (axon.address) } @else { "–" } }
        }
    }
}

/// Renders the hyperparameters of a subnet.
pub(super) fn hyperparameters(hyperparameters: Option<&Hyperparameters>) -> Markup {
    html! {
        section.card aria-labelledby="hyperparameters" {
            h2 id="hyperparameters" { "Hyperparameters" }
            @match hyperparameters {
                None => p.empty { "The hyperparameters have not been read yet." },
                Some(hyperparameters) => table.facts {
                    tbody { @for (name, value) in hyperparameters.iter() { tr { th scope="row" { (printable(name)) } td { (value) } } } }
                },
            }
        }
    }
}
