use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{HOTKEYS, Name};
use crate::stored_key::MAX_BYTES;
use crate::write::{
    Draft, Lock, check_writable, directory_of, make_directory, refuse_links, replace_keyfile,
};
use crate::{Keyfile, Overwrite, Password, PublicKey, StoredKey, WalletError, WrittenFiles};

/// A wallet: a coldkey and its hotkeys.
///
/// Reading accepts files as Bittensor's tools write them. Writing creates directories of mode 0700
/// and files of mode 0600, each file atomically, and never follows symbolic links. A lock on the
/// file `.lock` serialises the writers that use this crate; overwritten keys are stored in
/// `.backups`.
#[derive(Debug, Clone)]
pub struct Wallet {
    root: PathBuf,
    name: Name,
}

impl Wallet {
    pub(super) fn new(root: &Path, name: Name) -> Self {
        Self { root: root.into(), name }
    }

    /// Returns the wallet's name.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the directory of the wallets.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the wallet's directory.
    pub fn directory(&self) -> PathBuf {
        self.root.join(self.name.as_str())
    }

    /// Returns the path of the coldkey's file.
    pub fn coldkey_path(&self) -> PathBuf {
        self.directory().join("coldkey")
    }

    /// Returns the path of the coldkey's public file.
    pub fn coldkeypub_path(&self) -> PathBuf {
        self.directory().join("coldkeypub.txt")
    }

    /// Returns the directory of the hotkeys.
    pub fn hotkeys_directory(&self) -> PathBuf {
        self.directory().join(HOTKEYS)
    }

    /// Returns the path of a hotkey's file.
    pub fn hotkey_path(&self, hotkey: &Name) -> PathBuf {
        self.hotkeys_directory().join(hotkey.as_str())
    }

    /// Returns the path of a hotkey's public file.
    pub fn hotkeypub_path(&self, hotkey: &Name) -> PathBuf {
        self.hotkeys_directory().join(format!("{hotkey}pub.txt"))
    }

    /// Reads the coldkey's file without decrypting it; see [`StoredKey::open`].
    ///
    /// # Errors
    /// [`WalletError`] if the file is unreadable, not a regular file, or too large.
    pub fn coldkey(&self) -> Result<StoredKey, WalletError> {
        StoredKey::read_in(&self.directory(), &self.coldkey_path())
    }

    /// Reads a hotkey's file without decrypting it; see [`StoredKey::open`].
    ///
    /// # Errors
    /// The errors of [`Self::coldkey`].
    pub fn hotkey(&self, hotkey: &Name) -> Result<StoredKey, WalletError> {
        StoredKey::read_in(&self.directory(), &self.hotkey_path(hotkey))
    }

    /// Returns the coldkey's public key, from its public file.
    ///
    /// # Errors
    /// [`WalletError`] if the file is unreadable or malformed.
    pub fn coldkeypub(&self) -> Result<PublicKey, WalletError> {
        read_public(&self.coldkeypub_path())
    }

    /// Returns a hotkey's public key, from its public file or, if there is none, from a plain
    /// keyfile.
    ///
    /// # Errors
    /// [`WalletError`] if the file is unreadable or malformed, or only an encrypted keyfile exists.
    pub fn hotkeypub(&self, hotkey: &Name) -> Result<PublicKey, WalletError> {
        let path = self.hotkeypub_path(hotkey);
        if path.exists() { read_public(&path) } else { self.hotkey(hotkey)?.public() }
    }

    /// Writes a coldkey and its public file. With a password the key is encrypted, which takes
    /// seconds and 512 MiB of memory.
    ///
    /// # Errors
    /// [`WalletError`] if a key exists and overwriting was not requested, the path is a link, or a
    /// disk error occurs. After [`WalletError::PartlyWritten`] the new key is in place, after any
    /// other error the old one.
    pub fn write_coldkey(
        &self,
        key: &Keyfile,
        password: Option<&Password>,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        self.write_key(
            &self.directory(),
            &self.coldkey_path(),
            &self.coldkeypub_path(),
            key,
            password,
            overwrite,
        )
    }

    /// Writes a hotkey and its public file; see [`Self::write_coldkey`].
    ///
    /// # Errors
    /// The errors of [`Self::write_coldkey`].
    pub fn write_hotkey(
        &self,
        hotkey: &Name,
        key: &Keyfile,
        password: Option<&Password>,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        let (secret, public) = (self.hotkey_path(hotkey), self.hotkeypub_path(hotkey));
        self.write_key(&self.hotkeys_directory(), &secret, &public, key, password, overwrite)
    }

