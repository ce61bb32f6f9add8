//! The page of an account.

use maud::{Markup, html};
use taonet_chain::{At, Balance, ChainError, Client, Identity, Proxies, Stake};
use taonet_primitives::{AccountId, Coldkey, counted};

use super::block::{extrinsic_path, fee, result};
use super::contents::{BlockContents, ExtrinsicSummary};
use super::reads::ReadFailure;
use super::search;
use super::source::{MAX_BLOCKS, Source, State};
use super::text::{account_link, link_accounts, published_text};
use crate::format::{printable, shortened};
use crate::layout::{live, problem};
use crate::table::Paging;
use crate::view::{Page, View};

/// Maximum number of calls on the page.
pub(super) const MAX_CALLS: usize = 20;
/// Maximum number of stakes per page.
const PER_PAGE: usize = 64;

/// An account after a block.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) balance: Balance,
    pub(super) nonce: u32,
    /// The stakes of the account as a coldkey.
    pub(super) stakes: Vec<Stake>,
    pub(super) proxies: Proxies,
    pub(super) identity: Option<Identity>,
}

impl Account {
    pub(super) async fn read(
        client: &Client,
        account: AccountId,
        at: At,
    ) -> Result<Self, ChainError> {
        let coldkey = Coldkey::from_bytes(*account.as_bytes());
        // The first read caches the runtime version of the block for the others.
        let balance = client.balance(account, at).await?;
        let (nonce, stakes, proxies, identity) = tokio::try_join!(
            client.nonce(account, at),
            client.stakes(coldkey, at),
            client.proxies(account, at),
            client.identity(coldkey, at)
        )?;
        Ok(Self { balance, nonce, stakes, proxies, identity })
    }
}

/// Renders an account at the newest block.
pub(super) async fn page(view: &View, source: &Source, address: &str) -> Page {
    let Ok(account) = address.parse::<AccountId>() else {
        return Err(view.missing("An account with this address"));
    };
    let state = source.state();
    let read = match state.blocks.front() {
        Some(head) => source.reader.account(account, head.block.hash).await,
        None => Err(ReadFailure::Disconnected),
    };
    let part = html! {
        @match &read {
            Ok(details) => {
                (facts(view, &state, account, details))
                (stakes(view, details))
                (proxies(view, details))
            },
            Err(reason) => (problem("The account cannot be read", &reason.to_string())),
        }
        (calls(view, &state, account))
    };
    let title = format!("Account {}", shortened(address));
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain")], &title))
        (search::heading(view, "Account"))
        p.sub.address { (address) }
        (live("account", &part))
    };
    Ok(view.page(&title, &body))
}

fn facts(view: &View, state: &State, account: AccountId, details: &Account) -> Markup {
    let Account { balance, nonce, identity, .. } = details;
    let neurons = state.metagraph.iter().flat_map(|metagraph| &metagraph.neurons);
    let neurons: Vec<_> = neurons
        .filter(|neuron| {
            AccountId::from(neuron.hotkey) == account || AccountId::from(neuron.coldkey) == account
        })
        .collect();
    html! {
        section.card {
            table.facts {
                tbody {
                    tr { th scope="row" { "Free balance" } td { (balance.free) " TAO" } }
                    tr { th scope="row" { "Reserved" } td { (balance.reserved) " TAO" } }
                    tr { th scope="row" { "Frozen" } td { (balance.frozen) " TAO" } }
                    tr { th scope="row" { "Nonce" } td { (nonce) } }
                    @if !neurons.is_empty() {
                        tr {
                            th scope="row" { "Neurons on the shown subnet" }
                            td {
                                @for neuron in neurons.iter().take(PER_PAGE) {
                                    a href=(view.href(&format!("/chain/{}", neuron.uid))) { "Neuron " (neuron.uid) } " "
                                }
                            }
                        }
                    }
                    @for (name, text) in identity.iter().flat_map(Identity::fields) {
                        @if !text.is_empty() {
                            tr { th scope="row" { "Identity: " (name) } td { (published_text(text)) } }
                        }
                    }
                }
            }
        }
    }
}

