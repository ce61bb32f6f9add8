//! Proof systems for the circuits of `taonet-proof-core`, behind one trait.
//!
//! | Backend | Setup | Proof | Use it when |
//! |---|---|---|---|
//! | [`groth16`] | per circuit, trusted | 128 bytes, zero-knowledge | proofs must be small and the circuit is stable |
//! | [`stark`] | none | about 210 to 400 kB, zero-knowledge as an option | the model changes often or is too large for one Groth16 circuit |
//! | [`external`] | the program's own | the program's own | an operator has another proof system |
//!
//! A [`Backend`] creates [`Keys`] for a circuit. A [`Prover`] runs the core's executor and proves
//! exactly its values. A [`Verifier`] takes a [`Statement`] (inputs, outputs and the [`Binding`] to
//! one request and miner) and accepts a proof for that statement only.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use taonet_proof_backends::{Statement, backend};
//! use taonet_proof_core::{Binding, Digest, circuit::Circuit};
//!
//! # fn example(circuit: Arc<Circuit>, binding: Binding) -> Result<(), Box<dyn std::error::Error>> {
//! let system = backend("stark").ok_or("unknown backend")?;
//! let keys = system.setup(&circuit)?;
//! assert_eq!(binding.verification_key, Digest::of(&keys.verification));
//! let inputs = vec![0; circuit.inputs];
//! let proven = system.prover(circuit, &keys)?.prove(&inputs, &binding)?;
//! let statement = Statement { binding, inputs, outputs: proven.outputs };
//! system.verifier(&keys.verification)?.verify(&statement, &proven.proof)?;
//! # Ok(())
//! # }
//! ```
//!
//! - **Contracts**: [`groth16::evm`] exports the verification of a circuit to blockchains.
//! - **Errors**: [`VerifyError::is_local`] distinguishes a failed verifier from a rejected proof,
//!   so that a failure of the validator does not count against a miner. Malformed keys and proofs
//!   are errors.
//! - **Limits**: a built-in backend refuses a circuit whose sums could leave its field
//!   ([`BackendError::Magnitude`]), because its proofs would hold modulo the field only.
//! - **Security** is stated by [`Capabilities`]: about 100 bits for both built-in backends, for
//!   `stark` under a common conjecture on FRI. A STARK proof may reveal intermediate values, unless
//!   its key is one of [`stark::StarkHiding`]. With one of [`stark::StarkHidingInputs`], inputs are
//!   hidden, too; whoever has the [`Seed`] of a proof can open its commitment to them.
//!
//! Proving is CPU-bound and blocks; callers run it on a separate thread. The crate reads no files
//! and stores no keys, which `taonet-proof-circuits` does.
//!
//! Uses `taonet-proof-core` (circuits, executor, binding), `taonet-proof-onnx` and
//! `taonet-primitives`. Used by `taonet-proof-circuits`, `taonet-proof-miner`,
//! `taonet-proof-validator` and `tao proof`.

pub mod error;
pub mod external;
pub mod groth16;
mod seed;
pub mod stark;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub use error::{BackendError, VerifyError};
pub use seed::Seed;
use taonet_proof_core::circuit::{Circuit, Execution};
use taonet_proof_core::{Binding, Digest};

/// Capabilities of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether a proof hides the values between input and output.
    pub zero_knowledge: bool,
    /// Whether a proof hides the inputs, too: statements have none, and the proof has a commitment
    /// to them.
    pub hides_inputs: bool,
    /// Whether keys need a trusted setup.
    pub trusted_setup: bool,
    /// Bits of security against forgery, under the usual assumptions.
    pub security_bits: u32,
}

impl Capabilities {
    /// Capabilities assumed for an unknown proof system.
    pub const UNKNOWN: Self =
        Self { zero_knowledge: false, hides_inputs: false, trusted_setup: true, security_bits: 0 };
}

/// Cost of a circuit with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Number of constraints, or of rows of the trace.
    pub constraints: u64,
}

/// Proving and verification key of one circuit.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Proving key: data that the prover needs in addition to the network.
    pub proving: Vec<u8>,
    /// Verification key: all data that a verifier needs.
    pub verification: Vec<u8>,
}

/// The statement that a proof proves: the circuit's outputs on some inputs, bound to one miner and
/// one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Binding to request, miner, circuit and verification key.
    pub binding: Binding,
    /// Integer inputs; none if the proof hides them. Then it proves the outputs on some inputs in
    /// range, those of its [commitment](Verifier::input_commitment).
    pub inputs: Vec<i64>,
    /// Integer outputs.
    pub outputs: Vec<i64>,
}

/// A proof and the outputs that it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofWithOutputs {
    /// Bytes of the proof.
    pub proof: Vec<u8>,
    /// Integer outputs.
    pub outputs: Vec<i64>,
}

/// A proof system, which creates keys and loads provers and verifiers.
pub trait Backend: Send + Sync {
    /// Returns the backend's name in circuit metadata.
    fn id(&self) -> &'static str;

