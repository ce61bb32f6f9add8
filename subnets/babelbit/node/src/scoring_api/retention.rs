use std::time::Duration;

use taonet_service::Shutdown;

use super::State;
use super::artifacts::ArtifactError;
use super::store::StoreError;
use super::verify::unix;

/// How often it is looked for what is old.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Files that are removed before the next ones are looked up.
const BATCH: i64 = 100;

#[derive(Debug, thiserror::Error)]
pub(super) enum RetentionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

pub(super) async fn follow(state: &State, shutdown: &Shutdown) {
    loop {
        match forget_old(state).await {
            Ok(0) => {}
            Ok(submissions) => tracing::info!(submissions, "old results are forgotten"),
            Err(error) => tracing::warn!(%error, "old results are not forgotten"),
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Forgets what is older than it is to be kept: files first, so that none is left that no row names.
pub(super) async fn forget_old(state: &State) -> Result<u64, RetentionError> {
    let keep = i64::try_from(state.limits.keep.as_secs()).unwrap_or(i64::MAX);
    let before = unix(state.now()).saturating_sub(keep);
    loop {
        let expired = state.store.expired_artifacts(before, BATCH).await?;
        if expired.is_empty() {
            break;
        }
        for name in expired {
            state.artifacts.remove(&name).await?;
            state.store.forget_artifact(&name).await?;
        }
    }
    let gone = state.store.forget(before).await?;
    metrics::counter!("taonet_scoring_api_forgotten_total").increment(gone);
    Ok(gone)
}
