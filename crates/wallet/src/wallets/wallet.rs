use std::fs;
use std::path::{Path, PathBuf};

use super::Name;
use crate::write::{Draft, check, make_directory};
use crate::{Keyfile, Overwrite, Password, PublicKey, StoredKey, WalletError};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The new files.
    pub files: Vec<PathBuf>,
    /// The old keys that were kept.
    pub backups: Vec<PathBuf>,
}

/// One wallet: a coldkey and its hotkeys.
///
/// Reading takes files as Bittensor's tools leave them. Writing makes directories of mode 0700 and files of mode 0600,
/// each of them whole or not at all, and never goes through symbolic links.
#[derive(Debug, Clone)]
pub struct Wallet {
    root: PathBuf,
    name: Name,
}

impl Wallet {
    pub(super) fn new(root: &Path, name: Name) -> Self {
        Self { root: root.into(), name }
    }

    /// The wallet's name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The wallet's directory.
    pub fn directory(&self) -> PathBuf {
        self.root.join(self.name.as_str())
    }

    /// The coldkey's file.
    pub fn coldkey_path(&self) -> PathBuf {
        self.directory().join("coldkey")
    }

    /// The file of the coldkey's public half.
    pub fn coldkeypub_path(&self) -> PathBuf {
        self.directory().join("coldkeypub.txt")
    }

    /// The directory of the hotkeys.
    pub fn hotkeys_directory(&self) -> PathBuf {
        self.directory().join("hotkeys")
    }

    /// A hotkey's file.
    pub fn hotkey_path(&self, hotkey: &Name) -> PathBuf {
        self.hotkeys_directory().join(hotkey.as_str())
    }

    /// The file of a hotkey's public half.
    pub fn hotkeypub_path(&self, hotkey: &Name) -> PathBuf {
        self.hotkeys_directory().join(format!("{hotkey}pub.txt"))
    }

    /// Reads the coldkey's file; opening it is another step, which may need a password.
    ///
    /// # Errors
    /// [`WalletError`]: unreadable, not a regular file, too large.
    pub fn coldkey(&self) -> Result<StoredKey, WalletError> {
        StoredKey::read(self.coldkey_path())
    }

    /// Reads a hotkey's file; opening it is another step, which may need a password.
    ///
    /// # Errors
    /// As [`Self::coldkey`].
    pub fn hotkey(&self, hotkey: &Name) -> Result<StoredKey, WalletError> {
        StoredKey::read(self.hotkey_path(hotkey))
    }

    /// The coldkey's public half, from its public file.
    ///
    /// # Errors
    /// [`WalletError`]: unreadable or malformed.
    pub fn coldkeypub(&self) -> Result<PublicKey, WalletError> {
        read_public(&self.coldkeypub_path())
    }

    /// A hotkey's public half, from its public file, or from a plain keyfile where there is none.
    ///
    /// # Errors
    /// [`WalletError`]: unreadable, malformed, or only an encrypted keyfile is there.
    pub fn hotkeypub(&self, hotkey: &Name) -> Result<PublicKey, WalletError> {
        let path = self.hotkeypub_path(hotkey);
        if path.exists() { read_public(&path) } else { Ok(self.hotkey(hotkey)?.open(None)?.public()) }
    }

    /// Writes a coldkey and its public file. With a password the key is encrypted, which takes seconds and 512 MiB.
    ///
    /// # Errors
    /// [`WalletError`]: a key is there and overwriting was not asked for, a link is in the way, or the disk refuses.
    pub fn write_coldkey(
        &self,
        key: &Keyfile,
        password: Option<&Password>,
        overwrite: Overwrite,
    ) -> Result<Written, WalletError> {
        self.write(&self.directory(), &self.coldkey_path(), &self.coldkeypub_path(), key, password, overwrite)
    }

    /// Writes a hotkey and its public file; see [`Self::write_coldkey`].
    ///
    /// # Errors
    /// As there.
    pub fn write_hotkey(
        &self,
        hotkey: &Name,
        key: &Keyfile,
        password: Option<&Password>,
        overwrite: Overwrite,
    ) -> Result<Written, WalletError> {
        let (secret, public) = (self.hotkey_path(hotkey), self.hotkeypub_path(hotkey));
        self.write(&self.hotkeys_directory(), &secret, &public, key, password, overwrite)
    }

