//! Purges expired submissions, files first. A file that cannot be removed keeps its row, but does
//! not block other files.
//!
//! A file is orphaned if the process is killed between writing the file and its row, or if the
//! database fails while confirming the row. An orphaned file is removed at the age at which its row
//! would have expired.

use std::time::{Duration, SystemTime};

use taonet_service::Shutdown;

use super::State;
use super::artifacts::ArtifactError;
use super::store::StoreError;
use super::verify::unix_seconds;

/// Interval between two purges.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);
/// Number of purges between two complete file listings, which buckets charge for.
const PURGES_BETWEEN_LISTS: u64 = 24;
/// Number of files removed per query.
const FILES_PER_QUERY: i64 = 100;

#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// Result of one purge.
#[derive(Debug, Default)]
pub(super) struct PurgeReport {
    /// Number of purged submissions.
    pub(super) submissions: u64,
    /// Number of removed orphaned files.
    pub(super) orphans: u64,
    /// Number of failures; the next purge retries them.
    pub(super) failures: u64,
}

impl PurgeReport {
    /// Logs only the first failure of a purge as a warning, since several are often the same.
    fn record_failure(&mut self, item: &str, error: impl Into<RetentionError>) {
        let error = error.into();
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(
                %error,
                what = item,
                "cannot purge an item, continuing with other items"
            );
        } else {
            tracing::debug!(%error, what = item, "cannot purge an item");
        }
    }
}

/// Purges expired submissions until shutdown.
pub(super) async fn follow(state: &State, shutdown: &Shutdown) {
    let purge_loop = async {
        for round in 0_u64.. {
            let mut purged = purge_expired(state).await;
            if round % PURGES_BETWEEN_LISTS == 0 {
                purge_orphans(state, &mut purged).await;
            }
            let PurgeReport { submissions, orphans, failures } = purged;
            if failures > 0 {
                tracing::warn!(failures, "purge incomplete, retrying in an hour");
            }
            if submissions > 0 || orphans > 0 {
                tracing::info!(submissions, unnamed_files = orphans, "expired results purged");
            }
            tokio::time::sleep(PURGE_INTERVAL).await;
        }
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = purge_loop => {}
    }
}

/// Returns the expiry limit: submissions received earlier are expired.
fn expiry_limit(state: &State) -> SystemTime {
    state.now().checked_sub(state.limits.retention).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Purges expired submissions: files first, so that no file is orphaned.
pub(super) async fn purge_expired(state: &State) -> PurgeReport {
    let before_unix = unix_seconds(expiry_limit(state));
    let (mut purge, mut last) = (PurgeReport::default(), String::new());
    loop {
        let expired = match state.store.expired_artifacts(before_unix, &last, FILES_PER_QUERY).await
        {
            Ok(expired) => expired,
            Err(error) => {
                purge.record_failure("expired files", error);
                break;
            }
        };
        let Some(end) = expired.last().cloned() else { break };
        for name in expired {
            if let Err(error) = remove_expired_file(state, &name).await {
                purge.record_failure(&name, error);
            }
        }
        last = end;
    }
    match state.store.purge(before_unix).await {
        Ok(purged_rows) => {
            purge.submissions = purged_rows;
            metrics::counter!("taonet_scoring_api_forgotten_total").increment(purged_rows);
        }
        Err(error) => purge.record_failure("expired results", error),
    }
    purge
}

async fn remove_expired_file(state: &State, name: &str) -> Result<(), RetentionError> {
    state.artifacts.remove(name).await?;
    Ok(state.store.clear_artifact(name).await?)
}

/// Removes expired orphaned files.
pub(super) async fn purge_orphans(state: &State, purge: &mut PurgeReport) {
    let files = match state.artifacts.written_before(expiry_limit(state)).await {
        Ok(files) => files,
        Err(error) => {
            purge.record_failure("orphaned files", error);
            return;
        }
    };
    for name in files {
        match remove_if_orphaned(state, &name).await {
            Ok(is_removed) => purge.orphans += u64::from(is_removed),
            Err(error) => purge.record_failure(&name, error),
        }
    }
}

async fn remove_if_orphaned(state: &State, name: &str) -> Result<bool, RetentionError> {
    if state.store.names_artifact(name).await? {
        return Ok(false);
    }
    state.artifacts.remove(name).await?;
    Ok(true)
}
