//! Groth16 on BN254: proofs of 128 bytes that hide everything between input and output, with keys
//! from a setup for each circuit.
//!
//! Anyone can re-randomise a proof, but the result is valid for the same statement only: its public
//! values contain the digest of request nonce, miner, circuit, verification key and inputs, so a
//! copy verifies for the same request to the same miner only.
//!
//! **The setup is trusted.** Anyone who knows all random numbers of a setup can forge proofs.
//! [`ceremony`] lets several people contribute, and explains what each contribution protects.

pub mod ceremony;
mod circuit;
pub mod evm;
mod gadgets;
mod keys;
mod poseidon;
mod r1cs;
mod verifier;

use std::sync::Arc;

use ark_bn254::{Bn254, Fr};
use ark_ff::UniformRand as _;
use ark_groth16::ProvingKey;
use ark_groth16::r1cs_to_qap::LibsnarkReduction;
use ark_relations::gr1cs::Matrix;
use ark_serialize::CanonicalSerialize as _;
use ark_std::rand::SeedableRng as _;
use ark_std::rand::rngs::StdRng;
use taonet_proof_core::circuit::{Circuit, Execution};
use taonet_proof_core::{Binding, Digest};

use crate::{
    Backend, BackendError, Capabilities, Estimate, Keys, ProofWithOutputs, Prover, Verifier,
};
use circuit::{Layout, MAX_PUBLIC_VALUES};
use keys::VerificationKeyFile;

/// The backend's name in circuit metadata.
pub const ID: &str = "groth16";
/// Size of a proof in bytes.
pub const PROOF_BYTES: usize = 128;

/// The proving key and the verification key come from different setups.
const PROVING_KEY_MISMATCH: BackendError =
    BackendError::OtherCircuit("the proving key does not match the verification key");

type Scheme = ark_groth16::Groth16<Bn254, LibsnarkReduction>;

/// The Groth16 backend. See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Groth16;

/// The Groth16 backend with keys of which only the digest of the inputs is a public value, however
/// few inputs there are. Provers and verifiers of [`Groth16`] take these keys, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groth16HashedInputs;

impl Backend for Groth16 {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        // Estimated security of BN254 against discrete logarithms in its target group, according to
        // the literature since 2016.
        Capabilities {
            zero_knowledge: true,
            hides_inputs: false,
            trusted_setup: true,
            security_bits: 100,
        }
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        let cs = circuit::constrain(circuit, &Layout::of(circuit, MAX_PUBLIC_VALUES))?;
        Ok(Estimate { constraints: cs.constraint_count() as u64 })
    }

    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        setup(circuit, Layout::of(circuit, MAX_PUBLIC_VALUES))
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        check_layout(&VerificationKeyFile::from_bytes(verification_key)?.layout, circuit)
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        Ok(Box::new(Groth16Prover::new(circuit, keys)?))
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        Ok(Box::new(verifier::Groth16Verifier::new(verification_key)?))
    }
}

impl Groth16HashedInputs {
    fn layout(circuit: &Circuit) -> Layout {
        let mut layout = Layout::of(circuit, MAX_PUBLIC_VALUES);
        layout.inputs.hashed = true;
        layout
    }
}

impl Backend for Groth16HashedInputs {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        Groth16.capabilities()
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        let cs = circuit::constrain(circuit, &Self::layout(circuit))?;
        Ok(Estimate { constraints: cs.constraint_count() as u64 })
    }

    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        setup(circuit, Self::layout(circuit))
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        Groth16.check_key(circuit, verification_key)
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        Groth16.prover(circuit, keys)
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        Groth16.verifier(verification_key)
    }
}

/// Checks that a verification key belongs to its proving key. Both depend on the random numbers of
/// the setup, so neither can be computed again from the circuit.
///
/// # Errors
/// When a key is malformed or they differ.
pub fn check_proving_key(keys: &Keys) -> Result<(), BackendError> {
    let verification = VerificationKeyFile::from_bytes(&keys.verification)?.key;
    if keys::verification_key_of(&keys.proving)? == verification {
        Ok(())
    } else {
        Err(PROVING_KEY_MISMATCH)
    }
}

