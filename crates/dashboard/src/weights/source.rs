use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use taonet_ledger::{LedgerError, LedgerReader, Record};
use tokio::time::sleep;

use crate::changes::Changes;

/// Maximum number of submissions to read from the ledger.
const MAX_RECORDS: u32 = 50;
/// Interval between two reads of the ledger.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Latest known state of the weight ledger.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    /// The latest submissions, newest first.
    pub(super) records: Vec<Record>,
    /// Why the latest read of the ledger failed, if it did. `records` then contains the data of the
    /// last successful read.
    pub(super) problem: Option<String>,
}

/// Reader of the weight ledger, with the latest state.
#[derive(Debug, Default)]
pub(super) struct Source(RwLock<Arc<State>>);

impl Source {
    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn set(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }

    /// Polls the ledger until the future is dropped, and reports each change.
    pub(super) async fn follow(&self, directory: &Path, changes: &Changes) {
        let mut reader = None;
        loop {
            self.read(directory, &mut reader, changes).await;
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Reads the ledger once, and reports a change.
    pub(super) async fn read(
        &self,
        directory: &Path,
        reader: &mut Option<LedgerReader>,
        changes: &Changes,
    ) {
        let state = match read(directory, reader).await {
            Ok(records) => State { records, problem: None },
            Err(error) => {
                *reader = None;
                State { records: self.state().records.clone(), problem: Some(error.to_string()) }
            }
        };
        if state != *self.state() {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
            changes.report();
        }
    }
}

async fn read(
    directory: &Path,
    reader: &mut Option<LedgerReader>,
) -> Result<Vec<Record>, LedgerError> {
    let open = match reader.take() {
        Some(open) => open,
        None => LedgerReader::open(directory).await?,
    };
    let records = open.latest(MAX_RECORDS).await?;
    *reader = Some(open);
    Ok(records)
}
