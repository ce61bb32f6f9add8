use std::fs::{self, DirBuilder, File, OpenOptions};
use std::path::{Path, PathBuf};

use super::{DRAFT_SUFFIX, Overwrite, backup, check_writable};
use crate::WalletError;

/// The lock file of a wallet. It is never removed: otherwise two writers could lock different
/// files.
const LOCK_FILE: &str = ".lock";

/// The length of the random part of temporary file names, in characters.
const RANDOM_CHARACTERS: usize = 6;

/// An exclusive lock on a wallet: programs that use this crate hold it from the first check to the
/// end of the write. Released on drop, or when the process exits.
pub(crate) struct Lock {
    wallet: PathBuf,
    _file: File,
}

impl Lock {
    /// Creates the directories of the wallet and the key, neither of which may be a symbolic link,
    /// and waits for the lock. Then removes drafts left by a killed writer, since they contain
    /// secrets.
    pub(crate) fn acquire(wallet: &Path, directory: &Path) -> Result<Self, WalletError> {
        refuse_links([wallet, directory])?;
        make_directory(directory)?;
        let path = wallet.join(LOCK_FILE);
        check_writable(&path, Overwrite::KeepBackup)?;
        let file = open_lock_file(&path).and_then(|file| file.lock().map(|()| file));
        let file = file.map_err(|source| WalletError::Write { path, source })?;
        for directory in [directory, &backup::directory_for(wallet, directory)] {
            remove_drafts(directory);
        }
        Ok(Self { wallet: wallet.into(), _file: file })
    }

    pub(super) fn wallet(&self) -> &Path {
        &self.wallet
    }
}

fn open_lock_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes leftover drafts from a directory. Failing to list the directory or to remove a draft is
/// not an error.
fn remove_drafts(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_draft))
    {
        let path = entry.path();
        match fs::remove_file(&path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), "removed temporary file of an interrupted writer");
            }
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "cannot remove temporary file of an interrupted writer"
            ),
        }
    }
}

fn is_draft(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(DRAFT_SUFFIX));
    let random = inner.and_then(|inner| inner.rsplit_once('.')).map(|(_, random)| random);
    random.is_some_and(|random| {
        random.len() == RANDOM_CHARACTERS && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Refuses directories that are symbolic links; only the root of all wallets may be one.
pub(crate) fn refuse_links<'a>(
    directories: impl IntoIterator<Item = &'a Path>,
) -> Result<(), WalletError> {
    directories
        .into_iter()
        .find(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()))
        .map_or(Ok(()), |path| Err(WalletError::Link(path.into())))
}

/// Creates a directory and its missing parents, for the owner only.
pub(crate) fn make_directory(path: &Path) -> Result<(), WalletError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| WalletError::Write { path: path.into(), source })
}
