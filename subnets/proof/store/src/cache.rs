//! The circuits and sliced models on disk. The functions block on disk I/O.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use taonet_proof_core::Digest;
use taonet_proof_core::metadata;
use taonet_proof_core::slices::{FILE as SLICED_MODEL_FILE, SlicedModel};

use crate::StoreError;

/// Prefix of the directories of circuits in the cache, before the identity.
const CIRCUIT_PREFIX: &str = "model_";
/// Prefix of the directories of sliced models, before the identity. It sorts after that of
/// circuits, so that the slices are known before the description of their model is read.
const MODEL_PREFIX: &str = "sliced_";

/// The directory of a store, and the circuits that must stay in it.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Maximum size in bytes.
    limit: u64,
    /// Circuits that are never evicted.
    pinned: BTreeSet<Digest>,
    /// Circuits that this process uses, which are never evicted either.
    in_use: Mutex<BTreeSet<Digest>>,
}

impl Cache {
    /// Opens a cache and creates its directory if it does not exist.
    pub(crate) fn open(
        directory: PathBuf,
        limit: u64,
        pinned: BTreeSet<Digest>,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(&directory).map_err(StoreError::file(&directory))?;
        Ok(Self { directory, limit, pinned, in_use: Mutex::default() })
    }

    /// Returns the directory of the cache.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns whether a circuit is pinned.
    pub(crate) fn is_pinned(&self, id: &Digest) -> bool {
        self.pinned.contains(id)
    }

    /// Returns the directory of a circuit.
    pub(crate) fn circuit_directory(&self, id: Digest) -> PathBuf {
        self.directory.join(format!("{CIRCUIT_PREFIX}{id}"))
    }

    /// Returns the directory of a circuit's partial download.
    pub(crate) fn partial_directory(&self, id: Digest) -> PathBuf {
        self.directory.join(format!(".partial-{id}"))
    }

    /// Returns whether the metadata of a circuit is in the cache.
    pub(crate) fn has_metadata(&self, id: Digest) -> bool {
        self.circuit_directory(id).join(metadata::FILE).is_file()
    }

    /// Reserves a circuit, which is then not evicted; returns whether it was not reserved before.
    pub(crate) fn reserve(&self, id: Digest) -> bool {
        self.in_use().insert(id)
    }

