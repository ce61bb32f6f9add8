use std::cmp::Reverse;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use taonet_chain::Metagraph;
use taonet_ledger::{
    IntentState, Record, RecordedExtrinsic, State as Progress, Step, SubmissionForm,
};

use super::compare::{Comparison, block, compare, faults};
use super::source::State;
use crate::chain::ChainSection;
use crate::format::{ago, now_unix, percent, shortened, timestamp};
use crate::layout::{live, problem};
use crate::panel::{Column, Content, Panel, PlainTable};
use crate::table::Paging;
use crate::view::View;

/// Maximum number of submissions per page.
const PER_PAGE: usize = 15;

fn metagraph(chain: Option<&ChainSection>) -> Option<Arc<Metagraph>> {
    chain.and_then(ChainSection::metagraph)
}

fn form_name(record: &Record) -> &'static str {
    match record.intent.plan.form {
        SubmissionForm::Plain => "plain",
        SubmissionForm::Hash { .. } => "hash commit",
        SubmissionForm::Timelocked { .. } => "timelocked",
        _ => "unknown",
    }
}

const fn state_badge(record: &Record) -> (&'static str, &'static str) {
    match record.intent.state {
        IntentState::Open => ("badge active", "open"),
        IntentState::Done => ("badge ok", "done"),
        IntentState::Missed => ("badge bad", "missed"),
    }
}

/// Returns the time of an extrinsic's last transition to one of these states, in seconds since the
/// Unix epoch.
fn transition_time(extrinsic: &RecordedExtrinsic, states: &[Progress]) -> Option<i64> {
    extrinsic.states.iter().rev().find(|(state, _)| states.contains(state)).map(|(_, at)| *at)
}

fn time(unix: Option<i64>) -> Markup {
    html! {
        @if let Some(unix) = unix { time datetime=(timestamp(unix)) title=(timestamp(unix)) { (ago(unix, now_unix())) } }
        @else { "–" }
    }
}

fn warnings(state: &State, metagraph: Option<&Metagraph>) -> Markup {
    html! {
        @if let Some(reason) = &state.problem { (problem("The weight ledger cannot be read", reason)) }
        @for fault in faults(&state.records, metagraph) { (problem("Weights are not in effect", &fault)) }
    }
}

/// Renders this section's part of the overview: the newest submission, and faults.
pub(super) fn overview(view: &View, state: &State, chain: Option<&ChainSection>) -> Markup {
    let metagraph = metagraph(chain);
    let body = html! {
        h2 { a href=(view.href("/weights")) { "Weights" } }
        (warnings(state, metagraph.as_deref()))
        @match state.records.first() {
            Some(record) => p { (summary(record)) },
            None => p.empty { "No weights have been submitted." },
        }
    };
    live("weights", &body)
}

fn summary(record: &Record) -> Markup {
    let (class, text) = state_badge(record);
    html! {
        "Epoch " strong { (record.intent.plan.key.epoch) } " " span class=(class) { (text) }
        " " small { (form_name(record)) " · intended " (time(record.intended_unix)) }
    }
}

/// Renders the page: the weights on the chain beside the submitted ones, and the steps of each
/// submission.
pub(super) fn page(view: &View, state: &State, chain: Option<&ChainSection>) -> Response {
    let metagraph = metagraph(chain);
    let comparison = metagraph.as_deref().and_then(|metagraph| compare(&state.records, metagraph));
    let paging = Paging::of(view, "page", PER_PAGE, state.records.len());
    let body = html! {
        h1 { "Weights" }
        (live("weights-warnings", &warnings(state, metagraph.as_deref())))
        (live("weights-chain", &chain_comparison(view, chain.is_some(), comparison.as_ref(), state.records.first())))
        (live("weights-steps", &html! {
            section.card aria-labelledby="submissions" {
                h2 id="submissions" { "Submissions" }
                @if state.records.is_empty() { p.empty { "No weights have been submitted." } } @else {
                    (submissions(paging.slice(&state.records)))
                    (paging.links(view, "submissions"))
                }
            }
        }))
    };
    view.page("Weights", &body).into_response()
}

fn chain_comparison(
    view: &View,
    has_chain: bool,
    comparison: Option<&Comparison>,
    newest: Option<&Record>,
) -> Markup {
    html! {
        section.card aria-labelledby="held" {
            h2 id="held" { "Submitted weights and weights on the chain" }
            @if let Some(comparison) = comparison {
                p {
                    "Submission of epoch " (comparison.epoch) ": "
                    @if comparison.is_equal() { span.badge.ok { "the chain holds these weights" } }
                    @else { span.badge.bad { "the chain holds different weights" } }
                }
                (rows(view, comparison))
            } @else if has_chain {
                p.empty { "No submission is in effect yet." }
            } @else {
                @if let Some(record) = newest { (submitted_summary(record)) }
                p.empty { "Start the dashboard with --chain to compare with the chain." }
            }
        }
    }
}

