//! Proof systems for the circuits of `taonet-proof-core`, behind one trait.
//!
//! | Backend | Setup | Proof | Take it when |
//! |---|---|---|---|
//! | [`groth16`] | per circuit, trusted | 128 bytes, zero-knowledge | proofs must be small, the circuit changes seldom |
//! | [`stark`] | none | some 100 kB | the model changes often, or is too large for one Groth16 circuit |
//! | [`external`] | the program's own | the program's own | an operator has another proof system |
//!
//! A [`Prover`] runs the core's executor and proves exactly its values. A [`Verifier`] takes a [`Statement`]: inputs,
//! outputs and the [`Binding`] to one request and miner, and accepts a proof for that
//! statement only.
//!
//! Uses `taonet-proof-core` (circuits, executor, binding). Used by `taonet-proof-circuits`, the miner, the validator and
//! `tao proof`, through [`backend`].

pub mod error;
pub mod external;
pub mod groth16;
pub mod stark;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use error::{BackendError, VerifyError};
use taonet_proof_core::Binding;
use taonet_proof_core::circuit::Circuit;

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether a proof hides the values between input and output.
    pub zero_knowledge: bool,
    /// Whether keys need a trusted setup.
    pub trusted_setup: bool,
    /// Bits of security against forgery, by the usual assumptions.
    pub security_bits: u32,
}

/// What a circuit costs with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Constraints, or rows of the trace.
    pub constraints: u64,
}

/// Keys of one circuit.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What the prover needs besides the network.
    pub proving: Vec<u8>,
    /// All that a verifier needs.
    pub verification: Vec<u8>,
}

/// What a proof says: on these inputs the circuit has these outputs, told by one miner for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Request, miner, circuit and verification key.
    pub binding: Binding,
    /// Integer inputs.
    pub inputs: Vec<i64>,
    /// Integer outputs.
    pub outputs: Vec<i64>,
}

/// A proof and the outputs that it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The proof.
    pub proof: Vec<u8>,
    /// Integer outputs.
    pub outputs: Vec<i64>,
}

/// A proof system.
pub trait Backend: Send + Sync {
    /// The name in circuit metadata.
    fn id(&self) -> &'static str;

    /// What the backend can do.
    fn capabilities(&self) -> Capabilities;

    /// What the circuit costs.
    ///
    /// # Errors
    /// When the circuit is beyond what the backend's field or tables hold.
    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError>;

    /// Makes keys.
    ///
    /// # Errors
    /// As [`Backend::estimate`].
    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError>;

    /// Loads a proving key.
    ///
    /// # Errors
    /// When the key is malformed or belongs to another circuit.
    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError>;

    /// Loads a verification key.
    ///
    /// # Errors
    /// When the key is malformed: points off the curve or outside of the subgroup included.
    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError>;
}

/// Proves executions of one circuit.
pub trait Prover: Send + Sync {
    /// Runs the circuit and proves its outputs. CPU-bound.
    ///
    /// # Errors
    /// When the inputs do not fit the circuit, or the binding names another verification key.
    fn prove(&self, inputs: &[i64], binding: &Binding) -> Result<Proven, BackendError>;
}

/// Verifies proofs of one circuit.
pub trait Verifier: Send + Sync {
    /// Accepts a proof of this statement, and of no other.
    ///
    /// # Errors
    /// Why the proof is refused.
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError>;

    /// Verifies several proofs; where the backend can, at less than the cost of each by itself.
    fn verify_all(&self, proofs: &[(Statement, Vec<u8>)]) -> Vec<Result<(), VerifyError>> {
        proofs.iter().map(|(statement, proof)| self.verify(statement, proof)).collect()
    }
}

/// The built-in backend with this name in circuit metadata; `None` for an unknown name, which is never verified.
pub fn backend(id: &str) -> Option<Box<dyn Backend>> {
    match id {
        groth16::ID => Some(Box::new(groth16::Groth16)),
        stark::ID => Some(Box::new(stark::Stark)),
        _ => None,
    }
}
