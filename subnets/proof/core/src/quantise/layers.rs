mod conditions;
mod elements;
mod integers;
mod linear;
mod residual;

pub(super) use self::elements::MAX_BITS;
use self::integers::IntegerLayer;
pub(super) use self::integers::tensors_requiring_exactness;
use self::linear::{
    MEAN_BITS, channel_affine_convolution, channel_sum_convolution, mean_convolution,
};
use self::residual::StreamRelation;
use super::{QuantiseError, QuantiseOptions};
use crate::float::{ElementType, FloatNetwork, FloatNode, FloatOperation};
use crate::network::{CHOICES_FORMAT, Input, Layer, MAX_SUM, Network, Operation};
use crate::saturation::LayerDescription;
use crate::{Range, Rescale};

/// Maximum power-of-two area whose mean is computed as a plain sum: four additional bits cost a
/// circuit less than rounding.
const EXACT_AREA: usize = 16;
/// Maximum absolute scale, in bits.
const MAX_SCALE: i32 = 40;
/// Interval of sums that are not rescaled: that of every sum.
const SUM_INTERVAL: Range = Range { low: -MAX_SUM.cast_signed(), high: MAX_SUM.cast_signed() };

/// A network, the descriptions of its layers, and the index and the scale of each float tensor.
type QuantisedTensors = (Network, Vec<LayerDescription>, Vec<(u32, i32)>);

/// Integer counterpart of a float tensor.
#[derive(Clone, Copy)]
struct Tensor {
    /// Index in the integer network.
    index: u32,
    scale: i32,
    /// Interval of every value, and of 0, as which padding reads; that of lowering may be smaller.
    range: Range,
    /// Interval of every value without padding.
    unpadded_range: Range,
    /// Whether the values are integers of the model that nothing rounds or saturates. The scale is
    /// then 0.
    is_exact: bool,
}

pub(super) struct Quantiser<'a> {
    network: &'a FloatNetwork,
    options: &'a QuantiseOptions,
    magnitudes: &'a [f32],
    /// Bits of each float tensor's activations beyond the default ones.
    extra_bits: Vec<u8>,
    /// Number of nodes that read each float tensor.
    reader_counts: Vec<usize>,
    /// Whether each float tensor has more bits than other activations, and so a finer scale.
    has_fine_scale: Vec<bool>,
    /// Whether rows of tables, or comparisons, depend on each float tensor, so that integers must
    /// not be rounded.
    requires_exactness: Vec<bool>,
    /// Relation of each float tensor to a residual stream; empty without bits for one.
    stream_relations: Vec<StreamRelation>,
    tensors: Vec<Tensor>,
    layers: Vec<Layer>,
    /// The node of each layer, and the arguments of its table whose values saturate.
    descriptions: Vec<LayerDescription>,
    /// Operations that all tables so far took.
    table_work: u64,
}

/// Conversion of a node's sums to activations.
#[derive(Clone, Copy)]
struct Target {
    /// The node that produces the tensor: the node itself, or the ReLU after it.
    node: usize,
    /// Whether that node is a ReLU.
    is_relu: bool,
}

impl<'a> Quantiser<'a> {
    pub(super) fn new(
        network: &'a FloatNetwork,
        options: &'a QuantiseOptions,
        magnitudes: &'a [f32],
    ) -> Self {
        let (scale, range) = (options.input_scale, options.input_range);
        let is_exact = network.input_type != ElementType::Float;
        let tensors = vec![Tensor {
            index: 0,
            scale,
            range: range.with_zero(),
            unpadded_range: range,
            is_exact,
        }];
        let (reader_counts, has_fine_scale) =
            (network.reader_counts(), elements::fine_scale_tensors(network));
        let requires_exactness = tensors_requiring_exactness(network);
        let stream_relations = match options.residual_bits {
            Some(_) => residual::stream_relations(network),
            None => Vec::new(),
        };
        Self {
            network,
            options,
            magnitudes,
            extra_bits: vec![0; network.nodes.len() + 1],
            reader_counts,
            has_fine_scale,
            requires_exactness,
            stream_relations,
            tensors,
            layers: Vec::new(),
            descriptions: Vec::new(),
            table_work: 0,
        }
    }

    /// Gives each float tensor these bits beyond the default ones, at most [`MAX_BITS`] in all.
    pub(super) fn with_extra_bits(self, extra_bits: Vec<u8>) -> Self {
        Self { extra_bits, ..self }
    }

    pub(super) fn run(self) -> Result<(Network, Vec<LayerDescription>), QuantiseError> {
        self.run_with_tensors().map(|(network, descriptions, _)| (network, descriptions))
    }

