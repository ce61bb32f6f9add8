//! Metrics in the Prometheus text format.

use std::collections::HashMap;

/// Maximum number of metrics of a service.
const MAX_METRICS: usize = 2_000;
/// Maximum length of names, labels and descriptions in characters.
const MAX_CHARACTERS: usize = 300;

/// Value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A value that only increases while the service runs.
    Counter(f64),
    /// The value of a gauge, or of a metric of unknown type.
    Gauge(f64),
    /// Number and sum of observed values.
    Histogram { count: f64, sum: f64 },
}

/// The part of a metric that one line contains.
enum SampleKind {
    Value,
    Sum,
    Count,
}

/// A metric with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    /// Labels as in the text format, such as `route="/start"`; empty without labels.
    pub(super) labels: String,
    pub(super) help: String,
    pub(super) value: Value,
}

/// Parses the text format into metrics in the order of their names and labels; skips malformed
/// lines, the buckets of histograms and the quantiles of summaries.
pub(super) fn parse(text: &str) -> Vec<Metric> {
    let (mut kinds, mut helps) = (HashMap::new(), HashMap::new());
    let mut metrics: Vec<Metric> = Vec::new();
    let mut indexes: HashMap<(String, String), usize> = HashMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some(kind)) => {
                    kinds.insert(name, kind.trim());
                }
                (Some("HELP"), Some(name), Some(help)) => {
                    helps.insert(name, help);
                }
                _ => {}
            }
            continue;
        }
        let Some((full_name, labels, number)) = sample(line) else { continue };
        // Buckets have the suffix `_bucket`, quantiles the name of their summary.
        if histogram(&kinds, full_name, "_bucket").is_some()
            || is_histogram(kinds.get(full_name).copied())
        {
            continue;
        }
        let (name, part) =
            match (histogram(&kinds, full_name, "_sum"), histogram(&kinds, full_name, "_count")) {
                (Some(name), _) => (name, SampleKind::Sum),
                (None, Some(name)) => (name, SampleKind::Count),
                (None, None) => (full_name, SampleKind::Value),
            };
        let key = (truncate(name), truncate(labels));
        let index = match indexes.get(&key) {
            Some(index) => *index,
            None if metrics.len() == MAX_METRICS => continue,
            None => {
                let value = match kinds.get(name).copied() {
                    Some("counter") => Value::Counter(0.0),
                    kind if is_histogram(kind) => Value::Histogram { count: 0.0, sum: 0.0 },
                    _ => Value::Gauge(0.0),
                };
                let help = truncate(helps.get(name).copied().unwrap_or_default());
                metrics.push(Metric { name: key.0.clone(), labels: key.1.clone(), help, value });
                indexes.insert(key, metrics.len() - 1);
                metrics.len() - 1
            }
        };
        match (metrics.get_mut(index).map(|metric| &mut metric.value), part) {
            (Some(Value::Counter(value) | Value::Gauge(value)), SampleKind::Value)
            | (Some(Value::Histogram { sum: value, .. }), SampleKind::Sum)
            | (Some(Value::Histogram { count: value, .. }), SampleKind::Count) => *value = number,
            _ => {}
        }
    }
    // Servers list them in any order, which may change from one response to the next.
    metrics.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
    metrics
}

fn is_histogram(kind: Option<&str>) -> bool {
    matches!(kind, Some("histogram" | "summary"))
}

/// Returns the name of the histogram or summary whose part with this suffix is `full_name`.
fn histogram<'a>(kinds: &HashMap<&str, &str>, full_name: &'a str, suffix: &str) -> Option<&'a str> {
    full_name.strip_suffix(suffix).filter(|name| is_histogram(kinds.get(name).copied()))
}

/// Splits a line into name, labels and value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (name, labels, after) = match line.split_once('{') {
        // Values of labels may contain braces.
        Some((name, after)) => {
            after.rsplit_once('}').map(|(labels, after)| (name, labels, after))?
        }
        None => line.split_once(' ').map(|(name, after)| (name, "", after))?,
    };
    let value = after.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then_some((name, labels, value))
}

fn truncate(text: &str) -> String {
    text.chars().take(MAX_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP taonet_engine_requests_total Requests answered
# TYPE taonet_engine_requests_total counter
taonet_engine_requests_total{route="/a}b",status="200"} 12
taonet_engine_requests_total{route="/",status="404"} 1
# TYPE taonet_engine_sessions gauge
taonet_engine_sessions 3.5 1700000000
# TYPE taonet_answer_seconds histogram
taonet_answer_seconds_bucket{contest="main",le="0.1"} 1
taonet_answer_seconds_bucket{contest="main",le="+Inf"} 4
taonet_answer_seconds_sum{contest="main"} 2
taonet_answer_seconds_count{contest="main"} 4
# TYPE latency summary
latency{quantile="0.5"} 1
latency_sum 9
latency_count 3
untyped_count 7
not a metric
broken{ 1
empty{}
"#;

    #[test]
    fn every_metric_type_is_parsed() {
        let metrics = parse(TEXT);
        let values: Vec<_> =
            metrics.iter().map(|metric| (&*metric.name, &*metric.labels, metric.value)).collect();
        let expected = [
            ("latency", "", Value::Histogram { count: 3.0, sum: 9.0 }),
            (
                "taonet_answer_seconds",
                "contest=\"main\"",
                Value::Histogram { count: 4.0, sum: 2.0 },
            ),
            ("taonet_engine_requests_total", "route=\"/\",status=\"404\"", Value::Counter(1.0)),
            ("taonet_engine_requests_total", "route=\"/a}b\",status=\"200\"", Value::Counter(12.0)),
            ("taonet_engine_sessions", "", Value::Gauge(3.5)),
            ("untyped_count", "", Value::Gauge(7.0)),
        ];
        assert_eq!(values, expected);
        assert_eq!(metrics[2].help, "Requests answered");
    }

    #[test]
    fn number_of_parsed_metrics_is_limited() {
        let lines: Vec<_> =
            (0..MAX_METRICS + 100).map(|number| format!("m{{n=\"{number}\"}} 1")).collect();
        assert_eq!(parse(&lines.join("\n")).len(), MAX_METRICS);
    }
}
