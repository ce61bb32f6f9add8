//! The `bb migrate` command.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_babelbit_runner::{EarlierChallenge, EarlierFiles};
use taonet_cli_base::context::Context;
use taonet_primitives::counted;

use super::runner::run_paths;
use crate::settings;

/// Number of challenges that the report lists.
const MAX_LISTED_CHALLENGES: usize = 20;

/// Show what a runner continues from the files of another program, such as the reference
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Directory of the run's files [default: directories from the environment]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: &MigrateArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let paths = run_paths(args.keep.as_deref(), &config);
    let result = EarlierFiles::read(&paths);
    let files = result
        .with_context(|| format!("cannot read the files below {}", paths.scores.display()))?;
    let transcripts = cached_transcripts(&config.transcript_cache)?;
    if context.json {
        let document = json!({
            "challenges": files.challenges, "unreadable": files.unreadable, "cached_transcripts": transcripts,
        });
        context.print_json(&document)?;
    } else {
        context.print(&format_report(&files, transcripts))?;
    }
    match files.unreadable.len() {
        0 => Ok(()),
        count => bail!(
            "malformed: {}\nhint: runners ignore them and call these miners again: restore or remove them",
            counted(count, "file")
        ),
    }
}

/// Counts the lines of the transcript cache that have no recogniser, as the reference writes them.
fn cached_transcripts(path: &Path) -> anyhow::Result<usize> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        result => result.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let parsed = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(&line).ok());
    Ok(parsed
        .filter(|line| line.get("wav_sha256").is_some() && line.get("recognizer").is_none())
        .count())
}

fn format_report(files: &EarlierFiles, transcripts: usize) -> String {
    let mut text = String::new();
    let omitted = files.challenges.len().saturating_sub(MAX_LISTED_CHALLENGES);
    for EarlierChallenge { challenge_uid, challenge_type, scored_miners, run_logs, processed_at } in
        files.challenges.iter().skip(omitted)
    {
        let processed = processed_at
            .as_ref()
            .map_or("not completed".to_owned(), |time| format!("completed {time}"));
        let (miners, logs) = (counted(*scored_miners, "miner"), counted(*run_logs, "run log"));
        let _ = writeln!(
            text,
            "{challenge_uid} ({challenge_type}): {miners} scored, {logs}, {processed}"
        );
    }
    if omitted > 0 {
        let _ = writeln!(text, "and {}", counted(omitted, "earlier challenge"));
    }
    for path in &files.unreadable {
        let _ = writeln!(text, "malformed: {}", path.display());
    }
    let scored = files.challenges.iter().map(|challenge| challenge.scored_miners).sum::<usize>();
    let _ = write!(
        text,
        "{} with result files; the runner calls none of {} again in their challenges\n{} of faster-whisper models in the \
         cache",
        counted(files.challenges.len(), "challenge"),
        counted(scored, "scored miner"),
        counted(transcripts, "transcript")
    );
    text
}
