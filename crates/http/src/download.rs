//! Resumable downloads: the missing bytes of a file, in several attempts.
//!
//! An [`Origin`] opens its file at an offset, over HTTP with [`open_at`] or [`open_with`].
//! [`Download::run`] appends the rest to a partial file; the caller compares the [`sha256`] of the
//! result with the expected one.

use std::fs::File;
use std::io::{self, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use taonet_primitives::Backoff;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use url::Url;

use crate::Fault;
use crate::client::fault;

/// Number of bytes that are hashed at a time.
const BLOCK_BYTES: usize = 1 << 16;

/// The rest of a file, from an offset.
pub struct RemainingFile<E> {
    /// Offset of the first byte: the requested one, or 0 if the server ignored it.
    pub from: u64,
    /// Length of the complete file in bytes, if known.
    pub total: Option<u64>,
    /// The bytes. The stream ends with the file, or after an error.
    pub chunks: BoxStream<'static, Result<Bytes, E>>,
}

impl<E: 'static> RemainingFile<E> {
    /// Converts the error type.
    pub fn map_err<F: 'static>(
        self,
        convert: impl Fn(E) -> F + Send + 'static,
    ) -> RemainingFile<F> {
        let chunks = self.chunks.map(move |chunk| chunk.map_err(&convert)).boxed();
        RemainingFile { from: self.from, total: self.total, chunks }
    }
}

/// A file that can be read from any offset.
pub trait Origin {
    /// Why the file cannot be read.
    type Error: std::error::Error + Send + 'static;

    /// Opens the file at a byte offset.
    fn open(
        &self,
        from: u64,
    ) -> impl Future<Output = Result<RemainingFile<Self::Error>, Self::Error>> + Send;

    /// Returns whether a retry may succeed.
    fn is_retryable(error: &Self::Error) -> bool;

    /// Returns the response status of a failed HTTP request.
    fn status(error: &Self::Error) -> Option<StatusCode>;
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError<E: std::error::Error + 'static> {
    /// The origin cannot be read.
    #[error(transparent)]
    Origin(E),
    /// The local file cannot be read or written.
    #[error(transparent)]
    File(io::Error),
    /// The file exceeds the maximum size, and was removed.
    #[error("the file is too large")]
    TooLarge,
}

/// Target and limits of a download.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// Path of the local file, which may be a partial download.
    pub file: &'a Path,
    /// Maximum size of the file, in bytes.
    pub limit: u64,
    /// Maximum number of consecutive attempts without progress.
    pub attempts: u32,
    /// Pause after a failed attempt. It doubles with each consecutive attempt that makes no
    /// progress.
    pub pause: Duration,
}

