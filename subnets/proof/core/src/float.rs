//! The floating-point network, which is read from an ONNX file and serves as the baseline for
//! quantisation.

mod function;
mod run;

pub use function::{Binary, Function, Lookup, MAX_OPERATIONS, Unary};
pub use run::FloatError;

use crate::metadata::TensorPart;
use crate::network::Matrices;
use crate::saturation::shorten_name;
use crate::{Shape, Window};

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// Numbers of any floating-point type.
    Float,
    /// Integers of any size.
    Integer,
    /// Conditions: 0 and 1.
    Boolean,
}

/// A feed-forward network over real numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNetwork {
    /// Shape of the input.
    pub input: Shape,
    /// Nodes, each of which reads earlier tensors. The last one is the output.
    pub nodes: Vec<FloatNode>,
    /// Type of the input's elements; [`ElementType::Float`] for several inputs of different types.
    pub input_type: ElementType,
    /// The model's inputs, whose elements follow each other in `input`; empty for a single one.
    pub inputs: Vec<TensorPart>,
    /// The model's outputs, whose elements follow each other in the output; empty for a single one.
    pub outputs: Vec<TensorPart>,
    /// Human-readable notes on what the ONNX reader omitted or changed.
    pub notes: Vec<String>,
    /// The node of the model that each node computes, such as `Conv 'conv1'`. The list can be
    /// shorter than that of the nodes, of which the last ones then have no name.
    pub names: Vec<String>,
}

/// A node of the floating-point network.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNode {
    /// Tensors that the node reads: 0 is the network's input, `n` is the output of node `n - 1`.
    pub inputs: Vec<usize>,
    /// Shape of the output.
    pub shape: Shape,
    /// Operation of the node.
    pub operation: FloatOperation,
}

/// Operation of a [`FloatNode`].
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOperation {
    /// A matrix product with the flattened input.
    Dense {
        /// Weights, one row for each output.
        weights: Vec<f32>,
        /// Biases, one for each output.
        bias: Vec<f32>,
    },
    /// A two-dimensional convolution.
    Convolution {
        /// Kernel, stride and padding.
        window: Window,
        /// Number of channel groups that are convolved separately.
        groups: usize,
        /// Weights by output channel, input channel within the group, row and column.
        weights: Vec<f32>,
        /// Biases, one for each output channel.
        bias: Vec<f32>,
    },
    /// The sum of two tensors.
    Add,
    /// The difference of two tensors.
    Subtract,
    /// The element-wise product of two tensors.
    Multiply,
    /// Products of the matrices of two tensors.
    MatrixProduct(Matrices),
    /// An element-wise function.
    Function(Function),
    /// Elements of the inputs in another order.
    Move {
        /// For each output, a position in the elements of all inputs, one input after the other.
        /// The position after the last element stands for `constant`.
        indices: Vec<u32>,
        /// Value of the outputs that are not an element of an input: padding.
        constant: f32,
    },
    /// A vector of constants, which reads nothing of its input.
    Constant(Vec<f32>),
    /// One of several inputs of the model: consecutive elements of the network's input.
    Part {
        /// Position of the first element.
        start: usize,
        /// Type of the elements. Only floats have the scale of the network's input.
        element: ElementType,
    },
    /// Comparisons of elements with constants: 1 where the condition holds, else 0.
    Compare {
        /// The limit of each element.
        limits: Vec<f64>,
        /// Whether each condition is that the element is above its limit, not at most the limit.
        is_above: Vec<bool>,
    },
    /// Each element with the opposite sign.
    Negate,
    /// Each channel times an integer, plus an integer.
    ChannelAffine {
        /// One factor for each channel.
        factors: Vec<i32>,
        /// One offset for each channel.
        offsets: Vec<i32>,
    },
    /// The sum of all channels at each row and column, as a single channel.
    ChannelSum {
        /// The sum is divided by `2^shift`.
        shift: u8,
    },
    /// ReLU: the positive part.
    Relu,
    /// Max pooling: the largest value in a window.
    MaxPool(Window),
    /// Average pooling: the mean of a window; padding counts as zero.
    AveragePool(Window),
}

impl FloatNetwork {
    /// Creates a network with one input of floats.
    pub fn new(input: Shape, nodes: Vec<FloatNode>) -> Self {
        Self {
            input,
            nodes,
            input_type: ElementType::Float,
            inputs: Vec::new(),
            outputs: Vec::new(),
            notes: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Returns the shape of a tensor; `None` if there is no such tensor.
    pub fn shape(&self, tensor: usize) -> Option<Shape> {
        match tensor.checked_sub(1) {
            None => Some(self.input),
            Some(node) => self.nodes.get(node).map(|node| node.shape),
        }
    }

    /// Returns whether an input has conditions: 0 and 1.
    pub fn has_boolean_inputs(&self) -> bool {
        let is_boolean = |node: &FloatNode| {
            matches!(node.operation, FloatOperation::Part { element: ElementType::Boolean, .. })
        };
        self.input_type == ElementType::Boolean || self.nodes.iter().any(is_boolean)
    }

    /// Removes nodes that the output does not depend on.
    pub fn remove_unread(&mut self) {
        let mut is_read = vec![false; self.nodes.len() + 1];
        if let Some(last) = is_read.last_mut() {
            *last = true;
        }
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if is_read.get(index + 1) == Some(&true) {
                for &input in &node.inputs {
                    if let Some(input) = is_read.get_mut(input) {
                        *input = true;
                    }
                }
            }
        }
        // The network's input remains tensor 0, even if nothing reads it.
        let mut read_count = 0;
        let indices: Vec<usize> = std::iter::once(0)
            .chain(is_read.iter().skip(1).map(|&is_read| {
                read_count += usize::from(is_read);
                read_count
            }))
            .collect();
        let is_read: Vec<bool> = is_read.into_iter().skip(1).collect();
        retain_marked(&mut self.nodes, &is_read);
        retain_marked(&mut self.names, &is_read);
        for input in self.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
            *input = indices.get(*input).copied().unwrap_or_default();
        }
    }

    /// Gives all nodes without a name this one, which is shortened if it is long.
    pub fn name_nodes(&mut self, name: &str) {
        self.names.resize(self.nodes.len(), shorten_name(name));
    }

    /// Returns the name of a node, or its index if it has none.
    pub(crate) fn node_name(&self, node: usize) -> String {
        self.names.get(node).cloned().unwrap_or_else(|| format!("node {node}"))
    }

    /// Returns the number of nodes that read each tensor.
    pub fn reader_counts(&self) -> Vec<usize> {
        let mut reader_counts = vec![0; self.nodes.len() + 1];
        for tensor in self.nodes.iter().flat_map(|node| &node.inputs) {
            if let Some(count) = reader_counts.get_mut(*tensor) {
                *count += 1;
            }
        }
        reader_counts
    }
}

/// Keeps the items at the positions where `is_kept` is true.
fn retain_marked<T>(items: &mut Vec<T>, is_kept: &[bool]) {
    let mut is_kept = is_kept.iter().copied();
    items.retain(|_| is_kept.next().unwrap_or_default());
}
