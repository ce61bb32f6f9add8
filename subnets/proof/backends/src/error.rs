//! Why keys are not made or read, and why proofs are refused.

use taonet_proof_core::{Digest, ExecutionError};
use thiserror::Error;

/// Why a backend does not make or read keys, or does not prove.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A value of the circuit could leave the field's range.
    #[error("a sum of the circuit can reach {magnitude}, the field holds {limit}; hint: choose a smaller scale")]
    Magnitude {
        /// The largest magnitude.
        magnitude: u64,
        /// The largest magnitude that the backend proves.
        limit: u64,
    },
    /// The circuit has more parts than the backend proves.
    #[error("{what}: {actual} is beyond the backend's limit of {limit}")]
    Size {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        actual: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A key's bytes are not one.
    #[error("malformed {key}: {reason}")]
    Key {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The keys belong to another circuit.
    #[error("the keys belong to another circuit: {0}")]
    OtherCircuit(&'static str),
    /// The binding names another verification key.
    #[error("the request is bound to verification key {bound}, this one is {actual}")]
    OtherKey {
        /// The key that the binding names.
        bound: Digest,
        /// The prover's.
        actual: Digest,
    },
    /// The inputs do not fit.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// The operating system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The proof system refuses: a defect of this program, never of the input.
    #[error("the proof system failed: {0}")]
    Internal(String),
    /// An external program failed.
    #[error("external backend: {0}")]
    External(String),
}

/// Why a proof is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The proof's bytes are not one: truncated, too long, or points off the curve.
    #[error("malformed proof: {0}")]
    Malformed(String),
    /// The statement has another number of inputs or outputs than the circuit.
    #[error("{actual} {what}, expected {expected}")]
    Length {
        /// `inputs` or `outputs`.
        what: &'static str,
        /// Number in the circuit.
        expected: usize,
        /// Number in the statement.
        actual: usize,
    },
    /// An input or output is outside of the circuit's range.
    #[error("a value of the {0} is out of range")]
    Range(&'static str),
    /// The binding names another verification key.
    #[error("the statement is bound to another verification key")]
    OtherKey,
    /// The proof is well-formed, but not one of this statement.
    #[error("the proof does not verify")]
    Invalid,
    /// The verifier itself failed; says nothing about the proof.
    #[error("the verifier failed: {0}")]
    Verifier(String),
}

impl VerifyError {
    /// Whether the fault lies with the verifier, not with who sent the proof.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Verifier(_))
    }
}
