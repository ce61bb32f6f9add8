use std::sync::Arc;

use serde::{Deserialize, Serialize};
use taonet_primitives::{Hotkey, bytes_without_bom};
use taonet_proof_backends::{BackendError, Keys, Seed, Statement, backend};
use taonet_proof_core::metadata::{CircuitMetadata, NETWORK, VERIFICATION_KEY};
use taonet_proof_core::network::{self, Network};
use taonet_proof_core::{Binding, Digest};

use crate::{Backends, CircuitDirectory, CircuitError, OPENING_VERSION, Opening, check};

/// Version of the bundle format. Since version 2, `stark` bundles include the network.
pub const BUNDLE_VERSION: u32 = 2;
/// The oldest supported version of the bundle format.
const OLDEST_VERSION: u32 = 1;
/// Maximum size of a bundle, in bytes: the largest network in hexadecimal, and 64 MiB for
/// all other fields.
pub(crate) const MAX_BYTES: u64 = 2 * network::MAX_BYTES as u64 + (64 << 20);

/// A proof bundle: a proof with everything that offline verification needs. The circuit directory
/// is not required.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The version of the bundle format: [`BUNDLE_VERSION`] or older.
    pub version: u32,
    /// Metadata of the circuit: backend, ranges, scales and the hash of the verification key.
    pub circuit: CircuitMetadata,
    /// Nonce of the request.
    pub nonce: Digest,
    /// Hotkey of the miner that created the proof.
    pub miner: Hotkey,
    /// Integer inputs; none if the proof hides them.
    pub inputs: Vec<i64>,
    /// Integer outputs.
    pub outputs: Vec<i64>,
    /// The circuit's network file, in hexadecimal. Only bundles of the backend `stark` have it,
    /// whose verification key follows from the network; those of version 1 do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
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
        Ok(Self::prove_with_opening(directory, inputs, nonce, miner)?.0)
    }

    /// Proves like [`Self::prove`]. If proofs of the circuit hide the inputs, returns the opening
    /// of the proof's commitment to them, too.
    ///
    /// # Errors
    /// As [`Self::prove`].
    pub fn prove_with_opening(
        directory: &CircuitDirectory,
        inputs: &[i64],
        nonce: Digest,
        miner: Hotkey,
    ) -> Result<(Self, Option<Opening>), CircuitError> {
        let keys = directory.keys()?;
        let binding = Binding {
            nonce,
            miner,
            circuit: directory.id(),
            verification_key: Digest::of(&keys.verification),
        };
        let seed = Seed::random().map_err(BackendError::from)?;
        let proven = directory.prover()?.prove_with(inputs, &binding, &seed);
        let proven = proven.map_err(|error| directory.with_tensor_name(error))?;
        let is_hidden = check::hides_inputs(&directory.metadata().backend, &keys.verification)?;
        let public_inputs = if is_hidden { Vec::new() } else { inputs.to_vec() };
        let statement = Statement { binding, inputs: public_inputs, outputs: proven.outputs };
        let bundle = Self::new(directory, &statement, &proven.proof)?;
        let opening = bundle.input_commitment()?.map(|commitment| Opening {
            version: OPENING_VERSION,
            commitment,
            inputs: inputs.to_vec(),
            seed,
        });
        Ok((bundle, opening))
    }

    /// Creates a bundle from an existing proof.
    ///
    /// # Errors
    /// When a file of the circuit is missing, too large or modified.
    pub fn new(
        directory: &CircuitDirectory,
        statement: &Statement,
        proof: &[u8],
    ) -> Result<Self, CircuitError> {
        let circuit = directory.metadata();
        let has_network = check::follows_from_network(&circuit.backend);
        let network = has_network.then(|| directory.file(NETWORK).map(hex::encode)).transpose()?;
        Ok(Self {
            version: BUNDLE_VERSION,
            circuit: circuit.clone(),
            nonce: statement.binding.nonce,
            miner: statement.binding.miner,
            inputs: statement.inputs.clone(),
            outputs: statement.outputs.clone(),
            network,
            verification_key: hex::encode(directory.file(VERIFICATION_KEY)?),
            proof: hex::encode(proof),
        })
    }

    /// Parses a bundle.
    ///
    /// # Errors
    /// When the text is too long, malformed or of an unsupported version.
    pub fn from_json(text: &[u8]) -> Result<Self, CircuitError> {
        check_length(text)?;
        let bundle: Self = serde_json::from_slice(bytes_without_bom(text))
            .map_err(|source| CircuitError::Json { document: "bundle", source })?;
        if is_supported(bundle.version) {
            Ok(bundle)
        } else {
            Err(CircuitError::Bundle("version is unsupported"))
        }
    }

    /// Returns the identity of the bundle's circuit. To trust a bundle, verify it with
    /// [`ModelBundle::verify_for`](crate::ModelBundle::verify_for) and the identity of a circuit
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

    /// Returns whether the proof hides the values between inputs and outputs; `None` for backends
    /// that are not built in.
    ///
    /// # Errors
    /// When the verification key is malformed.
    pub fn hides_values(&self) -> Result<Option<bool>, CircuitError> {
        check::hides_values(&self.circuit.backend, &self.decoded_key()?)
    }

    /// Returns the proof's commitment to the inputs that it hides; `None` if they are public.
    ///
    /// # Errors
    /// When the verification key or the proof is malformed.
    pub fn input_commitment(&self) -> Result<Option<Digest>, CircuitError> {
        let (key, id) = (self.decoded_key()?, &self.circuit.backend);
        if !check::hides_inputs(id, &key)? {
            return Ok(None);
        }
        let backend = backend(id).ok_or_else(|| CircuitError::Backend(id.clone()))?;
        Ok(backend.verifier(&key)?.input_commitment(&self.decoded_proof()?)?)
    }

    /// Returns whether the bundle lacks the network from which its verification key should follow,
    /// as those of version 1 do. Then [`Self::verify`] cannot tell whether the key is that of the
    /// circuit's network.
    pub fn lacks_network(&self) -> bool {
        self.network.is_none() && check::follows_from_network(&self.circuit.backend)
    }

    /// Verifies with a built-in backend that the proof is valid for the bundle's circuit, request
    /// and miner.
    ///
    /// # Errors
    /// When the key or a value does not match the circuit, or the proof does not verify.
    pub fn verify(&self) -> Result<(), CircuitError> {
        self.verify_with(&Backends::default())
    }

    /// Verifies like [`Self::verify`], with the given backends.
    ///
    /// # Errors
    /// When the backend is missing, the key or a value does not match the circuit, or the proof
    /// does not verify.
    pub fn verify_with(&self, backends: &Backends) -> Result<(), CircuitError> {
        let Claim { key, statement, proof } = self.decode_claim(backends)?;
        let backend = backends.for_circuit(&statement.binding.circuit, &self.circuit.backend)?;
        backend.verifier(&key)?.verify(&statement, &proof)?;
        Ok(())
    }

    /// Verifies like [`Self::verify_with`], and that the proof hides the inputs of an opening.
    /// Takes about as long as proving.
    ///
    /// # Errors
    /// When the bundle does not verify, its inputs are public, or the opening is another proof's.
    pub fn verify_opening(
        &self,
        opening: &Opening,
        backends: &Backends,
    ) -> Result<(), CircuitError> {
        let Claim { key, statement, proof } = self.decode_claim(backends)?;
        let backend = backends.for_circuit(&statement.binding.circuit, &self.circuit.backend)?;
        let verifier = backend.verifier(&key)?;
        verifier.verify(&statement, &proof)?;
        let Some(commitment) = verifier.input_commitment(&proof)? else {
            return Err(CircuitError::Bundle("inputs are public: there is nothing to reveal"));
        };
        if opening.commitment != commitment {
            return Err(CircuitError::Opening("is that of another proof"));
        }
        let network = self.network.as_ref().ok_or(CircuitError::NoNetwork)?;
        let circuit = Network::from_bytes(&decoded_network(network)?)?.lower()?;
        let keys = Keys { proving: Vec::new(), verification: key };
        let prover = backend.prover(Arc::new(circuit), &keys)?;
        let opened_commitment =
            prover.input_commitment(&opening.inputs, &statement.binding, &opening.seed)?;
        if opened_commitment == Some(commitment) {
            Ok(())
        } else {
            Err(CircuitError::Opening("has other inputs than the proof, or another seed"))
        }
    }

    /// Decodes the bundle and checks everything except the proof.
    pub(crate) fn decode_claim(&self, backends: &Backends) -> Result<Claim, CircuitError> {
        let key = self.decoded_key()?;
        let proof = self.decoded_proof()?;
        let verification_key = Digest::of(&key);
        if verification_key != self.circuit.verification_key()? {
            return Err(CircuitError::Bundle("verification key does not match the circuit"));
        }
        self.check_values(check::hides_inputs(&self.circuit.backend, &key)?)?;
        let circuit = self.circuit_id()?;
        self.check_network(&circuit, &key, backends)?;
        let binding = Binding { nonce: self.nonce, miner: self.miner, circuit, verification_key };
        let statement =
            Statement { binding, inputs: self.inputs.clone(), outputs: self.outputs.clone() };
        Ok(Claim { key, statement, proof })
    }
}

