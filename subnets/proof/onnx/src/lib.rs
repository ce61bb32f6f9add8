//! ONNX files: reads the float model to quantise, and writes the integer network for verification
//! by other runtimes.
//!
//! The reader does not trust the file. It accepts one input, supported operators sorted as required
//! by the ONNX standard, and weights within the file; everything else is an error that names the
//! node. An attribute or input that is not listed in the reader's rules is refused, because it
//! could change the meaning of its node. [`Model::evaluate`] computes the file's outputs node by
//! node, independently of the network that [`Model::network`] builds. Both compute with more
//! precision than a file in half precision: neither rounds where such a file would. [`compare`]
//! checks the float and the quantised network against it.
//!
//! ```no_run
//! use taonet_proof_core::quantise::{QuantiseOptions, quantise};
//!
//! # fn example(model: &[u8], sample: &[Vec<i64>], inputs: &[i64]) -> Result<(), Box<dyn std::error::Error>> {
//! let network = quantise(&taonet_proof_onnx::read(model)?, &QuantiseOptions::default(), sample)?;
//! let circuit = network.lower()?;
//! let execution = circuit.execute(inputs)?;
//! println!("{:?}", execution.outputs(&circuit));
//! # Ok(())
//! # }
//! ```
//!
//! Softmax, norms, reductions and the like are composed of moves, tables, sums, products and
//! maxima, so that the backends and the analysis of their security know no further constraints.
//!
//! Pure: no clock, no I/O, no randomness.
//!
//! Uses `taonet-proof-core`. Used by `taonet-proof-backends`, `taonet-proof-circuits` and
//! `taonet-proof-lm`, and by the end-to-end tests.

mod compare;
mod dims;
mod elementwise;
mod ensemble;
mod error;
mod evaluate;
mod expansion;
mod export;
mod fold;
mod forest;
mod graph;
mod limits;
mod linear;
mod logic;
mod lookup;
mod moves;
mod node;
mod norms;
mod outputs;
mod proto;
mod quantised;
mod recurrent;
mod reduce;
mod rules;
mod support_vectors;
mod tensor;
mod top;
mod transposed;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message;
use taonet_proof_core::float::{ElementType, FloatNetwork, FloatNode, FloatOperation};
use taonet_proof_core::network::{MAX_MULTIPLY_ADDS, lowered_bytes};
use taonet_proof_core::{MemoryBudget, Shape, Window};

pub use compare::{CompareError, compare};
pub use error::OnnxError;
use error::{invalid_shape, unsupported};
pub use evaluate::Evaluation;
pub use export::export;
pub use graph::{Attribute, GraphWriter};
use proto::{DataType, ModelProto, NodeProto, ValueInfoProto};
use tensor::Constant;

/// Maximum size of a model file, in bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// Maximum number of nodes of a graph.
pub const MAX_NODES: usize = 4096;
/// Maximum number of weights and biases of all nodes; a weight that several nodes read counts for
/// each of them.
pub const MAX_PARAMETERS: u64 = 1 << 26;
/// Maximum number of integers in a list that is not data, such as axes, a shape, or the parts of a
/// Split.
const MAX_LIST: usize = MAX_NODES;
/// Maximum number of dimensions of a tensor.
const MAX_RANK: usize = 32;
/// Maximum number of elements that all nodes together compute: each takes 32 bytes of the 2 GiB
/// that a network may take.
const MAX_COMPUTED: u64 = 1 << 26;
/// Maximum number of elements that all nodes together move.
const MAX_MOVED: usize = 1 << 25;
/// Supported versions of the standard operator set.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// The tensor that a name in the graph refers to.
#[derive(Clone, Debug)]
enum Value {
    /// A computed tensor of the float network, with its dimensions. A reshape changes the
    /// dimensions only.
    Tensor(usize, Vec<usize>),
    /// A constant from the file.
    Constant(Arc<Constant>),
}

impl Value {
    fn is_integers(&self) -> bool {
        matches!(self, Self::Constant(constant) if constant.integers().is_some())
    }
}

fn element_type(kind: DataType) -> ElementType {
    match kind {
        DataType::Bool => ElementType::Boolean,
        DataType::Int32 | DataType::Int64 => ElementType::Integer,
        _ => ElementType::Float,
    }
}

/// A decoded ONNX model with one input and one output.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: Vec<NodeProto>,
    /// Weights of the file, by name.
    constants: HashMap<String, Arc<Constant>>,
    input: String,
    /// Shape of the input without the batch.
    shape: Shape,
    /// Dimensions of the input.
    dims: Vec<usize>,
    input_type: ElementType,
    output: String,
    /// Integers that each weight of 8 bits can have, by name.
    bytes: HashMap<String, [i64; 2]>,
    /// Version of the standard operator set.
    opset: i64,
    /// Human-readable notes on what was omitted.
    notes: Vec<String>,
}

