//! The validator's log of steps, read at intervals.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_dashboard::{Changes, poll};
use taonet_primitives::with_causes;
use taonet_prompting_neurons::{EventLog, LatestSteps, LinesError};
use taonet_service::{Shutdown, unix_time};
use tokio::task::spawn_blocking;

use crate::steps::Steps;

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum number of latest steps to show.
const MAX_STEPS: usize = 100;

/// Reader of the log, with the latest state.
#[derive(Debug)]
pub(crate) struct Source {
    directory: PathBuf,
    steps: RwLock<Arc<Steps>>,
}

impl Source {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, steps: RwLock::default() }
    }

    pub(crate) fn steps(&self) -> Arc<Steps> {
        Arc::clone(&self.steps.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the log until shutdown, and reports each change.
    pub(crate) async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        poll(POLL_INTERVAL, shutdown, || self.read(changes)).await;
    }

    /// Reads the log once, and reports a change.
    pub(crate) async fn read(&self, changes: &Changes) {
        let previous = self.steps();
        let directory = self.directory.clone();
        let mut steps = Steps::clone(&previous);
        match spawn_blocking(move || read_latest(&directory)).await {
            Ok(Ok(latest)) => {
                let written_unix =
                    latest.written_at.map(|written_at| unix_time(written_at).as_secs());
                steps.written_unix = written_unix.and_then(|seconds| i64::try_from(seconds).ok());
                steps.latest = latest.steps;
                let missing_log = "the directory has no log of steps (events.jsonl); hint: name the --state of `tao \
                               prompting validator`, which writes it with the first step";
                steps.problem = latest.written_at.is_none().then(|| missing_log.to_owned());
            }
            Ok(Err(error)) => steps.problem = Some(with_causes(&error)),
            Err(error) => steps.problem = Some(error.to_string()),
        }
        if steps != *previous {
            *self.steps.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(steps);
            changes.report();
        }
    }
}

fn read_latest(directory: &Path) -> Result<LatestSteps, LinesError> {
    EventLog::in_directory(directory).latest(MAX_STEPS)
}
