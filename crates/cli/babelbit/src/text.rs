//! `bb text`: models for the text contest.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use taonet_babelbit_text_miner::ngram::{MAX_CONTEXT, Trainer, read_utterances};
use taonet_cli_base::context::Context;
use taonet_primitives::counted;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train an n-gram model from texts or dialogues
    Train(TrainArgs),
}

/// Train an n-gram model from texts or dialogues
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Texts with one utterance on each line, or .json and .jsonl files of dialogues
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Model file to write
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// Maximum context length in words, 1 to 6
    #[arg(long, value_name = "WORDS", default_value_t = 4, value_parser = parse_context_words)]
    context: usize,
}

fn parse_context_words(text: &str) -> Result<usize, String> {
    let words = text.parse().ok().filter(|words| (1..=MAX_CONTEXT).contains(words));
    words.ok_or_else(|| format!("expected a number from 1 to {MAX_CONTEXT}"))
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Train(args) => train(args, context),
    }
}

/// Checks that a model file can be at this path, before the training.
fn check_output(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("{} is a directory\nhint: --output names the model file", path.display());
    }
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !directory.is_dir() {
        bail!(
            "{} is not a directory\nhint: create it, or choose another --output",
            directory.display()
        );
    }
    Ok(())
}

fn train(args: &TrainArgs, context: &Context) -> anyhow::Result<()> {
    let start = Instant::now();
    check_output(&args.output)?;
    let mut sizes = Vec::with_capacity(args.inputs.len());
    for input in &args.inputs {
        sizes.push(
            std::fs::metadata(input)
                .with_context(|| format!("cannot read {}", input.display()))?
                .len(),
        );
    }
    let style =
        ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}")?;
    let bar = ProgressBar::new(sizes.iter().sum()).with_style(style).with_message("reading");
    let mut trainer = Trainer::new(args.context)?;
    let mut bytes_read = 0;
    for (input, size) in args.inputs.iter().zip(sizes) {
        read_utterances(
            input,
            |read| bar.set_position(bytes_read + read),
            |text| trainer.add(text),
        )?;
        bytes_read += size;
    }
    bar.finish_and_clear();
    let (utterances, words) = (trainer.utterances(), trainer.words());
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len}")?;
    let bar =
        ProgressBar::new(args.context as u64).with_style(style).with_message("counting contexts");
    bar.enable_steady_tick(Duration::from_millis(100));
    let model = trainer.finish(|_| bar.inc(1))?;
    bar.finish_and_clear();
    model.save(&args.output)?;
    let seconds = start.elapsed().as_secs_f64();
    let (vocabulary, contexts) = (model.vocabulary_size(), model.contexts());
    if context.json {
        return context.print_json(&json!({
            "schema": "taonet.text-train/1", "model": args.output, "utterances": utterances, "words": words,
            "vocabulary": vocabulary, "contexts": contexts, "wall_sec": seconds,
        }));
    }
    context.print(&format!(
        "{}: {} with {} ({} different), {}, in {seconds:.1} s",
        args.output.display(),
        counted(usize::try_from(utterances)?, "utterance"),
        counted(usize::try_from(words)?, "word"),
        vocabulary,
        counted(contexts, "context"),
    ))
}
