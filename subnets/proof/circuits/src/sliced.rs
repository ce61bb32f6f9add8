use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use taonet_primitives::{Hotkey, bytes_without_bom};
use taonet_proof_core::Digest;
use taonet_proof_core::slices::{FILE, SlicedModel};

use crate::bundle::{MAX_BYTES, is_supported};
use crate::directory::{read, replace_directory, require_empty, write_circuit, write_synced};
use crate::{BUNDLE_VERSION, Backends, Bundle, CircuitDirectory, CircuitError, CompiledSlices};

impl CompiledSlices {
    /// Writes the description and the slices into a directory that is empty or does not exist. A
    /// crash leaves no part of them there.
    ///
    /// # Errors
    /// When the directory is not empty, or a file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CircuitError> {
        require_empty(path)?;
        replace_directory(path, |staging| {
            for (index, slice) in self.slices.iter().enumerate() {
                let directory = staging.join(format!("slice_{index}"));
                std::fs::create_dir(&directory)
                    .map_err(|source| CircuitError::File { path: directory.clone(), source })?;
                write_circuit(&directory, slice)?;
            }
            write_synced(&staging.join(FILE), &self.model.to_json()?)
        })
    }
}

/// Proofs of all slices of a model, with everything that offline verification needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlicedBundle {
    /// The version of the bundle format: [`BUNDLE_VERSION`] or older.
    pub version: u32,
    /// The model's description.
    pub model: SlicedModel,
    /// Nonce of the request for the whole model.
    pub nonce: Digest,
    /// A proof of each slice, in order.
    pub slices: Vec<Bundle>,
}

impl SlicedBundle {
    /// Runs a model on `inputs` and proves all of its slices, for one request to one miner.
    ///
    /// # Errors
    /// When the inputs do not match the model, or a file of a circuit is missing or invalid.
    pub fn prove(
        model: &SlicedModel,
        circuits: &[&CircuitDirectory],
        inputs: &[i64],
        nonce: Digest,
        miner: Hotkey,
    ) -> Result<Self, CircuitError> {
        let mut slices: Vec<Bundle> = Vec::with_capacity(circuits.len());
        for (index, directory) in circuits.iter().enumerate() {
            let slice_inputs =
                slices.last().map_or(inputs, |slice| slice.outputs.as_slice()).to_vec();
            let execution = directory
                .circuit()
                .execute(&slice_inputs)
                .map_err(taonet_proof_backends::BackendError::from)?;
            let slice_outputs = execution.outputs(directory.circuit());
            let slice_nonce = model.nonce(&nonce, index, &slice_inputs, &slice_outputs)?;
            slices.push(Bundle::prove(directory, &slice_inputs, slice_nonce, miner)?);
        }
        Ok(Self { version: BUNDLE_VERSION, model: model.clone(), nonce, slices })
    }

    /// Verifies the chain of proofs with built-in backends: each proof is for the slice at its
    /// position and for this request, and adjacent proofs agree on the boundary between them.
    /// Together they prove the whole model.
    ///
    /// # Errors
    /// When a slice is missing or wrong, a boundary differs, or a proof does not verify.
    pub fn verify(&self) -> Result<(), CircuitError> {
        self.verify_with(&Backends::default())
    }

    /// Verifies like [`Self::verify`], with the given backends.
    ///
    /// # Errors
    /// When a backend or slice is missing, a boundary differs, or a proof does not verify.
    pub fn verify_with(&self, backends: &Backends) -> Result<(), CircuitError> {
        self.check_chain()?;
        self.slices.iter().try_for_each(|slice| slice.verify_with(backends))
    }

    /// Checks everything except the proofs of the slices.
    pub(crate) fn check_chain(&self) -> Result<(), CircuitError> {
        if self.slices.len() != self.model.slices.len() || self.slices.is_empty() {
            return Err(CircuitError::Bundle(
                "number of proofs differs from the model's number of slices",
            ));
        }
        let mut adjacent_slices = self.slices.iter().zip(self.slices.iter().skip(1));
        if adjacent_slices.any(|(slice, next)| slice.outputs != next.inputs) {
            return Err(CircuitError::Bundle("adjacent slices differ in their common boundary"));
        }
        for (index, (slice, circuit)) in self.slices.iter().zip(&self.model.slices).enumerate() {
            if slice.circuit_id()? != *circuit {
                return Err(CircuitError::Bundle(
                    "proof is for a circuit other than the model's slice",
                ));
            }
            if slice.nonce != self.model.nonce(&self.nonce, index, &slice.inputs, &slice.outputs)? {
                return Err(CircuitError::Bundle("nonce of a slice does not match the request"));
            }
        }
        let ends = self.slices.first().zip(self.slices.last());
        let matches_description = ends.is_some_and(|(first, last)| {
            first.circuit.input == self.model.input && last.circuit.output == self.model.output
        });
        if matches_description {
            Ok(())
        } else {
            Err(CircuitError::Bundle("model and slices differ in input or output"))
        }
    }

