//! The market's configuration file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::config::ConfigError;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarketFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// It is not a valid configuration.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field and what is wrong with it.
        source: ConfigError,
    },
}

/// The market's configuration: a file that is read again at each period, or a fixed one. Clones are the same file.
#[derive(Debug, Clone)]
pub struct MarketFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    current: RwLock<Arc<MarketConfig>>,
}

impl MarketFile {
    /// A configuration without a file.
    pub fn fixed(config: MarketConfig) -> Self {
        Self(Arc::new(Inner { path: None, current: RwLock::new(Arc::new(config)) }))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`MarketFileError`], which names the field.
    pub fn open(path: &Path) -> Result<Self, MarketFileError> {
        let current = RwLock::new(Arc::new(read(path)?));
        Ok(Self(Arc::new(Inner { path: Some(path.to_owned()), current })))
    }

    /// The configuration as it was last read.
    pub fn current(&self) -> Arc<MarketConfig> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again. One that is not valid changes nothing, and the log says why.
    pub fn reload(&self) -> Arc<MarketConfig> {
        let Some(path) = &self.0.path else { return self.current() };
        match read(path) {
            Ok(config) => {
                let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
                if **current != config {
                    tracing::info!(path = %path.display(), "tasks are read again");
                    *current = Arc::new(config);
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the tasks stay as they are"),
        }
        self.current()
    }
}

fn read(path: &Path) -> Result<MarketConfig, MarketFileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| MarketFileError::Read { path: path.to_owned(), source })?;
    MarketConfig::from_toml(&text).map_err(|source| MarketFileError::Config { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.toml");
        let text = MarketConfig::default_toml();
        std::fs::write(&path, text).unwrap();
        let file = MarketFile::open(&path).unwrap();
        std::fs::write(&path, text.replace("period = 1800", "period = 600")).unwrap();
        assert!((file.reload().period().get() - 600.0).abs() < 1e-9);
        for broken in ["", "period = \"long\"", &text.replace("period = 1800", "period = -1")] {
            std::fs::write(&path, broken).unwrap();
            assert!((file.reload().period().get() - 600.0).abs() < 1e-9, "{broken:.20}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!((file.reload().period().get() - 600.0).abs() < 1e-9);
        assert!(matches!(MarketFile::open(&path), Err(MarketFileError::Read { .. })));
    }
}
