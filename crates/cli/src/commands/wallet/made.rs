//! Keys that were written, as people and programs are told.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};
use taonet_wallet::{Overwrite, PublicKey, Wallet, WalletError, Written};

use crate::context::Context;

/// A key that was written.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    /// `coldkey`, `coldkeypub` or `hotkey`.
    #[serde(skip)]
    role: &'static str,
    name: Option<String>,
    address: String,
    crypto_type: &'static str,
    encrypted: bool,
    files: Vec<PathBuf>,
    /// Where the keys are that stood there before.
    backups: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mnemonic_file: Option<PathBuf>,
}

impl Made {
    pub(super) fn new(role: &'static str, key: PublicKey, encrypted: bool, written: Written) -> Self {
        let Written { files, backups } = written;
        let (address, crypto_type) = (key.to_string(), key.crypto_type().name());
        Self { role, name: None, address, crypto_type, encrypted, files, backups, mnemonic_file: None }
    }

    /// With the name of the hotkey.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    pub(super) fn with_mnemonic_file(self, file: Option<&PathBuf>) -> Self {
        Self { mnemonic_file: file.cloned(), ..self }
    }

    fn text(&self) -> String {
        let protection = if self.encrypted { ", encrypted" } else { "" };
        let name = self.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let mut lines = vec![format!("{}{name}  {} ({}{protection})", self.role, self.address, self.crypto_type)];
        let mut list = |what: &str, path: &PathBuf| lines.push(format!("  {what:8}  {}", path.display()));
        self.files.iter().for_each(|path| list("written", path));
        self.backups.iter().for_each(|path| list("backup", path));
        self.mnemonic_file.iter().for_each(|path| list("mnemonic", path));
        lines.join("\n")
    }
}

/// Tells which keys of a wallet were written.
pub(super) fn tell(wallet: &Wallet, keys: &[Made], context: &Context) -> anyhow::Result<()> {
    if context.json {
        let mut document = Map::from_iter([("wallet".to_owned(), Value::from(wallet.name().as_str()))]);
        document.extend(keys.iter().map(|key| (key.role.to_owned(), json!(key))));
        return context.print_json(&document);
    }
    let texts: Vec<_> = keys.iter().map(Made::text).collect();
    context.print(&texts.join("\n"))
}

/// Refuses early what would be refused when the key is written: before passwords are asked for and mnemonics drawn.
pub(super) fn check_free(paths: &[PathBuf], overwrite: Overwrite) -> anyhow::Result<()> {
    let is_taken = |path: &&PathBuf| overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok();
    paths.iter().find(is_taken).map_or(Ok(()), |path| Err(not_written(WalletError::Exists(path.clone()))))
}

/// The error of a key that was not written, with what to do about one that stands in its place.
pub(super) fn not_written(error: WalletError) -> anyhow::Error {
    let exists = matches!(error, WalletError::Exists(_));
    let error = anyhow::Error::new(error);
    if exists {
        error.context("there is a key already: --overwrite replaces it and keeps it as a backup")
    } else {
        error
    }
}
