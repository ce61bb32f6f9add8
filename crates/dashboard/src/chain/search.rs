//! The search field, and the page of its results.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use taonet_chain::At;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash, NetUid, Ss58Error};

use super::account::known_blocks;
use super::block::extrinsic_path;
use super::pages::filter;
use super::source::{Source, State};
use super::text::{account_path, published_text};
use crate::format::printable;
use crate::view::View;

/// Maximum number of results.
const MAX_RESULTS: usize = 20;
/// Minimum length of a text that is taken for a mistyped address, in characters.
const MIN_ADDRESS: usize = 40;

/// A parsed search query.
#[derive(Debug, PartialEq, Eq)]
enum Query<'a> {
    /// A block or a subnet.
    Number(u32),
    Subnet(NetUid),
    /// A block or an extrinsic.
    Hash([u8; 32]),
    Account(AccountId),
    /// A mistyped address, or one of another network.
    NoAccount(Ss58Error),
    /// A storage item or the name of a subnet.
    Name(&'a str),
}

/// Results of a search.
#[derive(Debug, Default)]
struct SearchResults {
    /// Label and path of each page.
    pages: Vec<(String, String)>,
    /// Messages about items that do not exist.
    missing: Vec<String>,
}

/// Renders the heading of a page with the search field.
pub(super) fn heading(view: &View, title: &str) -> Markup {
    html! { div.head { h1 { (title) } (form(view, "")) } }
}

fn form(view: &View, query: &str) -> Markup {
    html! {
        form.filter method="get" action=(view.href("/chain/search")) role="search" aria-label="Search the chain" {
            label {
                "Search "
                input type="search" name="q" value=(query) placeholder="block, hash, address, netuid, storage";
            }
            button { "Search" }
        }
    }
}

/// Redirects to the only result of a search, or renders the results.
pub(super) async fn page(view: &View, source: &Source) -> Response {
    let query = filter(view);
    let SearchResults { pages, missing } = find(source, &query).await;
    if let [(_, path)] = pages.as_slice() {
        return (StatusCode::SEE_OTHER, [(LOCATION, view.href(path))]).into_response();
    }
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain")], "Search"))
        div.head { h1 { "Search" } (form(view, &query)) }
        section.card aria-label="Results" {
            @for reason in &missing { p { (printable(reason)) } }
            ul.list {
                @for (label, path) in pages.iter().take(MAX_RESULTS) { li { a href=(view.href(path)) { (label) } } }
            }
            @if pages.len() > MAX_RESULTS { p.sub { "Only the first " (MAX_RESULTS) " results are shown." } }
            p.sub {
                "The search finds blocks by number and hash, the extrinsics of the latest blocks by hash, accounts by "
                "address, subnets by netuid (“subnet 59”) and name, and storage items by name (“SubtensorModule.Tempo” "
                "or “Tempo”)."
            }
        }
    };
    view.page("Search", &body)
}

impl<'a> Query<'a> {
    fn from_text(text: &'a str) -> Self {
        if let Ok(number) = text.parse() {
            return Self::Number(number);
        }
        let lower = text.to_ascii_lowercase();
        let netuid = ["subnet", "netuid", "sn"]
            .iter()
            .find_map(|word| lower.strip_prefix(word)?.trim().parse().ok());
        if let Some(netuid) = netuid {
            return Self::Subnet(NetUid(netuid));
        }
        let mut hash = [0; 32];
        if hex::decode_to_slice(lower.strip_prefix("0x").unwrap_or(&lower), &mut hash).is_ok() {
            return Self::Hash(hash);
        }
        match text.parse() {
            Ok(account) => Self::Account(account),
            Err(error) if text.len() >= MIN_ADDRESS && !text.contains(['.', ' ']) => {
                Self::NoAccount(error)
            }
            Err(_) => Self::Name(text),
        }
    }
}

async fn find(source: &Source, query: &str) -> SearchResults {
    let (state, mut results) = (source.state(), SearchResults::default());
    if query.is_empty() {
        return results;
    }
    match Query::from_text(query) {
        Query::Number(number) => {
            results.block(&state, BlockNumber::new(number));
            if let Ok(netuid) = u16::try_from(number) {
                results.subnet(&state, NetUid(netuid));
            }
            if !results.pages.is_empty() {
                results.missing.clear();
            }
        }
        Query::Subnet(netuid) => results.subnet(&state, netuid),
        Query::Hash(hash) => results.hash(source, &state, hash).await,
        Query::Account(account) => results.pages.push((account.to_string(), account_path(account))),
        Query::NoAccount(error) => {
            results.missing.push(format!("This is not an account of the chain: {error}."));
        }
        Query::Name(name) => results.name(source, &state, name).await,
    }
    results
}

