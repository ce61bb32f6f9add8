//! Parser of the registry's rows, in all their formats.

use std::collections::HashSet;

use serde_json::{Map, Value};
use url::Url;

/// Maximum number of rows; further rows are ignored.
const MAX_ROWS: usize = 4_096;
/// Maximum length of a text field in bytes; longer texts are ignored.
const MAX_TEXT: usize = 2_048;

/// One miner listed by the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) hotkey: String,
    pub(super) uid: Option<u16>,
    pub(super) endpoint: Url,
    pub(super) provider: String,
    pub(super) endpoint_id: Option<String>,
    pub(super) endpoint_type: Option<String>,
    pub(super) status: String,
    /// Why the miner is in this state, in lower case; empty if unknown.
    pub(super) reason: String,
}

/// Contents of the registry.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) rows: Vec<Row>,
    /// Number of rows without hotkey or endpoint.
    pub(super) malformed: usize,
}

/// Collector of the registry's rows, without duplicates.
pub(super) struct ListingBuilder<'a> {
    predict_path: &'a str,
    seen: HashSet<Vec<Option<String>>>,
    listing: Listing,
}

impl<'a> ListingBuilder<'a> {
    pub(super) fn new(predict_path: &'a str) -> Self {
        Self { predict_path, seen: HashSet::new(), listing: Listing::default() }
    }

    pub(super) fn add(&mut self, rows: &[Value]) {
        let remaining_rows = MAX_ROWS.saturating_sub(self.seen.len());
        if rows.len() > remaining_rows {
            tracing::warn!(
                rows = rows.len(),
                room = remaining_rows,
                "the arena gateway's list of miners is truncated"
            );
        }
        for row in rows.iter().take(remaining_rows) {
            let fields = Fields::of(row);
            let key = fields
                .as_ref()
                .map_or_else(|| vec![Some(row.to_string())], |fields| fields.key(row));
            if !self.seen.insert(key) {
                continue;
            }
            match fields.and_then(|fields| fields.row(self.predict_path)) {
                Some(row) => self.listing.rows.push(row),
                None => self.listing.malformed += 1,
            }
        }
    }

    pub(super) fn into_listing(self) -> Listing {
        self.listing
    }
}

/// Fields of a row; a missing field is read from the row's `metadata`.
struct Fields<'a> {
    row: &'a Map<String, Value>,
    metadata: Option<Map<String, Value>>,
}

impl<'a> Fields<'a> {
    fn of(row: &'a Value) -> Option<Self> {
        let row = row.as_object()?;
        let metadata = match row.get("metadata") {
            Some(Value::Object(metadata)) => Some(metadata.clone()),
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            _ => None,
        };
        Some(Self { row, metadata })
    }

    /// Returns a key that is equal for duplicates of the row.
    fn key(&self, row: &Value) -> Vec<Option<String>> {
        let names: [&[&str]; 4] =
            [&["submission_id"], HOTKEY_FIELDS, &["container_name"], &["endpoint_url", "url"]];
        let key: Vec<_> = names.map(|names| self.text(names)).into();
        if key.iter().all(Option::is_none) { vec![Some(row.to_string())] } else { key }
    }

    fn row(&self, predict_path: &str) -> Option<Row> {
        let hotkey = self.text(HOTKEY_FIELDS)?;
        let endpoint = self.endpoint(predict_path)?;
        let lowercase = |names: &[&str]| self.text(names).map(|text| text.to_ascii_lowercase());
        Some(Row {
            hotkey,
            uid: self.number(&["miner_uid", "uid"]),
            endpoint,
            provider: lowercase(&["provider", "cloud_provider", "platform"])
                .unwrap_or_else(|| "managed_container".into()),
            endpoint_id: self.text(&["endpoint_id"]),
            endpoint_type: self.text(&["endpoint_type"]),
            status: lowercase(&["status"]).unwrap_or_default(),
            reason: lowercase(&["reason", "status_reason", "termination_reason"])
                .unwrap_or_default(),
        })
    }

    fn endpoint(&self, predict_path: &str) -> Option<Url> {
        let url = self.text(&["endpoint_url", "url", "container_url", "endpoint"]);
        let text = match url {
            Some(url) if url.contains("://") => url,
            Some(url) => format!("http://{url}"),
            None => {
                let host = self.text(&["ip", "host", "container_ip"])?;
                let port: u16 = self.number(&["port", "container_port"])?;
                let path = self.text(&["path", "endpoint_path", "predict_path"]);
                let path = path.as_deref().unwrap_or(predict_path).trim_start_matches('/');
                let is_v6 = host.contains(':') && !host.starts_with('[');
                let host = if is_v6 { format!("[{host}]") } else { host };
                format!("http://{host}:{port}/{path}")
            }
        };
        Url::parse(&text).ok().filter(Url::has_host)
    }

    fn values(&self, names: &[&str]) -> impl Iterator<Item = &Value> {
        names.iter().filter_map(|name| {
            let top_level = self.row.get(*name).filter(|value| !is_blank(value));
            top_level.or_else(|| self.metadata.as_ref()?.get(*name))
        })
    }

    fn text(&self, names: &[&str]) -> Option<String> {
        self.values(names).find_map(|value| match value {
            Value::String(text) => Some(text.trim())
                .filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
                .map(str::to_owned),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    fn number(&self, names: &[&str]) -> Option<u16> {
        self.values(names).find_map(|value| match value {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64().and_then(|number| number.try_into().ok()),
        })
    }
}

const HOTKEY_FIELDS: &[&str] = &["miner_hotkey", "hotkey", "axon_hotkey", "wallet_hotkey"];

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests;
