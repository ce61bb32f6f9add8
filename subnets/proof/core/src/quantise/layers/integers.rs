//! Integers of the model that choose rows of a table, or are compared: the neighbour of a token is
//! another token, so they are neither rounded nor saturated.

use super::{Quantiser, Target, Tensor};
use crate::Range;
use crate::float::{FloatNetwork, FloatOperation, Function};
use crate::network::{MAX_TABLE, Operation};

/// Weights and biases of a layer that are integers as they are.
pub(super) struct IntegerLayer {
    pub(super) weights: Vec<i32>,
    pub(super) bias: Vec<i64>,
    /// Interval of the sums.
    pub(super) range: Range,
}

impl Quantiser<'_> {
    /// Records whether the last tensor has integers that nothing rounds or saturates.
    pub(super) fn mark_exact(&mut self, is_exact: bool) {
        if let Some(last) = self.tensors.last_mut() {
            last.is_exact = is_exact;
        }
    }

    /// Returns whether rows of tables, or comparisons, depend on a float tensor.
    pub(super) fn requires_exactness(&self, tensor: usize) -> bool {
        self.requires_exactness.get(tensor) == Some(&true)
    }

    /// Returns the interval of sums or products of integers that must not be rounded; `None` if
    /// they may be, or have more values than a table.
    pub(super) fn exact_sums(
        &self,
        target: Target,
        inputs: &[Tensor],
        operation: &Operation,
    ) -> Option<Range> {
        let node = self.network.nodes.get(target.node)?;
        let is_exact = inputs.iter().all(|input| input.is_exact);
        if target.is_relu || !is_exact || !self.requires_exactness(target.node + 1) {
            return None;
        }
        let first = inputs.first()?.range;
        let range = match (&node.operation, operation) {
            (FloatOperation::Add | FloatOperation::Subtract, Operation::Sum { factors }) => {
                weighted_sums(inputs, factors)
            }
            (FloatOperation::Multiply, Operation::Product) => {
                let second = inputs.get(1)?.range;
                Some(first.times(second.low)?.union(&first.times(second.high)?))
            }
            (FloatOperation::ChannelSum { shift: 0 }, Operation::Convolution { weights, .. }) => {
                first.times(i64::try_from(weights.len()).ok()?)
            }
            _ => None,
        };
        range.filter(|&range| fits_table(range))
    }

    /// Returns a layer without rounded weights, of integers that must not be rounded; `None` if its
    /// sums may be, or have more values than a table.
    pub(super) fn exact_layer(
        &self,
        target: Target,
        input: Tensor,
        weights: &[f32],
        bias: &[f32],
    ) -> Option<IntegerLayer> {
        let must_be_exact = input.is_exact && self.requires_exactness(target.node + 1);
        if target.is_relu || !must_be_exact || !are_integers(weights, bias) {
            return None;
        }
        let weights: Vec<i32> = weights.iter().map(|&weight| weight as i32).collect();
        let bias: Vec<i64> = bias.iter().map(|&bias| bias as i64).collect();
        let width = weights.len().checked_div(bias.len())?.max(1);
        let mut range: Option<Range> = None;
        for (row, &bias) in weights.chunks(width).zip(&bias) {
            let row_range = row.iter().try_fold(Range::only(bias), |sum, &weight| {
                sum.plus(&input.range.times(weight.into())?)
            })?;
            range = Some(range.map_or(row_range, |range| range.union(&row_range)));
        }
        let range = range.filter(|&range| fits_table(range))?;
        Some(IntegerLayer { weights, bias, range })
    }

    /// Returns whether the values of a table are integers that must not be rounded: those that
    /// choose rows or are compared, and the outputs of the network.
    pub(super) fn has_exact_values(
        &self,
        index: usize,
        input: Tensor,
        function: &Function,
        values: &[f64],
    ) -> bool {
        let fits = |value: &f64| value.fract().abs() <= 0.0 && value.abs() < MAX_TABLE as f64;
        (self.requires_exactness(index + 1) || self.is_output(index + 1))
            && (input.is_exact || function.is_integer())
            && values.iter().all(fits)
    }
}

/// Returns the interval of sums of one value of each tensor times a factor; `None` on overflow.
pub(super) fn weighted_sums(inputs: &[Tensor], factors: &[i32]) -> Option<Range> {
    let mut terms = inputs.iter().zip(factors);
    terms.try_fold(Range::only(0), |sum, (input, &factor)| {
        sum.plus(&input.range.times(factor.into())?)
    })
}

/// Returns whether a table can have a value for each integer of an interval.
pub(super) fn fits_table(range: Range) -> bool {
    range.high.abs_diff(range.low) < MAX_TABLE as u64
}

/// Returns whether a layer with these weights and biases turns integers into integers.
fn are_integers(weights: &[f32], bias: &[f32]) -> bool {
    let mut values = weights.iter().chain(bias);
    values.all(|value| value.fract().abs() <= 0.0 && value.abs() < MAX_TABLE as f32)
}

/// Returns whether a function that is not continuous reads each tensor of a network, directly or
/// after operations that keep integers.
pub(in crate::quantise) fn tensors_requiring_exactness(network: &FloatNetwork) -> Vec<bool> {
    let mut requires_exactness = vec![false; network.nodes.len() + 1];
    // All readers of a tensor come later.
    for (index, node) in network.nodes.iter().enumerate().rev() {
        let needs_exact_inputs = match &node.operation {
            FloatOperation::Function(function) if function.is_discontinuous() => true,
            FloatOperation::Compare { .. } => true,
            FloatOperation::Add
            | FloatOperation::ChannelAffine { .. }
            | FloatOperation::ChannelSum { shift: 0 }
            | FloatOperation::Function(_)
            | FloatOperation::MaxPool(_)
            | FloatOperation::Move { .. }
            | FloatOperation::Multiply
            | FloatOperation::Negate
            | FloatOperation::Subtract => requires_exactness.get(index + 1) == Some(&true),
            FloatOperation::Dense { weights, bias }
            | FloatOperation::Convolution { weights, bias, .. } => {
                requires_exactness.get(index + 1) == Some(&true) && are_integers(weights, bias)
            }
            _ => false,
        };
        for input in node.inputs.iter().filter(|_| needs_exact_inputs) {
            if let Some(requires_exactness) = requires_exactness.get_mut(*input) {
                *requires_exactness = true;
            }
        }
    }
    requires_exactness
}
