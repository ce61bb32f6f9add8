//! The page of the proofs, and its part of the overview.

use axum::response::Response;
use maud::{Markup, html};
use taonet_dashboard::{
    Paging, Sort, View, activity, ago, duration, live, now_unix, number, percent, printable,
    problem, shortened,
};

use crate::proofs::{MinerProofs, Proofs, Totals};

/// Maximum number of rows per page.
const MAX_ROWS_PER_PAGE: usize = 50;
/// Sortable columns of the miners, and whether the first click sorts each in descending order.
const COLUMNS: [(&str, bool); 6] = [
    ("work", true),
    ("verified", true),
    ("failed", true),
    ("share", true),
    ("time", false),
    ("size", false),
];

/// Formats a size in bytes with a suitable unit; a dash if missing.
pub(crate) fn format_size(bytes: Option<f64>) -> String {
    match bytes {
        Some(bytes) if bytes >= 1e6 => format!("{} MB", number(Some(bytes / 1e6), 2)),
        Some(bytes) if bytes >= 1e3 => format!("{} kB", number(Some(bytes / 1e3), 1)),
        Some(bytes) => format!("{} B", number(Some(bytes), 0)),
        None => "–".to_owned(),
    }
}

/// Returns the verified share of all outcomes; `None` without outcomes.
pub(crate) fn verified_share(totals: &Totals) -> Option<f64> {
    let outcomes = totals.verified.saturating_add(totals.failed);
    (outcomes > 0).then(|| totals.verified as f64 / outcomes as f64)
}

/// Renders the proofs' part of the overview.
pub(crate) fn overview(view: &View, proofs: &Proofs, verifications: Option<(f64, f64)>) -> Markup {
    let body = html! {
        (warnings(proofs))
        section aria-labelledby="proof" {
            div.head {
                h2 id="proof" { a href=(view.href("/proof")) { "Proof" } }
                (activity(proofs.written_unix.is_some(), proofs.is_silent(now_unix())))
            }
            (figures(proofs, verifications))
        }
    };
    live("proof-overview", &body)
}

/// Renders circuits, proofs and miners.
pub(crate) fn page(view: &View, proofs: &Proofs, verifications: Option<(f64, f64)>) -> Response {
    let body = html! {
        h1 { "Proof " span.sub { "proofs of inference" } }
        (live("proof-problem", &warnings(proofs)))
        (live("proof-figures", &figures(proofs, verifications)))
        section.card aria-labelledby="circuits" {
            h2 id="circuits" { "Circuits" }
            (live("proof-circuits", &circuits(view, proofs)))
        }
        section.card aria-labelledby="miners" {
            h2 id="miners" { "Miners" }
            (live("proof-miners", &miners(view, proofs)))
        }
    };
    view.page("Proof", &body)
}

fn warnings(proofs: &Proofs) -> Markup {
    html! { @for (title, reason) in proofs.problems(now_unix()) { (problem(title, reason)) } }
}

fn figures(proofs: &Proofs, verifications: Option<(f64, f64)>) -> Markup {
    let totals = proofs.totals();
    html! {
        dl.figures {
            div { dt { "Proofs verified" } dd { (totals.verified) @if totals.failed > 0 { small.warn { (totals.failed) " failed" } } } }
            div { dt { "Proofs per second" } dd { (number(proofs.rate, 2)) small { "last minutes" } } }
            div { dt { "Response" } dd { (duration(totals.seconds)) small { "mean" } } }
            div { dt { "Proof size" } dd { (format_size(totals.bytes)) small { "mean" } } }
            @if let Some((count, mean)) = verifications {
                div { dt { "Verification" } dd { (duration(Some(mean))) small { "mean of " (number(Some(count), 0)) } } }
            }
            div { dt { "Miners" } dd { (proofs.miners.len()) } }
            @if let Some(written_unix) = proofs.written_unix {
                div { dt { "Last outcome" } dd { (ago(written_unix, now_unix())) } }
            }
        }
    }
}

