//! Trace of an execution: its values in the tables' columns.
//!
//! The plan determines the shapes of the tables, and its fixed columns contain every address that
//! this module reads.
#![allow(clippy::indexing_slicing)]

mod polynomials;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;
use taonet_proof_core::circuit::{Circuit, Execution, StageKind};

use super::air::{
    ACTIVATION_FIXED, ACTIVATION_LANES, INPUT_FIXED, MAX_FIXED, MAX_LANES, MULTIPLICATION_FIXED,
    POSITIVE_FUNCTION, TableKind, Tile, ZERO_FUNCTION,
};
use super::config::Val;
use super::plan::Plan;
use crate::BackendError;
pub(super) use polynomials::evaluate;

/// Value columns of an execution.
#[derive(Clone)]
pub(super) struct Traces {
    /// Columns of each table. Those that depend on the challenges are missing.
    pub(super) tables: Vec<RowMajorMatrix<Val>>,
    /// Columns that are committed first: the coefficients of the polynomials, then the operands, if
    /// there are any.
    pub(super) coefficients: Vec<RowMajorMatrix<Val>>,
}

/// Returns the public column: a zero, the public inputs, the outputs, and zeros to the end.
pub(super) fn public_column(inputs: &[i64], outputs: &[i64], rows: usize) -> Vec<Val> {
    let values =
        std::iter::once(&0).chain(inputs).chain(outputs).map(|&value| Val::from_i64(value));
    values.chain(std::iter::repeat(Val::ZERO)).take(rows).collect()
}

/// Returns the value columns of all tables, in the plan's order.
pub(super) fn fill_traces(
    plan: &Plan,
    circuit: &Circuit,
    execution: &Execution,
) -> Result<Traces, BackendError> {
    let mut memory = vec![0_i64; plan.addresses];
    for (location, &value) in plan.locations.iter().zip(&execution.cells) {
        memory[location.address as usize] = value - location.bias;
    }
    let mut counts = vec![0_u32; plan.functions.rows()];
    // Maxima of more than two cells have intermediate values that no cell holds.
    let maxima = match plan.fixed_columns(|kind| *kind == TableKind::Maxima) {
        Some(fixed) => Some(fill_maxima(plan, fixed, &mut memory, &mut counts)?),
        None => None,
    };
    let mut tables = Vec::with_capacity(plan.tables.len());
    let mut coefficients = Vec::new();
    for table in &plan.tables {
        let fixed = table
            .fixed
            .as_deref()
            .ok_or_else(|| internal_error("a table without fixed columns"))?;
        let rows = fixed.values.len() / fixed.width;
        let values = match table.kind {
            TableKind::Public => {
                let inputs = plan.method.format.public_inputs(&execution.cells[..circuit.inputs]);
                public_column(inputs, &execution.outputs(circuit), rows)
            }
            TableKind::Inputs => fill_inputs(plan, fixed, &memory, &mut counts)?,
            TableKind::Products(tile) => fill_products(tile, fixed, &memory),
            TableKind::Activations => {
                fill_activations(plan, circuit, execution, fixed, &mut counts)?
            }
            TableKind::Maxima => maxima.clone().unwrap_or_default(),
            TableKind::Multiplications => fill_multiplications(fixed, &memory),
            TableKind::Polynomials => {
                let operands = plan.fixed_columns(|kind| *kind == TableKind::Operands);
                coefficients =
                    polynomials::fill_coefficients(&plan.polynomials, fixed, operands, &memory);
                Vec::new()
            }
            // Filled once all lookups are counted, and once the challenges are drawn.
            TableKind::Functions | TableKind::Kernels { .. } | TableKind::Operands => Vec::new(),
        };
        tables.push(RowMajorMatrix::new(values, table.kind.width()));
    }
    for (values, table) in tables.iter_mut().zip(&plan.tables) {
        if table.kind == TableKind::Functions {
            values.values = counts.iter().map(|&count| Val::from_u32(count)).collect();
        }
    }
    Ok(Traces { tables, coefficients })
}

fn internal_error(reason: &str) -> BackendError {
    BackendError::Internal(reason.to_owned())
}

/// Counts a lookup of a function.
fn count_lookup(
    plan: &Plan,
    counts: &mut [u32],
    function: u32,
    argument: i64,
) -> Result<(), BackendError> {
    let row = plan
        .functions
        .row(function, argument)
        .ok_or_else(|| internal_error("an argument is not in the function table"))?;
    counts[row] += 1;
    Ok(())
}

/// Returns the value column of hidden inputs. Idle rows have the zero at address 0, whose range is
/// checked by the function of zero.
fn fill_inputs(
    plan: &Plan,
    fixed: &RowMajorMatrix<Val>,
    memory: &[i64],
    counts: &mut [u32],
) -> Result<Vec<Val>, BackendError> {
    let rows = fixed.values.chunks(INPUT_FIXED).map(|fixed| {
        let [address, range] = [0, 1].map(|column| fixed[column].as_canonical_u32());
        let value = memory[address as usize];
        count_lookup(plan, counts, range, value).map(|()| Val::from_i64(value))
    });
    rows.collect()
}

