//! The page that lists all challenges.

use axum::response::Response;
use maud::html;
use taonet_dashboard::{Paging, View, live, number};

use super::parts::{challenge_link, contest, score, state, tabs, time, warning};
use crate::section::BabelbitSection;

/// Maximum number of challenges per page.
const PER_PAGE: usize = 25;

pub(crate) fn page(section: &BabelbitSection, view: &View) -> Response {
    let index = section.run_directory.index();
    let contest = contest(view, &index);
    let challenges: Vec<_> = index.challenges_of(contest).collect();
    let paging = Paging::of(view, "page", PER_PAGE, challenges.len());
    let table = html! {
        @if challenges.is_empty() { p.empty { "This contest has no challenges." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Challenges" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Challenge" }
                            th scope="col" { "State" }
                            th scope="col" { "Started" }
                            th.num scope="col" { "Utterances" }
                            th.num scope="col" { "Miners" }
                            th scope="col" { "Best" }
                            th.num scope="col" { "Score" }
                            th.num scope="col" { "Mean" }
                        }
                    }
                    tbody {
                        @for challenge in paging.slice(&challenges) {
                            @let standings = &challenge.standings;
                            @let mean = standings.iter().map(|stats| stats.score).sum::<f64>() / standings.len() as f64;
                            tr {
                                th scope="row" { (challenge_link(view, challenge)) }
                                td { (state(challenge)) }
                                td { (time(challenge.header.started_unix)) }
                                td.num { (challenge.header.utterances) }
                                td.num { (standings.len()) }
                                @if let Some(best) = standings.first() {
                                    td { (section.miner_link(view, &best.miner)) }
                                    td.num { (score(best.score)) }
                                } @else { td { "–" } td.num { "–" } }
                                td.num { (number(Some(mean), 3)) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "challenges"))
        }
    };
    let body = html! {
        h1 { "Challenges" }
        (live("challenges-problem", &warning(&index)))
        section.card { (tabs(view, &index, contest)) (live("challenges", &table)) }
    };
    view.page("Challenges", &body)
}
