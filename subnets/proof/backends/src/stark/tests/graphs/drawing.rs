//! Random graphs of nodes of all kinds.

mod further;
mod learned;

use rand::Rng as _;
use rand::rngs::StdRng;
use taonet_proof_onnx::{Attribute, GraphWriter};

use crate::testing;

/// The first of the kinds that [`RandomGraph::append_further`] appends.
const FIRST_FURTHER: usize = 21;
/// The first of the kinds that [`RandomGraph::append_learned`] appends.
const FIRST_LEARNED: usize = FIRST_FURTHER + further::NODES;
/// Number of kinds of nodes that [`RandomGraph::append_nodes`] can append.
pub(super) const NODES: usize = FIRST_LEARNED + learned::NODES;

/// Functions of one operand that are defined for all numbers.
const FUNCTIONS: [&str; 23] = [
    "Abs",
    "Asinh",
    "Atan",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Neg",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Tanh",
];

/// A graph whose nodes are drawn one by one.
struct RandomGraph {
    generator: StdRng,
    graph: GraphWriter,
    /// Name and last two dimensions of each tensor, which has three.
    tensors: Vec<(String, [usize; 2])>,
}

fn signed(number: usize) -> i64 {
    number.cast_signed() as i64
}

/// Returns the file of a graph of random nodes of these kinds, after the conversion of its integer
/// input to small numbers.
pub(super) fn file_of(seed: u64, kinds: &[usize]) -> Vec<u8> {
    let mut generator = testing::generator(seed);
    let dims = [generator.random_range(1..=3), generator.random_range(2..=4)];
    let graph = GraphWriter::new("x", &[1, dims[0], dims[1]]);
    let mut random_graph = RandomGraph { generator, graph, tensors: Vec::new() };
    let floats = random_graph.node_with("Cast", &["x"], &[Attribute::Int("to", 1)]);
    let unit = random_graph.scalar(1.0 / 32.0);
    let scaled = random_graph.node("Mul", &[&floats, &unit]);
    random_graph.tensors.push((scaled, dims));
    for &kind in kinds {
        let tensor = random_graph.append_nodes(kind);
        random_graph.tensors.push(tensor);
    }
    let RandomGraph { graph, tensors, .. } = random_graph;
    let [rows, columns] = tensors[tensors.len() - 1].1;
    graph.finish("y", &[1, rows, columns], false, 23)
}

impl RandomGraph {
    fn node(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.graph.node(operator, inputs, &[])
    }

    fn node_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> String {
        self.graph.node(operator, inputs, attributes)
    }

    fn weights(&mut self, dims: &[usize]) -> String {
        let count: usize = dims.iter().product();
        let weight = |_| self.generator.random_range(-6..=6_i8);
        let weights: Vec<f32> =
            (0..count).map(weight).map(|weight| f32::from(weight) / 8.0).collect();
        self.graph.floats(dims, weights)
    }

    fn scalar(&mut self, value: f32) -> String {
        self.graph.floats(&[], [value])
    }

    fn integers(&mut self, values: &[i64]) -> String {
        self.graph.integers(&[values.len()], values.iter().copied())
    }

    fn extent(&mut self, max: usize) -> usize {
        self.generator.random_range(1..=max)
    }

