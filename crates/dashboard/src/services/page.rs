use axum::response::Response;
use maud::{Markup, html};

use super::metrics::{Metric, Value};
use super::source::{Health, State};
use crate::format::{duration, printable, timestamp};
use crate::layout::{live, problem};
use crate::panel::{Column, Content, Panel, PlainTable};
use crate::table::Paging;
use crate::view::{Page, View};

/// Maximum number of metrics per page.
const PER_PAGE: usize = 100;

impl Health {
    const fn label(&self) -> &'static str {
        match self {
            Self::Unknown => "not read yet",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }

    const fn badge(&self) -> &'static str {
        match self {
            Self::Unknown | Self::Stopped => "badge",
            Self::Ready => "badge ok",
            Self::Starting => "badge warn",
            Self::Failed(_) => "badge bad",
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) => reason,
            Self::Unknown | Self::Ready | Self::Starting | Self::Stopped => "",
        }
    }
}

/// Renders the services' part of the overview.
pub(super) fn overview(view: &View, states: &[State]) -> Markup {
    let body = html! {
        section.card aria-labelledby="services" {
            h2 id="services" { a href=(view.href("/services")) { "Services" } }
            @if states.is_empty() { p.empty { "No service has started yet." } }
            @else { ul.list {
                @for state in states {
                    li {
                        span { (link(view, state)) }
                        small { span class=(state.health.badge()) { (state.health.label()) } " " (printable(state.health.reason())) }
                    }
                }
            } }
        }
    };
    live("services-overview", &body)
}

/// Returns the services' part of the overview in a terminal.
pub(super) fn panel(states: &[State]) -> Panel {
    let columns = vec![
        Column::text("Service"),
        Column::text("State"),
        Column::number("Response"),
        Column::text("Reason"),
    ];
    let rows = states
        .iter()
        .map(|state| {
            let latency = duration(state.latency.map(|latency| latency.as_secs_f64()));
            vec![
                state.address.name.clone(),
                state.health.label().to_owned(),
                latency,
                printable(state.health.reason()),
            ]
        })
        .collect();
    let table = PlainTable { columns, rows, empty: "No services." };
    Panel { title: "Services".to_owned(), problem: None, content: Content::Table(table) }
}

fn link(view: &View, state: &State) -> Markup {
    html! { a href=(view.href(&format!("/services/{}", state.address.name))) { (state.address.name) } }
}

/// Renders all services.
pub(super) fn list(view: &View, states: &[State]) -> Response {
    let table = html! {
        div.scroll tabindex="0" role="group" aria-label="Services" {
            table {
                thead {
                    tr {
                        th scope="col" { "Service" }
                        th scope="col" { "State" }
                        th.num scope="col" { "Response" }
                        th.num scope="col" { "Metrics" }
                        th scope="col" { "Last read" }
                        th scope="col" { "Address" }
                    }
                }
                tbody {
                    @for state in states {
                        tr {
                            th scope="row" { (link(view, state)) }
                            td { span class=(state.health.badge()) { (state.health.label()) } " " (printable(state.health.reason())) }
                            td.num { (duration(state.latency.map(|latency| latency.as_secs_f64()))) }
                            td.num { (state.metrics.len()) }
                            td { (last_read(state)) }
                            td.mono { (printable(&state.address.public_url())) }
                        }
                    }
                }
            }
        }
    };
    let body = html! {
        h1 { "Services" }
        section.card { (live("services-table", &table)) }
    };
    view.page("Services", &body)
}

fn last_read(state: &State) -> String {
    state.read_unix.map_or_else(|| "never".to_owned(), timestamp)
}

/// Renders the metrics of a service.
pub(super) fn service(view: &View, states: &[State], name: &str) -> Page {
    let Some(state) = states.iter().find(|state| state.address.name == name) else {
        return Err(view.missing("This service"));
    };
    let paging = Paging::of(view, "page", PER_PAGE, state.metrics.len());
    let part = html! {
        @if !state.health.reason().is_empty() { (problem("The service cannot be read", state.health.reason())) }
        section.card aria-labelledby="metrics" {
            div.head {
                h2 id="metrics" { "Metrics" }
                span.sub { span class=(state.health.badge()) { (state.health.label()) } " last read: " (last_read(state)) }
            }
            @if state.metrics.is_empty() { p.empty { "No metrics have been read." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="metrics" {
                    table.log {
                        thead { tr { th scope="col" { "Metric" } th scope="col" { "Labels" } th.num scope="col" { "Value" } } }
                        tbody { @for metric in paging.slice(&state.metrics) { (row(metric)) } }
                    }
                }
                (paging.links(view, "metrics"))
            }
        }
    };
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/services", "Services")], name))
        h1 { (name) }
        (live("service", &part))
    };
    Ok(view.page(name, &body))
}

fn row(metric: &Metric) -> Markup {
    html! {
        tr {
            th scope="row" { (printable(&metric.name)) div.field { (printable(&metric.help)) } }
            td.event { (printable(&metric.labels)) }
            td.num { (value(metric.value)) }
        }
    }
}

fn value(value: Value) -> String {
    match value {
        Value::Counter(value) | Value::Gauge(value) => compact(value),
        Value::Histogram { count, sum } if count > 0.0 => {
            format!("{} × {}", compact(count), compact(sum / count))
        }
        Value::Histogram { .. } => "0".to_owned(),
    }
}

/// Formats whole numbers without decimals, others with about four significant digits.
fn compact(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    match value.abs() {
        magnitude if !(1e-4..1e15).contains(&magnitude) => format!("{value:.3e}"),
        magnitude if magnitude >= 1_000.0 => format!("{value:.0}"),
        magnitude if magnitude >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_values_are_shortened() {
        for (number, text) in [
            (0.0, "0"),
            (12.0, "12"),
            (1_234_567.0, "1234567"),
            (1_234.5, "1234"),
            (1.23456, "1.235"),
            (0.012_345_6, "0.01235"),
            (0.000_012_3, "1.230e-5"),
            (1e300, "1.000e300"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(compact(number), text);
        }
        assert_eq!(value(Value::Histogram { count: 4.0, sum: 2.0 }), "4 × 0.50000");
    }
}
