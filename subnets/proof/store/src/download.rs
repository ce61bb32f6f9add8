//! Download of a circuit's file, verified by its digest.

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use taonet_http::Fault;
use taonet_http::download::{Download, DownloadError, Origin, RemainingFile, sha256};
use taonet_proof_core::Digest;

use crate::store::StoreError;
use crate::{Source, SourceError};

/// Maximum number of consecutive attempts without progress.
const MAX_ATTEMPTS: u32 = 5;
/// Initial pause between attempts, doubled after each failure.
const INITIAL_RETRY_DELAY: Duration = Duration::from_millis(500);

/// A file of a catalogue.
struct RemoteFile<'a> {
    source: &'a Source,
    location: &'a str,
}

impl Origin for RemoteFile<'_> {
    type Error = SourceError;

    async fn open(&self, offset: u64) -> Result<RemainingFile<SourceError>, SourceError> {
        self.source.open(self.location, offset).await
    }

    fn is_retryable(error: &SourceError) -> bool {
        error.is_retryable()
    }

    fn status(error: &SourceError) -> Option<StatusCode> {
        match error {
            SourceError::Http { source: Fault::Status { status, .. }, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Downloads a file and verifies its digest, if one is given. Resumes an earlier partial download,
/// and removes a file whose digest differs.
pub(crate) async fn download(
    source: &Source,
    location: &str,
    path: &Path,
    expected: Option<Digest>,
    limit: u64,
) -> Result<(), StoreError> {
    // An earlier attempt may have received all bytes.
    if expected.is_some() && digest(path).await.map_err(StoreError::file(path))? == expected {
        return Ok(());
    }
    let target = Download { file: path, limit, attempts: MAX_ATTEMPTS, pause: INITIAL_RETRY_DELAY };
    target.run(&RemoteFile { source, location }, |_, _| ()).await.map_err(|error| match error {
        DownloadError::Origin(error) => StoreError::Source(error),
        DownloadError::File(source) => StoreError::File { path: path.to_owned(), source },
        DownloadError::TooLarge => StoreError::TooLarge { location: location.to_owned(), limit },
    })?;
    let Some(expected) = expected else { return Ok(()) };
    if digest(path).await.map_err(StoreError::file(path))? == Some(expected) {
        return Ok(());
    }
    tokio::fs::remove_file(path).await.map_err(StoreError::file(path))?;
    Err(StoreError::Checksum { location: location.to_owned(), expected })
}

/// Returns the digest of a file; `None` if the file does not exist.
pub(crate) async fn digest(path: &Path) -> std::io::Result<Option<Digest>> {
    Ok(sha256(path).await?.map(Digest::from_bytes))
}