fn fill_products(tile: Tile, fixed: &RowMajorMatrix<Val>, memory: &[i64]) -> Vec<Val> {
    let width = tile.width();
    let mut values = Val::zero_vec(fixed.values.len() / fixed.width * width);
    let rows = values.par_chunks_mut(width).zip(fixed.values.par_chunks(fixed.width));
    rows.for_each(|(row, fixed)| {
        let (inputs, sums) = row.split_at_mut(tile.inputs);
        let after = &mut sums[tile.outputs..];
        let weights = fixed[tile.inputs..].chunks(tile.outputs);
        for ((input, address), weights) in inputs.iter_mut().zip(fixed).zip(weights) {
            *input = Val::from_i64(memory[address.as_canonical_u32() as usize]);
            for (sum, weight) in after.iter_mut().zip(weights) {
                *sum += *weight * *input;
            }
        }
    });
    let mut carried = Val::zero_vec(tile.outputs);
    for (row, fixed) in values.chunks_mut(width).zip(fixed.values.chunks(fixed.width)) {
        let (before, after) = row[tile.inputs..].split_at_mut(tile.outputs);
        let carry = fixed[fixed.len() - 1];
        for ((before, after), carried) in before.iter_mut().zip(after).zip(&mut carried) {
            *before = *carried;
            *after += *before;
            *carried = carry * *after;
        }
    }
    values
}

fn fill_activations(
    plan: &Plan,
    circuit: &Circuit,
    execution: &Execution,
    fixed: &RowMajorMatrix<Val>,
    counts: &mut [u32],
) -> Result<Vec<Val>, BackendError> {
    let lanes = fixed.values.len() / fixed.width * ACTIVATION_LANES;
    let mut values = Vec::with_capacity(lanes * 3);
    for (&(stage, output), fixed) in
        plan.activations.iter().zip(fixed.values.chunks(ACTIVATION_FIXED))
    {
        let (quotient, remainder, value) =
            activation(circuit, execution, stage as usize, output as usize)?;
        count_lookup(plan, counts, fixed[3].as_canonical_u32(), quotient)
            .map_err(|_| BackendError::Unprovable { layer: stage as usize, value: quotient })?;
        count_lookup(plan, counts, fixed[4].as_canonical_u32(), remainder)?;
        values.extend([quotient, remainder, value].map(Val::from_i64));
    }
    for _ in plan.activations.len()..lanes {
        count_lookup(plan, counts, ZERO_FUNCTION, 0)?;
        count_lookup(plan, counts, ZERO_FUNCTION, 0)?;
    }
    values.resize(lanes * 3, Val::ZERO);
    Ok(values)
}

/// Returns quotient, remainder and value of an activation.
fn activation(
    circuit: &Circuit,
    execution: &Execution,
    stage: usize,
    output: usize,
) -> Result<(i64, i64, i64), BackendError> {
    let rescale = match &circuit.stages[stage].kind {
        StageKind::Linear(linear) => linear.rescale,
        StageKind::Product(product) => product.rescale,
        StageKind::MatrixProduct(product) => product.rescale,
        StageKind::Table(table) => {
            let argument = execution.cells[table.cells[output] as usize];
            let value = table
                .value(argument)
                .ok_or_else(|| internal_error("an argument is not in its table"))?;
            return Ok((argument, 0, value));
        }
        StageKind::Max(_) => return Err(internal_error("an activation of a maximum")),
    };
    let sum = execution.sums[stage][output];
    Ok(match rescale {
        Some(rescale) => {
            let (quotient, remainder) = rescale.split(sum);
            (quotient, remainder, rescale.clamp.apply(quotient))
        }
        None => (sum, 0, sum),
    })
}

/// Returns the value columns of multiplications. Idle rows multiply the zero at address 0 with
/// itself.
fn fill_multiplications(fixed: &RowMajorMatrix<Val>, memory: &[i64]) -> Vec<Val> {
    let mut values = Vec::with_capacity(fixed.values.len() / MULTIPLICATION_FIXED * 3);
    for fixed in fixed.values.chunks(MULTIPLICATION_FIXED) {
        let [a, b] = [0, 1].map(|column| memory[fixed[column].as_canonical_u32() as usize]);
        values.extend([a, b, a * b].map(Val::from_i64));
    }
    values
}

fn fill_maxima(
    plan: &Plan,
    fixed: &RowMajorMatrix<Val>,
    memory: &mut [i64],
    counts: &mut [u32],
) -> Result<Vec<Val>, BackendError> {
    let lanes = fixed.values.len() / fixed.width * MAX_LANES;
    let mut values = Vec::with_capacity(lanes * 3);
    for fixed in fixed.values.chunks(MAX_FIXED) {
        let [a, b, address] = [0, 1, 2].map(|column| fixed[column].as_canonical_u32() as usize);
        let (a, b) = (memory[a], memory[b]);
        // Idle lanes read and write the zero at address 0.
        memory[address] = a.max(b);
        count_lookup(plan, counts, POSITIVE_FUNCTION, a - b)?;
        values.extend([a, b, (a - b).max(0)].map(Val::from_i64));
    }
    Ok(values)
}
