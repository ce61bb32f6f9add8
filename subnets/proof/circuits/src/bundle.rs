use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;
use taonet_proof_backends::Statement;
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::{Binding, Digest};

use crate::{Backends, CircuitDirectory, CircuitError};

/// Version of the bundle format.
pub const BUNDLE_VERSION: u32 = 1;
/// Maximum size of a bundle, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A proof bundle: a proof with everything that offline verification needs. Neither the network nor the circuit
/// directory is required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The version of the bundle format: [`BUNDLE_VERSION`].
    pub version: u32,
    /// Metadata of the circuit: backend, ranges, scales and the hash of the verification key.
    pub circuit: CircuitMetadata,
    /// Nonce of the request.
    pub nonce: Digest,
    /// Hotkey of the miner that created the proof.
    pub miner: Hotkey,
    /// Integer inputs.
    pub inputs: Vec<i64>,
    /// Integer outputs.
    pub outputs: Vec<i64>,
    /// Verification key, in hexadecimal.
    pub verification_key: String,
    /// Proof, in hexadecimal.
    pub proof: String,
}

impl Bundle {
    /// Runs a circuit on `inputs` and proves its outputs, for one request to one miner.
    ///
    /// # Errors
    /// When the inputs do not match the circuit, or a file of the circuit is missing or invalid.
    pub fn prove(
        directory: &CircuitDirectory,
        inputs: &[i64],
        nonce: Digest,
        miner: Hotkey,
    ) -> Result<Self, CircuitError> {
        let keys = directory.keys()?;
        let binding =
            Binding { nonce, miner, circuit: directory.id(), verification_key: Digest::of(&keys.verification) };
        let proven = directory.prover()?.prove(inputs, &binding)?;
        let statement = Statement { binding, inputs: inputs.to_vec(), outputs: proven.outputs };
        Ok(Self::new(directory.metadata(), &keys.verification, &statement, &proven.proof))
    }

    /// Creates a bundle from an existing proof.
    pub fn new(circuit: &CircuitMetadata, verification_key: &[u8], statement: &Statement, proof: &[u8]) -> Self {
        Self {
            version: BUNDLE_VERSION,
            circuit: circuit.clone(),
            nonce: statement.binding.nonce,
            miner: statement.binding.miner,
            inputs: statement.inputs.clone(),
            outputs: statement.outputs.clone(),
            verification_key: hex::encode(verification_key),
            proof: hex::encode(proof),
        }
    }

    /// Parses a bundle.
    ///
    /// # Errors
    /// When the text is too long, malformed or of an unsupported version.
    pub fn from_json(text: &[u8]) -> Result<Self, CircuitError> {
        check_length(text)?;
        let bundle: Self =
            serde_json::from_slice(text).map_err(|source| CircuitError::Json { what: "bundle", source })?;
        if bundle.version == BUNDLE_VERSION { Ok(bundle) } else { Err(CircuitError::Bundle("version is unsupported")) }
    }

    /// Returns the identity of the bundle's circuit. To trust a bundle, compare this with the identity of a circuit
    /// that you know.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn circuit_id(&self) -> Result<Digest, CircuitError> {
        Ok(self.circuit.id()?)
    }

    /// Returns the outputs as real numbers.
    pub fn real_outputs(&self) -> Vec<f64> {
        let scale = f64::from(-self.circuit.output.scale).exp2();
        self.outputs.iter().map(|&output| output as f64 * scale).collect()
    }

    /// Verifies with a built-in backend that the proof is valid for the bundle's circuit, request and miner.
    ///
    /// # Errors
    /// When the key does not match the circuit, or the proof does not verify.
    pub fn verify(&self) -> Result<(), CircuitError> {
        self.verify_with(&Backends::default())
    }

    /// Verifies like [`Self::verify`], with the given backends.
    ///
    /// # Errors
    /// When the backend is missing, the key does not match the circuit, or the proof does not verify.
    pub fn verify_with(&self, backends: &Backends) -> Result<(), CircuitError> {
        let decode = |text: &str, what| hex::decode(text).map_err(|_| CircuitError::Bundle(what));
        let key = decode(&self.verification_key, "verification key is not hexadecimal")?;
        let proof = decode(&self.proof, "proof is not hexadecimal")?;
        let verification_key = Digest::of(&key);
        if verification_key != self.circuit.verification_key()? {
            return Err(CircuitError::Bundle("verification key does not match the circuit"));
        }
        let circuit = self.circuit_id()?;
        let backend = backends.of(&circuit, &self.circuit.backend)?;
        let binding = Binding { nonce: self.nonce, miner: self.miner, circuit, verification_key };
        let statement = Statement { binding, inputs: self.inputs.clone(), outputs: self.outputs.clone() };
        backend.verifier(&key)?.verify(&statement, &proof)?;
        Ok(())
    }
}

/// Rejects a bundle that is too large.
pub(crate) fn check_length(text: &[u8]) -> Result<(), CircuitError> {
    if text.len() as u64 > MAX_BYTES { Err(CircuitError::Bundle("file is too large")) } else { Ok(()) }
}
