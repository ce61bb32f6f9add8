mod live;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use taonet_http::random_hex;
use taonet_primitives::bytes_without_bom;
use taonet_service::{Access, WriteError, atomic_write};
use thiserror::Error;

pub use live::LiveKeys;

/// Version of the key file.
const VERSION: u32 = 1;
/// Prefix of every key, so that leaked keys can be recognised.
const PREFIX: &str = "taoproof_";
/// Maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// API keys of users. The file stores SHA-256 hashes: a key has 256 random bits, so a slow hash
/// would add no protection.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    names: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    /// Names of the users, by the hash of the API key.
    keys: BTreeMap<String, String>,
}

/// Why API keys cannot be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is malformed.
    #[error("{}: malformed API key file: {source}", path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// JSON parse error.
        source: serde_json::Error,
    },
    /// The version of the file is unsupported.
    #[error("unsupported API key file version {0}, expected {VERSION}")]
    Version(u32),
    /// The name is empty, too long, or already in use.
    #[error(
        "invalid name '{0}' for a new key: it is empty, longer than {MAX_NAME_CHARS} characters, or in \
        use"
    )]
    Name(String),
    /// No key has this name.
    #[error("no API key has the name '{0}'")]
    Unknown(String),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl ApiKeys {
    /// Reads the keys from a file; returns an empty set if the file does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or is malformed.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(KeyError::File { path: path.to_owned(), source }),
        };
        let file: KeyFile = serde_json::from_slice(bytes_without_bom(&text))
            .map_err(|source| KeyError::Malformed { path: path.to_owned(), source })?;
        if file.version == VERSION {
            Ok(Self { names: file.keys })
        } else {
            Err(KeyError::Version(file.version))
        }
    }

    /// Adds a key and returns it. The key itself is not stored, so it cannot be shown again.
    ///
    /// # Errors
    /// When the name is invalid or in use, or the file cannot be written.
    pub fn add(&mut self, name: &str, path: &Path) -> Result<String, KeyError> {
        let is_in_use = self.names.values().any(|other| other == name);
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || is_in_use {
            return Err(KeyError::Name(name.to_owned()));
        }
        let key = format!("{PREFIX}{}", random_hex());
        self.names.insert(hash(&key), name.to_owned());
        self.save(path)?;
        Ok(key)
    }

    /// Removes a key by its name.
    ///
    /// # Errors
    /// When no key has the name or the file cannot be written.
    pub fn remove(&mut self, name: &str, path: &Path) -> Result<(), KeyError> {
        let old_count = self.names.len();
        self.names.retain(|_, other| other != name);
        if self.names.len() == old_count {
            return Err(KeyError::Unknown(name.to_owned()));
        }
        self.save(path)
    }

    /// Iterates over the names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    /// Returns the name of a key; `None` if the key is unknown.
    pub fn name_of(&self, key: &str) -> Option<&str> {
        // Lookup by hash, so that timing reveals nothing about the keys.
        self.names.get(&hash(key)).map(String::as_str)
    }

    fn save(&self, path: &Path) -> Result<(), KeyError> {
        let file = KeyFile { version: VERSION, keys: self.names.clone() };
        let text = serde_json::to_vec_pretty(&file);
        let text = text.map_err(|source| KeyError::Malformed { path: path.to_owned(), source })?;
        Ok(atomic_write(path, &text, Access::Owner)?)
    }
}

fn hash(key: &str) -> String {
    hex::encode(Sha256::digest(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_keys_are_stored_as_hashes_until_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let mut keys = ApiKeys::open(&path).unwrap();
        let ada = keys.add("ada", &path).unwrap();
        let bob = keys.add("bob", &path).unwrap();
        assert!(ada.starts_with(PREFIX) && ada != bob);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&ada) && !text.contains(&ada[PREFIX.len()..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let mut keys = ApiKeys::open(&path).unwrap();
        assert_eq!((keys.name_of(&ada), keys.name_of(&bob)), (Some("ada"), Some("bob")));
        for wrong in ["", PREFIX, &ada[1..], &format!("{ada} "), &hash(&ada)] {
            assert_eq!(keys.name_of(wrong), None, "{wrong}");
        }
        for name in ["ada", "", &"x".repeat(101)] {
            assert!(matches!(keys.add(name, &path), Err(KeyError::Name(_))), "{name}");
        }
        keys.remove("ada", &path).unwrap();
        assert!(matches!(keys.remove("ada", &path), Err(KeyError::Unknown(_))));
        let keys = ApiKeys::open(&path).unwrap();
        assert_eq!((keys.name_of(&ada), keys.names().collect::<Vec<_>>()), (None, vec!["bob"]));
        std::fs::write(&path, r#"{"version":9,"keys":{}}"#).unwrap();
        assert!(matches!(ApiKeys::open(&path), Err(KeyError::Version(9))));
    }

    #[test]
    fn byte_order_mark_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let key = ApiKeys::default().add("ada", &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
        assert_eq!(ApiKeys::open(&path).unwrap().name_of(&key), Some("ada"));
    }
}
