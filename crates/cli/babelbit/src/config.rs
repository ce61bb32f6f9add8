//! `bb config show|check`.

use clap::Subcommand;
use serde_json::json;
use taonet_babelbit_config::{Difference, DifferenceKind, differences, variables};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::preflight::finding_json;
use taonet_cli_base::settings;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::SETTINGS;

use crate::settings::CheckedSettings;

#[derive(Debug, Subcommand)]
pub enum Command {
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
    let read = crate::settings::read_with_network();
    let (config, warnings) = read.map_err(|error| ClassifiedError::usage(error.to_string()))?;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let applied_variables =
        variables().iter().filter(|variable| variable.apply.is_some()).map(|variable| {
            (
                variable.name,
                (variable.show)(&config),
                settings::origin(variable.name),
                variable.help,
            )
        });
    if context.json {
        let settings: Vec<_> = applied_variables
            .map(|(name, value, origin, help)| json!({ "name": name, "value": value, "origin": origin, "help": help }))
            .collect();
        return context.print_json(&json!({ "settings": settings, "warnings": warnings }));
    }
    let mut rows = table(&SETTINGS);
    for (name, value, origin, help) in applied_variables {
        rows.add_row([name, &value, origin, help]);
    }
    for warning in warnings {
        context.print_notice(&warning);
    }
    context.print(&rows.to_string())
}

/// Reports invalid values as an error, and otherwise unknown settings, those without effect, and
/// those whose values have another effect than in the reference.
fn check(context: &Context) -> anyhow::Result<()> {
    let checked =
        crate::settings::check().map_err(|error| ClassifiedError::usage(error.to_string()))?;
    let CheckedSettings { warnings, differences: relevant, findings, .. } = checked;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    if context.json {
        let findings: Vec<_> = findings.iter().map(finding_json).collect();
        let differences: Vec<_> = differences()
            .iter()
            .map(|row| {
                json!({
                    "name": row.name,
                    "kind": row.kind.name(),
                    "set": settings::is_set(row.name),
                    "reference": row.reference,
                    "here": row.here,
                })
            })
            .collect();
        return context.print_json(
            &json!({ "warnings": warnings, "findings": findings, "differences": differences }),
        );
    }
    let lines: Vec<_> =
        warnings.into_iter().chain(relevant.into_iter().map(format_difference)).collect();
    context.print(
        if lines.is_empty() { "all settings are valid".to_owned() } else { lines.join("\n") }
            .as_str(),
    )
}

/// Formats a difference. One without effect has the form of a [`taonet_settings::Warning`].
fn format_difference(Difference { name, kind, reference, here, remedy }: &Difference) -> String {
    if *kind == DifferenceKind::NoEffect {
        format!("{name} has {here}; hint: {remedy}")
    } else {
        format!("{name}: {here} (in the reference: {reference}); hint: {remedy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_without_effect_is_reported_with_hint() {
        let text_of = |name: &str| {
            format_difference(differences().iter().find(|row| row.name == name).unwrap())
        };
        assert_eq!(text_of("PG_HOST"), "PG_HOST has no effect; hint: remove it");
        let differs = text_of("BB_SUBMIT_TIMEOUT_S");
        assert!(differs.starts_with("BB_SUBMIT_TIMEOUT_S: 30, and "), "{differs}");
        for row in differences().iter().filter(|row| row.kind == DifferenceKind::NoEffect) {
            assert!(
                format_difference(row).starts_with(&format!("{} has no effect; ", row.name)),
                "{row:?}"
            );
        }
    }
}
