//! Errors of the reader and of the evaluation.

use taonet_proof_core::network::MAX_MULTIPLY_ADDS;
use taonet_proof_core::{MemoryError, ShapeError};
use thiserror::Error;

use super::limits::MAX_PARTS;
use super::proto::NodeProto;
use super::{MAX_BYTES, MAX_COMPUTED_ELEMENTS, MAX_NODES, MAX_PARAMETERS, MAX_RANK, OPSETS};

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
    /// There are more than 2^18 nodes, attributes, weights and names.
    #[error("the model file has more than {limit} nodes, attributes, weights and names", limit = MAX_PARTS)]
    Parts,
    /// The version of the standard operator set is missing or unsupported.
    #[error(
        "unsupported operator set version {0}, expected {oldest} to {newest}; hint: export the model with one of these \
         versions",
        oldest = OPSETS.start(),
        newest = OPSETS.end()
    )]
    Opset(i64),
    /// The file has a part that could change the meaning of its nodes.
    #[error("the model has {0}, which is unsupported")]
    Feature(&'static str),
    /// There are more weights and biases than [`MAX_PARAMETERS`].
    #[error(
        "the nodes have at least {0} weights and biases, more than the maximum of {MAX_PARAMETERS}"
    )]
    Parameters(u64),
    /// One execution needs more multiply-adds than a circuit may have.
    #[error(
        "one execution needs at least {0} multiply-adds, more than the maximum of {MAX_MULTIPLY_ADDS}"
    )]
    Work(u64),
    /// The network takes more memory than its weights justify.
    #[error(transparent)]
    Memory(MemoryError),
    /// The nodes compute more elements than the memory of any network can hold.
    #[error(
        "the nodes compute at least {0} elements, more than the maximum of {MAX_COMPUTED_ELEMENTS}"
    )]
    Elements(u64),
    /// A tensor has more than 32 dimensions.
    #[error("tensor '{0}' has more than {MAX_RANK} dimensions")]
    Rank(String),
    /// There are more nodes than [`MAX_NODES`].
    #[error("the graph has {0} nodes, more than the maximum of {MAX_NODES}")]
    Nodes(usize),
    /// The graph has no output, or no input besides its weights.
    #[error(
        "the graph has {inputs} inputs and {outputs} outputs, expected at least one of each; hint: a constant needs no proof"
    )]
    Interface {
        /// Number of inputs that are not weights.
        inputs: usize,
        /// Number of outputs.
        outputs: usize,
    },
    /// The input's dimensions are unknown, or its elements are not numbers.
    #[error(
        "input '{0}' has no fixed dimensions of floats, integers or booleans, such as [1, C, H, W] or [1, N]; hint: export \
         the model with fixed dimensions"
    )]
    InputShape(String),
    /// A dimension of an input is symbolic, and has no extent.
    #[error(
        "dimension {index} of input '{input}' is '{name}'; hint: pass its extent with --dimension {name}=N"
    )]
    Dimension {
        /// Name of the input.
        input: String,
        /// Index of the dimension.
        index: usize,
        /// Name of the dimension.
        name: String,
    },
    /// No input has a dimension with this name.
    #[error("no input has a symbolic dimension '{name}'; hint: the symbolic ones are {known}")]
    UnknownDimension {
        /// The unknown name.
        name: String,
        /// Names of all symbolic dimensions, separated by commas.
        known: String,
    },
    /// The model has no output with this name.
    #[error("the model has no output '{name}'; hint: its outputs are {known}")]
    UnknownOutput {
        /// The unknown name.
        name: String,
        /// Names of all outputs, separated by commas.
        known: String,
    },
    /// The number of values differs from that of the inputs' elements.
    #[error("{actual} input values, expected {expected}")]
    Inputs {
        /// Number of elements of all inputs.
        expected: usize,
        /// Number of values given.
        actual: usize,
    },
    /// A node reads its own output or that of a later node.
    #[error(
        "{node} reads '{tensor}' of a later node: the graph has a cycle or is not sorted; hint: export the model again, or \
         write each node after those that it reads"
    )]
    Cycle {
        /// Name of the node.
        node: String,
        /// Name of the tensor that the node reads.
        tensor: String,
    },
    /// A node reads an undefined tensor.
    #[error(
        "{node} reads undefined tensor '{tensor}'; hint: save the weights with the model, in one file"
    )]
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
    #[error("{node}: unsupported operator; hint: {hint}")]
    Operator {
        /// Name of the node.
        node: String,
        /// Replacement to use in its place.
        hint: String,
    },
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
    /// An output does not depend on an input.
    #[error(
        "output '{0}' is constant; hint: remove it from the graph's outputs, since a constant needs no proof"
    )]
    Constant(String),
    /// No node computes the output.
    #[error("the graph has no nodes that compute the output")]
    Empty,
}

/// Returns the error of a node whose operator is supported, but not with these attributes or
/// operands.
pub fn unsupported(node: &NodeProto, reason: String) -> OnnxError {
    OnnxError::Unsupported { node: node.describe(), reason }
}

/// Returns the conversion of a shape error of this node.
pub fn invalid_shape(node: &NodeProto) -> impl Fn(ShapeError) -> OnnxError {
    move |source| OnnxError::Shape { node: node.describe(), source }
}
