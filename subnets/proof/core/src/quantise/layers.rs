mod conditions;
mod elements;
mod integers;
mod residual;

pub(super) use self::elements::MAX_BITS;
use self::integers::IntegerLayer;
pub(super) use self::integers::deciding_tensors;
use self::residual::Stream;
use super::{QuantiseError, QuantiseOptions, power};
use crate::float::{ElementType, FloatNetwork, FloatNode, FloatOperation};
use crate::network::{CHOICES_FORMAT, Input, Layer, MAX_SUM, Network, Operation};
use crate::saturation::LayerDescription;
use crate::{Clamp, Range, Rescale, Window};

/// Fractional bits of the reciprocal area of an average pool.
const MEAN_BITS: i32 = 12;
/// Minimum number of bits of the rounded weight of an average pool: an error of at most 3 %.
const MEAN_WEIGHT_BITS: i32 = 5;
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
    values: Range,
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
    readers: Vec<usize>,
    /// Whether each float tensor has more bits than other activations.
    is_fine: Vec<bool>,
    /// Whether rows of tables, or comparisons, depend on each float tensor, so that integers must
    /// not be rounded.
    is_deciding: Vec<bool>,
    /// How each float tensor belongs to a residual stream; empty without bits for one.
    streams: Vec<Stream>,
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
    positive: bool,
}

