use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use taonet_proof_core::{Digest, metadata};

use crate::{CircuitDirectory, CircuitError};

/// Maximum number of entries of a directory that are looked at.
const MOST_ENTRIES: usize = 10_000;

/// The circuits of a directory, by identity.
#[derive(Clone, Debug)]
pub struct Catalogue(BTreeMap<Digest, Arc<CircuitDirectory>>);

impl Catalogue {
    /// Opens every circuit in a directory: itself, if it is one, else its subdirectories that have circuit metadata.
    ///
    /// # Errors
    /// When a circuit is malformed or changed, or there is none.
    pub fn open(path: &Path) -> Result<Self, CircuitError> {
        let fail = |source| CircuitError::File { path: path.to_owned(), source };
        let has_metadata = |path: &Path| path.join(metadata::FILE).is_file();
        let mut places = Vec::new();
        if has_metadata(path) {
            places.push(path.to_owned());
        } else {
            for entry in std::fs::read_dir(path).map_err(fail)?.take(MOST_ENTRIES) {
                let entry = entry.map_err(fail)?;
                // Circuits that are still being written have names with a dot.
                if !entry.file_name().to_string_lossy().starts_with('.') && has_metadata(&entry.path()) {
                    places.push(entry.path());
                }
            }
        }
        let mut circuits = BTreeMap::new();
        for place in places {
            let directory = CircuitDirectory::open(&place)?;
            circuits.insert(directory.id(), Arc::new(directory));
        }
        if circuits.is_empty() { Err(CircuitError::NoCircuit(path.to_owned())) } else { Ok(Self(circuits)) }
    }

    /// The circuits, in the order of their identities.
    pub fn circuits(&self) -> impl Iterator<Item = &Arc<CircuitDirectory>> {
        self.0.values()
    }

    /// The circuit with this identity.
    pub fn get(&self, id: &Digest) -> Option<&Arc<CircuitDirectory>> {
        self.0.get(id)
    }
}
