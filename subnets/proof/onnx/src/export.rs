//! Writes an integer network as an ONNX file of 64-bit integer operators, so that any other runtime can check the
//! executor: gather the cells of each kernel's slots, multiply by the weights, add, divide, clip.

use std::collections::HashMap;

use prost::Message;
use taonet_proof_core::circuit::{Cell, Circuit, Linear, MatrixProduct, Max, Product, StageKind, Table};
use taonet_proof_core::network::Matrices;
use taonet_proof_core::{Range, Rescale};

use super::proto::{
    AttributeKind, AttributeProto, DataType, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// Exports a circuit as an ONNX file: input `cells` and output `outputs`, both vectors of 64-bit integers.
pub fn export(circuit: &Circuit) -> Vec<u8> {
    let mut graph = GraphProto { name: "taonet".to_owned(), ..GraphProto::default() };
    graph.input.push(vector("cells", circuit.inputs));
    graph.output.push(vector("outputs", circuit.outputs.len()));
    let mut writer = Writer { graph, names: 0 };
    let zero = writer.integers(&[1], vec![0]);
    // Memory so far; the zero cell at the front is used for padding.
    let mut memory = writer.node("Concat", &[&zero, "cells"], &[("axis", 0)]);
    // A move without a constant writes no cells.
    for stage in circuit.stages.iter().filter(|stage| stage.count > 0) {
        let values = match &stage.kind {
            // The constant of a move.
            StageKind::Linear(linear) if linear.kernels.iter().all(|kernel| kernel.slots == 0) => {
                writer.integers(&[stage.count], linear.bias.clone())
            }
            StageKind::Linear(linear) => writer.linear(&memory, linear, stage.count),
            StageKind::Max(max) => writer.max(&memory, max),
            StageKind::Table(table) => writer.table(&memory, table),
            StageKind::Product(product) => writer.product(&memory, product),
            StageKind::MatrixProduct(product) => writer.matrix_product(&memory, product),
        };
        memory = writer.node("Concat", &[&memory, &values], &[("axis", 0)]);
    }
    let outputs =
        writer.integers(&[circuit.outputs.len()], circuit.outputs.iter().map(|&cell| address(cell)).collect());
    writer.push("Gather", &[&memory, &outputs], "outputs", &[]);
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "taonet".to_owned(),
        graph: Some(writer.graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// Returns the position of a cell in memory, after the zero cell.
fn address(cell: Cell) -> i64 {
    i64::from(cell) + 1
}

fn vector(name: &str, length: usize) -> ValueInfoProto {
    let dim = vec![DimensionProto { value: Some(DimensionValue::Size(length.cast_signed() as i64)) }];
    let tensor = TensorTypeProto { element: DataType::Int64 as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}

struct Writer {
    graph: GraphProto,
    names: usize,
}

impl Writer {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("t{}", self.names)
    }

    fn integers(&mut self, dims: &[usize], values: Vec<i64>) -> String {
        let name = self.name();
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| dim.cast_signed() as i64).collect(),
            data_type: DataType::Int64 as i32,
            name: name.clone(),
            raw_data: values.into_iter().flat_map(i64::to_le_bytes).collect(),
            ..TensorProto::default()
        });
        name
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, i64)]) -> String {
        let name = self.name();
        self.push(operator, inputs, &name, attributes);
        name
    }

    fn push(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) {
        let attribute = attributes.iter().map(|&(name, value)| AttributeProto {
            name: name.to_owned(),
            i: value,
            kind: AttributeKind::Int as i32,
            ..AttributeProto::default()
        });
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            op_type: operator.to_owned(),
            attribute: attribute.collect(),
            ..NodeProto::default()
        });
    }

    fn linear(&mut self, memory: &str, linear: &Linear, count: usize) -> String {
        let mut parts = Vec::new();
        // Position of each output's sum in the concatenated products.
        let mut order = vec![0_i64; count];
        let mut position = 0;
        for (index, kernel) in linear.kernels.iter().enumerate() {
            let jobs: Vec<_> = linear.jobs.iter().filter(|job| job.kernel == index).collect();
            let rows = kernel.weights.len() / kernel.slots.max(1);
            let mut cells = vec![0_i64; jobs.len() * kernel.slots];
            for (job, slots) in jobs.iter().zip(cells.chunks_mut(kernel.slots.max(1))) {
                let taps: HashMap<usize, Cell> = job.taps.iter().map(|tap| (tap.slot as usize, tap.cell)).collect();
                for (slot, cell) in slots.iter_mut().enumerate() {
                    *cell = taps.get(&slot).map_or(0, |&cell| address(cell));
                }
                for &output in &job.outputs {
                    if let Some(place) = order.get_mut(output as usize) {
                        *place = position;
                    }
                    position += 1;
                }
            }
            let cells = self.integers(&[jobs.len(), kernel.slots], cells);
            let columns = (0..kernel.slots).flat_map(|slot| kernel.weights.iter().skip(slot).step_by(kernel.slots));
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
        linear.rescale.map_or(sums.clone(), |rescale| self.rescale(&sums, rescale, &linear.sums))
    }

    /// Looks up the value of each cell.
    fn table(&mut self, memory: &str, table: &Table) -> String {
        let cells = self.integers(&[table.cells.len()], table.cells.iter().map(|&cell| address(cell)).collect());
        let arguments = self.node("Gather", &[memory, &cells], &[]);
        let low = self.integers(&[], vec![table.arguments.low]);
        let positions = self.node("Sub", &[&arguments, &low], &[]);
        let values = self.integers(&[table.values.len()], table.values.iter().copied().map(i64::from).collect());
        self.node("Gather", &[&values, &positions], &[])
    }

    fn product(&mut self, memory: &str, product: &Product) -> String {
        let [a, b] = [0, 1].map(|side: usize| {
            let cells = product.pairs.iter().filter_map(|pair| pair.get(side)).map(|&cell| address(cell)).collect();
            let cells = self.integers(&[product.pairs.len()], cells);
            self.node("Gather", &[memory, &cells], &[])
        });
        let products = self.node("Mul", &[&a, &b], &[]);
        product.rescale.map_or(products.clone(), |rescale| self.rescale(&products, rescale, &product.sums))
    }

    fn matrix_product(&mut self, memory: &str, product: &MatrixProduct) -> String {
        let Matrices { count, rows, inner, columns } = product.sizes;
        let sides = [(&product.a, [count, rows, inner]), (&product.b, [count, inner, columns])];
        let [a, b] = sides.map(|(cells, dims)| {
            let cells = self.integers(&dims, cells.iter().map(|&cell| address(cell)).collect());
            self.node("Gather", &[memory, &cells], &[])
        });
        let products = self.node("MatMul", &[&a, &b], &[]);
        let flat = self.integers(&[1], vec![-1]);
        let sums = self.node("Reshape", &[&products, &flat], &[]);
        product.rescale.map_or(sums.clone(), |rescale| self.rescale(&sums, rescale, &product.sums))
    }

    /// Rescales sums. ONNX division rounds towards zero, so an offset makes the dividends non-negative.
    fn rescale(&mut self, sums: &str, rescale: Rescale, range: &Range) -> String {
        let divisor = 1_i64 << rescale.shift;
        let lowest = rescale.quotients(range).low.min(0).unsigned_abs().cast_signed();
        let raise = self.integers(&[], vec![rescale.half() + lowest * divisor]);
        let raised = self.node("Add", &[sums, &raise], &[]);
        let divisor = self.integers(&[], vec![divisor]);
        let quotient = self.node("Div", &[&raised, &divisor], &[]);
        let lowest = self.integers(&[], vec![lowest]);
        let quotient = self.node("Sub", &[&quotient, &lowest], &[]);
        let range = rescale.clamp.range();
        let (low, high) = (self.integers(&[], vec![range.low]), self.integers(&[], vec![range.high]));
        self.node("Clip", &[&quotient, &low, &high], &[])
    }

    /// Computes maxima of groups, padded with their first cell, which does not change the maximum.
    fn max(&mut self, memory: &str, max: &Max) -> String {
        let width = max.groups.iter().map(Vec::len).max().unwrap_or_default();
        let cells = max.groups.iter().flat_map(|group| {
            let first = group.first().copied().unwrap_or_default();
            (0..width).map(move |index| address(group.get(index).copied().unwrap_or(first)))
        });
        let cells = cells.collect();
        let cells = self.integers(&[max.groups.len(), width], cells);
        let gathered = self.node("Gather", &[memory, &cells], &[]);
        let largest = self.node_with_axes("ReduceMax", &gathered, 1);
        let flat = self.integers(&[1], vec![-1]);
        self.node("Reshape", &[&largest, &flat], &[])
    }

    /// Appends a reduction, which in this operator set takes its axes as an attribute.
    fn node_with_axes(&mut self, operator: &str, input: &str, axis: i64) -> String {
        let name = self.node(operator, &[input], &[]);
        if let Some(node) = self.graph.node.last_mut() {
            let axes = AttributeProto {
                name: "axes".to_owned(),
                ints: vec![axis],
                kind: AttributeKind::Ints as i32,
                ..AttributeProto::default()
            };
            node.attribute.push(axes);
        }
        name
    }
}
