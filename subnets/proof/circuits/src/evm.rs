use taonet_proof_backends::groth16;
use taonet_proof_backends::groth16::evm::{Call, EvmVerifier};
use taonet_proof_core::metadata::{CircuitMetadata, VERIFICATION_KEY};

use crate::{Backends, CircuitDirectory, CircuitError, ModelBundle};

/// Returns the Solidity source of a contract that verifies the proofs of a circuit of the backend
/// `groth16`.
///
/// # Errors
/// When the circuit has another backend or too many public values, or its key is malformed.
pub fn solidity_contract(directory: &CircuitDirectory) -> Result<String, CircuitError> {
    check_backend(directory.metadata())?;
    Ok(EvmVerifier::new(&directory.file(VERIFICATION_KEY)?)?.contract(&directory.id())?)
}

/// Verifies a bundle and returns the call with which the contract of its circuit verifies the
/// proof.
///
/// # Errors
/// When the bundle is of another backend or of a sliced model, or does not verify.
pub fn solidity_call(bundle: &ModelBundle) -> Result<Call, CircuitError> {
    let ModelBundle::Single(bundle) = bundle else { return Err(CircuitError::SlicedBundle) };
    check_backend(&bundle.circuit)?;
    let claim = bundle.decode_claim(&Backends::default())?;
    Ok(EvmVerifier::new(&claim.key)?.call(&claim.statement, &claim.proof)?)
}

fn check_backend(metadata: &CircuitMetadata) -> Result<(), CircuitError> {
    if metadata.backend == groth16::ID {
        Ok(())
    } else {
        Err(CircuitError::NoContract(metadata.backend.clone()))
    }
}
