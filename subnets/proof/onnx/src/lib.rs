//! ONNX models as networks: reads the float model to quantise, and writes the integer network for
//! verification by other runtimes.
//!
//! The reader accepts supported operators sorted as required by the ONNX standard, and weights
//! within the file; everything else is an error that names the node. A network has one input and
//! one output: those of several inputs or outputs follow each other, and [`FloatNetwork::inputs`]
//! and [`FloatNetwork::outputs`] name them. [`Model::evaluate`] computes the file's outputs node by
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
//! The reader is not based on `tract-onnx`, whose task is to execute models: it accepts what it can
//! execute, and optimises it for the processor. Here, whatever is not understood has to be refused,
//! because a circuit proves what the reader has read. Every attribute, input and version of an
//! operator set is compared with the rules, and sizes are limited before memory is allocated. The
//! mask of a softmax, and functions that exporters write as several nodes, are recognised in the
//! nodes of the file. The reference has the same values on every machine: [`Model::evaluate`] is in
//! double precision and uses no kernels of the processor.
//!
//! Softmax, norms, reductions and the like are composed of moves, tables, sums, products and
//! maxima, so that the backends and the analysis of their security know no further constraints.
//!
//! Files are decoded, checked and evaluated by `taonet-proof-onnx-file`. Pure: no clock, no I/O, no
//! randomness.
//!
//! Uses `taonet-proof-core` and `taonet-proof-onnx-file`. Used by `taonet-proof-backends`,
//! `taonet-proof-circuits` and `taonet-proof-lm`, and by the end-to-end tests.

mod compare;
mod composed;
mod elementwise;
mod expansion;
mod export;
mod fold;
mod forest;
mod gather;
mod linear;
mod logic;
mod lookup;
mod matrices;
mod moves;
mod node;
mod norms;
mod quantised;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod support_vectors;
mod top;
mod transposed;
mod windows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use taonet_proof_core::float::{ElementType, FloatNetwork, FloatNode, FloatOperation};
use taonet_proof_core::metadata::TensorPart;
use taonet_proof_core::network::{MAX_MULTIPLY_ADDS, lowered_bytes};
use taonet_proof_core::{MemoryBudget, Shape, Window};
use taonet_proof_onnx_file::proto::NodeProto;
use taonet_proof_onnx_file::tensor::Constant;
use taonet_proof_onnx_file::types::{element_type, output_type};
use taonet_proof_onnx_file::{
    MASKED, MAX_COMPUTED_ELEMENTS, MAX_LIST, MAX_RANK, ModelFile, ModelInput, UINT8_RANGE, dims,
    ensemble, invalid_shape, proto, rules, tensor, unsupported,
};

pub use compare::{CompareError, compare};
pub use export::export;
pub use taonet_proof_onnx_file::{
    Attribute, Evaluation, GraphWriter, MAX_BYTES, MAX_NODES, MAX_PARAMETERS, OPSETS, OnnxError,
    ReadOptions,
};

/// Maximum number of elements that all nodes together move.
const MAX_MOVED_ELEMENTS: usize = 1 << 25;

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
    /// Returns the dimensions that a node sees.
    fn dims(&self) -> &[usize] {
        match self {
            Self::Tensor(_, dims) => dims,
            Self::Constant(constant) => &constant.dims,
        }
    }

    fn is_integers(&self) -> bool {
        matches!(self, Self::Constant(constant) if constant.integers().is_some())
    }
}

/// A decoded ONNX model.
#[derive(Clone, Debug)]
pub struct Model {
    file: ModelFile,
}

/// Converts the nodes of a file to a float network.
struct Reader {
    network: FloatNetwork,
    opset: i64,
    /// Number of weights and biases so far.
    parameters: u64,
    /// Number of computed elements so far.
    computed_elements: u64,
    /// Number of moved elements so far.
    moved_elements: usize,
    values: HashMap<String, Value>,
    /// Number of nodes that read each name, including the graph's output.
    use_counts: HashMap<String, usize>,
    /// Tensors that have more than one name.
    aliased_tensors: HashSet<usize>,
    /// Type of the elements of each computed tensor, by name.
    element_types: HashMap<String, ElementType>,
    /// The last product of rows, or scale of columns, which only the move after it reads.
    before_move: Option<usize>,
    /// Tensors from the output of the softmax at the end, if there is one, to the output of the
    /// graph.
    after_softmax: Vec<String>,
    /// Integers that each weight of 8 bits can have, by name.
    int8_ranges: HashMap<String, [i64; 2]>,
    /// Names that only a softmax reads.
    softmax_arguments: HashSet<String>,
    /// Second operands of products, by the name of the first one; see [`norms::product_operands`].
    product_operands: HashMap<String, String>,
    /// Factors of the rows of each softmax that is divided after its product; see
    /// [`Reader::push_divided`].
    undivided_products: HashMap<usize, usize>,
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
    /// When the file is malformed or too large, or an input has no fixed dimensions.
    pub fn decode(bytes: &[u8]) -> Result<Self, OnnxError> {
        Ok(Self { file: ModelFile::decode(bytes)? })
    }

