//! Export and import of scores, and the arguments that select the state of a validator.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::input;
use taonet_kit::{Scores, ScoresExport};
use taonet_primitives::{NetUid, counted};
use taonet_service::{Access, atomic_write_with};

/// The commands that export and import scores.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the scores of a validator and the record of its steps to a file
    Export(FileArgs),
    /// Replace the scores of a validator and the record of its steps by those in a file
    Import(FileArgs),
}

/// Arguments that select a file and a state
#[derive(Debug, Args)]
pub struct FileArgs {
    /// File of JSON lines
    file: PathBuf,
    #[command(flatten)]
    state: StateArgs,
}

/// Arguments that select the state of a validator
#[derive(Debug, Args)]
pub struct StateArgs {
    /// State directory of the validator
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Netuid of the subnet
    #[arg(long)]
    netuid: NetUid,
}

impl StateArgs {
    /// Returns the state directory.
    pub fn directory(&self) -> &Path {
        &self.state
    }

    /// Returns the path of the scores.
    fn scores_path(&self) -> PathBuf {
        self.state.join("scores.sqlite")
    }

    /// Opens the scores, which a running validator may be writing.
    pub(super) async fn open_read_only(&self) -> anyhow::Result<Scores> {
        let path = self.scores_path();
        anyhow::ensure!(
            path.is_file(),
            "{} does not exist\nhint: is --state that of the validator?",
            path.display()
        );
        let scores = Scores::open_read_only(&path, self.netuid).await;
        scores.with_context(|| format!("cannot open {}", path.display()))
    }
}

/// Exports or imports scores. `schema` is the name and version of the JSON document.
pub fn run(command: &Command, schema: &str, context: &Context) -> anyhow::Result<()> {
    let (export, preposition, file) = match command {
        Command::Export(args) => (export_scores(args, context)?, "in", &args.file),
        Command::Import(args) => (import_scores(args, context)?, "from", &args.file),
    };
    if context.json {
        return context.print_json(&document(schema, &export, file));
    }
    context.print(&format!("{} {preposition} {}", describe(&export), file.display()))
}

fn export_scores(args: &FileArgs, context: &Context) -> anyhow::Result<ScoresExport> {
    let export =
        context.block_on(async { Ok(args.state.open_read_only().await?.export().await?) })?;
    // A mistyped netuid must not replace a backup by a file without scores.
    anyhow::ensure!(
        export.scores() > 0 || export.last_step().is_some(),
        "{} has no scores of subnet {}\nhint: check --netuid and --state",
        args.state.scores_path().display(),
        args.state.netuid
    );
    atomic_write_with(&args.file, Access::Owner, |file| export.write(file))?;
    Ok(export)
}

fn import_scores(args: &FileArgs, context: &Context) -> anyhow::Result<ScoresExport> {
    let text = input::read_text(&args.file)?;
    let export = ScoresExport::parse(&text)
        .with_context(|| format!("cannot use {}", args.file.display()))?;
    let (directory, path) = (args.state.directory(), args.state.scores_path());
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    context.block_on(async {
        let scores = Scores::open(&path, args.state.netuid).await;
        let scores = scores.with_context(|| format!("cannot open {}", path.display()))?;
        scores
            .import(&export)
            .await
            .with_context(|| format!("cannot replace the scores in {}", path.display()))
    })?;
    Ok(export)
}

/// Returns the numbers of scores and steps in a file, and the block of the last step, as text.
fn describe(export: &ScoresExport) -> String {
    let (scores, steps) =
        (counted(export.scores(), "score"), counted(export.steps(), "recorded step"));
    let last = export
        .last_step()
        .map(|last| format!(", the last one at block {}", last.block))
        .unwrap_or_default();
    format!("{scores} and {steps}{last}")
}

fn document(schema: &str, export: &ScoresExport, file: &Path) -> Value {
    json!({
        "schema": schema,
        "file": file.display().to_string(),
        "netuid": export.netuid(),
        "scores": export.scores(),
        "steps": export.steps(),
        "block": export.last_step().map(|last| last.block),
    })
}
