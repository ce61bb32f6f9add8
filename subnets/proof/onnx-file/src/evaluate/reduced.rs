//! Reductions over axes, softmaxes and norms, by the formulas of the standard. They share no code
//! with the reader's rows.

use super::elements::existing_axis;
use super::{Operands, Tensor};
use crate::OnnxError;

impl Operands<'_> {
    /// Combines all operands, one after the other.
    pub(super) fn fold_operands(
        &self,
        operation: fn(f64, f64) -> f64,
    ) -> Result<Tensor, OnnxError> {
        let first = self.operand(0)?.into_owned();
        (1..self.node.input.len()).try_fold(first, |folded, position| {
            self.combine(&folded, self.operand(position)?.as_ref(), operation)
        })
    }

    /// Reduces a tensor along the axes that the node names.
    pub(super) fn evaluate_reduction(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let axes = self.attribute_or_input("axes", 1).unwrap_or_default();
        let mut is_reduced = vec![axes.is_empty(); input.dims.len()];
        if axes.is_empty() && self.node.int("noop_with_empty_axes", 0) != 0 {
            return Ok(input.into_owned());
        }
        for axis in axes {
            let axis = existing_axis(axis, &input.dims)
                .ok_or_else(|| self.evaluation_error("an axis does not exist"))?;
            is_reduced[axis] = true;
        }
        let extents = input.dims.iter().zip(&is_reduced);
        let reduced_dims: Vec<usize> =
            extents.map(|(&extent, &is_reduced)| if is_reduced { 1 } else { extent }).collect();
        let mut groups = vec![Vec::new(); reduced_dims.iter().product::<usize>()];
        for (index, &value) in input.values.iter().enumerate() {
            groups[group_index(index, &input.dims, &is_reduced)].push(value);
        }
        let values = groups.iter().map(|group| reduced_value(&self.node.op_type, group)).collect();
        if self.node.int("keepdims", 1) != 0 {
            return Ok(Tensor { dims: reduced_dims, values });
        }
        let dims = input.dims.iter().zip(&is_reduced).filter(|(_, is_reduced)| !**is_reduced);
        Ok(Tensor { dims: dims.map(|(&extent, _)| extent).collect(), values })
    }

    /// Returns the position of the first or last maximum or minimum along an axis.
    pub(super) fn evaluate_position_of_extremum(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let mut dims = input.dims.clone();
        let axis = self.axis(0, &dims)?;
        let (width, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
        let sign = if self.node.op_type == "ArgMin" { -1.0 } else { 1.0 };
        let takes_last = self.node.int("select_last_index", 0) != 0;
        let mut positions = Vec::new();
        for block in input.values.chunks((width * inner).max(1)) {
            for column in 0..inner {
                let (mut position, mut largest) = (0, f64::NEG_INFINITY);
                for (index, value) in block.iter().skip(column).step_by(inner).enumerate() {
                    let value = sign * value;
                    if value > largest || (takes_last && value >= largest) {
                        (position, largest) = (index, value);
                    }
                }
                positions.push(position as f64);
            }
        }
        if self.node.int("keepdims", 1) == 0 {
            dims.remove(axis);
        } else {
            dims[axis] = 1;
        }
        Ok(Tensor { dims, values: positions })
    }

    /// Returns 1 for the first maximum along an axis, or of all elements from the axis on, and 0
    /// for other elements.
    pub(super) fn evaluate_hardmax(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let is_before_opset_13 = self.opset < 13;
        let axis = self.axis(if is_before_opset_13 { 1 } else { -1 }, &tensor.dims)?;
        let inner: usize =
            if is_before_opset_13 { 1 } else { tensor.dims[axis + 1..].iter().product() };
        let width = tensor.dims[axis..].iter().product::<usize>() / inner.max(1);
        map_lines(&mut tensor.values, width, inner, |line| {
            let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let first = line.iter().position(|value| *value >= largest);
            for (index, value) in line.iter_mut().enumerate() {
                *value = f64::from(Some(index) == first);
            }
        });
        Ok(tensor)
    }

    /// Divides the elements along an axis by their norm.
    pub(super) fn evaluate_unit_norm(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let axis = self.axis(-1, &tensor.dims)?;
        let (width, inner) = (tensor.dims[axis], tensor.dims[axis + 1..].iter().product::<usize>());
        let operator = if self.node.int("p", 2) == 1 { "ReduceL1" } else { "ReduceL2" };
        map_lines(&mut tensor.values, width, inner, |line| {
            let norm = reduced_value(operator, line);
            if norm > 0.0 {
                for value in line.iter_mut() {
                    *value /= norm;
                }
            }
        });
        Ok(tensor)
    }

    /// Evaluates a norm over groups of channels, whose factors are those of a group or, since
    /// version 21, of a channel.
    pub(super) fn evaluate_group_norm(&self) -> Result<Tensor, OnnxError> {
        let (mut tensor, scale, shift) =
            (self.operand(0)?.into_owned(), self.operand(1)?, self.operand(2)?);
        let groups = usize::try_from(self.node.int("num_groups", 0)).unwrap_or_default();
        let &[1, channels, ref extents @ ..] = &tensor.dims[..] else {
            return Err(
                self.evaluation_error("the operand does not have channels and a batch of 1")
            );
        };
        let (count, area) = (scale.values.len(), extents.iter().product::<usize>().max(1));
        if groups == 0
            || !channels.is_multiple_of(groups)
            || ![groups, channels].contains(&count)
            || shift.values.len() != count
        {
            return Err(self.evaluation_error("the operands do not fit each other"));
        }
        let epsilon = f64::from(self.node.float("epsilon", 1e-5));
        let width = channels / groups * area;
        for (group, values) in tensor.values.chunks_mut(width.max(1)).enumerate() {
            let mean = values.iter().sum::<f64>() / width as f64;
            let variance =
                values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
            for (index, value) in values.iter_mut().enumerate() {
                let channel = (group * width + index) / area * count / channels;
                *value = (*value - mean) / (variance + epsilon).sqrt() * scale.values[channel]
                    + shift.values[channel];
            }
        }
        Ok(tensor)
    }

    /// Evaluates a softmax, except for one at the end over all elements: the network has its
    /// arguments as outputs.
    pub(super) fn evaluate_softmax(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let is_before_opset_13 = self.opset < 13;
        let axis = self.axis(if is_before_opset_13 { 1 } else { -1 }, &tensor.dims)?;
        let inner: usize =
            if is_before_opset_13 { 1 } else { tensor.dims[axis + 1..].iter().product() };
        let outer: usize = tensor.dims[..axis].iter().product();
        if self.is_last_softmax && inner * outer == 1 {
            return Ok(tensor);
        }
        let width = tensor.values.len() / (outer * inner).max(1);
        map_lines(&mut tensor.values, width, inner, |line| {
            let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = line.iter().map(|argument| (argument - largest).exp()).sum();
            for value in line {
                let logarithm = *value - largest - sum.ln();
                *value = if self.node.op_type == "Softmax" { logarithm.exp() } else { logarithm };
            }
        });
        Ok(tensor)
    }

    /// Evaluates a norm: over the last axes, or over all but the first two.
    pub(super) fn evaluate_norm(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let is_instance = self.node.op_type == "InstanceNormalization";
        let axis = if is_instance { 2 } else { self.node.int("axis", -1) };
        let axis = existing_axis(axis, &tensor.dims)
            .ok_or_else(|| self.evaluation_error("the axis does not exist"))?;
        let width: usize = tensor.dims[axis..].iter().product();
        let epsilon = f64::from(self.node.float("epsilon", 1e-5));
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        for row in tensor.values.chunks_mut(width.max(1)) {
            let mean = if self.node.op_type == "RMSNormalization" { 0.0 } else { mean_of(row) };
            for value in &mut *row {
                *value -= mean;
            }
            let squares: Vec<f64> = row.iter().map(|value| value * value).collect();
            let deviation = (mean_of(&squares) + epsilon).sqrt();
            for value in row {
                *value /= deviation;
            }
        }
        let part = |position: usize| {
            let mut part = self.optional_operand(position);
            if let Some(part) = part.as_mut().filter(|_| is_instance) {
                // One number for each channel.
                part.to_mut().dims.extend(vec![1; tensor.dims.len() - 2]);
            }
            part
        };
        let scale = part(1).ok_or_else(|| self.evaluation_error("an operand is missing"))?;
        let scaled = self.combine(&tensor, &scale, |a, b| a * b)?;
        match part(2) {
            Some(shift) => self.add_tensors(&scaled, &shift),
            None => Ok(scaled),
        }
    }
}

