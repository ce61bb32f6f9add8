use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::{ApiKeys, KeyError};

/// Resolution of the coarsest clock of a usual file system.
const CLOCK_RESOLUTION: Duration = Duration::from_secs(2);

/// The API keys of a file, which is read again when it changes: new keys are accepted and removed
/// ones rejected from the next request on.
#[derive(Debug)]
pub struct LiveKeys {
    path: PathBuf,
    loaded: Mutex<LoadedKeys>,
}

#[derive(Debug)]
struct LoadedKeys {
    keys: ApiKeys,
    version: Option<FileVersion>,
}

/// Modification time and size of the file. Two changes within the resolution of the file system's
/// clock can leave both as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    modified: SystemTime,
    bytes: u64,
}

impl FileVersion {
    /// Returns whether the file changed so recently that another change could leave this version
    /// unchanged.
    fn is_recent(&self) -> bool {
        // A time in the future is an error.
        !self.modified.elapsed().is_ok_and(|age| age >= CLOCK_RESOLUTION)
    }
}

impl LiveKeys {
    /// Reads the keys from a file; the set is empty while the file does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or is malformed.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        // The version is read first: a change in between makes the next request read the file
        // again.
        let version = file_version(path)
            .map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        let loaded = Mutex::new(LoadedKeys { keys: ApiKeys::open(path)?, version });
        Ok(Self { path: path.to_owned(), loaded })
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.with_keys(|keys| keys.names().next().is_none())
    }

    /// Returns the name of a key; `None` if the key is unknown.
    pub fn name_of(&self, key: &str) -> Option<String> {
        self.with_keys(|keys| keys.name_of(key).map(str::to_owned))
    }

    /// Calls `use_keys` with the keys, after reading the file again if it has changed. While it
    /// cannot be read, the previous keys apply.
    fn with_keys<T>(&self, use_keys: impl FnOnce(&ApiKeys) -> T) -> T {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match file_version(&self.path) {
            Ok(version)
                if version != loaded.version
                    || version.is_some_and(|version| version.is_recent()) =>
            {
                loaded.version = version;
                match ApiKeys::open(&self.path) {
                    Ok(keys) => loaded.keys = keys,
                    Err(error) => {
                        tracing::error!(%error, "cannot reload the API keys; the previous ones still apply");
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "cannot check the API keys for changes");
            }
        }
        use_keys(&loaded.keys)
    }
}

/// Returns the version of a file; `None` if it does not exist.
fn file_version(path: &Path) -> std::io::Result<Option<FileVersion>> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    Ok(Some(FileVersion { modified: metadata.modified()?, bytes: metadata.len() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_file_apply_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let live = LiveKeys::open(&path).unwrap();
        assert!(live.is_empty());
        let mut keys = ApiKeys::open(&path).unwrap();
        let ada = keys.add("ada", &path).unwrap();
        assert_eq!(live.name_of(&ada).as_deref(), Some("ada"));
        let bob = keys.add("bob", &path).unwrap();
        keys.remove("ada", &path).unwrap();
        assert_eq!((live.name_of(&ada), live.name_of(&bob).as_deref()), (None, Some("bob")));
        // A new key of the same length and name, in quick succession.
        keys.remove("bob", &path).unwrap();
        let new_key = keys.add("bob", &path).unwrap();
        assert_eq!((live.name_of(&bob), live.name_of(&new_key).as_deref()), (None, Some("bob")));
        // A malformed file changes nothing; without the file there are no keys.
        std::fs::write(&path, "{").unwrap();
        assert_eq!(live.name_of(&new_key).as_deref(), Some("bob"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(live.name_of(&new_key), None);
        assert!(live.is_empty());
        std::fs::write(&path, "{").unwrap();
        assert!(LiveKeys::open(&path).is_err());
    }
}
