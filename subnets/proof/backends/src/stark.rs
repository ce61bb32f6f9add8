//! A transparent backend on Plonky3: no setup, no secrets, and at least 100 bits of security for the largest circuit
//! under the conjecture that no attack on FRI is better than the known ones (59 bits are proven). Not zero-knowledge: a
//! proof may reveal intermediate values.
//!
//! Weights are fixed columns, and the commitment to these columns is the verification key; [`Backend::check_key`] computes
//! the key again from the network and compares. Each row of the products table multiplies a tile of values with a tile of
//! weights, so one read of a value from memory serves many multiply-adds. Sums become activations by two lookups: one
//! of the quotient with its activation, one of the remainder.
//!
//! No value wraps around the field: the backend rejects a circuit whose sums could reach half of it.

mod air;
mod config;
mod keys;
mod plan;
mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use p3_batch_stark::{StarkInstance, prove_batch, verify_batch};
use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::{Binding, Digest};

use crate::{Backend, BackendError, Capabilities, Estimate, Keys, Proven, Prover, Statement, Verifier, VerifyError};
use air::{Kind, PUBLIC_LIMBS, Table};
use config::{CURRENT, Common, Config, Prepared, Proof, SECURITY_BITS, Val};
use keys::VerificationKeyFile;
use plan::Plan;

/// The backend's name in circuit metadata.
pub const ID: &str = "stark";
/// Maximum size of a proof, in bytes: several times that of the largest permitted circuit. Decoding can take 24 bytes
/// of memory for each byte.
pub(crate) const MAX_PROOF_BYTES: usize = 4 << 20;
/// Number of bits of a digest in one public value.
const LIMB_BITS: usize = 24;

/// The transparent STARK backend. See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Stark;

impl Backend for Stark {
    fn id(&self) -> &'static str {
        ID
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { zero_knowledge: false, trusted_setup: false, security_bits: SECURITY_BITS }
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        let plan = Plan::new(circuit)?;
        Ok(Estimate { constraints: plan.log_rows.iter().map(|log| 1_u64 << log).sum() })
    }

    /// Creates the verification key; the proving key is empty, since the prover derives everything from the network.
    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        keys_of(circuit, &Plan::new(circuit)?)
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        recompute(circuit, verification_key).map(drop)
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        let (plan, config, prepared) = recompute(&circuit, &keys.verification)?;
        let key_digest = Digest::of(&keys.verification);
        Ok(Box::new(StarkProver { circuit, plan, config, prepared, key_digest }))
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        let file = VerificationKeyFile::from_bytes(verification_key)?;
        let config = VerificationKeyFile::parameters_of(verification_key)?.config();
        let common = file.common(&config)?;
        Ok(Box::new(StarkVerifier {
            tables: file.tables(),
            file,
            config,
            common,
            digest: Digest::of(verification_key),
        }))
    }
}

/// Creates the keys of a circuit with this layout.
fn keys_of(circuit: &Circuit, plan: &Plan) -> Result<Keys, BackendError> {
    let prepared = prepare(&CURRENT.config(), plan)?;
    let file = VerificationKeyFile::new(circuit, plan, &CURRENT, &prepared)?;
    Ok(Keys { proving: Vec::new(), verification: file.to_bytes()? })
}

/// Computes a circuit's verification key again, and compares it with an existing one.
fn recompute(circuit: &Circuit, key: &[u8]) -> Result<(Plan, Config, Prepared), BackendError> {
    let other = || {
        let reason = "the verification key does not match the network; hint: use the circuit of the model's owner, or \
                      compile the model again";
        BackendError::OtherCircuit(reason)
    };
    let parameters = VerificationKeyFile::parameters_of(key)?;
    let file = VerificationKeyFile::from_bytes(key)?;
    // Other versions may choose another tile.
    let plan = Plan::with_tile(circuit, file.tile())?;
    // Cheaper than the commitment, which takes most of the time.
    if file.log_rows != plan.log_rows {
        return Err(other());
    }
    let config = parameters.config();
    let prepared = prepare(&config, &plan)?;
    if VerificationKeyFile::new(circuit, &plan, parameters, &prepared)?.to_bytes()? != key {
        return Err(other());
    }
    Ok((plan, config, prepared))
}

/// Commits to the fixed columns.
fn prepare(config: &Config, plan: &Plan) -> Result<Prepared, BackendError> {
    Prepared::from_airs_and_degrees(config, &plan.tables, &plan.log_rows)
        .map_err(|error| BackendError::Internal(format!("{error:?}")))
}

/// Returns the limbs that the transcript absorbs besides commitments: those of the binding and of the outputs' digest.
fn public_limbs(binding: &Digest, outputs: &[i64]) -> Vec<Val> {
    let limbs = [*binding, Digest::of_values(outputs)].into_iter().flat_map(|digest| {
        let limbs = digest.as_bytes().chunks(LIMB_BITS / 8).map(|bytes| {
            let number = bytes.iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte));
            Val::from_u32(number)
        });
        limbs.collect::<Vec<_>>()
    });
    limbs.collect()
}

