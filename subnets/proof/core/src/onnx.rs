//! ONNX files: reads the float model to quantise, and writes the integer network for verification by other runtimes.
//!
//! The reader does not trust the file. It accepts one input, supported operators sorted as required by the ONNX
//! standard, and weights within the file; everything else is an error that names the node.

mod export;
mod node;
mod proto;
mod tensor;

use std::collections::{HashMap, HashSet};

use prost::Message;
use thiserror::Error;

use crate::float::{FloatNetwork, FloatNode, FloatOperation};
use crate::{Shape, ShapeError};
use proto::{GraphProto, ModelProto, ValueInfoProto};
use tensor::Constant;

/// Maximum size of a model file, in bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// Maximum number of nodes of a graph.
pub const MAX_NODES: usize = 4096;

/// Why a model file is invalid or unsupported.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file is longer than [`MAX_BYTES`].
    #[error("the model file has {0} bytes, more than the maximum of {MAX_BYTES}")]
    TooLong(usize),
    /// The bytes are not an ONNX model.
    #[error("malformed ONNX file: {0}")]
    Malformed(String),
    /// There are more nodes than [`MAX_NODES`].
    #[error("the graph has {0} nodes, more than the maximum of {MAX_NODES}")]
    Nodes(usize),
    /// The graph does not have exactly one output and exactly one input besides its weights.
    #[error("the graph has {inputs} inputs and {outputs} outputs, expected one of each")]
    Interface {
        /// Number of inputs that are not weights.
        inputs: usize,
        /// Number of outputs.
        outputs: usize,
    },
    /// The input's shape is unknown, or its batch is not 1.
    #[error("input '{0}' has no fixed shape [1, C, H, W] or [1, N]")]
    InputShape(String),
    /// A node reads its own output or that of a later node.
    #[error("{node} reads '{tensor}' of a later node: the graph has a cycle or is not sorted")]
    Cycle {
        /// Name of the node.
        node: String,
        /// Name of the tensor that the node reads.
        tensor: String,
    },
    /// A node reads an undefined tensor.
    #[error("{node} reads undefined tensor '{tensor}'")]
    Missing {
        /// Name of the node.
        node: String,
        /// Name of the tensor that the node reads.
        tensor: String,
    },
    /// Two tensors have the same name.
    #[error("tensor '{0}' is defined twice")]
    Duplicate(String),
    /// A weight is stored in another file.
    #[error("weight '{0}' is stored in another file; hint: save the model as one file")]
    External(String),
    /// The dimensions, type or data of a weight are unsupported or inconsistent.
    #[error("weight '{name}': {reason}")]
    Weight {
        /// Name of the weight.
        name: String,
        /// Why the weight is invalid.
        reason: String,
    },
    /// The operator is unsupported.
    #[error("{0}: unsupported operator")]
    Operator(String),
    /// The operator is supported, but not with these attributes or operands.
    #[error("{node}: {reason}")]
    Unsupported {
        /// Name of the node.
        node: String,
        /// The unsupported feature.
        reason: String,
    },
    /// A shape or window is invalid.
    #[error("{node}: {source}")]
    Shape {
        /// Name of the node.
        node: String,
        /// The shape error.
        source: ShapeError,
    },
    /// No node computes the output.
    #[error("the graph has no nodes that compute the output")]
    Empty,
}

/// The tensor that a name in the graph refers to.
#[derive(Clone, Debug)]
enum Value {
    /// A computed tensor of the float network.
    Tensor(usize),
    /// A constant from the file.
    Constant(Constant),
}

struct Reader {
    network: FloatNetwork,
    values: HashMap<String, Value>,
    /// Number of nodes that read each name, including the graph's output.
    reads: HashMap<String, usize>,
    /// Tensors that have more than one name.
    renamed: HashSet<usize>,
    /// Input of an omitted softmax, by the name of its output.
    softmax: Option<String>,
}

