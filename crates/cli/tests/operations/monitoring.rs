//! Checks prometheus.yml, its rules and the Grafana dashboards against docs/metrics.md, which
//! another test checks against the code.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::{check, is_installed, read, root};

/// Returns the names of the documented metrics in Prometheus, and of Prometheus's own.
fn documented_metrics() -> BTreeSet<String> {
    let document = read("docs/metrics.md");
    let mut names: BTreeSet<String> = ["up".to_owned()].into();
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        match cells[2] {
            "histogram" => {
                names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
            }
            _ => names.extend([name.to_owned()]),
        }
    }
    names
}

/// Removes the parts of a text between two characters.
fn remove_enclosed(text: &str, open: char, close: char) -> String {
    let mut depth = 0_usize;
    let remaining = text.chars().filter(|c| {
        let is_enclosed = depth > 0;
        depth = if *c == open {
            depth + 1
        } else if *c == close {
            depth.saturating_sub(1)
        } else {
            depth
        };
        !is_enclosed && *c != open
    });
    remaining.collect()
}

/// Returns the metrics in an expression: words that are not functions, labels or keywords.
fn metrics(expression: &str) -> Vec<String> {
    const KEYWORDS: [&str; 11] = [
        "by",
        "without",
        "on",
        "ignoring",
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "group_left",
        "group_right",
    ];
    let mut text = remove_enclosed(&remove_enclosed(expression, '{', '}'), '[', ']');
    for keyword in ["by", "without", "on", "ignoring"] {
        while let Some((before, (list, after))) = text
            .split_once(&format!("{keyword} ("))
            .and_then(|(before, remaining)| Some((before, remaining.split_once(')')?)))
        {
            assert!(
                list.chars().all(|c| c.is_ascii_alphanumeric() || "_, ".contains(c)),
                "{expression}"
            );
            text = format!("{before} {after}");
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut names = Vec::new();
    let mut remaining = text.as_str();
    while let Some(start) = remaining.find(is_name) {
        let word = remaining[start..].split(|c| !is_name(c)).next().unwrap();
        remaining = &remaining[start + word.len()..];
        let is_function = remaining.trim_start().starts_with('(');
        if !is_function
            && !word.starts_with(|c: char| c.is_ascii_digit())
            && !KEYWORDS.contains(&word)
        {
            names.push(word.to_owned());
        }
    }
    names
}

#[test]
fn metrics_are_found_in_expressions() {
    let metrics_in = |expression: &str| metrics(expression).join(" ");
    assert_eq!(
        metrics_in(r#"sum by (status) (rate(a_total{job="b", x=~"c"}[5m])) / 2"#),
        "a_total"
    );
    assert_eq!(
        metrics_in("histogram_quantile(0.95, sum by (le, job) (rate(a_bucket[1h]))) > 1e3"),
        "a_bucket"
    );
    assert_eq!(metrics_in("time() - last > 3600 or absent(last)"), "last last");
}

/// Returns every `expr` of a dashboard.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value.as_str().filter(|_| key == "expr") {
                Some(expression) => vec![expression.to_owned()],
                None => expressions(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn dashboards_show_metrics_that_exist() {
    let documented_metrics = documented_metrics();
    let compose = read("compose.yml");
    for (name, minimum) in [("babelbit", 10), ("nineteen", 10), ("proof", 5), ("prompting", 5)] {
        let dashboard: Value =
            serde_json::from_str(&read(&format!("grafana/{name}.json"))).unwrap();
        let expressions = expressions(&dashboard);
        assert!(expressions.len() > minimum, "{name}");
        for expression in &expressions {
            let metrics = metrics(expression);
            assert!(!metrics.is_empty(), "{expression}");
            for metric in metrics {
                assert!(
                    documented_metrics.contains(&metric),
                    "{metric} is not in docs/metrics.md: {expression}"
                );
            }
        }
        assert!(
            compose.contains(&format!(
                "./grafana/{name}.json:/var/lib/grafana/dashboards/{name}.json:ro"
            )),
            "{name}"
        );
    }
}

#[test]
fn alerts_watch_metrics_that_exist() {
    let rules = read("prometheus.rules.yml");
    let documented_metrics = documented_metrics();
    let mut count = 0;
    let expressions = rules
        .split("expr: ")
        .skip(1)
        .map(|remaining| remaining.split("\n        annotations").next().unwrap());
    for expression in
        expressions.map(|expression| expression.split("\n        for:").next().unwrap())
    {
        for metric in metrics(expression) {
            assert!(
                documented_metrics.contains(&metric),
                "{metric} is not in docs/metrics.md: {expression}"
            );
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

/// The targets are the four daemons of a Babelbit validator. The tests of
/// compose.yml check the ports of `validator` and `runner`.
#[test]
fn prometheus_scrapes_the_babelbit_validator() {
    let settings = read("prometheus.yml");
    let compose = read("compose.yml");
    let targets: BTreeSet<&str> = settings
        .split("targets: [\"")
        .skip(1)
        .map(|remaining| remaining.split('"').next().unwrap())
        .collect();
    let expected = ["subtensor-gateway:8010", "signer:8010", "validator:8010", "runner:8011"];
    assert_eq!(targets, expected.into());
    for (daemon, command) in
        [("subtensor-gateway", "bb -v subtensor-gateway"), ("signer", "bb -v signer")]
    {
        assert!(
            compose.contains(&format!("command: {command} --metrics 0.0.0.0:8010\n")),
            "{daemon}"
        );
    }
}

#[test]
fn promtool_accepts_the_monitoring_files() {
    if is_installed("promtool") {
        check(
            Command::new("promtool")
                .arg("check")
                .arg("rules")
                .arg(root().join("prometheus.rules.yml")),
        );
        check(
            Command::new("promtool").arg("check").arg("config").arg(root().join("prometheus.yml")),
        );
    }
}

#[test]
fn alert_rules_pass_promtool_tests() {
    if is_installed("promtool") {
        let folder = tempfile::tempdir().unwrap();
        let cases = folder.path().join("alerts.yml");
        let rules = root().join("prometheus.rules.yml");
        let text = include_str!("alerts.yml").replace("[RULES]", &format!("[{}]", rules.display()));
        std::fs::write(&cases, text).unwrap();
        check(Command::new("promtool").arg("test").arg("rules").arg(cases));
    }
}