fn circuits(view: &View, proofs: &Proofs) -> Markup {
    let mut ids: Vec<&String> = proofs.prices.keys().chain(proofs.circuits.keys()).collect();
    ids.sort();
    ids.dedup();
    let paging = Paging::of(view, "circuits", MAX_ROWS_PER_PAGE, ids.len());
    html! {
        @if ids.is_empty() { p.empty { "No proof has been verified yet." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="circuits" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Circuit" }
                            th scope="col" { "Backend" }
                            th.num scope="col" { "Multiply-adds" }
                            th.num scope="col" { "Constraints" }
                            th.num scope="col" { "Unit price" }
                        }
                    }
                    tbody { @for id in paging.slice(&ids) { (circuit_row(proofs, id)) } }
                }
            }
            (paging.links(view, "circuits"))
            p.sub { "Unit price: what a verified proof earns, the response time of a fast miner (10th percentile)." }
        }
    }
}

fn circuit_row(proofs: &Proofs, id: &str) -> Markup {
    let summary = proofs.circuits.get(id);
    let count =
        |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    html! {
        tr {
            th scope="row" {
                span.miner {
                    @if let Some(summary) = summary { strong { (printable(&summary.name)) } }
                    small title=(printable(id)) { (shortened(&printable(id))) }
                }
            }
            td { (summary.map_or_else(|| "–".to_owned(), |summary| printable(&summary.backend))) }
            td.num { (count(summary.map(|summary| summary.multiply_adds))) }
            td.num { (count(summary.map(|summary| summary.constraints))) }
            td.num { (duration(proofs.prices.get(id).copied().flatten())) }
        }
    }
}

fn sort_ascending(miners: &mut [(&MinerProofs, Totals)], key: &str) {
    // Missing values come first in ascending order.
    let missing_first = |value: Option<f64>| value.unwrap_or(f64::NEG_INFINITY);
    miners.sort_by(|(a, a_totals), (b, b_totals)| {
        let order = match key {
            "verified" => a_totals.verified.cmp(&b_totals.verified),
            "failed" => a_totals.failed.cmp(&b_totals.failed),
            "share" => missing_first(verified_share(a_totals))
                .total_cmp(&missing_first(verified_share(b_totals))),
            "time" => missing_first(a_totals.seconds).total_cmp(&missing_first(b_totals.seconds)),
            "size" => missing_first(a_totals.bytes).total_cmp(&missing_first(b_totals.bytes)),
            _ => a.work.total_cmp(&b.work),
        };
        order.then_with(|| b.hotkey.cmp(&a.hotkey))
    });
}

fn miners(view: &View, proofs: &Proofs) -> Markup {
    let mut miners: Vec<(&MinerProofs, Totals)> = proofs
        .miners
        .iter()
        .map(|miner| (miner, Totals::of(std::iter::once(&miner.tally))))
        .collect();
    let order = Sort::of(view, &COLUMNS);
    sort_ascending(&mut miners, order.key());
    order.apply(&mut miners);
    let paging = Paging::of(view, "page", MAX_ROWS_PER_PAGE, miners.len());
    let header = |key, label| order.header(view, key, label, "num");
    html! {
        @if miners.is_empty() { p.empty { "No miner has been asked for a proof yet." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="miners" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Miner" }
                            (header("work", "Delivered work"))
                            (header("verified", "Verified"))
                            (header("failed", "Failed"))
                            (header("share", "Verified share"))
                            (header("time", "Response"))
                            (header("size", "Proof size"))
                            th scope="col" { "Main failure" }
                        }
                    }
                    tbody { @for (miner, totals) in paging.slice(&miners) { (miner_row(miner, totals)) } }
                }
            }
            (paging.links(view, "miners"))
            p.sub { "Delivered work: seconds at unit prices, with a half-life of two hours. Response and proof size: means." }
        }
    }
}

fn miner_row(miner: &MinerProofs, totals: &Totals) -> Markup {
    let hotkey = miner.hotkey.to_string();
    html! {
        tr {
            th scope="row" { span.mono title=(hotkey) { (shortened(&hotkey)) } }
            td.num { (duration(Some(miner.work))) }
            td.num { (totals.verified) }
            td.num { (totals.failed) }
            td.num { (percent(verified_share(totals))) }
            td.num { (duration(totals.seconds)) }
            td.num { (format_size(totals.bytes)) }
            td { @match miner.tally.main_fault() { Some(fault) => (fault), None => "–" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_with_units() {
        for (bytes, text) in
            [(None, "–"), (Some(0.0), "0 B"), (Some(128.4), "128 B"), (Some(1_500.0), "1.5 kB")]
        {
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!(format_size(Some(2_345_678.0)), "2.35 MB");
    }
}
