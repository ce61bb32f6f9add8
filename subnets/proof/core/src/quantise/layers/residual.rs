//! Residual streams: chains of additions, as those of the layers of a transformer.
//!
//! The addend of each layer is small compared with the sum of all layers before it, and rounding
//! errors of the sum propagate to all layers after it. So the sums, their addends, and the inputs
//! of the linear layers that compute the addends can have more bits than other activations.

use super::elements::MAX_BITS;
use super::{Quantiser, Tensor};
use crate::float::{FloatNetwork, FloatNode, FloatOperation};
use crate::quantise::QuantiseError;

/// Number of bits by which the inputs of linear layers whose results are added are narrower than
/// these results.
const INPUT_BITS_REDUCTION: u8 = 2;
/// Maximum magnitude of the products of a sum: with its bias, it is below half of the field of
/// `stark`.
const MAX_PRODUCTS: f64 = 1.04e9;
/// Base-two logarithm of the maximum factor of an addend of up to 16 bits.
const MAX_FACTOR_BITS: i32 = 12;
/// Maximum number of bits of a value that is only summed.
const MAX_SUMMED_BITS: u8 = 19;
/// Bits of a sum of channels, without the sign.
const TOTAL_BITS: u32 = 29;

impl Quantiser<'_> {
    /// Returns the minimum number of bits of a tensor: more than 0 in a residual stream, if the
    /// options have bits for it, and for values that are only summed.
    pub(super) fn min_bits(&self, tensor: usize) -> u8 {
        let Some(residual_bits) = self.options.residual_bits else { return 0 };
        let bits = match self.stream_relations.get(tensor) {
            Some(StreamRelation::Sum) => residual_bits,
            Some(StreamRelation::Input) => residual_bits.saturating_sub(INPUT_BITS_REDUCTION),
            _ => 0,
        };
        bits.min(MAX_BITS)
    }

    /// Returns the number of bits of a function's values, if only sums of channels read them, such
    /// as the squares of a norm: the largest ones must not round all others to 0.
    pub(super) fn summed_bits(&self, tensor: usize) -> Option<u8> {
        let width = self.summed_width(tensor).filter(|_| self.options.residual_bits.is_some())?;
        let bits = TOTAL_BITS.saturating_sub(width.next_power_of_two().ilog2());
        Some(MAX_SUMMED_BITS.min(bits as u8))
    }

    /// Returns the largest number of channels that a sum adds, if only sums of channels read a
    /// tensor, directly or after moves.
    fn summed_width(&self, tensor: usize) -> Option<usize> {
        let readers = self.network.nodes.iter().enumerate();
        let readers = readers.filter(|(_, node)| node.inputs.contains(&tensor));
        let widths = readers.map(|(index, node)| match node.operation {
            FloatOperation::ChannelSum { .. } => {
                self.network.shape(tensor).map(|shape| shape.channels)
            }
            FloatOperation::Move { .. } => self.summed_width(index + 1),
            _ => None,
        });
        widths.collect::<Option<Vec<usize>>>()?.into_iter().max()
    }

    /// Returns the addends of a sum. In a residual stream, one can be so much finer than the other
    /// that the other one, times the difference of their scales, would exceed the field of `stark`:
    /// the finer one is rounded first.
    pub(super) fn round_addends(
        &mut self,
        index: usize,
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, QuantiseError> {
        if self.options.residual_bits.is_none() {
            return Ok(inputs.to_vec());
        }
        let coarsest = inputs.iter().map(|tensor| tensor.scale).min().unwrap_or_default();
        let limit = coarsest + MAX_FACTOR_BITS;
        let addends = inputs.iter().map(|&tensor| match tensor.scale {
            scale if scale > limit => self.with_scale(index, tensor, limit),
            _ => Ok(tensor),
        });
        addends.collect()
    }

    /// Returns the largest integer weight with which no sum of a layer exceeds the field of
    /// `stark`, if the options have bits for a residual stream. Without them, finer inputs are not
    /// worth coarser weights.
    pub(super) fn max_provable_weight(
        &self,
        magnitude: u64,
        weights: &[f32],
        outputs: usize,
        largest: f32,
    ) -> f64 {
        if self.options.residual_bits.is_none() {
            return f64::INFINITY;
        }
        let width = weights.len().checked_div(outputs).unwrap_or_default().max(1);
        let rows = weights.chunks(width);
        let totals = rows.map(|row| row.iter().map(|weight| f64::from(weight.abs())).sum::<f64>());
        let total = totals.fold(0.0, f64::max);
        // Each weight is rounded by up to half a unit.
        let available = MAX_PRODUCTS / magnitude.max(1) as f64 - 0.5 * width as f64;
        (available * f64::from(largest) / total).max(1.0)
    }
}

/// Relation of a tensor to a residual stream, in the order of the bits that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StreamRelation {
    /// The tensor is not related to a stream.
    #[default]
    None,
    /// A linear layer reads it whose results are added to the stream.
    Input,
    /// The tensor is a sum of the stream, or added to one.
    Sum,
}

