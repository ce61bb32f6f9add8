//! Download of a circuit's file: resumable, of limited size, verified by its digest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use taonet_proof_core::Digest;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::store::StoreError;
use crate::{Source, SourceError};

/// Maximum number of consecutive attempts without progress.
const ATTEMPTS: u32 = 5;
/// Initial pause between attempts; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Number of bytes that are hashed at a time.
const BLOCK: usize = 1 << 16;

/// Downloads a file with a given digest. Resumes an earlier partial download, and removes a file with another digest.
pub(crate) async fn download(
    source: &Source,
    place: &str,
    path: &Path,
    expected: Option<Digest>,
    limit: u64,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let (mut attempts, mut pause) = (0, PAUSE);
    loop {
        let before = length(path).map_err(failed)?;
        // The last attempt may have received all bytes.
        if before > 0 && expected.is_some() && digest(path).await.map_err(failed)? == expected {
            return Ok(());
        }
        match transfer(source, place, path, before, limit).await {
            Ok(()) => break,
            Err(StoreError::Source(error)) if error.is_retryable() => {
                if length(path).map_err(failed)? > before {
                    (attempts, pause) = (0, PAUSE);
                }
                attempts += 1;
                if attempts >= ATTEMPTS {
                    return Err(error.into());
                }
                tracing::debug!(%error, place, "download interrupted, resuming");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            // The file on the server is shorter than the partial download.
            Err(StoreError::Source(SourceError::Status { status, .. })) if status.as_u16() == 416 && before > 0 => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Err(error) => return Err(error),
        }
    }
    let Some(expected) = expected else { return Ok(()) };
    if digest(path).await.map_err(failed)? == Some(expected) {
        return Ok(());
    }
    std::fs::remove_file(path).map_err(failed)?;
    Err(StoreError::Checksum { place: place.to_owned(), expected })
}

/// Appends the missing bytes.
async fn transfer(source: &Source, place: &str, path: &Path, from: u64, limit: u64) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut part = source.open(place, from).await?;
    let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(path).await.map_err(failed)?;
    file.set_len(part.from).await.map_err(failed)?;
    file.seek(io::SeekFrom::End(0)).await.map_err(failed)?;
    let mut length = part.from;
    let mut result = Ok(());
    loop {
        match part.next().await {
            Ok(Some(bytes)) => {
                length += bytes.len() as u64;
                if length > limit {
                    drop(file);
                    std::fs::remove_file(path).map_err(failed)?;
                    return Err(StoreError::TooLarge { place: place.to_owned(), limit });
                }
                file.write_all(&bytes).await.map_err(failed)?;
            }
            Ok(None) => break,
            Err(error) => {
                result = Err(error.into());
                break;
            }
        }
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    result
}

fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Returns the SHA-256 of a file; `None` if it does not exist.
async fn digest(path: &Path) -> io::Result<Option<Digest>> {
    let path: PathBuf = path.to_owned();
    tokio::task::spawn_blocking(move || match hash(&path) {
        Ok(digest) => Ok(Some(digest)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
    .await
    .map_err(io::Error::other)?
}

/// Computes the SHA-256 of a file.
fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            count => hash.update(block.get(..count).unwrap_or_default()),
        }
    }
}
