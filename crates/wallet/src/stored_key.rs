use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::wallets::HOTKEYS;
use crate::write::directory_of;
use crate::{CryptoType, Encryption, Keyfile, KeyfileError, Keypair, Password, PublicKey, WalletError};

/// Keyfiles have a few hundred bytes; anything much larger is another kind of file.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// A keyfile that was read and not yet opened: whether it needs a password can be asked before one is.
///
/// Its bytes are wiped from memory when dropped; `Debug` shows the path only.
pub struct StoredKey {
    path: PathBuf,
    /// The directory of the wallet that it belongs to.
    wallet: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    exposed: Option<u32>,
}

impl StoredKey {
    /// Reads a keyfile that belongs to no wallet, or to one that is not known: of a file in a directory named `hotkeys`,
    /// it is the one above. Links are followed, to regular files only. A file that others may read gives a warning in the
    /// log; [`Self::exposed`] says so too.
    ///
    /// # Errors
    /// [`WalletError`]: unreadable, not a regular file, too large.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WalletError> {
        let directory = directory_of(path.as_ref());
        let wallet = if directory.ends_with(HOTKEYS) { directory_of(directory) } else { directory };
        Self::read_in(wallet, path.as_ref())
    }

    /// As [`Self::read`], for a file of a wallet whose directory is known.
    pub(crate) fn read_in(wallet: &Path, path: &Path) -> Result<Self, WalletError> {
        let stored = Self { wallet: wallet.into(), ..Self::read_quietly(path)? };
        if let Some(mode) = stored.exposed {
            let path = stored.path.display();
            tracing::warn!(%path, mode = format!("{mode:o}"), "keyfile is open to others; chmod 600 it");
        }
        Ok(stored)
    }

    /// As [`Self::read`], without the warning: for public files and lists.
    pub(crate) fn read_quietly(path: &Path) -> Result<Self, WalletError> {
        let failed = |source| WalletError::Read { path: path.into(), source };
        // Asked before opening: opening a named pipe would wait for its writer.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(WalletError::NotAFile(path.into()));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.len() > MAX_BYTES {
            return Err(WalletError::TooLarge { path: path.into(), bytes: metadata.len() });
        }
        // Room for all and one byte, with which the reader notices the end: a growing buffer would leave copies of the
        // secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().saturating_add(1) as usize));
        file.take(metadata.len()).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Self { path: path.into(), wallet: directory_of(path).into(), bytes, exposed: exposed(&metadata) })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the wallet that it belongs to.
    pub(crate) fn wallet(&self) -> &Path {
        &self.wallet
    }

    /// What the file holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How it is encrypted; `None` for a plain file, which opens without a password.
    pub fn encryption(&self) -> Option<Encryption> {
        Encryption::of(&self.bytes)
    }

    /// The file's mode bits, where others than the owner have any.
    pub const fn exposed(&self) -> Option<u32> {
        self.exposed
    }

    /// The key. The password is used where the file is encrypted; opening then takes seconds and 512 MiB of memory. A
    /// public file beside it that names another key gives a warning in the log.
    ///
    /// # Errors
    /// [`WalletError::Keyfile`] with the reason.
    pub fn open(&self, password: Option<&Password>) -> Result<Keyfile, WalletError> {
        let key = self.content(password)?;
        let mut public_file = self.path.clone().into_os_string();
        public_file.push("pub.txt");
        let beside = Self::read_quietly(Path::new(&public_file)).and_then(|file| file.public());
        if let Ok(beside) = beside
            && beside != key.public()
        {
            let (public_file, shown, key) = (Path::new(&public_file).display(), beside, key.public());
            tracing::warn!(%public_file, %shown, %key, "the public file does not belong to the key: write it anew");
        }
        Ok(key)
    }

    fn content(&self, password: Option<&Password>) -> Result<Keyfile, WalletError> {
        Keyfile::from_bytes(&self.bytes, password).map_err(|source| self.error(source))
    }

    /// The public key of a public file, or of a plain keyfile.
    pub(crate) fn public(&self) -> Result<PublicKey, WalletError> {
        self.content(None).map(|key| key.public())
    }

    /// The plain content, once it is known to hold a key.
    pub(crate) fn plain(&self, password: Option<&Password>) -> Result<Zeroizing<Vec<u8>>, WalletError> {
        let plain = Keyfile::plain(&self.bytes, password).map_err(|source| self.error(source))?;
        Keyfile::from_json(&plain).map_err(|source| self.error(source))?;
        Ok(plain)
    }

    /// The public key that a plain file names, whatever else is in it.
    pub(crate) fn stated_public(&self) -> Option<PublicKey> {
        Keyfile::stated_public(&self.bytes)
    }

    /// Names the file in an error about its content.
    fn error(&self, source: KeyfileError) -> WalletError {
        WalletError::Keyfile { path: self.path.clone(), source }
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({})", self.path.display())
    }
}

