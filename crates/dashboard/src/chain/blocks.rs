use maud::{Markup, html};
use taonet_primitives::counted;

use super::seen::{Listed, SeenBlock, SeenEvent, SeenExtrinsic};
use super::source::State;
use crate::format::{shortened, shown, timestamp};
use crate::layout::live;
use crate::table::Paging;
use crate::view::{Page, View};

/// Maximum number of blocks in the list.
const LISTED: usize = 10;
/// Maximum number of extrinsics, and of events, per page.
const PER_PAGE: usize = 64;

/// Renders the list of the latest blocks.
pub(super) fn latest(view: &View, state: &State) -> Markup {
    html! {
        section.card aria-labelledby="blocks" {
            h2 id="blocks" { "Latest blocks" }
            @if state.blocks.is_empty() { p.empty { "No block has been seen yet." } }
            ul.list {
                @for seen in state.blocks.iter().take(LISTED) {
                    @let number = seen.block.number;
                    li {
                        span {
                            a href=(view.href(&format!("/chain/blocks/{number}"))) { strong { (number) } }
                            " " span.mono { (shortened(&seen.block.hash.to_string())) }
                        }
                        small {
                            (total(&seen.extrinsics, "extrinsic")) " · " (total(&seen.events, "event"))
                            " · seen " (timestamp(seen.seen_unix))
                        }
                    }
                }
            }
        }
    }
}

fn total<T>(list: &Listed<T>, noun: &str) -> String {
    match list.problem {
        Some(_) => format!("{noun}s unreadable"),
        None => counted(list.count, noun),
    }
}

/// Renders the decoded extrinsics and events of one of the latest blocks.
pub(super) fn page(view: &View, state: &State, number: u32) -> Page {
    let Some(seen) = state.blocks.iter().find(|seen| seen.block.number.get() == number) else {
        return Err(view.missing("This block"));
    };
    let SeenBlock { block, seen_unix, extrinsics, events } = seen;
    let part = html! {
        section.card {
            table.facts {
                tbody {
                    tr { th scope="row" { "Hash" } td.mono { (block.hash) } }
                    tr { th scope="row" { "Seen" } td { (timestamp(*seen_unix)) } }
                }
            }
        }
        (list(view, extrinsics, "extrinsic", "extrinsics", |items| extrinsic_table(view, state, items)))
        (list(view, events, "event", "page", event_table))
    };
    let title = format!("Block {number}");
    let body = html! {
        (view.trail(&[("/", "Overview"), ("/chain", "Chain")], &title))
        h1 { (title) }
        (live("block", &part))
    };
    Ok(view.page(&title, &body))
}

/// Renders a list in a block's page, such as the events. `parameter` is the query parameter of the list's pages.
fn list<T>(
    view: &View,
    list: &Listed<T>,
    noun: &str,
    parameter: &'static str,
    table: impl FnOnce(&[T]) -> Markup,
) -> Markup {
    let paging = Paging::of(view, parameter, PER_PAGE, list.items.len());
    let id = format!("block-{noun}s");
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (total(list, noun)) }
            @if let Some(why) = &list.problem { p { (shown(why)) } }
            @if list.count > list.items.len() { p.sub { "Only the first " (list.items.len()) " are shown." } }
            @if !list.items.is_empty() {
                div.scroll tabindex="0" role="group" aria-labelledby=(id) { (table(paging.slice(&list.items))) }
                (paging.links(view, &format!("{noun}s")))
            }
        }
    }
}

fn extrinsic_table(view: &View, state: &State, extrinsics: &[SeenExtrinsic]) -> Markup {
    html! {
        table.log {
            thead {
                tr {
                    th.num scope="col" { "#" }
                    th scope="col" { "Call" }
                    th scope="col" { "Signer" }
                    th scope="col" { "Result" }
                    th.num scope="col" { "Fee" }
                    th scope="col" { "Arguments" }
                }
            }
            tbody {
                @for extrinsic in extrinsics {
                    tr {
                        td.num { (extrinsic.index) }
                        th scope="row" title=(extrinsic.hash) { (shown(&extrinsic.call)) }
                        td { (signer(view, state, extrinsic)) }
                        td {
                            @match &extrinsic.result {
                                Some(Ok(())) => span.badge.ok { "ok" },
                                Some(Err(why)) => { span.badge.bad { "failed" } div.field { (shown(why)) } },
                                None => "–",
                            }
                        }
                        td.num { @if let Some(fee) = extrinsic.fee { (fee) } @else { "–" } }
                        td.event { (shown(&extrinsic.args)) }
                    }
                }
            }
        }
    }
}

/// Renders the signer of an extrinsic, as a link if it is a neuron of the subnet.
fn signer(view: &View, state: &State, extrinsic: &SeenExtrinsic) -> Markup {
    let Some(account) = extrinsic.signer else { return html! { span.empty { "unsigned" } } };
    let address = account.to_string();
    let mut neurons = state.metagraph.iter().flat_map(|metagraph| &metagraph.neurons);
    let neuron = neurons.find(|neuron| neuron.hotkey.as_bytes() == account.as_bytes());
    html! {
        @if let Some(neuron) = neuron {
            a href=(view.href(&format!("/chain/{}", neuron.uid))) title=(address) { "Neuron " (neuron.uid) }
        } @else { span.mono title=(address) { (shortened(&address)) } }
    }
}

fn event_table(events: &[SeenEvent]) -> Markup {
    html! {
        table.log {
            thead { tr { th.num scope="col" { "Extrinsic" } th scope="col" { "Event" } th scope="col" { "Fields" } } }
            tbody {
                @for event in events {
                    tr {
                        td.num { @if let Some(index) = event.extrinsic { (index) } @else { "–" } }
                        th scope="row" { (shown(&event.name)) }
                        td.event { (shown(&event.fields)) }
                    }
                }
            }
        }
    }
}
