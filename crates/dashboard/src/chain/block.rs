//! The page of one block.

use std::sync::Arc;

use maud::{Markup, html};
use taonet_chain::{At, BlockHeader};
use taonet_primitives::{AccountId, BlockNumber, truncated};

use super::blocks::{time, total};
use super::contents::{BlockContents, EventSummary, ExtrinsicSummary, TruncatedList};
use super::reads::ReadFailure;
use super::search;
use super::source::{Source, State};
use super::text::{account_link, link_accounts};
use crate::format::printable;
use crate::layout::live;
use crate::table::Paging;
use crate::view::{Page, View};

/// Maximum number of extrinsics, and of events, per page.
const PER_PAGE: usize = 64;
/// Maximum length of an item of the digest in characters.
const MAX_DIGEST_CHARS: usize = 160;

/// Returns the path of an extrinsic in the page of its block.
pub(super) fn extrinsic_path(contents: &BlockContents, index: u32) -> String {
    let position = contents
        .extrinsics
        .items
        .iter()
        .position(|extrinsic| extrinsic.index == index)
        .unwrap_or_default();
    let query = match position / PER_PAGE {
        0 => String::new(),
        page => format!("?extrinsics={}", page + 1),
    };
    format!("/chain/blocks/{}{query}#extrinsic-{index}", contents.block.number)
}

/// Renders the header, the extrinsics and the events of a block. `id` is the block's number or
/// hash.
pub(super) async fn page(view: &View, source: &Source, id: &str) -> Page {
    let at = match (id.parse(), id.parse()) {
        (Ok(number), _) => At::Number(BlockNumber::new(number)),
        (_, Ok(hash)) => At::Hash(hash),
        _ => return Err(view.missing("This block")),
    };
    let state = source.state();
    let (contents, header) = find(source, &state, at).await.map_err(|reason| {
        if reason.is_missing() {
            view.missing("This block")
        } else {
            view.unavailable("Block", &reason.to_string())
        }
    })?;
    let part = html! {
        (facts(view, &contents, &header))
        (list(view, &contents.extrinsics, "extrinsic", "extrinsics", |items| extrinsic_table(view, &state, items)))
        (list(view, &contents.events, "event", "page", |items| event_table(view, items)))
    };
    let title = format!("Block {}", contents.block.number);
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain"), ("/chain/blocks", "Blocks")], &title))
        (search::heading(view, &title))
        (live("block", &part))
        (live("block-neighbours", &neighbours(view, &state, contents.block.number)))
    };
    Ok(view.page(&title, &body))
}

/// Finds a block in memory or on the node. Without the node, a block in memory has no header.
async fn find(
    source: &Source,
    state: &State,
    at: At,
) -> Result<(Arc<BlockContents>, Result<Arc<BlockHeader>, ReadFailure>), ReadFailure> {
    let contents = state.blocks.iter().find(|contents| match at {
        At::Number(number) => contents.block.number == number,
        At::Hash(hash) => contents.block.hash == hash,
        At::Head | At::Finalized => false,
    });
    if let Some(contents) = contents {
        return Ok((Arc::clone(contents), source.reader.header(contents.block.into()).await));
    }
    let header = source.reader.header(at).await?;
    Ok((source.reader.contents(header.block).await?, Ok(header)))
}

fn facts(
    view: &View,
    contents: &BlockContents,
    header: &Result<Arc<BlockHeader>, ReadFailure>,
) -> Markup {
    let row =
        |name: &str, value: Markup| html! { tr { th scope="row" { (name) } td.mono { (value) } } };
    html! {
        section.card aria-label="Header" {
            table.facts {
                tbody {
                    (row("Hash", html! { (contents.block.hash) }))
                    tr { th scope="row" { "Time" } td { (time(contents)) } }
                    @match header {
                        Err(reason) => tr { th scope="row" { "Header" } td { (printable(&reason.to_string())) } },
                        Ok(header) => {
                            (row("Parent", html! {
                                @if contents.block.number.get() == 0 { "none" }
                                @else { a href=(view.href(&path(contents.block.number.minus(1)))) { (header.parent) } }
                            }))
                            (row("State root", html! { (header.state_root) }))
                            (row("Extrinsics root", html! { (header.extrinsics_root) }))
                            @for item in &header.digest { (row("Digest", html! { (digest_item(item)) })) }
                        },
                    }
                }
            }
        }
    }
}

fn path(number: BlockNumber) -> String {
    format!("/chain/blocks/{number}")
}