/// Renders the weights of a submission.
fn submitted_summary(record: &Record) -> Markup {
    let plan = &record.intent.plan;
    let total =
        plan.weights.iter().map(|(_, weight)| u64::from(*weight)).sum::<u64>().max(1) as f64;
    let mut sorted = plan.weights.clone();
    sorted.sort_by_key(|(uid, weight)| (Reverse(*weight), *uid));
    html! {
        p { "Submission of epoch " (plan.key.epoch) }
        div.scroll tabindex="0" role="group" aria-labelledby="held" {
            table {
                thead { tr { th scope="col" { "Neuron" } th.num scope="col" { "Submitted" } } }
                tbody {
                    @for (uid, weight) in &sorted {
                        tr { th scope="row" { "Neuron " (uid) } td.num { (percent(Some(f64::from(*weight) / total))) } }
                    }
                }
            }
        }
    }
}

/// Returns the sum of weights, at least 1.
fn total(weights: impl Iterator<Item = u16>) -> f64 {
    weights.map(u64::from).sum::<u64>().max(1) as f64
}

fn share(weight: Option<u16>, total: f64) -> String {
    percent(weight.map(|weight| f64::from(weight) / total))
}

fn rows(view: &View, comparison: &Comparison) -> Markup {
    let submitted = total(comparison.rows.iter().filter_map(|pair| pair.submitted));
    let on_chain = total(comparison.rows.iter().filter_map(|pair| pair.on_chain));
    let mut sorted = comparison.rows.clone();
    sorted.sort_by_key(|pair| (Reverse(pair.submitted.max(pair.on_chain)), pair.uid));
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="held" {
            table {
                thead { tr { th scope="col" { "Neuron" } th.num scope="col" { "Submitted" } th.num scope="col" { "On the chain" } } }
                tbody {
                    @for pair in &sorted {
                        @let differs = !pair.is_equal();
                        tr class=[differs.then_some("problem-row")] {
                            th scope="row" { a href=(view.href(&format!("/chain/{}", pair.uid))) { "Neuron " (pair.uid) } }
                            td.num { (share(pair.submitted, submitted)) }
                            td.num { (share(pair.on_chain, on_chain)) @if differs { " " span.badge.bad { "differs" } } }
                        }
                    }
                }
            }
        }
    }
}

fn submissions(records: &[Record]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby="submissions" {
            table {
                thead {
                    tr {
                        th.num scope="col" { "Epoch" }
                        th scope="col" { "Subnet" }
                        th scope="col" { "Form" }
                        th scope="col" { "State" }
                        th scope="col" { "Step" }
                        th scope="col" { "Intended" }
                        th scope="col" { "Signed" }
                        th scope="col" { "Sent" }
                        th scope="col" { "In a block" }
                        th scope="col" { "Final" }
                        th scope="col" { "Extrinsic" }
                    }
                }
                tbody { @for record in records { (submission(record)) } }
            }
        }
    }
}

fn submission(record: &Record) -> Markup {
    let key = record.intent.plan.key;
    let (class, text) = state_badge(record);
    let leading_cells = html! {
        td.num { (key.epoch) }
        td { (key.netuid) @if key.mech.0 > 0 { " mechanism " (key.mech.0) } }
        td { (form_name(record)) }
        td { span class=(class) { (text) } }
    };
    html! {
        @if record.extrinsics.is_empty() {
            tr {
                (leading_cells)
                td { "–" }
                td { (time(record.intended_unix)) }
                td { "–" } td { "–" } td { "–" } td { "–" } td { "–" }
            }
        }
        @for extrinsic in &record.extrinsics {
            tr {
                (leading_cells)
                td { @match extrinsic.step { Step::Submit => "submit", Step::Reveal => "reveal" } }
                td { (time(record.intended_unix)) }
                td { (time(transition_time(extrinsic, &[Progress::Signed]))) }
                td { (time(transition_time(extrinsic, &[Progress::Sent]))) }
                td {
                    @if let Some(number) = block(record, extrinsic.step) { (number) " " }
                    (time(transition_time(extrinsic, &[Progress::Included])))
                }
                td {
                    (time(transition_time(extrinsic, &[Progress::Finalized])))
                    @if extrinsic.signed.state != Progress::Finalized { " " span.badge { (extrinsic.signed.state) } }
                }
                td.mono title=(extrinsic.signed.extrinsic.hash) { (shortened(&extrinsic.signed.extrinsic.hash.to_string())) }
            }
        }
    }
}

/// Returns this section's part of the overview in a terminal.
pub(super) fn panel(state: &State, chain: Option<&ChainSection>) -> Panel {
    let faults = faults(&state.records, metagraph(chain).as_deref());
    let problem = state.problem.iter().chain(&faults).next().cloned();
    let columns = vec![
        Column::number("Epoch"),
        Column::text("State"),
        Column::text("Extrinsic"),
        Column::text("Form"),
        Column::text("Intended"),
        Column::number("Block"),
    ];
    let rows = state.records.iter().take(PER_PAGE).map(panel_row).collect();
    let table = PlainTable { columns, rows, empty: "No weights have been submitted." };
    Panel { title: "Weights".to_owned(), problem, content: Content::Table(table) }
}

fn panel_row(record: &Record) -> Vec<String> {
    let last = record.extrinsics.last();
    vec![
        record.intent.plan.key.epoch.to_string(),
        state_badge(record).1.to_owned(),
        last.map_or_else(|| "–".to_owned(), |extrinsic| extrinsic.signed.state.to_string()),
        form_name(record).to_owned(),
        record.intended_unix.map_or_else(|| "–".to_owned(), |at| ago(at, now_unix())),
        block(record, Step::Submit).map_or_else(|| "–".to_owned(), |number| number.to_string()),
    ]
}