    /// Returns the network, the descriptions of its layers and, for each float tensor, its index in
    /// the network and its scale.
    pub(super) fn run_with_tensors(mut self) -> Result<QuantisedTensors, QuantiseError> {
        let mut node = 0;
        while let Some(current) = self.network.nodes.get(node) {
            let target = self.target(node, current);
            let layer_count = self.layers.len();
            self.quantise_node(node, current, target)?;
            if let Some(name) = self.network.names.get(target.node) {
                for description in self.descriptions.iter_mut().skip(layer_count) {
                    description.node.clone_from(name);
                }
            }
            if target.node != node {
                // The ReLU is merged and shares the tensor.
                let tensor = self.tensors.last().copied();
                self.tensors.extend(tensor);
            }
            node = target.node + 1;
        }
        let input = Input {
            shape: self.network.input,
            range: self.options.input_range,
            scale: self.options.input_scale,
        };
        let mut network = Network { format: CHOICES_FORMAT, input, layers: self.layers };
        network.format = network.smallest_format()?;
        let tensors = self.tensors.iter().map(|tensor| (tensor.index, tensor.scale)).collect();
        Ok((network, self.descriptions, tensors))
    }

    /// Returns the target of a node's sums. A ReLU that is the only reader is merged into the
    /// node's rescale.
    fn target(&self, node: usize, current: &FloatNode) -> Target {
        let is_relu = matches!(current.operation, FloatOperation::Relu);
        let is_fused = self.network.nodes.get(node + 1).is_some_and(|next| {
            matches!(next.operation, FloatOperation::Relu)
                && next.inputs == [node + 1]
                && self.reader_counts.get(node + 1) == Some(&1)
                && current.operation.has_sums()
        });
        if is_fused { Target { node: node + 1, is_relu: true } } else { Target { node, is_relu } }
    }

    fn quantise_node(
        &mut self,
        index: usize,
        node: &FloatNode,
        target: Target,
    ) -> Result<(), QuantiseError> {
        let inputs: Vec<Tensor> =
            node.inputs.iter().filter_map(|&tensor| self.tensors.get(tensor).copied()).collect();
        let Some(&first) = inputs.first() else { return Ok(()) };
        match &node.operation {
            FloatOperation::Dense { weights, bias } => {
                if let Some(integers) = self.exact_layer(target, first, weights, bias) {
                    let IntegerLayer { weights, bias, range } = integers;
                    let operation = Operation::Dense { weights, bias };
                    return self.push_exact(&inputs, operation, range, target);
                }
                let (weights, bias, scale) = self.quantise_weights(index, weights, bias, first)?;
                self.push_linear(&inputs, Operation::Dense { weights, bias }, scale, target)
            }
            FloatOperation::Convolution { window, groups, weights, bias } => {
                if let Some(integers) = self.exact_layer(target, first, weights, bias) {
                    let IntegerLayer { weights, bias, range } = integers;
                    let operation =
                        Operation::Convolution { window: *window, groups: *groups, weights, bias };
                    return self.push_exact(&inputs, operation, range, target);
                }
                let (weights, bias, scale) = self.quantise_weights(index, weights, bias, first)?;
                let operation =
                    Operation::Convolution { window: *window, groups: *groups, weights, bias };
                self.push_linear(&inputs, operation, scale, target)
            }
            FloatOperation::Relu => {
                self.push_linear(&inputs, Operation::Sum { factors: vec![1] }, first.scale, target)
            }
            FloatOperation::Negate => {
                let range = first.range.times(-1).unwrap_or(SUM_INTERVAL);
                self.push_exact(&inputs, Operation::Sum { factors: vec![-1] }, range, target)
            }
            FloatOperation::ChannelAffine { factors, offsets } => {
                let (operation, range) = channel_affine_convolution(factors, offsets, first)
                    .ok_or(QuantiseError::Magnitude {
                        node: self.network.node_name(index),
                        magnitude: self.magnitude(index + 1),
                    })?;
                self.push_exact(&inputs, operation, range, target)
            }
            FloatOperation::ChannelSum { shift } => {
                let shape = node.inputs.first().and_then(|&tensor| self.network.shape(tensor));
                let operation = channel_sum_convolution(shape.map_or(0, |shape| shape.channels));
                self.push_linear(&inputs, operation, first.scale + i32::from(*shift), target)
            }
            FloatOperation::Add => self.push_sum(index, &inputs, [1, 1], target),
            FloatOperation::Subtract => self.push_sum(index, &inputs, [1, -1], target),
            FloatOperation::Compare { limits, is_above } => {
                self.push_comparisons(first, limits, is_above);
                Ok(())
            }
            FloatOperation::Multiply if !target.is_relu && self.push_masked(&inputs) => Ok(()),
            FloatOperation::Multiply => {
                let scale = inputs.iter().map(|tensor| tensor.scale).sum();
                self.push_linear(&inputs, Operation::Product, scale, target)
            }
            FloatOperation::MatrixProduct(sizes) => {
                let scale = inputs.iter().map(|tensor| tensor.scale).sum();
                let operation = Operation::MatrixProduct(*sizes);
                if self.is_rescaled_after_move(index + 1) {
                    self.push(&inputs, operation, None, scale, SUM_INTERVAL);
                    return Ok(());
                }
                self.push_linear(&inputs, operation, scale, target)
            }
            FloatOperation::Function(function) => self.push_function(index, first, function),
            FloatOperation::Move { indices, constant } => {
                self.push_move(index, &inputs, node.shape, indices, f64::from(*constant))?;
                self.rescale_moved(node, target)
            }
            FloatOperation::Constant(values) => {
                self.push_constant(index, first, values);
                Ok(())
            }
            FloatOperation::Part { start, element } => {
                let is_exact = *element != ElementType::Float;
                let indices =
                    (*start..*start + node.shape.elements()).map(|index| index as u32).collect();
                let operation = Operation::Move { shape: node.shape, indices, constant: 0 };
                let scale = if is_exact { 0 } else { first.scale };
                self.push(&inputs, operation, None, scale, first.range);
                self.narrow_last(first.unpadded_range);
                self.mark_exact(is_exact);
                Ok(())
            }
            FloatOperation::AveragePool(window) => {
                let (operation, bits) = mean_convolution(window, node.shape.channels);
                if window.kernel.iter().product::<usize>() <= EXACT_AREA
                    && bits < MEAN_BITS
                    && !target.is_relu
                {
                    // The weights are 1, or the scale is that of the mean.
                    let range = first.range.times(1 << bits).unwrap_or(SUM_INTERVAL);
                    self.push(&inputs, operation, None, first.scale + bits, range);
                    return Ok(());
                }
                self.push_linear(&inputs, operation, first.scale + bits, target)
            }
            FloatOperation::MaxPool(window) => {
                let operation = Operation::MaxPool { window: *window };
                self.push(&inputs, operation, None, first.scale, first.range);
                self.narrow_last(first.unpadded_range);
                self.mark_exact(first.is_exact);
                Ok(())
            }
        }
    }