    /// Returns the backend's capabilities.
    fn capabilities(&self) -> Capabilities;

    /// Returns the capabilities of proofs for a verification key, which can differ from those for
    /// the backend's new keys.
    ///
    /// # Errors
    /// When the key is malformed.
    fn capabilities_of(&self, _verification_key: &[u8]) -> Result<Capabilities, BackendError> {
        Ok(self.capabilities())
    }

    /// Estimates the cost of a circuit.
    ///
    /// # Errors
    /// When the circuit exceeds the backend's field or limits.
    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError>;

    /// Creates the keys of a circuit.
    ///
    /// # Errors
    /// When the circuit exceeds the backend's limits, or the setup fails.
    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError>;

    /// Checks that a verification key belongs to the circuit, as far as the key follows from the
    /// circuit: `stark` computes the key again, `groth16` compares the number and range of inputs
    /// and outputs, `external` compares nothing.
    ///
    /// # Errors
    /// When the key is malformed or for a different circuit.
    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError>;

    /// Loads a proving key.
    ///
    /// # Errors
    /// When the key is malformed or for a different circuit.
    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError>;

    /// Loads a verification key.
    ///
    /// # Errors
    /// When the key is malformed, including points off the curve or outside of the subgroup.
    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError>;
}

/// A prover of executions of one circuit.
pub trait Prover: Send + Sync {
    /// Runs the circuit and proves its outputs. CPU-bound.
    ///
    /// # Errors
    /// When the inputs do not fit the circuit, or the binding names a different verification key.
    fn prove(&self, inputs: &[i64], binding: &Binding) -> Result<ProofWithOutputs, BackendError>;

    /// Proves like [`Self::prove`]. If proofs hide their inputs, the commitment to them follows
    /// from the inputs, the binding and the seed, with which it can be
    /// [opened](Self::input_commitment). A seed must not be used for two proofs: together, they
    /// could disclose the inputs.
    ///
    /// # Errors
    /// As [`Self::prove`].
    fn prove_with(
        &self,
        inputs: &[i64],
        binding: &Binding,
        _seed: &Seed,
    ) -> Result<ProofWithOutputs, BackendError> {
        self.prove(inputs, binding)
    }

    /// Computes the commitment of the proof that [`Self::prove_with`] makes, without proving;
    /// `None` if proofs do not hide their inputs. A verified proof with this commitment is one of
    /// these inputs. CPU-bound.
    ///
    /// # Errors
    /// As [`Self::prove`].
    fn input_commitment(
        &self,
        _inputs: &[i64],
        _binding: &Binding,
        _seed: &Seed,
    ) -> Result<Option<Digest>, BackendError> {
        Ok(None)
    }

    /// Computes the witness that [`Self::prove`] proves, without proving it: runs the circuit and
    /// converts its values to the backend's form. Returns the number of values. Benchmarks compare
    /// the time of this step with that of a proof.
    ///
    /// # Errors
    /// When the inputs do not fit the circuit.
    fn witness(&self, inputs: &[i64], binding: &Binding) -> Result<usize, BackendError>;
}

/// A verifier of proofs of one circuit.
pub trait Verifier: Send + Sync {
    /// Verifies a proof of exactly this statement.
    ///
    /// # Errors
    /// [`VerifyError`] when the proof is rejected, or the verifier itself fails.
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError>;

    /// Checks that the values of an execution can be proven with the key. `circuit` is that of the
    /// key.
    ///
    /// # Errors
    /// [`BackendError::Unprovable`] when the key has no entry for a value.
    fn check_execution(
        &self,
        _circuit: &Circuit,
        _execution: &Execution,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    /// Returns the commitment of a proof to the inputs that it hides, without verifying the proof;
    /// `None` if proofs do not hide their inputs. Whoever has the inputs and the seed can open it:
    /// see [`Prover::input_commitment`].
    ///
    /// # Errors
    /// When the proof is malformed.
    fn input_commitment(&self, _proof: &[u8]) -> Result<Option<Digest>, VerifyError> {
        Ok(None)
    }

    /// Returns the maximum number of proofs that are verified faster together than one by one.
    fn max_batch_size(&self) -> usize {
        1
    }

    /// Verifies several proofs, in a batch if the backend supports that.
    fn verify_all(&self, proofs: &[(Statement, Vec<u8>)]) -> Vec<Result<(), VerifyError>> {
        proofs.iter().map(|(statement, proof)| self.verify(statement, proof)).collect()
    }
}

/// Returns the built-in backend with this name in circuit metadata; `None` for an unknown name.
/// Proofs of unknown backends are never accepted.
pub fn backend(id: &str) -> Option<Box<dyn Backend>> {
    match id {
        groth16::ID => Some(Box::new(groth16::Groth16)),
        stark::ID => Some(Box::new(stark::Stark)),
        _ => None,
    }
}
