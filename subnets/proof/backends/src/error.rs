//! Errors of provers, key files and verifiers.

use taonet_proof_core::{Digest, ExecutionError, MemoryError};
use thiserror::Error;

/// Why a setup, a key file or a prover failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A value of the circuit could exceed the field's range.
    #[error(
        "a sum of the circuit can reach {magnitude}, above the field limit {limit}; hint: use a smaller scale"
    )]
    Magnitude {
        /// The largest magnitude of a sum.
        magnitude: u64,
        /// The largest magnitude that the backend proves.
        limit: u64,
    },
    /// The circuit exceeds a limit of the backend.
    #[error("{quantity}: {actual} exceeds the backend's limit of {limit}")]
    Size {
        /// Quantity that is too large.
        quantity: &'static str,
        /// Size in the circuit.
        actual: u64,
        /// Maximum size for the backend.
        limit: u64,
    },
    /// The backend has no constraints for a kind of layer.
    #[error(
        "{backend} does not support {feature} (layer {layer}); hint: compile the model with --backend stark"
    )]
    Unsupported {
        /// Name of the backend.
        backend: &'static str,
        /// Kind of the layer.
        feature: &'static str,
        /// Index of the layer.
        layer: usize,
    },
    /// The circuit's tables or constraints take more memory than its network justifies.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The circuit has too many public values for a contract.
    #[error(
        "a contract of {values} public values exceeds the size that Ethereum permits (at most {limit} values); hint: compile \
         the model with --hash-inputs, or with fewer outputs"
    )]
    Contract {
        /// Number of public values.
        values: usize,
        /// Maximum number of public values.
        limit: usize,
    },
    /// A key is malformed.
    #[error("malformed {key}: {reason}")]
    Key {
        /// Name of the key.
        key: &'static str,
        /// Why the key is malformed.
        reason: String,
    },
    /// The verification key has the format of another version of this program.
    #[error(
        "the verification key has format {format}, which this version does not support (the newest is {newest}); hint: \
         compile the model again with this version, or use the version that compiled it"
    )]
    Format {
        /// Format of the key.
        format: u32,
        /// The newest supported format.
        newest: u32,
    },
    /// The keys are for a different circuit.
    #[error("the keys are for a different circuit: {0}")]
    OtherCircuit(&'static str),
    /// The binding names a different verification key.
    #[error("the request is bound to verification key {bound}, but the circuit has {actual}")]
    OtherKey {
        /// Digest of the key in the binding.
        bound: Digest,
        /// Digest of the prover's key.
        actual: Digest,
    },
    /// A value of an execution is so far beyond the sample of the model that the verification key
    /// has no entry for it.
    #[error(
        "a value of layer {layer} is {value} units, which is too far beyond the sample to be proven; hint: compile the \
         model with a sample that has inputs like this one"
    )]
    Unprovable {
        /// Index of the layer.
        layer: usize,
        /// The value before it saturates.
        value: i64,
    },
    /// The inputs do not fit the circuit.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The operating system provided no random bytes.
    #[error("cannot generate random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The proof system failed: a defect of this program, not of the input.
    #[error("the proof system failed: {0}")]
    Internal(String),
    /// An external program failed.
    #[error("external backend: {0}")]
    External(String),
}

/// Why a proof is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The proof is malformed: truncated, too long, or with points off the curve.
    #[error("malformed proof: {0}")]
    Malformed(String),
    /// The number of inputs or outputs differs from the circuit's.
    #[error("{actual} {quantity}, expected {expected}")]
    Length {
        /// `inputs` or `outputs`.
        quantity: &'static str,
        /// Expected number, from the circuit.
        expected: usize,
        /// Actual number, in the statement.
        actual: usize,
    },
    /// An input or output is outside of the circuit's range.
    #[error("a value of the {0} is out of range")]
    Range(&'static str),
    /// The binding names a different verification key.
    #[error("the statement is bound to a different verification key")]
    OtherKey,
    /// The proof is well-formed, but does not prove this statement.
    #[error("the proof does not verify")]
    Invalid,
    /// The verifier itself failed; the proof may be valid.
    #[error("the verifier failed: {0}")]
    Verifier(String),
}

impl VerifyError {
    /// Returns whether the verifier itself failed, so that the proof may be valid.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Verifier(_))
    }
}
