//! Conversion of nodes that replace elements at indices. Constant indices become moves. Of computed
//! ones, each replaces the elements for which it is the position, one after the other.

use taonet_proof_core::Shape;
use taonet_proof_core::float::{FloatNode, FloatOperation, Function, Unary};

use super::gather::{all_coordinates, check_covered, position, slice_of};
use super::node::output_name;
use super::proto::NodeProto;
use super::{OnnxError, Reader, Value, dims, invalid_shape, unsupported};

impl Reader {
    pub(super) fn convert_scatter_elements(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        check_reduction(node)?;
        let [data_dims, indices_dims] = [self.dims_of(node, 0)?, self.dims_of(node, 1)?];
        let axis = dims::axis(node, node.int("axis", 0), data_dims.len())?;
        check_covered(node, &data_dims, &indices_dims, axis)?;
        if self.dims_of(node, 2)? != indices_dims {
            return Err(unsupported(
                node,
                "the updates do not have the dimensions of the indices".to_owned(),
            ));
        }
        let extent = data_dims.get(axis).copied().unwrap_or_default();
        let elements = data_dims.iter().product::<usize>();
        if let Some(indices) = self.constant_indices(node)? {
            let mut targets = Vec::with_capacity(indices.len());
            for (coordinates, index) in all_coordinates(&indices_dims).zip(indices) {
                let index = dims::index(node, index, extent)?;
                targets.push(position(&data_dims, &coordinates, Some((axis, index))));
            }
            return self.convert_constant_scatter(node, data_dims, &targets);
        }
        let index = self.computed_indices(node, 1)?;
        let (count, steps) =
            (index.shape.elements(), indices_dims.get(axis).copied().unwrap_or_default());
        Self::check_elements(node, &[steps, elements])?;
        let shape = Shape::vector(elements).map_err(invalid_shape(node))?;
        let one_hot = self.push_one_hot(node, &index, extent, [0.0, 1.0])?;
        let [data, updates] = [self.operand(node, 0)?, self.operand(node, 2)?];
        let mut current = self.broadcast(node, &data, &data_dims, shape)?;
        let is_covered =
            |coordinates: &[usize]| {
                coordinates.iter().zip(&indices_dims).enumerate().all(
                    |(dimension, (coordinate, extent))| dimension == axis || coordinate < extent,
                )
            };
        for step in 0..steps {
            let (mut gates, mut sources) =
                (Vec::with_capacity(elements), Vec::with_capacity(elements));
            for coordinates in all_coordinates(&data_dims) {
                let first_gate = coordinates.get(axis).copied().unwrap_or_default() * count;
                let update = is_covered(&coordinates)
                    .then(|| position(&indices_dims, &coordinates, Some((axis, step))));
                // Elsewhere, nothing is replaced.
                gates.push(
                    update.map_or((extent * count) as u32, |update| first_gate as u32 + update),
                );
                sources.push(update.unwrap_or(count as u32));
            }
            let gate = self.push_moved(node, vec![one_hot], gates, 0.0, shape)?;
            let update = self.push_moved(node, vec![updates.index], sources, 0.0, shape)?;
            current = self.push_replaced(current, update, gate, shape)?;
        }
        super::define(&mut self.values, output_name(node)?, Value::Tensor(current, data_dims))
    }

