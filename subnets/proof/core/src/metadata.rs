//! Metadata of a circuit's directory: its files with their SHA-256.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use taonet_primitives::bytes_without_bom;
use thiserror::Error;

use crate::circuit::Circuit;
use crate::network::Network;
use crate::quantise::QuantisationReport;
use crate::{Digest, Range, Shape};

/// The file name of the metadata in a circuit's directory.
pub const FILE: &str = "circuit_metadata.json";
/// The supported version of the metadata.
pub const VERSION: u32 = 1;
/// The file name of the network.
pub const NETWORK: &str = "network.bin";
/// The file name of the proving key.
pub const PROVING_KEY: &str = "proving_key.bin";
/// The file name of the verification key.
pub const VERIFICATION_KEY: &str = "verification_key.bin";
/// The file name of the trusted setup's transcript.
pub const TRANSCRIPT: &str = "transcript.json";

/// Metadata of a circuit's directory, against which all other files are checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitMetadata {
    /// The version of this file: [`VERSION`].
    pub version: u32,
    /// Human-readable name of the model.
    pub name: String,
    /// Name of the backend that created the keys.
    pub backend: String,
    /// Input of the model.
    pub input: TensorDescription,
    /// Output of the model.
    pub output: TensorDescription,
    /// The model's inputs, whose elements follow each other in `input`; absent for a single one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<TensorPart>,
    /// The model's outputs, whose elements follow each other in `output`; absent for a single one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<TensorPart>,
    /// Number of multiply-adds of one execution.
    pub multiply_adds: u64,
    /// Number of constraints or trace rows, depending on the backend, as the compiler counted them.
    /// Unlike the fields above, it is not compared with the network: counting takes as long as a
    /// setup, and no proof depends on it.
    pub constraints: u64,
    /// SHA-256 of every file of the circuit, by name.
    pub files: BTreeMap<String, Digest>,
    /// Quantisation error on a sample, if a sample was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<QuantisationReport>,
    /// Human-readable notes on what the ONNX reader omitted or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Description of a tensor for users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorDescription {
    /// Extents of the tensor.
    pub shape: Shape,
    /// Interval of every integer in the tensor.
    pub range: Range,
    /// Scale: the real number is the integer divided by `2^scale`.
    pub scale: i32,
}

/// One of several inputs or outputs of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorPart {
    /// Name in the model's file.
    pub name: String,
    /// Dimensions, batch included.
    pub dims: Vec<usize>,
    /// Position of the first element in the circuit's input or output.
    pub offset: usize,
}

impl TensorPart {
    /// Arranges tensors with these names and dimensions one after the other.
    pub fn consecutive<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Vec<Self> {
        let mut offset = 0;
        let part = |(name, dims): (&str, &[usize])| {
            let part = Self { name: name.to_owned(), dims: dims.to_vec(), offset };
            offset += dims.iter().product::<usize>();
            part
        };
        tensors.into_iter().map(part).collect()
    }

    /// Returns whether parts follow each other without gaps and have all elements of a tensor, or
    /// there are no parts, which stand for a single tensor.
    fn covers(parts: &[Self], shape: Shape) -> bool {
        let mut next_offset = 0_usize;
        for part in parts {
            let count =
                part.dims.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
            match count.and_then(|count| next_offset.checked_add(count)) {
                Some(end) if part.offset == next_offset => next_offset = end,
                _ => return false,
            }
        }
        parts.is_empty() || next_offset == shape.elements()
    }
}

/// Why metadata is invalid.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The text is not circuit metadata.
    #[error("malformed circuit metadata: {0}; hint: compile the model again")]
    Malformed(#[from] serde_json::Error),
    /// The version is unsupported.
    #[error(
        "unsupported circuit metadata version {0}, expected {VERSION}; hint: compile the model again"
    )]
    Version(u32),
    /// A file name could lead out of the circuit's directory.
    #[error("file name '{0}' is not a plain name")]
    FileName(String),
    /// A required file is not listed.
    #[error("{0} is not listed in the metadata")]
    Unlisted(&'static str),
    /// The metadata describes another network than the one in the directory.
    #[error(
        "the metadata describes another network: its {0} differs from that of {NETWORK}; hint: use the circuit of the \
         model's owner, or compile the model again"
    )]
    Description(&'static str),
    /// The SHA-256 of a file does not match the metadata.
    #[error("{name} is corrupt or incomplete: SHA-256 {actual}, expected {expected}")]
    Mismatch {
        /// Name of the file.
        name: String,
        /// The digest in the metadata.
        expected: Digest,
        /// The file's actual digest.
        actual: Digest,
    },
}

impl CircuitMetadata {
    /// Creates the metadata of a network without keys.
    pub fn new(name: &str, backend: &str, network: &Network, circuit: &Circuit) -> Self {
        let range = circuit.output_range();
        let length = circuit.outputs.len();
        let shape = network.shapes().ok().and_then(|shapes| shapes.last().copied());
        let output = shape.unwrap_or(Shape { channels: length, height: 1, width: 1 });
        Self {
            version: VERSION,
            name: name.to_owned(),
            backend: backend.to_owned(),
            input: TensorDescription {
                shape: network.input.shape,
                range: network.input.range,
                scale: network.input.scale,
            },
            output: TensorDescription { shape: output, range, scale: network.output_scale() },
            inputs: Vec::new(),
            outputs: Vec::new(),
            multiply_adds: circuit.multiply_adds(),
            constraints: 0,
            files: BTreeMap::new(),
            quantisation: None,
            notes: Vec::new(),
        }
    }

