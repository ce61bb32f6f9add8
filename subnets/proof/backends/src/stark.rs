//! A transparent backend on Plonky3: no setup, no secrets, and at least 100 bits of security for
//! the largest circuit under the conjecture that no attack on FRI is better than the known ones (59
//! bits are proven). A proof for a key of [`Stark`] may reveal intermediate values, one for a key
//! of [`StarkHiding`] reveals nothing about them.
//!
//! Weights are fixed columns, and the commitment to these columns is the verification key;
//! [`Backend::check_key`] computes the key again from the network and compares. Each row of the
//! products table multiplies a tile of values with a tile of weights, so one read of a value from
//! memory serves many multiply-adds. Sums become activations by two lookups: one of the quotient
//! with its activation, one of the remainder.
//!
//! A convolution, or a sum of tensors, costs as much as its operands and results, not as its
//! multiply-adds: it is a product of polynomials, which is checked at a random point that is drawn
//! after the prover committed to operands and results.
//!
//! No value wraps around the field: the backend rejects a circuit whose sums could reach half of
//! it.
//!
//! # Products of polynomials
//!
//! A product of an m×k by a k×n matrix has m·k·n multiply-adds, but m·k + k·n + m·n operands and
//! results. A convolution with padding, strides and groups is a product of polynomials: the cells
//! of a channel are the coefficients of one, row by row, with so many zeros between rows that
//! windows do not reach into the next row. A stride of s makes s² channels of one. Elements that no
//! window covers read as zero, and outputs that the convolution does not have are free. The prover
//! commits to all coefficients, draws x and y, and evaluates every polynomial once, by Horner's
//! rule, 16 coefficients in a row: inputs and outputs at x, kernels at x and, across output
//! channels, y. Kernels are fixed columns. In a product of two computed matrices, the columns of
//! the first one are the inputs, and the rows of the second one their kernels. The balance of each
//! product must be zero: a false one of degree d in x and y passes for at most the share d / |F| of
//! all points (Schwartz–Zippel). d is at most 2^22, and the field has almost 2^124 elements, which
//! the analysis rounds down to 2^123: 101 bits.
//!
//! A residual network of 9.7 million multiply-adds is proven in 0.47 s with 125 MB (392 kB,
//! verified in 4.7 ms); with a column for each multiply-add, it took 2.95 s and 757 MB. Sum-check
//! would commit to the activations only, and reduce a product to one evaluation of each operand in
//! log(k) rounds. An experiment with `p3-sumcheck` and `p3-whir` 0.9.0-rc.2 proves products alone
//! fast and with short proofs. It is not used: all lookups would have to be proven over multilinear
//! polynomials, too, and `p3-multi-stark`, which does that, hides no values. ARCHITECTURE.md has
//! the figures.
//!
//! # Hidden values
//!
//! A proof discloses values of the polynomials that the columns are: at two points outside of the
//! rows, and at each query. If it hides the columns, each polynomial has as many random values as
//! values of its column, and at least twice as many as a proof discloses. So what is disclosed is
//! random, whatever the column is. The quotients of the constraints and the combination of all
//! columns in FRI are masked in the same way, as in [Haböck and Al Kindi, section 4.2], by
//! Plonky3's hiding commitments. Three things are ours: rows are salted, except those of fixed
//! columns, whose commitment follows from the network; the coefficients that are committed first
//! are hidden like all others; and the sums of the lookups, which a proof has in the clear, are
//! masked. Inputs, outputs, the network and the numbers of rows, which follow from it, are public.
//! A simulator that knows only these can choose everything else that a proof discloses, at a
//! statistical distance of about 2^-60: what it cannot choose are challenges that lie in a smaller
//! field.
//!
//! # Hidden inputs
//!
//! Keys of [`StarkHidingInputs`] have a table of inputs, whose values no statement has: they are a
//! value column like all others, and a lookup checks that each is in range, which the verifier does
//! for public ones. The binding then is that to no inputs. The proof's commitment to all value
//! columns is a commitment to the inputs: **hiding**, since each row of the committed codewords has
//! four random columns and a salt, 248 bits, and all other values are masked; **binding**, since a
//! codeword determines the inputs, and another one with the same Merkle root is a collision of
//! BLAKE3. All of these random numbers follow from a [`Seed`]. To open the commitment, its owner
//! gives inputs and seed to whom they choose, who computes the columns and their commitment again.
//! Equal commitments mean that the verified proof committed to exactly these columns. A prover that
//! commits to words close to codewords makes a valid proof whose commitment nobody can open.
//!
//! [Haböck and Al Kindi, section 4.2]: https://eprint.iacr.org/2024/1037

