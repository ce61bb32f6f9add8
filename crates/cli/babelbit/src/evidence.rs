//! `bb evidence export|verify`.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use taonet_babelbit_audit::evidence::{Bundle, export};
use taonet_cli_base::context::Context;
use taonet_cli_base::keys::KeyArgs;
use taonet_primitives::Hotkey;
use taonet_service::{Access, atomic_write_with};

use super::audit::{EngineArgs, RunFilesArgs, check, format_report};
use crate::settings;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Export a challenge's evidence into one signed file
    Export(ExportArgs),
    /// Verify an evidence file: signature, hashes, scores; exit code 1 for any mismatch
    Verify(VerifyArgs),
}

/// Export a challenge's evidence into one signed file. The file is an uncompressed tar:
/// manifest.json (utterances, reference, conditions, transcripts, frame times, hashes, scores),
/// signature.json (the validator's signature over the manifest's SHA-256) and the audio of every
/// reply.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Challenge uid
    challenge: String,
    /// Output file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    files: RunFilesArgs,
    #[command(flatten)]
    key: KeyArgs,
}

/// Verify an evidence file: signature, hashes, recomputed scores.
/// The exit code is 1 for any mismatch, and for engines or options other than the recorded ones.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Evidence file
    file: PathBuf,
    /// Hotkey that must have signed the file
    #[arg(long, value_name = "HOTKEY")]
    signed_by: Option<Hotkey>,
    #[command(flatten)]
    engines: EngineArgs,
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Export(args) => run_export(args, context),
        Command::Verify(args) => run_verify(args, context),
    }
}

fn run_export(args: &ExportArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let validator = args.key.load(None)?;
    let paths = args.files.paths(&config);
    let record = args.files.record(&args.challenge, &config, context)?;
    let mut export_error = None;
    let write_result = atomic_write_with(&args.output, Access::Everyone, |file| {
        export(&record, &paths, &validator, io::BufWriter::new(file)).map_err(|error| {
            let text = error.to_string();
            export_error = Some(error);
            io::Error::other(text)
        })
    });
    if let Some(error) = export_error {
        return Err(error.into());
    }
    write_result?;
    let bytes =
        std::fs::metadata(&args.output).with_context(|| args.output.display().to_string())?.len();
    if context.json {
        let (challenge, hotkey) = (&args.challenge, validator.hotkey());
        let file = args.output.display().to_string();
        return context.print_json(&json!({
            "schema": "taonet.evidence-export/1", "challenge_uid": challenge, "file": file, "bytes": bytes,
            "validator_hotkey": hotkey,
        }));
    }
    context.print(&format!(
        "{}: {:.1} MB, signed by {}",
        args.output.display(),
        bytes as f64 / 1e6,
        validator.hotkey()
    ))
}

fn run_verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let bundle = read_bundle(&args.file, directory.path())?;
    if let Some(expected) = args.signed_by.filter(|expected| *expected != bundle.validator()) {
        bail!("{} signed {}, not {expected}", bundle.validator(), args.file.display());
    }
    let engines = args.engines.load(bundle.conditions(), config, context)?;
    let report = bundle.verify(&engines)?;
    if context.json {
        context.print_json(&report)?;
    } else {
        let hash = &report.manifest_sha256;
        context.print(&format!(
            "signed by {} · manifest {hash:.16}…\n{}",
            report.validator_hotkey,
            format_report(&report.audit)
        ))?;
    }
    check(&report.audit)
}

fn unusable_message(file: &Path) -> String {
    format!("{} cannot be used", file.display())
}

fn read_bundle(file: &Path, directory: &Path) -> anyhow::Result<Bundle> {
    let bundle_file = File::open(file).with_context(|| unusable_message(file))?;
    Bundle::read(BufReader::new(bundle_file), directory).with_context(|| unusable_message(file))
}
