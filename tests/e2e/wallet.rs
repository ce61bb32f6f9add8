//! `tao wallet` through the binary: every command and every error. No test uses the developer's own
//! wallets.

mod files;
mod keys;
mod leaks;
mod messages;
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{document, repository, tao};

pub(crate) const PHRASE: &str =
    "legal winner thank year wave sausage worth useful legal winner thank yellow";
pub(crate) const ADDRESS: &str = "5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe";
pub(crate) const PASSWORD: &str = "testing-Passw0rd!";

/// A directory for wallets and secret files.
pub(crate) struct Wallets(TempDir);

impl Wallets {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Wallet directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("wallets")
    }

    /// Path of a key file of the wallet `w`.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.root().join("w").join(name)
    }

    /// Writes a file with mode 0600.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Path of a new file.
    pub(crate) fn unused_path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `tao wallet …` on the wallet `w`; options for files come as pairs.
    pub(crate) fn command(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Command {
        let mut command = tao();
        command
            .arg("wallet")
            .args(arguments)
            .env("BT_WALLET_PATH", self.root())
            .env("BT_WALLET_NAME", "w");
        for (option, path) in files {
            command.arg(option).arg(path);
        }
        command
    }

    /// Runs a command with `--json`.
    pub(crate) fn run(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Output {
        self.command(arguments, files).arg("--json").output().unwrap()
    }

    /// JSON document of a successful command.
    #[track_caller]
    pub(crate) fn run_json(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Value {
        document(&self.run(arguments, files))
    }

    /// Creates an unencrypted coldkey from the test mnemonic.
    pub(crate) fn create_plain_coldkey(&self) {
        let phrase = self.file("phrase", PHRASE);
        self.run_json(&["regen-coldkey", "--no-use-password"], &[("--mnemonic-file", &phrase)]);
    }

    /// Creates a hotkey `default` from the test mnemonic.
    pub(crate) fn create_hotkey(&self) {
        let phrase = self.file("phrase", PHRASE);
        self.run_json(&["regen-hotkey"], &[("--mnemonic-file", &phrase)]);
    }
}

/// Returns the permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns a file of vectors/wallet.
pub(crate) fn vectors(name: &str) -> Value {
    serde_json::from_slice(&fs::read(repository("vectors/wallet").join(name)).unwrap()).unwrap()
}

/// Returns the mnemonics and seeds of vectors/wallet/keys.json: the option that takes each, the
/// secret, and its key's address.
pub(crate) fn vector_secrets(scheme: &str) -> Vec<(&'static str, String, String)> {
    let keys = vectors("keys.json");
    let kinds =
        [("mnemonics", "mnemonic", "--mnemonic-file"), ("seeds", "seed_hex", "--seed-file")];
    let secrets = kinds.into_iter().flat_map(|(list, field, option)| {
        keys[list].as_array().unwrap().iter().filter_map(move |case| {
            // Skips the invalid mnemonic with 16 words.
            let address = case[scheme]["ss58"].as_str()?;
            Some((option, case[field].as_str().unwrap().to_owned(), address.to_owned()))
        })
    });
    let secrets: Vec<_> = secrets.collect();
    assert_eq!(secrets.len(), 9 + 4);
    secrets
}

/// Returns a case of vectors/wallet/keyfiles.json, as the bytes of its file.
pub(crate) fn keyfile_vector(id: &str) -> Vec<u8> {
    let cases = vectors("keyfiles.json");
    let case = cases["cases"].as_array().unwrap().iter().find(|case| case["id"] == id).unwrap();
    match (&case["file_hex"], &case["file_text"]) {
        (Value::String(digits), _) => hex::decode(digits.trim_start_matches("0x")).unwrap(),
        (_, text) => text.as_str().unwrap().as_bytes().to_vec(),
    }
}
