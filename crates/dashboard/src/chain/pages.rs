use axum::response::Response;
use maud::{Markup, html};
use taonet_chain::{Metagraph, Neuron, WeightRow};

use super::source::State;
use crate::draw::meter;
use crate::format::{percent, shortened, shown, timestamp};
use crate::layout::{live, problem};
use crate::table::{Paging, Sort};
use crate::view::{Page, View};

/// Number of neurons on a page.
const PER_PAGE: usize = 64;
/// Maximum length of a filter in characters.
const MAX_FILTER: usize = 100;
/// Columns, each with whether it first sorts in descending order.
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

fn share(parts: u16) -> f64 {
    f64::from(parts) / f64::from(u16::MAX)
}

/// An amount in 10⁻⁹ units, with three decimals.
fn amount(smallest: u64) -> String {
    format!("{:.3}", smallest as f64 / 1e9)
}

fn warning(state: &State) -> Markup {
    html! { @if let Some(why) = &state.problem { (problem("The chain cannot be read", why)) } }
}

fn figures(state: &State) -> Markup {
    html! {
        dl.figures {
            @if let Some((block, seen)) = state.blocks.front() {
                div { dt { "Block" } dd title=(timestamp(*seen)) { (block.number) } }
            }
            @if let Some(metagraph) = &state.metagraph {
                div { dt { "Subnet" } dd { (metagraph.netuid) small { (shown(&metagraph.name)) } } }
                div { dt { "Neurons" } dd { (metagraph.neurons.len()) small { "of " (metagraph.max_uids) } } }
                div { dt { "Tempo" } dd { (metagraph.tempo) small { "blocks" } } }
                div { dt { "Registration" } dd { (amount(metagraph.burn.get())) small { "TAO" } } }
            }
        }
    }
}

/// The chain's part of the overview.
pub(super) fn overview(view: &View, state: &State) -> Markup {
    let body = html! {
        h2 { a href=(view.href("/chain")) { "Chain" } }
        (warning(state))
        @if state.problem.is_none() && state.blocks.is_empty() { p.empty { "Connecting to the chain." } }
        (figures(state))
    };
    live("chain", &body)
}