/// Formats an item of the digest: its kind, the consensus engine, and its bytes.
fn digest_item(bytes: &[u8]) -> String {
    let kind = match bytes.first() {
        Some(0) => "other",
        Some(4) => "consensus",
        Some(5) => "seal",
        Some(6) => "pre-runtime",
        Some(8) => "runtime updated",
        _ => "unknown",
    };
    let engine = bytes
        .get(1..5)
        .filter(|_| matches!(bytes.first(), Some(4..=6)))
        .map(String::from_utf8_lossy);
    let engine = engine.map(|engine| format!(" {}", printable(&engine))).unwrap_or_default();
    truncated(format!("{kind}{engine} 0x{}", hex::encode(bytes)), MAX_DIGEST_CHARS)
}

/// Renders links to the blocks before and after a block.
fn neighbours(view: &View, state: &State, number: BlockNumber) -> Markup {
    let has_next = state.blocks.front().is_some_and(|head| number < head.block.number);
    html! {
        nav.pages aria-label="Neighbouring blocks" {
            @if number.get() > 0 { a href=(view.href(&path(number.minus(1)))) { "Previous block" } }
            @if has_next { a href=(view.href(&path(number.plus(1)))) { "Next block" } }
        }
    }
}

/// Renders a list in a block's page, such as the events. `parameter` is the query parameter of the
/// list's pages.
fn list<T>(
    view: &View,
    list: &TruncatedList<T>,
    noun: &str,
    parameter: &'static str,
    table: impl FnOnce(&[T]) -> Markup,
) -> Markup {
    let paging = Paging::of(view, parameter, PER_PAGE, list.items.len());
    let id = format!("block-{noun}s");
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (total(list, noun)) }
            @if let Some(reason) = &list.problem { p { (printable(reason)) } }
            @if list.count > list.items.len() { p.sub { "Only the first " (list.items.len()) " are shown." } }
            @if !list.items.is_empty() {
                div.scroll tabindex="0" role="group" aria-labelledby=(id) { (table(paging.slice(&list.items))) }
                (paging.links(view, &format!("{noun}s")))
            }
        }
    }
}

fn extrinsic_table(view: &View, state: &State, extrinsics: &[ExtrinsicSummary]) -> Markup {
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
                    tr id={ "extrinsic-" (extrinsic.index) } {
                        td.num { (extrinsic.index) }
                        th scope="row" { (printable(&extrinsic.call)) }
                        td { (signer(view, state, extrinsic)) }
                        td { (result(extrinsic)) }
                        td.num { (fee(extrinsic)) }
                        td.event {
                            (link_accounts(view, &extrinsic.args))
                            div.field { "hash " (extrinsic.hash) }
                        }
                    }
                }
            }
        }
    }
}

/// Renders the result of an extrinsic, with the error's name.
pub(super) fn result(extrinsic: &ExtrinsicSummary) -> Markup {
    html! {
        @match &extrinsic.result {
            Some(Ok(())) => span.badge.ok { "ok" },
            Some(Err(reason)) => { span.badge.bad { "failed" } div.field { (printable(reason)) } },
            None => "–",
        }
    }
}

/// Renders the fee of an extrinsic in TAO.
pub(super) fn fee(extrinsic: &ExtrinsicSummary) -> Markup {
    html! { @if let Some(fee) = extrinsic.fee { (fee) } @else { "–" } }
}

/// Renders the signer of an extrinsic, with its neuron if it is the hotkey of one.
fn signer(view: &View, state: &State, extrinsic: &ExtrinsicSummary) -> Markup {
    let Some(account) = extrinsic.signer else { return html! { span.empty { "unsigned" } } };
    let mut neurons = state.metagraph.iter().flat_map(|metagraph| &metagraph.neurons);
    let neuron = neurons.find(|neuron| AccountId::from(neuron.hotkey) == account);
    html! {
        (account_link(view, account))
        @if let Some(neuron) = neuron {
            " " a href=(view.href(&format!("/chain/{}", neuron.uid))) { "Neuron " (neuron.uid) }
        }
    }
}

fn event_table(view: &View, events: &[EventSummary]) -> Markup {
    html! {
        table.log {
            thead { tr { th.num scope="col" { "Extrinsic" } th scope="col" { "Event" } th scope="col" { "Fields" } } }
            tbody {
                @for event in events {
                    tr {
                        td.num { @if let Some(index) = event.extrinsic { (index) } @else { "–" } }
                        th scope="row" { (printable(&event.name)) }
                        td.event { (link_accounts(view, &event.fields)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_items_are_labelled() {
        for (bytes, text) in [
            (&b"\x06aura\x08\x01\x02"[..], "pre-runtime aura 0x0661757261080102"),
            (b"\x05<b>\x1b\x00", "seal <b>\\u{1b} 0x053c623e1b00"),
            (b"\x08", "runtime updated 0x08"),
            (b"\x04au", "consensus 0x046175"),
            (b"", "unknown 0x"),
        ] {
            assert_eq!(digest_item(bytes), text);
        }
        assert_eq!(digest_item(&[0; 1_000]).chars().count(), MAX_DIGEST_CHARS + 1);
    }
}
