use std::fs::{self, ReadDir};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use taonet_primitives::bytes_without_bom;

use super::wallet::read_public;
use super::{Name, Wallet, name};
use crate::open::open_file;
use crate::write::backup;
use crate::{Encryption, PublicKey, StoredKey};

/// The number of bytes that suffice to detect the encryption format, with a byte order mark of 3
/// bytes.
const HEAD_BYTES: usize = 16 + 3;

/// The state of a secret on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretState {
    /// There is no file: the secret is stored elsewhere.
    Absent,
    /// The file exists, or may exist, but is unreadable.
    Unreadable,
    /// The file is not encrypted: anyone who can read it has the key.
    Plain,
    /// The file is encrypted.
    Encrypted(Encryption),
}

impl SecretState {
    /// Returns the name of the state: `absent`, `unreadable`, `plain`, `encrypted`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unreadable => "unreadable",
            Self::Plain => "plain",
            Self::Encrypted(_) => "encrypted",
        }
    }
}

/// A backup of an overwritten key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Path of the backup file.
    pub path: PathBuf,
    /// The state of the secret in the backup.
    pub secret: SecretState,
}

impl StoredKey {
    /// Returns the backups of keys that were overwritten at this path. Changing the password leaves
    /// them unchanged.
    pub fn backups(&self) -> Vec<Backup> {
        let paths = backup::list(self.wallet(), self.path()).into_iter();
        paths.map(|path| Backup { secret: secret_state(&path), path }).collect()
    }
}

/// A wallet in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWallet {
    /// The wallet's name.
    pub name: Name,
    /// The coldkey's public key; `None` if neither a public file nor a plain keyfile has it.
    pub coldkey: Option<PublicKey>,
    /// The plain keyfile's public key if it differs from the public file's. The listed address then
    /// does not belong to the secret.
    pub mismatch: Option<PublicKey>,
    /// The state of the coldkey's secret.
    pub secret: SecretState,
    /// The hotkeys, sorted by name.
    pub hotkeys: Vec<ListedHotkey>,
}

/// A hotkey in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedHotkey {
    /// The hotkey's name.
    pub name: Name,
    /// The public key; `None` if neither a public file nor a plain keyfile has it.
    pub hotkey: Option<PublicKey>,
    /// The plain keyfile's public key if it differs from the public file's; see
    /// [`ListedWallet::mismatch`].
    pub mismatch: Option<PublicKey>,
    /// The state of the hotkey's secret.
    pub secret: SecretState,
}

impl Wallet {
    /// Lists the wallet's keys without decrypting anything; `None` if the directory has no keys.
    pub fn list(&self) -> Option<ListedWallet> {
        let secret = secret_state(&self.coldkey_path());
        let (coldkey, mismatch) =
            public_key_and_mismatch(&self.coldkeypub_path(), &self.coldkey_path(), secret);
        let hotkeys = self.hotkey_entries();
        if secret == SecretState::Absent && coldkey.is_none() && hotkeys.is_none() {
            return None;
        }
        let mut hotkeys: Vec<_> = hotkeys
            .into_iter()
            .flatten()
            .filter_map(|entry| name::from_entry(&entry.ok()?))
            .filter_map(|name| {
                let path = self.hotkey_path(&name);
                let secret = secret_state(&path);
                let (hotkey, mismatch) =
                    public_key_and_mismatch(&self.hotkeypub_path(&name), &path, secret);
                (secret != SecretState::Absent).then_some(ListedHotkey {
                    name,
                    hotkey,
                    mismatch,
                    secret,
                })
            })
            .collect();
        hotkeys.sort_by(|a, b| a.name.cmp(&b.name));
        Some(ListedWallet { name: self.name().clone(), coldkey, mismatch, secret, hotkeys })
    }

    fn hotkey_entries(&self) -> Option<ReadDir> {
        let path = self.hotkeys_directory();
        let entries = fs::read_dir(&path);
        if let Err(error) = &entries
            && !is_absent(error)
        {
            tracing::warn!(path = %path.display(), %error, "cannot read the hotkeys");
        }
        entries.ok()
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn secret_state(path: &Path) -> SecretState {
    match read_encryption(path) {
        Err(error) if is_absent(&error) => SecretState::Absent,
        Err(_) => SecretState::Unreadable,
        Ok(None) => SecretState::Plain,
        Ok(Some(method)) => SecretState::Encrypted(method),
    }
}

/// Reads how a file is encrypted; `None` if it is not.
fn read_encryption(path: &Path) -> io::Result<Option<Encryption>> {
    let (file, _) = open_file(path)?.ok_or(ErrorKind::NotFound)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(Encryption::of(bytes_without_bom(&head)))
}

/// Returns the public key to list, and the plain keyfile's public key if it differs.
fn public_key_and_mismatch(
    public: &Path,
    secret: &Path,
    state: SecretState,
) -> (Option<PublicKey>, Option<PublicKey>) {
    let plain = (state == SecretState::Plain)
        .then(|| StoredKey::read_without_warning(secret).ok())
        .flatten();
    let stated_public = plain.and_then(|plain| plain.stated_public());
    match read_public(public).ok() {
        Some(shown_public) => (
            Some(shown_public),
            stated_public.filter(|stated_public| *stated_public != shown_public),
        ),
        None => (stated_public, None),
    }
}
