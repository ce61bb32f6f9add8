use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::io::AsyncWriteExt;

use super::{ModelError, ModelFile, ModelSpec, ModelStore, sha256_of};

/// The download progress of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// Name of the file that is being downloaded.
    pub file: &'static str,
    /// The number of bytes on disk, including those of earlier attempts.
    pub done: u64,
    /// The file's size in bytes.
    pub total: u64,
}

/// Progress event of [`ModelStore::pull`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullEvent<'a> {
    /// A file is copied from another directory of the store.
    Copy {
        /// Name of the file.
        file: &'static str,
        /// The model's directory with the original.
        from: &'a Path,
    },
    /// A file is downloaded.
    Download(PullProgress),
}

/// The idle timeout: a download without data for this long fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

impl ModelStore {
    /// Ensures that the first directory has a model, verified: copies missing files from the other
    /// directories, and downloads the rest from the hub.
    ///
    /// A download is written to `<file>.part`, resumes where an earlier attempt stopped, and is
    /// renamed only when its SHA-256 is correct; an existing file with a different hash is
    /// replaced. Calls `observe` before each copy, and at the start and the progress of each
    /// download. Returns the model's directory.
    ///
    /// # Errors
    /// [`ModelError::Connection`], [`ModelError::Status`] and [`ModelError::Size`] when the hub
    /// fails, [`ModelError::WrongDownload`] when the hash of a download is wrong,
    /// [`ModelError::Io`] when reading or writing fails, [`ModelError::Busy`] when another process
    /// is downloading the same file, [`ModelError::BuiltIn`] when the model has no files.
    pub async fn pull(
        &self,
        spec: &'static ModelSpec,
        observe: impl Fn(PullEvent<'_>) + Send + Sync,
    ) -> Result<PathBuf, ModelError> {
        let Some(repository) = spec.repository else {
            return Err(ModelError::BuiltIn { model: spec.name });
        };
        let dir = self.directory()?.join(spec.name);
        let target = dir.clone();
        let _new_directory = run_blocking(&dir, move || NewDirectory::create(&target)).await?;
        let client =
            Client::builder().connect_timeout(IDLE_TIMEOUT).read_timeout(IDLE_TIMEOUT).build();
        let client =
            client.map_err(|source| ModelError::Connection { url: self.hub.clone(), source })?;
        for file in spec.files {
            let (store, target) = (self.clone(), dir.join(file.name));
            match run_blocking(&dir, move || Ok(store.find_source(spec, file, &target))).await? {
                FileSource::Present => continue,
                FileSource::Directory(from) => {
                    observe(PullEvent::Copy { file: file.name, from: &from });
                    let (from, target) = (from.join(file.name), dir.join(file.name));
                    run_blocking(&dir, move || copy(spec, file, &from, &target)).await?;
                    continue;
                }
                FileSource::Hub => {}
            }
            let directory =
                spec.directory.map(|directory| format!("{directory}/")).unwrap_or_default();
            let url = format!(
                "{}/{repository}/resolve/{}/{directory}{}",
                self.hub, spec.revision, file.name
            );
            let download = Download {
                client: &client,
                url,
                file,
                part_path: dir.join(format!("{}.part", file.name)),
            };
            download.run(&dir, &|progress| observe(PullEvent::Download(progress))).await?;
        }
        Ok(dir)
    }
}

/// Source of a model's file.
enum FileSource {
    /// The file is already installed, and valid.
    Present,
    /// Another directory of the store has it, in this directory of the model.
    Directory(PathBuf),
    Hub,
}

impl ModelStore {
    fn find_source(&self, spec: &ModelSpec, file: &ModelFile, target: &Path) -> FileSource {
        if spec.verify_file(file, target).is_ok() {
            return FileSource::Present;
        }
        let mut other_directories =
            self.directories.iter().skip(1).map(|directory| directory.join(spec.name));
        let valid_directory =
            other_directories.find(|other| spec.verify_file(file, &other.join(file.name)).is_ok());
        valid_directory.map_or(FileSource::Hub, FileSource::Directory)
    }