impl Keypair {
    /// Reads the key that a daemon signs with: a plain sr25519 keyfile, as hotkeys usually are. For encrypted files and
    /// ed25519 keys there is [`StoredKey`].
    ///
    /// # Errors
    /// [`WalletError`]: unreadable, not a regular file, encrypted, malformed, of another scheme, or public only.
    pub fn from_keyfile(path: impl AsRef<Path>) -> Result<Self, WalletError> {
        let stored = StoredKey::read(path)?;
        let pair = stored.open(None)?.into_keypair().map_err(|source| stored.error(source))?;
        match pair.crypto_type() {
            CryptoType::Sr25519 => Ok(pair),
            other @ CryptoType::Ed25519 => Err(stored.error(KeyfileError::Scheme(other))),
        }
    }
}

#[cfg(unix)]
fn exposed(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    Some(metadata.permissions().mode() & 0o777).filter(|mode| mode & 0o077 != 0)
}

#[cfg(not(unix))]
const fn exposed(_: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";

    fn reason(text: &str) -> KeyfileError {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("default");
        fs::write(&path, text).unwrap();
        match Keypair::from_keyfile(path) {
            Err(WalletError::Keyfile { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_daemon_takes_plain_sr25519_keys_only() {
        assert_eq!(reason("$NACL"), KeyfileError::WrongPassword);
        assert_eq!(reason(&format!("$NACL{}", "x".repeat(90))), KeyfileError::Encrypted(Encryption::Nacl));
        let ed25519 = format!(r#"{{"cryptoType":0,"secretSeed":"{SEED}"}}"#);
        assert_eq!(reason(&ed25519), KeyfileError::Scheme(CryptoType::Ed25519));
        assert_eq!(
            reason(r#"{"ss58Address":"5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"}"#),
            KeyfileError::PublicOnly
        );
    }

    #[test]
    fn other_kinds_of_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(StoredKey::read(dir.path()), Err(WalletError::NotAFile(_))));
        assert!(matches!(StoredKey::read(dir.path().join("none")), Err(WalletError::Read { .. })));
        let large = dir.path().join("large");
        fs::write(&large, " ".repeat(70_000)).unwrap();
        assert!(matches!(StoredKey::read(large), Err(WalletError::TooLarge { bytes: 70_000, .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_files_only_and_open_files_are_noticed() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let dir = tempfile::tempdir().unwrap();
        let (target, to_file, to_dir) = (dir.path().join("key"), dir.path().join("a"), dir.path().join("b"));
        fs::write(&target, format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap();
        symlink(&target, &to_file).unwrap();
        symlink(dir.path(), &to_dir).unwrap();
        assert!(Keypair::from_keyfile(&to_file).is_ok());
        assert!(matches!(Keypair::from_keyfile(&to_dir), Err(WalletError::NotAFile(_))));
        for (mode, exposed) in [(0o600, None), (0o400, None), (0o644, Some(0o644)), (0o660, Some(0o660))] {
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(StoredKey::read(&to_file).unwrap().exposed(), exposed);
        }
    }
}
