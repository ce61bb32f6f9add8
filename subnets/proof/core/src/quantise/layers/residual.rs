//! Residual streams: chains of additions, as those of the layers of a transformer.
//!
//! What each layer adds is small compared with the sum of all layers before, and rounding errors of
//! the sum reach all layers after it. So the sums, and what is added, can have more bits than other
//! activations.

use super::Quantiser;
use crate::float::{FloatNetwork, FloatNode, FloatOperation};

impl Quantiser<'_> {
    /// Returns the minimum number of bits of a tensor in a residual stream; 0 for other tensors, or
    /// if the options have none.
    pub(super) fn residual_bits(&self, tensor: usize) -> u8 {
        let is_residual = self.is_residual.get(tensor) == Some(&true);
        if is_residual { self.options.residual_bits.unwrap_or_default() } else { 0 }
    }

    /// Returns whether a tensor has values of a function that only sums of channels read, such as
    /// the squares of a norm: the largest ones must not round all others to 0.
    pub(super) fn is_summed(&self, tensor: usize) -> bool {
        let nodes = &self.network.nodes;
        let producer = tensor.checked_sub(1).and_then(|node| nodes.get(node));
        let is_function =
            producer.is_some_and(|node| matches!(node.operation, FloatOperation::Function(_)));
        let mut readers = nodes.iter().filter(|node| node.inputs.contains(&tensor)).peekable();
        self.options.residual_bits.is_some()
            && is_function
            && readers.peek().is_some()
            && readers.all(|node| matches!(node.operation, FloatOperation::ChannelSum { .. }))
    }
}

/// Returns whether each tensor is in a residual stream: a sum of a sum, a sum that another one
/// reads, or what such sums add.
pub(super) fn residual_tensors(network: &FloatNetwork) -> Vec<bool> {
    let count = network.nodes.len() + 1;
    let is_add = |node: &FloatNode| matches!(node.operation, FloatOperation::Add);
    let is_move = |node: &FloatNode| matches!(node.operation, FloatOperation::Move { .. });
    let any = |marked: &[bool], inputs: &[usize]| {
        inputs.iter().any(|&input| marked.get(input) == Some(&true))
    };
    let mark = |marked: &mut Vec<bool>, inputs: &[usize]| {
        for &input in inputs {
            if let Some(marked) = marked.get_mut(input) {
                *marked = true;
            }
        }
    };
    let mut is_sum = vec![false];
    for node in &network.nodes {
        is_sum.push(is_add(node) || (is_move(node) && any(&is_sum, &node.inputs)));
    }
    // All readers of a tensor come later.
    let (mut is_added, mut is_residual) = (vec![false; count], vec![false; count]);
    for (index, node) in network.nodes.iter().enumerate().rev() {
        let output = [index + 1];
        if is_add(node) && (any(&is_sum, &node.inputs) || any(&is_added, &output)) {
            mark(&mut is_residual, &output);
            mark(&mut is_residual, &node.inputs);
        }
        if is_move(node) && any(&is_residual, &output) {
            mark(&mut is_residual, &node.inputs);
        }
        if is_add(node) || (is_move(node) && any(&is_added, &output)) {
            mark(&mut is_added, &node.inputs);
        }
    }
    is_residual
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    #[test]
    fn residual_tensors_are_those_of_chained_additions() {
        let shape = Shape::vector(2).unwrap();
        let node = |inputs: &[usize], operation: FloatOperation| FloatNode {
            inputs: inputs.to_vec(),
            shape,
            operation,
        };
        let moved = || FloatOperation::Move { indices: vec![1, 0], constant: 0.0 };
        let nodes = vec![
            node(&[0], FloatOperation::Negate),
            node(&[1], moved()),
            // A sum that another one reads, of a moved tensor.
            node(&[0, 2], FloatOperation::Add),
            node(&[3], FloatOperation::Relu),
            // The last sum.
            node(&[3, 4], FloatOperation::Add),
            // A sum that no other one reads, and that reads none.
            node(&[4, 4], FloatOperation::Multiply),
            node(&[6, 1], FloatOperation::Multiply),
            node(&[6, 7], FloatOperation::Add),
            node(&[5, 8], FloatOperation::Multiply),
        ];
        let residual = residual_tensors(&FloatNetwork::new(shape, nodes));
        let expected = [true, true, true, true, true, true, false, false, false, false];
        assert_eq!(residual, expected);
    }
}