    /// Releases a reserved circuit, so that it can be evicted again.
    pub(crate) fn release(&self, id: Digest) {
        self.in_use().remove(&id);
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the complete download of a circuit into the cache, in place of an earlier one.
    pub(crate) fn admit(&self, id: Digest) -> Result<(), StoreError> {
        let path = self.circuit_directory(id);
        self.remove(id, &path)?;
        fs::rename(self.partial_directory(id), &path).map_err(StoreError::file(&path))
    }

    /// Marks a circuit as used now, and evicts others until the cache is within its limit.
    pub(crate) fn mark_used(&self, id: Digest) -> Result<(), StoreError> {
        touch(&self.circuit_directory(id).join(metadata::FILE))?;
        self.evict_to_limit()
    }

    /// Removes a circuit if it is in the cache. It is renamed first, so that a kill never leaves an
    /// incomplete circuit there.
    fn remove(&self, id: Digest, path: &Path) -> Result<(), StoreError> {
        let trash = self.directory.join(format!(".removed-{id}"));
        // Left over from a killed process.
        existed(fs::remove_dir_all(&trash)).map_err(StoreError::file(path))?;
        if existed(fs::rename(path, &trash)).map_err(StoreError::file(path))? {
            fs::remove_dir_all(&trash).map_err(StoreError::file(path))
        } else {
            Ok(())
        }
    }

    /// Writes a sliced model's description to the cache.
    pub(crate) fn write_model(&self, id: Digest, text: &[u8]) -> Result<(), StoreError> {
        let path = self.directory.join(format!("{MODEL_PREFIX}{id}"));
        let temporary_path = self.directory.join(format!(".sliced-{id}"));
        if fs::read(path.join(SLICED_MODEL_FILE)).is_ok_and(|cached| cached == text) {
            return Ok(());
        }
        fs::create_dir_all(&temporary_path).map_err(StoreError::file(&path))?;
        fs::write(temporary_path.join(SLICED_MODEL_FILE), text).map_err(StoreError::file(&path))?;
        existed(fs::remove_dir_all(&path)).map_err(StoreError::file(&path))?;
        fs::rename(&temporary_path, &path).map_err(StoreError::file(&path))
    }

    /// Evicts the least recently used circuits until the cache is within its limit.
    fn evict_to_limit(&self) -> Result<(), StoreError> {
        let mut circuits = self.cached_circuits()?;
        let mut size: u64 = circuits.iter().map(|circuit| circuit.bytes).sum();
        circuits.sort_by_key(|circuit| circuit.last_used);
        let in_use = self.in_use().clone();
        for circuit in circuits {
            if size <= self.limit {
                return Ok(());
            }
            if in_use.contains(&circuit.id) || self.pinned.contains(&circuit.id) {
                continue;
            }
            tracing::info!(circuit = %circuit.id, bytes = circuit.bytes, "circuit evicted from the full cache");
            self.remove_models_with(circuit.id)?;
            self.remove(circuit.id, &circuit.path)?;
            size -= circuit.bytes;
        }
        if size <= self.limit {
            Ok(())
        } else {
            Err(StoreError::CacheFull { used: size, limit: self.limit })
        }
    }

    /// Removes the sliced models with this slice, because a model without all its slices would make
    /// the cache unreadable.
    fn remove_models_with(&self, slice: Digest) -> Result<(), StoreError> {
        for path in self.entries(MODEL_PREFIX)? {
            let description = path.join(SLICED_MODEL_FILE);
            let text = fs::read(&description).map_err(StoreError::file(&description))?;
            if SlicedModel::from_json(&text)?.slices.contains(&slice) {
                fs::remove_dir_all(&path).map_err(StoreError::file(&path))?;
            }
        }
        Ok(())
    }

    fn cached_circuits(&self) -> Result<Vec<CachedCircuit>, StoreError> {
        let mut circuits = Vec::new();
        for path in self.entries(CIRCUIT_PREFIX)? {
            let Some(id) = fetched_id(&path) else { continue };
            let mut bytes = 0;
            for file in fs::read_dir(&path).map_err(StoreError::file(&path))? {
                bytes +=
                    file.and_then(|file| file.metadata()).map_err(StoreError::file(&path))?.len();
            }
            let metadata =
                fs::metadata(path.join(metadata::FILE)).and_then(|metadata| metadata.modified());
            let last_used = metadata.map_err(StoreError::file(&path))?;
            circuits.push(CachedCircuit { id, path, bytes, last_used });
        }
        Ok(circuits)
    }

    /// Lists the cache entries whose names begin with `prefix`.
    fn entries(&self, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(StoreError::file(&self.directory))? {
            let entry = entry.map_err(StoreError::file(&self.directory))?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    }
}

/// A circuit in the cache.
struct CachedCircuit {
    id: Digest,
    path: PathBuf,
    bytes: u64,
    last_used: SystemTime,
}

/// Returns whether the directory of a circuit is that of a circuit which a store fetched from a
/// catalogue.
pub fn is_fetched(path: &Path) -> bool {
    fetched_id(path).is_some()
}

/// Returns the identity in the name of a fetched circuit's directory.
fn fetched_id(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.strip_prefix(CIRCUIT_PREFIX)?.parse().ok()
}

/// Returns whether the file or directory of an operation existed.
pub(crate) fn existed(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets the modification time of a circuit's metadata to now, which marks the circuit as used.
fn touch(path: &Path) -> Result<(), StoreError> {
    let file = fs::OpenOptions::new().write(true).open(path);
    let result = file.and_then(|file| file.set_modified(SystemTime::now()));
    result.map_err(StoreError::file(path))
}
