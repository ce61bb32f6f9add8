//! The report of `tao doctor` as a table and as JSON.

use serde_json::{Value, json};
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::preflight::finding_json;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{Cell, key_values, status_cell, table, warning_cell};
use taonet_cli_base::tables::FINDINGS;
use taonet_doctor::{Report, Status};
use taonet_primitives::counted;

/// Returns the report as JSON.
pub(super) fn document(report: &Report) -> Value {
    let findings: Vec<_> = report.findings().iter().map(finding_json).collect();
    json!({
        "findings": findings,
        "faults": report.count(Status::Fault),
        "warnings": report.count(Status::Warning),
        "exit_code": report.exit_code(),
    })
}

/// Formats the report as text: the table, then the remedies.
pub(super) fn format_report(report: &Report) -> String {
    let mut rows = table(&FINDINGS);
    for finding in report.findings() {
        let code = finding.exit_code().map(|code| code.to_string()).unwrap_or_default();
        rows.add_row([
            finding.check.into(),
            colored_status(finding.status),
            code.into(),
            Cell::from(&finding.subject),
            Cell::from(&finding.seen),
        ]);
    }
    let mut text = rows.to_string();
    for finding in report.findings() {
        let Some(remedy) = &finding.remedy else { continue };
        let mut parts = key_values();
        parts.add_row([
            finding.status.name(),
            &format!("{}: {}", printable(&finding.subject), printable(&finding.seen)),
        ]);
        parts.add_row(["remedy", &printable(remedy)]);
        text = format!("{text}\n\n{}\n{parts}", finding.check);
    }
    text
}

fn colored_status(status: Status) -> Cell {
    match status {
        Status::Ok => status_cell(status.name(), true),
        Status::Warning => warning_cell(status.name()),
        Status::Fault => status_cell(status.name(), false),
        Status::Skipped => status.name().into(),
    }
}

/// Returns an error with the exit code of the first fault, if there is one.
pub(super) fn check_faults(report: &Report) -> anyhow::Result<()> {
    let Some(fault) = report.first_fault() else { return Ok(()) };
    let faults = counted(report.count(Status::Fault), "fault");
    let message =
        format!("{faults}; the first is {}: {}: {}", fault.check, fault.subject, fault.seen);
    let remedy = fault.remedy.as_deref().unwrap_or_default();
    let message = format!("{message}\nhint: {remedy}");
    Err(match Failure::from_code(report.exit_code()) {
        Some(failure) => ClassifiedError::error(failure, message),
        None => anyhow::anyhow!(message),
    })
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::exit_code;
    use taonet_doctor::{Check, Finding};

    use super::*;

    #[test]
    fn fault_sets_exit_code_and_document() {
        for check in Check::ALL {
            let mut report = Report::default();
            report.extend([
                Finding::fault(check, "subject", "broken", "mend it"),
                Finding::ok(check, "other", "fine"),
            ]);
            assert_eq!(exit_code(&check_faults(&report)), check.exit_code(), "{check}");
            let document = document(&report);
            assert_eq!(
                (&document["faults"], &document["exit_code"]),
                (&json!(1), &json!(check.exit_code()))
            );
            assert_eq!(document["findings"][0]["remedy"], json!("mend it"));
            assert_eq!(document["findings"][1]["exit_code"], Value::Null);
            assert!(format_report(&report).contains("mend it"));
        }
        let mut report = Report::default();
        report.extend([Finding::warning(Check::Keys, "subject", "odd", "mend it")]);
        assert_eq!(exit_code(&check_faults(&report)), 0);
    }
}
