//! Constraints of a circuit, and the assignment of an execution.
//!
//! Public values are, in this order: the binding, the outputs and the inputs. If the inputs or the
//! outputs are many, their Poseidon digest is public in their place. Weights are constants of the
//! linear combinations, so a multiply-add costs no constraint; only rescales, maxima, products of
//! two cells and outputs do.
//!
//! No value wraps around the field: every sum lies within its interval, which is far below half of
//! the field, and both sides of each decomposition into bits are integers far below half of the
//! field, too.

use std::collections::HashSet;

use ark_bn254::Fr;
use ark_ff::{One as _, Zero as _};
use taonet_proof_core::circuit::{
    Cell, Circuit, Execution, Linear, Max, Product, Stage, StageKind,
};
use taonet_proof_core::{Digest, Range};

use super::gadgets::{self, Width, power_of_two};
use super::poseidon;
use super::r1cs::{Lc, R1cs};
use crate::BackendError;

/// Maximum number of inputs, and of outputs, that are public values themselves; a larger number of
/// either is hashed.
pub(super) const MAX_PUBLIC_VALUES: usize = 1024;
/// Number of bits of each field element that are used for packed values.
const PACKED_BITS: u32 = 248;
/// Maximum magnitude of a sum: far below half of the field's 2^253.
pub(super) const MAX_MAGNITUDE: u64 = 1 << 60;
/// Range of outputs that are public values themselves: that of every sum.
const SUM_RANGE: Range =
    Range { low: -MAX_MAGNITUDE.cast_signed(), high: MAX_MAGNITUDE.cast_signed() };
/// Maximum number of constraints of one circuit.
const MAX_CONSTRAINTS: usize = 1 << 23;

/// Memory of a term of a linear combination, in bytes, with spare capacity.
const TERM_BYTES: u64 = 80;
/// Memory of the constraints of an activation, maximum or hashed input, in bytes: one for each bit
/// of its numbers, about 40.
const ACTIVATION_BYTES: u64 = 4 << 10;

/// Public form of the inputs or outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PublicValues {
    pub(super) count: usize,
    /// Range of every value, which the verifier checks.
    pub(super) range: Range,
    /// Whether only the digest of the values is public.
    pub(super) hashed: bool,
}

/// Public form of a circuit's inputs and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) inputs: PublicValues,
    pub(super) outputs: PublicValues,
}

impl Layout {
    /// Returns the layout for new keys: more than `max_public` inputs or outputs are hashed.
    pub(super) fn of(circuit: &Circuit, max_public: usize) -> Self {
        let (inputs, outputs) = (circuit.inputs, circuit.outputs.len());
        Self {
            inputs: PublicValues {
                count: inputs,
                range: circuit.input_range,
                hashed: inputs > max_public,
            },
            outputs: if outputs > max_public {
                PublicValues { count: outputs, range: circuit.output_range(), hashed: true }
            } else {
                PublicValues::unhashed(outputs)
            },
        }
    }

    /// Returns whether a key with this layout can be the key of a circuit. Keys of older versions
    /// have many outputs as public values.
    pub(super) fn fits(&self, circuit: &Circuit) -> bool {
        let new_layout = Self::of(circuit, if self.outputs.hashed { 0 } else { usize::MAX });
        self.outputs == new_layout.outputs
            && PublicValues { hashed: self.inputs.hashed, ..new_layout.inputs } == self.inputs
    }

    /// Returns all public values of a statement.
    pub(super) fn public_values(
        &self,
        binding: &Digest,
        inputs: &[i64],
        outputs: &[i64],
    ) -> Vec<Fr> {
        let mut values = vec![binding_element(binding)];
        self.outputs.append(outputs, &mut values);
        self.inputs.append(inputs, &mut values);
        values
    }
}

impl PublicValues {
    /// Returns the form of outputs that are public values themselves.
    pub(super) const fn unhashed(count: usize) -> Self {
        Self { count, range: SUM_RANGE, hashed: false }
    }