    /// Decodes an ONNX model file with options.
    ///
    /// # Errors
    /// When the file is malformed or too large, an input has a dimension without an extent, or the
    /// model has no symbolic dimension or output with a name that the options have.
    pub fn decode_with(bytes: &[u8], options: &ReadOptions) -> Result<Self, OnnxError> {
        Ok(Self { file: ModelFile::decode_with(bytes, options)? })
    }

    /// Evaluates the model as the standard defines its operators. The inputs' elements follow each
    /// other, and so do those of the outputs.
    ///
    /// # Errors
    /// When the number of values differs, or an operator or its operands are unsupported.
    pub fn evaluate(&self, input: &[f32]) -> Result<Evaluation, OnnxError> {
        self.file.evaluate(input)
    }

    /// Converts the model to a float network.
    ///
    /// # Errors
    /// When the model uses an unsupported feature; see [`OnnxError`].
    pub fn network(&self) -> Result<FloatNetwork, OnnxError> {
        let file = &self.file;
        let constants = file.constants.iter();
        let mut values: HashMap<String, Value> = constants
            .map(|(name, constant)| (name.clone(), Value::Constant(Arc::clone(constant))))
            .collect();
        let (network, inputs) = empty_network(file)?;
        let mut element_types = HashMap::new();
        for (input, tensor) in file.inputs.iter().zip(inputs) {
            define(&mut values, &input.name, Value::Tensor(tensor, input.dims.clone()))?;
            element_types.insert(input.name.clone(), input.element_type);
        }
        let use_counts: HashMap<String, usize> = file
            .reader_counts()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        let product_operands = norms::product_operands(&file.nodes, &use_counts);
        let mut reader = Reader {
            network,
            opset: file.opset,
            parameters: 0,
            computed_elements: 0,
            moved_elements: 0,
            values,
            use_counts,
            aliased_tensors: HashSet::new(),
            element_types,
            before_move: None,
            after_softmax: file.after_softmax().into_iter().map(str::to_owned).collect(),
            int8_ranges: file.int8_ranges.clone(),
            softmax_arguments: file.softmax_arguments().into_iter().map(str::to_owned).collect(),
            product_operands,
            undivided_products: HashMap::new(),
        };
        for node in &file.nodes {
            reader.check_inputs(&file.nodes, node)?;
            reader.fold_or_convert(node)?;
            reader.network.name_nodes(&node.describe());
        }
        let network = reader.finish(&file.outputs)?;
        check_cost(&network)?;
        Ok(network)
    }
}

/// Returns a network that computes nothing, and the tensor of each input of the file. Several
/// inputs are parts of the network's input.
fn empty_network(file: &ModelFile) -> Result<(FloatNetwork, Vec<usize>), OnnxError> {
    let shape_error = |input: &ModelInput| {
        let node = format!("input '{}'", input.name);
        move |source| OnnxError::Shape { node, source }
    };
    let [first, others @ ..] = &file.inputs[..] else { return Err(OnnxError::Empty) };
    if others.is_empty() {
        let input = dims::shape(&first.dims).map_err(shape_error(first))?;
        let network = FloatNetwork::new(input, Vec::new());
        let network =
            FloatNetwork { input_type: first.element_type, notes: file.notes.clone(), ..network };
        return Ok((network, vec![0]));
    }
    let input = Shape::vector(file.input_elements()).map_err(shape_error(first))?;
    let (mut network, mut start) = (FloatNetwork::new(input, Vec::new()), 0);
    for part in &file.inputs {
        let shape = dims::shape(&part.dims).map_err(shape_error(part))?;
        let operation = FloatOperation::Part { start, element: part.element_type };
        network.nodes.push(FloatNode { inputs: vec![0], shape, operation });
        network.name_nodes(&format!("input '{}'", part.name));
        start += shape.elements();
    }
    let tensors = (1..=network.nodes.len()).collect();
    let is_uniform = others.iter().all(|other| other.element_type == first.element_type);
    let input_type = if is_uniform { first.element_type } else { ElementType::Float };
    let parts = file.inputs.iter().map(|part| (part.name.as_str(), &part.dims[..]));
    let inputs = TensorPart::consecutive(parts);
    Ok((FloatNetwork { input_type, inputs, notes: file.notes.clone(), ..network }, tensors))
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
        // A dense layer with weights of zero: a weight and a bias for each value.
        FloatOperation::Constant(values) => 2 * values.len() as u64,
        _ => 0,
    });
    let parameters = parameters.fold(0, u64::saturating_add);
    if parameters > MAX_PARAMETERS {
        return Err(OnnxError::Parameters(parameters));
    }
    let mut memory = MemoryBudget::new(parameters);
    let mut multiply_adds = 0_u64;
    for node in &network.nodes {
        let input_shape = node.inputs.first().and_then(|&tensor| network.shape(tensor));
        let (elements, plane) =
            (node.shape.elements() as u64, (node.shape.height * node.shape.width) as u64);
        // Jobs of the lowered layer, and the values that each reads.
        let (jobs, taps) = match &node.operation {
            FloatOperation::Dense { .. } => {
                (1, input_shape.map_or(0, |shape| shape.elements() as u64))
            }
            FloatOperation::Convolution { window, groups, .. } => {
                let channels = input_shape.map_or(0, |shape| shape.channels) / (*groups).max(1);
                (plane.saturating_mul(*groups as u64), area(window).saturating_mul(channels as u64))
            }
            FloatOperation::Add | FloatOperation::Subtract => (elements, 2),
            FloatOperation::Multiply => (0, 2),
            FloatOperation::MatrixProduct(sizes) => (0, sizes.inner as u64),
            FloatOperation::Function(_) => (0, 1),
            FloatOperation::Constant(_) => (1, 1),
            FloatOperation::Move { .. } | FloatOperation::Part { .. } => (1, 0),
            FloatOperation::ChannelAffine { .. }
            | FloatOperation::Compare { .. }
            | FloatOperation::Negate
            | FloatOperation::Relu => (elements, 1),
            FloatOperation::ChannelSum { .. } => {
                (plane, input_shape.map_or(0, |shape| shape.channels as u64))
            }
            FloatOperation::MaxPool(window) | FloatOperation::AveragePool(window) => {
                (elements, area(window))
            }
        };
        multiply_adds = multiply_adds.saturating_add(elements.saturating_mul(taps));
        if multiply_adds > MAX_MULTIPLY_ADDS {
            return Err(OnnxError::Work(multiply_adds));
        }
        memory.spend(lowered_bytes(jobs, taps, elements)).map_err(OnnxError::Memory)?;
    }
    Ok(())
}

