//! Writes an integer network as an ONNX file of 64-bit integer operators, so that any other runtime
//! can check the executor: gather the cells of each kernel's slots, multiply by the weights, add,
//! divide, clip.

use std::collections::HashMap;

use taonet_proof_core::circuit::{
    Cell, Circuit, Linear, MatrixProduct, Max, Product, StageKind, Table,
};
use taonet_proof_core::network::Matrices;
use taonet_proof_core::{Range, Rescale};

use super::{Attribute, GraphWriter};

const OPSET: i64 = 17;
const INPUT: &str = "cells";

/// Exports a circuit as an ONNX file: input `cells` and output `outputs`, both vectors of 64-bit
/// integers.
pub fn export(circuit: &Circuit) -> Vec<u8> {
    let mut writer = CircuitWriter(GraphWriter::new(INPUT, &[circuit.inputs]));
    let zero = writer.integers(&[1], vec![0]);
    // Memory so far; the zero cell at the front is used for padding.
    let mut memory = writer.node("Concat", &[&zero, INPUT], &[("axis", 0)]);
    // A move without a constant writes no cells.
    for stage in circuit.stages.iter().filter(|stage| stage.count > 0) {
        let values = match &stage.kind {
            // The constant of a move.
            StageKind::Linear(linear) if linear.kernels.iter().all(|kernel| kernel.slots == 0) => {
                writer.integers(&[stage.count], linear.bias.clone())
            }
            StageKind::Linear(linear) => writer.append_linear(&memory, linear, stage.count),
            StageKind::Max(max) => writer.append_max(&memory, max),
            StageKind::Table(table) => writer.append_table(&memory, table),
            StageKind::Product(product) => writer.append_product(&memory, product),
            StageKind::MatrixProduct(product) => writer.append_matrix_product(&memory, product),
        };
        memory = writer.node("Concat", &[&memory, &values], &[("axis", 0)]);
    }
    let count = circuit.outputs.len();
    let outputs =
        writer.integers(&[count], circuit.outputs.iter().map(|&cell| address(cell)).collect());
    writer.node("Gather", &[&memory, &outputs], &[]);
    writer.0.finish("outputs", &[count], true, OPSET)
}

/// Returns the position of a cell in memory, after the zero cell.
fn address(cell: Cell) -> i64 {
    i64::from(cell) + 1
}

struct CircuitWriter(GraphWriter);

