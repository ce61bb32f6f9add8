//! The floating-point network, which is read from an ONNX file and serves as the baseline for quantisation.

mod run;

pub use run::FloatError;

use crate::{Shape, Window};

/// A feed-forward network over real numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNetwork {
    /// Shape of the input.
    pub input: Shape,
    /// Nodes, each of which reads earlier tensors. The last one is the output.
    pub nodes: Vec<FloatNode>,
    /// Human-readable notes on what the ONNX reader omitted or changed.
    pub notes: Vec<String>,
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
    /// ReLU: the positive part.
    Relu,
    /// Max pooling: the largest value in a window.
    MaxPool(Window),
    /// Average pooling: the mean of a window; padding counts as zero.
    AveragePool(Window),
}

impl FloatNetwork {
    /// Returns the shape of a tensor; `None` if there is no such tensor.
    pub fn shape(&self, tensor: usize) -> Option<Shape> {
        match tensor.checked_sub(1) {
            None => Some(self.input),
            Some(node) => self.nodes.get(node).map(|node| node.shape),
        }
    }

    /// Returns the number of nodes that read each tensor.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len() + 1];
        for tensor in self.nodes.iter().flat_map(|node| &node.inputs) {
            if let Some(count) = readers.get_mut(*tensor) {
                *count += 1;
            }
        }
        readers
    }
}
