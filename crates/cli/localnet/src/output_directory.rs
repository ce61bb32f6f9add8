//! The output directory of a demonstration.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// Output directory: permanent (`--keep`) or temporary.
pub enum OutputDirectory {
    /// A directory that remains.
    Kept(PathBuf),
    /// A directory that is removed at the end.
    Temporary(TempDir),
}

impl OutputDirectory {
    /// Creates the directory, by default a temporary one.
    pub fn open(keep: Option<PathBuf>) -> anyhow::Result<Self> {
        match keep {
            Some(directory) => {
                std::fs::create_dir_all(&directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                Ok(Self::Kept(directory))
            }
            None => Ok(Self::Temporary(
                tempfile::tempdir().context("cannot create a temporary directory")?,
            )),
        }
    }

    /// Returns the directory's path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(directory) => directory,
            Self::Temporary(directory) => directory.path(),
        }
    }
}