struct Reader {
    network: FloatNetwork,
    opset: i64,
    /// Number of weights and biases so far.
    parameters: u64,
    /// Number of computed elements so far.
    computed: u64,
    /// Number of moved elements so far.
    moved: usize,
    values: HashMap<String, Value>,
    /// Number of nodes that read each name, including the graph's output.
    reads: HashMap<String, usize>,
    /// Tensors that have more than one name.
    renamed: HashSet<usize>,
    /// Type of the elements of each computed tensor, by name.
    types: HashMap<String, ElementType>,
    /// The last product of rows, or scale of columns, which only the move after it reads.
    before_move: Option<usize>,
    /// Tensors from the output of the softmax at the end, if there is one, to the output of the
    /// graph.
    after_softmax: Vec<String>,
    /// Integers that each weight of 8 bits can have, by name.
    bytes: HashMap<String, [i64; 2]>,
    /// Names that only a softmax reads.
    softmax_arguments: HashSet<String>,
}

/// Parses an ONNX model file.
///
/// # Errors
/// When the file is malformed or uses an unsupported feature; see [`OnnxError`].
pub fn read(bytes: &[u8]) -> Result<FloatNetwork, OnnxError> {
    Model::decode(bytes)?.network()
}

impl Model {
    /// Decodes an ONNX model file and its weights.
    ///
    /// # Errors
    /// When the file is malformed, too large, or does not have one input and one output.
    pub fn decode(bytes: &[u8]) -> Result<Self, OnnxError> {
        if bytes.len() > MAX_BYTES {
            return Err(OnnxError::TooLong(bytes.len()));
        }
        if !limits::is_within_limits(bytes) {
            return Err(OnnxError::Parts);
        }
        let mut model =
            ModelProto::decode(bytes).map_err(|error| OnnxError::Malformed(error.to_string()))?;
        let graph =
            model.graph.take().ok_or_else(|| OnnxError::Malformed("no graph".to_owned()))?;
        let opset = opset(&model)?;
        if !model.functions.is_empty() {
            return Err(OnnxError::Feature("functions of its own"));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(OnnxError::Feature("sparse weights"));
        }
        if graph.node.len() > MAX_NODES {
            return Err(OnnxError::Nodes(graph.node.len()));
        }
        let (mut constants, mut bytes) = (HashMap::new(), HashMap::new());
        for weight in &graph.initializer {
            bytes.extend(
                tensor::byte_range(weight.data_type).map(|range| (weight.name.clone(), range)),
            );
            let constant = Arc::new(Constant::read(weight)?);
            if constants.insert(weight.name.clone(), constant).is_some() {
                return Err(OnnxError::Duplicate(weight.name.clone()));
            }
        }
        let inputs: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|input| !constants.contains_key(&input.name)).collect();
        let refuse = || OnnxError::Interface { inputs: inputs.len(), outputs: graph.output.len() };
        let &[input] = &inputs[..] else { return Err(refuse()) };
        let outputs::Chosen { output, notes } = outputs::choose(&graph).ok_or_else(refuse)?;
        // Nodes that compute labels only can have operators that are unsupported.
        let nodes =
            if notes.is_empty() { graph.node } else { outputs::needed(graph.node, &output) };
        let (shape, dims) = input_shape(input)?;
        let kind = input.element().and_then(|element| DataType::try_from(element).ok());
        let input_type = kind.map_or(ElementType::Float, element_type);
        let input = input.name.clone();
        Ok(Self { nodes, constants, input, shape, dims, input_type, output, bytes, opset, notes })
    }

    /// Converts the model to a float network.
    ///
    /// # Errors
    /// When the model uses an unsupported feature; see [`OnnxError`].
    pub fn network(&self) -> Result<FloatNetwork, OnnxError> {
        let constants = self.constants.iter();
        let mut values: HashMap<String, Value> = constants
            .map(|(name, constant)| (name.clone(), Value::Constant(Arc::clone(constant))))
            .collect();
        define(&mut values, &self.input, Value::Tensor(0, self.dims.clone()))?;
        let input_type = self.input_type;
        let network = FloatNetwork {
            input: self.shape,
            nodes: Vec::new(),
            input_type,
            notes: self.notes.clone(),
            names: Vec::new(),
        };
        let reads =
            self.reads().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        let mut reader = Reader {
            network,
            opset: self.opset,
            parameters: 0,
            computed: 0,
            moved: 0,
            values,
            reads,
            renamed: HashSet::new(),
            types: HashMap::from([(self.input.clone(), self.input_type)]),
            before_move: None,
            after_softmax: self.after_softmax().into_iter().map(str::to_owned).collect(),
            bytes: self.bytes.clone(),
            softmax_arguments: self.softmax_arguments().into_iter().map(str::to_owned).collect(),
        };
        for node in &self.nodes {
            reader.check_inputs(&self.nodes, node)?;
            if !reader.fold_constants(self, node)? {
                reader.node(node)?;
            }
            reader.network.name_nodes(&node.describe());
        }
        let network = reader.finish(&self.output)?;
        check_cost(&network)?;
        Ok(network)
    }

    /// Returns the number of nodes that read each name, including the graph's output.
    fn reads(&self) -> HashMap<&str, usize> {
        let mut reads = HashMap::new();
        for name in self.nodes.iter().flat_map(|node| &node.input).chain([&self.output]) {
            *reads.entry(name.as_str()).or_default() += 1;
        }
        reads
    }

    /// Returns the names that only a softmax reads: among them, values far below the others do not
    /// matter.
    fn softmax_arguments(&self) -> HashSet<&str> {
        let is_softmax =
            |node: &&NodeProto| matches!(node.op_type.as_str(), "Softmax" | "LogSoftmax");
        let (softmaxes, others): (Vec<&NodeProto>, Vec<&NodeProto>) =
            self.nodes.iter().partition(is_softmax);
        let mut names: HashSet<&str> =
            softmaxes.into_iter().flat_map(|node| &node.input).map(String::as_str).collect();
        for name in others.into_iter().flat_map(|node| &node.input).chain([&self.output]) {
            names.remove(name.as_str());
        }
        names
    }
}