    /// Writes the public file of a coldkey whose secret is kept elsewhere.
    ///
    /// # Errors
    /// As [`Self::write_coldkey`].
    pub fn write_coldkeypub(&self, key: PublicKey, overwrite: Overwrite) -> Result<Written, WalletError> {
        self.prepare(&self.directory())?;
        write_public(&self.coldkeypub_path(), key, overwrite)
    }

    /// Writes the public file of a hotkey whose secret is kept elsewhere.
    ///
    /// # Errors
    /// As [`Self::write_coldkey`].
    pub fn write_hotkeypub(&self, hotkey: &Name, key: PublicKey, overwrite: Overwrite) -> Result<Written, WalletError> {
        self.prepare(&self.hotkeys_directory())?;
        write_public(&self.hotkeypub_path(hotkey), key, overwrite)
    }

    fn write(
        &self,
        directory: &Path,
        secret: &Path,
        public: &Path,
        key: &Keyfile,
        password: Option<&Password>,
        overwrite: Overwrite,
    ) -> Result<Written, WalletError> {
        self.prepare(directory)?;
        // Both, before the seconds of encryption.
        check(secret, overwrite)?;
        if !holds(public, key.public()) {
            check(public, overwrite)?;
        }
        let secret_draft = Draft::new(secret, &content(key, password)?)?;
        let public_draft = draft_public(public, key.public())?;
        let mut written = Written { files: vec![secret.into()], backups: Vec::new() };
        written.backups.extend(secret_draft.place(overwrite)?);
        written.place_public(public_draft, public, overwrite)?;
        Ok(written)
    }

    /// Makes the directories, none of which may be a link; where all wallets are, may be one.
    fn prepare(&self, directory: &Path) -> Result<(), WalletError> {
        for path in [&self.directory(), directory] {
            if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(WalletError::Link(path.into()));
            }
        }
        make_directory(directory)
    }
}

impl StoredKey {
    /// Writes the key back in another form: under another password, or plain without one. The file is replaced at once
    /// and no backup of the old form stays, since the old password may be the reason.
    ///
    /// # Errors
    /// [`WalletError`]: the old password is wrong, the file is a link, or the disk refuses; the file is then as it was.
    pub fn change_password(&self, old: Option<&Password>, new: Option<&Password>) -> Result<(), WalletError> {
        check(self.path(), Overwrite::KeepBackup)?;
        let key = self.open(old)?;
        Draft::new(self.path(), &content(&key, new)?)?.replace()
    }
}

fn content(key: &Keyfile, password: Option<&Password>) -> Result<zeroize::Zeroizing<Vec<u8>>, WalletError> {
    match password {
        Some(password) => key.seal(password).map(Into::into).map_err(WalletError::Seal),
        None => Ok(key.to_json()),
    }
}

pub(super) fn read_public(path: &Path) -> Result<PublicKey, WalletError> {
    Ok(StoredKey::read_quietly(path)?.open(None)?.public())
}

/// Whether a public file says already what it would be made to say.
fn holds(path: &Path, key: PublicKey) -> bool {
    read_public(path).is_ok_and(|found| found == key)
}

/// A public file to be, unless the one that stands there says the same.
fn draft_public(path: &Path, key: PublicKey) -> Result<Option<Draft>, WalletError> {
    if holds(path, key) {
        return Ok(None);
    }
    Draft::new(path, &Keyfile::from_public(key).to_public_json()).map(Some)
}

fn write_public(path: &Path, key: PublicKey, overwrite: Overwrite) -> Result<Written, WalletError> {
    let mut written = Written { files: Vec::new(), backups: Vec::new() };
    written.place_public(draft_public(path, key)?, path, overwrite)?;
    Ok(written)
}

impl Written {
    fn place_public(&mut self, draft: Option<Draft>, path: &Path, overwrite: Overwrite) -> Result<(), WalletError> {
        if let Some(draft) = draft {
            self.backups.extend(draft.place(overwrite)?);
            self.files.push(path.into());
        }
        Ok(())
    }
}
