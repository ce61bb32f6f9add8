//! The log file in the directory of a run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Returns the path of the log file in the directory of a run.
pub fn log_file(directory: &Path) -> PathBuf {
    directory.join("log.jsonl")
}

/// Records the process's events in the directory of a run, for the dashboard. Creates the
/// directory.
pub fn record(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let file = log_file(directory);
    taonet_telemetry::record_log(&file).with_context(|| format!("cannot write {}", file.display()))
}
