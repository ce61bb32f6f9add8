use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use taonet_proof_circuits::{CircuitDirectory, CircuitError};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{self, CircuitMetadata, MetadataError};
use taonet_proof_core::slices::{FILE as SLICED, SliceError, SlicedModel};
use thiserror::Error;

use crate::download::download;
use crate::listing::Listed;
use crate::{Listing, Source, SourceError};

/// Maximum size of metadata, in bytes.
const MAX_METADATA: u64 = 1 << 20;
/// Maximum size of any other file, in bytes.
const MAX_FILE: u64 = 4 << 30;

/// Settings of a [`CircuitStore`].
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Directory of the cache.
    pub directory: PathBuf,
    /// Catalogues, tried in order for each circuit.
    pub sources: Vec<Source>,
    /// Maximum size of the cache, in bytes.
    pub limit: u64,
    /// Circuits that are never evicted.
    pub pinned: BTreeSet<Digest>,
}

/// Why a circuit cannot be fetched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A catalogue or file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No catalogue lists the circuit.
    #[error("no catalogue has circuit {0}")]
    Unknown(Digest),
    /// A file does not match the digest in the circuit's metadata.
    #[error("{place} does not have SHA-256 {expected}")]
    Checksum {
        /// Location of the file in the catalogue.
        place: String,
        /// The digest in the metadata.
        expected: Digest,
    },
    /// The catalogue has the metadata of another circuit.
    #[error("the catalogue has circuit {actual} in place of {expected}")]
    OtherCircuit {
        /// Identity of the requested circuit.
        expected: Digest,
        /// Identity of the circuit in the metadata.
        actual: Digest,
    },
    /// A file exceeds the maximum size of its kind.
    #[error("{place} is larger than {limit} bytes")]
    TooLarge {
        /// Location of the file in the catalogue.
        place: String,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The circuits in use exceed the limit of the cache.
    #[error(
        "the circuits in use have {used} bytes, but the cache limit is {limit}; hint: raise it, or select fewer circuits"
    )]
    Full {
        /// Bytes in use.
        used: u64,
        /// Maximum size of the cache, in bytes.
        limit: u64,
    },
    /// A file of the cache cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The metadata is invalid.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The circuit is invalid.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// A sliced model's description is invalid.
    #[error(transparent)]
    Slices(#[from] SliceError),
}

/// A local cache of circuits. See the [crate](crate).
#[derive(Debug)]
pub struct CircuitStore {
    settings: StoreSettings,
    /// Locks that limit each circuit to one download at a time.
    downloads: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    /// Circuits that this process uses, which are never evicted.
    used: Mutex<BTreeSet<Digest>>,
}

