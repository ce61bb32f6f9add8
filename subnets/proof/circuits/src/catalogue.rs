use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{self, CircuitMetadata, MetadataError};
use taonet_proof_core::slices::{self, SlicedModel};

use crate::directory::{MAX_METADATA, read};
use crate::{Backends, CircuitDirectory, CircuitError};

/// Maximum number of directory entries that are read.
const MAX_ENTRIES: usize = 10_000;
/// Maximum depth of circuits below a directory: that of the slices of sliced models.
const MAX_DEPTH: usize = 2;

/// A directory whose circuit or sliced model cannot be used.
#[derive(Debug)]
pub struct SkippedEntry {
    /// Path of the directory.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub error: CircuitError,
}

/// The circuits and sliced models of a directory, by identity. Slices are circuits, too.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    circuits: BTreeMap<Digest, Arc<CircuitDirectory>>,
    models: BTreeMap<Digest, Arc<SlicedModel>>,
}

impl Catalogue {
    /// Opens every circuit and sliced model in a directory: the directory itself if it is one, else
    /// its subdirectories.
    ///
    /// # Errors
    /// When a circuit is malformed or modified, a slice is missing, or there is no circuit.
    pub fn open(path: &Path) -> Result<Self, CircuitError> {
        Self::open_with(path, &Backends::default())
    }

    /// Opens a directory like [`Self::open`]; the given backends load provers and verifiers.
    ///
    /// # Errors
    /// When a circuit is malformed or modified, a slice is missing, or there is no circuit.
    pub fn open_with(path: &Path, backends: &Backends) -> Result<Self, CircuitError> {
        let (catalogue, skipped) = Self::read(path, backends)?;
        match skipped.into_iter().next() {
            Some(first) => Err(first.error),
            None => catalogue.require_nonempty(path),
        }
    }

    /// Opens a directory and skips circuits and sliced models that miners and validators cannot
    /// use: returns the circuits whose verifier loads and whose proofs do not hide the inputs, the
    /// sliced models that consist of them, and the skipped directories.
    ///
    /// # Errors
    /// If the directory contains no circuit. If no circuit is usable, the error of the first
    /// skipped directory.
    pub fn open_usable(
        path: &Path,
        backends: &Backends,
    ) -> Result<(Self, Vec<SkippedEntry>), CircuitError> {
        let (mut catalogue, mut skipped) = Self::read(path, backends)?;
        let Self { circuits, models } = &mut catalogue;
        circuits.retain(|_, circuit| match check_usable(circuit) {
            Ok(()) => true,
            Err(error) => {
                skipped.push(SkippedEntry { path: circuit.path().to_owned(), error });
                false
            }
        });
        models.retain(|_, model| {
            let missing_slice = model.slices.iter().find(|slice| !circuits.contains_key(slice));
            skipped.extend(missing_slice.map(|slice| {
                let path = path.to_owned();
                SkippedEntry {
                    path: path.clone(),
                    error: CircuitError::NoSlice { path, slice: *slice },
                }
            }));
            missing_slice.is_none()
        });
        if catalogue.circuits.is_empty() && !skipped.is_empty() {
            return Err(skipped.swap_remove(0).error);
        }
        Ok((catalogue.require_nonempty(path)?, skipped))
    }

    /// Reads the metadata of every circuit in a directory, by identity. Neither reads nor checks
    /// networks and keys, and omits circuits whose metadata cannot be read: for lists, not for
    /// proofs.
    ///
    /// # Errors
    /// When the directory cannot be read, or contains no circuit.
    pub fn list(path: &Path) -> Result<BTreeMap<Digest, CircuitMetadata>, CircuitError> {
        let mut circuits = BTreeMap::new();
        list_circuits(path, MAX_DEPTH, &mut circuits)?;
        if circuits.is_empty() {
            Err(CircuitError::NoCircuit(path.to_owned()))
        } else {
            Ok(circuits)
        }
    }

    /// Opens the circuits and sliced models of a directory. Subdirectories that cannot be opened
    /// are skipped.
    fn read(path: &Path, backends: &Backends) -> Result<(Self, Vec<SkippedEntry>), CircuitError> {
        let (mut catalogue, mut skipped) = (Self::default(), Vec::new());
        if !catalogue.add(path, backends)? {
            for directory in subdirectories(path)? {
                if let Err(error) = catalogue.add(&directory, backends) {
                    skipped.push(SkippedEntry { path: directory, error });
                }
            }
        }
        Ok((catalogue, skipped))
    }