    fn one_of<'a>(&mut self, operators: &[&'a str]) -> &'a str {
        operators[self.generator.random_range(0..operators.len())]
    }

    /// Returns a tensor with these dimensions, such as the last one.
    fn tensor_with_dims(&mut self, dims: [usize; 2]) -> String {
        let candidates: Vec<&String> =
            self.tensors.iter().filter(|tensor| tensor.1 == dims).map(|tensor| &tensor.0).collect();
        candidates[self.generator.random_range(0..candidates.len())].clone()
    }

    /// Appends nodes of a kind, which read the last tensor.
    fn append_nodes(&mut self, kind: usize) -> (String, [usize; 2]) {
        let (last, dims) = self.tensors[self.tensors.len() - 1].clone();
        let (x, [rows, columns]) = (last.as_str(), dims);
        let last_axis = [Attribute::Int("axis", -1)];
        match kind {
            0 => {
                let outputs = self.extent(4);
                let weights = self.weights(&[columns, outputs]);
                (self.node("MatMul", &[x, &weights]), [rows, outputs])
            }
            1 => {
                let operator = self.one_of(&FUNCTIONS);
                (self.node(operator, &[x]), dims)
            }
            2 => {
                let operator = self.one_of(&["Add", "Sub", "Sum", "Mean", "Mul", "Max", "Min"]);
                let other = self.tensor_with_dims(dims);
                (self.node(operator, &[x, &other]), dims)
            }
            3 => {
                let operator = self.one_of(&["Softmax", "LogSoftmax"]);
                (self.node_with(operator, &[x], &last_axis), dims)
            }
            4 => {
                let operator = self.one_of(&["LayerNormalization", "RMSNormalization"]);
                let scale = self.weights(&[columns]);
                let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", 1e-2)];
                (self.node_with(operator, &[x, &scale], &attributes), dims)
            }
            5 => {
                let (scale, bias) = (self.weights(&[rows]), self.weights(&[rows]));
                let epsilon = [Attribute::Float("epsilon", 1e-2)];
                (self.node_with("InstanceNormalization", &[x, &scale, &bias], &epsilon), dims)
            }
            6 => {
                let operators = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"];
                let (operator, axis) = (self.one_of(&operators), self.extent(2));
                let axes = self.integers(&[signed(axis)]);
                let reduced = if axis == 1 { [1, columns] } else { [rows, 1] };
                (self.node(operator, &[x, &axes]), reduced)
            }
            7 => {
                let order = [Attribute::Ints("perm", &[0, 2, 1])];
                (self.node_with("Transpose", &[x], &order), [columns, rows])
            }
            8 => self.append_move(x, dims),
            9 => {
                let order = [Attribute::Ints("perm", &[0, 2, 1])];
                let transposed = self.node_with("Transpose", &[x], &order);
                (self.node("MatMul", &[x, &transposed]), [rows, rows])
            }
            10..FIRST_FURTHER => self.append_pattern(kind, x, dims),
            FIRST_FURTHER..FIRST_LEARNED => self.append_further(kind - FIRST_FURTHER, x, dims),
            _ => self.append_learned(kind - FIRST_LEARNED, x, dims),
        }
    }

    /// Appends several nodes that belong together.
    fn append_pattern(
        &mut self,
        kind: usize,
        x: &str,
        [rows, columns]: [usize; 2],
    ) -> (String, [usize; 2]) {
        let (dims, last_axis) = ([rows, columns], [Attribute::Int("axis", -1)]);
        match kind {
            10 => {
                let other = self.tensor_with_dims(dims);
                let operator = self.one_of(&["Greater", "GreaterOrEqual", "Less", "LessOrEqual"]);
                let condition = self.node(operator, &[x, &other]);
                let negative = self.node("Neg", &[x]);
                (self.node("Where", &[&condition, &negative, &other]), dims)
            }
            11 => {
                let other = self.tensor_with_dims(dims);
                let gate = self.node("Sigmoid", &[&other]);
                let half = self.scalar(0.5);
                let divisor = self.node("Add", &[&gate, &half]);
                (self.node("Div", &[x, &divisor]), dims)
            }
            12 => {
                let [low, high] = [-0.5, 0.75].map(|limit| self.scalar(limit));
                (self.node("Clip", &[x, &low, &high]), dims)
            }
            13 => {
                let position = self.node_with("ArgMax", &[x], &last_axis);
                (self.node_with("Cast", &[&position], &[Attribute::Int("to", 1)]), [rows, 1])
            }
            14 => {
                let without_kept_dims = [Attribute::Int("axis", -1), Attribute::Int("keepdims", 0)];
                let position = self.node_with("ArgMax", &[x], &without_kept_dims);
                let width = self.extent(3);
                let table = self.weights(&[columns, width]);
                let rows_of_table = [Attribute::Int("axis", 0)];
                (self.node_with("Gather", &[&table, &position], &rows_of_table), [rows, width])
            }
            15 => {
                let scale = self.scalar(0.0625);
                let quantised = self.node("QuantizeLinear", &[x, &scale]);
                (self.node("DequantizeLinear", &[&quantised, &scale]), dims)
            }
            16 => self.recurrent(x, dims),
            17 => self.window(x, dims),
            18 => self.append_other_function(x, dims),
            // Of a single column, there is nothing to choose.
            19 if columns > 1 => {
                let k = self.extent(columns);
                let count = self.integers(&[signed(k)]);
                let largest = self.generator.random_range(0..=1);
                let attributes = [Attribute::Int("axis", -1), Attribute::Int("largest", largest)];
                (self.node_with("TopK", &[x, &count], &attributes), [rows, k])
            }
            _ => self.append_repeat(x, dims),
        }
    }

    /// Appends a convolution or pool over the columns, of which each row is a channel.
    fn window(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let outputs = self.extent(3);
        let kernel = [Attribute::Ints("kernel_shape", &[2]), Attribute::Ints("pads", &[0, 1])];
        let [channels, width, filters] = [rows, columns, outputs].map(signed);
        match self.extent(4) {
            1 => {
                let weights = self.weights(&[outputs, rows, 2]);
                (self.node_with("Conv", &[x, &weights], &kernel), [outputs, columns])
            }
            2 => {
                let weights = self.weights(&[rows, 1, 2]);
                let attributes = [kernel[0], kernel[1], Attribute::Int("group", channels)];
                (self.node_with("Conv", &[x, &weights], &attributes), [rows, columns])
            }
            3 => {
                let weights = self.weights(&[rows, outputs, 1, 2]);
                let dims = self.integers(&[1, channels, 1, width]);
                let plane = self.node("Reshape", &[x, &dims]);
                let wider = self.node("ConvTranspose", &[&plane, &weights]);
                let dims = self.integers(&[1, filters, width + 1]);
                (self.node("Reshape", &[&wider, &dims]), [outputs, columns + 1])
            }
            _ => {
                let operator = self.one_of(&["AveragePool", "MaxPool"]);
                (self.node_with(operator, &[x], &kernel), [rows, columns])
            }
        }
    }

    /// Appends a function of integers, of positive numbers, or with a constant.
    fn append_other_function(&mut self, x: &str, dims: [usize; 2]) -> (String, [usize; 2]) {
        let result = match self.extent(3) {
            1 => {
                let operator = self.one_of(&["Ceil", "Floor", "Round", "Sign"]);
                self.node(operator, &[x])
            }
            2 => {
                let (magnitude, half) = (self.node("Abs", &[x]), self.scalar(0.5));
                let positive = self.node("Add", &[&magnitude, &half]);
                let operator = self.one_of(&["Log", "Reciprocal", "Sqrt"]);
                self.node(operator, &[&positive])
            }
            _ => {
                let operator = self.one_of(&["Pow", "Max", "Mod", "Greater"]);
                let two = self.scalar(2.0);
                match operator {
                    "Mod" => self.node_with(operator, &[x, &two], &[Attribute::Int("fmod", 1)]),
                    "Greater" => {
                        let result = self.node(operator, &[x, &two]);
                        self.node_with("Cast", &[&result], &[Attribute::Int("to", 1)])
                    }
                    _ => self.node(operator, &[x, &two]),
                }
            }
        };
        (result, dims)
    }

    /// Appends a node that repeats elements, or puts all into one row.
    fn append_repeat(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        if self.extent(2) == 1 {
            let repeats = self.integers(&[1, 1, 2]);
            (self.node("Tile", &[x, &repeats]), [rows, 2 * columns])
        } else {
            let dims = self.integers(&[1, 1, -1]);
            (self.node("Reshape", &[x, &dims]), [1, rows * columns])
        }
    }

    /// Appends a node that only moves elements.
    fn append_move(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let last_axis = [Attribute::Int("axis", -1)];
        match self.extent(4) {
            1 => {
                let [first, end, axis] =
                    [columns / 2, columns, 2].map(|number| self.integers(&[signed(number)]));
                (self.node("Slice", &[x, &first, &end, &axis]), [rows, columns - columns / 2])
            }
            2 => {
                let other = self.tensor_with_dims([rows, columns]);
                (self.node_with("Concat", &[x, &other], &last_axis), [rows, 2 * columns])
            }
            3 => {
                let pads = self.integers(&[0, 0, 1, 0, 1, 0]);
                let zero = self.scalar(0.0);
                (self.node("Pad", &[x, &pads, &zero]), [rows + 1, columns + 1])
            }
            _ => {
                let columns_of: Vec<i64> =
                    (0..3).map(|_| signed(self.generator.random_range(0..columns))).collect();
                let order = self.integers(&columns_of);
                (self.node_with("Gather", &[x, &order], &last_axis), [rows, 3])
            }
        }
    }

    /// Appends a recurrent cell, for which each row is a step.
    fn recurrent(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let (operator, gates) = [("RNN", 1), ("GRU", 3), ("LSTM", 4)][self.extent(3) - 1];
        let hidden = self.extent(2);
        let steps_first = [Attribute::Ints("perm", &[1, 0, 2])];
        let steps = self.node_with("Transpose", &[x], &steps_first);
        let weights = self.weights(&[1, gates * hidden, columns]);
        let state_weights = self.weights(&[1, gates * hidden, hidden]);
        let size = [Attribute::Int("hidden_size", signed(hidden))];
        let states = self.node_with(operator, &[&steps, &weights, &state_weights], &size);
        let dims = self.integers(&[1, -1, signed(hidden)]);
        (self.node("Reshape", &[&states, &dims]), [rows, hidden])
    }
}