mod air;
mod config;
mod hiding;
mod keys;
mod masks;
mod plan;
mod projection;
mod run;
mod trace;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use p3_batch_stark::{StarkInstance, prove_batch, verify_batch};
use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;
use p3_uni_stark::StarkGenericConfig as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use taonet_proof_core::circuit::{Circuit, Execution};
use taonet_proof_core::{Binding, Digest};

use crate::{
    Backend, BackendError, Capabilities, Estimate, Keys, ProofWithOutputs, Prover, Seed, Statement,
    Verifier, VerifyError,
};
use air::{PUBLIC_LIMBS, Table, TableKind};
use config::{
    CommittedColumns, Common, Config, EarlyColumns, Hiding, Parameters, Plain, Prepared, Proof,
    Root, SECURITY_BITS, Scheme, Val,
};
pub use hiding::{StarkHiding, StarkHidingInputs};
use keys::VerificationKeyFile;
use plan::{Plan, check_quotients};
use trace::Traces;

/// The backend's name in circuit metadata.
pub const ID: &str = "stark";
/// Maximum size of a proof, in bytes: several times that of the largest permitted circuit. Decoding
/// can take 24 bytes of memory for each byte.
pub(crate) const MAX_PROOF_BYTES: usize = 4 << 20;
/// Domain separator of commitments to inputs.
const INPUT_COMMITMENT_DOMAIN: &[u8] = b"taonet proof of inference, input commitment, 1";
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
        Capabilities {
            zero_knowledge: false,
            hides_inputs: false,
            trusted_setup: false,
            security_bits: SECURITY_BITS,
        }
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        Ok(estimate_of(&Plan::new(circuit)?))
    }

    /// Creates the verification key; the proving key is empty, since the prover derives everything
    /// from the network.
    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        create_keys(circuit, Plan::new(circuit)?)
    }

    fn capabilities_of(&self, verification_key: &[u8]) -> Result<Capabilities, BackendError> {
        let &Parameters { hides_values, hides_inputs, .. } =
            VerificationKeyFile::parameters_of(verification_key)?;
        Ok(Capabilities { zero_knowledge: hides_values, hides_inputs, ..self.capabilities() })
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        if hides_values(verification_key)? {
            recompute_key::<Hiding>(circuit, verification_key).map(drop)
        } else {
            recompute_key::<Plain>(circuit, verification_key).map(drop)
        }
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        if hides_values(&keys.verification)? {
            Ok(Box::new(StarkProver::<Hiding>::new(circuit, &keys.verification)?))
        } else {
            Ok(Box::new(StarkProver::<Plain>::new(circuit, &keys.verification)?))
        }
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        if hides_values(verification_key)? {
            Ok(Box::new(StarkVerifier::<Hiding>::new(verification_key)?))
        } else {
            Ok(Box::new(StarkVerifier::<Plain>::new(verification_key)?))
        }
    }
}

/// The proof system of one circuit.
struct ProofSystem<S: Scheme> {
    parameters: &'static Parameters,
    plan: Plan,
    /// The plan's tables as they are proven: with the fixed columns of masks if proofs have any.
    tables: Vec<Table>,
    config: Config<S>,
    prepared: Prepared<S>,
}

impl<S: Scheme> ProofSystem<S> {
    fn new(plan: Plan) -> Result<Self, BackendError> {
        let parameters = plan.method.format.parameters();
        let config = parameters.config()?;
        let tables = if parameters.hides_values {
            masks::with_mask_counts(&plan.tables)
        } else {
            plan.tables.clone()
        };
        let prepared = prepare(&config, &tables, &plan.log_rows)?;
        Ok(Self { parameters, plan, tables, config, prepared })
    }

    /// Returns the verification key.
    fn key(&self, circuit: &Circuit) -> Result<Vec<u8>, BackendError> {
        VerificationKeyFile::new(circuit, &self.plan, self.parameters, &self.prepared)?.to_bytes()
    }
}