    /// Converts a ScatterND, whose indices name positions along several axes.
    pub(super) fn convert_scatter_slices(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        check_reduction(node)?;
        let [data_dims, indices_dims] = [self.dims_of(node, 0)?, self.dims_of(node, 1)?];
        let mismatch = || {
            unsupported(
                node,
                format!("indices of {indices_dims:?} do not fit an input of {data_dims:?}"),
            )
        };
        let (&width, outer) = indices_dims.split_last().ok_or_else(mismatch)?;
        let (indexed_dims, inner) = data_dims.split_at_checked(width).ok_or_else(mismatch)?;
        if width == 0 || self.dims_of(node, 2)? != [outer, inner].concat() {
            return Err(mismatch());
        }
        let [tuples, area, slice] =
            [outer, indexed_dims, inner].map(|part| part.iter().product::<usize>());
        if let Some(indices) = self.constant_indices(node)? {
            Self::check_elements(node, &[tuples, slice])?;
            let mut targets = Vec::with_capacity(tuples * slice);
            for indices in indices.chunks(width) {
                let first = slice_of(node, indices, indexed_dims)? * slice;
                targets.extend((first..first + slice).map(|element| element as u32));
            }
            return self.convert_constant_scatter(node, data_dims, &targets);
        }
        let index = self.computed_indices(node, 1)?;
        Self::check_elements(node, &[tuples, area, slice])?;
        let shape = Shape::vector(area * slice).map_err(invalid_shape(node))?;
        let one_hots = self.push_tuple_one_hots(node, &index, indexed_dims)?;
        let [data, updates] = [self.operand(node, 0)?, self.operand(node, 2)?];
        let mut current = self.broadcast(node, &data, &data_dims, shape)?;
        for tuple in 0..tuples {
            // Whether the tuple names an element: the position along each axis is the chosen one.
            let (mut gate, mut stride) = (None, area * slice);
            for (&one_hot, &extent) in one_hots.iter().zip(indexed_dims) {
                stride /= extent;
                let axis_choice = (0..area * slice)
                    .map(|element| (element / stride % extent * tuples + tuple) as u32)
                    .collect();
                let axis_choice = self.push_moved(node, vec![one_hot], axis_choice, 0.0, shape)?;
                gate = Some(match gate {
                    None => axis_choice,
                    Some(gate) => {
                        let (inputs, operation) =
                            (vec![gate, axis_choice], FloatOperation::Multiply);
                        self.push_node(FloatNode { inputs, shape, operation })?
                    }
                });
            }
            let sources =
                (0..area * slice).map(|element| (tuple * slice + element % slice) as u32).collect();
            let update = self.push_moved(node, vec![updates.index], sources, 0.0, shape)?;
            current = self.push_replaced(current, update, gate.ok_or_else(mismatch)?, shape)?;
        }
        super::define(&mut self.values, output_name(node)?, Value::Tensor(current, data_dims))
    }

    /// Converts a replacement of elements, whose positions are known, by those of the third operand
    /// in order.
    fn convert_constant_scatter(
        &mut self,
        node: &NodeProto,
        data_dims: Vec<usize>,
        targets: &[u32],
    ) -> Result<(), OnnxError> {
        let [data, updates] = [self.operand(node, 0)?, self.operand(node, 2)?];
        let elements = data.shape.elements() as u32;
        let mut sources: Vec<u32> = (0..elements).collect();
        for (&target, update) in targets.iter().zip(elements..) {
            if let Some(slot) = sources.get_mut(target as usize) {
                *slot = update;
            }
        }
        self.define_moved(node, vec![data.index, updates.index], sources, 0.0, data_dims)
    }

    /// Appends a tensor with elements of an update where a condition holds, and its own elsewhere.
    fn push_replaced(
        &mut self,
        tensor: usize,
        update: usize,
        gate: usize,
        shape: Shape,
    ) -> Result<usize, OnnxError> {
        let inverse_gate = self.push_mapped(gate, Function::Variable.then(Unary::Not))?;
        let mut terms = Vec::with_capacity(2);
        for inputs in [vec![gate, update], vec![inverse_gate, tensor]] {
            terms.push(self.push_node(FloatNode {
                inputs,
                shape,
                operation: FloatOperation::Multiply,
            })?);
        }
        self.push_node(FloatNode { inputs: terms, shape, operation: FloatOperation::Add })
    }
}

fn check_reduction(node: &NodeProto) -> Result<(), OnnxError> {
    if node.text("reduction").unwrap_or(b"none") == b"none" {
        return Ok(());
    }
    Err(unsupported(node, "a reduction is unsupported; hint: add the updates with Add".to_owned()))
}