fn matches(neuron: &Neuron, filter: &str) -> bool {
    let axon = neuron.axon.map(|axon| axon.address.to_string()).unwrap_or_default();
    neuron.uid.to_string() == filter
        || [neuron.hotkey.to_string(), neuron.coldkey.to_string(), axon].iter().any(|text| text.contains(filter))
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

/// The subnet's neurons, sorted and filtered.
pub(super) fn metagraph(view: &View, state: &State) -> Response {
    let filter: String = view.param("q").unwrap_or_default().trim().chars().take(MAX_FILTER).collect();
    let table = html! {
        @if let Some(metagraph) = &state.metagraph { (neurons(view, metagraph, &filter)) }
        @else { p.empty { "The subnet has not been read yet." } }
    };
    let body = html! {
        h1 { "Chain" }
        (live("chain-problem", &warning(state)))
        (live("chain-figures", &figures(state)))
        section.card aria-labelledby="metagraph" {
            div.head {
                h2 id="metagraph" { "Neurons" }
                form.filter method="get" action=(view.href("/chain")) role="search" {
                    label { "Filter " input type="search" name="q" value=(filter) placeholder="uid, hotkey, coldkey or address"; }
                    button { "Apply" }
                }
            }
            (live("chain-neurons", &table))
        }
        (live("chain-blocks", &blocks(state)))
    };
    view.page("Chain", &body)
}

fn neurons(view: &View, metagraph: &Metagraph, filter: &str) -> Markup {
    let order = Sort::of(view, &COLUMNS);
    let mut found: Vec<_> =
        metagraph.neurons.iter().filter(|neuron| filter.is_empty() || matches(neuron, filter)).collect();
    sort(&mut found, order.key());
    order.apply(&mut found);
    let paging = Paging::of(view, "page", PER_PAGE, found.len());
    let header = |key, label| order.header(view, key, label, "num");
    html! {
        @if found.is_empty() { p.empty { "No neuron matches." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Neurons" {
                table {
                    thead {
                        tr {
                            (header("uid", "Uid"))
                            th scope="col" { "Hotkey" }
                            (header("stake", "Stake"))
                            (header("incentive", "Incentive"))
                            (header("emission", "Emission α"))
                            (header("consensus", "Consensus"))
                            (header("dividends", "Dividends"))
                            (header("trust", "Validator trust"))
                            (header("updated", "Updated"))
                            th scope="col" { "Axon" }
                        }
                    }
                    tbody {
                        @for neuron in paging.slice(&found) { (row(view, metagraph, neuron)) }
                    }
                }
            }
            (paging.links(view, "neurons"))
            p.sub { "Block " (metagraph.block.number) }
        }
    }
}

fn row(view: &View, metagraph: &Metagraph, neuron: &Neuron) -> Markup {
    let hotkey = neuron.hotkey.to_string();
    let age = metagraph.block.number.since(neuron.last_update);
    html! {
        tr {
            td.num { (neuron.uid) }
            th scope="row" {
                a.mono href=(view.href(&format!("/chain/{}", neuron.uid))) title=(hotkey) { (shortened(&hotkey)) }
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

fn blocks(state: &State) -> Markup {
    html! {
        section.card aria-labelledby="blocks" {
            h2 id="blocks" { "Latest blocks" }
            @if state.blocks.is_empty() { p.empty { "No block has been seen yet." } }
            ul.list {
                @for (block, seen) in state.blocks.iter().take(10) {
                    li {
                        span { strong { (block.number) } " " span.mono { (shortened(&block.hash.to_string())) } }
                        small { "seen " (timestamp(*seen)) }
                    }
                }
            }
        }
    }
}

/// One neuron, with the weights it set and those it received.
pub(super) fn neuron(view: &View, state: &State, uid: u16) -> Page {
    let Some(metagraph) = &state.metagraph else {
        return Err(view.unavailable("Chain", state.problem.as_deref().unwrap_or("The subnet has not been read yet.")));
    };
    let Some(neuron) = metagraph.neurons.iter().find(|neuron| neuron.uid.0 == uid) else {
        return Err(view.missing("This neuron"));
    };
    let row_of = |matrix: Option<&Vec<WeightRow>>| matrix.and_then(|rows| rows.get(usize::from(uid))).cloned();
    let received: WeightRow = metagraph
        .weights
        .iter()
        .flatten()
        .zip(&metagraph.neurons)
        .filter_map(|(row, from)| row.iter().find(|(to, _)| to.0 == uid).map(|(_, weight)| (from.uid, *weight)))
        .collect();
    let facts: [(&str, String); 10] = [
        ("Hotkey", neuron.hotkey.to_string()),
        ("Coldkey", neuron.coldkey.to_string()),
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
        section.card { table.facts { tbody { @for (name, value) in &facts { tr { th scope="row" { (name) } td { (value) } } } } } }
        div.columns-2 {
            (weights(view, "Weights that it set", &row_of(metagraph.weights.as_ref()).unwrap_or_default()))
            (weights(view, "Weights that it received", &received))
            (weights(view, "Bonds", &row_of(metagraph.bonds.as_ref()).unwrap_or_default()))
        }
    };
    let title = format!("Neuron {uid}");
    let body = html! {
        (view.trail(&[("/", "Overview"), ("/chain", "Chain")], &title))
        h1 { (title) }
        (live("neuron", &part))
    };
    Ok(view.page(&title, &body))
}

fn weights(view: &View, title: &str, row: &WeightRow) -> Markup {
    let total: u64 = row.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut sorted = row.clone();
    sorted.sort_by_key(|(uid, weight)| (std::cmp::Reverse(*weight), *uid));
    html! {
        section.card aria-label=(title) {
            h2 { (title) }
            @if sorted.is_empty() { p.empty { "None." } }
            ul.list {
                @for (uid, weight) in sorted.iter().take(PER_PAGE) {
                    li {
                        a href=(view.href(&format!("/chain/{uid}"))) { "Neuron " (uid) }
                        small { (weight) " of 65535 · " (percent(Some(f64::from(*weight) / total.max(1) as f64))) }
                    }
                }
            }
        }
    }
}
