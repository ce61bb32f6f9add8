use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reqwest::{Client, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::fs::OpenOptions;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::{Limits, Release, ReleaseSource, UpdateError};

/// Number of bytes that are hashed at a time.
const BLOCK: usize = 1 << 16;

/// Progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of bytes on disk.
    pub done: u64,
    /// Length of the program, if the server announces it.
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

impl Download<'_> {
    /// Downloads the program and verifies its digest. Resumes an earlier partial download; if the result has another
    /// digest, downloads the whole program once more.
    pub(crate) async fn run(&self, mut progress: impl FnMut(Progress)) -> Result<(), UpdateError> {
        let failed = |source| UpdateError::File { path: self.file.to_owned(), source };
        // An earlier attempt may have received all bytes.
        if self.is_complete().await? {
            return Ok(());
        }
        let resumed = length(self.file).map_err(failed)? > 0;
        self.transfer_all(&mut progress).await?;
        if self.is_complete().await? {
            return Ok(());
        }
        std::fs::remove_file(self.file).map_err(failed)?;
        if resumed {
            tracing::debug!("the partial download was of another program, downloading from the beginning");
            self.transfer_all(&mut progress).await?;
            if self.is_complete().await? {
                return Ok(());
            }
            std::fs::remove_file(self.file).map_err(failed)?;
        }
        Err(UpdateError::Checksum { place: self.source.place(&self.release.path) })
    }

    /// Transfers the missing bytes, in several attempts if the connection fails.
    async fn transfer_all(&self, progress: &mut impl FnMut(Progress)) -> Result<(), UpdateError> {
        let failed = |source| UpdateError::File { path: self.file.to_owned(), source };
        let (mut attempts, mut pause) = (0, self.limits.pause);
        loop {
            let before = length(self.file).map_err(failed)?;
            match self.transfer(before, progress).await {
                Ok(()) => return Ok(()),
                // The file on the server is not longer than the partial download.
                Err(UpdateError::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. }) if before > 0 => {
                    std::fs::remove_file(self.file).map_err(failed)?;
                }
                Err(error) if error.is_network() => {
                    if length(self.file).map_err(failed)? > before {
                        (attempts, pause) = (0, self.limits.pause);
                    }
                    attempts += 1;
                    if attempts >= self.limits.attempts {
                        return Err(error);
                    }
                    tracing::debug!(%error, "download interrupted, resuming");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends the bytes of one response.
    async fn transfer(&self, from: u64, progress: &mut impl FnMut(Progress)) -> Result<(), UpdateError> {
        let failed = |source| UpdateError::File { path: self.file.to_owned(), source };
        let limit = self.limits.program;
        let too_large = || UpdateError::TooLarge { place: self.source.place(&self.release.path), limit };
        let mut part = self.source.open(self.client, &self.release.path, from, self.limits.stalled).await?;
        if part.total.is_some_and(|total| total > limit) {
            return Err(too_large());
        }
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(self.file).await;
        let mut file = file.map_err(failed)?;
        file.set_len(part.from).await.map_err(failed)?;
        file.seek(io::SeekFrom::End(0)).await.map_err(failed)?;
        let mut done = part.from;
        let result = loop {
            progress(Progress { done, total: part.total });
            match part.next().await {
                Ok(Some(bytes)) => {
                    done += bytes.len() as u64;
                    if done > limit {
                        drop(file);
                        std::fs::remove_file(self.file).map_err(failed)?;
                        return Err(too_large());
                    }
                    file.write_all(&bytes).await.map_err(failed)?;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        result
    }

    /// Returns whether the file has the release's digest.
    async fn is_complete(&self) -> Result<bool, UpdateError> {
        let path: PathBuf = self.file.to_owned();
        let digest = tokio::task::spawn_blocking(move || sha256(&path)).await.map_err(io::Error::other).flatten();
        let digest = digest.map_err(|source| UpdateError::File { path: self.file.to_owned(), source })?;
        Ok(digest == self.release.digest)
    }
}

/// Length of a file; 0 if it does not exist.
fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn sha256(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(block.get(..count).unwrap_or_default()),
        }
    }
}
