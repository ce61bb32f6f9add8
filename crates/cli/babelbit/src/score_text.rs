//! The `bb score-text` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_core::Rules;
use taonet_babelbit_scorer::score_text_document;
use taonet_cli_base::context::Context;

use crate::score::{log_warnings, read_document};
use crate::settings;

/// Score the predictions of text dialogues
#[derive(Debug, Args)]
pub struct TextArgs {
    /// JSON file {"events": [lines of a dialogue's log], "vectors": {text: [numbers]},
    /// "lex_weight": 0.0}, or an array of such documents; `-` is standard input. Without vectors,
    /// every cosine is 0
    file: PathBuf,
    /// Scoring rules: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
}

/// Scores the predictions and prints the result as JSON, even without `--json`.
pub(crate) fn run(args: &TextArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let outcome =
        score_text_document(read_document(&args.file)?, args.rules.unwrap_or(config.rules))
            .with_context(|| args.file.display().to_string())?;
    context.print_json(&log_warnings(outcome))
}