    /// Imports a model's files from a directory, such as a mirror or a removable disk, and verifies
    /// them. Like [`Self::pull`], it writes to the first directory and returns the model's
    /// directory.
    ///
    /// # Errors
    /// [`ModelError::WrongDirectory`] when the hash of a file is wrong, [`ModelError::Io`] when
    /// reading or writing fails, [`ModelError::BuiltIn`] when the model has no files.
    pub async fn import(
        &self,
        spec: &'static ModelSpec,
        source: &Path,
    ) -> Result<PathBuf, ModelError> {
        if spec.is_built_in() {
            return Err(ModelError::BuiltIn { model: spec.name });
        }
        let dir = self.directory()?.join(spec.name);
        let (source, target) = (source.to_owned(), dir.clone());
        run_blocking(&dir, move || {
            let _new_directory = NewDirectory::create(&target)?;
            for file in spec.files {
                let (from, to) = (source.join(file.name), target.join(file.name));
                if spec.verify_file(file, &to).is_ok() {
                    continue;
                }
                spec.verify_file(file, &from).map_err(|error| match error {
                    ModelError::Corrupt { model, expected, found, .. } => {
                        ModelError::WrongDirectory {
                            model,
                            directory: source.clone(),
                            file: file.name,
                            expected,
                            found,
                        }
                    }
                    other => other,
                })?;
                copy(spec, file, &from, &to)?;
            }
            Ok(())
        })
        .await?;
        Ok(dir)
    }
}

/// A directory that is removed on drop if it was created here and is still empty, so that a failed
/// pull leaves no empty directory.
pub(super) struct NewDirectory(Option<PathBuf>);

impl NewDirectory {
    /// Creates a directory and its parents, unless it exists.
    pub(super) fn create(path: &Path) -> Result<Self, ModelError> {
        let is_new = !path.exists();
        std::fs::create_dir_all(path).map_err(ModelError::io(path))?;
        Ok(Self(is_new.then(|| path.to_owned())))
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Fails if the directory has files, as after a successful pull.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Copies a file of a model, verifies the copy, and only then gives it its name.
fn copy(spec: &ModelSpec, file: &ModelFile, from: &Path, to: &Path) -> Result<(), ModelError> {
    let part = to.with_file_name(format!("{}.part", file.name));
    std::fs::copy(from, &part).map_err(ModelError::io(&part))?;
    spec.verify_file(file, &part)?;
    std::fs::rename(&part, to).map_err(ModelError::io(to))
}

struct Download<'a> {
    client: &'a Client,
    url: String,
    file: &'static ModelFile,
    part_path: PathBuf,
}

impl Download<'_> {
    async fn run(
        &self,
        dir: &Path,
        progress: &(impl Fn(PullProgress) + Send + Sync),
    ) -> Result<(), ModelError> {
        let part = self.open_part()?;
        let mut downloaded = part.metadata().map_err(ModelError::io(&self.part_path))?.len();
        if downloaded > self.file.bytes {
            part.set_len(0).map_err(ModelError::io(&self.part_path))?;
            downloaded = 0;
        }
        if downloaded < self.file.bytes
            && let Err(error) = self.fetch(&part, downloaded, progress).await
        {
            // Nothing to resume from. Still locked, so that no other process has begun to use it.
            if part.metadata().is_ok_and(|part| part.len() == 0) {
                std::fs::remove_file(&self.part_path).map_err(ModelError::io(&self.part_path))?;
            }
            return Err(error);
        }
        self.finish(part, dir).await
    }