    /// Returns the number of public values.
    pub(super) const fn public_count(&self) -> usize {
        if self.hashed { 1 } else { self.count }
    }

    /// Packs values, minus the smallest possible one, into as few elements as possible. Values in
    /// range are packed unambiguously.
    fn pack(&self, values: &[i64]) -> Vec<Fr> {
        let bits = self.value_bits();
        let chunks = values.chunks((PACKED_BITS / bits) as usize);
        let packed = chunks.map(|chunk| {
            let digits = chunk.iter().rev();
            digits.fold(Fr::zero(), |sum, &value| {
                sum * power_of_two(bits) + Fr::from(value - self.range.low)
            })
        });
        packed.collect()
    }

    /// Packs linear combinations, whose values are in range, like [`Self::pack`].
    fn pack_combinations(&self, values: &[Lc]) -> Vec<Lc> {
        let bits = self.value_bits();
        let low = Lc::constant(-Fr::from(self.range.low));
        let chunks = values.chunks((PACKED_BITS / bits) as usize);
        let packed = chunks.map(|chunk| {
            let sum = chunk.iter().enumerate().fold(Lc::zero(), |sum, (index, value)| {
                let factor = power_of_two(bits * index as u32);
                sum.plus(factor, value).plus(factor, &low)
            });
            sum.compact()
        });
        packed.collect()
    }

    /// Returns the number of bits of a value minus the smallest possible value, at least 1.
    fn value_bits(&self) -> u32 {
        Width::of(Range { low: 0, high: self.range.high - self.range.low }).bits.max(1)
    }

    /// Appends the public values.
    fn append(&self, values: &[i64], public: &mut Vec<Fr>) {
        if self.hashed {
            public.push(poseidon::hash(&self.pack(values)));
        } else {
            public.extend(values.iter().map(|&value| Fr::from(value)));
        }
    }
}

/// Converts the first 31 bytes of the digest to an element. No reduction occurs, so different bytes
/// give different elements.
fn binding_element(binding: &Digest) -> Fr {
    let bytes = binding.as_bytes().iter().take(31);
    bytes.fold(Fr::zero(), |sum, &byte| sum * Fr::from(256_u64) + Fr::from(byte))
}

/// Converts a circuit to constraints.
pub(super) fn constrain(circuit: &Circuit, layout: &Layout) -> Result<R1cs, BackendError> {
    let magnitude = circuit.magnitude();
    if magnitude > MAX_MAGNITUDE {
        return Err(BackendError::Magnitude { magnitude, limit: MAX_MAGNITUDE });
    }
    if let Some(layer) =
        circuit.stages.iter().position(|stage| matches!(stage.kind, StageKind::Table(_)))
    {
        let feature = "element-wise functions other than Relu, such as Sigmoid";
        return Err(BackendError::Unsupported { backend: super::ID, feature, layer });
    }
    let mut memory = circuit.memory.clone();
    let Layout { inputs, outputs } = layout;
    if inputs.hashed {
        memory.spend(ACTIVATION_BYTES.saturating_mul(inputs.count as u64))?;
    }
    let mut cs = R1cs::new(1 + outputs.public_count() + inputs.public_count());
    // Variable 1 is the binding. This constraint uses it, in addition to those that the key
    // generator adds for all public inputs.
    let square = cs.allocate_witness();
    cs.enforce(Lc::var(1), Lc::var(1), Lc::var(square));
    let first_input = 2 + outputs.public_count();
    let mut cells = if inputs.hashed {
        allocate_hashed_inputs(&mut cs, inputs, first_input)
    } else {
        (0..inputs.count).map(|index| Lc::var(first_input + index)).collect()
    };
    for stage in &circuit.stages {
        // Activations first: their limit keeps the number of terms, which are counted one by one,
        // small enough.
        memory.spend(activation_bytes(stage))?;
        memory.spend(term_bytes(stage, &cells))?;
        constrain_stage(&mut cs, stage, &mut cells);
        check_size(&cs)?;
    }
    memory.spend(repeated_bytes(&circuit.outputs, &cells))?;
    let values =
        circuit.outputs.iter().map(|&cell| cells.get(cell as usize).cloned().unwrap_or_default());
    if outputs.hashed {
        // The constraints imply that every output is in range, because every input is.
        let values: Vec<Lc> = values.collect();
        let hash = poseidon::constrain_hash(&mut cs, &outputs.pack_combinations(&values));
        cs.enforce_equal(hash, &Lc::var(2));
    } else {
        for (index, value) in values.enumerate() {
            cs.enforce_equal(value, &Lc::var(2 + index));
        }
    }
    check_size(&cs)?;
    Ok(cs)
}

