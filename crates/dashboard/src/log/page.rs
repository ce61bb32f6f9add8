use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::Response;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::entry::{Entry, Level};
use super::source::State;
use crate::format::printable;
use crate::layout::{live, problem};
use crate::table::Paging;
use crate::view::View;

/// Maximum number of events per page.
const PER_PAGE: usize = 100;
/// Maximum number of warnings and errors on the overview.
const MAX_OVERVIEW_EVENTS: usize = 5;
/// Maximum length of a filter in characters.
const MAX_FILTER_CHARS: usize = 64;

/// The filter that a request selects.
struct Filter {
    service: Option<String>,
    /// Least severe level to show.
    level: Level,
    /// Uid, hotkey or beginning of a hotkey.
    miner: String,
}

/// Returns the beginning of a query parameter; empty without it.
fn parameter(view: &View, name: &str) -> String {
    view.param(name).unwrap_or_default().trim().chars().take(MAX_FILTER_CHARS).collect()
}

impl Filter {
    fn from_view(view: &View) -> Self {
        Self {
            service: Some(parameter(view, "service")).filter(|service| !service.is_empty()),
            level: Level::from_name(&parameter(view, "level")).unwrap_or(Level::Trace),
            miner: parameter(view, "miner"),
        }
    }

    fn matches(&self, entry: &Entry) -> bool {
        entry.level >= self.level
            && self.service.as_ref().is_none_or(|service| entry.service == *service)
            && (self.miner.is_empty() || entry.names(&self.miner))
    }
}

/// Renders the log's part of the overview: the latest warnings and errors.
pub(super) fn overview(view: &View, state: &State) -> Markup {
    let newest = state.entries.iter().rev().map(Arc::as_ref);
    let warnings_and_errors: Vec<&Entry> =
        newest.filter(|entry| entry.level >= Level::Warn).take(MAX_OVERVIEW_EVENTS).collect();
    let body = html! {
        section.card aria-labelledby="log" {
            h2 id="log" { a href=(view.href("/log")) { "Log" } }
            @if warnings_and_errors.is_empty() { p.empty { "No warnings and no errors." } }
            @else { (table(&warnings_and_errors, "Latest warnings and errors")) }
        }
    };
    live("log-overview", &body)
}

/// Renders the events, newest first.
pub(super) fn page(view: &View, state: &State) -> Response {
    let filter = Filter::from_view(view);
    let newest = state.entries.iter().rev().map(Arc::as_ref);
    let matching: Vec<&Entry> = newest.filter(|entry| filter.matches(entry)).collect();
    let paging = Paging::of(view, "page", PER_PAGE, matching.len());
    let is_paused = view.param("follow") == Some("no");
    let events = html! {
        (warning(state))
        section.card aria-labelledby="events" {
            div.head {
                h2 id="events" { "Events" span.sub { " " (matching.len()) " of " (state.entries.len()) ", newest first" } }
                nav.tabs aria-label="Updates" {
                    a href=(view.href_with(&[("follow", "")])) aria-current=[(!is_paused).then_some("true")] { "Follow" }
                    a href=(view.href_with(&[("follow", "no")])) aria-current=[is_paused.then_some("true")] { "Pause" }
                }
            }
            @if matching.is_empty() { p.empty { "No event matches." } }
            @else { (table(paging.slice(&matching), "Events")) }
            (paging.links(view, "events"))
        }
    };
    let body = html! {
        h1 { "Log" }
        section.card { (form(view, state, &filter)) }
        @if is_paused { (events) } @else { (live("log-events", &events)) }
    };
    view.page("Log", &body)
}

fn warning(state: &State) -> Markup {
    html! {
        @for reason in &state.problems { (problem("A log file cannot be read", reason)) }
        @if state.malformed > 0 {
            (problem("Lines skipped", &format!(
                "{} of the log files: not in the format of --log-format json",
                if state.malformed == 1 { "1 line".to_owned() } else { format!("{} lines", state.malformed) }
            )))
        }
    }
}

fn form(view: &View, state: &State, filter: &Filter) -> Markup {
    let mut services: BTreeSet<&str> =
        state.entries.iter().map(|entry| entry.service.as_str()).collect();
    services.extend(filter.service.as_deref());
    html! {
        form.filter method="get" action=(view.href("/log")) role="search" {
            label {
                "Service "
                select name="service" {
                    option value="" { "all" }
                    @for service in services {
                        option value=(service) selected[filter.service.as_deref() == Some(service)] { (printable(service)) }
                    }
                }
            }
            label {
                "Level "
                select name="level" {
                    @for level in Level::ALL {
                        option value=(level) selected[filter.level == level] {
                            (level) @if level != Level::Error { " and above" }
                        }
                    }
                }
            }
            label { "Miner " input type="search" name="miner" value=(filter.miner) placeholder="uid or hotkey"; }
            button { "Apply" }
        }
    }
}

fn table(entries: &[&Entry], label: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table.log {
                thead {
                    tr {
                        th scope="col" { "Time" }
                        th scope="col" { "Level" }
                        th scope="col" { "Service" }
                        th scope="col" { "Event" }
                    }
                }
                tbody {
                    @for entry in entries {
                        tr {
                            td { (time(entry)) }
                            td { span class=(badge(entry.level)) { (entry.level) } }
                            td.mono { (entry.service) }
                            td.event {
                                (entry.message)
                                @for (name, value) in &entry.fields { " " span.field { b { (name) } "=" (value) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn time(entry: &Entry) -> Markup {
    let time = entry.time.to_zoned(TimeZone::UTC);
    html! { time datetime=(entry.time) title=(time.strftime("%Y-%m-%d")) { (time.strftime("%H:%M:%S%.3f")) } }
}

const fn badge(level: Level) -> &'static str {
    match level {
        Level::Error => "badge bad",
        Level::Warn => "badge warn",
        Level::Info => "badge active",
        Level::Debug | Level::Trace => "badge",
    }
}