impl<'a> Quantiser<'a> {
    pub(super) fn new(
        network: &'a FloatNetwork,
        options: &'a QuantiseOptions,
        magnitudes: &'a [f32],
    ) -> Self {
        let (scale, range) = (options.input_scale, options.input_range);
        let is_exact = network.input_type != ElementType::Float;
        let tensors =
            vec![Tensor { index: 0, scale, range: range.with_zero(), values: range, is_exact }];
        let (readers, is_fine) = (network.readers(), elements::fine_tensors(network));
        let is_deciding = deciding_tensors(network);
        let streams = match options.residual_bits {
            Some(_) => residual::streams(network),
            None => Vec::new(),
        };
        Self {
            network,
            options,
            magnitudes,
            extra_bits: vec![0; network.nodes.len() + 1],
            readers,
            is_fine,
            is_deciding,
            streams,
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
            let before = self.layers.len();
            self.node(node, current, target)?;
            if let Some(name) = self.network.names.get(target.node) {
                for description in self.descriptions.iter_mut().skip(before) {
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
        let positive = matches!(current.operation, FloatOperation::Relu);
        let fused = self.network.nodes.get(node + 1).is_some_and(|next| {
            matches!(next.operation, FloatOperation::Relu)
                && next.inputs == [node + 1]
                && self.readers.get(node + 1) == Some(&1)
                && current.operation.has_sums()
        });
        if fused { Target { node: node + 1, positive: true } } else { Target { node, positive } }
    }

    fn node(
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
                    return self.exact(&inputs, Operation::Dense { weights, bias }, range, target);
                }
                let (weights, bias, scale) = self.weights(index, weights, bias, first)?;
                self.linear(&inputs, Operation::Dense { weights, bias }, scale, target)
            }
            FloatOperation::Convolution { window, groups, weights, bias } => {
                if let Some(integers) = self.exact_layer(target, first, weights, bias) {
                    let IntegerLayer { weights, bias, range } = integers;
                    let operation =
                        Operation::Convolution { window: *window, groups: *groups, weights, bias };
                    return self.exact(&inputs, operation, range, target);
                }
                let (weights, bias, scale) = self.weights(index, weights, bias, first)?;
                let operation =
                    Operation::Convolution { window: *window, groups: *groups, weights, bias };
                self.linear(&inputs, operation, scale, target)
            }
            FloatOperation::Relu => {
                self.linear(&inputs, Operation::Sum { factors: vec![1] }, first.scale, target)
            }
            FloatOperation::Negate => {
                let range = first.range.times(-1).unwrap_or(SUM_INTERVAL);
                self.exact(&inputs, Operation::Sum { factors: vec![-1] }, range, target)
            }
            FloatOperation::ChannelAffine { factors, offsets } => {
                let (operation, range) =
                    channel_affine(factors, offsets, first).ok_or(QuantiseError::Magnitude {
                        node: self.network.node_name(index),
                        magnitude: self.magnitude(index + 1),
                    })?;
                self.exact(&inputs, operation, range, target)
            }
            FloatOperation::ChannelSum { shift } => {
                let shape = node.inputs.first().and_then(|&tensor| self.network.shape(tensor));
                let operation = channel_sum(shape.map_or(0, |shape| shape.channels));
                self.linear(&inputs, operation, first.scale + i32::from(*shift), target)
            }
            FloatOperation::Add => self.add(index, &inputs, [1, 1], target),
            FloatOperation::Subtract => self.add(index, &inputs, [1, -1], target),
            FloatOperation::Compare { limits, is_above } => {
                self.compare(first, limits, is_above);
                Ok(())
            }
            FloatOperation::Multiply if !target.positive && self.push_masked(&inputs) => Ok(()),
            FloatOperation::Multiply => {
                let scale = inputs.iter().map(|tensor| tensor.scale).sum();
                self.linear(&inputs, Operation::Product, scale, target)
            }
            FloatOperation::MatrixProduct(sizes) => {
                let scale = inputs.iter().map(|tensor| tensor.scale).sum();
                let operation = Operation::MatrixProduct(*sizes);
                if self.is_rescaled_after_move(index + 1) {
                    self.push(&inputs, operation, None, scale, SUM_INTERVAL);
                    return Ok(());
                }
                self.linear(&inputs, operation, scale, target)
            }
            FloatOperation::Function(function) => self.function(index, first, function),
            FloatOperation::Move { indices, constant } => {
                self.moved(index, &inputs, node.shape, indices, f64::from(*constant))?;
                self.rescale_moved(node, target)
            }
            FloatOperation::Constant(values) => {
                self.constant(index, first, values);
                Ok(())
            }
            FloatOperation::Part { start, element } => {
                let is_exact = *element != ElementType::Float;
                let indices =
                    (*start..*start + node.shape.elements()).map(|index| index as u32).collect();
                let operation = Operation::Move { shape: node.shape, indices, constant: 0 };
                self.push(
                    &inputs,
                    operation,
                    None,
                    if is_exact { 0 } else { first.scale },
                    first.range,
                );
                self.narrow(first.values);
                self.mark_exact(is_exact);
                Ok(())
            }
            FloatOperation::AveragePool(window) => {
                let (operation, bits) = mean(window, node.shape.channels);
                if window.kernel.iter().product::<usize>() <= EXACT_AREA
                    && bits < MEAN_BITS
                    && !target.positive
                {
                    // The weights are 1, or the scale is that of the mean.
                    let range = first.range.times(1 << bits).unwrap_or(SUM_INTERVAL);
                    self.push(&inputs, operation, None, first.scale + bits, range);
                    return Ok(());
                }
                self.linear(&inputs, operation, first.scale + bits, target)
            }
            FloatOperation::MaxPool(window) => {
                self.push(
                    &inputs,
                    Operation::MaxPool { window: *window },
                    None,
                    first.scale,
                    first.range,
                );
                self.narrow(first.values);
                self.mark_exact(first.is_exact);
                Ok(())
            }
        }
    }

    fn magnitude(&self, tensor: usize) -> f32 {
        self.magnitudes.get(tensor).copied().unwrap_or_default()
    }

    /// Returns integer weights with the requested bits, integer biases at the sums' scale, and that
    /// scale.
    fn weights(
        &self,
        node: usize,
        weights: &[f32],
        bias: &[f32],
        input: Tensor,
    ) -> Result<(Vec<i32>, Vec<i64>, i32), QuantiseError> {
        let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let provable = self.provable_weight(input.range.magnitude(), weights, bias.len(), largest);
        let limit = self.largest_weight(input, weights, bias, largest).min(provable);
        let scale =
            if largest > 0.0 { (limit / f64::from(largest)).log2().floor() as i32 } else { 0 };
        let sums = input.scale + scale;
        if scale.abs() > MAX_SCALE || sums.abs() > MAX_SCALE {
            return Err(QuantiseError::Magnitude {
                node: self.network.node_name(node),
                magnitude: largest,
            });
        }
        let weights = weights
            .iter()
            .map(|&weight| (f64::from(weight) * power(scale)).round() as i32)
            .collect();
        let bias =
            bias.iter().map(|&bias| (f64::from(bias) * power(sums)).round() as i64).collect();
        Ok((weights, bias, sums))
    }

