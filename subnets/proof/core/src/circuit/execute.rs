// Cells, slots and outputs are bounded when a network is lowered; the inner loops index by them.
#![allow(clippy::indexing_slicing)]

use thiserror::Error;

use super::{Circuit, Linear, Max, Stage, StageKind, Table};
use crate::{Range, Rescale};

/// Values of all cells and sums in one run of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Value of every cell.
    pub cells: Vec<i64>,
    /// Sums of every stage before rescaling, bias included, or its products; empty for maxima and
    /// tables.
    pub sums: Vec<Vec<i64>>,
}

/// Why the execution of a circuit failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The number of values differs from the number of inputs.
    #[error("{actual} input values, expected {expected}")]
    Length {
        /// Number of inputs of the circuit.
        expected: usize,
        /// Number of values given.
        actual: usize,
    },
    /// A value is outside the circuit's input range.
    #[error("input {index} is {value}, expected {}..={}", range.low, range.high)]
    OutOfRange {
        /// Index of the value.
        index: usize,
        /// The invalid value.
        value: i64,
        /// The circuit's input range.
        range: Range,
    },
}

impl Circuit {
    /// Runs the circuit in exact integer arithmetic. Every backend proves exactly these values.
    ///
    /// # Errors
    /// When the number of inputs is wrong or an input is out of range.
    pub fn execute(&self, inputs: &[i64]) -> Result<Execution, ExecutionError> {
        self.check_inputs(inputs)?;
        let mut cells = Vec::with_capacity(self.cells());
        cells.extend_from_slice(inputs);
        let mut sums = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            sums.push(stage.run(&mut cells));
        }
        Ok(Execution { cells, sums })
    }

    /// Checks the number and range of input values.
    ///
    /// # Errors
    /// When the number is wrong or a value is out of range.
    pub fn check_inputs(&self, inputs: &[i64]) -> Result<(), ExecutionError> {
        if inputs.len() != self.inputs {
            return Err(ExecutionError::Length { expected: self.inputs, actual: inputs.len() });
        }
        match inputs.iter().position(|&value| !self.input_range.contains(value)) {
            Some(index) => Err(ExecutionError::OutOfRange {
                index,
                value: inputs[index],
                range: self.input_range,
            }),
            None => Ok(()),
        }
    }
}

impl Execution {
    /// Returns the values of the circuit's output cells.
    pub fn outputs(&self, circuit: &Circuit) -> Vec<i64> {
        circuit.outputs.iter().map(|&cell| self.cells[cell as usize]).collect()
    }
}

impl Stage {
    /// Appends the stage's cells and returns its sums.
    fn run(&self, cells: &mut Vec<i64>) -> Vec<i64> {
        match &self.kind {
            StageKind::Linear(linear) => {
                let sums = linear.compute_sums(cells);
                push_activations(cells, &sums, linear.rescale);
                sums
            }
            StageKind::Max(max) => {
                max.run(cells);
                Vec::new()
            }
            StageKind::Table(table) => {
                table.run(cells);
                Vec::new()
            }
            StageKind::Product(product) => {
                let products =
                    product.pairs.iter().map(|&[a, b]| cells[a as usize] * cells[b as usize]);
                let products: Vec<i64> = products.collect();
                push_activations(cells, &products, product.rescale);
                products
            }
            StageKind::MatrixProduct(product) => {
                let sum = |output| {
                    product.pairs(output).map(|[a, b]| cells[a as usize] * cells[b as usize]).sum()
                };
                let sums: Vec<i64> = (0..product.outputs()).map(sum).collect();
                push_activations(cells, &sums, product.rescale);
                sums
            }
        }
    }
}

/// Appends the activations of sums, or the sums themselves if they are not rescaled.
fn push_activations(cells: &mut Vec<i64>, sums: &[i64], rescale: Option<Rescale>) {
    match rescale {
        Some(rescale) => cells.extend(sums.iter().map(|&sum| rescale.apply(sum))),
        None => cells.extend_from_slice(sums),
    }
}

impl Linear {
    fn compute_sums(&self, cells: &[i64]) -> Vec<i64> {
        let mut sums = self.bias.clone();
        let mut slots = Vec::new();
        for job in &self.jobs {
            let kernel = &self.kernels[job.kernel];
            slots.clear();
            slots.resize(kernel.slots, 0_i64);
            for tap in &job.taps {
                slots[tap.slot as usize] = cells[tap.cell as usize];
            }
            for (row, &output) in job.outputs.iter().enumerate() {
                let products = kernel
                    .row(row)
                    .iter()
                    .zip(&slots)
                    .map(|(&weight, &value)| i64::from(weight) * value);
                sums[output as usize] += products.sum::<i64>();
            }
        }
        sums
    }
}

impl Max {
    fn run(&self, cells: &mut Vec<i64>) {
        for group in &self.groups {
            let largest = group.iter().map(|&cell| cells[cell as usize]).max().unwrap_or_default();
            cells.push(largest);
        }
    }
}

impl Table {
    fn run(&self, cells: &mut Vec<i64>) {
        for &cell in &self.cells {
            // Lowering checks that the values cover the interval of the cells.
            let value = self.value(cells[cell as usize]).unwrap_or_default();
            cells.push(value);
        }
    }
}
