use std::sync::Arc;

use taonet_proof_core::circuit::Circuit;

use super::plan::Plan;
use super::{ID, Stark, create_keys, estimate_of};
use crate::{Backend, BackendError, Capabilities, Estimate, Keys, Prover, Verifier};

/// The STARK backend with keys whose proofs hide the values between inputs and outputs. Provers and
/// verifiers of [`Stark`] take these keys, too. Inputs and outputs are public, so whoever has the
/// network can compute the hidden values: the proof protects them from everybody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct StarkHiding;

impl Backend for StarkHiding {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { zero_knowledge: true, ..Stark.capabilities() }
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        Ok(estimate_of(&Plan::hiding(circuit)?))
    }

    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        create_keys(circuit, Plan::hiding(circuit)?)
    }

    fn capabilities_of(&self, verification_key: &[u8]) -> Result<Capabilities, BackendError> {
        Stark.capabilities_of(verification_key)
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        Stark.check_key(circuit, verification_key)
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        Stark.prover(circuit, keys)
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        Stark.verifier(verification_key)
    }
}

/// The STARK backend with keys whose proofs hide the inputs, too, as [`StarkHiding`] hides the
/// values between inputs and outputs. A proof has a commitment to its inputs, which are in range.
/// Outputs are public, so whoever guesses the inputs and has the network can compare the outputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct StarkHidingInputs;

impl Backend for StarkHidingInputs {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { hides_inputs: true, ..StarkHiding.capabilities() }
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        Ok(estimate_of(&Plan::hiding_inputs(circuit)?))
    }

    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        create_keys(circuit, Plan::hiding_inputs(circuit)?)
    }

    fn capabilities_of(&self, verification_key: &[u8]) -> Result<Capabilities, BackendError> {
        Stark.capabilities_of(verification_key)
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        Stark.check_key(circuit, verification_key)
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        Stark.prover(circuit, keys)
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        Stark.verifier(verification_key)
    }
}
