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
    /// Catalogues; the first one that has a circuit gives it.
    pub sources: Vec<Source>,
    /// Maximum size of the cache, in bytes.
    pub limit: u64,
    /// Circuits that are never removed.
    pub pinned: BTreeSet<Digest>,
}

/// Why a circuit is not in the cache.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A catalogue or file is not read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No catalogue lists the circuit.
    #[error("no catalogue has circuit {0}")]
    Unknown(Digest),
    /// A file has other contents than the circuit's metadata says.
    #[error("{place} does not have SHA-256 {expected}")]
    Checksum {
        /// The file's place in the catalogue.
        place: String,
        /// The digest in the metadata.
        expected: Digest,
    },
    /// The metadata is not that of the circuit.
    #[error("the catalogue has circuit {actual} in place of {expected}")]
    OtherCircuit {
        /// The circuit that was asked for.
        expected: Digest,
        /// The circuit of the metadata.
        actual: Digest,
    },
    /// A file is larger than any of its kind.
    #[error("{place} is larger than {limit} bytes")]
    TooLarge {
        /// The file's place in the catalogue.
        place: String,
        /// The limit.
        limit: u64,
    },
    /// Circuits in use fill the cache.
    #[error(
        "the circuits in use have {used} bytes, the cache holds {limit}; hint: raise its limit or name fewer circuits"
    )]
    Full {
        /// Bytes in use.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// A file of the cache fails.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The metadata is refused.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The circuit is refused.
    #[error(transparent)]
    Circuit(#[from] CircuitError),
    /// A sliced model's description fails.
    #[error(transparent)]
    Slices(#[from] SliceError),
}

/// A cache of circuits. See the [crate](crate).
#[derive(Debug)]
pub struct CircuitStore {
    settings: StoreSettings,
    /// One download of a circuit at a time.
    downloads: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    /// Circuits that this process uses.
    used: Mutex<BTreeSet<Digest>>,
}

impl CircuitStore {
    /// Opens a cache; its directory is created if it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let path = settings.directory.clone();
        fs::create_dir_all(&path).map_err(|source| StoreError::File { path, source })?;
        Ok(Self { settings, downloads: Mutex::default(), used: Mutex::default() })
    }

    /// The circuits and sliced models of all catalogues. One that cannot be read fails only if none can.
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
                    tracing::warn!(%error, "a catalogue is not read");
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if read == 0 => Err(error.into()),
            _ => Ok(all),
        }
    }

    /// Fetches circuits with their sliced models, all that are listed if `wanted` is empty. Pinned ones come first.
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

    /// The directory of a circuit, which is downloaded if it is not in the cache. It stays there as long as this process
    /// lives.
    ///
    /// # Errors
    /// When no catalogue has it, a file is not what its checksum says, or the cache is full.
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
                    tracing::warn!(circuit = %id, %error, "a download failed");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    async fn download_from(&self, source: &Source, listed: &Listed, partial: &Path) -> Result<(), StoreError> {
        let path = partial.join(metadata::FILE);
        let failed = |source| StoreError::File { path: path.clone(), source };
        // Small, and without a checksum before it is read: never resumed.
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
        // Refuses a network that is none before anybody relies on it.
        CircuitDirectory::open(partial)?;
        Ok(())
    }

    /// Writes a sliced model's description, so that the cache's catalogue has the model.
    fn keep_model(&self, id: &Digest, model: &SlicedModel) -> Result<(), StoreError> {
        // Behind the circuits in the order of names, so that the slices are known before it is read.
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

    /// Removes the circuits that were not used for longest until the cache is within its limit.
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
            tracing::info!(circuit = %circuit.id, bytes = circuit.bytes, "removed from the full cache");
            self.remove_models_with(&circuit.id)?;
            // Renamed first: what a kill leaves is not taken for a circuit.
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

    /// A model that lacks a slice would fail the whole cache.
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

    /// Entries of the cache whose names begin like this.
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

/// Marks a circuit as used now.
fn touch(path: &Path) -> Result<(), StoreError> {
    let file = fs::OpenOptions::new().write(true).open(path);
    let touched = file.and_then(|file| file.set_modified(SystemTime::now()));
    touched.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
