//! Key files. Every point of a verification key is checked to lie on the curve and in the subgroup. Proving keys are
//! large and come from the same directory, and a wrong one only makes proofs that do not verify.

use ark_bn254::Bn254;
use ark_groth16::{ProvingKey, VerifyingKey};
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _, SerializationError};
use serde::{Deserialize, Serialize};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::{MAX_ELEMENTS, Range};

use super::circuit::PublicInputs;
use crate::BackendError;

/// The version of the file format.
const FORMAT: u32 = 1;
/// Maximum size of a verification key, in bytes: one point for each public value.
const MAX_VERIFICATION_BYTES: usize = 1 << 24;

/// A verification key with the layout of the public values.
pub(super) struct VerificationKeyFile {
    pub(super) public: PublicInputs,
    pub(super) outputs: usize,
    pub(super) key: VerifyingKey<Bn254>,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    format: u32,
    inputs: u32,
    range: Range,
    hashed: bool,
    outputs: u32,
    key: Vec<u8>,
}

impl VerificationKeyFile {
    pub(super) fn new(circuit: &Circuit, most_public: usize, key: &VerifyingKey<Bn254>) -> Result<Self, BackendError> {
        let file =
            Self { public: PublicInputs::of(circuit, most_public), outputs: circuit.outputs.len(), key: key.clone() };
        file.check()?;
        Ok(file)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackendError> {
        let mut key = Vec::new();
        self.key.serialize_compressed(&mut key).map_err(|error| refuse(&error))?;
        let encoded = Encoded {
            format: FORMAT,
            inputs: self.public.count as u32,
            range: self.public.range,
            hashed: self.public.hashed,
            outputs: self.outputs as u32,
            key,
        };
        postcard::to_allocvec(&encoded).map_err(|error| refuse(&error))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BackendError> {
        if bytes.len() > MAX_VERIFICATION_BYTES {
            return Err(refuse(&"the file is too large"));
        }
        let (encoded, rest): (Encoded, &[u8]) = postcard::take_from_bytes(bytes).map_err(|error| refuse(&error))?;
        if encoded.format != FORMAT || !rest.is_empty() {
            return Err(refuse(&"unsupported format"));
        }
        let mut reader = encoded.key.as_slice();
        // Compressed and checked: every point lies on the curve and in the subgroup.
        let key = VerifyingKey::deserialize_compressed(&mut reader).map_err(|error| refuse(&error))?;
        if !reader.is_empty() {
            return Err(refuse(&"trailing bytes after the key"));
        }
        let public = PublicInputs { count: encoded.inputs as usize, range: encoded.range, hashed: encoded.hashed };
        let file = Self { public, outputs: encoded.outputs as usize, key };
        file.check()?;
        // Each key has exactly one encoding, because requests are bound to its digest.
        if file.to_bytes()? != bytes {
            return Err(refuse(&"not the canonical encoding"));
        }
        Ok(file)
    }

    fn check(&self) -> Result<(), BackendError> {
        let PublicInputs { count, range, hashed } = self.public;
        let values = if hashed { 1 } else { count };
        let bounded = (1..=MAX_ELEMENTS).contains(&count) && (1..=MAX_ELEMENTS).contains(&self.outputs);
        if !bounded || range.low > range.high || range.magnitude() > 1 << 31 {
            return Err(refuse(&"inputs or outputs are out of bounds"));
        }
        // One point for the constant one, the binding, and each other public value.
        if self.key.gamma_abc_g1.len() != 2 + self.outputs + values {
            return Err(refuse(&"the number of points does not fit the number of public values"));
        }
        Ok(())
    }
}

fn refuse(reason: &dyn std::fmt::Display) -> BackendError {
    BackendError::Key { key: "verification key", reason: reason.to_string() }
}

pub(super) fn proving_to_bytes(key: &ProvingKey<Bn254>) -> Result<Vec<u8>, SerializationError> {
    let mut bytes = Vec::with_capacity(key.uncompressed_size());
    key.serialize_uncompressed(&mut bytes)?;
    Ok(bytes)
}

/// Reads a proving key without checking its points, which would take longer than many proofs. The hash in the metadata
/// protects the file's integrity.
pub(super) fn proving_from_bytes(bytes: &[u8]) -> Result<ProvingKey<Bn254>, BackendError> {
    let mut reader = bytes;
    let refuse = |reason: String| BackendError::Key { key: "proving key", reason };
    let key = ProvingKey::deserialize_uncompressed_unchecked(&mut reader).map_err(|error| refuse(error.to_string()))?;
    if reader.is_empty() { Ok(key) } else { Err(refuse("trailing bytes after the key".to_owned())) }
}