impl CircuitWriter {
    fn integers(&mut self, dims: &[usize], values: Vec<i64>) -> String {
        self.0.integers(dims, values)
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, i64)]) -> String {
        let attributes: Vec<_> =
            attributes.iter().map(|&(name, value)| Attribute::Int(name, value)).collect();
        self.0.node(operator, inputs, &attributes)
    }

    fn append_linear(&mut self, memory: &str, linear: &Linear, count: usize) -> String {
        let mut parts = Vec::new();
        // Position of each output's sum in the concatenated products.
        let mut order = vec![0_i64; count];
        let mut position = 0;
        for (index, kernel) in linear.kernels.iter().enumerate() {
            let jobs: Vec<_> = linear.jobs.iter().filter(|job| job.kernel == index).collect();
            let rows = kernel.weights.len() / kernel.slots.max(1);
            let mut cells = vec![0_i64; jobs.len() * kernel.slots];
            for (job, slots) in jobs.iter().zip(cells.chunks_mut(kernel.slots.max(1))) {
                let taps: HashMap<usize, Cell> =
                    job.taps.iter().map(|tap| (tap.slot as usize, tap.cell)).collect();
                for (slot, cell) in slots.iter_mut().enumerate() {
                    *cell = taps.get(&slot).map_or(0, |&cell| address(cell));
                }
                for &output in &job.outputs {
                    if let Some(slot) = order.get_mut(output as usize) {
                        *slot = position;
                    }
                    position += 1;
                }
            }
            let cells = self.integers(&[jobs.len(), kernel.slots], cells);
            let columns = (0..kernel.slots)
                .flat_map(|slot| kernel.weights.iter().skip(slot).step_by(kernel.slots));
            let weights = columns.map(|&weight| i64::from(weight)).collect();
            let weights = self.integers(&[kernel.slots, rows], weights);
            let gathered = self.node("Gather", &[memory, &cells], &[]);
            let product = self.node("MatMul", &[&gathered, &weights], &[]);
            let flat = self.integers(&[1], vec![-1]);
            parts.push(self.node("Reshape", &[&product, &flat], &[]));
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let products = self.node("Concat", &parts, &[("axis", 0)]);
        let order = self.integers(&[count], order);
        let sums = self.node("Gather", &[&products, &order], &[]);
        let bias = self.integers(&[count], linear.bias.clone());
        let sums = self.node("Add", &[&sums, &bias], &[]);
        linear
            .rescale
            .map_or(sums.clone(), |rescale| self.append_rescale(&sums, rescale, &linear.sums))
    }

    /// Looks up the value of each cell.
    fn append_table(&mut self, memory: &str, table: &Table) -> String {
        let cells = self.integers(
            &[table.cells.len()],
            table.cells.iter().map(|&cell| address(cell)).collect(),
        );
        let arguments = self.node("Gather", &[memory, &cells], &[]);
        let low = self.integers(&[], vec![table.arguments.low]);
        let positions = self.node("Sub", &[&arguments, &low], &[]);
        let values = self
            .integers(&[table.values.len()], table.values.iter().copied().map(i64::from).collect());
        self.node("Gather", &[&values, &positions], &[])
    }

    fn append_product(&mut self, memory: &str, product: &Product) -> String {
        let [a, b] = [0, 1].map(|side: usize| {
            let cells = product
                .pairs
                .iter()
                .filter_map(|pair| pair.get(side))
                .map(|&cell| address(cell))
                .collect();
            let cells = self.integers(&[product.pairs.len()], cells);
            self.node("Gather", &[memory, &cells], &[])
        });
        let products = self.node("Mul", &[&a, &b], &[]);
        product.rescale.map_or(products.clone(), |rescale| {
            self.append_rescale(&products, rescale, &product.sums)
        })
    }

    fn append_matrix_product(&mut self, memory: &str, product: &MatrixProduct) -> String {
        let Matrices { count, rows, inner, columns } = product.sizes;
        let operands = [(&product.a, [count, rows, inner]), (&product.b, [count, inner, columns])];
        let [a, b] = operands.map(|(cells, dims)| {
            let cells = self.integers(&dims, cells.iter().map(|&cell| address(cell)).collect());
            self.node("Gather", &[memory, &cells], &[])
        });
        let products = self.node("MatMul", &[&a, &b], &[]);
        let flat = self.integers(&[1], vec![-1]);
        let sums = self.node("Reshape", &[&products, &flat], &[]);
        product
            .rescale
            .map_or(sums.clone(), |rescale| self.append_rescale(&sums, rescale, &product.sums))
    }

    /// Rescales sums. ONNX division rounds towards zero, so an offset makes the dividends
    /// non-negative.
    fn append_rescale(&mut self, sums: &str, rescale: Rescale, range: &Range) -> String {
        let divisor = 1_i64 << rescale.shift;
        let lowest = rescale.quotients(range).low.min(0).unsigned_abs().cast_signed();
        let addend = self.integers(&[], vec![rescale.half() + lowest * divisor]);
        let positive_sums = self.node("Add", &[sums, &addend], &[]);
        let divisor = self.integers(&[], vec![divisor]);
        let quotient = self.node("Div", &[&positive_sums, &divisor], &[]);
        let lowest = self.integers(&[], vec![lowest]);
        let quotient = self.node("Sub", &[&quotient, &lowest], &[]);
        let range = rescale.clamp.range();
        let (low, high) =
            (self.integers(&[], vec![range.low]), self.integers(&[], vec![range.high]));
        self.node("Clip", &[&quotient, &low, &high], &[])
    }

    /// Computes maxima of groups, padded with their first cell, which does not change the maximum.
    fn append_max(&mut self, memory: &str, max: &Max) -> String {
        let width = max.groups.iter().map(Vec::len).max().unwrap_or_default();
        let cells = max.groups.iter().flat_map(|group| {
            let first = group.first().copied().unwrap_or_default();
            (0..width).map(move |index| address(group.get(index).copied().unwrap_or(first)))
        });
        let cells = cells.collect();
        let cells = self.integers(&[max.groups.len(), width], cells);
        let gathered = self.node("Gather", &[memory, &cells], &[]);
        // In this operator set, the axes are an attribute.
        let largest = self.0.node("ReduceMax", &[&gathered], &[Attribute::Ints("axes", &[1])]);
        let flat = self.integers(&[1], vec![-1]);
        self.node("Reshape", &[&largest, &flat], &[])
    }
}
