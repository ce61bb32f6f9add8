use std::fs::{self, File};
use std::io::Read;
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
    /// There is no readable file: the secret is kept elsewhere.
    Absent,
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
    /// How the secret is kept.
    pub secret: SecretState,
}

impl Wallet {
    /// What the wallet holds; `None` where the directory holds no key at all. Nothing is decrypted.
    pub fn list(&self) -> Option<ListedWallet> {
        let secret = secret_state(&self.coldkey_path());
        let coldkey = public(&self.coldkeypub_path(), &self.coldkey_path(), secret);
        let hotkeys = fs::read_dir(self.hotkeys_directory()).ok();
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
                let hotkey = public(&self.hotkeypub_path(&name), &path, secret);
                (secret != SecretState::Absent).then_some(ListedHotkey { name, hotkey, secret })
            })
            .collect();
        hotkeys.sort_by(|a, b| a.name.cmp(&b.name));
        Some(ListedWallet { name: self.name().clone(), coldkey, secret, hotkeys })
    }
}

fn secret_state(path: &Path) -> SecretState {
    let head = || {
        // Asked before opening: opening a named pipe would wait for its writer.
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut head = Vec::with_capacity(HEAD);
        File::open(path).ok()?.take(HEAD as u64).read_to_end(&mut head).ok()?;
        Some(Encryption::of(&head))
    };
    match head() {
        None => SecretState::Absent,
        Some(None) => SecretState::Plain,
        Some(Some(method)) => SecretState::Encrypted(method),
    }
}

fn public(public: &Path, secret: &Path, state: SecretState) -> Option<PublicKey> {
    read_public(public).ok().or_else(|| {
        let plain = (state == SecretState::Plain).then(|| StoredKey::read_quietly(secret).ok())??;
        plain.stated_public()
    })
}