fn stakes(view: &View, details: &Account) -> Markup {
    let paging = Paging::of(view, "stakes", PER_PAGE, details.stakes.len());
    html! {
        section.card aria-labelledby="stakes" {
            h2 id="stakes" { "Stakes" }
            @if details.stakes.is_empty() { p.empty { "The account stakes on no hotkey." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="stakes" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Hotkey" }
                                th.num scope="col" { "Subnet" }
                                th.num scope="col" { "Stake α" }
                                th.num scope="col" { "Locked α" }
                                th.num scope="col" { "Emission α" }
                            }
                        }
                        tbody {
                            @for stake in paging.slice(&details.stakes) {
                                tr {
                                    th scope="row" { (account_link(view, stake.hotkey)) }
                                    td.num {
                                        a href=(view.href(&format!("/chain/subnets/{}", stake.netuid))) {
                                            (stake.netuid)
                                        }
                                    }
                                    td.num { (stake.stake) }
                                    td.num { (stake.locked) }
                                    td.num { (stake.emission) }
                                }
                            }
                        }
                    }
                }
                (paging.links(view, "stakes"))
            }
        }
    }
}

fn proxies(view: &View, details: &Account) -> Markup {
    let Proxies { proxies, deposit } = &details.proxies;
    html! {
        section.card aria-labelledby="proxies" {
            h2 id="proxies" { "Proxies" }
            @if proxies.is_empty() { p.empty { "No other account may make calls for this one." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="proxies" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Account" }
                                th scope="col" { "Type" }
                                th.num scope="col" { "Delay in blocks" }
                            }
                        }
                        tbody {
                            @for proxy in proxies {
                                tr {
                                    th scope="row" { (account_link(view, proxy.delegate)) }
                                    td { (published_text(&proxy.proxy_type)) }
                                    td.num { (proxy.delay) }
                                }
                            }
                        }
                    }
                }
                p.sub { "Deposit: " (deposit) " TAO" }
            }
        }
    }
}

/// Renders the latest calls that the account signed, as far as their blocks are in memory.
fn calls(view: &View, state: &State, account: AccountId) -> Markup {
    let matching: Vec<(&BlockContents, &ExtrinsicSummary)> = state
        .blocks
        .iter()
        .flat_map(|block| {
            block.extrinsics.items.iter().rev().map(move |extrinsic| (block.as_ref(), extrinsic))
        })
        .filter(|(_, extrinsic)| extrinsic.signer == Some(account))
        .collect();
    html! {
        section.card aria-labelledby="calls" {
            h2 id="calls" { "Latest calls" }
            @if !matching.is_empty() {
                div.scroll tabindex="0" role="group" aria-labelledby="calls" {
                    table.log {
                        thead {
                            tr {
                                th.num scope="col" { "Block" }
                                th scope="col" { "Call" }
                                th scope="col" { "Result" }
                                th.num scope="col" { "Fee" }
                                th scope="col" { "Arguments" }
                            }
                        }
                        tbody {
                            @for (block, extrinsic) in matching.iter().take(MAX_CALLS) {
                                tr {
                                    td.num {
                                        a href=(view.href(&extrinsic_path(block, extrinsic.index))) {
                                            (block.block.number)
                                        }
                                    }
                                    th scope="row" { (printable(&extrinsic.call)) }
                                    td { (result(extrinsic)) }
                                    td.num { (fee(extrinsic)) }
                                    td.event { (link_accounts(view, &extrinsic.args)) }
                                }
                            }
                        }
                    }
                }
            }
            p.sub {
                (counted(matching.len(), "call")) " in the " (known_blocks(state)) ". The page shows the latest "
                (MAX_CALLS) " calls, and the dashboard keeps at most " (MAX_BLOCKS) " blocks."
            }
        }
    }
}

/// Describes the blocks in memory, such as `12 blocks from 5 to 16`.
pub(super) fn known_blocks(state: &State) -> String {
    let count = counted(state.blocks.len(), "block");
    match state.blocks.back().zip(state.blocks.front()) {
        Some((oldest, newest)) => {
            format!("{count} from {} to {}", oldest.block.number, newest.block.number)
        }
        None => count,
    }
}