/// Changes all lines of elements along an axis. A line has `width` elements, which are `inner`
/// elements apart.
pub(super) fn map_lines(
    values: &mut [f64],
    width: usize,
    inner: usize,
    map_line: impl Fn(&mut [f64]),
) {
    for block in values.chunks_mut((width * inner).max(1)) {
        for column in 0..inner {
            let mut line: Vec<f64> = block.iter().skip(column).step_by(inner).copied().collect();
            map_line(&mut line);
            for (value, changed) in block.iter_mut().skip(column).step_by(inner).zip(line) {
                *value = changed;
            }
        }
    }
}

/// Reduces the elements of a group to one number.
fn reduced_value(operator: &str, group: &[f64]) -> f64 {
    let largest = || group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum_mapped =
        |function: fn(f64) -> f64| group.iter().map(|&value| function(value)).sum::<f64>();
    match operator {
        "ReduceMax" => largest(),
        "ReduceMin" => group.iter().copied().fold(f64::INFINITY, f64::min),
        "ReduceMean" => sum_mapped(|value| value) / group.len() as f64,
        "ReduceL1" => sum_mapped(f64::abs),
        "ReduceL2" => sum_mapped(|value| value * value).sqrt(),
        "ReduceSumSquare" => sum_mapped(|value| value * value),
        "ReduceProd" => group.iter().product(),
        "ReduceLogSum" => sum_mapped(|value| value).ln(),
        "ReduceLogSumExp" => {
            let largest = largest();
            group.iter().map(|value| (value - largest).exp()).sum::<f64>().ln() + largest
        }
        _ => sum_mapped(|value| value),
    }
}

/// Returns the index of an element's group: its index with all reduced axes at 0.
fn group_index(index: usize, dims: &[usize], is_reduced: &[bool]) -> usize {
    let (mut remaining, mut reduced, mut stride) = (index, 0, 1);
    for (&extent, &is_reduced) in dims.iter().zip(is_reduced).rev() {
        if !is_reduced {
            reduced += remaining % extent * stride;
            stride *= extent;
        }
        remaining /= extent;
    }
    reduced
}
