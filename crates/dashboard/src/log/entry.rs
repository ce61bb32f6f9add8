use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::format::printable;

/// Maximum length of a message or a field's value, in characters.
const MAX_CHARACTERS: usize = 1_000;
/// Maximum number of fields of an event.
const MAX_FIELDS: usize = 32;
/// Fields that name a neuron, by uid or hotkey.
const NEURON_FIELDS: [&str; 4] = ["uid", "hotkey", "miner", "miner_hotkey"];
/// Minimum length of a hotkey prefix in a filter; no uid is as long.
const MIN_PREFIX: usize = 6;

/// Severity level of an event. Variants are in order of severity, the most severe last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub(super) const ALL: [Self; 5] =
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| name.eq_ignore_ascii_case(level.name()))
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An event of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    /// Name of the component: the crate that logged the event, such as `babelbit-runner`.
    pub(super) service: String,
    pub(super) message: String,
    /// Names and values of the event's fields, followed by those of its spans, innermost span
    /// first.
    pub(super) fields: Vec<(String, String)>,
}

impl Entry {
    /// Parses a line of the JSON format of tracing-subscriber; `None` if malformed.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let time = line.get("timestamp")?.as_str()?.parse().ok()?;
        let level = Level::from_name(line.get("level")?.as_str()?)?;
        let target = line.get("target")?.as_str()?;
        let event_fields = line.get("fields")?.as_object()?;
        let message = event_fields.get("message").map(text).unwrap_or_default();
        let spans = line
            .get("spans")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .rev()
            .filter_map(Value::as_object);
        let mut fields: Vec<(String, String)> = Vec::new();
        let event_fields = event_fields.iter().filter(|(name, _)| *name != "message");
        // A span's own name is among its fields.
        let span_fields = spans.flat_map(Map::iter).filter(|(name, _)| *name != "name");
        for (name, value) in event_fields.chain(span_fields) {
            if fields.len() < MAX_FIELDS && fields.iter().all(|(field, _)| field != name) {
                fields.push((truncate(name), text(value)));
            }
        }
        Some(Self { time, level, service: service(target), message, fields })
    }

    /// Returns whether a field names the neuron: `neuron` is its uid, its hotkey, or the hotkey's
    /// beginning.
    pub(super) fn names(&self, neuron: &str) -> bool {
        let mut neurons =
            self.fields.iter().filter(|(name, _)| NEURON_FIELDS.contains(&name.as_str()));
        neurons.any(|(_, value)| {
            value == neuron || (neuron.len() >= MIN_PREFIX && value.starts_with(neuron))
        })
    }
}

/// Returns the crate name in a tracing target, without the workspace's prefix `taonet_`.
fn service(target: &str) -> String {
    let name = target.split("::").next().unwrap_or_default();
    truncate(&name.strip_prefix("taonet_").unwrap_or(name).replace('_', "-"))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => truncate(text),
        other => truncate(&other.to_string()),
    }
}

fn truncate(text: &str) -> String {
    printable(&text.chars().take(MAX_CHARACTERS).collect::<String>())
}
