//! Files of keys are written whole or not at all, by one writer of a wallet at a time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::WalletError;

pub(crate) mod backup;
mod lock;

pub(crate) use lock::{Lock, make_directory, refuse_links};

/// What happens to a key that stands where another is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and writing is refused.
    Refuse,
    /// It is copied into the wallet's `.backups` first, as `coldkey.1` or `hotkeys/NAME.1`, or the next number that is
    /// free.
    KeepBackup,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The new files.
    pub files: Vec<PathBuf>,
    /// Copies of the old ones.
    pub backups: Vec<PathBuf>,
}

/// Whether a file may be written here, as far as can be told without writing.
pub(crate) fn check(path: &Path, overwrite: Overwrite) -> Result<(), WalletError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(WalletError::Link(path.into())),
        Ok(metadata) if !metadata.is_file() => Err(WalletError::NotAFile(path.into())),
        Ok(_) if overwrite == Overwrite::Refuse => Err(WalletError::Exists(path.into())),
        Err(source) if source.kind() != ErrorKind::NotFound => Err(WalletError::Read { path: path.into(), source }),
        _ => Ok(()),
    }
}

/// A synced file beside its destination, for the owner only. It goes when it is dropped.
///
/// Files that belong together are all drafted before the first is placed: a disk that is full stops everything, not half.
pub(crate) struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Made by whoever holds the wallet's [`Lock`], which removes the drafts of others.
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Result<Self, WalletError> {
        let failed = |source| WalletError::Write { path: path.into(), source };
        Ok(Self { file: draft(path, bytes).map_err(failed)?, path: path.into() })
    }

    fn persist(self, overwrite: Overwrite) -> Result<(), WalletError> {
        let Self { file, path } = self;
        let placed = match overwrite {
            // Refuses by itself if a file came into being since the check.
            Overwrite::Refuse => file.persist_noclobber(&path),
            Overwrite::KeepBackup => file.persist(&path),
        };
        placed.map(drop).map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => WalletError::Exists(path),
            _ => WalletError::Write { path, source: error.error },
        })
    }
}

impl Lock {
    /// Puts drafts of one directory where they belong, in their order. What can fail is tried before the first is placed.
    pub(crate) fn place(&self, drafts: Vec<Draft>, overwrite: Overwrite) -> Result<Written, WalletError> {
        for draft in &drafts {
            check(&draft.path, overwrite)?;
        }
        let directory = drafts.first().map_or(self.wallet(), |draft| directory_of(&draft.path));
        let directory = Directory::open(directory)?;
        let backups = match overwrite {
            Overwrite::Refuse => Vec::new(),
            Overwrite::KeepBackup => backup::make(self.wallet(), drafts.iter().map(|draft| draft.path.as_path()))?,
        };
        place(drafts, overwrite, &directory, backups)
    }
}

/// Replaces another form of the same key, without a backup: the old form may be what is to go.
pub(crate) fn replace(_: &Lock, draft: Draft) -> Result<(), WalletError> {
    check(&draft.path, Overwrite::KeepBackup)?;
    let directory = Directory::open(directory_of(&draft.path))?;
    place(vec![draft], Overwrite::KeepBackup, &directory, Vec::new()).map(drop)
}

/// An error from here on says what is there by then.
fn place(
    drafts: Vec<Draft>,
    overwrite: Overwrite,
    directory: &Directory,
    backups: Vec<PathBuf>,
) -> Result<Written, WalletError> {
    let mut written = Written { files: Vec::new(), backups };
    for draft in drafts {
        let path = draft.path.clone();
        match draft.persist(overwrite) {
            Ok(()) => written.files.push(path),
            Err(error) if written.files.is_empty() => {
                backup::remove(&written.backups);
                return Err(error);
            }
            Err(error) => return Err(written.partly(error)),
        }
    }
    match directory.sync() {
        Ok(()) => Ok(written),
        Err(error) => Err(written.partly(error)),
    }
}

impl Written {
    fn partly(self, source: WalletError) -> WalletError {
        WalletError::PartlyWritten { files: self.files, backups: self.backups, source: source.into() }
    }
}

/// A directory that was opened before its files change: a rename lasts once its directory is on disk.
struct Directory {
    path: PathBuf,
    #[cfg(unix)]
    file: File,
}

impl Directory {
    fn open(path: &Path) -> Result<Self, WalletError> {
        #[cfg(unix)]
        let file = File::open(path).map_err(|source| WalletError::Write { path: path.into(), source })?;
        Ok(Self {
            path: path.into(),
            #[cfg(unix)]
            file,
        })
    }

    fn sync(&self) -> Result<(), WalletError> {
        #[cfg(unix)]
        self.file.sync_all().map_err(|source| WalletError::Sync { path: self.path.clone(), source })?;
        Ok(())
    }
}

/// How the name of a draft ends.
const DRAFT_SUFFIX: &str = ".partial";

fn draft(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(DRAFT_SUFFIX).tempfile_in(directory_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
