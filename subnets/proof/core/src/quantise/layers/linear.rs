//! Linear layers: integer weights, and the rescale of sums to activations.

use super::{MAX_SCALE, Quantiser, SUM_INTERVAL, Target, Tensor, integer_bits};
use crate::float::{FloatNode, FloatOperation};
use crate::network::Operation;
use crate::quantise::{QuantiseError, power};
use crate::{Clamp, Range, Rescale, Window};

/// Fractional bits of the reciprocal area of an average pool.
pub(super) const MEAN_BITS: i32 = 12;
/// Minimum number of bits of the rounded weight of an average pool: an error of at most 3 %.
const MEAN_WEIGHT_BITS: i32 = 5;

impl Quantiser<'_> {
    /// Returns integer weights with the requested bits, integer biases at the sums' scale, and that
    /// scale.
    pub(super) fn quantise_weights(
        &self,
        node: usize,
        weights: &[f32],
        bias: &[f32],
        input: Tensor,
    ) -> Result<(Vec<i32>, Vec<i64>, i32), QuantiseError> {
        let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let max_provable_weight =
            self.max_provable_weight(input.range.magnitude(), weights, bias.len(), largest);
        let max_weight = self.max_weight(input, weights, bias, largest).min(max_provable_weight);
        let scale =
            if largest > 0.0 { (max_weight / f64::from(largest)).log2().floor() as i32 } else { 0 };
        let sum_scale = input.scale + scale;
        if scale.abs() > MAX_SCALE || sum_scale.abs() > MAX_SCALE {
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
            bias.iter().map(|&bias| (f64::from(bias) * power(sum_scale)).round() as i64).collect();
        Ok((weights, bias, sum_scale))
    }

    /// Appends a linear layer whose sums, in this interval, have the scale of its input: nothing is
    /// rounded.
    pub(super) fn push_exact(
        &mut self,
        inputs: &[Tensor],
        operation: Operation,
        range: Range,
        target: Target,
    ) -> Result<(), QuantiseError> {
        let scale = inputs.first().map_or(0, |input| input.scale);
        if target.is_relu {
            return self.push_linear(inputs, operation, scale, target);
        }
        self.push(inputs, operation, None, scale, range);
        self.mark_exact(inputs.iter().all(|input| input.is_exact));
        Ok(())
    }

    /// Appends a linear layer whose sums have the scale `sum_scale`.
    pub(super) fn push_linear(
        &mut self,
        inputs: &[Tensor],
        operation: Operation,
        sum_scale: i32,
        target: Target,
    ) -> Result<(), QuantiseError> {
        if self.is_output(target.node + 1) && !target.is_relu {
            // Sums without readers need no rescale.
            self.push(inputs, operation, None, sum_scale, SUM_INTERVAL);
            return Ok(());
        }
        if let Some(range) = self.exact_sums(target, inputs, &operation) {
            self.push(inputs, operation, None, sum_scale, range);
            self.mark_exact(true);
            return Ok(());
        }
        let (bits, headroom) = self.bits(target.node + 1);
        let is_nonnegative = target.is_relu
            || (operation.preserves_nonnegativity()
                && inputs.iter().all(|tensor| tensor.range.low >= 0));
        let clamp = if is_nonnegative { Clamp::Unsigned(bits) } else { Clamp::Signed(bits) };
        let (rescale, scale) = if self.is_read_for_sign(target.node + 1, inputs, &operation) {
            (Rescale { shift: 0, clamp }, sum_scale)
        } else {
            let (rescale, scale) =
                self.rescale(target.node + 1, sum_scale, bits - headroom, is_nonnegative)?;
            (Rescale { clamp, ..rescale }, scale)
        };
        let range = rescale.clamp.range();
        let minimum = min_sum(inputs, &operation).map(|sum| rescale.apply(sum));
        self.push(inputs, operation, Some(rescale), scale, range);
        if let Some(low) = minimum {
            self.narrow_last(Range { low, ..range });
        }
        Ok(())
    }

    /// Rescales the sums that a move, the last layer, has read from products of matrices; other
    /// moves read activations.
    pub(super) fn rescale_moved(
        &mut self,
        node: &FloatNode,
        target: Target,
    ) -> Result<(), QuantiseError> {
        if let &[tensor] = &node.inputs[..]
            && self.is_rescaled_after_move(tensor)
            && let Some(sums) = self.tensors.pop()
        {
            return self.push_linear(
                &[sums],
                Operation::Sum { factors: vec![1] },
                sums.scale,
                target,
            );
        }
        Ok(())
    }

    /// Returns whether a tensor is the network's output, or becomes it by a move that adds nothing.
    pub(super) fn is_output(&self, tensor: usize) -> bool {
        let last = self.network.nodes.len();
        let is_moved = |node: &FloatNode| {
            matches!(node.operation, FloatOperation::Move { constant, .. } if constant.abs() <= 0.0)
                && node.inputs == [tensor]
        };
        tensor == last
            || (tensor + 1 == last
                && self.reader_counts.get(tensor) == Some(&1)
                && self.network.nodes.last().is_some_and(is_moved))
    }

    /// Returns the rescale of sums with the scale `sum_scale` to activations of `bits` bits, and
    /// the scale of these.
    pub(super) fn rescale(
        &self,
        tensor: usize,
        sum_scale: i32,
        bits: u8,
        is_nonnegative: bool,
    ) -> Result<(Rescale, i32), QuantiseError> {
        let scale = (i32::from(bits) - self.integer_bits(tensor)).min(sum_scale);
        let shift = sum_scale - scale;
        if shift > i32::from(crate::MAX_SHIFT) || scale.abs() > MAX_SCALE {
            let (node, magnitude) = (tensor.saturating_sub(1), self.magnitude(tensor));
            return Err(QuantiseError::Magnitude { node: self.network.node_name(node), magnitude });
        }
        let clamp = if is_nonnegative { Clamp::Unsigned(bits) } else { Clamp::Signed(bits) };
        Ok((Rescale { shift: shift as u8, clamp }, scale))
    }

    /// Returns the number of bits before the point of the largest value of a tensor in the sample.
    pub(super) fn integer_bits(&self, tensor: usize) -> i32 {
        integer_bits(self.magnitude(tensor))
    }

    /// Appends a weighted sum of two tensors, whose weights are `signs` and the powers of two
    /// between their scales.
    pub(super) fn push_sum(
        &mut self,
        index: usize,
        inputs: &[Tensor],
        signs: [i32; 2],
        target: Target,
    ) -> Result<(), QuantiseError> {
        let inputs = &self.round_addends(index, inputs)?[..];
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
        self.push_linear(inputs, Operation::Sum { factors }, scale, target)
    }
}

