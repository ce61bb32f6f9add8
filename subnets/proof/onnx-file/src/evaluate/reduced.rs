//! Reductions over axes, softmaxes and norms, by the formulas of the standard. They share no code with the reader's rows.

use super::elements::existing_axis;
use super::{Operands, Tensor};
use crate::OnnxError;

impl Operands<'_> {
    /// Combines all operands, one after the other.
    pub(super) fn folded(&self, operation: fn(f64, f64) -> f64) -> Result<Tensor, OnnxError> {
        let first = self.get(0)?.into_owned();
        (1..self.node.input.len())
            .try_fold(first, |folded, position| self.combined(&folded, self.get(position)?.as_ref(), operation))
    }

    /// Reduces a tensor along the axes that the node names.
    pub(super) fn reduced(&self) -> Result<Tensor, OnnxError> {
        let input = self.get(0)?;
        let given = self.list("axes", 1).unwrap_or_default();
        let mut is_reduced = vec![given.is_empty(); input.dims.len()];
        if given.is_empty() && self.node.int("noop_with_empty_axes", 0) != 0 {
            return Ok(input.into_owned());
        }
        for axis in given {
            let axis = existing_axis(axis, &input.dims).ok_or_else(|| self.refuse("an axis does not exist"))?;
            is_reduced[axis] = true;
        }
        let extents = input.dims.iter().zip(&is_reduced);
        let kept: Vec<usize> = extents.map(|(&extent, &is_reduced)| if is_reduced { 1 } else { extent }).collect();
        let count = kept.iter().product::<usize>();
        let (first, combine): (f64, fn(f64, f64) -> f64) = match self.node.op_type.as_str() {
            "ReduceMax" => (f64::NEG_INFINITY, f64::max),
            "ReduceMin" => (f64::INFINITY, f64::min),
            _ => (0.0, |sum, value| sum + value),
        };
        let mut values = vec![first; count];
        for (index, &value) in input.values.iter().enumerate() {
            let reduced = &mut values[reduced_index(index, &input.dims, &is_reduced)];
            *reduced = combine(*reduced, value);
        }
        if self.node.op_type == "ReduceMean" {
            let of_each = input.values.len() as f64 / count as f64;
            for value in &mut values {
                *value /= of_each;
            }
        }
        if self.node.int("keepdims", 1) != 0 {
            return Ok(Tensor { dims: kept, values });
        }
        let dims = input.dims.iter().zip(&is_reduced).filter(|(_, is_reduced)| !**is_reduced);
        Ok(Tensor { dims: dims.map(|(&extent, _)| extent).collect(), values })
    }

    /// Returns the position of the first or last maximum or minimum along an axis.
    pub(super) fn position_of_extremum(&self) -> Result<Tensor, OnnxError> {
        let input = self.get(0)?;
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

    /// Evaluates a softmax, except for one at the end over all elements: the network has its arguments as outputs.
    pub(super) fn softmax(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.get(0)?.into_owned();
        let is_old = self.model.opset < 13;
        let axis = self.axis(if is_old { 1 } else { -1 }, &tensor.dims)?;
        let inner: usize = if is_old { 1 } else { tensor.dims[axis + 1..].iter().product() };
        let outer: usize = tensor.dims[..axis].iter().product();
        if self.is_last_softmax && inner * outer == 1 {
            return Ok(tensor);
        }
        let width = tensor.values.len() / (outer * inner).max(1);
        for block in tensor.values.chunks_mut((width * inner).max(1)) {
            for column in 0..inner {
                let arguments: Vec<f64> = block.iter().skip(column).step_by(inner).copied().collect();
                let largest = arguments.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = arguments.iter().map(|argument| (argument - largest).exp()).sum();
                for (value, argument) in block.iter_mut().skip(column).step_by(inner).zip(arguments) {
                    let logarithm = argument - largest - sum.ln();
                    *value = if self.node.op_type == "Softmax" { logarithm.exp() } else { logarithm };
                }
            }
        }
        Ok(tensor)
    }

    /// Evaluates a norm: over the last axes, or over all but the first two.
    pub(super) fn normalised(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.get(0)?.into_owned();
        let is_instance = self.node.op_type == "InstanceNormalization";
        let axis = if is_instance { 2 } else { self.node.int("axis", -1) };
        let axis = existing_axis(axis, &tensor.dims).ok_or_else(|| self.refuse("the axis does not exist"))?;
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
            let mut part = self.optional(position);
            if let Some(part) = part.as_mut().filter(|_| is_instance) {
                // One number for each channel.
                part.to_mut().dims.extend(vec![1; tensor.dims.len() - 2]);
            }
            part
        };
        let scale = part(1).ok_or_else(|| self.refuse("an operand is missing"))?;
        let scaled = self.combined(&tensor, &scale, |a, b| a * b)?;
        match part(2) {
            Some(shift) => self.sum(&scaled, &shift),
            None => Ok(scaled),
        }
    }
}

/// Returns the index of an element's group: its index with all reduced axes at 0.
fn reduced_index(index: usize, dims: &[usize], is_reduced: &[bool]) -> usize {
    let (mut rest, mut reduced, mut stride) = (index, 0, 1);
    for (&extent, &is_reduced) in dims.iter().zip(is_reduced).rev() {
        if !is_reduced {
            reduced += rest % extent * stride;
            stride *= extent;
        }
        rest /= extent;
    }
    reduced
}
