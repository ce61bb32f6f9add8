//! Key files. Every point of a verification key is checked to lie on the curve and in the subgroup.
//! The points of a proving key are not checked: the key is large, comes from the same directory,
//! and a wrong key only yields proofs that do not verify.

use ark_bn254::Bn254;
use ark_groth16::{ProvingKey, VerifyingKey};
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _, SerializationError};
use serde::{Deserialize, Serialize};
use taonet_proof_core::{MAX_ELEMENTS, Range};

use super::circuit::{Layout, MAX_MAGNITUDE, PublicValues};
use crate::BackendError;

/// File format of keys whose outputs are public values themselves.
const PUBLIC_OUTPUTS_FORMAT: u32 = 1;
/// File format of keys with the digest of the outputs as a public value: the range of the outputs
/// follows the other fields.
const HASHED_OUTPUTS_FORMAT: u32 = 2;
/// Maximum size of a verification key, in bytes: one point for each public value.
const MAX_VERIFICATION_BYTES: usize = 1 << 24;

/// A verification key with the layout of the public values.
pub(super) struct VerificationKeyFile {
    pub(super) layout: Layout,
    pub(super) key: VerifyingKey<Bn254>,
}

#[derive(Serialize, Deserialize)]
struct EncodedKey {
    format: u32,
    inputs: u32,
    range: Range,
    hashed: bool,
    outputs: u32,
    key: Vec<u8>,
}

impl VerificationKeyFile {
    pub(super) fn new(layout: Layout, key: &VerifyingKey<Bn254>) -> Result<Self, BackendError> {
        let file = Self { layout, key: key.clone() };
        file.check()?;
        Ok(file)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BackendError> {
        let mut key = Vec::new();
        self.key
            .serialize_compressed(&mut key)
            .map_err(|error| invalid_verification_key(&error))?;
        let Layout { inputs, outputs } = self.layout;
        let encoded = EncodedKey {
            format: if outputs.hashed { HASHED_OUTPUTS_FORMAT } else { PUBLIC_OUTPUTS_FORMAT },
            inputs: inputs.count as u32,
            range: inputs.range,
            hashed: inputs.hashed,
            outputs: outputs.count as u32,
            key,
        };
        let bytes = if outputs.hashed {
            postcard::to_allocvec(&(encoded, outputs.range))
        } else {
            postcard::to_allocvec(&encoded)
        };
        bytes.map_err(|error| invalid_verification_key(&error))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BackendError> {
        if bytes.len() > MAX_VERIFICATION_BYTES {
            return Err(invalid_verification_key(&"the file is too large"));
        }
        // Other formats may have other fields.
        let (format, _) = postcard::take_from_bytes::<u32>(bytes)
            .map_err(|error| invalid_verification_key(&error))?;
        if ![PUBLIC_OUTPUTS_FORMAT, HASHED_OUTPUTS_FORMAT].contains(&format) {
            return Err(BackendError::Format { format, newest: HASHED_OUTPUTS_FORMAT });
        }
        let (encoded, remaining): (EncodedKey, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| invalid_verification_key(&error))?;
        let count = encoded.outputs as usize;
        let (outputs, remaining) = if format == HASHED_OUTPUTS_FORMAT {
            let (range, remaining) = postcard::take_from_bytes(remaining)
                .map_err(|error| invalid_verification_key(&error))?;
            (PublicValues { count, range, hashed: true }, remaining)
        } else {
            (PublicValues::unhashed(count), remaining)
        };
        if !remaining.is_empty() {
            return Err(invalid_verification_key(&"trailing bytes"));
        }
        let mut reader = encoded.key.as_slice();
        // Compressed and checked: every point lies on the curve and in the subgroup.
        let key = VerifyingKey::deserialize_compressed(&mut reader)
            .map_err(|error| invalid_verification_key(&error))?;
        if !reader.is_empty() {
            return Err(invalid_verification_key(&"trailing bytes after the key"));
        }
        let inputs = PublicValues {
            count: encoded.inputs as usize,
            range: encoded.range,
            hashed: encoded.hashed,
        };
        let file = Self { layout: Layout { inputs, outputs }, key };
        file.check()?;
        // Each key has exactly one encoding, because requests are bound to its digest.
        if file.to_bytes()? != bytes {
            return Err(invalid_verification_key(&"not the canonical encoding"));
        }
        Ok(file)
    }

    fn check(&self) -> Result<(), BackendError> {
        let Layout { inputs, outputs } = self.layout;
        let is_bounded = |values: &PublicValues, limit: u64| {
            let Range { low, high } = values.range;
            (1..=MAX_ELEMENTS).contains(&values.count)
                && low <= high
                && values.range.magnitude() <= limit
        };
        if !is_bounded(&inputs, 1 << 31) || !is_bounded(&outputs, MAX_MAGNITUDE) {
            return Err(invalid_verification_key(&"inputs or outputs are out of bounds"));
        }
        // One point each for the constant one, the binding, and every other public value.
        if self.key.gamma_abc_g1.len() != 2 + outputs.public_count() + inputs.public_count() {
            return Err(invalid_verification_key(
                &"the number of points does not fit the number of public values",
            ));
        }
        Ok(())
    }
}

fn invalid_verification_key(reason: &dyn std::fmt::Display) -> BackendError {
    BackendError::Key { key: "verification key", reason: reason.to_string() }
}

pub(super) fn proving_to_bytes(key: &ProvingKey<Bn254>) -> Result<Vec<u8>, SerializationError> {
    let mut bytes = Vec::with_capacity(key.uncompressed_size());
    key.serialize_uncompressed(&mut bytes)?;
    Ok(bytes)
}

/// Reads a proving key without checking its points, which would take longer than many proofs. The
/// hash in the metadata protects the file's integrity.
pub(super) fn proving_from_bytes(bytes: &[u8]) -> Result<ProvingKey<Bn254>, BackendError> {
    let mut reader = bytes;
    let key = ProvingKey::deserialize_uncompressed_unchecked(&mut reader)
        .map_err(|error| invalid_proving_key(error.to_string()))?;
    if reader.is_empty() {
        Ok(key)
    } else {
        Err(invalid_proving_key("trailing bytes after the key".to_owned()))
    }
}

fn invalid_proving_key(reason: String) -> BackendError {
    BackendError::Key { key: "proving key", reason }
}

/// Reads the verification key with which a proving key begins, without checking its points.
pub(super) fn verification_key_of(bytes: &[u8]) -> Result<VerifyingKey<Bn254>, BackendError> {
    VerifyingKey::deserialize_uncompressed_unchecked(bytes)
        .map_err(|error| BackendError::Key { key: "proving key", reason: error.to_string() })
}