fn estimate_of(plan: &Plan) -> Estimate {
    Estimate { constraints: plan.log_rows.iter().map(|log| 1_u64 << log).sum() }
}

/// Creates the keys of a circuit with this layout.
fn create_keys(circuit: &Circuit, plan: Plan) -> Result<Keys, BackendError> {
    let verification = if plan.method.format.hides_values() {
        ProofSystem::<Hiding>::new(plan)?.key(circuit)?
    } else {
        ProofSystem::<Plain>::new(plan)?.key(circuit)?
    };
    Ok(Keys { proving: Vec::new(), verification })
}

/// Returns whether proofs for a verification key hide the values between inputs and outputs.
fn hides_values(verification_key: &[u8]) -> Result<bool, BackendError> {
    Ok(VerificationKeyFile::parameters_of(verification_key)?.hides_values)
}

fn malformed(reason: &str) -> VerifyError {
    VerifyError::Malformed(reason.to_owned())
}

/// Reason for the rejection of a verification key that belongs to another network.
const KEY_NETWORK_MISMATCH: &str = "the verification key does not match the network; hint: use the circuit of the \
                                    model's owner, or compile the model again";

/// Computes a circuit's verification key again, and compares it with an existing one.
fn recompute_key<S: Scheme>(circuit: &Circuit, key: &[u8]) -> Result<ProofSystem<S>, BackendError> {
    let file = VerificationKeyFile::from_bytes(key)?;
    // Other versions may choose another method for new keys. With the method of the key, all
    // versions lay out a circuit in the same way.
    let plan = Plan::with_method(circuit, file.method())?;
    // Cheaper than the commitment, which takes most of the time.
    if plan.method != file.method() || !file.has_rows_of(&plan) {
        return Err(BackendError::OtherCircuit(KEY_NETWORK_MISMATCH));
    }
    let system = ProofSystem::<S>::new(plan)?;
    if system.key(circuit)? != key {
        return Err(BackendError::OtherCircuit(KEY_NETWORK_MISMATCH));
    }
    Ok(system)
}

/// Commits to the fixed columns.
fn prepare<S: Scheme>(
    config: &Config<S>,
    tables: &[Table],
    log_rows: &[usize],
) -> Result<Prepared<S>, BackendError> {
    let log_rows: Vec<usize> = log_rows.iter().map(|log| log + config.is_zk()).collect();
    let mut prepared = Prepared::from_airs_and_degrees(config, tables, &log_rows)
        .map_err(|error| BackendError::Internal(format!("{error:?}")))?;
    // To the proof system, the columns that are committed early are fixed columns, too.
    let fixed = prepared
        .common
        .preprocessed
        .iter_mut()
        .flat_map(|fixed| fixed.instances.iter_mut().flatten());
    for (table, columns) in tables.iter().zip(fixed) {
        columns.width += table.kind.early_width();
    }
    Ok(prepared)
}

/// Returns the limbs that the transcript absorbs besides commitments: those of the binding and of
/// the outputs' digest.
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
    assert_eq!(limbs.len(), PUBLIC_LIMBS);
    tables
        .iter()
        .map(|table| if table.kind == TableKind::Public { limbs.clone() } else { Vec::new() })
        .collect()
}

/// Returns the tables with the statement's public column.
fn with_public_column(tables: &[Table], column: &[Val]) -> Vec<Table> {
    let with_column = |table: &Table| match table.kind {
        TableKind::Public => Table { public: vec![column.to_vec()], ..table.clone() },
        _ => table.clone(),
    };
    tables.iter().map(with_column).collect()
}

/// Returns a proof's commitment to its inputs, given that to all value columns: all others follow
/// from the inputs and the seed.
fn input_commitment_of(root: &Root) -> Result<Digest, postcard::Error> {
    Ok(Digest::of_parts(&[INPUT_COMMITMENT_DOMAIN, &postcard::to_allocvec(root)?]))
}

/// A proof of a circuit with products of polynomials.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct StagedProof<S: Scheme> {
    /// Commitment to the coefficients, from which the challenges follow.
    coefficients: Root,
    proof: Proof<S>,
}

/// Prover of one circuit.
struct StarkProver<S: Scheme> {
    circuit: Arc<Circuit>,
    system: ProofSystem<S>,
    key_digest: Digest,
}

