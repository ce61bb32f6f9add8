//! The page of the steps, and its part of the overview.

use axum::response::Response;
use maud::{Markup, html};
use taonet_dashboard::{
    Paging, View, activity, ago, duration, live, now_unix, number, percent, printable, problem,
    shortened,
};
use taonet_primitives::truncated;
use taonet_prompting_neurons::StepRecord;

use crate::steps::{MinerState, Steps, best_answer, is_answered};

/// Maximum number of rows per page.
const MAX_ROWS_PER_PAGE: usize = 25;
/// Maximum length of questions and completions in characters.
const MAX_EXCERPT_CHARS: usize = 120;

/// Escapes and shortens an untrusted text.
fn excerpt(text: &str) -> String {
    printable(&truncated(text, MAX_EXCERPT_CHARS))
}

/// Renders the steps' part of the overview.
pub(crate) fn overview(view: &View, steps: &Steps) -> Markup {
    let body = html! {
        (warning(steps))
        section aria-labelledby="prompting" {
            div.head {
                h2 id="prompting" { a href=(view.href("/prompting")) { "Prompting" } }
                (activity(steps.written_unix.is_some(), steps.is_silent(now_unix())))
            }
            (figures(steps))
        }
    };
    live("prompting-overview", &body)
}

/// Renders the miners and the latest steps.
pub(crate) fn page(view: &View, steps: &Steps) -> Response {
    let body = html! {
        h1 { "Prompting " span.sub { "completions of conversations, rewarded" } }
        (live("prompting-problem", &warning(steps)))
        (live("prompting-figures", &figures(steps)))
        section.card aria-labelledby="miners" {
            h2 id="miners" { "Miners in the latest steps" }
            (live("prompting-miners", &miners(view, &steps.miners())))
        }
        section.card aria-labelledby="steps" {
            h2 id="steps" { "Latest steps" }
            (live("prompting-steps", &latest(view, &steps.latest)))
        }
    };
    view.page("Prompting", &body)
}

fn warning(steps: &Steps) -> Markup {
    html! { @for (title, reason) in steps.problems(now_unix()) { (problem(title, reason)) } }
}

fn figures(steps: &Steps) -> Markup {
    let (requests, answered) = steps.request_counts();
    let share = (requests > 0).then(|| answered as f64 / requests as f64);
    let miners = steps.miners();
    let failing = miners.iter().filter(|miner| miner.is_failing).count();
    html! {
        dl.figures {
            div { dt { "Latest steps" } dd { (steps.latest.len()) } }
            @if let Some(written_unix) = steps.written_unix {
                div { dt { "Last step" } dd { (ago(written_unix, now_unix())) } }
            }
            div { dt { "Miners" } dd { (miners.len()) @if failing > 0 { small.warn { (failing) " failing" } } } }
            div { dt { "Requests" } dd { (requests) } }
            div { dt { "Answered" } dd { (percent(share)) } }
        }
    }
}

fn miners(view: &View, miners: &[MinerState]) -> Markup {
    let paging = Paging::of(view, "page", MAX_ROWS_PER_PAGE, miners.len());
    html! {
        @if miners.is_empty() { p.empty { "No miner has been asked yet." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="miners" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Miner" }
                            th.num scope="col" { "Share of rewards" }
                            th.num scope="col" { "Reward" }
                            th.num scope="col" { "Asked" }
                            th.num scope="col" { "Answered" }
                            th.num scope="col" { "Response" }
                            th scope="col" { "Last error" }
                        }
                    }
                    tbody { @for miner in paging.slice(miners) { (miner_row(miner)) } }
                }
            }
            (paging.links(view, "miners"))
            p.sub { "Share of rewards, reward and response: means. The share moves the miner's score. Failing: \
                     the newest request failed." }
        }
    }
}

fn miner_row(miner: &MinerState) -> Markup {
    let hotkey = miner.hotkey.to_string();
    html! {
        tr {
            th scope="row" {
                span.miner {
                    strong { "Miner " (miner.uid) }
                    small title=(hotkey) { (shortened(&hotkey)) }
                    @if miner.is_failing { " " span.badge.bad { "failing" } }
                }
            }
            td.num { (percent(Some(miner.share))) }
            td.num { (number(Some(miner.reward), 3)) }
            td.num { (miner.queried) }
            td.num { (percent(miner.answered_share())) }
            td.num { (duration(miner.seconds)) }
            td { (miner.error.as_deref().map_or_else(|| "–".to_owned(), excerpt)) }
        }
    }
}

fn latest(view: &View, steps: &[StepRecord]) -> Markup {
    let paging = Paging::of(view, "steps", MAX_ROWS_PER_PAGE, steps.len());
    html! {
        @if steps.is_empty() { p.empty { "No step has completed yet." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="steps" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Question" }
                            th.num scope="col" { "Answered" }
                            th scope="col" { "Best completion" }
                            th.num scope="col" { "Reward" }
                            th.num scope="col" { "By" }
                        }
                    }
                    tbody { @for step in paging.slice(steps) { (step_row(step)) } }
                }
            }
            (paging.links(view, "steps"))
        }
    }
}

fn step_row(step: &StepRecord) -> Markup {
    let answered = step.answers.iter().filter(|answer| is_answered(answer)).count();
    let best = best_answer(step);
    html! {
        tr {
            th.prose scope="row" { (excerpt(&step.question)) }
            td.num { (answered) " of " (step.answers.len()) }
            td.prose { (best.map_or_else(|| "–".to_owned(), |answer| excerpt(&answer.completion))) }
            td.num { (number(best.map(|answer| answer.reward), 3)) }
            td.num { (best.map_or_else(|| "–".to_owned(), |answer| format!("uid {}", answer.uid))) }
        }
    }
}
