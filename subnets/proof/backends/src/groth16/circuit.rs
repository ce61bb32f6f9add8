//! Constraints of a circuit, and the assignment of an execution.
//!
//! Public values are, in this order: the binding, the outputs, and the inputs or, if there are many, their Poseidon
//! digest. Weights are constants of the linear combinations, so a multiply-add costs no constraint; only rescales,
//! maxima and outputs do.
//!
//! No value wraps around the field: every sum lies within its interval, which is far below half of the field, and both
//! sides of each decomposition are integers within it.

use ark_bn254::Fr;
use ark_ff::{One as _, Zero as _};
use taonet_proof_core::circuit::{Cell, Circuit, Execution, Linear, Max, Stage, StageKind};
use taonet_proof_core::{Digest, Range};

use super::gadgets::{self, Width, power};
use super::poseidon;
use super::r1cs::{Lc, R1cs};
use crate::BackendError;

/// Maximum number of inputs that are public values themselves; more are hashed.
pub(super) const MAX_PUBLIC_INPUTS: usize = 1024;
/// Number of bits of a field element that packed inputs fill.
const PACKED_BITS: u32 = 248;
/// Maximum magnitude of a sum: far below half of the field's 2^253.
pub(super) const MAX_MAGNITUDE: u64 = 1 << 60;
/// Maximum number of constraints of one circuit.
const MAX_CONSTRAINTS: usize = 1 << 23;

/// Public form of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PublicInputs {
    pub(super) count: usize,
    pub(super) range: Range,
    /// Whether only the digest of the inputs is public.
    pub(super) hashed: bool,
}

impl PublicInputs {
    pub(super) fn of(circuit: &Circuit, most_public: usize) -> Self {
        Self { count: circuit.inputs, range: circuit.input_range, hashed: circuit.inputs > most_public }
    }

    fn values(&self) -> usize {
        if self.hashed { 1 } else { self.count }
    }

    /// Packs inputs, minus the smallest possible input, into as few elements as possible.
    fn pack(&self, inputs: &[i64]) -> Vec<Fr> {
        let width = self.width();
        let chunks = inputs.chunks((PACKED_BITS / width) as usize);
        let packed = chunks.map(|chunk| {
            let digits = chunk.iter().rev();
            digits.fold(Fr::zero(), |sum, &value| sum * power(width) + Fr::from(value - self.range.low))
        });
        packed.collect()
    }

    /// Returns the number of bits of an input minus the smallest possible input, at least 1.
    fn width(&self) -> u32 {
        Width::of(Range { low: 0, high: self.range.high - self.range.low }).bits.max(1)
    }

    /// Returns all public values of a statement.
    pub(super) fn statement(&self, binding: &Digest, inputs: &[i64], outputs: &[i64]) -> Vec<Fr> {
        let mut values = vec![binding_element(binding)];
        values.extend(outputs.iter().map(|&output| Fr::from(output)));
        if self.hashed {
            values.push(poseidon::hash(&self.pack(inputs)));
        } else {
            values.extend(inputs.iter().map(|&input| Fr::from(input)));
        }
        values
    }
}

/// Converts the first 31 bytes of the digest to an element. No reduction occurs, so different bytes give different
/// elements.
fn binding_element(binding: &Digest) -> Fr {
    let bytes = binding.as_bytes().iter().take(31);
    bytes.fold(Fr::zero(), |sum, &byte| sum * Fr::from(256_u64) + Fr::from(byte))
}

/// Translates a circuit to constraints.
pub(super) fn constrain(circuit: &Circuit, most_public: usize) -> Result<R1cs, BackendError> {
    let magnitude = circuit.magnitude();
    if magnitude > MAX_MAGNITUDE {
        return Err(BackendError::Magnitude { magnitude, limit: MAX_MAGNITUDE });
    }
    let public = PublicInputs::of(circuit, most_public);
    let mut cs = R1cs::new(1 + circuit.outputs.len() + public.values());
    // Variable 1 is the binding. It has a constraint of its own besides the rows that tie public inputs.
    let square = cs.witness();
    cs.enforce(Lc::var(1), Lc::var(1), Lc::var(square));
    let first_input = 2 + circuit.outputs.len();
    let mut cells = if public.hashed {
        hashed_inputs(&mut cs, &public, first_input)
    } else {
        (0..public.count).map(|index| Lc::var(first_input + index)).collect()
    };
    for stage in &circuit.stages {
        constrain_stage(&mut cs, stage, &mut cells);
        if cs.constraints() > MAX_CONSTRAINTS {
            let (actual, limit) = (cs.constraints() as u64, MAX_CONSTRAINTS as u64);
            return Err(BackendError::Size { what: "constraints", actual, limit });
        }
    }
    for (index, &cell) in circuit.outputs.iter().enumerate() {
        let value = cells.get(cell as usize).cloned().unwrap_or_default();
        cs.enforce_equal(value, &Lc::var(2 + index));
    }
    Ok(cs)
}

