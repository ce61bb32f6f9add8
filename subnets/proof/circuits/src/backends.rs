use std::collections::BTreeMap;

use taonet_proof_backends::external::{External, ID};
use taonet_proof_backends::groth16::{self, Groth16HashedInputs};
use taonet_proof_backends::stark::{self, StarkHiding, StarkHidingInputs};
use taonet_proof_backends::{Backend, backend};
use taonet_proof_core::Digest;

use crate::{CircuitError, StoredChecks};

/// The proof systems available to a command: the built-in ones, and external programs. They also
/// have the stored checks of keys that the command accepts.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    /// Program for the circuits of the backend `external` without a program in their settings.
    external: Option<External>,
    /// Programs for single circuits, by identity.
    by_circuit: BTreeMap<Digest, External>,
    /// Whether new keys of `groth16` have the digest of the inputs in place of the inputs.
    hash_inputs: bool,
    /// Whether proofs for new keys of `stark` hide the values between inputs and outputs.
    hide_values: bool,
    /// Whether proofs for new keys of `stark` hide the inputs, too.
    hide_inputs: bool,
    /// Keys that earlier processes compared with their networks.
    stored_checks: Option<StoredChecks>,
}

impl Backends {
    /// Creates the built-in backends, and an external program for circuits of the backend
    /// `external`.
    pub fn with_external(program: External) -> Self {
        Self { external: Some(program), ..Self::default() }
    }

    /// Adds an external program for one circuit, which takes precedence over
    /// [`Backends::with_external`].
    #[must_use]
    pub fn with_program_of(mut self, circuit: Digest, program: External) -> Self {
        self.by_circuit.insert(circuit, program);
        self
    }

    /// Makes new keys of `groth16` have only the digest of the inputs as a public value, not the
    /// inputs.
    #[must_use]
    pub fn with_hashed_inputs(mut self) -> Self {
        self.hash_inputs = true;
        self
    }

    /// Makes proofs for new keys of `stark` hide the values between inputs and outputs.
    #[must_use]
    pub fn with_hidden_values(mut self) -> Self {
        self.hide_values = true;
        self
    }

    /// Makes proofs for new keys of `stark` hide the inputs, and the values between them and the
    /// outputs.
    #[must_use]
    pub fn with_hidden_inputs(mut self) -> Self {
        self.hide_inputs = true;
        self
    }

    /// Returns whether proofs for new keys of a backend hide the inputs.
    pub(crate) fn hides_inputs(&self, id: &str) -> bool {
        self.hide_inputs && id == stark::ID
    }

    /// Accepts the stored checks of earlier processes: the key of a circuit that they compared with
    /// its network is not compared again. By default, each process compares keys itself.
    #[must_use]
    pub fn with_stored_checks(mut self, checks: StoredChecks) -> Self {
        self.stored_checks = Some(checks);
        self
    }

    /// Returns the checks of earlier processes; `None` if they are not accepted.
    pub(crate) fn stored_checks(&self) -> Option<&StoredChecks> {
        self.stored_checks.as_ref()
    }

    /// Returns the backend that has the name `id` in circuit metadata.
    ///
    /// # Errors
    /// When the name is unknown, or the backend is external and has no program.
    pub fn get(&self, id: &str) -> Result<Box<dyn Backend>, CircuitError> {
        if self.hash_inputs && id == groth16::ID {
            return Ok(Box::new(Groth16HashedInputs));
        }
        if self.hides_inputs(id) {
            return Ok(Box::new(StarkHidingInputs));
        }
        if self.hide_values && id == stark::ID {
            return Ok(Box::new(StarkHiding));
        }
        if id != ID {
            return backend(id).ok_or_else(|| CircuitError::Backend(id.to_owned()));
        }
        match &self.external {
            Some(program) => Ok(Box::new(program.clone())),
            None => Err(CircuitError::NoProgram),
        }
    }

    /// Returns the backend of a circuit whose metadata names the backend `id`.
    ///
    /// # Errors
    /// When the name is unknown, or the backend is external and the circuit has no program.
    pub fn for_circuit(
        &self,
        circuit: &Digest,
        id: &str,
    ) -> Result<Box<dyn Backend>, CircuitError> {
        match self.by_circuit.get(circuit).filter(|_| id == ID) {
            Some(program) => Ok(Box::new(program.clone())),
            None => self.get(id),
        }
    }
}
