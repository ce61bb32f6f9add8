//! Results that the scripts report, and their tables in docs/localnet-tools.md.

use std::collections::BTreeMap;

use serde_json::Value;

use super::btcli::BTCLI;
use crate::support::repository;

/// Known failures: tool, operation, and start of the error.
const KNOWN_FAILURES: &[(&str, &str, &str)] = &[
    (BTCLI, "sudo senate", "Unsupported: the real chain has no senate"),
    (BTCLI, "sudo proposals", "Unsupported: the real chain has no senate"),
    (BTCLI, "sudo senate-vote", "Unsupported: the real chain has no senate"),
    (BTCLI, "stake set-claim", "Unsupported: the real chain has baskets"),
    (BTCLI, "stake process-claim", "Unsupported: the real chain has baskets"),
    (BTCLI, "wallet history", "Unsupported: btcli has disabled the command on every chain"),
    (
        BTCLI,
        "weights commit",
        "Unsupported: btcli reads a storage item under a name that no chain has",
    ),
];

/// Results of one tool.
pub(super) struct ToolReport {
    /// Name and version of the tool.
    pub(super) tool: String,
    operations: serde_json::Map<String, Value>,
}

impl ToolReport {
    /// Parses a script's report on its tools.
    pub(super) fn all(report: &Value) -> Vec<Self> {
        let tool = |one: &Value| Self {
            tool: format!("{} {}", one["tool"].as_str().unwrap(), one["version"].as_str().unwrap()),
            operations: one["did"].as_object().unwrap().clone(),
        };
        report.as_array().unwrap().iter().map(tool).collect()
    }

    /// Result of an operation.
    #[track_caller]
    pub(super) fn value(&self, operation: &str) -> &Value {
        let result = self
            .operations
            .get(operation)
            .unwrap_or_else(|| panic!("{} did not do {operation}", self.tool));
        assert_eq!(result["ok"], true, "{} {operation}: {result}", self.tool);
        &result["value"]
    }

    /// Errors of failed operations, one line each.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&str, String)> {
        let failed = self.operations.iter().filter(|(_, result)| result["ok"] != true);
        failed.map(|(operation, result)| {
            let reason =
                result["value"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
            (operation.as_str(), reason.replace('|', "\\|"))
        })
    }

    /// Table rows, one for each result.
    fn rows(&self) -> String {
        let failures: BTreeMap<_, _> = self.failures().collect();
        let mut results: Vec<(String, Vec<&str>)> = Vec::new();
        for operation in self.operations.keys().map(String::as_str) {
            let result = failures
                .get(operation)
                .map_or_else(|| "works".to_owned(), |reason| format!("fails: {reason}"));
            match results.iter_mut().find(|(other, _)| *other == result) {
                Some((_, operations)) => operations.push(operation),
                None => results.push((result, vec![operation])),
            }
        }
        let row = |(result, operations): &(String, Vec<&str>)| {
            format!("| {} | {} | {result} |\n", self.tool, operations.join("; "))
        };
        results.iter().map(row).collect::<Vec<_>>().concat()
    }

    /// Fails for unexpected failures, and for known failures that now succeed.
    fn check_failures(&self) {
        let failed: BTreeMap<_, _> = self.failures().collect();
        let known_failures = KNOWN_FAILURES.iter().filter(|(tool, ..)| *tool == self.tool);
        let known_failures: BTreeMap<_, _> =
            known_failures.map(|(_, operation, reason)| (*operation, *reason)).collect();
        for (operation, reason) in &failed {
            let expected = known_failures
                .get(operation)
                .is_some_and(|beginning| reason.starts_with(beginning));
            assert!(expected, "{}: {operation} fails: {reason}", self.tool);
        }
        for operation in known_failures.keys() {
            assert!(failed.contains_key(operation), "{}: {operation} works now", self.tool);
        }
    }
}

/// Compares the table after a comment of docs/localnet-tools.md with the results, or writes it.
pub(super) fn check_table(comment: &str, tools: &[&ToolReport]) {
    const END: &str = "<!-- end -->\n";
    let begin = format!("<!-- {comment} -->\n");
    let rows: String = tools.iter().map(|report| report.rows()).collect();
    let table = format!("| Tool | Operations | Result |\n|---|---|---|\n{rows}");
    let path = repository("docs/localnet-tools.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (head, remaining) =
        document.split_once(&begin).expect("docs/localnet-tools.md has a place for the table");
    let (documented, tail) = remaining.split_once(END).expect("the table ends");
    if std::env::var_os("TAONET_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{begin}{table}{END}{tail}")).unwrap();
    }
    for report in tools {
        report.check_failures();
    }
    if std::env::var_os("TAONET_UPDATE_DOCS").is_none() {
        assert_eq!(documented, table, "run again with TAONET_UPDATE_DOCS=1");
    }
}
