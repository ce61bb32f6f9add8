//! The scores of all validators beside those of this one.

use maud::{Markup, html};
use taonet_babelbit_core::records::ChallengeType;
use taonet_dashboard::{Paging, View, number, problem, shortened};
use taonet_primitives::Hotkey;

use crate::index::Challenge;
use crate::section::BabelbitSection;

/// Maximum number of miners per page.
const PER_PAGE: usize = 20;

/// A miner with its score from this validator and from all validators.
struct Row {
    hotkey: Hotkey,
    own_score: Option<f64>,
    validators_score: Option<f64>,
}

/// Renders a warning if the scoring API is unreadable.
pub(super) fn warning(section: &BabelbitSection) -> Markup {
    html! {
        @if let Some(reason) = &section.validators.state().problem { (problem("The scoring API cannot be read", reason)) }
    }
}

/// Renders the scores of a challenge by this validator and by all validators; empty if the
/// dashboard does not use the scoring API, and for solo challenges, which differ by validator.
pub(super) fn score_comparison(
    section: &BabelbitSection,
    view: &View,
    challenge: &Challenge,
) -> Markup {
    let state = section.validators.state();
    let contest = challenge.header.challenge_type;
    if !state.is_followed || contest == ChallengeType::Solo {
        return Markup::default();
    }
    let validators_scores = state.scores_of(&challenge.header.challenge_uid, contest);
    let rows = rows(challenge, validators_scores.unwrap_or_default());
    let paging = Paging::of(view, "validators", PER_PAGE, rows.len());
    html! {
        section.card aria-labelledby="validators" {
            h2 id="validators" { "Scores of all validators" }
            (warning(section))
            @match validators_scores {
                None => p.empty { "The scores have not been read from the scoring API yet." },
                Some([]) => p.empty { "The scoring API has no scores for this challenge." },
                Some(_) => {
                    div.scroll tabindex="0" role="group" aria-labelledby="validators" {
                        table {
                            thead {
                                tr {
                                    th scope="col" { "Miner" }
                                    th.num scope="col" { "All validators" }
                                    th.num scope="col" { "This validator" }
                                    th.num scope="col" { "Difference" }
                                }
                            }
                            tbody {
                                @for row in paging.slice(&rows) {
                                    tr {
                                        th scope="row" { (miner(section, view, challenge, &row.hotkey)) }
                                        td.num {
                                            @if row.validators_score.is_some() {
                                                (number(row.validators_score, 3))
                                            } @else { span.badge.warn { "not submitted" } }
                                        }
                                        td.num { (number(row.own_score, 3)) }
                                        td.num { (difference(row)) }
                                    }
                                }
                            }
                        }
                    }
                    (paging.links(view, "miners"))
                    p.sub { "The scoring API's score is the stake-weighted median over all validators. Weights are computed from it." }
                },
            }
        }
    }
}

/// Returns the miners that the scoring API knows, in its order, then those that only this validator
/// has scored.
fn rows(challenge: &Challenge, validators_scores: &[(Hotkey, f64)]) -> Vec<Row> {
    let own_score = |hotkey: &Hotkey| challenge.stats(hotkey).map(|stats| stats.score);
    let submitted = validators_scores.iter().map(|(hotkey, score)| Row {
        hotkey: *hotkey,
        own_score: own_score(hotkey),
        validators_score: Some(*score),
    });
    let not_submitted = challenge
        .standings
        .iter()
        .filter(|stats| validators_scores.iter().all(|(hotkey, _)| *hotkey != stats.miner.hotkey));
    let not_submitted = not_submitted.map(|stats| Row {
        hotkey: stats.miner.hotkey,
        own_score: Some(stats.score),
        validators_score: None,
    });
    submitted.chain(not_submitted).collect()
}

fn miner(section: &BabelbitSection, view: &View, challenge: &Challenge, hotkey: &Hotkey) -> Markup {
    if let Some(stats) = challenge.stats(hotkey) {
        return section.miner_link(view, &stats.miner);
    }
    let address = hotkey.to_string();
    html! { span.mono title=(address) { (shortened(&address)) } }
}

fn difference(row: &Row) -> String {
    match row.own_score.zip(row.validators_score).map(|(own, all)| own - all) {
        Some(difference) if difference.abs() < 5e-4 => "0".to_owned(),
        Some(difference) => format!("{difference:+.3}"),
        None => "–".to_owned(),
    }
}