impl<S: Scheme> Prover for StarkProver<S> {
    fn prove(&self, inputs: &[i64], binding: &Binding) -> Result<ProofWithOutputs, BackendError> {
        self.prove_with(inputs, binding, &Seed::random()?)
    }

    fn prove_with(
        &self,
        inputs: &[i64],
        binding: &Binding,
        seed: &Seed,
    ) -> Result<ProofWithOutputs, BackendError> {
        self.check_binding(binding)?;
        let (outputs, traces) = self.trace(inputs)?;
        let inputs = self.system.plan.method.format.public_inputs(inputs);
        let run = self.start_proof(seed)?;
        let proof = run.prove_traces(&traces, inputs, &outputs, &binding.digest(inputs))?;
        Ok(ProofWithOutputs { proof, outputs })
    }

    fn input_commitment(
        &self,
        inputs: &[i64],
        binding: &Binding,
        seed: &Seed,
    ) -> Result<Option<Digest>, BackendError> {
        let format = self.system.plan.method.format;
        if !format.hides_inputs() {
            return Ok(None);
        }
        self.check_binding(binding)?;
        let (outputs, traces) = self.trace(inputs)?;
        let inputs = format.public_inputs(inputs);
        let run = self.start_proof(seed)?;
        let root = run.commitment(&traces, inputs, &outputs, &binding.digest(inputs))?;
        let commitment = input_commitment_of(&root);
        commitment.map(Some).map_err(|error| BackendError::Internal(error.to_string()))
    }

    fn witness(&self, inputs: &[i64], _: &Binding) -> Result<usize, BackendError> {
        let Traces { tables, coefficients } = self.trace(inputs)?.1;
        let sizes = tables.iter().chain(&coefficients).map(|table| table.values.len());
        Ok(sizes.sum())
    }
}

impl<S: Scheme> StarkProver<S> {
    fn new(circuit: Arc<Circuit>, verification_key: &[u8]) -> Result<Self, BackendError> {
        let system = recompute_key::<S>(&circuit, verification_key)?;
        Ok(Self { circuit, system, key_digest: Digest::of(verification_key) })
    }

    /// Rejects a binding to another key.
    fn check_binding(&self, binding: &Binding) -> Result<(), BackendError> {
        if binding.verification_key == self.key_digest {
            return Ok(());
        }
        Err(BackendError::OtherKey { bound: binding.verification_key, actual: self.key_digest })
    }

    /// Runs the circuit. Returns its outputs and the value columns of all tables.
    fn trace(&self, inputs: &[i64]) -> Result<(Vec<i64>, Traces), BackendError> {
        let execution = self.circuit.execute(inputs)?;
        let traces = trace::fill_traces(&self.system.plan, &self.circuit, &execution)?;
        Ok((execution.outputs(&self.circuit), traces))
    }

    fn prove_columns(
        &self,
        config: &Config<S>,
        tables: &[Table],
        columns: &[&RowMajorMatrix<Val>],
        public_values: &[Vec<Val>],
    ) -> Result<Proof<S>, BackendError> {
        let instances =
            StarkInstance::<Config<S>, Table>::new_multiple(tables, columns, public_values);
        prove_batch(config, &instances, &self.system.prepared)
            .map_err(|error| BackendError::Internal(format!("{error:?}")))
    }
}

/// Returns the index of the polynomials table, which those of the kernels follow; `None` for
/// circuits without one.
fn polynomials_index(tables: &[Table]) -> Option<usize> {
    tables.iter().position(|table| table.kind == TableKind::Polynomials)
}

/// Returns the columns that are committed before the challenges.
fn early_columns<S: Scheme>(
    tables: &[Table],
    root: Root,
    data: Option<Arc<CommittedColumns<S>>>,
) -> EarlyColumns<S> {
    let tables = tables.iter().enumerate().filter(|(_, table)| table.kind.early_width() > 0);
    let tables = tables.map(|(index, table)| (index, table.fixed_width()));
    EarlyColumns { tables: tables.collect(), root, data }
}

/// Verifies proofs of one circuit.
struct StarkVerifier<S: Scheme> {
    file: VerificationKeyFile,
    tables: Vec<Table>,
    parameters: &'static Parameters,
    config: Config<S>,
    common: Common<S>,
    digest: Digest,
}

