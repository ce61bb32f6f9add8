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
            Some(dir) => {
                std::fs::create_dir_all(&dir)
                    .with_context(|| format!("cannot create {}", dir.display()))?;
                Ok(Self::Kept(dir))
            }
            None => Ok(Self::Temporary(
                tempfile::tempdir().context("cannot create a temporary directory")?,
            )),
        }
    }

    /// Returns the directory's path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}
