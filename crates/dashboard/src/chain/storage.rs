//! The page of a storage item.

use maud::{Markup, html};
use serde_json::Value as Json;
use taonet_chain::{At, ChainError, Client, StorageItem};
use taonet_primitives::{counted, truncated, with_causes};

use super::search;
use super::source::Source;
use super::text::{link_accounts, published_text};
use crate::layout::{live, problem};
use crate::view::{Page, View};

/// Maximum number of entries on the page.
pub(super) const MAX_ENTRIES: usize = 64;
/// Maximum size of the encoded values of the entries, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Maximum length of a value in characters.
const MAX_VALUE: usize = 2_000;
/// Maximum length of the visitor's keys in characters.
const MAX_KEYS: usize = 400;

/// Entries of a storage item, as JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct StorageEntries {
    /// Keys and value of each entry.
    pub(super) entries: Vec<(String, String)>,
    /// Whether the item has further entries.
    pub(super) has_more: bool,
}

impl StorageEntries {
    /// Reads the entry with these keys or, with fewer keys than the item has, the first entries
    /// whose keys begin with them.
    pub(super) async fn read(
        client: &Client,
        item: &StorageItem,
        keys: &[Json],
        at: At,
    ) -> Result<Self, ChainError> {
        let StorageItem { pallet, name, .. } = item;
        let (entries, has_more) = if keys.len() < item.keys {
            client.storage_page(pallet, name, keys, MAX_ENTRIES, MAX_BYTES, at).await?
        } else {
            (vec![(keys.to_vec(), client.storage(pallet, name, keys, at).await?)], false)
        };
        let entries = entries
            .into_iter()
            .map(|(keys, value)| (json_list(&keys), truncated(value.to_string(), MAX_VALUE)));
        Ok(Self { entries: entries.collect(), has_more })
    }
}

fn json_list(keys: &[Json]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Parses keys that a visitor entered, separated by commas: numbers and booleans as JSON, all else
/// as text.
fn keys_of(text: &str) -> Vec<Json> {
    let parts =
        text.split(',').map(|part| part.trim().trim_matches('"')).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.parse().ok().filter(|key: &Json| !key.is_object()).unwrap_or_else(|| part.into())
        })
        .collect()
}

/// Renders a storage item at the newest block.
pub(super) async fn page(view: &View, source: &Source, pallet: &str, name: &str) -> Page {
    let items = source.reader.storage_items().await;
    let items = items.map_err(|reason| view.unavailable("Storage", &reason.to_string()))?;
    let Some(item) = items.iter().find(|item| item.pallet == pallet && item.name == name) else {
        return Err(view.missing("This storage item"));
    };
    let keys: String =
        view.param("keys").unwrap_or_default().trim().chars().take(MAX_KEYS).collect();
    let at = source.state().blocks.front().map_or(At::Head, |head| head.block.into());
    let read = source.reader.entries(item, &keys_of(&keys), at).await;
    let part = html! {
        section.card aria-label="Entries" {
            @match &read {
                Err(reason) => (problem("The storage item cannot be read", &with_causes(reason))),
                Ok(list) => (entries(view, item, list)),
            }
        }
    };
    let title = format!("{pallet}.{name}");
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/chain", "Chain")], &title))
        (search::heading(view, &title))
        p.sub { (published_text(&item.summary)) " " (counted(item.keys, "key")) "." }
        @if item.keys > 0 {
            form.filter method="get" action=(view.href(view.path())) {
                label { "First keys " input name="keys" value=(keys) placeholder="such as 59, separated by commas"; }
                button { "Apply" }
            }
        }
        (live("storage", &part))
    };
    Ok(view.page(&title, &body))
}

fn entries(view: &View, item: &StorageItem, list: &StorageEntries) -> Markup {
    html! {
        @if list.entries.is_empty() { p.empty { "No entry begins with these keys." } } @else {
            div.scroll tabindex="0" role="group" aria-label=(item.name) {
                table.log {
                    thead { tr { @if item.keys > 0 { th scope="col" { "Keys" } } th scope="col" { "Value" } } }
                    tbody {
                        @for (keys, value) in &list.entries {
                            tr {
                                @if item.keys > 0 { th scope="row" { (link_accounts(view, keys)) } }
                                td.event { (link_accounts(view, value)) }
                            }
                        }
                    }
                }
            }
            @if list.has_more { p.sub { "The page shows only the first " (counted(list.entries.len(), "entry")) "." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn storage_keys_are_separated_by_commas() {
        for (text, keys) in [
            ("", json!([])),
            (" 59 ", json!([59])),
            ("59, true", json!([59, true])),
            ("0x00, \"a\",", json!(["0x00", "a"])),
            ("5GrwvaEF, 7", json!(["5GrwvaEF", 7])),
            ("{}, [", json!(["{}", "["])),
        ] {
            assert_eq!(json!(keys_of(text)), keys, "{text}");
        }
    }
}