impl CircuitStore {
    /// Opens a cache and creates its directory if it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let path = settings.directory.clone();
        fs::create_dir_all(&path).map_err(|source| StoreError::File { path, source })?;
        Ok(Self { settings, downloads: Mutex::default(), used: Mutex::default() })
    }

    /// Reads the circuits and sliced models of all catalogues. Unreadable ones are skipped unless all are unreadable.
    ///
    /// # Errors
    /// When no catalogue can be read.
    pub async fn listing(&self) -> Result<Listing, StoreError> {
        let mut all = Listing::default();
        let mut failure = None;
        let mut read = 0;
        for source in &self.settings.sources {
            match source.listing().await {
                Ok(listing) => {
                    read += 1;
                    all.circuits.extend(listing.circuits);
                    all.models.extend(listing.models);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read a catalogue");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if read == 0 => Err(error.into()),
            _ => Ok(all),
        }
    }

    /// Fetches circuits and sliced models: those in `wanted`, or all listed ones if it is empty. Pinned circuits come
    /// first.
    ///
    /// # Errors
    /// When a circuit is not listed, its download fails, or the cache is too small for all of them.
    pub async fn sync(&self, wanted: &BTreeSet<Digest>) -> Result<(), StoreError> {
        let listing = self.listing().await?;
        for model in &listing.models {
            let id = model.id()?;
            if wanted.is_empty() || wanted.contains(&id) {
                for slice in &model.slices {
                    self.fetch(slice).await?;
                }
                self.keep_model(&id, model)?;
            }
        }
        let is_model = |id: &Digest| listing.models.iter().any(|model| model.id().is_ok_and(|model| model == *id));
        let wanted: Vec<Digest> = if wanted.is_empty() {
            listing.circuits.iter().map(|circuit| circuit.id).collect()
        } else {
            wanted.iter().filter(|id| !is_model(id)).copied().collect()
        };
        let (pinned, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|id| self.settings.pinned.contains(id));
        for id in pinned.iter().chain(&others) {
            self.fetch(id).await?;
        }
        Ok(())
    }

    /// Returns the directory of a circuit, downloading it if it is not in the cache. The circuit is not evicted while
    /// this process runs.
    ///
    /// # Errors
    /// When no catalogue has the circuit, a file does not match its digest, or the cache is full.
    pub async fn fetch(&self, id: &Digest) -> Result<PathBuf, StoreError> {
        let lock = Arc::clone(locked(&self.downloads).entry(*id).or_default());
        let _alone = lock.lock().await;
        let path = self.settings.directory.join(format!("model_{id}"));
        locked(&self.used).insert(*id);
        if !path.join(metadata::FILE).is_file() {
            self.download(id, &path).await?;
        }
        touch(&path.join(metadata::FILE))?;
        self.make_room()?;
        Ok(path)
    }

    async fn download(&self, id: &Digest, path: &Path) -> Result<(), StoreError> {
        let partial = self.settings.directory.join(format!(".partial-{id}"));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::File { path, source }
        };
        fs::create_dir_all(&partial).map_err(failed(&partial))?;
        let mut failure = StoreError::Unknown(*id);
        for source in &self.settings.sources {
            let listed = match source.listing().await {
                Ok(listing) => listing.get(id).cloned(),
                Err(error) => {
                    failure = error.into();
                    continue;
                }
            };
            let Some(listed) = listed else { continue };
            match self.download_from(source, &listed, &partial).await {
                Ok(()) => {
                    fs::rename(&partial, path).map_err(failed(path))?;
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(circuit = %id, %error, "download failed");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    async fn download_from(&self, source: &Source, listed: &Listed, partial: &Path) -> Result<(), StoreError> {
        let path = partial.join(metadata::FILE);
        let failed = |source| StoreError::File { path: path.clone(), source };
        // Metadata is small and has no digest to verify a partial download against, so it is never resumed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        download(source, &listed.place(metadata::FILE), &path, None, MAX_METADATA).await?;
        let metadata = CircuitMetadata::from_json(&fs::read(&path).map_err(failed)?)?;
        let actual = metadata.id()?;
        if actual != listed.id {
            return Err(StoreError::OtherCircuit { expected: listed.id, actual });
        }
        for (name, digest) in &metadata.files {
            download(source, &listed.place(name), &partial.join(name), Some(*digest), MAX_FILE).await?;
        }
        // Rejects an invalid network before the circuit enters the cache.
        CircuitDirectory::open(partial)?;
        Ok(())
    }

    /// Writes a sliced model's description to the cache.
    fn keep_model(&self, id: &Digest, model: &SlicedModel) -> Result<(), StoreError> {
        // The name sorts after those of circuits, so that the slices are known before the description is read.
        let place = self.settings.directory.join(format!("sliced_{id}"));
        let failed = |source| StoreError::File { path: place.clone(), source };
        let draft = self.settings.directory.join(format!(".sliced-{id}"));
        if place.join(SLICED).is_file() {
            return Ok(());
        }
        fs::create_dir_all(&draft).map_err(failed)?;
        fs::write(draft.join(SLICED), model.to_json()?).map_err(failed)?;
        fs::rename(&draft, &place).map_err(failed)
    }

    /// Evicts the least recently used circuits until the cache is within its limit.
    fn make_room(&self) -> Result<(), StoreError> {
        let mut circuits = self.cached()?;
        let mut size: u64 = circuits.iter().map(|circuit| circuit.bytes).sum();
        circuits.sort_by_key(|circuit| circuit.last_used);
        let used = locked(&self.used).clone();
        for circuit in circuits {
            if size <= self.settings.limit {
                return Ok(());
            }
            if used.contains(&circuit.id) || self.settings.pinned.contains(&circuit.id) {
                continue;
            }
            tracing::info!(circuit = %circuit.id, bytes = circuit.bytes, "evicted from the full cache");
            self.remove_models_with(&circuit.id)?;
            // Renamed first, so that a kill never leaves an incomplete circuit in the cache.
            let doomed = self.settings.directory.join(format!(".removed-{}", circuit.id));
            let removed = fs::rename(&circuit.path, &doomed).and_then(|()| fs::remove_dir_all(&doomed));
            removed.map_err(|source| StoreError::File { path: circuit.path, source })?;
            size -= circuit.bytes;
        }
        if size <= self.settings.limit {
            Ok(())
        } else {
            Err(StoreError::Full { used: size, limit: self.settings.limit })
        }
    }

    /// Removes the sliced models with this slice, because a model without all its slices would make the cache
    /// unreadable.
    fn remove_models_with(&self, slice: &Digest) -> Result<(), StoreError> {
        for path in self.entries("sliced_")? {
            let description = path.join(SLICED);
            let text = fs::read(&description).map_err(|source| StoreError::File { path: description, source })?;
            if SlicedModel::from_json(&text)?.slices.contains(slice) {
                fs::remove_dir_all(&path).map_err(|source| StoreError::File { path, source })?;
            }
        }
        Ok(())
    }

    fn cached(&self) -> Result<Vec<Cached>, StoreError> {
        let mut circuits = Vec::new();
        for path in self.entries("model_")? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(id) = name.strip_prefix("model_").and_then(|id| id.parse().ok()) else { continue };
            let failed = |source| StoreError::File { path: path.clone(), source };
            let mut bytes = 0;
            for file in fs::read_dir(&path).map_err(failed)? {
                bytes += file.and_then(|file| file.metadata()).map_err(failed)?.len();
            }
            let metadata = fs::metadata(path.join(metadata::FILE)).and_then(|metadata| metadata.modified());
            circuits.push(Cached { id, bytes, last_used: metadata.map_err(failed)?, path });
        }
        Ok(circuits)
    }

    /// Lists the cache entries whose names begin with `prefix`.
    fn entries(&self, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
        let directory = &self.settings.directory;
        let failed = |source| StoreError::File { path: directory.clone(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    }
}

struct Cached {
    id: Digest,
    path: PathBuf,
    bytes: u64,
    last_used: SystemTime,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the modification time of a circuit's metadata to now, which marks the circuit as used.
fn touch(path: &Path) -> Result<(), StoreError> {
    let file = fs::OpenOptions::new().write(true).open(path);
    let touched = file.and_then(|file| file.set_modified(SystemTime::now()));
    touched.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
