use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::sleep;

use super::entry::Entry;
use super::file::LineFile;
use crate::changes::Changes;

/// Maximum number of events in memory.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// Interval between two reads of the files.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Latest events of all files.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    /// Events, oldest first.
    pub(super) entries: VecDeque<Arc<Entry>>,
    /// Number of lines that are not events.
    pub(super) malformed: usize,
    /// Files that cannot be read, with the reason.
    pub(super) problems: Vec<String>,
}

/// Reader of the files, with the latest state.
#[derive(Debug, Default)]
pub(super) struct Source(RwLock<Arc<State>>);

impl Source {
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Polls the files until the future is dropped, and reports each change.
    pub(super) async fn follow(&self, paths: &[PathBuf], changes: &Changes) {
        let mut files: Vec<_> =
            paths.iter().map(|path| (path.clone(), LineFile::new(path))).collect();
        loop {
            let before = self.state();
            let read = tokio::task::spawn_blocking(move || {
                let state = read(&mut files, &before);
                (files, state)
            });
            // The task only fails if the runtime shuts down.
            let Ok((returned, state)) = read.await else { return };
            files = returned;
            if let Some(state) = state {
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
                changes.report();
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// Reads the new lines of the files; `None` if nothing changed. Blocks the thread.
fn read(files: &mut [(PathBuf, LineFile)], before: &State) -> Option<State> {
    let (mut fresh, mut malformed, mut problems) = (Vec::new(), before.malformed, Vec::new());
    for (path, file) in files {
        loop {
            let read = file.read(|line| match Entry::parse(line) {
                Some(entry) => fresh.push(Arc::new(entry)),
                None => malformed += 1,
            });
            match read {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    problems.push(format!("{}: {error}", path.display()));
                    break;
                }
            }
        }
    }
    if fresh.is_empty() && malformed == before.malformed && problems == before.problems {
        return None;
    }
    let mut entries = before.entries.clone();
    entries.extend(fresh);
    // Each file is sorted by time, but the files together are not.
    entries.make_contiguous().sort_by_key(|entry| entry.time);
    let excess = entries.len().saturating_sub(MAX_ENTRIES);
    entries.drain(..excess);
    Some(State { entries, malformed, problems })
}