/// Returns the public values of all tables: only the first table has any.
fn public_values(tables: &[Table], binding: &Digest, outputs: &[i64]) -> Vec<Vec<Val>> {
    let limbs = public_limbs(binding, outputs);
    debug_assert_eq!(limbs.len(), PUBLIC_LIMBS);
    tables.iter().map(|table| if table.kind == Kind::Public { limbs.clone() } else { Vec::new() }).collect()
}

/// Returns the tables with the statement's public column.
fn with_public(tables: &[Table], column: &[Val]) -> Vec<Table> {
    let with_column = |table: &Table| match table.kind {
        Kind::Public => Table { public: vec![column.to_vec()], ..table.clone() },
        _ => table.clone(),
    };
    tables.iter().map(with_column).collect()
}

/// Prover of one circuit.
struct StarkProver {
    circuit: Arc<Circuit>,
    plan: Plan,
    config: Config,
    prepared: Prepared,
    key_digest: Digest,
}

impl Prover for StarkProver {
    fn prove(&self, inputs: &[i64], binding: &Binding) -> Result<Proven, BackendError> {
        if binding.verification_key != self.key_digest {
            return Err(BackendError::OtherKey { bound: binding.verification_key, actual: self.key_digest });
        }
        let (outputs, traces) = self.trace(inputs)?;
        let proof = self.prove_traces(&traces, inputs, &outputs, &binding.digest(inputs))?;
        Ok(Proven { proof, outputs })
    }

    fn witness(&self, inputs: &[i64], _: &Binding) -> Result<usize, BackendError> {
        Ok(self.trace(inputs)?.1.iter().map(|table| table.values.len()).sum())
    }
}

impl StarkProver {
    /// Runs the circuit. Returns its outputs and the value columns of all tables.
    fn trace(&self, inputs: &[i64]) -> Result<(Vec<i64>, Vec<RowMajorMatrix<Val>>), BackendError> {
        let execution = self.circuit.execute(inputs)?;
        let traces = trace::fill(&self.plan, &self.circuit, &execution)?;
        Ok((execution.outputs(&self.circuit), traces))
    }

    fn prove_traces(
        &self,
        traces: &[RowMajorMatrix<Val>],
        inputs: &[i64],
        outputs: &[i64],
        binding: &Digest,
    ) -> Result<Vec<u8>, BackendError> {
        let rows = self.plan.log_rows.first().map_or(0, |log| 1 << log);
        let tables = with_public(&self.plan.tables, &trace::public_column(inputs, outputs, rows));
        let publics = public_values(&tables, binding, outputs);
        let traces: Vec<_> = traces.iter().collect();
        let instances = StarkInstance::<Config, Table>::new_multiple(&tables, &traces, &publics);
        let internal = |error: String| BackendError::Internal(error);
        let proof =
            prove_batch(&self.config, &instances, &self.prepared).map_err(|error| internal(format!("{error:?}")))?;
        postcard::to_allocvec(&proof).map_err(|error| internal(error.to_string()))
    }
}

/// Verifies proofs of one circuit.
struct StarkVerifier {
    file: VerificationKeyFile,
    tables: Vec<Table>,
    config: Config,
    common: Common,
    digest: Digest,
}

impl StarkVerifier {
    fn check(&self, statement: &Statement) -> Result<(), VerifyError> {
        if statement.binding.verification_key != self.digest {
            return Err(VerifyError::OtherKey);
        }
        let values = [
            ("inputs", &statement.inputs, self.file.inputs as usize, self.file.input_range),
            ("outputs", &statement.outputs, self.file.outputs as usize, self.file.output_range),
        ];
        for (what, values, expected, range) in values {
            if values.len() != expected {
                return Err(VerifyError::Length { what, expected, actual: values.len() });
            }
            // Within these ranges, which are below half of the field, a field element represents exactly one integer.
            if values.iter().any(|&value| !range.contains(value)) {
                return Err(VerifyError::Range(what));
            }
        }
        Ok(())
    }

    fn read(bytes: &[u8]) -> Result<Proof, VerifyError> {
        let malformed = |reason: &str| VerifyError::Malformed(reason.to_owned());
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(malformed("too many bytes"));
        }
        let (proof, rest) = postcard::take_from_bytes::<Proof>(bytes).map_err(|error| malformed(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("trailing bytes after the proof"));
        }
        // Each proof has exactly one encoding.
        match postcard::to_allocvec(&proof) {
            Ok(encoded) if encoded == bytes => Ok(proof),
            _ => Err(malformed("not the canonical encoding")),
        }
    }
}

impl Verifier for StarkVerifier {
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
        self.check(statement)?;
        let proof = Self::read(proof)?;
        let rows = self.file.log_rows.first().map_or(0, |&log| 1_usize << log);
        let column = trace::public_column(&statement.inputs, &statement.outputs, rows);
        let tables = with_public(&self.tables, &column);
        let publics = public_values(&tables, &statement.binding.digest(&statement.inputs), &statement.outputs);
        // The library checks the shape of the proof. Should it miss a case and panic, the proof is rejected and the
        // process continues.
        let verified =
            catch_unwind(AssertUnwindSafe(|| verify_batch(&self.config, &tables, &proof, &publics, &self.common)));
        match verified {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(VerifyError::Invalid),
            Err(_) => Err(VerifyError::Malformed("invalid shape".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