    /// Rejects an empty catalogue.
    fn require_nonempty(self, path: &Path) -> Result<Self, CircuitError> {
        if self.circuits.is_empty() {
            Err(CircuitError::NoCircuit(path.to_owned()))
        } else {
            Ok(self)
        }
    }

    /// Adds the circuit or sliced model in a directory; `false` if there is none.
    fn add(&mut self, path: &Path, backends: &Backends) -> Result<bool, CircuitError> {
        if path.join(metadata::FILE).is_file() {
            let directory = CircuitDirectory::open_with(path, backends)?;
            self.circuits.insert(directory.id(), Arc::new(directory));
            return Ok(true);
        }
        let description = path.join(slices::FILE);
        if !description.is_file() {
            return Ok(false);
        }
        let model = SlicedModel::from_json(&read(&description, MAX_METADATA)?)?;
        for directory in subdirectories(path)? {
            self.add(&directory, backends)?;
        }
        let find_slice = |slice: &Digest| {
            let missing_slice = || CircuitError::NoSlice { path: path.to_owned(), slice: *slice };
            self.circuits.get(slice).map(|circuit| circuit.metadata()).ok_or_else(missing_slice)
        };
        let slices = model.slices.iter().map(find_slice).collect::<Result<Vec<_>, _>>()?;
        if let (Some(first), Some(last)) = (slices.first(), slices.last()) {
            if first.input != model.input {
                return Err(MetadataError::Description("input").into());
            }
            if last.output != model.output {
                return Err(MetadataError::Description("output").into());
            }
        }
        self.models.insert(model.id()?, Arc::new(model));
        Ok(true)
    }

    /// Removes the circuits for which `keep` is false, and the sliced models that then lack a
    /// slice.
    pub fn retain(&mut self, mut keep: impl FnMut(&CircuitDirectory) -> bool) {
        let Self { circuits, models } = self;
        circuits.retain(|_, circuit| keep(circuit));
        models.retain(|_, model| model.slices.iter().all(|slice| circuits.contains_key(slice)));
    }

    /// Iterates over the circuits, in the order of their identities.
    pub fn circuits(&self) -> impl Iterator<Item = &Arc<CircuitDirectory>> {
        self.circuits.values()
    }

    /// Returns the circuit with this identity.
    pub fn get(&self, id: &Digest) -> Option<&Arc<CircuitDirectory>> {
        self.circuits.get(id)
    }

    /// Iterates over the sliced models with their identities.
    pub fn models(&self) -> impl Iterator<Item = (&Digest, &Arc<SlicedModel>)> {
        self.models.iter()
    }
}

/// Rejects a circuit whose verifier does not load, and one whose proofs hide the inputs: in a
/// market, others choose and send them.
fn check_usable(circuit: &CircuitDirectory) -> Result<(), CircuitError> {
    circuit.verifier()?;
    if circuit.hides_inputs()? { Err(CircuitError::HiddenInputs) } else { Ok(()) }
}

/// Adds the metadata of the circuit in a directory, or of those below it.
fn list_circuits(
    path: &Path,
    depth: usize,
    circuits: &mut BTreeMap<Digest, CircuitMetadata>,
) -> Result<(), CircuitError> {
    let file = path.join(metadata::FILE);
    if file.is_file() {
        let metadata = CircuitMetadata::from_json(&read(&file, MAX_METADATA)?)?;
        circuits.insert(metadata.id()?, metadata);
    } else if depth > 0 {
        for directory in subdirectories(path)? {
            // One unreadable circuit does not hide the others.
            let _ = list_circuits(&directory, depth - 1, circuits);
        }
    }
    Ok(())
}

/// Lists subdirectories, in the order of their names, without incomplete ones, whose names begin
/// with a dot.
fn subdirectories(path: &Path) -> Result<Vec<PathBuf>, CircuitError> {
    let file_error = |source| CircuitError::File { path: path.to_owned(), source };
    let mut subdirectories = Vec::new();
    for entry in std::fs::read_dir(path).map_err(file_error)?.take(MAX_ENTRIES) {
        let entry = entry.map_err(file_error)?;
        if !entry.file_name().to_string_lossy().starts_with('.') && entry.path().is_dir() {
            subdirectories.push(entry.path());
        }
    }
    subdirectories.sort();
    Ok(subdirectories)
}
