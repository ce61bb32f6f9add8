//! `bb config show|check`.

use clap::Subcommand;
use serde_json::json;
use taonet_babelbit_config::variables;

use crate::context::Context;
use crate::exit::{Classified, Failure};
use crate::settings;
use crate::table::table;
use crate::tables::SETTINGS;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every setting with its value and origin
    Show,
    /// Validate the environment; exit code 2 for invalid values, 0 for warnings alone
    Check,
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    let read = settings::read_with_network();
    let (config, warnings) = read.map_err(|error| Classified::error(Failure::Usage, error.to_string()))?;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    match command {
        Command::Check if context.json => context.print_json(&json!({ "warnings": warnings })),
        Command::Check if warnings.is_empty() => context.print("all settings are valid"),
        Command::Check => context.print(&warnings.join("\n")),
        Command::Show => {
            let known = variables().iter().filter(|variable| variable.apply.is_some()).map(|variable| {
                (variable.name, (variable.show)(&config), settings::origin(variable.name), variable.help)
            });
            if context.json {
                let settings: Vec<_> = known
                    .map(|(name, value, origin, help)| {
                        json!({ "name": name, "value": value, "origin": origin, "help": help })
                    })
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
    }
}