fn define(values: &mut HashMap<String, Value>, name: &str, value: Value) -> Result<(), OnnxError> {
    if value.dims().len() > MAX_RANK {
        return Err(OnnxError::Rank(name.to_owned()));
    }
    match values.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Duplicate(name.to_owned())),
    }
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
        if let FloatOperation::Constant(values) = &node.operation {
            self.count_parameters(values.len())?;
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
        self.computed_elements = self.computed_elements.saturating_add(elements as u64);
        if self.computed_elements > MAX_COMPUTED_ELEMENTS {
            Err(OnnxError::Elements(self.computed_elements))
        } else {
            Ok(())
        }
    }

    /// Returns whether a tensor is the output of the softmax at the end.
    fn is_last_softmax(&self, name: &str) -> bool {
        self.after_softmax.last().is_some_and(|last| last == name)
    }

    /// Joins the outputs, and removes what none of them depends on.
    fn finish(mut self, outputs: &[String]) -> Result<FloatNetwork, OnnxError> {
        let (mut tensors, mut all_dims) =
            (Vec::with_capacity(outputs.len()), Vec::with_capacity(outputs.len()));
        for output in outputs {
            match self.values.get(output) {
                Some(Value::Tensor(tensor, dims)) => {
                    tensors.push(*tensor);
                    all_dims.push(dims.clone());
                }
                Some(Value::Constant(_)) => return Err(OnnxError::Constant(output.clone())),
                None => {
                    return Err(OnnxError::Missing {
                        node: "the graph's output".to_owned(),
                        tensor: output.clone(),
                    });
                }
            }
        }
        let last = match &tensors[..] {
            &[single] => single,
            several => self.join_outputs(several)?,
        };
        if let [_, _, ..] = outputs {
            let parts = outputs.iter().map(String::as_str).zip(all_dims.iter().map(Vec::as_slice));
            self.network.outputs = TensorPart::consecutive(parts);
        }
        self.network.nodes.truncate(last);
        self.network.names.truncate(last);
        // Functions that are part of longer ones have no readers.
        self.network.remove_unread();
        if self.network.nodes.is_empty() {
            // The output is the input under another name: a network has at least one layer.
            self.join_outputs(&[0])?;
        }
        Ok(self.network)
    }

    /// Appends a tensor with the elements of all outputs, and returns it.
    fn join_outputs(&mut self, outputs: &[usize]) -> Result<usize, OnnxError> {
        let elements = outputs
            .iter()
            .filter_map(|&tensor| self.network.shape(tensor))
            .map(|shape| shape.elements());
        let count = elements.sum::<usize>();
        let shape = Shape::vector(count);
        let shape = shape.map_err(|source| OnnxError::Shape {
            node: "the graph's outputs".to_owned(),
            source,
        })?;
        let operation =
            FloatOperation::Move { indices: (0..count as u32).collect(), constant: 0.0 };
        self.push_node(FloatNode { inputs: outputs.to_vec(), shape, operation })
    }
}

#[cfg(test)]
mod tests;
