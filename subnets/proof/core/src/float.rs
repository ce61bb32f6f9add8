//! The real-valued network: what an ONNX file says, and the measure that quantising is held against.

mod run;

pub use run::FloatError;

use crate::{Shape, Window};

/// A feed-forward network over real numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNetwork {
    /// Shape of the input.
    pub input: Shape,
    /// Nodes, each of which reads tensors that stand before it. The last one is the output.
    pub nodes: Vec<FloatNode>,
    /// What the reader left out or changed, for people.
    pub notes: Vec<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatNode {
    /// Tensors that the node reads: 0 is the network's input, `n` is the output of node `n - 1`.
    pub inputs: Vec<usize>,
    /// Shape of the output.
    pub shape: Shape,
    /// What is computed.
    pub operation: FloatOperation,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatOperation {
    /// A matrix product with the flattened input.
    Dense {
        /// One row for each output.
        weights: Vec<f32>,
        /// One for each output.
        bias: Vec<f32>,
    },
    /// A convolution.
    Convolution {
        /// Kernel, stride and padding.
        window: Window,
        /// Groups of channels that are convolved apart.
        groups: usize,
        /// Output channel, input channel within the group, row, column.
        weights: Vec<f32>,
        /// One for each output channel.
        bias: Vec<f32>,
    },
    /// The sum of two tensors.
    Add,
    /// The positive part.
    Relu,
    /// The largest value under a window.
    MaxPool(Window),
    /// The mean under a window; padding counts as zero.
    AveragePool(Window),
}

impl FloatNetwork {
    /// Shape of a tensor.
    pub fn shape(&self, tensor: usize) -> Option<Shape> {
        match tensor.checked_sub(1) {
            None => Some(self.input),
            Some(node) => self.nodes.get(node).map(|node| node.shape),
        }
    }

    /// How many nodes read each tensor.
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
