//! Files of keys are written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::WalletError;

/// What happens to a key that stands where another is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and writing is refused.
    Refuse,
    /// It is kept beside the new one, as `NAME.1.bak`, or the next number that is free.
    KeepBackup,
}

/// How the name of a backup ends.
pub(crate) const BACKUP_SUFFIX: &str = ".bak";

/// More backups of one key than anyone makes.
const MAX_BACKUPS: u32 = 10_000;

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
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Result<Self, WalletError> {
        let failed = |source| WalletError::Write { path: path.into(), source };
        Ok(Self { file: draft(path, bytes).map_err(failed)?, path: path.into() })
    }

    /// Puts the file where it belongs. Gives the path of the backup where one was made.
    pub(crate) fn place(self, overwrite: Overwrite) -> Result<Option<PathBuf>, WalletError> {
        let Self { file, path } = self;
        check(&path, overwrite)?;
        let placed = match overwrite {
            // Refuses by itself if a file came into being since the check.
            Overwrite::Refuse => file.persist_noclobber(&path).map(|_| None).map_err(|error| error.error),
            Overwrite::KeepBackup => place_with_backup(file, &path),
        };
        placed.and_then(|backup| sync(directory_of(&path)).map(|()| backup)).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => WalletError::Exists(path),
            _ => WalletError::Write { path, source },
        })
    }

    /// Replaces another form of the same key, without a backup: the old form may be what is to go.
    pub(crate) fn replace(self) -> Result<(), WalletError> {
        let Self { file, path } = self;
        check(&path, Overwrite::KeepBackup)?;
        let replaced = file.persist(&path).map_err(|error| error.error);
        replaced.and_then(|_| sync(directory_of(&path))).map_err(|source| WalletError::Write { path, source })
    }
}

fn place_with_backup(file: NamedTempFile, path: &Path) -> io::Result<Option<PathBuf>> {
    let backup = back_up(path)?;
    let replaced = file.persist(path);
    if let (Err(_), Some(backup)) = (&replaced, &backup) {
        // The old key still stands in its place; a backup that cannot be removed does no harm.
        let _ = fs::remove_file(backup);
    }
    replaced.map(|_| backup).map_err(|error| error.error)
}

/// Makes a directory and those above it that are missing, for the owner only.
pub(crate) fn make_directory(path: &Path) -> Result<(), WalletError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| WalletError::Write { path: path.into(), source })
}

fn draft(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(directory_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Gives the file a second name, so that it is never without one.
fn back_up(path: &Path) -> io::Result<Option<PathBuf>> {
    for number in 1..=MAX_BACKUPS {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{number}{BACKUP_SUFFIX}"));
        let backup = path.with_file_name(name);
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(Some(backup)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Some file systems have no second names.
            Err(_) => return copy(path, &backup).map(|()| Some(backup)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn copy(path: &Path, backup: &Path) -> io::Result<()> {
    let bytes = zeroize::Zeroizing::new(fs::read(path)?);
    draft(backup, &bytes)?.persist_noclobber(backup)?;
    Ok(())
}

/// A rename lasts once its directory is on disk.
fn sync(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