/// Allocates witness variables for the inputs, range-checked, packed and hashed to the public value at `digest`.
fn hashed_inputs(cs: &mut R1cs, public: &PublicInputs, digest: usize) -> Vec<Lc> {
    let width = public.width();
    let low = Lc::constant(Fr::from(public.range.low));
    let inputs: Vec<Lc> = (0..public.count).map(|_| gadgets::unsigned(cs, width)).collect();
    let packed: Vec<Lc> = inputs
        .chunks((PACKED_BITS / width) as usize)
        .map(|chunk| {
            let digits = chunk.iter().enumerate();
            digits.fold(Lc::zero(), |sum, (index, value)| sum.plus(power(width * index as u32), value))
        })
        .collect();
    let hash = poseidon::constrain_hash(cs, &packed);
    cs.enforce_equal(hash, &Lc::var(digest));
    inputs.into_iter().map(|value| value.plus(Fr::one(), &low)).collect()
}

fn constrain_stage(cs: &mut R1cs, stage: &Stage, cells: &mut Vec<Lc>) {
    let read = |cells: &[Lc], cell: Cell| cells.get(cell as usize).cloned().unwrap_or_default();
    match &stage.kind {
        StageKind::Linear(linear) => {
            let sums = sums(linear, cells);
            let outputs = sums.into_iter().map(|sum| match linear.rescale {
                Some(rescale) => gadgets::rescale(cs, &sum, rescale, linear.sums),
                None => sum,
            });
            let outputs: Vec<Lc> = outputs.collect();
            cells.extend(outputs);
        }
        StageKind::Max(Max { groups, operands }) => {
            for group in groups {
                let operand = |cell: &Cell| read(cells, *cell);
                let larger = group.iter().map(operand).reduce(|a, b| gadgets::max(cs, &a, &b, *operands));
                cells.push(larger.unwrap_or_default());
            }
        }
    }
}

fn sums(linear: &Linear, cells: &[Lc]) -> Vec<Lc> {
    let mut sums: Vec<Lc> = linear.bias.iter().map(|&bias| Lc::constant(Fr::from(bias))).collect();
    for job in &linear.jobs {
        let Some(kernel) = linear.kernels.get(job.kernel) else { continue };
        for (row, &output) in job.outputs.iter().enumerate() {
            let weights = kernel.row(row);
            let Some(sum) = sums.get_mut(output as usize) else { continue };
            for tap in &job.taps {
                let weight = weights.get(tap.slot as usize).copied().unwrap_or_default();
                if let Some(cell) = cells.get(tap.cell as usize).filter(|_| weight != 0) {
                    *sum = std::mem::take(sum).plus(Fr::from(weight), cell);
                }
            }
        }
    }
    sums.into_iter().map(Lc::compact).collect()
}

/// Returns the values of all variables, in the order of [`constrain`].
pub(super) fn assign(
    circuit: &Circuit,
    most_public: usize,
    binding: &Digest,
    inputs: &[i64],
    execution: &Execution,
) -> Vec<Fr> {
    let public = PublicInputs::of(circuit, most_public);
    let mut values = vec![Fr::one()];
    values.extend(public.statement(binding, inputs, &execution.outputs(circuit)));
    let binding = binding_element(binding);
    values.push(binding * binding);
    if public.hashed {
        for &input in inputs {
            gadgets::assign_unsigned(&mut values, input - public.range.low, public.width());
        }
        poseidon::hash_traced(&public.pack(inputs), &mut values);
    }
    for (stage, sums) in circuit.stages.iter().zip(&execution.sums) {
        match &stage.kind {
            StageKind::Linear(linear) => {
                if let Some(rescale) = linear.rescale {
                    for &sum in sums {
                        gadgets::assign_rescale(&mut values, sum, rescale, linear.sums);
                    }
                }
            }
            StageKind::Max(Max { groups, operands }) => {
                for group in groups {
                    let operands_of = group.iter().filter_map(|&cell| execution.cells.get(cell as usize).copied());
                    operands_of.reduce(|a, b| {
                        gadgets::assign_max(&mut values, a, b, *operands);
                        a.max(b)
                    });
                }
            }
        }
    }
    values
}
