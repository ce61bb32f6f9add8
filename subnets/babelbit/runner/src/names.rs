//! Display names of miners, stored next to the ledger for dashboards that read the directory.

use std::collections::HashMap;
use std::fs::metadata;
use std::io;
use std::path::Path;

use taonet_primitives::{Hotkey, bytes_without_bom};
use taonet_service::{Access, WriteError, atomic_write, read_bounded};

use super::run::Miner;

/// File name in the state directory: a JSON object with a name for each hotkey.
const NAMES_FILE: &str = "miner-names.json";
/// Maximum size of the file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the display names of miners from a runner's state directory; empty if the runner stored
/// none.
///
/// # Errors
/// When the file is unreadable, malformed or larger than 1 MiB.
pub fn read_names(state: &Path) -> io::Result<HashMap<Hotkey, String>> {
    let path = state.join(NAMES_FILE);
    match metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
        // Opening a named pipe would block.
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("not a regular file")),
        Ok(_) => {}
    }
    let bytes = read_bounded(&path, MAX_BYTES)?;
    serde_json::from_slice(bytes_without_bom(&bytes)).map_err(io::Error::from)
}

/// Returns the display names of miners.
pub(super) fn names_of(miners: &[Miner]) -> HashMap<Hotkey, String> {
    miners.iter().filter_map(|miner| Some((miner.key.hotkey, miner.name.clone()?))).collect()
}

/// Adds names to those in a state directory. A malformed file is replaced.
pub(super) fn store_names(state: &Path, names: HashMap<Hotkey, String>) -> Result<(), WriteError> {
    let old_names = read_names(state).unwrap_or_default();
    let mut all_names = old_names.clone();
    all_names.extend(names);
    if all_names == old_names {
        return Ok(());
    }
    let document = serde_json::to_vec(&all_names).unwrap_or_default();
    atomic_write(state.join(NAMES_FILE), &document, Access::Everyone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn miner_names_of_earlier_runs_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = [1, 2].map(|number| Hotkey::from_bytes([number; 32]));
        assert!(read_names(directory.path()).unwrap().is_empty());
        store_names(directory.path(), [(first, "parrot".to_owned())].into()).unwrap();
        store_names(
            directory.path(),
            [(first, "poll".to_owned()), (second, "\u{202e}".to_owned())].into(),
        )
        .unwrap();
        let names = read_names(directory.path()).unwrap();
        assert_eq!(
            (names.len(), names[&first].as_str(), names[&second].as_str()),
            (2, "poll", "\u{202e}")
        );
    }

    #[test]
    fn malformed_name_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAMES_FILE);
        for content in ["", "[]", "{\"nobody\": \"a\"}", &" ".repeat(MAX_BYTES as usize + 1)] {
            std::fs::write(&path, content).unwrap();
            assert!(read_names(directory.path()).is_err());
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read_names(directory.path()).is_err());
    }
}