    /// Returns the identity of the model.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn model_id(&self) -> Result<Digest, CircuitError> {
        Ok(self.model.id()?)
    }
}

/// A proof bundle of a model: one circuit or slices.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelBundle {
    /// Bundle of a single circuit.
    Single(Box<Bundle>),
    /// Bundle of a sliced model.
    Sliced(Box<SlicedBundle>),
}

/// Not derived: with serde_json's feature `arbitrary_precision`, which a dependency enables, an
/// untagged enum cannot contain numbers.
impl<'de> Deserialize<'de> for ModelBundle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(json.get().as_bytes()).map_err(D::Error::custom)
    }
}

/// Reads a bundle file of any kind, without parsing it.
///
/// # Errors
/// When the file cannot be read or is too large.
pub fn read_bundle(path: &Path) -> Result<Vec<u8>, CircuitError> {
    read(path, MAX_BYTES)
}

impl ModelBundle {
    /// Reads and parses a bundle file.
    ///
    /// # Errors
    /// When the file cannot be read, is too large, malformed or of an unsupported version.
    pub fn open(path: &Path) -> Result<Self, CircuitError> {
        Self::from_json(&read_bundle(path)?)
    }

    /// Parses a proof bundle of a single circuit or of a sliced model.
    ///
    /// # Errors
    /// When the text is too long, malformed or of an unsupported version.
    pub fn from_json(text: &[u8]) -> Result<Self, CircuitError> {
        #[derive(Deserialize)]
        struct BundleHeader {
            version: u32,
            #[serde(default)]
            slices: Option<serde::de::IgnoredAny>,
        }
        crate::bundle::check_length(text)?;
        let text = bytes_without_bom(text);
        let malformed = |source| CircuitError::Json { document: "bundle", source };
        let header: BundleHeader = serde_json::from_slice(text).map_err(malformed)?;
        if header.slices.is_none() {
            return Ok(Self::Single(Box::new(Bundle::from_json(text)?)));
        }
        let bundle: Box<SlicedBundle> = serde_json::from_slice(text).map_err(malformed)?;
        let is_supported_version = is_supported(header.version)
            && bundle.slices.iter().all(|slice| is_supported(slice.version));
        if is_supported_version {
            Ok(Self::Sliced(bundle))
        } else {
            Err(CircuitError::Bundle("version is unsupported"))
        }
    }

    /// Verifies all proofs of the bundle with built-in backends.
    ///
    /// # Errors
    /// When an input, key or boundary does not match, or a proof does not verify.
    pub fn verify(&self) -> Result<(), CircuitError> {
        self.verify_with(&Backends::default())
    }

    /// Verifies like [`Self::verify`], with the given backends.
    ///
    /// # Errors
    /// When a backend is missing, an input, key or boundary does not match, or a proof does not
    /// verify.
    pub fn verify_with(&self, backends: &Backends) -> Result<(), CircuitError> {
        match self {
            Self::Single(bundle) => bundle.verify_with(backends),
            Self::Sliced(bundle) => bundle.verify_with(backends),
        }
    }

    /// Verifies like [`Self::verify_with`], and that the bundle is for the circuit or sliced model
    /// `expected`, whose verification keys follow from its networks.
    ///
    /// # Errors
    /// When the bundle is for another circuit, lacks a network that determines its key, or does not
    /// verify.
    pub fn verify_for(&self, expected: &Digest, backends: &Backends) -> Result<(), CircuitError> {
        let actual = self.id()?;
        if actual != *expected {
            return Err(CircuitError::IdMismatch { actual, expected: *expected });
        }
        if self.proofs().iter().any(Bundle::lacks_network) {
            return Err(CircuitError::NoNetwork);
        }
        self.verify_with(backends)
    }

    /// Returns the identity of the circuit or sliced model. To trust a bundle, verify it with
    /// [`Self::verify_for`] and an identity that you know.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn id(&self) -> Result<Digest, CircuitError> {
        match self {
            Self::Single(bundle) => bundle.circuit_id(),
            Self::Sliced(bundle) => bundle.model_id(),
        }
    }

    /// Returns the proofs: one for each slice.
    pub fn proofs(&self) -> &[Bundle] {
        match self {
            Self::Single(bundle) => std::slice::from_ref(&**bundle),
            Self::Sliced(bundle) => &bundle.slices,
        }
    }

    /// Returns the integer inputs of the whole model. To trust a bundle, compare them with the
    /// input that you sent.
    pub fn inputs(&self) -> &[i64] {
        self.proofs().first().map_or(&[], |first| &first.inputs)
    }

    /// Returns the nonce of the request for the whole model.
    pub fn nonce(&self) -> Digest {
        match self {
            Self::Single(bundle) => bundle.nonce,
            Self::Sliced(bundle) => bundle.nonce,
        }
    }
}
