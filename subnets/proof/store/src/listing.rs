use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_proof_circuits::Catalogue;
use taonet_proof_core::slices::{SliceError, SlicedModel};
use taonet_proof_core::{Digest, metadata};
use thiserror::Error;

/// Maximum number of circuits of a catalogue.
const MAX_CIRCUITS: usize = 10_000;

/// The document of a catalogue: its circuits and sliced models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// Circuits of the catalogue.
    pub circuits: Vec<ListedCircuit>,
    /// Sliced models; their slices are among the circuits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<SlicedModel>,
}

/// A circuit in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedCircuit {
    /// Identity of the circuit.
    pub id: Digest,
    /// Location of each file by name: a URL, or a path relative to the document. The default is
    /// `ID/NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// Why a document is not a valid catalogue.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListingError {
    /// The text is not a JSON object with a list of circuits.
    #[error("malformed catalogue: {0}")]
    Malformed(#[from] serde_json::Error),
    /// There are more than 10 000 circuits.
    #[error("the catalogue has {0} circuits, more than the maximum of {MAX_CIRCUITS}")]
    TooMany(usize),
}

impl Listing {
    /// Parses a document. Skips entries of other implementations that this one cannot read.
    ///
    /// # Errors
    /// When the document is malformed or has too many entries.
    pub fn from_json(text: &[u8]) -> Result<Self, ListingError> {
        #[derive(Deserialize)]
        struct Document {
            circuits: Vec<Value>,
            #[serde(default)]
            models: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(text)?;
        let count = document.circuits.len().max(document.models.len());
        if count > MAX_CIRCUITS {
            return Err(ListingError::TooMany(count));
        }
        let circuits = document
            .circuits
            .into_iter()
            .filter_map(|entry| parse_or_skip(serde_json::from_value(entry)));
        // Parsed as text, because a model's identity is the hash of its text.
        let model =
            |entry: Value| parse_or_skip(SlicedModel::from_json(entry.to_string().as_bytes()));
        Ok(Self {
            circuits: circuits.collect(),
            models: document.models.into_iter().filter_map(model).collect(),
        })
    }

    /// Creates the catalogue of a directory's circuits, whose files are at `DIRECTORY/NAME`
    /// relative to the document.
    ///
    /// # Errors
    /// Does not fail at present.
    pub fn of(catalogue: &Catalogue, root: &std::path::Path) -> Result<Self, SliceError> {
        let circuits = catalogue.circuits().map(|circuit| {
            let path = circuit.path().strip_prefix(root).unwrap_or(circuit.path());
            let path: Vec<_> =
                path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            let names = circuit.metadata().files.keys().map(String::as_str).chain([metadata::FILE]);
            let file = |name: &str| {
                let path =
                    path.iter().map(|part| &**part).chain([name]).collect::<Vec<_>>().join("/");
                (name.to_owned(), path)
            };
            ListedCircuit { id: circuit.id(), files: names.map(file).collect() }
        });
        Ok(Self {
            circuits: circuits.collect(),
            models: catalogue.models().map(|(_, model)| SlicedModel::clone(model)).collect(),
        })
    }

    /// Returns the circuit with this identity.
    pub(crate) fn get(&self, id: &Digest) -> Option<&ListedCircuit> {
        self.circuits.iter().find(|circuit| circuit.id == *id)
    }
}

impl ListedCircuit {
    /// Returns the location of a file.
    pub(crate) fn file_location(&self, name: &str) -> String {
        self.files.get(name).cloned().unwrap_or_else(|| format!("{}/{name}", self.id))
    }
}

fn parse_or_skip<T, E: std::fmt::Display>(entry: Result<T, E>) -> Option<T> {
    entry.map_err(|error| tracing::debug!(%error, "skipping an unreadable catalogue entry")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_without_a_valid_id_are_omitted() {
        let id = Digest::of(b"1");
        let document = json!({
            "circuits": [
                { "id": id, "metadata": { "proof_system": "JSTPROVE" }, "files": { "network.bin": "https://x/y" } },
                { "id": "not a digest" },
                { "id": Digest::of(b"2"), "file_map": {} },
                7,
            ],
            "models": [{}],
            "next": null,
        });
        let listing = Listing::from_json(document.to_string().as_bytes()).unwrap();
        assert_eq!(listing.circuits.len(), 2);
        let first = listing.get(&id).unwrap();
        assert_eq!(first.file_location("network.bin"), "https://x/y");
        assert_eq!(
            first.file_location("verification_key.bin"),
            format!("{id}/verification_key.bin")
        );
        for bad in [json!([]), json!({}), json!({ "circuits": {} })] {
            assert!(Listing::from_json(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
        let too_many = json!({ "circuits": vec![0; MAX_CIRCUITS + 1] });
        assert!(matches!(
            Listing::from_json(too_many.to_string().as_bytes()),
            Err(ListingError::TooMany(_))
        ));
    }
}