/// Checks that a key's inputs and outputs are the circuit's.
fn check_layout(layout: &Layout, circuit: &Circuit) -> Result<(), BackendError> {
    if layout.fits(circuit) {
        return Ok(());
    }
    Err(BackendError::OtherCircuit("the inputs or outputs in the verification key differ"))
}

/// Returns a random generator seeded by the operating system.
fn os_rng() -> Result<StdRng, BackendError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(StdRng::from_seed(seed))
}

fn internal_error(error: impl std::fmt::Display) -> BackendError {
    BackendError::Internal(error.to_string())
}

fn setup(circuit: &Circuit, layout: Layout) -> Result<Keys, BackendError> {
    let cs = circuit::constrain(circuit, &layout)?;
    let key = Scheme::generate_random_parameters_with_reduction(&cs, &mut os_rng()?)
        .map_err(internal_error)?;
    let verification = VerificationKeyFile::new(layout, &key.vk)
        .map_err(internal_error)?
        .to_bytes()
        .map_err(internal_error)?;
    Ok(Keys { proving: keys::proving_to_bytes(&key).map_err(internal_error)?, verification })
}

/// Prover of one circuit.
struct Groth16Prover {
    circuit: Arc<Circuit>,
    layout: Layout,
    key: ProvingKey<Bn254>,
    key_digest: Digest,
    matrices: [Matrix<Fr>; 3],
    instance_variables: usize,
}

impl Groth16Prover {
    fn new(circuit: Arc<Circuit>, keys: &Keys) -> Result<Self, BackendError> {
        let file = VerificationKeyFile::from_bytes(&keys.verification)?;
        let layout = file.layout;
        check_layout(&layout, &circuit)?;
        let cs = circuit::constrain(&circuit, &layout)?;
        let key = keys::proving_from_bytes(&keys.proving)?;
        let fits_circuit = key.a_query.len() == cs.variables
            && key.vk.gamma_abc_g1.len() == cs.instance_variables
            && key.l_query.len() == cs.variables - cs.instance_variables;
        if !fits_circuit {
            return Err(BackendError::OtherCircuit(
                "the number of variables in the proving key differs",
            ));
        }
        if file.key != key.vk {
            return Err(PROVING_KEY_MISMATCH);
        }
        let key_digest = Digest::of(&keys.verification);
        Ok(Self {
            layout,
            key,
            key_digest,
            matrices: cs.matrices(),
            instance_variables: cs.instance_variables,
            circuit,
        })
    }

    /// Runs the circuit and assigns all variables.
    fn assign(
        &self,
        inputs: &[i64],
        binding: &Binding,
    ) -> Result<(Execution, Vec<Fr>), BackendError> {
        let execution = self.circuit.execute(inputs)?;
        let digest = binding.digest(inputs);
        let assignment = circuit::assign(&self.circuit, &self.layout, &digest, inputs, &execution);
        Ok((execution, assignment))
    }

    fn prove_assignment(&self, assignment: &[Fr]) -> Result<Vec<u8>, BackendError> {
        let mut rng = os_rng()?;
        let (r, s) = (Fr::rand(&mut rng), Fr::rand(&mut rng));
        let constraints = self.matrices[0].len();
        let proof = Scheme::create_proof_with_reduction_and_matrices(
            &self.key,
            r,
            s,
            &self.matrices,
            self.instance_variables,
            constraints,
            assignment,
        );
        let mut bytes = Vec::with_capacity(PROOF_BYTES);
        proof.map_err(internal_error)?.serialize_compressed(&mut bytes).map_err(internal_error)?;
        Ok(bytes)
    }
}

impl Prover for Groth16Prover {
    fn prove(&self, inputs: &[i64], binding: &Binding) -> Result<ProofWithOutputs, BackendError> {
        if binding.verification_key != self.key_digest {
            return Err(BackendError::OtherKey {
                bound: binding.verification_key,
                actual: self.key_digest,
            });
        }
        let (execution, assignment) = self.assign(inputs, binding)?;
        let proof = self.prove_assignment(&assignment)?;
        Ok(ProofWithOutputs { proof, outputs: execution.outputs(&self.circuit) })
    }

    fn witness(&self, inputs: &[i64], binding: &Binding) -> Result<usize, BackendError> {
        Ok(self.assign(inputs, binding)?.1.len())
    }
}

#[cfg(test)]
mod tests;
