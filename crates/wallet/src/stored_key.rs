use std::io::Read;
use std::path::{Path, PathBuf};

use taonet_primitives::bytes_without_bom;
use zeroize::Zeroizing;

use crate::open::{exposed_mode, open_file};
use crate::wallets::HOTKEYS;
use crate::write::directory_of;
use crate::{Encryption, Keyfile, KeyfileError, Password, PublicKey, WalletError};

/// The maximum size of a keyfile, in bytes. Typical keyfiles have a few hundred bytes.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// A keyfile that was read but not decrypted, so that a program can check whether it needs to
/// prompt for a password.
///
/// The file's bytes are wiped from memory when dropped; `Debug` shows the path only.
pub struct StoredKey {
    path: PathBuf,
    /// The directory of the key's wallet.
    wallet: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    exposed_mode: Option<u32>,
}

impl StoredKey {
    /// Reads a keyfile at any path. Its wallet is the directory of the file, or the directory above
    /// if that is named `hotkeys`. Symbolic links to regular files are followed. Logs a warning if
    /// other users can access the file; see also [`Self::exposed_mode`].
    ///
    /// # Errors
    /// [`WalletError`] if the file is unreadable, not a regular file, or too large.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WalletError> {
        let directory = directory_of(path.as_ref());
        let wallet = if directory.ends_with(HOTKEYS) { directory_of(directory) } else { directory };
        Self::read_in(wallet, path.as_ref())
    }

    /// Reads a keyfile in a known wallet directory; warns if other users can access it.
    pub(crate) fn read_in(wallet: &Path, path: &Path) -> Result<Self, WalletError> {
        let stored = Self { wallet: wallet.into(), ..Self::read_without_warning(path)? };
        if let Some(mode) = stored.exposed_mode {
            let path = stored.path.display();
            tracing::warn!(%path, mode = format!("{mode:o}"), "keyfile is accessible to other users, run chmod 600");
        }
        Ok(stored)
    }

    /// Reads a keyfile without a warning about its permissions, for public files and listings.
    pub(crate) fn read_without_warning(path: &Path) -> Result<Self, WalletError> {
        let result =
            open_file(path).map_err(|source| WalletError::Read { path: path.into(), source })?;
        let Some((file, metadata)) = result else {
            return Err(WalletError::NotAFile(path.into()));
        };
        if metadata.len() > MAX_BYTES {
            return Err(WalletError::TooLarge { path: path.into(), bytes: metadata.len() });
        }
        // One spare byte lets the reader detect the end of the file: a growing buffer would leave
        // copies of the secret behind.
        let mut bytes =
            Zeroizing::new(Vec::with_capacity(metadata.len().saturating_add(1) as usize));
        file.take(metadata.len())
            .read_to_end(&mut bytes)
            .map_err(|source| WalletError::Read { path: path.into(), source })?;
        Ok(Self {
            path: path.into(),
            wallet: directory_of(path).into(),
            bytes,
            exposed_mode: exposed_mode(&metadata),
        })
    }

    /// Returns the path of the keyfile.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory of the key's wallet.
    pub(crate) fn wallet(&self) -> &Path {
        &self.wallet
    }

    /// Returns the bytes of the keyfile, without a byte order mark.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytes_without_bom(&self.bytes)
    }

    /// Returns the encryption format; `None` for a plain file, which opens without a password.
    pub fn encryption(&self) -> Option<Encryption> {
        Encryption::of(self.bytes())
    }

    /// Returns the file's mode bits if users other than the owner have access; otherwise `None`.
    pub const fn exposed_mode(&self) -> Option<u32> {
        self.exposed_mode
    }

    /// Decrypts the key. The password is used only if the file is encrypted; opening then takes
    /// seconds and 512 MiB of memory. Logs a warning if the public file beside it has a different
    /// key.
    ///
    /// # Errors
    /// [`WalletError::Keyfile`] if the content is malformed or cannot be decrypted.
    pub fn open(&self, password: Option<&Password>) -> Result<Keyfile, WalletError> {
        let key = self.decrypt(password)?;
        let mut public_file = self.path.clone().into_os_string();
        public_file.push("pub.txt");
        let stored_public =
            Self::read_without_warning(Path::new(&public_file)).and_then(|file| file.public());
        if let Ok(stored_public) = stored_public
            && stored_public != key.public()
        {
            let (public_file, shown, key) =
                (Path::new(&public_file).display(), stored_public, key.public());
            tracing::warn!(
                %public_file, %shown, %key,
                "the public keyfile does not match the key; hint: regenerate it"
            );
        }
        Ok(key)
    }

    fn decrypt(&self, password: Option<&Password>) -> Result<Keyfile, WalletError> {
        Keyfile::from_bytes(self.bytes(), password).map_err(|source| self.keyfile_error(source))
    }

    /// Returns the public key of a public file, or of a plain keyfile.
    pub(crate) fn public(&self) -> Result<PublicKey, WalletError> {
        self.decrypt(None).map(|key| key.public())
    }

    /// Decrypts the content, and checks that it contains a key.
    pub(crate) fn plaintext(
        &self,
        password: Option<&Password>,
    ) -> Result<Zeroizing<Vec<u8>>, WalletError> {
        let plaintext = Keyfile::plaintext(self.bytes(), password)
            .map_err(|source| self.keyfile_error(source))?;
        Keyfile::from_json(&plaintext).map_err(|source| self.keyfile_error(source))?;
        Ok(plaintext)
    }

    /// Returns the public key stated in a plain file, ignoring the file's other fields.
    pub(crate) fn stated_public(&self) -> Option<PublicKey> {
        Keyfile::stated_public(self.bytes())
    }

    /// Adds the path to an error about the content.
    fn keyfile_error(&self, source: KeyfileError) -> WalletError {
        WalletError::Keyfile { path: self.path.clone(), source }
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";

    #[test]
    fn directory_missing_and_oversized_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(StoredKey::read(dir.path()), Err(WalletError::NotAFile(_))));
        assert!(matches!(StoredKey::read(dir.path().join("none")), Err(WalletError::Read { .. })));
        let large_file = dir.path().join("large");
        fs::write(&large_file, " ".repeat(70_000)).unwrap();
        assert!(matches!(
            StoredKey::read(large_file),
            Err(WalletError::TooLarge { bytes: 70_000, .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn link_is_followed_and_exposed_mode_is_reported() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let dir = tempfile::tempdir().unwrap();
        let (target, link_to_file, link_to_directory) =
            (dir.path().join("key"), dir.path().join("a"), dir.path().join("b"));
        fs::write(&target, format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap();
        symlink(&target, &link_to_file).unwrap();
        symlink(dir.path(), &link_to_directory).unwrap();
        assert!(StoredKey::read(&link_to_file).is_ok());
        assert!(matches!(StoredKey::read(&link_to_directory), Err(WalletError::NotAFile(_))));
        for (mode, expected) in
            [(0o600, None), (0o400, None), (0o644, Some(0o644)), (0o660, Some(0o660))]
        {
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(StoredKey::read(&link_to_file).unwrap().exposed_mode(), expected);
        }
    }
}
