//! What is old is forgotten, files first. A file that cannot be removed keeps its row, and no other file from being removed.
//!
//! Whoever is killed between writing a file and its row leaves a file that no row names; so does a database that does not
//! say whether it kept the row. Such a file goes when its row would have gone.

use std::time::{Duration, SystemTime};

use taonet_service::Shutdown;

use super::State;
use super::artifacts::ArtifactError;
use super::store::StoreError;
use super::verify::unix;

/// How often it is looked for what is old.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Looks from one list of all files to the next: buckets charge for it.
const LOOKS_BETWEEN_LISTS: u64 = 24;
/// Files that are removed before the next ones are looked up.
const BATCH: i64 = 100;

#[derive(Debug, thiserror::Error)]
enum RetentionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// What came of one look.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Submissions that are forgotten.
    pub(super) submissions: u64,
    /// Files that no row named.
    pub(super) unnamed: u64,
    /// What could not be done, and will be tried again.
    pub(super) failures: u64,
}

impl Look {
    /// Of several failures only the first is worth a warning: they are often the same.
    fn failed(&mut self, what: &str, error: impl Into<RetentionError>) {
        let error = error.into();
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(%error, what, "not forgotten yet; what else is old is");
        } else {
            tracing::debug!(%error, what, "not forgotten yet");
        }
    }
}

/// Forgets what is old until the end is asked for.
pub(super) async fn follow(state: &State, shutdown: &Shutdown) {
    let work = async {
        for look in 0_u64.. {
            let mut found = forget_old(state).await;
            if look % LOOKS_BETWEEN_LISTS == 0 {
                forget_unnamed(state, &mut found).await;
            }
            let Look { submissions, unnamed, failures } = found;
            if failures > 0 {
                tracing::warn!(failures, "some of what is old is not forgotten yet; it is tried again in an hour");
            }
            if submissions > 0 || unnamed > 0 {
                tracing::info!(submissions, unnamed_files = unnamed, "old results are forgotten");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = work => {}
    }
}

/// When that came which is now old enough.
fn limit(state: &State) -> SystemTime {
    state.now().checked_sub(state.limits.keep).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Forgets what is older than it is to be kept: files first, so that none is left that no row names.
pub(super) async fn forget_old(state: &State) -> Look {
    let before = unix(limit(state));
    let (mut look, mut last) = (Look::default(), String::new());
    loop {
        let expired = match state.store.expired_artifacts(before, &last, BATCH).await {
            Ok(expired) => expired,
            Err(error) => {
                look.failed("old files", error);
                break;
            }
        };
        let Some(end) = expired.last().cloned() else { break };
        for name in expired {
            if let Err(error) = forget_file(state, &name).await {
                look.failed(&name, error);
            }
        }
        last = end;
    }
    match state.store.forget(before).await {
        Ok(gone) => {
            look.submissions = gone;
            metrics::counter!("taonet_scoring_api_forgotten_total").increment(gone);
        }
        Err(error) => look.failed("old results", error),
    }
    look
}

async fn forget_file(state: &State, name: &str) -> Result<(), RetentionError> {
    state.artifacts.remove(name).await?;
    Ok(state.store.forget_artifact(name).await?)
}

/// Removes the old files that no row names.
pub(super) async fn forget_unnamed(state: &State, look: &mut Look) {
    let files = match state.artifacts.written_before(limit(state)).await {
        Ok(files) => files,
        Err(error) => {
            look.failed("files that no row names", error);
            return;
        }
    };
    for name in files {
        match forget_if_unnamed(state, &name).await {
            Ok(is_gone) => look.unnamed += u64::from(is_gone),
            Err(error) => look.failed(&name, error),
        }
    }
}

async fn forget_if_unnamed(state: &State, name: &str) -> Result<bool, RetentionError> {
    if state.store.names_artifact(name).await? {
        return Ok(false);
    }
    state.artifacts.remove(name).await?;
    Ok(true)
}