impl<S: Scheme> StarkVerifier<S> {
    fn new(verification_key: &[u8]) -> Result<Self, BackendError> {
        let file = VerificationKeyFile::from_bytes(verification_key)?;
        let parameters = VerificationKeyFile::parameters_of(verification_key)?;
        let config = parameters.config()?;
        let common = file.common_data(&config)?;
        Ok(Self {
            tables: file.tables(),
            file,
            parameters,
            config,
            common,
            digest: Digest::of(verification_key),
        })
    }

    /// Checks the binding's key, and the number and range of inputs and outputs.
    fn check_statement(&self, statement: &Statement) -> Result<(), VerifyError> {
        if statement.binding.verification_key != self.digest {
            return Err(VerifyError::OtherKey);
        }
        let values = [
            ("inputs", &statement.inputs, self.file.public_inputs(), self.file.input_range),
            ("outputs", &statement.outputs, self.file.outputs, self.file.output_range),
        ];
        for (quantity, values, expected, range) in values {
            let expected = expected as usize;
            if values.len() != expected {
                return Err(VerifyError::Length { quantity, expected, actual: values.len() });
            }
            // Within these ranges, which are below half of the field, a field element represents
            // exactly one integer.
            if values.iter().any(|&value| !range.contains(value)) {
                return Err(VerifyError::Range(quantity));
            }
        }
        Ok(())
    }

    fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, VerifyError> {
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(malformed("too many bytes"));
        }
        let (proof, remaining) =
            postcard::take_from_bytes::<T>(bytes).map_err(|error| malformed(&error.to_string()))?;
        if !remaining.is_empty() {
            return Err(malformed("trailing bytes after the proof"));
        }
        // Each proof has exactly one encoding.
        match postcard::to_allocvec(&proof) {
            Ok(encoded) if encoded == bytes => Ok(proof),
            _ => Err(malformed("not the canonical encoding")),
        }
    }
}

impl<S: Scheme> StarkVerifier<S> {
    fn verify_tables(
        &self,
        config: &Config<S>,
        tables: &[Table],
        proof: &Proof<S>,
        public_values: &[Vec<Val>],
    ) -> Result<(), VerifyError> {
        // The library checks the shape of the proof. Should it miss a case and panic, the proof is
        // rejected and the process continues.
        let result = catch_unwind(AssertUnwindSafe(|| {
            verify_batch(config, tables, proof, public_values, &self.common)
        }));
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(VerifyError::Invalid),
            Err(_) => Err(VerifyError::Malformed("invalid shape".to_owned())),
        }
    }
}

impl<S: Scheme> Verifier for StarkVerifier<S> {
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
        self.check_statement(statement)?;
        let column =
            trace::public_column(&statement.inputs, &statement.outputs, self.file.public_rows());
        let mut tables = with_public_column(&self.tables, &column);
        let public_values = public_values(
            &tables,
            &statement.binding.digest(&statement.inputs),
            &statement.outputs,
        );
        let Some(first_polynomial_table) = polynomials_index(&tables) else {
            return self.verify_tables(
                &self.config,
                &tables,
                &Self::decode(proof)?,
                &public_values,
            );
        };
        let StagedProof::<S> { coefficients, proof } = Self::decode(proof)?;
        let early: EarlyColumns<S> = early_columns(&tables, coefficients, None);
        let (challenges, config) =
            self.parameters.second_stage(&self.config, early, &public_values.concat());
        let powers = Arc::new(self.file.powers(challenges));
        for table in tables.iter_mut().skip(first_polynomial_table) {
            table.powers = Some(Arc::clone(&powers));
        }
        self.verify_tables(&config, &tables, &proof, &public_values)
    }

    fn check_execution(
        &self,
        circuit: &Circuit,
        execution: &Execution,
    ) -> Result<(), BackendError> {
        check_quotients(self.file.method().format, circuit, execution)
    }

    fn input_commitment(&self, proof: &[u8]) -> Result<Option<Digest>, VerifyError> {
        if !self.parameters.hides_inputs {
            return Ok(None);
        }
        let proof: Proof<S> = if polynomials_index(&self.tables).is_some() {
            Self::decode::<StagedProof<S>>(proof)?.proof
        } else {
            Self::decode(proof)?
        };
        let commitment = input_commitment_of(&proof.commitments.main);
        commitment.map(Some).map_err(|error| VerifyError::Verifier(error.to_string()))
    }
}

#[cfg(test)]
mod tests;
