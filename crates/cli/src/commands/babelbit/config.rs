//! `bb config show|check`.

use clap::Subcommand;
use serde_json::json;
use taonet_babelbit_config::{differences, variables};
use taonet_doctor::{Finding, Status};

use crate::commands::doctor::finding_json;
use crate::context::Context;
use crate::exit::{Classified, Failure};
use crate::settings;
use crate::table::table;
use crate::tables::{DIFFERENCES, SETTINGS};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every setting with its value and origin
    Show,
    /// Validate the environment; exit code 2 for invalid values, 0 for warnings alone
    Check,
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Show => show(context),
        Command::Check => check(context),
    }
}

/// Prints every setting.
fn show(context: &Context) -> anyhow::Result<()> {
    let read = settings::read_with_network();
    let (config, warnings) = read.map_err(|error| Classified::error(Failure::Usage, error.to_string()))?;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let known = variables()
        .iter()
        .filter(|variable| variable.apply.is_some())
        .map(|variable| (variable.name, (variable.show)(&config), settings::origin(variable.name), variable.help));
    if context.json {
        let settings: Vec<_> = known
            .map(|(name, value, origin, help)| json!({ "name": name, "value": value, "origin": origin, "help": help }))
            .collect();
        return context.print_json(&json!({ "settings": settings, "warnings": warnings }));
    }
    let mut rows = table(&SETTINGS);
    for (name, value, origin, help) in known {
        rows.add_row([name, &value, origin, help]);
    }
    for warning in warnings {
        context.say(&warning);
    }
    context.print(&rows.to_string())
}

/// Reports invalid values as an error, and otherwise the findings, then the variables that are read differently from the
/// reference.
fn check(context: &Context) -> anyhow::Result<()> {
    let (config, findings) = settings::check();
    if config.is_none() {
        let read = settings::read_with_network().map(|_| ());
        return read.map_err(|error| Classified::error(Failure::Usage, error.to_string()));
    }
    let warned = || findings.iter().filter(|finding| finding.status == Status::Warning);
    let line = |finding: &Finding| {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        format!("{}: {}; hint: {remedy}", finding.subject, finding.seen)
    };
    let warnings: Vec<_> = warned().map(line).collect();
    if context.json {
        let findings: Vec<_> = findings.iter().map(finding_json).collect();
        let differences = differences().iter().map(|row| {
            json!({ "name": row.name, "set": settings::is_set(row.name), "reference": row.reference, "here": row.here })
        });
        let differences: Vec<_> = differences.collect();
        return context.print_json(&json!({ "warnings": warnings, "findings": findings, "differences": differences }));
    }
    let mut rows = table(&DIFFERENCES);
    for row in differences() {
        rows.add_row([row.name, if settings::is_set(row.name) { "yes" } else { "" }, row.reference, row.here]);
    }
    let first = if warnings.is_empty() { "all settings are valid".to_owned() } else { warnings.join("\n") };
    let title = "Variables of the reference that are read differently here; all others are read as there:";
    context.print(&format!("{first}\n\n{title}\n\n{rows}"))
}