impl Download<'_> {
    /// Transfers the missing bytes, in several attempts if the connection fails. Calls `progress`
    /// with the number of bytes on disk and the length of the complete file, if known.
    ///
    /// # Errors
    /// When the origin cannot be read, the file cannot be written, or it is too large.
    pub async fn run<O: Origin>(
        &self,
        origin: &O,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<(), DownloadError<O::Error>> {
        let backoff = Backoff::new(self.pause, Duration::MAX);
        let mut attempts = 0;
        loop {
            let old_length = length(self.file).map_err(DownloadError::File)?;
            match self.append(origin, old_length, &mut progress).await {
                // The partial download is at least as long as the file at the origin.
                Err(DownloadError::Origin(error))
                    if old_length > 0
                        && O::status(&error) == Some(StatusCode::RANGE_NOT_SATISFIABLE) =>
                {
                    std::fs::remove_file(self.file).map_err(DownloadError::File)?;
                }
                Err(DownloadError::Origin(error)) if O::is_retryable(&error) => {
                    if length(self.file).map_err(DownloadError::File)? > old_length {
                        attempts = 0;
                    }
                    let delay = backoff.delay(attempts);
                    attempts += 1;
                    if attempts >= self.attempts {
                        return Err(DownloadError::Origin(error));
                    }
                    tracing::debug!(%error, "download interrupted, resuming");
                    tokio::time::sleep(delay).await;
                }
                result => return result,
            }
        }
    }

    /// Appends the body of one response to the file.
    async fn append<O: Origin>(
        &self,
        origin: &O,
        from: u64,
        progress: &mut impl FnMut(u64, Option<u64>),
    ) -> Result<(), DownloadError<O::Error>> {
        let mut remaining_file = origin.open(from).await.map_err(DownloadError::Origin)?;
        if remaining_file.total.is_some_and(|total| total > self.limit) {
            return Err(DownloadError::TooLarge);
        }
        let file =
            OpenOptions::new().create(true).write(true).truncate(false).open(self.file).await;
        let mut file = file.map_err(DownloadError::File)?;
        file.set_len(remaining_file.from).await.map_err(DownloadError::File)?;
        file.seek(SeekFrom::End(0)).await.map_err(DownloadError::File)?;
        let mut received = remaining_file.from;
        let result = loop {
            progress(received, remaining_file.total);
            match remaining_file.chunks.next().await {
                Some(Ok(bytes)) => {
                    received += bytes.len() as u64;
                    if received > self.limit {
                        drop(file);
                        std::fs::remove_file(self.file).map_err(DownloadError::File)?;
                        return Err(DownloadError::TooLarge);
                    }
                    file.write_all(&bytes).await.map_err(DownloadError::File)?;
                }
                Some(Err(error)) => break Err(DownloadError::Origin(error)),
                None => break Ok(()),
            }
        };
        file.flush().await.map_err(DownloadError::File)?;
        file.sync_all().await.map_err(DownloadError::File)?;
        result
    }
}

/// Opens a URL at a byte offset. The response and each chunk of its body must arrive within
/// `stall_timeout`.
///
/// # Errors
/// [`Fault::Timeout`], [`Fault::Transport`], and [`Fault::Status`] if the server sends neither the
/// file nor the requested part of it.
pub async fn open_at(
    client: &Client,
    url: Url,
    from: u64,
    stall_timeout: Duration,
) -> Result<RemainingFile<Fault>, Fault> {
    open_with(client.get(url), from, stall_timeout).await
}

/// Like [`open_at`], with a prepared request, such as one with an API key.
///
/// # Errors
/// The errors of [`open_at`].
pub async fn open_with(
    mut request: RequestBuilder,
    from: u64,
    stall_timeout: Duration,
) -> Result<RemainingFile<Fault>, Fault> {
    if from > 0 {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let response =
        timeout(stall_timeout, request.send()).await.map_err(|_| Fault::Timeout)?.map_err(fault)?;
    let from = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if starts_at(&response, from) => from,
        status => return Err(Fault::Status { status, retry_after: None }),
    };
    let total = response.content_length().map(|remaining| from.saturating_add(remaining));
    let chunks = stream::try_unfold(response, move |mut response| async move {
        let chunk = timeout(stall_timeout, response.chunk())
            .await
            .map_err(|_| Fault::Timeout)?
            .map_err(fault)?;
        Ok::<_, Fault>(chunk.map(|chunk| (chunk, response)))
    });
    Ok(RemainingFile { from, total, chunks: chunks.boxed() })
}

/// Returns whether a partial response begins at the requested offset.
fn starts_at(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first =
        range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    first == Some(from)
}

/// Returns the length of a file in bytes; 0 if it does not exist.
fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Returns the SHA-256 of a file; `None` if the file does not exist.
///
/// # Errors
/// When the file cannot be read.
pub async fn sha256(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let path: PathBuf = path.to_owned();
    let hashed =
        tokio::task::spawn_blocking(move || hash(&path)).await.map_err(io::Error::other)?;
    match hashed {
        Ok(digest) => Ok(Some(digest)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(block.get(..count).unwrap_or_default()),
        }
    }
}
