//! Atomic writes of key files, with one writer per wallet at a time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::WalletError;

pub(crate) mod backup;
mod lock;

pub(crate) use lock::{Lock, make_directory, refuse_links};

/// Whether to overwrite an existing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Keeps the existing file and refuses to write.
    Refuse,
    /// Copies the existing file into the wallet's `.backups` before overwriting it, as `coldkey.1`
    /// or `hotkeys/NAME.1`, or with the next free number.
    KeepBackup,
}

/// The files written by one operation, and the backups of the files that it replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenFiles {
    /// Paths of the written files.
    pub files: Vec<PathBuf>,
    /// Paths of the replaced files' backups.
    pub backups: Vec<PathBuf>,
}

/// Checks, as far as possible without writing, that a file may be written at a path.
pub(crate) fn check_writable(path: &Path, overwrite: Overwrite) -> Result<(), WalletError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(WalletError::Link(path.into())),
        Ok(metadata) if !metadata.is_file() => Err(WalletError::NotAFile(path.into())),
        Ok(_) if overwrite == Overwrite::Refuse => Err(WalletError::Exists(path.into())),
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(WalletError::Read { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

/// A synced temporary file beside its destination, readable by the owner only. Removed on drop
/// unless persisted.
///
/// All drafts of a change are written before the first is persisted: a full disk never leaves half
/// of the change.
pub(crate) struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Writes a draft. The caller must hold the wallet's [`Lock`]: taking the lock removes the
    /// drafts of other writers.
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Result<Self, WalletError> {
        let file = write_draft(path, bytes)
            .map_err(|source| WalletError::Write { path: path.into(), source })?;
        Ok(Self { file, path: path.into() })
    }

    fn persist(self, overwrite: Overwrite) -> Result<(), WalletError> {
        let Self { file, path } = self;
        let result = match overwrite {
            // Fails if a file was created since the check.
            Overwrite::Refuse => file.persist_noclobber(&path),
            Overwrite::KeepBackup => file.persist(&path),
        };
        result.map(drop).map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => WalletError::Exists(path),
            _ => WalletError::Write { path, source: error.error },
        })
    }
}

impl Lock {
    /// Moves drafts of one directory to their destinations, in order. Checks and backups are done
    /// before the first move.
    pub(crate) fn persist_all(
        &self,
        drafts: Vec<Draft>,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        for draft in &drafts {
            check_writable(&draft.path, overwrite)?;
        }
        let directory = drafts.first().map_or(self.wallet(), |draft| directory_of(&draft.path));
        let directory = Directory::open(directory)?;
        let backups = match overwrite {
            Overwrite::Refuse => Vec::new(),
            Overwrite::KeepBackup => {
                backup::create(self.wallet(), drafts.iter().map(|draft| draft.path.as_path()))?
            }
        };
        persist_all(drafts, overwrite, &directory, backups)
    }
}

/// Replaces a keyfile after a password change, without a backup: the old password may be
/// compromised.
pub(crate) fn replace_keyfile(_: &Lock, draft: Draft) -> Result<(), WalletError> {
    check_writable(&draft.path, Overwrite::KeepBackup)?;
    let directory = Directory::open(directory_of(&draft.path))?;
    persist_all(vec![draft], Overwrite::KeepBackup, &directory, Vec::new()).map(drop)
}

/// Moves drafts to their destinations and syncs the directory. After the first move, errors list
/// the files in place.
fn persist_all(
    drafts: Vec<Draft>,
    overwrite: Overwrite,
    directory: &Directory,
    backups: Vec<PathBuf>,
) -> Result<WrittenFiles, WalletError> {
    let mut written_files = WrittenFiles { files: Vec::new(), backups };
    for draft in drafts {
        let path = draft.path.clone();
        match draft.persist(overwrite) {
            Ok(()) => written_files.files.push(path),
            Err(error) if written_files.files.is_empty() => {
                backup::remove(&written_files.backups);
                return Err(error);
            }
            Err(error) => return Err(written_files.into_partly_written(error)),
        }
    }
    match directory.sync() {
        Ok(()) => Ok(written_files),
        Err(error) => Err(written_files.into_partly_written(error)),
    }
}

impl WrittenFiles {
    fn into_partly_written(self, source: WalletError) -> WalletError {
        WalletError::PartlyWritten {
            files: self.files,
            backups: self.backups,
            source: source.into(),
        }
    }
}

/// A directory, opened before its files change: a rename is durable only once its directory is
/// synced.
struct Directory {
    path: PathBuf,
    #[cfg(unix)]
    file: File,
}

impl Directory {
    fn open(path: &Path) -> Result<Self, WalletError> {
        #[cfg(unix)]
        let file =
            File::open(path).map_err(|source| WalletError::Write { path: path.into(), source })?;
        Ok(Self {
            path: path.into(),
            #[cfg(unix)]
            file,
        })
    }

    fn sync(&self) -> Result<(), WalletError> {
        #[cfg(unix)]
        self.file
            .sync_all()
            .map_err(|source| WalletError::Sync { path: self.path.clone(), source })?;
        Ok(())
    }
}

/// The suffix of a draft's file name.
const DRAFT_SUFFIX: &str = ".partial";

fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut file = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(DRAFT_SUFFIX)
        .tempfile_in(directory_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
