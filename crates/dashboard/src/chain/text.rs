//! Links and texts of the chain's pages.

use std::ops::RangeInclusive;

use maud::{Markup, html};
use taonet_chain::Subnet;
use taonet_primitives::{AccountId, truncated};

use crate::format::{printable, shortened};
use crate::view::View;

/// Lengths of addresses in characters.
const ADDRESS_LENGTH: RangeInclusive<usize> = 46..=48;
/// Maximum length of a name or description that somebody published, in characters.
const MAX_PUBLISHED: usize = 200;

/// Formats a text that somebody published on the chain, such as a name: shortened, with control
/// characters escaped.
pub(super) fn published_text(text: &str) -> String {
    truncated(printable(text), MAX_PUBLISHED)
}

/// Returns the name of a subnet for a link.
pub(super) fn subnet_name(subnet: &Subnet) -> String {
    let name = published_text(&subnet.name);
    if name.trim().is_empty() { format!("Subnet {}", subnet.netuid) } else { name }
}

/// Returns the path of an account's page.
pub(super) fn account_path(account: impl Into<AccountId>) -> String {
    format!("/chain/accounts/{}", account.into())
}

/// Renders a link to an account's page, with a shortened address.
pub(super) fn account_link(view: &View, account: impl Into<AccountId>) -> Markup {
    let account = account.into();
    let address = account.to_string();
    html! { a.mono href=(view.href(&account_path(account))) title=(address) { (shortened(&address)) } }
}

/// Renders JSON of the chain, with links to the accounts whose addresses it contains.
pub(super) fn link_accounts(view: &View, json: &str) -> Markup {
    let json = printable(json);
    html! {
        @for (position, part) in json.split('"').enumerate() {
            @if position > 0 { "\"" }
            @match account(part) {
                Some(account) => a href=(view.href(&account_path(account))) { (part) },
                None => (part),
            }
        }
    }
}

fn account(text: &str) -> Option<AccountId> {
    if ADDRESS_LENGTH.contains(&text.len()) { text.parse().ok() } else { None }
}