impl SearchResults {
    fn block(&mut self, state: &State, number: BlockNumber) {
        match state.blocks.front() {
            Some(head) if number <= head.block.number => {
                self.pages.push((format!("Block {number}"), format!("/chain/blocks/{number}")));
            }
            Some(head) => {
                self.missing.push(format!(
                    "There is no block {number}: the newest is {}.",
                    head.block.number
                ));
            }
            None => self.missing.push("No block has been seen yet.".to_owned()),
        }
    }

    fn subnet(&mut self, state: &State, netuid: NetUid) {
        let mut subnets = state.subnets.iter().flat_map(|subnets| subnets.iter());
        match subnets.find(|subnet| subnet.netuid == netuid) {
            Some(subnet) => self.pages.push(subnet_page(netuid, &subnet.name)),
            None if state.subnets.is_none() => {
                self.missing.push("The subnets have not been read yet.".to_owned());
            }
            None => self.missing.push(format!("There is no subnet {netuid}.")),
        }
    }

    async fn hash(&mut self, source: &Source, state: &State, hash: [u8; 32]) {
        let extrinsic = ExtrinsicHash::from_bytes(hash);
        for contents in &state.blocks {
            let mut items = contents.extrinsics.items.iter();
            if let Some(item) = items.find(|item| item.hash == extrinsic) {
                let label = format!("Extrinsic {} of block {}", item.index, contents.block.number);
                self.pages.push((label, extrinsic_path(contents, item.index)));
                return;
            }
        }
        match source.reader.header(At::Hash(BlockHash::from_bytes(hash))).await {
            Ok(header) => {
                let number = header.block.number;
                self.pages.push((format!("Block {number}"), format!("/chain/blocks/{}", header.block.hash)));
            }
            Err(reason) if reason.is_missing() => self.missing.push(format!(
                "No block has the hash {extrinsic}, and no extrinsic in the {} does; hashes of older extrinsics are \
                 not known.",
                known_blocks(state)
            )),
            Err(reason) => self.missing.push(format!("No extrinsic in the {} has this hash. {reason}", known_blocks(state))),
        }
    }

    async fn name(&mut self, source: &Source, state: &State, name: &str) {
        let searched_name = name.replace("::", ".").to_lowercase();
        for subnet in state.subnets.iter().flat_map(|subnets| subnets.iter()) {
            if subnet.name.to_lowercase() == searched_name {
                self.pages.push(subnet_page(subnet.netuid, &subnet.name));
            }
        }
        match source.reader.storage_items().await {
            Ok(items) => self.pages.extend(
                items
                    .iter()
                    .filter(|item| {
                        let item_name = item.name.to_lowercase();
                        item_name == searched_name
                            || format!("{}.{item_name}", item.pallet.to_lowercase())
                                == searched_name
                    })
                    .map(|item| {
                        let path = format!("/chain/storage/{}/{}", item.pallet, item.name);
                        (format!("Storage {}.{}", item.pallet, item.name), path)
                    }),
            ),
            Err(reason) => {
                self.missing.push(format!("The storage items cannot be read: {reason}."));
            }
        }
        if self.pages.is_empty() {
            self.missing.push(format!("There is no subnet and no storage item “{name}”."));
        }
    }
}

fn subnet_page(netuid: NetUid, name: &str) -> (String, String) {
    (format!("Subnet {netuid}: {}", published_text(name)), format!("/chain/subnets/{netuid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_queries_are_classified() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let hash = "ab".repeat(32);
        for (text, query) in [
            ("17", Query::Number(17)),
            ("Subnet 59", Query::Subnet(NetUid(59))),
            ("netuid 3", Query::Subnet(NetUid(3))),
            ("sn3", Query::Subnet(NetUid(3))),
            ("sn99999", Query::Name("sn99999")),
            (&hash, Query::Hash([0xab; 32])),
            (&format!("0x{hash}"), Query::Hash([0xab; 32])),
            (alice, Query::Account(alice.parse().unwrap())),
            (&alice.replace('Q', "P"), Query::NoAccount(Ss58Error::Checksum)),
            ("SubtensorModule.Tempo", Query::Name("SubtensorModule.Tempo")),
            ("-1", Query::Name("-1")),
        ] {
            assert_eq!(Query::from_text(text), query, "{text}");
        }
    }
}
