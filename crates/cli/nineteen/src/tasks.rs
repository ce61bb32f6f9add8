//! The `tao nineteen tasks` command.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::TASKS;
use taonet_cli_models::chat_model;
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_primitives::counted;

use super::tokenizers;

/// Task file of a market with one model; `TASK` and `MODEL` stand for the names.
const MODEL_TASK: &str = include_str!("tasks/model.toml");

/// Print the default tasks, or check a task file
#[derive(Debug, Args)]
pub struct TasksArgs {
    /// Task file to check [default: print the default tasks]
    #[arg(conflicts_with = "model")]
    file: Option<PathBuf>,
    /// Print one task for chats with this model instead: a directory, a GGUF file, or a name in
    /// `tao models list`
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
}

/// Returns the task file of a market for chats with one model, and its content.
pub(crate) fn task_for_model(model: &Path) -> anyhow::Result<(String, MarketConfig)> {
    let name = chat_model::model_name(model);
    let to_task_name_char = |character: char| {
        if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' }
    };
    let task = format!(
        "chat-{}",
        name.to_ascii_lowercase().chars().map(to_task_name_char).collect::<String>()
    );
    let task: TaskName =
        task.parse().with_context(|| format!("cannot name a task after the model {name}"))?;
    // A string of JSON is one of TOML.
    let file = MODEL_TASK.replace("TASK", task.as_str()).replace("MODEL", &json!(name).to_string());
    let config = MarketConfig::from_toml(&file)
        .with_context(|| format!("no task file for the model {name}"))?;
    Ok((file, config))
}

pub(crate) fn run(args: &TasksArgs, context: &Context) -> anyhow::Result<()> {
    let Some(path) = &args.file else {
        let (file, config) = match &args.model {
            Some(model) => task_for_model(model)?,
            None => (MarketConfig::default_toml().to_owned(), MarketConfig::default()),
        };
        return if context.json {
            context.print_json(&config)
        } else {
            context.print(file.trim_end())
        };
    };
    let market = MarketFile::open(path)?.current();
    if context.json {
        return context.print_json(&*market);
    }
    let period = market.period().get();
    let enabled_count = market.enabled().count();
    context.print_notice(&format!(
        "{}: {}, periods of {period} s",
        path.display(),
        counted(enabled_count, "enabled task")
    ));
    for warning in tokenizers::missing_warnings(&market, tokenizers::finder()?) {
        context.print_notice(&warning);
    }
    if enabled_count == 0 {
        return context.print_json(&json!([]));
    }
    let mut rows = table(&TASKS);
    for task in market.enabled() {
        rows.add_row([task.task.to_string(), task.weight.to_string()]);
    }
    context.print(&rows.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_name_is_derived_from_the_model_name() {
        for (model, task) in [
            ("SmolLM2-135M-Instruct", "chat-smollm2-135m-instruct"),
            ("/models/Llama-3.2_1B \"x\".gguf", "chat-llama-3.2-1b--x-"),
        ] {
            let (file, config) = task_for_model(Path::new(model)).unwrap();
            assert_eq!(MarketConfig::from_toml(&file).unwrap(), config);
            let [only] = config.tasks.as_slice() else { panic!("{file}") };
            assert_eq!(only.task.as_str(), task);
            let name = &only.orchestrator_server_config.load_model_config["model"];
            assert_eq!(*name, json!(chat_model::model_name(Path::new(model))));
        }
        assert!(task_for_model(Path::new(&"x".repeat(80))).is_err());
    }
}
