//! Reports of written keys, as JSON and as text.

use std::path::PathBuf;
use std::slice;

use serde::Serialize;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_wallet::{Overwrite, PublicKey, Wallet, WalletError, WrittenFiles};

/// Report of a key that was written to disk.
#[derive(Debug, Serialize)]
pub(super) struct WrittenKey {
    /// `coldkey`, `coldkeypub` or `hotkey`.
    #[serde(skip)]
    role: &'static str,
    name: Option<String>,
    address: String,
    crypto_type: &'static str,
    encrypted: bool,
    files: Vec<PathBuf>,
    /// Backups of the keys that were overwritten.
    backups: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mnemonic_file: Option<PathBuf>,
}

impl WrittenKey {
    pub(super) fn new(
        role: &'static str,
        key: PublicKey,
        is_encrypted: bool,
        written_files: WrittenFiles,
    ) -> Self {
        let WrittenFiles { files, backups } = written_files;
        let (address, crypto_type) = (key.to_string(), key.crypto_type().name());
        Self {
            role,
            name: None,
            address,
            crypto_type,
            encrypted: is_encrypted,
            files,
            backups,
            mnemonic_file: None,
        }
    }

    /// Sets the name of the hotkey.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    pub(super) fn with_mnemonic_file(self, file: Option<&PathBuf>) -> Self {
        Self { mnemonic_file: file.cloned(), ..self }
    }

    fn format_text(&self) -> String {
        let protection = if self.encrypted { ", encrypted" } else { "" };
        let name = self.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let key =
            format!("{}{name}  {} ({}{protection})", self.role, self.address, self.crypto_type);
        key + &list_files(&self.files, &self.backups, self.mnemonic_file.as_ref())
    }

    /// Returns the error context for a wallet of which only this key was written.
    pub(super) fn written_files_text(&self) -> String {
        format!("the wallet is incomplete; it has\n{}", self.format_text())
    }
}

/// Lists the files of a key, one per line.
fn list_files(files: &[PathBuf], backups: &[PathBuf], mnemonic_file: Option<&PathBuf>) -> String {
    let kinds = [
        ("written", files),
        ("backup", backups),
        ("mnemonic", mnemonic_file.map_or(&[], slice::from_ref)),
    ];
    let lines = kinds.into_iter().flat_map(|(kind, paths)| {
        paths.iter().map(move |path| format!("\n  {kind:8}  {}", path.display()))
    });
    lines.collect()
}

/// Prints which keys of a wallet were written.
pub(super) fn report(
    wallet: &Wallet,
    keys: &[WrittenKey],
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        let mut document =
            Map::from_iter([("wallet".to_owned(), Value::from(wallet.name().as_str()))]);
        document.extend(keys.iter().map(|key| (key.role.to_owned(), json!(key))));
        return context.print_json(&document);
    }
    let texts: Vec<_> = keys.iter().map(WrittenKey::format_text).collect();
    context.print(&texts.join("\n"))
}

/// Fails if a key already exists, before the user is prompted for passwords and a mnemonic is
/// generated.
pub(super) fn check_free(paths: &[PathBuf], overwrite: Overwrite) -> anyhow::Result<()> {
    let is_taken =
        |path: &&PathBuf| overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok();
    paths
        .iter()
        .find(is_taken)
        .map_or(Ok(()), |path| Err(not_written(WalletError::Exists(path.clone()))))
}

/// Creates the error for a key that was not written, with a hint if the key already exists.
pub(super) fn not_written(error: WalletError) -> anyhow::Error {
    not_completed(error, None)
}

/// Creates the error for a key that was not or only partly written; lists the written files.
pub(super) fn not_completed(error: WalletError, mnemonic_file: Option<&PathBuf>) -> anyhow::Error {
    let context = match &error {
        WalletError::Exists(_) => {
            "the key already exists\nhint: --overwrite replaces it and keeps a backup".to_owned()
        }
        WalletError::PartlyWritten { files, backups, .. } => {
            let files = list_files(files, backups, mnemonic_file);
            format!(
                "the key was written, but a later step failed; keep its mnemonic. Files:{files}"
            )
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(context)
}
