use std::fs::{self, File, ReadDir};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::wallet::read_public;
use super::{Name, Wallet, name};
use crate::{Encryption, PublicKey, StoredKey};

/// Enough of a file to tell how it is encrypted.
const HEAD: usize = 16;

/// Whether a secret is there and how it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretState {
    /// There is no file: the secret is kept elsewhere.
    Absent,
    /// There is a file, or may be one, that cannot be read.
    Unreadable,
    /// Plain: whoever reads the file has the key.
    Plain,
    /// Encrypted.
    Encrypted(Encryption),
}

/// A wallet as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedWallet {
    /// Its name.
    pub name: Name,
    /// The coldkey's public half; `None` where no public file and no plain keyfile gives it.
    pub coldkey: Option<PublicKey>,
    /// The key that the plain keyfile names, where the public file names another: the address shown is not the key's.
    pub mismatch: Option<PublicKey>,
    /// How the coldkey's secret is kept.
    pub secret: SecretState,
    /// The hotkeys in the order of their names.
    pub hotkeys: Vec<ListedHotkey>,
}

/// A hotkey as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedHotkey {
    /// Its name.
    pub name: Name,
    /// The public half; `None` where no public file and no plain keyfile gives it.
    pub hotkey: Option<PublicKey>,
    /// As [`ListedWallet::mismatch`].
    pub mismatch: Option<PublicKey>,
    /// How the secret is kept.
    pub secret: SecretState,
}

impl Wallet {
    /// What the wallet holds; `None` where the directory holds no key at all. Nothing is decrypted.
    pub fn list(&self) -> Option<ListedWallet> {
        let secret = secret_state(&self.coldkey_path());
        let (coldkey, mismatch) = public(&self.coldkeypub_path(), &self.coldkey_path(), secret);
        let hotkeys = self.entries_of_hotkeys();
        if secret == SecretState::Absent && coldkey.is_none() && hotkeys.is_none() {
            return None;
        }
        let mut hotkeys: Vec<_> = hotkeys
            .into_iter()
            .flatten()
            .filter_map(|entry| name::of(&entry.ok()?))
            .filter_map(|name| {
                let path = self.hotkey_path(&name);
                let secret = secret_state(&path);
                let (hotkey, mismatch) = public(&self.hotkeypub_path(&name), &path, secret);
                (secret != SecretState::Absent).then_some(ListedHotkey { name, hotkey, mismatch, secret })
            })
            .collect();
        hotkeys.sort_by(|a, b| a.name.cmp(&b.name));
        Some(ListedWallet { name: self.name().clone(), coldkey, mismatch, secret, hotkeys })
    }

    fn entries_of_hotkeys(&self) -> Option<ReadDir> {
        let path = self.hotkeys_directory();
        let entries = fs::read_dir(&path);
        if let Err(error) = &entries
            && !is_absent(error)
        {
            tracing::warn!(path = %path.display(), %error, "cannot read the hotkeys, if there are any");
        }
        entries.ok()
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn secret_state(path: &Path) -> SecretState {
    let head = || {
        // Asked before opening: opening a named pipe would wait for its writer.
        if !fs::metadata(path)?.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        let mut head = Vec::with_capacity(HEAD);
        File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(Encryption::of(&head))
    };
    match head() {
        Err(error) if is_absent(&error) => SecretState::Absent,
        Err(_) => SecretState::Unreadable,
        Ok(None) => SecretState::Plain,
        Ok(Some(method)) => SecretState::Encrypted(method),
    }
}

/// The key to show, and the one that a plain keyfile names instead.
fn public(public: &Path, secret: &Path, state: SecretState) -> (Option<PublicKey>, Option<PublicKey>) {
    let plain = (state == SecretState::Plain).then(|| StoredKey::read_quietly(secret).ok()).flatten();
    let stated = plain.and_then(|plain| plain.stated_public());
    match read_public(public).ok() {
        Some(shown) => (Some(shown), stated.filter(|stated| *stated != shown)),
        None => (stated, None),
    }
}
