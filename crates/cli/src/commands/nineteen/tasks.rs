//! The `tao nineteen tasks` command.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::MarketConfig;
use taonet_primitives::counted;

use crate::context::Context;
use crate::table::table;
use crate::tables::TASKS;

/// Print the default tasks, or check a task file
#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    /// Task file to check [default: print the default tasks]
    file: Option<PathBuf>,
}

pub(crate) fn run(args: &TasksArgs, context: &Context) -> anyhow::Result<()> {
    let Some(path) = &args.file else {
        if context.json {
            return context.print_json(&MarketConfig::default());
        }
        return context.print(MarketConfig::default_toml().trim_end());
    };
    let market = MarketFile::open(path)?.current();
    if context.json {
        return context.print_json(&*market);
    }
    let period = market.period().get();
    let count = market.enabled().count();
    context.say(&format!("{}: {}, periods of {period} s", path.display(), counted(count, "enabled task")));
    if count == 0 {
        return context.print_json(&json!([]));
    }
    let mut rows = table(&TASKS);
    for task in market.enabled() {
        rows.add_row([task.task.to_string(), task.weight.to_string()]);
    }
    context.print(&rows.to_string())
}