/// Claim of a bundle, not verified yet.
pub(crate) struct Claim {
    /// Verification key, which is that of the circuit.
    pub(crate) key: Vec<u8>,
    pub(crate) statement: Statement,
    /// The proof, which is not verified yet.
    pub(crate) proof: Vec<u8>,
}

impl Bundle {
    fn decoded_key(&self) -> Result<Vec<u8>, CircuitError> {
        hex::decode(&self.verification_key)
            .map_err(|_| CircuitError::Bundle("verification key is not hexadecimal"))
    }

    fn decoded_proof(&self) -> Result<Vec<u8>, CircuitError> {
        hex::decode(&self.proof).map_err(|_| CircuitError::Bundle("proof is not hexadecimal"))
    }

    /// Checks number and range of inputs and outputs against the metadata. There are no inputs if
    /// the proof hides them.
    fn check_values(&self, hides_inputs: bool) -> Result<(), CircuitError> {
        if hides_inputs && !self.inputs.is_empty() {
            return Err(CircuitError::Bundle("proof hides its inputs, but the bundle has inputs"));
        }
        let values = [
            (
                &self.inputs,
                &self.circuit.input,
                "inputs do not match the circuit's metadata in number or range",
            ),
            (
                &self.outputs,
                &self.circuit.output,
                "outputs do not match the circuit's metadata in number or range",
            ),
        ];
        // The proof checks the number and the range of hidden inputs.
        for (values, description, reason) in values.into_iter().skip(usize::from(hides_inputs)) {
            let expected = description
                .shape
                .checked()
                .map_err(|_| CircuitError::Bundle("shapes are invalid"))?
                .elements();
            if values.len() != expected
                || values.iter().any(|&value| !description.range.contains(value))
            {
                return Err(CircuitError::Bundle(reason));
            }
        }
        Ok(())
    }

