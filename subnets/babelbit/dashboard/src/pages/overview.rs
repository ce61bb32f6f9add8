//! The overview page: leaderboard, rounds, and challenges in progress.

use maud::{Markup, html};
use taonet_babelbit_runner::{RoundEnd, RoundRow};
use taonet_dashboard::draw::meter;
use taonet_dashboard::{Paging, View, live, problem};

use super::parts::{
    challenge_link, contest, history, score, state, stats_cells, stats_header, tabs, time, warning,
};
use super::validators;
use crate::index::Index;
use crate::section::BabelbitSection;

/// Maximum number of challenges in a sparkline.
const MAX_HISTORY: usize = 30;
/// Maximum number of miners listed on one page.
const PER_PAGE: usize = 25;
/// Maximum number of challenges in each list.
const MAX_LISTED_CHALLENGES: usize = 6;

pub(crate) fn render(section: &BabelbitSection, view: &View) -> Markup {
    let index = section.run_directory.index();
    html! {
        div.head {
            h1 id="babelbit" { "Babelbit " span.sub { "simultaneous interpreters, ranked" } }
            (live("babelbit-activity", &section.activity()))
        }
        (live("babelbit-problem", &html! { (warning(&index)) (validators::warning(section)) (stop_warning(section)) }))
        (live("babelbit-figures", &figures(&index)))
        (live("babelbit-progress", &progress(view, &index)))
        (live("babelbit-board", &leaderboard_card(section, view, &index)))
        div.columns-2 {
            (live("babelbit-recent", &latest_challenges(view, &index)))
            (live("babelbit-rounds", &rounds(&index)))
        }
    }
}

fn stop_warning(section: &BabelbitSection) -> Markup {
    html! { @if let Some((title, reason)) = section.unexpected_stop() { (problem(title, reason)) } }
}

fn figures(index: &Index) -> Markup {
    let totals = index.totals();
    let outbox = &index.outbox;
    html! {
        dl.figures {
            div { dt { "Challenges" } dd { (index.challenges.len()) @if totals.in_progress > 0 { small { (totals.in_progress) " in progress" } } } }
            div { dt { "Miners" } dd { (totals.miners) } }
            div { dt { "Replies" } dd { (totals.replies) } }
            div {
                dt { "Result files" }
                dd {
                    (outbox.delivered) small { "delivered" }
                    @if outbox.waiting > 0 { small.warn { (outbox.waiting) " waiting" } }
                    @if outbox.refused > 0 { small.bad { (outbox.refused) " refused" } }
                }
            }
        }
    }
}

fn progress(view: &View, index: &Index) -> Markup {
    let open: Vec<_> = index
        .challenges
        .iter()
        .filter(|challenge| challenge.is_open())
        .take(MAX_LISTED_CHALLENGES)
        .collect();
    html! {
        @if !open.is_empty() {
            section.card aria-labelledby="in-progress" {
                h2 id="in-progress" { "In progress" }
                ul.rounds {
                    @for challenge in open {
                        @let (scored_count, expected) = challenge.progress();
                        @let share = scored_count as f64 / expected.max(1) as f64;
                        li {
                            span { (challenge_link(view, challenge)) " " span.badge { (challenge.header.challenge_type) } " " (state(challenge)) }
                            (meter(share, &format!("{scored_count} of {expected} replies scored")))
                            small { (scored_count) " of " (expected) " replies scored" }
                        }
                    }
                }
            }
        }
    }
}

fn leaderboard_card(section: &BabelbitSection, view: &View, index: &Index) -> Markup {
    let contest = contest(view, index);
    let standings = index.leaderboard(contest, MAX_HISTORY);
    let paging = Paging::of(view, "page", PER_PAGE, standings.len());
    html! {
        section.card aria-labelledby="leaderboard" {
            div.head { h2 id="leaderboard" { "Leaderboard" } (tabs(view, index, contest)) }
            @if standings.is_empty() {
                p.empty { "No replies yet. The leaderboard appears with the first reply." }
            } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="leaderboard" {
                    table {
                        thead {
                            tr {
                                th.num scope="col" { "#" }
                                th scope="col" { "Miner" }
                                th.num scope="col" { "Score" }
                                th scope="col" { "Scores over time" }
                                (stats_header())
                            }
                        }
                        tbody {
                            @for (rank, stats) in paging.range().zip(paging.slice(&standings)) {
                                tr {
                                    td.num.rank { (rank + 1) }
                                    th scope="row" { (section.miner_link(view, &stats.miner)) }
                                    td.num { (score(stats.score)) }
                                    td { (history(section, stats)) }
                                    (stats_cells(stats))
                                }
                            }
                        }
                    }
                }
                (paging.links(view, "miners"))
            }
        }
    }
}

fn latest_challenges(view: &View, index: &Index) -> Markup {
    html! {
        section.card aria-labelledby="recent" {
            h2 id="recent" { "Latest challenges" }
            @if index.challenges.is_empty() { p.empty { "No challenge has been played." } }
            ul.list {
                @for challenge in index.challenges.iter().take(MAX_LISTED_CHALLENGES) {
                    li {
                        span { (challenge_link(view, challenge)) " " span.badge { (challenge.header.challenge_type) } }
                        small { (state(challenge)) " · " (time(challenge.header.started_unix)) }
                    }
                }
            }
            p { a href=(view.href("/challenges")) { "All challenges" } }
        }
    }
}

fn rounds(index: &Index) -> Markup {
    let outcome = |round: &RoundRow| match round.end {
        RoundEnd::Played => ("badge ok", "played"),
        RoundEnd::Failed => ("badge bad", "failed"),
        RoundEnd::Waited => ("badge", "waits for the next epoch"),
    };
    html! {
        section.card aria-labelledby="rounds" {
            h2 id="rounds" { "Last rounds" }
            @if index.rounds.is_empty() { p.empty { "No round has ended. Rounds follow the epochs of the chain (bb runner)." } }
            ul.list {
                @for round in &index.rounds {
                    @let (class, text) = outcome(round);
                    li {
                        span {
                            span.badge { (round.challenge_type) } " "
                            @if let Some(epoch) = round.epoch { "epoch " (epoch) } @else { "epoch unknown" }
                            @if let Some(title) = index.title_of(round) { " · " (title) }
                        }
                        small { span class=(class) { (text) } " · " (time(round.ended_unix)) }
                    }
                }
            }
        }
    }
}
