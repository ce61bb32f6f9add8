use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::{NamedTempFile, TempPath};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::task::{JoinError, spawn_blocking};

use taonet_objects::{ObjectStorage, StorageError};

/// Directory of incomplete uploads.
const INCOMING: &str = ".incoming";
/// Prefix of every key in a bucket.
const PREFIX: &str = "artifacts/";

/// Why a file could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A directory operation failed.
    #[error("cannot access files in {}: {source}", path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A bucket operation failed.
    #[error(transparent)]
    Bucket(#[from] StorageError),
    /// The write was interrupted.
    #[error("interrupted while writing a file")]
    Task(#[source] JoinError),
}

/// Artifact storage, in a directory or in a bucket.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    directory: PathBuf,
    bucket: Option<ObjectStorage>,
}

/// An upload in progress. Dropping it removes the file.
pub(super) struct PartialUpload {
    file: File,
    path: TempPath,
    pub(super) bytes: u64,
}

impl ArtifactStore {
    /// Opens the storage in `directory`; with a bucket, `directory` holds only uploads in progress.
    ///
    /// # Errors
    /// [`ArtifactError::Directory`] when the directory cannot be created.
    pub fn open(directory: &Path, bucket: Option<ObjectStorage>) -> Result<Self, ArtifactError> {
        let store = Self { directory: directory.to_owned(), bucket };
        let incoming = store.directory.join(INCOMING);
        // Clients repeat uploads that a killed process did not complete.
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(store.io_error(error));
            }
            _ => {}
        }
        std::fs::create_dir_all(incoming).map_err(|source| store.io_error(source))?;
        Ok(store)
    }

    pub(super) fn receive(&self) -> Result<PartialUpload, ArtifactError> {
        let file = NamedTempFile::new_in(self.directory.join(INCOMING))
            .map_err(|source| self.io_error(source))?;
        let (file, path) = file.into_parts();
        Ok(PartialUpload { file: File::from_std(file), path, bytes: 0 })
    }

    pub(super) async fn add(
        &self,
        incoming: &mut PartialUpload,
        chunk: &[u8],
    ) -> Result<(), ArtifactError> {
        incoming.file.write_all(chunk).await.map_err(|source| self.io_error(source))?;
        incoming.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Stores a completed upload under a name.
    pub(super) async fn store(
        &self,
        mut incoming: PartialUpload,
        name: &str,
    ) -> Result<(), ArtifactError> {
        incoming.file.flush().await.map_err(|source| self.io_error(source))?;
        if let Some(bucket) = &self.bucket {
            return Ok(bucket.upload(&key(name), &incoming.path).await?);
        }
        incoming.file.sync_all().await.map_err(|source| self.io_error(source))?;
        let target = self.directory.join(name);
        let rename = spawn_blocking(move || {
            let Some(parent) = target.parent() else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            std::fs::create_dir_all(parent)?;
            incoming.path.persist(&target)?;
            std::fs::File::open(parent)?.sync_all()
        });
        rename.await.map_err(ArtifactError::Task)?.map_err(|source| self.io_error(source))
    }

    /// Removes a file, if it exists.
    pub(super) async fn remove(&self, name: &str) -> Result<(), ArtifactError> {
        if let Some(bucket) = &self.bucket {
            return Ok(bucket.remove(&key(name)).await?);
        }
        let mut path = self.directory.join(name);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.io_error(error));
            }
            _ => {}
        }
        // Removes empty parent folders, up to the first that is not empty.
        while path.pop() && path != self.directory && tokio::fs::remove_dir(&path).await.is_ok() {}
        Ok(())
    }

    /// Returns the names of the files written before a time.
    pub(super) async fn written_before(
        &self,
        time: SystemTime,
    ) -> Result<Vec<String>, ArtifactError> {
        if let Some(bucket) = &self.bucket {
            let keys = bucket.written_before(PREFIX, time).await?;
            return Ok(keys
                .iter()
                .filter_map(|key| Some(key.strip_prefix(PREFIX)?.to_owned()))
                .collect());
        }
        let directory = self.directory.clone();
        let names = spawn_blocking(move || written_before(&directory, time));
        names.await.map_err(ArtifactError::Task)?.map_err(|source| self.io_error(source))
    }

    fn io_error(&self, source: io::Error) -> ArtifactError {
        ArtifactError::Directory { path: self.directory.clone(), source }
    }
}

/// Returns the key of a file in the bucket.
fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Lists the files below a directory written before a time, except uploads in progress.
fn written_before(directory: &Path, time: SystemTime) -> io::Result<Vec<String>> {
    let (mut old_files, mut folders) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            // Another task removed the directory with its last file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let metadata = match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let Some(name) = path.strip_prefix(directory).ok().and_then(Path::to_str) else {
                continue;
            };
            if metadata.is_dir() {
                if name != INCOMING {
                    folders.push(path);
                }
            } else if metadata.modified()? < time {
                old_files.push(name.to_owned());
            }
        }
    }
    Ok(old_files)
}