    /// Parses metadata and checks its version and file names.
    ///
    /// # Errors
    /// When the text is malformed, has an unsupported version, or names files outside of the
    /// circuit's directory.
    pub fn from_json(text: &[u8]) -> Result<Self, MetadataError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let text = bytes_without_bom(text);
        // Other versions may have other fields.
        let Version { version } = serde_json::from_slice(text)?;
        if version != VERSION {
            return Err(MetadataError::Version(version));
        }
        let metadata: Self = serde_json::from_slice(text)?;
        if let Some(name) = metadata.files.keys().find(|name| !is_plain_file_name(name)) {
            return Err(MetadataError::FileName(name.clone()));
        }
        for required in [NETWORK, VERIFICATION_KEY] {
            if !metadata.files.contains_key(required) {
                return Err(MetadataError::Unlisted(required));
            }
        }
        Ok(metadata)
    }

    /// Serialises the metadata with keys in a fixed order, so that equal metadata gives equal text.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn to_json(&self) -> Result<Vec<u8>, MetadataError> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Returns the circuit's identity: the SHA-256 of the metadata's text, which covers every file
    /// that it lists.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn id(&self) -> Result<Digest, MetadataError> {
        Ok(Digest::of(&self.to_json()?))
    }

    /// Returns the SHA-256 of the verification key.
    ///
    /// # Errors
    /// When the metadata does not list the key.
    pub fn verification_key(&self) -> Result<Digest, MetadataError> {
        self.files.get(VERIFICATION_KEY).copied().ok_or(MetadataError::Unlisted(VERIFICATION_KEY))
    }

    /// Checks that input, output and number of multiply-adds are those of a network.
    ///
    /// # Errors
    /// [`MetadataError::Description`] for the first difference.
    pub fn check_description(
        &self,
        network: &Network,
        circuit: &Circuit,
    ) -> Result<(), MetadataError> {
        let actual = Self::new(&self.name, &self.backend, network, circuit);
        if self.input != actual.input {
            return Err(MetadataError::Description("input"));
        }
        if self.output != actual.output {
            return Err(MetadataError::Description("output"));
        }
        if !TensorPart::covers(&self.inputs, self.input.shape) {
            return Err(MetadataError::Description("list of inputs"));
        }
        if !TensorPart::covers(&self.outputs, self.output.shape) {
            return Err(MetadataError::Description("list of outputs"));
        }
        if self.multiply_adds != actual.multiply_adds {
            return Err(MetadataError::Description("number of multiply-adds"));
        }
        Ok(())
    }

    /// Checks the contents of a listed file against its SHA-256.
    ///
    /// # Errors
    /// When the digest differs or the file is not listed.
    pub fn check(&self, name: &'static str, contents: &[u8]) -> Result<(), MetadataError> {
        let expected = self.files.get(name).copied().ok_or(MetadataError::Unlisted(name))?;
        let actual = Digest::of(contents);
        if actual == expected {
            return Ok(());
        }
        Err(MetadataError::Mismatch { name: name.to_owned(), expected, actual })
    }
}

/// Returns whether a file name has no path components.
fn is_plain_file_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= 100 && name.bytes().all(is_allowed) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_other_programs_and_versions_has_a_hint() {
        for (text, expected) in [
            (
                r#"{"version": 2, "renamed": 1}"#,
                "unsupported circuit metadata version 2, expected 1",
            ),
            ("\u{feff}{\"version\": 2}", "unsupported circuit metadata version 2, expected 1"),
            (r#"{"name": "x", "proof_system": "EZKL"}"#, "malformed circuit metadata"),
        ] {
            let error = CircuitMetadata::from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.starts_with(expected) && error.ends_with("compile the model again"),
                "{error}"
            );
        }
    }

    #[test]
    fn parts_that_overlap_or_leave_gaps_are_refused() {
        let parts =
            TensorPart::consecutive([("a", &[1, 2, 3][..]), ("b", &[][..]), ("c", &[5][..])]);
        let offsets: Vec<usize> = parts.iter().map(|part| part.offset).collect();
        assert_eq!(offsets, [0, 6, 7]);
        let shape = |elements| Shape::vector(elements).unwrap();
        assert!(TensorPart::covers(&parts, shape(12)) && TensorPart::covers(&[], shape(12)));
        assert!(!TensorPart::covers(&parts, shape(11)) && !TensorPart::covers(&parts, shape(13)));
        for (index, change) in [(1, 5), (2, 8), (0, 1)] {
            let mut other = parts.clone();
            other[index].offset = change;
            assert!(!TensorPart::covers(&other, shape(12)), "{other:?}");
        }
        let mut huge_parts = parts;
        huge_parts[0].dims = vec![usize::MAX, 2];
        assert!(!TensorPart::covers(&huge_parts, shape(12)));
    }

    #[test]
    fn only_plain_file_names_are_accepted() {
        for invalid_name in ["", "..", "../key", "a/b", "a\\b", ".hidden", "naïve"] {
            assert!(!is_plain_file_name(invalid_name), "{invalid_name}");
        }
        assert!(is_plain_file_name(VERIFICATION_KEY));
    }
}
