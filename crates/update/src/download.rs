use std::path::Path;

use reqwest::{Client, StatusCode};
use taonet_http::Fault;
use taonet_http::download::{self, DownloadError, Origin, RemainingFile, sha256};

use crate::{Limits, Release, ReleaseSource, UpdateError};

/// Progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of bytes on disk.
    pub done: u64,
    /// Length of the program in bytes, if the server announces it.
    pub total: Option<u64>,
}

/// A download of a release's program into a file.
pub(crate) struct Download<'a> {
    pub(crate) source: &'a ReleaseSource,
    pub(crate) client: &'a Client,
    pub(crate) release: &'a Release,
    pub(crate) file: &'a Path,
    pub(crate) limits: &'a Limits,
}

impl Origin for Download<'_> {
    type Error = UpdateError;

    async fn open(&self, from: u64) -> Result<RemainingFile<UpdateError>, UpdateError> {
        self.source.open(self.client, &self.release.path, from, self.limits.stall_timeout).await
    }

    fn is_retryable(error: &UpdateError) -> bool {
        error.is_network()
    }

    fn status(error: &UpdateError) -> Option<StatusCode> {
        match error {
            UpdateError::Http { source: Fault::Status { status, .. }, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Download<'_> {
    /// Downloads the program and verifies its digest. Resumes an earlier partial download; if the
    /// digest of the result differs, downloads the complete program again.
    pub(crate) async fn run(&self, mut progress: impl FnMut(Progress)) -> Result<(), UpdateError> {
        // An earlier attempt may already have received all bytes.
        if self.is_complete().await? {
            return Ok(());
        }
        let is_resumed =
            tokio::fs::metadata(self.file).await.is_ok_and(|metadata| metadata.len() > 0);
        self.transfer(&mut progress).await?;
        if self.is_complete().await? {
            return Ok(());
        }
        self.remove().await?;
        if is_resumed {
            tracing::debug!(
                "the partial download was of a different program, downloading from the beginning"
            );
            self.transfer(&mut progress).await?;
            if self.is_complete().await? {
                return Ok(());
            }
            self.remove().await?;
        }
        Err(UpdateError::Checksum { location: self.source.location(&self.release.path) })
    }

    /// Transfers the missing bytes.
    async fn transfer(&self, progress: &mut impl FnMut(Progress)) -> Result<(), UpdateError> {
        let Limits { program: limit, attempts, pause, .. } = *self.limits;
        let target = download::Download { file: self.file, limit, attempts, pause };
        let result = target.run(self, |done, total| progress(Progress { done, total })).await;
        result.map_err(|error| match error {
            DownloadError::Origin(error) => error,
            DownloadError::File(source) => UpdateError::File { path: self.file.to_owned(), source },
            DownloadError::TooLarge => {
                UpdateError::TooLarge { location: self.source.location(&self.release.path), limit }
            }
        })
    }

    /// Returns whether the file has the release's digest.
    async fn is_complete(&self) -> Result<bool, UpdateError> {
        let digest = sha256(self.file).await;
        let digest =
            digest.map_err(|source| UpdateError::File { path: self.file.to_owned(), source })?;
        Ok(digest == Some(self.release.digest))
    }

    async fn remove(&self) -> Result<(), UpdateError> {
        let result = tokio::fs::remove_file(self.file).await;
        result.map_err(|source| UpdateError::File { path: self.file.to_owned(), source })
    }
}
