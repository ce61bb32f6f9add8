//! Backups of old keys in the wallet's `.backups`, where no tool looks for keys: `coldkey.1`,
//! `hotkeys/NAME.1`.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Directory, Draft, Overwrite, directory_of, make_directory, refuse_links};
use crate::{StoredKey, WalletError};

const BACKUP_DIRECTORY: &str = ".backups";

/// Maximum number of backups of one key.
const MAX_BACKUPS: u32 = 10_000;

/// Returns the backup directory for the keys in a wallet's directory or below it.
pub(crate) fn directory_for(wallet: &Path, directory: &Path) -> PathBuf {
    let relative = directory.strip_prefix(wallet).unwrap_or(Path::new(""));
    wallet.join(BACKUP_DIRECTORY).join(relative)
}

/// Copies the existing files to backups. On return, either all backups are synced to disk or none
/// exists.
pub(super) fn create<'a>(
    wallet: &Path,
    paths: impl Iterator<Item = &'a Path>,
) -> Result<Vec<PathBuf>, WalletError> {
    let mut backups = Vec::new();
    for path in paths {
        match back_up(wallet, path) {
            Ok(backup) => backups.extend(backup),
            Err(error) => {
                remove(&backups);
                return Err(error);
            }
        }
    }
    Ok(backups)
}

/// Removes backups of keys that were not overwritten after all; errors are ignored.
pub(super) fn remove(backups: &[PathBuf]) {
    for backup in backups {
        let _ = fs::remove_file(backup);
    }
}

/// Copies a file to its backup. Unlike a hard link, the copy is readable by the owner only,
/// regardless of the old file's mode.
fn back_up(wallet: &Path, path: &Path) -> Result<Option<PathBuf>, WalletError> {
    let old_key = match StoredKey::read_without_warning(path) {
        Err(WalletError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(None);
        }
        old_key => old_key?,
    };
    let directory = directory_for(wallet, directory_of(path));
    refuse_links([wallet.join(BACKUP_DIRECTORY).as_path(), &directory])?;
    make_directory(&directory)?;
    let mut backups = (1..=MAX_BACKUPS).map(|number| directory.join(backup_name(path, number)));
    let next_free = backups.find(|backup| {
        backup.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
    });
    let Some(backup) = next_free else {
        return Err(WalletError::Write {
            path: directory,
            source: ErrorKind::AlreadyExists.into(),
        });
    };
    Draft::new(&backup, old_key.bytes())?.persist(Overwrite::Refuse)?;
    // Syncs new directories, too: a backup is durable only if its directory is.
    for directory in directory.ancestors().take_while(|directory| directory.starts_with(wallet)) {
        Directory::open(directory)
            .and_then(|directory| directory.sync())
            .inspect_err(|_| remove(std::slice::from_ref(&backup)))?;
    }
    Ok(Some(backup))
}

fn backup_name(path: &Path, number: u32) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    name
}

/// Returns the backups of a key, sorted by number.
pub(crate) fn list(wallet: &Path, path: &Path) -> Vec<PathBuf> {
    let mut prefix = path.file_name().unwrap_or_default().to_os_string();
    prefix.push(".");
    let entries =
        fs::read_dir(directory_for(wallet, directory_of(path))).into_iter().flatten().flatten();
    let number =
        |name: OsString| name.to_str()?.strip_prefix(prefix.to_str()?)?.parse::<u32>().ok();
    let mut backups: Vec<_> =
        entries.filter_map(|entry| Some((number(entry.file_name())?, entry.path()))).collect();
    backups.sort();
    backups.into_iter().map(|(_, path)| path).collect()
}