/// Returns the version of the standard operator set.
fn opset(model: &ModelProto) -> Result<i64, OnnxError> {
    let standard =
        model.opset_import.iter().filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    let version = standard.map(|set| set.version).max().unwrap_or_default();
    // Files with trees only can have no standard operators.
    let has_standard = model.opset_import.iter().any(|set| set.domain != rules::MACHINE_LEARNING);
    let version =
        if has_standard || model.opset_import.is_empty() { version } else { *OPSETS.end() };
    if OPSETS.contains(&version) { Ok(version) } else { Err(OnnxError::Opset(version)) }
}

/// Checks that the network takes no more work and memory than a circuit may take.
fn check_cost(network: &FloatNetwork) -> Result<(), OnnxError> {
    let area = |window: &Window| (window.kernel[0] as u64).saturating_mul(window.kernel[1] as u64);
    let parameters = network.nodes.iter().map(|node| match &node.operation {
        FloatOperation::Dense { weights, bias }
        | FloatOperation::Convolution { weights, bias, .. } => (weights.len() + bias.len()) as u64,
        // The integer network has weights for the mean.
        FloatOperation::AveragePool(window) => {
            area(window).saturating_mul(node.shape.channels as u64)
        }
        FloatOperation::Compare { limits, .. } => 2 * limits.len() as u64,
        _ => 0,
    });
    let parameters = parameters.fold(0, u64::saturating_add);
    if parameters > MAX_PARAMETERS {
        return Err(OnnxError::Parameters(parameters));
    }
    let mut memory = MemoryBudget::new(parameters);
    let mut work = 0_u64;
    for node in &network.nodes {
        let read = node.inputs.first().and_then(|&tensor| network.shape(tensor));
        let (elements, plane) =
            (node.shape.elements() as u64, (node.shape.height * node.shape.width) as u64);
        // Jobs of the lowered layer, and the values that each reads.
        let (jobs, taps) = match &node.operation {
            FloatOperation::Dense { .. } => (1, read.map_or(0, |shape| shape.elements() as u64)),
            FloatOperation::Convolution { window, groups, .. } => {
                let channels = read.map_or(0, |shape| shape.channels) / (*groups).max(1);
                (plane.saturating_mul(*groups as u64), area(window).saturating_mul(channels as u64))
            }
            FloatOperation::Add | FloatOperation::Subtract => (elements, 2),
            FloatOperation::Multiply => (0, 2),
            FloatOperation::MatrixProduct(sizes) => (0, sizes.inner as u64),
            FloatOperation::Function(_) => (0, 1),
            FloatOperation::Move { .. } => (1, 0),
            FloatOperation::ChannelAffine { .. }
            | FloatOperation::Compare { .. }
            | FloatOperation::Negate
            | FloatOperation::Relu => (elements, 1),
            FloatOperation::ChannelSum { .. } => {
                (plane, read.map_or(0, |shape| shape.channels as u64))
            }
            FloatOperation::MaxPool(window) | FloatOperation::AveragePool(window) => {
                (elements, area(window))
            }
        };
        work = work.saturating_add(elements.saturating_mul(taps));
        if work > MAX_MULTIPLY_ADDS {
            return Err(OnnxError::Work(work));
        }
        memory.spend(lowered_bytes(jobs, taps, elements)).map_err(OnnxError::Memory)?;
    }
    Ok(())
}

