//! The page of a miner: history, latencies, failures, best and worst replies.

use std::collections::BTreeMap;

use maud::{Markup, html};
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_babelbit_runner::ResultSummary;
use taonet_dashboard::draw::{Column, columns, histogram};
use taonet_dashboard::{Page, View, duration, live, number, printable};
use taonet_primitives::Hotkey;

use super::parts::{challenge_link, contest, reply_path, score, state, tabs, time};
use crate::index::{Challenge, Index};
use crate::section::BabelbitSection;

/// Maximum number of challenges in the history.
const MAX_HISTORY: usize = 60;
/// Maximum number of replies in each of the lists of best and worst replies.
const MAX_EXTREMES: usize = 3;

/// A challenge with the results of one miner.
type ChallengeResults<'a> = (&'a Challenge, Vec<&'a ResultSummary>);

pub(crate) fn page(section: &BabelbitSection, view: &View, hotkey: &str) -> Page {
    let Ok(hotkey) = hotkey.parse::<Hotkey>() else { return Err(view.missing("This hotkey")) };
    let index = section.run_directory.index();
    let mut keys = index
        .challenges
        .iter()
        .filter_map(|challenge| challenge.stats(&hotkey))
        .map(|stats| stats.miner);
    let Some(miner) = keys.next() else { return Err(view.missing("A miner with this hotkey")) };
    let contest = selected_contest(view, &index, &hotkey);
    let challenges: Vec<ChallengeResults<'_>> = index
        .challenges_of(contest)
        .filter(|challenge| challenge.stats(&hotkey).is_some())
        .map(|challenge| {
            let results =
                challenge.results.iter().filter(|result| result.miner.hotkey == hotkey).collect();
            (challenge.as_ref(), results)
        })
        .collect();
    let name = section.name(&miner);
    let content = html! {
        (summary(&index, contest, &miner))
        (history(view, &challenges, &hotkey))
        div.columns-2 { (latencies(&challenges)) (failures(&challenges)) }
        (best_and_worst_replies(view, &challenges))
    };
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/miners", "Miners")], &name))
        h1 { (name) }
        p.sub.address { "uid " (miner.uid) " · " (hotkey) }
        (tabs(view, &index, contest))
        @if challenges.is_empty() {
            p.empty { "This miner has no replies in this contest." }
        } @else { (live("miner", &content)) }
    };
    Ok(view.page(&name, &body))
}

/// Returns the contest of the query, else the first contest in which the miner played.
fn selected_contest(view: &View, index: &Index, hotkey: &Hotkey) -> ChallengeType {
    if view.param("contest").is_some() {
        return contest(view, index);
    }
    let played_challenges =
        index.challenges.iter().filter(|challenge| challenge.stats(hotkey).is_some());
    played_challenges.map(|challenge| challenge.header.challenge_type).min().unwrap_or_default()
}

fn summary(index: &Index, contest: ChallengeType, miner: &MinerKey) -> Markup {
    let board = index.leaderboard(contest, 0);
    let rank_and_stats =
        board.iter().enumerate().find(|(_, stats)| stats.miner.hotkey == miner.hotkey);
    html! {
        @if let Some((rank, stats)) = rank_and_stats {
            dl.figures {
                div { dt { "Rank" } dd { (rank + 1) small { "of " (board.len()) } } }
                div { dt { "Score" } dd { (score(stats.score)) } }
                div { dt { "Accuracy" } dd { (number(stats.accuracy, 2)) } }
                div { dt { "Rate" } dd { (number(stats.rate_ratio, 2)) small { "of the reference" } } }
                div { dt { "Latency" } dd { (duration(stats.overshoot_sec)) small { "virtual clock" } } }
                div { dt { "Wall clock" } dd { (duration(stats.wall_after_source_sec)) small { "after the source" } } }
            }
        }
    }
}

