//! The lists of blocks.

use axum::response::Response;
use maud::{Markup, html};
use taonet_primitives::counted;

use super::account::known_blocks;
use super::contents::{BlockContents, TruncatedList};
use super::pages::warning;
use super::search;
use super::source::{MAX_BLOCKS, State};
use crate::format::{shortened, timestamp};
use crate::layout::live;
use crate::table::Paging;
use crate::view::View;

/// Maximum number of blocks on the main page of the chain.
const MAX_LISTED_BLOCKS: usize = 10;
/// Maximum number of blocks per page.
const PER_PAGE: usize = 64;

/// Renders the list of the latest blocks.
pub(super) fn latest(view: &View, state: &State) -> Markup {
    html! {
        section.card aria-labelledby="blocks" {
            h2 id="blocks" { a href=(view.href("/chain/blocks")) { "Latest blocks" } }
            @if state.blocks.is_empty() { p.empty { "No block has been seen yet." } }
            ul.list {
                @for contents in state.blocks.iter().take(MAX_LISTED_BLOCKS) {
                    li {
                        span {
                            strong { (link(view, contents)) }
                            " " span.mono { (shortened(&contents.block.hash.to_string())) }
                        }
                        small {
                            (total(&contents.extrinsics, "extrinsic")) " · " (total(&contents.events, "event"))
                            " · " (time(contents))
                        }
                    }
                }
            }
        }
    }
}

fn link(view: &View, contents: &BlockContents) -> Markup {
    let number = contents.block.number;
    html! { a href=(view.href(&format!("/chain/blocks/{number}"))) { (number) } }
}

/// Describes the number of items in a list of a block, such as `2 events`.
pub(super) fn total<T>(list: &TruncatedList<T>, noun: &str) -> String {
    match list.problem {
        Some(_) => format!("{noun}s unreadable"),
        None => counted(list.count, noun),
    }
}

/// Returns the time of a block; if it is unknown, the time at which the dashboard read the block.
pub(super) fn time(contents: &BlockContents) -> String {
    match contents.time_unix {
        Some(unix) => timestamp(unix),
        None => format!("seen {}", timestamp(contents.read_unix)),
    }
}

/// Renders all blocks in memory, newest first.
pub(super) fn page(view: &View, state: &State) -> Response {
    let paging = Paging::of(view, "page", PER_PAGE, state.blocks.len());
    let list = html! {
        (warning(state))
        section.card aria-label="Blocks" {
            @if state.blocks.is_empty() { p.empty { "No block has been seen yet." } } @else {
                div.scroll tabindex="0" role="region" aria-label="List of blocks" {
                    table {
                        thead {
                            tr {
                                th.num scope="col" { "Number" }
                                th scope="col" { "Hash" }
                                th scope="col" { "Time" }
                                th scope="col" { "Extrinsics" }
                                th scope="col" { "Events" }
                            }
                        }
                        tbody {
                            @for contents in state.blocks.iter().skip(paging.range().start).take(PER_PAGE) {
                                tr {
                                    th.num scope="row" { (link(view, contents)) }
                                    td.mono title=(contents.block.hash) { (shortened(&contents.block.hash.to_string())) }
                                    td { (time(contents)) }
                                    td { (total(&contents.extrinsics, "extrinsic")) }
                                    td { (total(&contents.events, "event")) }
                                }
                            }
                        }
                    }
                }
                (paging.links(view, "blocks"))
            }
            p.sub {
                "The dashboard has " (known_blocks(state)) " and keeps at most " (MAX_BLOCKS)
                "; the search finds older ones by number and hash."
            }
        }
    };
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain")], "Blocks"))
        (search::heading(view, "Blocks"))
        (live("blocks", &list))
    };
    view.page("Blocks", &body)
}