impl Operation {
    /// Returns whether the results are not negative if the inputs are not: those of products, and
    /// of sums with weights of 1. Then no function after them needs a value for a negative
    /// argument.
    fn preserves_nonnegativity(&self) -> bool {
        match self {
            Self::Product | Self::MatrixProduct(_) => true,
            Self::Convolution { groups: 1, .. } => self.only_adds(),
            _ => false,
        }
    }
}

/// Returns a depthwise convolution of 1×1 for factors and offsets of channels, and the interval of
/// its sums; `None` if an offset is too large, or no integer at the scale of the input.
pub(super) fn channel_affine_convolution(
    factors: &[i32],
    offsets: &[i32],
    input: Tensor,
) -> Option<(Operation, Range)> {
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

/// Returns a lower bound of sums of positive values, such as the argument of a logarithm; `None`
/// for other sums.
fn min_sum(inputs: &[Tensor], operation: &Operation) -> Option<i64> {
    let Operation::Convolution { window, weights, bias, .. } = operation else { return None };
    let low = inputs.first()?.unpadded_range.low;
    // The only output has a term for each weight.
    let adds_all = operation.only_adds() && bias.len() == 1 && window.padding == [0; 4];
    if !adds_all || low <= 0 {
        return None;
    }
    low.checked_mul(i64::try_from(weights.len()).ok()?)
}

/// Returns a convolution of 1×1 that adds all channels.
pub(super) fn channel_sum_convolution(channels: usize) -> Operation {
    let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
    Operation::Convolution { window, groups: 1, weights: vec![1; channels], bias: vec![0] }
}

/// Returns a depthwise convolution for the mean, and the additional bits of its sums. If the area
/// is a power of two, weights are 1 and nothing is rounded.
pub(super) fn mean_convolution(window: &Window, channels: usize) -> (Operation, i32) {
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
