//! Files of a model on local disk.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::ApiError;

/// Maximum number of files of a model.
const MAX_FILES: usize = 1_000;
/// Maximum size of a file, in bytes: the hub's basic transfer takes at most 5 GB.
const MAX_SIZE: u64 = 5_000_000_000;
/// Size of the sample from which the hub decides how to store a file, in bytes.
const SAMPLE_BYTES: usize = 512;

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Path on this machine.
    pub path: PathBuf,
    /// Path in the repository, separated by slashes.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content, lowercase hex.
    pub sha256: String,
    /// The first bytes of the content.
    pub sample: Vec<u8>,
}

/// The files of a model's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// The files, sorted by name.
    pub files: Vec<LocalFile>,
}

impl LocalModel {
    /// Reads a directory, or a single file. Skips names that begin with a dot, and follows links.
    ///
    /// # Errors
    /// [`ApiError::File`] when a file is unreadable, [`ApiError::Unsuitable`] when the directory
    /// has no file, or when a file is a device, too large, or not named in UTF-8.
    pub fn read(path: &Path) -> Result<Self, ApiError> {
        let root = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        let (mut pending, mut files) = (vec![path.to_owned()], Vec::new());
        while let Some(path) = pending.pop() {
            let metadata = fs::metadata(&path).map_err(ApiError::file(&path))?;
            if metadata.is_dir() {
                for entry in fs::read_dir(&path).map_err(ApiError::file(&path))? {
                    let entry = entry.map_err(ApiError::file(&path))?;
                    if !entry.file_name().to_string_lossy().starts_with('.') {
                        pending.push(entry.path());
                    }
                }
            } else {
                files.push(file(root, path, &metadata)?);
            }
            if files.len() > MAX_FILES {
                return Err(ApiError::Unsuitable {
                    path: root.to_owned(),
                    reason: "more than 1000 files\nhint: pass the directory of one model",
                });
            }
        }
        if files.is_empty() {
            let reason = "contains no file\nhint: pass the directory of a model with its configuration and weights";
            return Err(ApiError::Unsuitable { path: path.to_owned(), reason });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { files })
    }
}

fn unsuitable_error(path: &Path, reason: &'static str) -> ApiError {
    ApiError::Unsuitable { path: path.to_owned(), reason }
}

fn file(root: &Path, path: PathBuf, metadata: &fs::Metadata) -> Result<LocalFile, ApiError> {
    if !metadata.is_file() {
        return Err(unsuitable_error(
            &path,
            "not a regular file\nhint: remove it from the model's directory",
        ));
    }
    if metadata.len() > MAX_SIZE {
        return Err(unsuitable_error(
            &path,
            "larger than 5 GB\nhint: save the model in several files (max_shard_size)",
        ));
    }
    let parts = path.strip_prefix(root).unwrap_or(&path).components();
    let parts: Option<Vec<&str>> = parts.map(|part| part.as_os_str().to_str()).collect();
    let name = parts
        .ok_or_else(|| unsuitable_error(&path, "the name is not UTF-8\nhint: rename the file"))?
        .join("/");
    let (size, sha256, sample) = hash_file(&path).map_err(ApiError::file(&path))?;
    Ok(LocalFile { path, name, size, sha256, sample })
}

/// Returns the size, the SHA-256 and the first bytes of a file.
fn hash_file(path: &Path) -> io::Result<(u64, String, Vec<u8>)> {
    let (mut file, mut hash, mut sample, mut size) =
        (fs::File::open(path)?, Sha256::new(), Vec::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        size += read as u64;
        sample.extend(bytes.iter().take(SAMPLE_BYTES - sample.len()));
    }
    Ok((size, hex::encode(hash.finalize()), sample))
}
