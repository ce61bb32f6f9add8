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

use crate::download::{digest, download};
use crate::listing::Listed;
use crate::{Listing, Source, SourceError};

/// Maximum size of metadata, in bytes.
const MAX_METADATA: u64 = 1 << 20;
/// Maximum size of any other file, in bytes.
const MAX_FILE: u64 = 4 << 30;

/// Prefix of the directories of circuits in the cache, before the identity.
const CIRCUIT_PREFIX: &str = "model_";

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
    /// No identities are given, and catalogues are not trusted to choose circuits.
    #[error("no identities of circuits to fetch are given")]
    NotPinned,
    /// A catalogue or file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No catalogue lists the circuit.
    #[error("no catalogue lists circuit {0}")]
    Unknown(Digest),
    /// A file does not match the digest in the circuit's metadata.
    #[error("{place} is corrupt: expected SHA-256 {expected}")]
    Checksum {
        /// Location of the file in the catalogue.
        place: String,
        /// Expected digest, from the metadata of the circuit.
        expected: Digest,
    },
    /// The catalogue has the metadata of a different circuit.
    #[error("the catalogue has circuit {actual} in place of {expected}")]
    OtherCircuit {
        /// Identity of the requested circuit.
        expected: Digest,
        /// Identity of the circuit in the metadata.
        actual: Digest,
    },
    /// A file exceeds the maximum size for its kind.
    #[error("{place} is larger than {limit} bytes")]
    TooLarge {
        /// Location of the file in the catalogue.
        place: String,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The circuits in use exceed the limit of the cache.
    #[error(
        "the circuits in use take {used} bytes, more than the cache limit of {limit} bytes; hint: raise the limit or \
         select fewer circuits"
    )]
    Full {
        /// Size of the circuits in use, in bytes.
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

impl StoreError {
    /// Returns a function that adds the path of a file to an I/O error.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
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

    /// Reads the circuits and sliced models of all catalogues. Unreadable catalogues are skipped.
    ///
    /// # Errors
    /// When no catalogue can be read.
    pub async fn listing(&self) -> Result<Listing, StoreError> {
        let mut all = Listing::default();
        for (_, listing) in self.documents().await.readable()?.listings {
            all.circuits.extend(listing.circuits);
            all.models.extend(listing.models);
        }
        Ok(all)
    }

    /// Reads the documents of all catalogues.
    async fn documents(&self) -> Documents<'_> {
        let mut documents = Documents { listings: Vec::new(), failure: None };
        for source in &self.settings.sources {
            match source.listing().await {
                Ok(listing) => documents.listings.push((source, listing)),
                Err(error) => {
                    tracing::warn!(%error, "cannot read a catalogue");
                    documents.failure = Some(error);
                }
            }
        }
        documents
    }

    /// Fetches these circuits and sliced models. Sliced models come first, then pinned circuits.
    /// Each catalogue is read once. A circuit that cannot be fetched does not keep others from
    /// being fetched.
    ///
    /// # Errors
    /// [`StoreError::NotPinned`] when `wanted` is empty. The first error when a circuit is not
    /// listed, is refused, its download fails, or the cache is too small for all of them.
    pub async fn sync(&self, wanted: &BTreeSet<Digest>) -> Result<(), StoreError> {
        if wanted.is_empty() {
            return Err(StoreError::NotPinned);
        }
        let documents = self.documents().await.readable()?;
        let listings = || documents.listings.iter().map(|(_, listing)| listing);
        let (mut models, mut failure) = (BTreeSet::new(), None);
        for model in listings().flat_map(|listing| &listing.models) {
            let id = model.id()?;
            if wanted.contains(&id)
                && models.insert(id)
                && let Err(error) = self.fetch_model(&id, model, &documents).await
            {
                failure.get_or_insert(error);
            }
        }
        let circuits = wanted.difference(&models);
        let (pinned, others): (Vec<_>, Vec<_>) =
            circuits.partition(|id| self.settings.pinned.contains(id));
        for id in pinned.into_iter().chain(others) {
            if let Err(error) = self.fetch_from(id, Some(&documents)).await {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Fetches the slices of a model, then writes its description to the cache.
    async fn fetch_model(
        &self,
        id: &Digest,
        model: &SlicedModel,
        documents: &Documents<'_>,
    ) -> Result<(), StoreError> {
        for slice in &model.slices {
            self.fetch_from(slice, Some(documents)).await?;
        }
        self.keep_model(id, model)
    }

    /// Returns the directory of a circuit, downloading it if it is not in the cache or a file there
    /// is corrupt. The circuit is not evicted while this process runs.
    ///
    /// # Errors
    /// When no catalogue lists the circuit, a file does not match its digest, or the cache is full.
    pub async fn fetch(&self, id: &Digest) -> Result<PathBuf, StoreError> {
        self.fetch_from(id, None).await
    }

    /// Fetches a circuit like [`Self::fetch`]. Without `documents`, the catalogues are read if they
    /// are needed.
    async fn fetch_from(
        &self,
        id: &Digest,
        documents: Option<&Documents<'_>>,
    ) -> Result<PathBuf, StoreError> {
        let lock = Arc::clone(locked(&self.downloads).entry(*id).or_default());
        let _alone = lock.lock().await;
        let path = self.settings.directory.join(format!("{CIRCUIT_PREFIX}{id}"));
        // From now on, no other download evicts it.
        let is_checked = !locked(&self.used).insert(*id) && path.join(metadata::FILE).is_file();
        if !is_checked && let Err(error) = self.ensure(id, &path, documents).await {
            locked(&self.used).remove(id);
            return Err(error);
        }
        touch(&path.join(metadata::FILE))?;
        self.make_room()?;
        Ok(path)
    }

    /// Downloads a circuit unless all of its files are in the cache.
    async fn ensure(
        &self,
        id: &Digest,
        path: &Path,
        documents: Option<&Documents<'_>>,
    ) -> Result<(), StoreError> {
        if is_intact(path, id).await? {
            return Ok(());
        }
        match documents {
            Some(documents) => self.download(id, path, documents).await,
            None => self.download(id, path, &self.documents().await.readable()?).await,
        }
    }

    async fn download(
        &self,
        id: &Digest,
        path: &Path,
        documents: &Documents<'_>,
    ) -> Result<(), StoreError> {
        let partial = self.settings.directory.join(format!(".partial-{id}"));
        fs::create_dir_all(&partial).map_err(StoreError::file(&partial))?;
        let mut failure = StoreError::Unknown(*id);
        for (source, listing) in &documents.listings {
            let Some(listed) = listing.get(id) else { continue };
            match self.download_from(source, listed, &partial).await {
                Ok(()) => {
                    self.remove(id, path)?;
                    fs::rename(&partial, path).map_err(StoreError::file(path))?;
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

    /// Removes a circuit if it is in the cache. It is renamed first, so that a kill never leaves an
    /// incomplete circuit there.
    fn remove(&self, id: &Digest, path: &Path) -> Result<(), StoreError> {
        let trash = self.settings.directory.join(format!(".removed-{id}"));
        // Left over from a killed process.
        present(fs::remove_dir_all(&trash)).map_err(StoreError::file(path))?;
        if present(fs::rename(path, &trash)).map_err(StoreError::file(path))? {
            fs::remove_dir_all(&trash).map_err(StoreError::file(path))
        } else {
            Ok(())
        }
    }

    async fn download_from(
        &self,
        source: &Source,
        listed: &Listed,
        partial: &Path,
    ) -> Result<(), StoreError> {
        let path = partial.join(metadata::FILE);
        // Metadata is small and has no digest to verify a partial download against, so it is never
        // resumed.
        present(fs::remove_file(&path)).map_err(StoreError::file(&path))?;
        download(source, &listed.place(metadata::FILE), &path, None, MAX_METADATA).await?;
        let metadata =
            CircuitMetadata::from_json(&fs::read(&path).map_err(StoreError::file(&path))?)?;
        let actual = metadata.id()?;
        if actual != listed.id {
            return Err(StoreError::OtherCircuit { expected: listed.id, actual });
        }
        for (name, digest) in &metadata.files {
            download(source, &listed.place(name), &partial.join(name), Some(*digest), MAX_FILE)
                .await?;
        }
        // Rejects an invalid network, and the key of another network, before the circuit enters the
        // cache. The files are complete, so nothing could be resumed.
        if let Err(error) = CircuitDirectory::open(partial) {
            present(fs::remove_dir_all(partial)).map_err(StoreError::file(&path))?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Writes a sliced model's description to the cache.
    fn keep_model(&self, id: &Digest, model: &SlicedModel) -> Result<(), StoreError> {
        // The name sorts after those of circuits, so that the slices are known before the
        // description is read.
        let path = self.settings.directory.join(format!("sliced_{id}"));
        let draft = self.settings.directory.join(format!(".sliced-{id}"));
        let text = model.to_json()?;
        if fs::read(path.join(SLICED)).is_ok_and(|cached| cached == text) {
            return Ok(());
        }
        fs::create_dir_all(&draft).map_err(StoreError::file(&path))?;
        fs::write(draft.join(SLICED), text).map_err(StoreError::file(&path))?;
        present(fs::remove_dir_all(&path)).map_err(StoreError::file(&path))?;
        fs::rename(&draft, &path).map_err(StoreError::file(&path))
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
            tracing::info!(circuit = %circuit.id, bytes = circuit.bytes, "circuit evicted from the full cache");
            self.remove_models_with(&circuit.id)?;
            self.remove(&circuit.id, &circuit.path)?;
            size -= circuit.bytes;
        }
        if size <= self.settings.limit {
            Ok(())
        } else {
            Err(StoreError::Full { used: size, limit: self.settings.limit })
        }
    }

    /// Removes the sliced models with this slice, because a model without all its slices would make
    /// the cache unreadable.
    fn remove_models_with(&self, slice: &Digest) -> Result<(), StoreError> {
        for path in self.entries("sliced_")? {
            let description = path.join(SLICED);
            let text = fs::read(&description)
                .map_err(|source| StoreError::File { path: description, source })?;
            if SlicedModel::from_json(&text)?.slices.contains(slice) {
                fs::remove_dir_all(&path).map_err(|source| StoreError::File { path, source })?;
            }
        }
        Ok(())
    }

    fn cached(&self) -> Result<Vec<Cached>, StoreError> {
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
            circuits.push(Cached { id, path, bytes, last_used });
        }
        Ok(circuits)
    }

    /// Lists the cache entries whose names begin with `prefix`.
    fn entries(&self, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
        let directory = &self.settings.directory;
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).map_err(StoreError::file(directory))? {
            let entry = entry.map_err(StoreError::file(directory))?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    }
}

/// Documents of the catalogues.
struct Documents<'a> {
    /// Readable ones, in order.
    listings: Vec<(&'a Source, Listing)>,
    /// Why the last unreadable one cannot be read.
    failure: Option<SourceError>,
}

impl Documents<'_> {
    /// Fails if there are catalogues, but none can be read.
    fn readable(self) -> Result<Self, StoreError> {
        match self.failure {
            Some(error) if self.listings.is_empty() => Err(error.into()),
            failure => Ok(Self { failure, ..self }),
        }
    }
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

/// Returns whether a circuit is in the cache, and all of its files match their digests.
async fn is_intact(path: &Path, id: &Digest) -> Result<bool, StoreError> {
    let metadata_path = path.join(metadata::FILE);
    let text = match fs::read(&metadata_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text.map_err(StoreError::file(&metadata_path))?,
    };
    let metadata = CircuitMetadata::from_json(&text).ok();
    let Some(metadata) =
        metadata.filter(|metadata| metadata.id().is_ok_and(|actual| actual == *id))
    else {
        tracing::warn!(circuit = %id, "the cached metadata is corrupt: downloading the circuit again");
        return Ok(false);
    };
    for (name, expected) in &metadata.files {
        let file = path.join(name);
        if digest(&file).await.map_err(StoreError::file(&file))? != Some(*expected) {
            tracing::warn!(circuit = %id, file = name, "a cached file is corrupt: downloading the circuit again");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether the file or directory of an operation exists.
fn present(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
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
