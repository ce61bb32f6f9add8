use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use taonet_primitives::Hotkey;
use zeroize::Zeroizing;

use crate::{KeyError, Keypair};

/// Keyfiles have a few hundred bytes; anything much larger is another kind of file.
const MAX_BYTES: u64 = 64 * 1024;

/// How a keyfile is encrypted, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// NaCl secretbox under an Argon2i key: what Bittensor's wallet writes today.
    Nacl,
    /// Ansible vault 1.1.
    AnsibleVault,
    /// Fernet: what the first wallets wrote.
    Fernet,
}

impl Encryption {
    fn of(file: &[u8]) -> Option<Self> {
        [(&b"$NACL"[..], Self::Nacl), (&b"$ANSIBLE_VAULT"[..], Self::AnsibleVault), (&b"gAAAAA"[..], Self::Fernet)]
            .into_iter()
            .find_map(|(prefix, method)| file.starts_with(prefix).then_some(method))
    }
}

/// Why a keyfile gave no key pair. Never repeats what the file holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyfileError {
    /// The file cannot be read.
    #[error("cannot read keyfile {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path, after following links, is a directory or a device.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// The file is far larger than any keyfile.
    #[error("{path} has {bytes} bytes, more than any keyfile")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file needs a password.
    #[error("{path} is encrypted ({method:?}); encrypted keyfiles are not supported yet, use a plain hotkey file")]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// How it is encrypted.
        method: Encryption,
    },
    /// The file is not a JSON object with the fields of a keyfile.
    #[error("{path} is not keyfile JSON (line {line}, column {column})")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where reading stopped, counted from 1.
        line: usize,
        /// Where reading stopped, counted from 1.
        column: usize,
    },
    /// The file holds a key of another kind than sr25519.
    #[error("{path} has cryptoType {crypto_type}; only 1 (sr25519) is supported")]
    CryptoType {
        /// The file.
        path: PathBuf,
        /// The number in the file.
        crypto_type: u8,
    },
    /// The file holds a public key only.
    #[error("{0} holds no secret key; is it a public keyfile?")]
    PublicOnly(PathBuf),
    /// The secret in the file is malformed.
    #[error("secret key in {path} is malformed")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The secret in the file belongs to another address than the file says.
    #[error("{path} says {stated}, but its secret key belongs to {found}")]
    AddressMismatch {
        /// The file.
        path: PathBuf,
        /// The file's `ss58Address`.
        stated: Hotkey,
        /// What the secret gives.
        found: Hotkey,
    },
}

/// The fields of a plain keyfile that matter for signing; any may be absent or null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    crypto_type: Option<u8>,
    secret_phrase: Option<Zeroizing<String>>,
    secret_seed: Option<Zeroizing<String>>,
    private_key: Option<Zeroizing<String>>,
    ss58_address: Option<Hotkey>,
}

impl Fields {
    /// The first secret that the file offers: phrase, seed, private key.
    fn keypair(&self) -> Option<Result<Keypair, KeyError>> {
        if let Some(phrase) = &self.secret_phrase {
            return Some(plain_phrase(phrase));
        }
        let seed = self.secret_seed.as_ref().map(|text| hex_field::<32>(text).ok_or(KeyError::Seed));
        let private = self.private_key.as_ref().map(|text| hex_field::<64>(text).ok_or(KeyError::PrivateKey));
        match (seed, private) {
            (Some(Ok(seed)), _) => Some(Ok(Keypair::from_seed(&seed))),
            // Wallet 4.1.1 wrote some seeds as raw text after 0x; such a file still has its private key.
            (_, Some(key)) => Some(key.and_then(|key| Keypair::from_private_key(&key))),
            (Some(Err(error)), None) => Some(Err(error)),
            (None, None) => None,
        }
    }
}

/// A keyfile's phrase is a mnemonic and nothing else: a derivation path in it is a mistake.
fn plain_phrase(phrase: &str) -> Result<Keypair, KeyError> {
    if phrase.trim().is_empty() {
        return Err(KeyError::WordCount(0));
    }
    if phrase.contains('/') { Err(KeyError::Path) } else { Keypair::from_uri(phrase) }
}

