//! Test fixtures: databases, and scoring APIs that use them.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::path::Path;

use url::Url;

use super::{Admission, ArtifactStore, ScoringApi, ScoringLimits, Store};
use taonet_validator::testing::listen;

pub use taonet_database::testing::{FaultyProxy, Postgres, ProxyFault};

/// Returns the URL of a database in a SQLite file.
pub fn sqlite(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("scoring.sqlite").display())
}

/// Creates a scoring API with its files below a directory.
pub async fn api(directory: &Path, database: &str, admission: Admission) -> ScoringApi {
    let artifacts = ArtifactStore::open(&directory.join("artifacts"), None).unwrap();
    ScoringApi::new(
        Store::open(database).await.unwrap(),
        artifacts,
        admission,
        ScoringLimits::default(),
    )
}

/// Creates a scoring API that admits all hotkeys, and serves it on a port of the operating system's
/// choice.
pub async fn serve_api(directory: &Path, database: &str) -> (ScoringApi, Url) {
    let api = api(directory, database, Admission::Open).await;
    let url = listen(api.router()).await;
    (api, url)
}

impl ScoringApi {
    pub fn store(&self) -> &Store {
        &self.state.store
    }
}
