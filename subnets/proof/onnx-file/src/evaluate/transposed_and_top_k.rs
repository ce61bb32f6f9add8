//! Transposed convolutions, TopK and quantised tensors, by the formulas of the standard. They share
//! only the attribute check with the converter.

use std::borrow::Cow;

use taonet_proof_core::MAX_ELEMENTS;

use super::elements::existing_axis;
use super::{Operands, Tensor};
use crate::dims::elements;
use crate::tensor::Constant;
use crate::transposed::TransposedConvolution;
use crate::{OnnxError, UINT8_RANGE};

impl Operands<'_> {
    /// Returns a tensor of one number, which has the dimensions that the operand names.
    pub(super) fn evaluate_constant_of_shape(&self) -> Result<Tensor, OnnxError> {
        let dims = self
            .integers(0)
            .unwrap_or_default()
            .into_iter()
            .map(|extent| usize::try_from(extent).ok());
        let dims = dims.collect::<Option<Vec<usize>>>();
        let count =
            dims.as_ref().and_then(|dims| elements(dims)).filter(|&count| count <= MAX_ELEMENTS);
        let (Some(dims), Some(count)) = (dims, count) else {
            return Err(self.evaluation_error("the dimensions are malformed"));
        };
        let value = match self.node.attribute("value").and_then(|value| value.t.as_ref()) {
            None => 0.0,
            Some(value) => {
                let value = Tensor::from(&Constant::parse(value)?).values;
                *value.first().ok_or_else(|| self.evaluation_error("the value is missing"))?
            }
        };
        Ok(Tensor { dims, values: vec![value; count] })
    }

    /// Adds each element of the input, times the kernel, to the output.
    pub(super) fn evaluate_transposed_convolution(&self) -> Result<Tensor, OnnxError> {
        let (input, weights) = (self.operand(0)?, self.operand(1)?);
        let (&[1, channels, height, width], &[inputs, outputs_per_group, rows, columns]) =
            (&input.dims[..], &weights.dims[..])
        else {
            return Err(self.evaluation_error("the operands do not have four dimensions"));
        };
        let sizes = TransposedConvolution::parse(self.node, [rows, columns])?;
        let outputs = outputs_per_group
            .checked_mul(sizes.groups)
            .filter(|_| channels.is_multiple_of(sizes.groups));
        let outputs =
            outputs.ok_or_else(|| self.evaluation_error("the groups do not fit the channels"))?;
        let bias = self
            .optional_operand(2)
            .map_or_else(|| vec![0.0; outputs], |bias| bias.into_owned().values);
        let extents = [(0, height), (1, width)].map(|(axis, extent)| sizes.extent(axis, extent));
        let [top, left, bottom, right] = sizes.padding;
        let [Some(full_rows), Some(full_columns)] = extents else {
            return Err(self.evaluation_error("the output is too large"));
        };
        let cropped =
            full_rows.checked_sub(top + bottom).zip(full_columns.checked_sub(left + right));
        let (Some((out_rows, out_columns)), true) =
            (cropped, inputs == channels && bias.len() == outputs)
        else {
            return Err(self.evaluation_error("the operands do not fit each other"));
        };
        let mut values: Vec<f64> =
            bias.iter().flat_map(|&bias| vec![bias; out_rows * out_columns]).collect();
        for channel in 0..channels {
            let group = channel / (channels / sizes.groups);
            for (position, value) in
                input.values[channel * height * width..][..height * width].iter().enumerate()
            {
                let corner =
                    [position / width * sizes.stride[0], position % width * sizes.stride[1]];
                for output in 0..outputs_per_group {
                    for tap in 0..rows * columns {
                        let (row, column) = (corner[0] + tap / columns, corner[1] + tap % columns);
                        let target = row.checked_sub(top).zip(column.checked_sub(left));
                        let Some((row, column)) =
                            target.filter(|&(y, x)| y < out_rows && x < out_columns)
                        else {
                            continue;
                        };
                        let weight = weights.values
                            [(channel * outputs_per_group + output) * rows * columns + tap];
                        values[((group * outputs_per_group + output) * out_rows + row)
                            * out_columns
                            + column] += value * weight;
                    }
                }
            }
        }
        Ok(Tensor { dims: vec![1, outputs, out_rows, out_columns], values })
    }

    /// Converts numbers to integers of 8 bits, or back. A scale or zero point for each position
    /// along an axis is repeated.
    pub(super) fn evaluate_quantisation(&self) -> Result<Tensor, OnnxError> {
        if self.node.int("block_size", 0) != 0 {
            return Err(self.evaluation_error("block_size is unsupported"));
        }
        let input = self.operand(0)?;
        let along_axis = |position: usize| {
            let Some(mut part) = self.optional_operand(position).map(Cow::into_owned) else {
                return Ok(None);
            };
            if part.values.len() > 1 {
                let axis = existing_axis(self.node.int("axis", 1), &input.dims);
                let axis = axis.ok_or_else(|| self.evaluation_error("the axis does not exist"))?;
                part.dims = vec![1; input.dims.len()];
                part.dims[axis] = part.values.len();
            } else {
                part.dims = Vec::new();
            }
            Ok(Some(part))
        };
        let scale = along_axis(1)?.ok_or_else(|| self.evaluation_error("the scale is missing"))?;
        let zero_point =
            along_axis(2)?.unwrap_or_else(|| Tensor { dims: Vec::new(), values: vec![0.0] });
        if self.node.op_type == "DequantizeLinear" {
            return self.combine(
                &self.combine(&input, &zero_point, |x, zero| x - zero)?,
                &scale,
                |x, scale| x * scale,
            );
        }
        let range = self
            .node
            .input
            .get(2)
            .and_then(|name| self.int8_ranges.get(name))
            .copied()
            .unwrap_or(UINT8_RANGE);
        let [low, high] = range.map(|limit| limit as f64);
        let steps = self.combine(&input, &scale, |x, scale| (x / scale).round_ties_even())?;
        let mut integers = self.combine(&steps, &zero_point, |x, zero| x + zero)?;
        integers.values.iter_mut().for_each(|value| *value = value.clamp(low, high));
        Ok(integers)
    }

    /// Returns the largest or smallest elements along an axis, and their positions.
    pub(super) fn evaluate_top_k(&self) -> Result<Vec<Tensor>, OnnxError> {
        let input = self.operand(0)?;
        let axis = existing_axis(self.node.int("axis", -1), &input.dims);
        let axis = axis.ok_or_else(|| self.evaluation_error("the axis does not exist"))?;
        let (width, inner) = (input.dims[axis], input.dims[axis + 1..].iter().product::<usize>());
        let k_input = self.integers(1).and_then(|k_input| k_input.first().copied());
        let count = usize::try_from(k_input.unwrap_or_else(|| self.node.int("k", 0)))
            .unwrap_or_default()
            .min(width);
        let sign = if self.node.int("largest", 1) == 0 { -1.0 } else { 1.0 };
        let mut dims = input.dims.clone();
        dims[axis] = count;
        let mut outputs = [0; 2].map(|_| Tensor {
            dims: dims.clone(),
            values: vec![0.0; elements(&dims).unwrap_or(0)],
        });
        for (outer, block) in input.values.chunks((width * inner).max(1)).enumerate() {
            for column in 0..inner {
                let mut order: Vec<usize> = (0..width).collect();
                let value = |position: usize| sign * block[position * inner + column];
                order.sort_by(|&a, &b| value(b).total_cmp(&value(a)).then(a.cmp(&b)));
                for (rank, &position) in order.iter().take(count).enumerate() {
                    let index = (outer * count + rank) * inner + column;
                    outputs[0].values[index] = block[position * inner + column];
                    outputs[1].values[index] = position as f64;
                }
            }
        }
        Ok(outputs.to_vec())
    }
}