fn history(view: &View, challenges: &[ChallengeResults<'_>], hotkey: &Hotkey) -> Markup {
    let latest_challenges = challenges.iter().take(MAX_HISTORY).rev();
    let bars: Vec<_> = latest_challenges
        .filter_map(|(challenge, _)| {
            let stats = challenge.stats(hotkey)?;
            Some(Column {
                value: stats.score,
                label: format!("{}: {}", challenge.title(), number(Some(stats.score), 3)),
                href: view.href(&format!("/challenges/{}", challenge.header.id)),
            })
        })
        .collect();
    html! {
        section.card aria-labelledby="history" {
            h2 id="history" { "Scores by challenge" }
            (columns(&bars, "Scores by challenge, oldest first"))
            details {
                summary { "As a table" }
                div.scroll tabindex="0" role="group" aria-labelledby="history" {
                    table {
                        thead { tr { th scope="col" { "Challenge" } th scope="col" { "State" } th scope="col" { "Started" } th.num scope="col" { "Score" } th scope="col" { "Lost points" } } }
                        tbody {
                            @for (challenge, _) in challenges.iter().take(MAX_HISTORY) {
                                @if let Some(stats) = challenge.stats(hotkey) {
                                    tr {
                                        th scope="row" { (challenge_link(view, challenge)) }
                                        td { (state(challenge)) }
                                        td { (time(challenge.header.started_unix)) }
                                        td.num { (number(Some(stats.score), 3)) }
                                        td.losses { (describe_failed_gates(&stats.failed_gates, stats.utterances)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn latencies(challenges: &[ChallengeResults<'_>]) -> Markup {
    let results = || challenges.iter().flat_map(|(_, results)| results);
    let virtual_clock: Vec<_> =
        results().filter_map(|result| result.score.as_ref()?.overshoot_sec).collect();
    let wall: Vec<_> = results()
        .filter(|result| result.error.is_none())
        .filter_map(|result| result.wall_after_source_sec)
        .collect();
    html! {
        section.card aria-labelledby="latency" {
            h2 id="latency" { "Latency" }
            @for (title, values) in [("End after the source, virtual clock (scored)", &virtual_clock), ("End after the last frame, wall clock", &wall)] {
                @let [median, p95] = [50, 95].map(|rank| percentile(values, rank));
                figure {
                    figcaption { (title) " " small { "median " (duration(median)) " · 95 % " (duration(p95)) } }
                    (histogram(values, &format!("{title}: {} replies, median {}", values.len(), duration(median))))
                }
            }
        }
    }
}

fn percentile(values: &[f64], rank: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * rank / 100).min(sorted.len().saturating_sub(1))).copied()
}

fn failures(challenges: &[ChallengeResults<'_>]) -> Markup {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for result in challenges.iter().flat_map(|(_, results)| results) {
        let texts = match (&result.error, &result.score) {
            (Some(error), _) => vec![printable(error)],
            (None, Some(score)) => {
                score.failed_gates.iter().map(|gate| gate.reason().to_owned()).collect()
            }
            (None, None) => Vec::new(),
        };
        for text in texts {
            *reasons.entry(text).or_default() += 1;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by(|(a, first), (b, second)| second.cmp(first).then(a.cmp(b)));
    html! {
        section.card aria-labelledby="failures" {
            h2 id="failures" { "Failures by reason" }
            @if reasons.is_empty() { p.empty { "Every reply passed." } }
            ul.list {
                @for (text, count) in reasons.iter().take(12) { li { span { (text) } small { (count) } } }
            }
            @if reasons.len() > 12 { p.sub { "and " (reasons.len() - 12) " more" } }
        }
    }
}

fn best_and_worst_replies(view: &View, challenges: &[ChallengeResults<'_>]) -> Markup {
    let scored_replies = challenges.iter().flat_map(|(challenge, results)| {
        results
            .iter()
            .filter_map(move |result| Some((*challenge, *result, result.score.as_ref()?.score)))
    });
    let mut scored_replies: Vec<_> = scored_replies.collect();
    scored_replies.sort_by(|(.., a), (.., b)| b.total_cmp(a));
    let best = scored_replies.iter().take(MAX_EXTREMES);
    let worst = scored_replies.iter().skip(MAX_EXTREMES).rev().take(MAX_EXTREMES);
    let reply_list = |replies: Vec<&(&Challenge, &ResultSummary, f64)>| {
        html! {
            ul.replies {
                @for (challenge, result, value) in replies {
                    @let utterance_number = result.utterance_index + 1;
                    li {
                        a href=(view.href(&format!(
                            "/challenges/{}?utterance={utterance_number}", challenge.header.id
                        ))) {
                            (challenge.title()) ", utterance " (utterance_number)
                        }
                        strong { (number(Some(*value), 3)) }
                        audio controls preload="none" aria-label={ "Play utterance " (utterance_number) }
                            src=(view.href(&reply_path(challenge.header.id, result.utterance_index, &result.miner))) {}
                    }
                }
            }
        }
    };
    html! {
        div.columns-2 {
            section.card aria-labelledby="best" {
                h2 id="best" { "Best replies" }
                (reply_list(best.collect()))
            }
            section.card aria-labelledby="worst" {
                h2 id="worst" { "Worst replies" }
                (reply_list(worst.collect()))
            }
        }
    }
}