fn check_size(cs: &R1cs) -> Result<(), BackendError> {
    if cs.constraint_count() > MAX_CONSTRAINTS {
        let (actual, limit) = (cs.constraint_count() as u64, MAX_CONSTRAINTS as u64);
        return Err(BackendError::Size { quantity: "constraints", actual, limit });
    }
    Ok(())
}

/// Allocates witness variables for the inputs, range-checked, packed and hashed to the public value
/// at `digest`.
fn allocate_hashed_inputs(cs: &mut R1cs, public: &PublicValues, digest: usize) -> Vec<Lc> {
    let low = Lc::constant(Fr::from(public.range.low));
    let inputs: Vec<Lc> = (0..public.count)
        .map(|_| gadgets::allocate_unsigned(cs, public.value_bits()).plus(Fr::one(), &low))
        .collect();
    let hash = poseidon::constrain_hash(cs, &public.pack_combinations(&inputs));
    cs.enforce_equal(hash, &Lc::var(digest));
    inputs
}

/// Returns the memory of a stage's activations, maxima and products of two cells, in bytes.
fn activation_bytes(stage: &Stage) -> u64 {
    let activations = match &stage.kind {
        StageKind::Linear(linear) => linear.rescale.map_or(0, |_| stage.count as u64),
        StageKind::Max(Max { groups, .. }) => groups.iter().map(|group| group.len() as u64).sum(),
        StageKind::Product(Product { pairs, .. }) => pairs.len() as u64,
        StageKind::MatrixProduct(product) => {
            product.sizes.multiply_adds().saturating_add(stage.count as u64)
        }
        // `constrain` has rejected tables.
        StageKind::Table(_) => 0,
    };
    activations.saturating_mul(ACTIVATION_BYTES)
}

/// Returns the memory of the terms of a stage's constraints, in bytes. A cell that is not rescaled
/// has as many terms as the cells that it adds up, so their number can grow with every stage.
fn term_bytes(stage: &Stage, cells: &[Lc]) -> u64 {
    let terms_of = |cell: Cell| cells.get(cell as usize).map_or(0, |cell| cell.0.len() as u64);
    let terms = match &stage.kind {
        StageKind::Linear(linear) => {
            let terms = linear.jobs.iter().map(|job| {
                let terms: u64 = job.taps.iter().map(|tap| terms_of(tap.cell)).sum();
                terms.saturating_mul(job.outputs.len() as u64)
            });
            terms.fold(0, u64::saturating_add)
        }
        StageKind::Max(Max { groups, .. }) => {
            groups.iter().flatten().map(|&cell| terms_of(cell)).sum()
        }
        StageKind::Product(Product { pairs, .. }) => {
            pairs.iter().flatten().map(|&cell| terms_of(cell)).sum()
        }
        StageKind::MatrixProduct(product) => {
            let terms = (0..product.outputs())
                .flat_map(|output| product.pairs(output))
                .flatten()
                .map(terms_of);
            terms.fold(0, u64::saturating_add)
        }
        // `constrain` has rejected tables.
        StageKind::Table(_) => 0,
    };
    terms.saturating_mul(TERM_BYTES)
}

