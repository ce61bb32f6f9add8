//! Reductions over axes, by the formulas of the standard. They share no code with the reader's rows.

use super::elements::existing_axis;
use super::{Operands, Tensor};
use crate::onnx::OnnxError;

impl Operands<'_> {
    /// Combines all operands, one after the other.
    pub(super) fn folded(&self, operation: fn(f64, f64) -> f64) -> Result<Tensor, OnnxError> {
        let first = self.get(0)?;
        (1..self.node.input.len())
            .try_fold(first, |folded, position| self.combined(&folded, &self.get(position)?, operation))
    }

    /// Reduces a tensor along the axes that the node names.
    pub(super) fn reduced(&self) -> Result<Tensor, OnnxError> {
        let input = self.get(0)?;
        let given = self.node.ints("axes").map(<[i64]>::to_vec).or_else(|| self.integers(1)).unwrap_or_default();
        let mut is_reduced = vec![given.is_empty(); input.dims.len()];
        if given.is_empty() && self.node.int("noop_with_empty_axes", 0) != 0 {
            return Ok(input);
        }
        for axis in given {
            let axis = existing_axis(axis, &input.dims).ok_or_else(|| self.refuse("an axis does not exist"))?;
            is_reduced[axis] = true;
        }
        let extents = input.dims.iter().zip(&is_reduced);
        let kept: Vec<usize> = extents.map(|(&extent, &is_reduced)| if is_reduced { 1 } else { extent }).collect();
        let mut groups = vec![Vec::new(); kept.iter().product()];
        for (index, &value) in input.values.iter().enumerate() {
            groups[reduced_index(index, &input.dims, &is_reduced)].push(value);
        }
        let values = groups.iter().map(|group| match self.node.op_type.as_str() {
            "ReduceMax" => group.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "ReduceMin" => group.iter().copied().fold(f64::INFINITY, f64::min),
            "ReduceSum" => group.iter().sum(),
            _ => group.iter().sum::<f64>() / group.len() as f64,
        });
        let values = values.collect();
        if self.node.int("keepdims", 1) != 0 {
            return Ok(Tensor { dims: kept, values });
        }
        let dims = input.dims.iter().zip(&is_reduced).filter(|(_, is_reduced)| !**is_reduced);
        Ok(Tensor { dims: dims.map(|(&extent, _)| extent).collect(), values })
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
