use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taonet_proof_core::slices::{self, SlicedModel};
use taonet_proof_core::{Digest, metadata};

use crate::directory::{MAX_METADATA, read};
use crate::{CircuitDirectory, CircuitError};

/// Maximum number of directory entries that are read.
const MOST_ENTRIES: usize = 10_000;

/// The circuits and sliced models of a directory, by identity. Slices are circuits, too.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    circuits: BTreeMap<Digest, Arc<CircuitDirectory>>,
    models: BTreeMap<Digest, Arc<SlicedModel>>,
}

impl Catalogue {
    /// Opens every circuit and sliced model in a directory: the directory itself if it is one, else its subdirectories.
    ///
    /// # Errors
    /// When a circuit is malformed or modified, a slice is missing, or there is no circuit.
    pub fn open(path: &Path) -> Result<Self, CircuitError> {
        let mut catalogue = Self::default();
        if !catalogue.add(path)? {
            for place in subdirectories(path)? {
                catalogue.add(&place)?;
            }
        }
        if catalogue.circuits.is_empty() { Err(CircuitError::NoCircuit(path.to_owned())) } else { Ok(catalogue) }
    }

    /// Adds the circuit or sliced model in a directory; `false` if there is none.
    fn add(&mut self, path: &Path) -> Result<bool, CircuitError> {
        if path.join(metadata::FILE).is_file() {
            let directory = CircuitDirectory::open(path)?;
            self.circuits.insert(directory.id(), Arc::new(directory));
            return Ok(true);
        }
        let description = path.join(slices::FILE);
        if !description.is_file() {
            return Ok(false);
        }
        let model = SlicedModel::from_json(&read(&description, MAX_METADATA)?)?;
        for place in subdirectories(path)? {
            self.add(&place)?;
        }
        if let Some(missing) = model.slices.iter().find(|slice| !self.circuits.contains_key(slice)) {
            return Err(CircuitError::NoSlice { path: path.to_owned(), slice: *missing });
        }
        self.models.insert(model.id()?, Arc::new(model));
        Ok(true)
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

/// Lists subdirectories, in the order of their names, without incomplete ones, whose names begin with a dot.
fn subdirectories(path: &Path) -> Result<Vec<PathBuf>, CircuitError> {
    let fail = |source| CircuitError::File { path: path.to_owned(), source };
    let mut places = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)?.take(MOST_ENTRIES) {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_string_lossy().starts_with('.') && entry.path().is_dir() {
            places.push(entry.path());
        }
    }
    places.sort();
    Ok(places)
}