    /// Appends a linear layer whose sums, in this interval, have the scale of its input: nothing is
    /// rounded.
    fn exact(
        &mut self,
        inputs: &[Tensor],
        operation: Operation,
        range: Range,
        target: Target,
    ) -> Result<(), QuantiseError> {
        let scale = inputs.first().map_or(0, |input| input.scale);
        if target.positive {
            return self.linear(inputs, operation, scale, target);
        }
        self.push(inputs, operation, None, scale, range);
        self.mark_exact(inputs.iter().all(|input| input.is_exact));
        Ok(())
    }

    /// Appends a linear layer whose sums have the scale `sums`.
    fn linear(
        &mut self,
        inputs: &[Tensor],
        operation: Operation,
        sums: i32,
        target: Target,
    ) -> Result<(), QuantiseError> {
        if self.is_output(target.node + 1) && !target.positive {
            // Sums without readers need no rescale.
            self.push(inputs, operation, None, sums, SUM_INTERVAL);
            return Ok(());
        }
        if let Some(range) = self.exact_sums(target, inputs, &operation) {
            self.push(inputs, operation, None, sums, range);
            self.mark_exact(true);
            return Ok(());
        }
        let (bits, headroom) = self.bits(target.node + 1);
        let positive = target.positive
            || (operation.keeps_sign() && inputs.iter().all(|tensor| tensor.range.low >= 0));
        let clamp = if positive { Clamp::Unsigned(bits) } else { Clamp::Signed(bits) };
        let (rescale, scale) = if self.is_read_for_sign(target.node + 1, inputs, &operation) {
            (Rescale { shift: 0, clamp }, sums)
        } else {
            let (rescale, scale) =
                self.rescale(target.node + 1, sums, bits - headroom, positive)?;
            (Rescale { clamp, ..rescale }, scale)
        };
        let range = rescale.clamp.range();
        let minimum = least_sum(inputs, &operation).map(|sum| rescale.apply(sum));
        self.push(inputs, operation, Some(rescale), scale, range);
        if let Some(low) = minimum {
            self.narrow(Range { low, ..range });
        }
        Ok(())
    }

    /// Rescales the sums that a move, the last layer, has read from products of matrices; other
    /// moves read activations.
    fn rescale_moved(&mut self, node: &FloatNode, target: Target) -> Result<(), QuantiseError> {
        if let &[tensor] = &node.inputs[..]
            && self.is_rescaled_after_move(tensor)
            && let Some(sums) = self.tensors.pop()
        {
            return self.linear(&[sums], Operation::Sum { factors: vec![1] }, sums.scale, target);
        }
        Ok(())
    }

    /// Returns whether a tensor is the network's output, or becomes it by a move that adds nothing.
    fn is_output(&self, tensor: usize) -> bool {
        let last = self.network.nodes.len();
        let is_moved = |node: &FloatNode| {
            matches!(node.operation, FloatOperation::Move { constant, .. } if constant.abs() <= 0.0)
                && node.inputs == [tensor]
        };
        tensor == last
            || (tensor + 1 == last
                && self.readers.get(tensor) == Some(&1)
                && self.network.nodes.last().is_some_and(is_moved))
    }

    /// Returns the rescale of sums with the scale `sums` to activations of `bits` bits, and the
    /// scale of these.
    fn rescale(
        &self,
        tensor: usize,
        sums: i32,
        bits: u8,
        positive: bool,
    ) -> Result<(Rescale, i32), QuantiseError> {
        let scale = (i32::from(bits) - self.integer_bits(tensor)).min(sums);
        let shift = sums - scale;
        if shift > i32::from(crate::MAX_SHIFT) || scale.abs() > MAX_SCALE {
            let (node, magnitude) = (tensor.saturating_sub(1), self.magnitude(tensor));
            return Err(QuantiseError::Magnitude { node: self.network.node_name(node), magnitude });
        }
        let clamp = if positive { Clamp::Unsigned(bits) } else { Clamp::Signed(bits) };
        Ok((Rescale { shift: shift as u8, clamp }, scale))
    }

    /// Returns the number of bits before the point of the largest value of a tensor in the sample.
    fn integer_bits(&self, tensor: usize) -> i32 {
        integer_bits(self.magnitude(tensor))
    }

