//! The `bb compute-weights` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_core::Rules;
use taonet_babelbit_scorer::compute_weights_document;
use taonet_cli_base::context::Context;

use crate::score::{log_warnings, read_document};
use crate::settings;

/// Compute weights from scores
#[derive(Debug, Args)]
pub struct WeightsArgs {
    /// JSON file {"main": [[uid, score], …], "arena": [[uid, score], …], "arena_percent": 90,
    /// "burn_uid": 248}; `-` is standard input. arena_percent defaults to
    /// BB_ARENA_INCENTIVE_PERCENT
    file: PathBuf,
    /// Scoring rules: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
}

/// Computes the weights and prints `{"uids": […], "weights": […]}`, even without `--json`.
pub(crate) fn run(args: &WeightsArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let mut document = read_document(&args.file)?;
    if let Some(fields) = document.as_object_mut() {
        fields.entry("arena_percent").or_insert_with(|| (config.arena_share.get() * 100.0).into());
    }
    let outcome = compute_weights_document(document, args.rules.unwrap_or(config.rules))
        .with_context(|| args.file.display().to_string())?;
    context.print_json(&log_warnings(outcome))
}