    fn magnitude(&self, tensor: usize) -> f32 {
        self.magnitudes.get(tensor).copied().unwrap_or_default()
    }

    /// Appends a layer and its tensor.
    fn push(
        &mut self,
        inputs: &[Tensor],
        operation: Operation,
        rescale: Option<Rescale>,
        scale: i32,
        range: Range,
    ) {
        let tensor = self.append_layer(inputs, operation, rescale, scale, range);
        self.tensors.push(tensor);
    }

    /// Records that the last tensor has no value outside of an interval.
    fn narrow_last(&mut self, unpadded_range: Range) {
        if let Some(last) = self.tensors.last_mut() {
            last.unpadded_range = unpadded_range;
        }
    }

    /// Appends a layer; returns its tensor.
    fn append_layer(
        &mut self,
        inputs: &[Tensor],
        operation: Operation,
        rescale: Option<Rescale>,
        scale: i32,
        range: Range,
    ) -> Tensor {
        let inputs = inputs.iter().map(|tensor| tensor.index).collect();
        self.layers.push(Layer { inputs, operation, rescale, scale });
        self.descriptions.push(LayerDescription::default());
        Tensor {
            index: self.layers.len() as u32,
            scale,
            range: range.with_zero(),
            unpadded_range: range,
            is_exact: false,
        }
    }
}

/// Returns the number of bits before the point of a value.
pub(super) fn integer_bits(magnitude: f32) -> i32 {
    // An infinite value is refused like one that is too large for any scale.
    if magnitude > 0.0 { f64::from(magnitude).log2().floor().min(1000.0) as i32 + 1 } else { 0 }
}

impl FloatOperation {
    /// Returns whether the operation has sums to rescale, into which a ReLU can be merged.
    pub(super) fn has_sums(&self) -> bool {
        !matches!(
            self,
            Self::MaxPool(_)
                | Self::Function(_)
                | Self::Move { .. }
                | Self::Constant(_)
                | Self::Part { .. }
                | Self::Compare { .. }
        )
    }
}