    /// Appends a weighted sum of two tensors, whose weights are `signs` and the powers of two
    /// between their scales.
    fn add(
        &mut self,
        index: usize,
        inputs: &[Tensor],
        signs: [i32; 2],
        target: Target,
    ) -> Result<(), QuantiseError> {
        let inputs = &self.addends(index, inputs)?[..];
        let scale = inputs.iter().map(|tensor| tensor.scale).max().unwrap_or_default();
        let factors = inputs.iter().zip(signs).map(|(tensor, sign)| {
            1_i32
                .checked_shl((scale - tensor.scale) as u32)
                .filter(|&factor| factor > 0)
                .map(|factor| factor * sign)
        });
        let factors = factors.collect::<Option<Vec<i32>>>();
        let magnitude = self.magnitude(index + 1);
        let factors = factors
            .ok_or(QuantiseError::Magnitude { node: self.network.node_name(index), magnitude })?;
        self.linear(inputs, Operation::Sum { factors }, scale, target)
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
        let tensor = self.append(inputs, operation, rescale, scale, range);
        self.tensors.push(tensor);
    }

    /// Records that the last tensor has no value outside of an interval.
    fn narrow(&mut self, values: Range) {
        if let Some(last) = self.tensors.last_mut() {
            last.values = values;
        }
    }

    /// Appends a layer; returns its tensor.
    fn append(
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
            values: range,
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

impl Operation {
    /// Returns whether products, or sums with weights of 1, have no sign if the inputs have none.
    /// Then no function after them needs a value for a negative argument.
    fn keeps_sign(&self) -> bool {
        match self {
            Self::Product | Self::MatrixProduct(_) => true,
            Self::Convolution { groups: 1, .. } => self.only_adds(),
            _ => false,
        }
    }
}

/// Returns a depthwise convolution of 1×1 for factors and offsets of channels, and the interval of
/// its sums; `None` if an offset is too large, or no integer at the scale of the input.
fn channel_affine(factors: &[i32], offsets: &[i32], input: Tensor) -> Option<(Operation, Range)> {
    let unit =
        1_i64.checked_shl(u32::try_from(input.scale).ok()?).filter(|&unit| unit <= 1 << 30)?;
    let bias: Vec<i64> = offsets.iter().map(|&offset| i64::from(offset) * unit).collect();
    let ranges = factors
        .iter()
        .zip(&bias)
        .map(|(&factor, &bias)| input.range.times(i64::from(factor))?.plus(&Range::only(bias)));
    let range = ranges
        .collect::<Option<Vec<Range>>>()?
        .into_iter()
        .reduce(|range, other| range.union(&other))?;
    let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
    Some((
        Operation::Convolution { window, groups: factors.len(), weights: factors.to_vec(), bias },
        range,
    ))
}

/// Returns a limit below which no sum of positive values is, such as the argument of a logarithm;
/// `None` for other sums.
fn least_sum(inputs: &[Tensor], operation: &Operation) -> Option<i64> {
    let Operation::Convolution { window, weights, bias, .. } = operation else { return None };
    let low = inputs.first()?.values.low;
    // The only output has a term for each weight.
    let adds_all = operation.only_adds() && bias.len() == 1 && window.padding == [0; 4];
    if !adds_all || low <= 0 {
        return None;
    }
    low.checked_mul(i64::try_from(weights.len()).ok()?)
}

/// Returns a convolution of 1×1 that adds all channels.
fn channel_sum(channels: usize) -> Operation {
    let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
    Operation::Convolution { window, groups: 1, weights: vec![1; channels], bias: vec![0] }
}

/// Returns a depthwise convolution for the mean, and the additional bits of its sums. If the area
/// is a power of two, weights are 1 and nothing is rounded.
fn mean(window: &Window, channels: usize) -> (Operation, i32) {
    let area = window.kernel[0] * window.kernel[1];
    let (weight, bits) = if area.is_power_of_two() {
        (1, area.trailing_zeros().cast_signed())
    } else {
        // Large areas need more bits, or the weight would be rounded to nothing.
        let bits = MEAN_BITS.max(area.ilog2().cast_signed() + MEAN_WEIGHT_BITS);
        ((power(bits) / area as f64).round() as i32, bits)
    };
    let weights = vec![weight; channels * area];
    (
        Operation::Convolution {
            window: *window,
            groups: channels,
            weights,
            bias: vec![0; channels],
        },
        bits,
    )
}