fn define(values: &mut HashMap<String, Value>, name: &str, value: Value) -> Result<(), OnnxError> {
    let rank = match &value {
        Value::Tensor(_, dims) => dims.len(),
        Value::Constant(constant) => constant.dims.len(),
    };
    if rank > MAX_RANK {
        return Err(OnnxError::Rank(name.to_owned()));
    }
    match values.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Duplicate(name.to_owned())),
    }
}

/// Parses fixed input dimensions; an unknown batch size is treated as 1.
fn input_shape(input: &ValueInfoProto) -> Result<(Shape, Vec<usize>), OnnxError> {
    let refuse = || OnnxError::InputShape(input.name.clone());
    let is_number =
        |element: i32| DataType::try_from(element).is_ok_and(|kind| kind != DataType::Undefined);
    if !input.element().is_some_and(is_number) {
        return Err(refuse());
    }
    let mut dims = input.dimensions().ok_or_else(refuse)?;
    // A single dimension is no batch.
    if let [batch, _, ..] = &mut dims[..] {
        *batch = batch.or(Some(1)).filter(|&size| size == 1);
    }
    let dims: Option<Vec<usize>> =
        dims.iter().map(|dim| dim.and_then(|size| usize::try_from(size).ok())).collect();
    let dims = dims.filter(|dims| !dims.is_empty()).ok_or_else(refuse)?;
    let shape = dims::shape(&dims);
    let shape = shape
        .map_err(|source| OnnxError::Shape { node: format!("input '{}'", input.name), source })?;
    Ok((shape, dims))
}

impl Reader {
    fn check_inputs(&self, nodes: &[NodeProto], node: &NodeProto) -> Result<(), OnnxError> {
        let missing =
            node.input.iter().find(|name| !name.is_empty() && !self.values.contains_key(*name));
        let Some(tensor) = missing else { return Ok(()) };
        let (node, tensor, is_produced) = (
            node.describe(),
            tensor.clone(),
            nodes.iter().any(|other| other.output.contains(tensor)),
        );
        Err(if is_produced {
            OnnxError::Cycle { node, tensor }
        } else {
            OnnxError::Missing { node, tensor }
        })
    }

    /// Appends a node and names its output, which has these dimensions.
    fn push(&mut self, name: &str, node: FloatNode, dims: Vec<usize>) -> Result<(), OnnxError> {
        let tensor = self.push_node(node)?;
        define(&mut self.values, name, Value::Tensor(tensor, dims))
    }

    /// Appends a node without a name; returns its tensor.
    fn push_node(&mut self, node: FloatNode) -> Result<usize, OnnxError> {
        if let FloatOperation::Dense { weights, bias }
        | FloatOperation::Convolution { weights, bias, .. } = &node.operation
        {
            self.count_parameters(weights.len() + bias.len())?;
        }
        self.count_computed(node.shape.elements())?;
        // One node of the file can become several, such as a move before and after a layer.
        if self.network.nodes.len() >= MAX_NODES {
            return Err(OnnxError::Nodes(self.network.nodes.len() + 1));
        }
        self.network.nodes.push(node);
        Ok(self.network.nodes.len())
    }

    /// Counts weights and biases: several nodes can read the same ones.
    fn count_parameters(&mut self, parameters: usize) -> Result<(), OnnxError> {
        self.parameters = self.parameters.saturating_add(parameters as u64);
        if self.parameters > MAX_PARAMETERS {
            Err(OnnxError::Parameters(self.parameters))
        } else {
            Ok(())
        }
    }

    /// Counts computed elements: a few nodes can describe very many.
    fn count_computed(&mut self, elements: usize) -> Result<(), OnnxError> {
        self.computed = self.computed.saturating_add(elements as u64);
        if self.computed > MAX_COMPUTED { Err(OnnxError::Elements(self.computed)) } else { Ok(()) }
    }

    fn finish(mut self, output: &str) -> Result<FloatNetwork, OnnxError> {
        let last = match self.values.get(output) {
            Some(Value::Tensor(last, _)) => *last,
            Some(Value::Constant(_)) => return Err(OnnxError::Empty),
            None => {
                return Err(OnnxError::Missing {
                    node: "the graph's output".to_owned(),
                    tensor: output.to_owned(),
                });
            }
        };
        if last == 0 {
            return Err(OnnxError::Empty);
        }
        self.network.nodes.truncate(last);
        self.network.names.truncate(last);
        // Functions that are part of longer ones have no readers.
        self.network.remove_unread();
        Ok(self.network)
    }
}

#[cfg(test)]
mod tests;