/// Returns the memory of the outputs that repeat a cell, in bytes: a move can repeat a cell of many
/// terms many times.
fn repeated_bytes(outputs: &[Cell], cells: &[Lc]) -> u64 {
    let mut distinct_cells = HashSet::new();
    let repeated_outputs = outputs
        .iter()
        .filter(|&&cell| !distinct_cells.insert(cell))
        .filter_map(|&cell| cells.get(cell as usize));
    let terms: u64 = repeated_outputs.map(|cell| cell.0.len() as u64).sum();
    terms.saturating_mul(TERM_BYTES)
}

fn constrain_stage(cs: &mut R1cs, stage: &Stage, cells: &mut Vec<Lc>) {
    let read = |cells: &[Lc], cell: Cell| cells.get(cell as usize).cloned().unwrap_or_default();
    match &stage.kind {
        StageKind::Linear(linear) => {
            let sums = linear_sums(linear, cells);
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
                let maximum =
                    group.iter().map(operand).reduce(|a, b| gadgets::max(cs, &a, &b, *operands));
                cells.push(maximum.unwrap_or_default());
            }
        }
        StageKind::Product(Product { pairs, rescale, sums }) => {
            for &[a, b] in pairs {
                let product = gadgets::product(cs, read(cells, a), read(cells, b));
                cells.push(match rescale {
                    Some(rescale) => gadgets::rescale(cs, &product, *rescale, *sums),
                    None => product,
                });
            }
        }
        StageKind::MatrixProduct(product) => {
            for output in 0..product.outputs() {
                let sum = product.pairs(output).fold(Lc::default(), |sum, [a, b]| {
                    sum.plus(Fr::one(), &gadgets::product(cs, read(cells, a), read(cells, b)))
                });
                cells.push(match product.rescale {
                    Some(rescale) => gadgets::rescale(cs, &sum, rescale, product.sums),
                    None => sum,
                });
            }
        }
        StageKind::Table(_) => {}
    }
}

/// Returns the sums of a linear stage before they are rescaled.
fn linear_sums(linear: &Linear, cells: &[Lc]) -> Vec<Lc> {
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
    layout: &Layout,
    binding: &Digest,
    inputs: &[i64],
    execution: &Execution,
) -> Vec<Fr> {
    let outputs = execution.outputs(circuit);
    let mut values = vec![Fr::one()];
    values.extend(layout.public_values(binding, inputs, &outputs));
    let binding = binding_element(binding);
    values.push(binding * binding);
    if layout.inputs.hashed {
        let PublicValues { range, .. } = layout.inputs;
        for &input in inputs {
            gadgets::assign_unsigned(&mut values, input - range.low, layout.inputs.value_bits());
        }
        poseidon::hash_traced(&layout.inputs.pack(inputs), &mut values);
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
                    let operand_values = group
                        .iter()
                        .filter_map(|&cell| execution.cells.get(cell as usize).copied());
                    operand_values.reduce(|a, b| {
                        gadgets::assign_max(&mut values, a, b, *operands);
                        a.max(b)
                    });
                }
            }
            StageKind::Product(Product { rescale, sums: range, .. }) => {
                for &product in sums {
                    values.push(Fr::from(product));
                    if let Some(rescale) = rescale {
                        gadgets::assign_rescale(&mut values, product, *rescale, *range);
                    }
                }
            }
            StageKind::MatrixProduct(product) => {
                let value =
                    |cell: Cell| execution.cells.get(cell as usize).copied().unwrap_or_default();
                for (output, &sum) in sums.iter().enumerate() {
                    values
                        .extend(product.pairs(output).map(|[a, b]| Fr::from(value(a) * value(b))));
                    if let Some(rescale) = product.rescale {
                        gadgets::assign_rescale(&mut values, sum, rescale, product.sums);
                    }
                }
            }
            StageKind::Table(_) => {}
        }
    }
    if layout.outputs.hashed {
        poseidon::hash_traced(&layout.outputs.pack(&outputs), &mut values);
    }
    values
}