/// Returns the relation of each tensor to a residual stream, which consists of the sums that read
/// or are read by other sums, and of their addends.
pub(super) fn stream_relations(network: &FloatNetwork) -> Vec<StreamRelation> {
    let count = network.nodes.len() + 1;
    let is_add = |node: &FloatNode| matches!(node.operation, FloatOperation::Add);
    let is_move = |node: &FloatNode| matches!(node.operation, FloatOperation::Move { .. });
    let any_marked = |marked: &[bool], inputs: &[usize]| {
        inputs.iter().any(|&input| marked.get(input) == Some(&true))
    };
    let mut is_sum = vec![false];
    for node in &network.nodes {
        is_sum.push(is_add(node) || (is_move(node) && any_marked(&is_sum, &node.inputs)));
    }
    let (mut is_added, mut stream_relations) =
        (vec![false; count], vec![StreamRelation::None; count]);
    // All readers of a tensor come later.
    for (index, node) in network.nodes.iter().enumerate().rev() {
        let (output, mut inherited) = ([index + 1], StreamRelation::None);
        if is_add(node) && (any_marked(&is_sum, &node.inputs) || any_marked(&is_added, &output)) {
            inherited = StreamRelation::Sum;
            if let Some(stream) = stream_relations.get_mut(index + 1) {
                *stream = StreamRelation::Sum;
            }
        } else if is_move(node) {
            inherited = stream_relations.get(index + 1).copied().unwrap_or_default();
        } else if node.operation.has_weights()
            && stream_relations.get(index + 1) == Some(&StreamRelation::Sum)
        {
            inherited = StreamRelation::Input;
        }
        let adds = is_add(node) || (is_move(node) && any_marked(&is_added, &output));
        for &input in &node.inputs {
            if let (Some(added), Some(stream)) =
                (is_added.get_mut(input), stream_relations.get_mut(input))
            {
                *added |= adds;
                *stream = inherited.max(*stream);
            }
        }
    }
    stream_relations
}

impl FloatOperation {
    fn has_weights(&self) -> bool {
        matches!(self, Self::Dense { .. } | Self::Convolution { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::quantise::{QuantiseOptions, power, quantise};

    #[test]
    fn residual_streams_include_chained_additions_and_their_layers() {
        let shape = Shape::vector(2).unwrap();
        let node = |inputs: &[usize], operation: FloatOperation| FloatNode {
            inputs: inputs.to_vec(),
            shape,
            operation,
        };
        let move_operation = || FloatOperation::Move { indices: vec![1, 0], constant: 0.0 };
        let dense = FloatOperation::Dense { weights: vec![1.0; 4], bias: vec![0.0; 2] };
        let nodes = vec![
            node(&[0], FloatOperation::Negate),
            node(&[1], dense),
            node(&[2], move_operation()),
            // A sum that another one reads, of a moved tensor.
            node(&[0, 3], FloatOperation::Add),
            node(&[4], FloatOperation::Relu),
            // The last sum.
            node(&[4, 5], FloatOperation::Add),
            // A sum that no other one reads, and that reads none.
            node(&[5, 5], FloatOperation::Multiply),
            node(&[7, 1], FloatOperation::Multiply),
            node(&[7, 8], FloatOperation::Add),
            node(&[6, 9], FloatOperation::Multiply),
        ];
        let actual = stream_relations(&FloatNetwork::new(shape, nodes));
        let (none, sum) = (StreamRelation::None, StreamRelation::Sum);
        let expected =
            [sum, StreamRelation::Input, sum, sum, sum, sum, sum, none, none, none, none];
        assert_eq!(actual, expected);
    }

    /// Returns a dense layer that multiplies both elements by a factor.
    fn scaled(input: usize, factor: f32) -> FloatNode {
        let weights = vec![factor, 0.0, 0.0, factor];
        let operation = FloatOperation::Dense { weights, bias: vec![0.0; 2] };
        FloatNode { inputs: vec![input], shape: Shape::vector(2).unwrap(), operation }
    }

    /// Returns two sums in a stream, of which the second one adds the input times a factor.
    fn stream(factor: f32) -> FloatNetwork {
        let shape = Shape::vector(2).unwrap();
        let add = |one, other| FloatNode {
            inputs: vec![one, other],
            shape,
            operation: FloatOperation::Add,
        };
        let nodes = vec![scaled(0, 1.0), add(0, 1), scaled(1, factor), add(2, 3), scaled(4, 1.0)];
        FloatNetwork::new(shape, nodes)
    }

    #[test]
    fn residual_stream_tensors_have_configured_bits() {
        let options = QuantiseOptions { residual_bits: Some(15), ..QuantiseOptions::default() };
        let network = quantise(&stream(1.0), &options, &[vec![255, 128]]).unwrap();
        let bits: Vec<u8> = network
            .layers
            .iter()
            .filter_map(|layer| layer.rescale.map(|rescale| rescale.clamp.bits()))
            .collect();
        // The first tensor is both read by such a layer and added.
        assert_eq!(bits, [15, 15, 15, 15]);
        let default_network =
            quantise(&stream(1.0), &QuantiseOptions::default(), &[vec![255, 128]]).unwrap();
        let bits = default_network.layers.iter().filter_map(|layer| layer.rescale);
        assert!(bits.into_iter().all(|rescale| rescale.clamp.bits() <= 11), "{default_network:?}");
    }

    /// Sums of terms whose scales differ by 20 bits stay in the field, and so do the products of
    /// finer inputs.
    #[test]
    fn sums_of_unequal_terms_fit_the_field() {
        let options = QuantiseOptions { residual_bits: Some(15), ..QuantiseOptions::default() };
        for exponent in [-20, -4, 0, 4, 20] {
            let float = stream((exponent as f32).exp2());
            let network = quantise(&float, &options, &[vec![255, 128]]).unwrap();
            let circuit = network.lower().unwrap();
            assert!(circuit.magnitude() < 1 << 30, "{exponent}: {}", circuit.magnitude());
            let unit = power(-network.output_scale());
            let outputs = circuit.execute(&[200, 100]).unwrap().outputs(&circuit);
            let expected = 400.0 + 200.0 * f64::from(exponent).exp2();
            let actual = outputs[0] as f64 * unit;
            assert!((actual / expected - 1.0).abs() < 0.01, "{exponent}: {actual} {expected}");
        }
    }
}