/// Parses an ONNX model file.
///
/// # Errors
/// When the file is malformed or uses an unsupported feature; see [`OnnxError`].
pub fn read(bytes: &[u8]) -> Result<FloatNetwork, OnnxError> {
    if bytes.len() > MAX_BYTES {
        return Err(OnnxError::TooLong(bytes.len()));
    }
    let model = ModelProto::decode(bytes).map_err(|error| OnnxError::Malformed(error.to_string()))?;
    let graph = model.graph.ok_or_else(|| OnnxError::Malformed("no graph".to_owned()))?;
    if graph.node.len() > MAX_NODES {
        return Err(OnnxError::Nodes(graph.node.len()));
    }
    let mut values = HashMap::new();
    for weight in &graph.initializer {
        let constant = Constant::read(weight)?;
        define(&mut values, &weight.name, Value::Constant(constant))?;
    }
    let inputs: Vec<&ValueInfoProto> = graph.input.iter().filter(|input| !values.contains_key(&input.name)).collect();
    let ([input], [output]) = (&inputs[..], &graph.output[..]) else {
        return Err(OnnxError::Interface { inputs: inputs.len(), outputs: graph.output.len() });
    };
    let shape = input_shape(input)?;
    define(&mut values, &input.name, Value::Tensor(0))?;
    let network = FloatNetwork { input: shape, nodes: Vec::new(), notes: Vec::new() };
    let mut reads = HashMap::new();
    for name in graph.node.iter().flat_map(|node| &node.input).chain([&output.name]) {
        *reads.entry(name.clone()).or_default() += 1;
    }
    let mut reader = Reader { network, values, reads, renamed: HashSet::new(), softmax: None };
    for node in &graph.node {
        reader.check_inputs(&graph, node)?;
        reader.node(node)?;
    }
    reader.finish(&output.name)
}

fn define(values: &mut HashMap<String, Value>, name: &str, value: Value) -> Result<(), OnnxError> {
    match values.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(OnnxError::Duplicate(name.to_owned())),
    }
}

/// Parses a fixed input shape; an unknown batch size is treated as 1.
fn input_shape(input: &ValueInfoProto) -> Result<Shape, OnnxError> {
    let refuse = || OnnxError::InputShape(input.name.clone());
    let dims = input.dimensions().ok_or_else(refuse)?;
    let (batch, rest) = dims.split_first().ok_or_else(refuse)?;
    if batch.is_some_and(|size| size != 1) {
        return Err(refuse());
    }
    let sizes: Option<Vec<usize>> = rest.iter().map(|dim| dim.and_then(|size| usize::try_from(size).ok())).collect();
    let shape = match sizes.ok_or_else(refuse)?[..] {
        [length] => Shape::vector(length),
        [channels, height, width] => Shape::new(channels, height, width),
        _ => return Err(refuse()),
    };
    shape.map_err(|source| OnnxError::Shape { node: format!("input '{}'", input.name), source })
}

impl Reader {
    fn check_inputs(&self, graph: &GraphProto, node: &proto::NodeProto) -> Result<(), OnnxError> {
        let missing = node.input.iter().find(|name| !name.is_empty() && !self.values.contains_key(*name));
        let Some(tensor) = missing else { return Ok(()) };
        let (node, tensor, is_produced) =
            (node.describe(), tensor.clone(), graph.node.iter().any(|other| other.output.contains(tensor)));
        Err(if is_produced { OnnxError::Cycle { node, tensor } } else { OnnxError::Missing { node, tensor } })
    }

    /// Appends a node and names its output.
    fn push(
        &mut self,
        name: &str,
        inputs: Vec<usize>,
        shape: Shape,
        operation: FloatOperation,
    ) -> Result<(), OnnxError> {
        self.network.nodes.push(FloatNode { inputs, shape, operation });
        define(&mut self.values, name, Value::Tensor(self.network.nodes.len()))
    }

    fn finish(mut self, output: &str) -> Result<FloatNetwork, OnnxError> {
        let last = match self.values.get(output) {
            Some(Value::Tensor(last)) => *last,
            Some(Value::Constant(_)) => return Err(OnnxError::Empty),
            None => {
                return Err(OnnxError::Missing { node: "the graph's output".to_owned(), tensor: output.to_owned() });
            }
        };
        if last == 0 {
            return Err(OnnxError::Empty);
        }
        if let Some(softmax) = &self.softmax {
            if softmax != output {
                return Err(OnnxError::Unsupported {
                    node: format!("softmax '{softmax}'"),
                    reason: "only a softmax at the end of the network can be omitted".to_owned(),
                });
            }
            self.network.notes.push("the final softmax is omitted: outputs are its inputs".to_owned());
        }
        self.network.nodes.truncate(last);
        Ok(self.network)
    }
}

pub use export::export;

#[cfg(test)]
mod tests;
