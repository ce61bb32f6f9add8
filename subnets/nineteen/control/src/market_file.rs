//! Configuration file of the market.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use taonet_nineteen_core::config::{ConfigError, Votes};
use taonet_nineteen_core::{MarketConfig, Task, TaskName};
use taonet_primitives::without_bom;

use crate::References;

/// Why the market's configuration file cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarketFileError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
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

/// The market's configuration: a file that is reloaded at each period, or a value that the caller
/// replaces. Clones share state.
#[derive(Debug, Clone)]
pub struct MarketFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// The last valid configuration, as in the file.
    file: MarketConfig,
    /// The configuration in effect, derived from all other fields.
    current: Arc<MarketConfig>,
    /// Weights that the validators have voted for.
    votes: Votes,
    /// References of the tasks; `None` if another process checks the answers.
    references: Option<References>,
}

impl State {
    /// Derives the configuration in effect: with the voted weights, and without checks of tasks
    /// that have no reference.
    fn derive_current(&mut self) {
        let mut config = self.file.with_votes(&self.votes);
        if let Some(references) = &self.references {
            for task in &mut config.tasks {
                task.checked &= references.for_task(task).is_some();
                let was_checked =
                    self.current.task(task.task.as_str()).is_none_or(|task| task.checked);
                if task.enabled && !task.checked && was_checked {
                    tracing::warn!(
                        task = %task.task,
                        task_type = ?task.task_type,
                        "no checking server for tasks of this type: answers are not checked, and miners earn no weight"
                    );
                }
            }
        }
        self.current = Arc::new(config);
    }
}

impl MarketFile {
    /// Creates a fixed configuration without a file.
    pub fn from_config(config: MarketConfig) -> Self {
        Self::new(None, config)
    }

    /// Creates an empty configuration, for a process that follows a validator.
    pub fn empty() -> Self {
        let mut config = MarketConfig::default();
        config.tasks.clear();
        Self::from_config(config)
    }

    /// Opens a configuration file.
    ///
    /// # Errors
    /// [`MarketFileError`] when the file is unreadable or invalid; the error names the field.
    pub fn open(path: &Path) -> Result<Self, MarketFileError> {
        Ok(Self::new(Some(path.to_owned()), read(path)?))
    }

    fn new(path: Option<PathBuf>, config: MarketConfig) -> Self {
        let current = Arc::new(config.clone());
        let state = State { file: config, current, votes: Votes::default(), references: None };
        Self(Arc::new(Inner { path, state: RwLock::new(state) }))
    }

    /// Sets the references of the tasks. From now on, tasks without a reference are not checked,
    /// and each of them is logged once.
    pub fn set_references(&self, references: References) {
        let mut state = self.write_state();
        state.references = Some(references);
        state.derive_current();
    }

    /// Sets the weights that the validators have voted for, by task. They apply from the next
    /// [`Self::reload`], that is at the start of a period. An empty vote changes nothing.
    pub fn set_votes(&self, votes: impl IntoIterator<Item = (String, f64)>) {
        self.write_state().votes.update(votes);
    }

    /// Returns the weight of each task in the last valid file, without votes: 0 for tasks that the
    /// file disables.
    pub(crate) fn file_weights(&self) -> Vec<(TaskName, f64)> {
        let state = self.0.state.read().unwrap_or_else(PoisonError::into_inner);
        let weight = |task: &Task| if task.enabled { task.weight } else { 0.0 };
        state.file.tasks.iter().map(|task| (task.task.clone(), weight(task))).collect()
    }

    /// Replaces the configuration.
    pub fn replace(&self, config: MarketConfig) {
        let mut state = self.write_state();
        state.file = config;
        state.derive_current();
    }

    /// Returns the configuration in effect, which is derived from the last valid file.
    pub fn current(&self) -> Arc<MarketConfig> {
        Arc::clone(&self.0.state.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// Reloads the file, applies the votes and returns the configuration. If the file is invalid,
    /// logs why and uses the last valid one.
    pub fn reload(&self) -> Arc<MarketConfig> {
        let config = self.0.path.as_deref().map(|path| (path, read(path)));
        let mut state = self.write_state();
        match config {
            Some((path, Ok(config))) if state.file != config => {
                tracing::info!(path = %path.display(), "market configuration reloaded");
                state.file = config;
            }
            Some((_, Err(error))) => {
                tracing::warn!(error = &error as &dyn Error, "market configuration not reloaded");
            }
            _ => {}
        }
        state.derive_current();
        Arc::clone(&state.current)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<MarketConfig, MarketFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| MarketFileError::Read { path: path.to_owned(), source })?;
    MarketConfig::from_toml(without_bom(&text))
        .map_err(|source| MarketFileError::Config { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taonet_nineteen_checker::CheckingServer;

    use super::*;

    #[test]
    fn tasks_without_a_reference_are_not_checked() {
        let market = MarketFile::from_config(MarketConfig::default());
        let checked = || {
            let config = market.current();
            let is_checked = |task: &str| config.task(task).unwrap().checked;
            (is_checked("chat-llama-3-1-8b"), is_checked("avatar"))
        };
        assert_eq!(checked(), (true, true), "another process checks the answers");
        market.set_references(References::default());
        assert_eq!(checked(), (false, false));
        let url = "http://127.0.0.1:9".parse().unwrap();
        let server = CheckingServer::new(&url, None, Duration::from_secs(1)).unwrap();
        market.set_references(References::default().with_text_server(server.clone(), None));
        assert_eq!(checked(), (true, false));
        market.set_references(References::default().with_image_server(server));
        assert_eq!(checked(), (false, true));
        market.replace(MarketConfig::default());
        assert_eq!(checked(), (false, true));
    }

    #[test]
    fn invalid_market_file_keeps_the_current_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.toml");
        let text = MarketConfig::default_toml();
        std::fs::write(&path, text).unwrap();
        let file = MarketFile::open(&path).unwrap();
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
        assert!(MarketFile::open(&path).is_ok(), "with a byte order mark");
        std::fs::write(&path, text.replace("period = 1800", "period = 600")).unwrap();
        assert!((file.reload().period().get() - 600.0).abs() < 1e-9);
        for invalid_text in ["", "period = \"long\"", &text.replace("period = 1800", "period = -1")]
        {
            std::fs::write(&path, invalid_text).unwrap();
            assert!((file.reload().period().get() - 600.0).abs() < 1e-9, "{invalid_text:.20}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!((file.reload().period().get() - 600.0).abs() < 1e-9);
        assert!(matches!(MarketFile::open(&path), Err(MarketFileError::Read { .. })));
    }
}