    /// Opens and locks `<file>.part`.
    fn open_part(&self) -> Result<File, ModelError> {
        let result = OpenOptions::new().create(true).append(true).open(&self.part_path);
        let part = result.map_err(ModelError::io(&self.part_path))?;
        match part.try_lock() {
            Ok(()) => Ok(part),
            Err(TryLockError::WouldBlock) => Err(ModelError::Busy { path: self.part_path.clone() }),
            Err(TryLockError::Error(source)) => Err(ModelError::io(&self.part_path)(source)),
        }
    }

    /// Downloads the bytes after the first `downloaded` and appends them to the partial file.
    async fn fetch(
        &self,
        part: &File,
        mut downloaded: u64,
        progress: &(impl Fn(PullProgress) + Send + Sync),
    ) -> Result<(), ModelError> {
        progress(PullProgress { file: self.file.name, done: downloaded, total: self.file.bytes });
        let mut request = self.client.get(&self.url);
        if downloaded > 0 {
            request = request.header(RANGE, format!("bytes={downloaded}-"));
        }
        let response = request.send().await.map_err(|source| self.connection_error(source))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // The partial file does not match this download: the next attempt must not resume from
            // it.
            part.set_len(0).map_err(ModelError::io(&self.part_path))?;
        }
        if !response.status().is_success() {
            return Err(ModelError::Status {
                url: self.url.clone(),
                status: response.status().as_u16(),
            });
        }
        if !is_continuation(&response, downloaded) {
            part.set_len(0).map_err(ModelError::io(&self.part_path))?;
            downloaded = 0;
        }
        let mut writer =
            tokio::fs::File::from_std(part.try_clone().map_err(ModelError::io(&self.part_path))?);
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(source) => {
                    writer.flush().await.map_err(ModelError::io(&self.part_path))?;
                    return Err(self.connection_error(source));
                }
            };
            downloaded += chunk.len() as u64;
            if downloaded > self.file.bytes {
                part.set_len(0).map_err(ModelError::io(&self.part_path))?;
                return Err(self.wrong_size(downloaded));
            }
            writer.write_all(&chunk).await.map_err(ModelError::io(&self.part_path))?;
            progress(PullProgress {
                file: self.file.name,
                done: downloaded,
                total: self.file.bytes,
            });
        }
        writer.flush().await.map_err(ModelError::io(&self.part_path))?;
        if downloaded < self.file.bytes { Err(self.wrong_size(downloaded)) } else { Ok(()) }
    }

    /// Verifies the complete download and renames it.
    async fn finish(&self, part: File, dir: &Path) -> Result<(), ModelError> {
        let (path, target, dir) =
            (self.part_path.clone(), dir.join(self.file.name), dir.to_owned());
        let (url, expected) = (self.url.clone(), self.file.sha256);
        run_blocking(&self.part_path, move || {
            let digest = sha256_of(&path).map_err(ModelError::io(&path))?;
            if digest != expected {
                std::fs::remove_file(&path).map_err(ModelError::io(&path))?;
                return Err(ModelError::WrongDownload { url, expected, found: digest });
            }
            part.sync_all().map_err(ModelError::io(&path))?;
            std::fs::rename(&path, &target).map_err(ModelError::io(&target))?;
            // The rename must survive a power cut too. Only Unix can sync a directory.
            if cfg!(unix) {
                File::open(&dir).and_then(|dir| dir.sync_all()).map_err(ModelError::io(&dir))?;
            }
            Ok(())
        })
        .await
    }

    fn connection_error(&self, source: reqwest::Error) -> ModelError {
        ModelError::Connection { url: self.url.clone(), source }
    }

    fn wrong_size(&self, received: u64) -> ModelError {
        ModelError::Size { url: self.url.clone(), expected: self.file.bytes, received }
    }
}

/// Returns whether a response resumes after `downloaded` bytes rather than from the first byte.
fn is_continuation(response: &Response, downloaded: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {downloaded}-")))
}

/// Runs blocking work on the file at `path` on the blocking pool.
pub(super) async fn run_blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join_error) => Err(ModelError::io(path)(join_error.into())),
    }
}

#[cfg(test)]
mod tests;