    /// Checks that the verification key follows from the network, and that the metadata describes
    /// the network. Does nothing if the bundle has no network.
    fn check_network(
        &self,
        id: &Digest,
        key: &[u8],
        backends: &Backends,
    ) -> Result<(), CircuitError> {
        let Some(network) = &self.network else { return Ok(()) };
        let contents = decoded_network(network)?;
        self.circuit.check(NETWORK, &contents)?;
        if check::is_checked(id, backends) {
            return Ok(());
        }
        let network = Network::from_bytes(&contents)?;
        let circuit = network.lower()?;
        self.circuit.check_description(&network, &circuit)?;
        check::check_key(&self.circuit, &circuit, key)?;
        // The bundle has no transcript of a trusted setup.
        if check::follows_from_network(&self.circuit.backend) {
            check::record_checked(id, backends);
        }
        Ok(())
    }
}

fn decoded_network(network: &str) -> Result<Vec<u8>, CircuitError> {
    hex::decode(network).map_err(|_| CircuitError::Bundle("network is not hexadecimal"))
}

/// Returns whether this version of the bundle format can be read.
pub(crate) fn is_supported(version: u32) -> bool {
    (OLDEST_VERSION..=BUNDLE_VERSION).contains(&version)
}

/// Rejects a bundle that is too large.
pub(crate) fn check_length(text: &[u8]) -> Result<(), CircuitError> {
    if text.len() as u64 > MAX_BYTES {
        Err(CircuitError::Bundle("file is too large"))
    } else {
        Ok(())
    }
}
