//! Configuration file of the market.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::config::ConfigError;

/// Failure to load the market's configuration file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarketFileError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("invalid configuration {}: {source}", path.display())]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// The invalid field and the reason.
        source: ConfigError,
    },
}

/// The market's configuration: a file that is reloaded at each period, or a fixed value. Clones share state.
#[derive(Debug, Clone)]
pub struct MarketFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    current: RwLock<Arc<MarketConfig>>,
}

impl MarketFile {
    /// Creates a fixed configuration without a file.
    pub fn fixed(config: MarketConfig) -> Self {
        Self(Arc::new(Inner { path: None, current: RwLock::new(Arc::new(config)) }))
    }

    /// Opens a configuration file.
    ///
    /// # Errors
    /// [`MarketFileError`] when the file is unreadable or invalid; it names the field.
    pub fn open(path: &Path) -> Result<Self, MarketFileError> {
        let current = RwLock::new(Arc::new(read(path)?));
        Ok(Self(Arc::new(Inner { path: Some(path.to_owned()), current })))
    }

    /// Returns the configuration as last read.
    pub fn current(&self) -> Arc<MarketConfig> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reloads the file and returns the configuration. An invalid file is logged and changes nothing.
    pub fn reload(&self) -> Arc<MarketConfig> {
        let Some(path) = &self.0.path else { return self.current() };
        match read(path) {
            Ok(config) => {
                let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
                if **current != config {
                    tracing::info!(path = %path.display(), "market configuration reloaded");
                    *current = Arc::new(config);
                }
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "market configuration not reloaded"),
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
