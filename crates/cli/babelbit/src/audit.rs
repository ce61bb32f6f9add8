//! The `bb audit` command.

use std::fmt::Write as _;
use std::path::PathBuf;
use taonet_primitives::{counted, truncated};

use clap::Args;
use serde_json::Value;
use taonet_babelbit_audit::audit::{AuditReport, ChallengeRecord, Engines, Mismatch, audit};
use taonet_babelbit_config::Config;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_runner::RunPaths;
use taonet_babelbit_scorer::ScoringConditions;
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{table, wrap_text};
use taonet_cli_base::tables::{CONDITIONS, MISMATCHES};
use taonet_cli_models::engines;
use taonet_speech::models::describe_recognizer;

use super::runner::run_paths;
use crate::settings;

/// Maximum length of a value in a table, in characters.
const MAX_VALUE_CHARS: usize = 48;

/// Recompute every score of a challenge from the recorded replies and compare. Each reply is
/// hashed, transcribed again and scored in its original batch; ledger, run.json, challenge_run,
/// challenge_score, audio.tar and status are compared with the result. The exit code is 1 for any
/// mismatch, and for engines or options other than the recorded ones.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Challenge uid
    challenge: String,
    #[command(flatten)]
    files: RunFilesArgs,
    #[command(flatten)]
    engines: EngineArgs,
}

/// Arguments that locate the files of a run
#[derive(Debug, Args)]
pub(crate) struct RunFilesArgs {
    /// Contest: main, solo or arena
    #[arg(long = "type", value_name = "TYPE", default_value = "main")]
    challenge_type: ChallengeType,
    /// Directory of the run's files [default: directories from the environment]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Arguments that select the scoring engines and rules
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Scoring rules to check against: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
}

impl RunFilesArgs {
    pub(crate) fn paths(&self, config: &Config) -> RunPaths {
        run_paths(self.keep.as_deref(), config)
    }

    /// Reads a challenge's record from the ledger.
    pub(crate) fn record(
        &self,
        challenge: &str,
        config: &Config,
        context: &Context,
    ) -> anyhow::Result<ChallengeRecord> {
        let state = self.paths(config).state;
        context.block_on(async {
            Ok(ChallengeRecord::read(&state, challenge, self.challenge_type).await?)
        })
    }
}

impl EngineArgs {
    /// Loads the recorded engines, if this build has them.
    pub(crate) fn load<'a>(
        &self,
        recorded: impl Iterator<Item = &'a ScoringConditions>,
        mut config: Config,
        context: &Context,
    ) -> anyhow::Result<Engines> {
        if let Some(rules) = self.rules {
            config.scoring.rules = rules;
        }
        // The default is the recorded recogniser. If the settings name another, the report lists
        // the difference.
        let recorded = recorded.last();
        if let (None, Some(recorded)) = (&config.recognizer, recorded) {
            config.recognizer = Some(recorded.recognizer.name.clone());
        }
        config.models_dir = self.models.clone().or(config.models_dir);
        let embedder =
            recorded.map_or(config.embedder.as_str(), |recorded| recorded.embedder.name.as_str());
        Ok(Engines {
            recognizer: engines::offline_scoring_recognizer(&config)?,
            embedder: engines::embedder(embedder, config.models_dir.clone(), context)?,
            options: config.scoring,
        })
    }
}

pub(crate) fn run(args: &AuditArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let paths = args.files.paths(&config);
    let record = args.files.record(&args.challenge, &config, context)?;
    let engines = args.engines.load(record.conditions(), config, context)?;
    let report = audit(&record, &paths, &engines)?;
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(&format_report(&report))?;
    }
    check(&report)
}

/// Returns an error for a report with mismatches or different conditions.
pub(crate) fn check(report: &AuditReport) -> anyhow::Result<()> {
    let (mismatches, conditions) = (report.mismatches.len(), report.different_conditions.len());
    match (mismatches, conditions) {
        (0, 0) => Ok(()),
        (0, _) => anyhow::bail!(
            "{} from the recorded ones, so the audit confirms no score",
            difference_summary(conditions)
        ),
        (mismatches, 0) => anyhow::bail!("{}", mismatch_summary(mismatches)),
        (mismatches, conditions) => anyhow::bail!(
            "{}; {} from the recorded ones\nhint: scores of other engines can differ without a fault",
            mismatch_summary(mismatches),
            difference_summary(conditions)
        ),
    }
}

fn difference_summary(conditions: usize) -> String {
    let verb = if conditions == 1 { "differs" } else { "differ" };
    format!("{} {verb}", counted(conditions, "scoring condition"))
}

fn mismatch_summary(mismatches: usize) -> String {
    let verb = if mismatches == 1 { "does" } else { "do" };
    format!("{} {verb} not match the recording", counted(mismatches, "value"))
}

/// Formats the report as text.
pub(crate) fn format_report(report: &AuditReport) -> String {
    let mut text = format!(
        "{} ({}) · {} · {} recomputed in {:.1} s · {}\n",
        printable(&report.challenge_uid),
        report.challenge_type,
        counted(report.miners, "miner"),
        counted(report.recomputed, "score"),
        report.wall_sec,
        counted(report.mismatches.len(), "mismatch"),
    );
    let notes = [
        (report.failed, "failed reply", "nothing to recompute"),
        (report.unscored, "unscored reply", "not scored yet"),
        (
            report.unknown_conditions,
            "unlabelled score",
            "no recorded conditions, recomputed with the engines of this machine",
        ),
    ];
    for (count, noun, note) in notes.iter().filter(|(count, ..)| *count > 0) {
        let _ = writeln!(text, "{}: {note}", counted(count, noun));
    }
    for conditions in &report.conditions {
        let ScoringConditions { recognizer, embedder, options, program, machine, .. } = conditions;
        let line = format!(
            "scored with {} ({:.12}) and {} ({:.12}), {} rules, by {program} on {machine}",
            describe_recognizer(&recognizer.name),
            recognizer.fingerprint,
            embedder.name,
            embedder.fingerprint,
            options.rules
        );
        let _ = writeln!(text, "{}", wrap_text(&printable(&line)));
    }
    if !report.different_conditions.is_empty() {
        let mut rows = table(&CONDITIONS);
        for difference in &report.different_conditions {
            rows.add_row([
                difference.field.clone(),
                shorten(&difference.recorded),
                shorten(&difference.here),
            ]);
        }
        let _ = writeln!(
            text,
            "\nScoring conditions of this machine that differ from the recorded ones:\n{rows}"
        );
    }
    if !report.mismatches.is_empty() {
        let mut rows = table(&MISMATCHES);
        for mismatch in &report.mismatches {
            rows.add_row(cells(mismatch));
        }
        let _ = writeln!(text, "\n{rows}");
    }
    text.trim_end().to_owned()
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

fn cells(mismatch: &Mismatch) -> [String; 7] {
    [
        or_dash(mismatch.miner_uid.map(|uid| uid.to_string())),
        or_dash(mismatch.miner_hotkey.map(|hotkey| hotkey.to_string())),
        or_dash(
            mismatch
                .utterance_id
                .clone()
                .or(mismatch.utterance_index.map(|index| index.to_string())),
        ),
        mismatch.location.name().to_owned(),
        mismatch.field.clone(),
        shorten(&mismatch.recorded),
        shorten(&mismatch.recomputed),
    ]
}

/// Truncates a value for a table.
fn shorten(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    };
    truncated(text, MAX_VALUE_CHARS)
}
