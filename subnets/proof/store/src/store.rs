use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use taonet_proof_circuits::{CircuitDirectory, CircuitError};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{self, CircuitMetadata, MetadataError};
use taonet_proof_core::slices::{SliceError, SlicedModel};
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::cache::{Cache, existed};
use crate::download::{digest, download};
use crate::listing::ListedCircuit;
use crate::{Listing, Source, SourceError};

/// Maximum size of metadata, in bytes.
const MAX_METADATA_BYTES: u64 = 1 << 20;
/// Maximum size of any other file, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 30;

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
    NoIdentities,
    /// A catalogue or file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No catalogue lists the circuit.
    #[error("no catalogue lists circuit {0}")]
    NotListed(Digest),
    /// A file does not match the digest in the circuit's metadata.
    #[error("{location} is corrupt: expected SHA-256 {expected}")]
    Checksum {
        /// Location of the file in the catalogue.
        location: String,
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
    #[error("{location} is larger than {limit} bytes")]
    TooLarge {
        /// Location of the file in the catalogue.
        location: String,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// The circuits in use exceed the limit of the cache.
    #[error(
        "the circuits in use take {used} bytes, more than the cache limit of {limit} bytes; hint: raise the limit or \
         select fewer circuits"
    )]
    CacheFull {
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
    sources: Vec<Source>,
    cache: Arc<Cache>,
    /// Locks that limit each circuit to one download at a time.
    downloads: Mutex<BTreeMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl CircuitStore {
    /// Opens a cache and creates its directory if it does not exist.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn open(settings: StoreSettings) -> Result<Self, StoreError> {
        let StoreSettings { directory, sources, limit, pinned } = settings;
        let cache = Arc::new(Cache::open(directory, limit, pinned)?);
        Ok(Self { sources, cache, downloads: Mutex::default() })
    }

    /// Runs an operation on the files of the cache, on a thread for blocking work.
    async fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Cache) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let cache = Arc::clone(&self.cache);
        let result = spawn_blocking(move || operation(&cache)).await;
        result.map_err(|join_error| StoreError::file(self.cache.directory())(join_error.into()))?
    }

    /// Reads the circuits and sliced models of all catalogues. Unreadable catalogues are skipped.
    ///
    /// # Errors
    /// When no catalogue can be read.
    pub async fn listing(&self) -> Result<Listing, StoreError> {
        let mut merged = Listing::default();
        for (_, listing) in self.read_documents().await.require_readable()?.listings {
            merged.circuits.extend(listing.circuits);
            merged.models.extend(listing.models);
        }
        Ok(merged)
    }

    /// Reads the documents of all catalogues.
    async fn read_documents(&self) -> Documents<'_> {
        let mut documents = Documents { listings: Vec::new(), last_error: None };
        for source in &self.sources {
            match source.listing().await {
                Ok(listing) => documents.listings.push((source, listing)),
                Err(error) => {
                    tracing::warn!(%error, "cannot read a catalogue");
                    documents.last_error = Some(error);
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
    /// [`StoreError::NoIdentities`] when `required` is empty. The first error when a circuit is not
    /// listed, is refused, its download fails, or the cache is too small for all of them.
    pub async fn sync(&self, required: &BTreeSet<Digest>) -> Result<(), StoreError> {
        if required.is_empty() {
            return Err(StoreError::NoIdentities);
        }
        let documents = self.read_documents().await.require_readable()?;
        let listings = || documents.listings.iter().map(|(_, listing)| listing);
        let (mut models, mut first_error) = (BTreeSet::new(), None);
        for model in listings().flat_map(|listing| &listing.models) {
            let id = model.id()?;
            if required.contains(&id)
                && models.insert(id)
                && let Err(error) = self.fetch_model(id, model, &documents).await
            {
                first_error.get_or_insert(error);
            }
        }
        let circuits = required.difference(&models);
        let (pinned, unpinned): (Vec<&Digest>, Vec<&Digest>) =
            circuits.partition(|id| self.cache.is_pinned(id));
        for id in pinned.into_iter().chain(unpinned) {
            if let Err(error) = self.fetch_from(*id, Some(&documents)).await {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Fetches the slices of a model, then writes its description to the cache.
    async fn fetch_model(
        &self,
        id: Digest,
        model: &SlicedModel,
        documents: &Documents<'_>,
    ) -> Result<(), StoreError> {
        for slice in &model.slices {
            self.fetch_from(*slice, Some(documents)).await?;
        }
        let text = model.to_json()?;
        self.run_blocking(move |cache| cache.write_model(id, &text)).await
    }

    /// Returns the directory of a circuit, downloading it if it is not in the cache or a file there
    /// is corrupt. The circuit is not evicted while this process runs.
    ///
    /// # Errors
    /// When no catalogue lists the circuit, a file does not match its digest, or the cache is full.
    pub async fn fetch(&self, id: &Digest) -> Result<PathBuf, StoreError> {
        self.fetch_from(*id, None).await
    }

    /// Fetches a circuit like [`Self::fetch`]. Without `documents`, the catalogues are read if they
    /// are needed.
    async fn fetch_from(
        &self,
        id: Digest,
        documents: Option<&Documents<'_>>,
    ) -> Result<PathBuf, StoreError> {
        let lock = Arc::clone(
            self.downloads.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default(),
        );
        let _guard = lock.lock().await;
        // Reserved from here on: no other download evicts the circuit.
        let is_verified = !self.cache.reserve(id)
            && self.run_blocking(move |cache| Ok(cache.has_metadata(id))).await?;
        if !is_verified && let Err(error) = self.ensure_cached(id, documents).await {
            self.cache.release(id);
            return Err(error);
        }
        self.run_blocking(move |cache| cache.mark_used(id)).await?;
        Ok(self.cache.circuit_directory(id))
    }

    /// Downloads a circuit unless all of its files are in the cache.
    async fn ensure_cached(
        &self,
        id: Digest,
        documents: Option<&Documents<'_>>,
    ) -> Result<(), StoreError> {
        if is_intact(&self.cache.circuit_directory(id), id).await? {
            return Ok(());
        }
        match documents {
            Some(documents) => self.download(id, documents).await,
            None => self.download(id, &self.read_documents().await.require_readable()?).await,
        }
    }

    async fn download(&self, id: Digest, documents: &Documents<'_>) -> Result<(), StoreError> {
        let partial = self.cache.partial_directory(id);
        tokio::fs::create_dir_all(&partial).await.map_err(StoreError::file(&partial))?;
        let mut last_error = StoreError::NotListed(id);
        for (source, listing) in &documents.listings {
            let Some(listed_circuit) = listing.get(&id) else { continue };
            match self.download_from(source, listed_circuit, &partial).await {
                Ok(()) => return self.run_blocking(move |cache| cache.admit(id)).await,
                Err(error) => {
                    tracing::warn!(circuit = %id, %error, "download failed");
                    last_error = error;
                }
            }
        }
        Err(last_error)
    }

    async fn download_from(
        &self,
        source: &Source,
        listed: &ListedCircuit,
        partial: &Path,
    ) -> Result<(), StoreError> {
        let path = partial.join(metadata::FILE);
        // Metadata is small and has no digest to verify a partial download against, so it is never
        // resumed.
        existed(tokio::fs::remove_file(&path).await).map_err(StoreError::file(&path))?;
        download(source, &listed.file_location(metadata::FILE), &path, None, MAX_METADATA_BYTES)
            .await?;
        let metadata = CircuitMetadata::from_json(
            &tokio::fs::read(&path).await.map_err(StoreError::file(&path))?,
        )?;
        let actual = metadata.id()?;
        if actual != listed.id {
            return Err(StoreError::OtherCircuit { expected: listed.id, actual });
        }
        for (name, digest) in &metadata.files {
            download(
                source,
                &listed.file_location(name),
                &partial.join(name),
                Some(*digest),
                MAX_FILE_BYTES,
            )
            .await?;
        }
        // Rejects an invalid network, and the key of another network, before the circuit enters the
        // cache.
        let directory = partial.to_owned();
        self.run_blocking(move |_| check_download(&directory)).await
    }
}

/// Checks the complete download of a circuit, and removes an invalid one, which cannot be resumed.
fn check_download(directory: &Path) -> Result<(), StoreError> {
    if let Err(error) = CircuitDirectory::open(directory) {
        existed(std::fs::remove_dir_all(directory)).map_err(StoreError::file(directory))?;
        return Err(error.into());
    }
    Ok(())
}

/// Documents of the catalogues.
struct Documents<'a> {
    /// Readable ones, in order.
    listings: Vec<(&'a Source, Listing)>,
    /// Why the last unreadable one cannot be read.
    last_error: Option<SourceError>,
}

impl Documents<'_> {
    /// Returns the documents; fails if there are catalogues, but none can be read.
    fn require_readable(self) -> Result<Self, StoreError> {
        match self.last_error {
            Some(error) if self.listings.is_empty() => Err(error.into()),
            last_error => Ok(Self { last_error, ..self }),
        }
    }
}

/// Returns whether a circuit is in the cache, and all of its files match their digests.
async fn is_intact(path: &Path, id: Digest) -> Result<bool, StoreError> {
    let metadata_path = path.join(metadata::FILE);
    let text = match tokio::fs::read(&metadata_path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        text => text.map_err(StoreError::file(&metadata_path))?,
    };
    let metadata = CircuitMetadata::from_json(&text).ok();
    let Some(metadata) = metadata.filter(|metadata| metadata.id().is_ok_and(|actual| actual == id))
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

#[cfg(test)]
mod tests;