fn hex_field<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    hex::decode_to_slice(text.strip_prefix("0x")?, bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

impl Keypair {
    /// Reads a plain keyfile as Bittensor's wallet writes it: a JSON object with `secretPhrase`, `secretSeed` or
    /// `privateKey`, tried in this order, and `ss58Address`, which must belong to the secret.
    ///
    /// Links are followed. A file that others may read gives a warning in the log.
    ///
    /// # Errors
    /// [`KeyfileError`]: unreadable, not a regular file, encrypted, malformed, of another key type, or public only.
    pub fn from_keyfile(path: impl AsRef<Path>) -> Result<Self, KeyfileError> {
        let path = path.as_ref();
        let text = read(path)?;
        if let Some(method) = Encryption::of(&text) {
            return Err(KeyfileError::Encrypted { path: path.into(), method });
        }
        let fields: Fields = serde_json::from_slice(&text).map_err(|error| KeyfileError::Json {
            path: path.into(),
            line: error.line(),
            column: error.column(),
        })?;
        if let Some(crypto_type) = fields.crypto_type.filter(|kind| *kind != 1) {
            return Err(KeyfileError::CryptoType { path: path.into(), crypto_type });
        }
        let pair = fields.keypair().ok_or_else(|| KeyfileError::PublicOnly(path.into()))?;
        let pair = pair.map_err(|source| KeyfileError::Key { path: path.into(), source })?;
        match fields.ss58_address {
            Some(stated) if stated != pair.hotkey() => {
                Err(KeyfileError::AddressMismatch { path: path.into(), stated, found: pair.hotkey() })
            }
            _ => Ok(pair),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyfileError> {
    let failed = |source| KeyfileError::Read { path: path.into(), source };
    // Asked before opening: opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(KeyfileError::NotAFile(path.into()));
    }
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() > MAX_BYTES {
        return Err(KeyfileError::TooLarge { path: path.into(), bytes: metadata.len() });
    }
    warn_if_exposed(path, &metadata);
    // Full capacity at once: a growing buffer would leave copies of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize));
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(unix)]
fn warn_if_exposed(path: &Path, metadata: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "keyfile is open to others; chmod 600 it");
    }
}

#[cfg(not(unix))]
fn warn_if_exposed(_: &Path, _: &fs::Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
    const ADDRESS: &str = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV";

    fn load(text: &str) -> Result<Keypair, KeyfileError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("default");
        fs::write(&path, text).unwrap();
        Keypair::from_keyfile(path)
    }

    #[test]
    fn a_seed_and_nothing_else_will_do() {
        assert_eq!(load(&format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap().hotkey().to_string(), ADDRESS);
    }

    #[test]
    fn each_mistake_is_named() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let mismatch = format!(r#"{{"secretSeed":"{SEED}","ss58Address":"{alice}"}}"#);
        assert!(matches!(load(&mismatch), Err(KeyfileError::AddressMismatch { .. })));
        assert!(matches!(load(""), Err(KeyfileError::Json { .. })));
        assert!(matches!(load("[]"), Err(KeyfileError::Json { .. })));
        assert!(matches!(load(r#"{"ss58Address":"5Grw"}"#), Err(KeyfileError::Json { .. })));
        assert!(matches!(load("{}"), Err(KeyfileError::PublicOnly(_))));
        assert!(matches!(load(r#"{"cryptoType":0}"#), Err(KeyfileError::CryptoType { crypto_type: 0, .. })));
        for text in [r#"{"secretSeed":"0x12"}"#, r#"{"secretPhrase":"one two"}"#, r#"{"secretPhrase":"//Alice"}"#] {
            assert!(matches!(load(text), Err(KeyfileError::Key { .. })), "{text}");
        }
        assert!(matches!(load(&" ".repeat(70_000)), Err(KeyfileError::TooLarge { bytes: 70_000, .. })));
    }

    #[test]
    fn errors_do_not_repeat_the_secret() {
        let error = load(&format!(r#"{{"secretSeed":"{SEED}00"}}"#)).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("fac7959d"));
    }

    #[test]
    fn directories_and_missing_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Keypair::from_keyfile(dir.path()), Err(KeyfileError::NotAFile(_))));
        assert!(matches!(Keypair::from_keyfile(dir.path().join("none")), Err(KeyfileError::Read { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_files_only() {
        use std::os::unix::fs::symlink;

        let dir = tempfile::tempdir().unwrap();
        let (target, to_file, to_dir) = (dir.path().join("key"), dir.path().join("a"), dir.path().join("b"));
        fs::write(&target, format!(r#"{{"secretSeed":"{SEED}"}}"#)).unwrap();
        symlink(&target, &to_file).unwrap();
        symlink(dir.path(), &to_dir).unwrap();
        assert!(Keypair::from_keyfile(&to_file).is_ok());
        assert!(matches!(Keypair::from_keyfile(&to_dir), Err(KeyfileError::NotAFile(_))));
    }
}