    /// Writes the public file of a coldkey whose secret is stored elsewhere.
    ///
    /// # Errors
    /// The errors of [`Self::write_coldkey`].
    pub fn write_coldkeypub(
        &self,
        key: PublicKey,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        self.write_public(&self.coldkeypub_path(), key, overwrite)
    }

    /// Writes the public file of a hotkey whose secret is stored elsewhere.
    ///
    /// # Errors
    /// The errors of [`Self::write_coldkey`].
    pub fn write_hotkeypub(
        &self,
        hotkey: &Name,
        key: PublicKey,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        self.write_public(&self.hotkeypub_path(hotkey), key, overwrite)
    }

    fn write_key(
        &self,
        directory: &Path,
        secret: &Path,
        public: &Path,
        key: &Keyfile,
        password: Option<&Password>,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        refuse_links([self.directory().as_path(), directory])?;
        make_directory(directory)?;
        // Both checks precede the encryption, which takes seconds.
        check_writable(secret, overwrite)?;
        if !has_key(public, key.public()) {
            check_writable(public, overwrite)?;
        }
        let bytes_to_write = keyfile_bytes(key.to_json(), password)?;
        let lock = Lock::acquire(&self.directory(), directory)?;
        let mut drafts = vec![Draft::new(secret, &bytes_to_write)?];
        drafts.extend(draft_public(public, key.public())?);
        lock.persist_all(drafts, overwrite)
    }

    fn write_public(
        &self,
        path: &Path,
        key: PublicKey,
        overwrite: Overwrite,
    ) -> Result<WrittenFiles, WalletError> {
        let lock = Lock::acquire(&self.directory(), directory_of(path))?;
        match draft_public(path, key)? {
            Some(draft) => lock.persist_all(vec![draft], overwrite),
            None => Ok(WrittenFiles::default()),
        }
    }
}

impl StoredKey {
    /// Changes the password of the key, or stores the key unencrypted if `new` is `None`. The
    /// content is unchanged, including fields added by other tools. The file is replaced atomically
    /// and without a backup, since the old password may have leaked. Backups of overwritten keys
    /// stay unchanged; if `new` is given, a warning is logged for each of them, see
    /// [`Self::backups`].
    ///
    /// # Errors
    /// [`WalletError`] if the old password is wrong, the file is a link or changed since it was
    /// read, or a disk error occurs. The file is then unchanged, except after
    /// [`WalletError::PartlyWritten`].
    pub fn change_password(
        &self,
        old: Option<&Password>,
        new: Option<&Password>,
    ) -> Result<(), WalletError> {
        let directory = directory_of(self.path());
        refuse_links([self.wallet(), directory])?;
        check_writable(self.path(), Overwrite::KeepBackup)?;
        let bytes_to_write = keyfile_bytes(self.plaintext(old)?, new)?;
        let bytes = bytes_to_write.len() as u64;
        if bytes > MAX_BYTES {
            // Encryption adds some bytes, and a file above the size limit could not be read again.
            return Err(WalletError::TooLarge { path: self.path().into(), bytes });
        }
        let lock = Lock::acquire(self.wallet(), directory)?;
        // Another process may have written a different key in the meantime, which would be lost.
        if Self::read_without_warning(self.path())?.bytes() != self.bytes() {
            return Err(WalletError::Changed(self.path().into()));
        }
        replace_keyfile(&lock, Draft::new(self.path(), &bytes_to_write)?)?;
        for backup in self.backups().into_iter().filter(|_| new.is_some()) {
            let (path, secret) = (backup.path.display(), backup.secret.name());
            tracing::warn!(
                %path, secret,
                "the backup of an overwritten key is unchanged; hint: remove it if it is no longer needed"
            );
        }
        Ok(())
    }
}

fn keyfile_bytes(
    plain: Zeroizing<Vec<u8>>,
    password: Option<&Password>,
) -> Result<Zeroizing<Vec<u8>>, WalletError> {
    match password {
        Some(password) => {
            Keyfile::seal_plaintext(&plain, password).map(Into::into).map_err(WalletError::Seal)
        }
        None => Ok(plain),
    }
}

pub(super) fn read_public(path: &Path) -> Result<PublicKey, WalletError> {
    StoredKey::read_without_warning(path)?.public()
}

/// Whether a public file already has this key.
fn has_key(path: &Path, key: PublicKey) -> bool {
    read_public(path).is_ok_and(|public| public == key)
}

/// Writes a draft of a public file, unless the existing one has the same key.
fn draft_public(path: &Path, key: PublicKey) -> Result<Option<Draft>, WalletError> {
    if has_key(path, key) {
        return Ok(None);
    }
    Draft::new(path, &Keyfile::from_public(key).to_public_json()).map(Some)
}
