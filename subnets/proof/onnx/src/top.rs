//! Conversion of TopK.
//!
//! All pairs of elements of a row are compared. The rank of an element is the number of elements
//! that are sorted before it. For each of the first ranks, the element and its position are sums
//! over the row, in which the terms of all other elements are multiplied by 0.

use taonet_proof_core::Shape;
use taonet_proof_core::float::{Binary, FloatNode, FloatOperation, Function};

use super::dims;
use super::proto::NodeProto;
use super::reduce::Rows;
use super::{ElementType, OnnxError, Reader, Value, invalid_shape, unsupported};

impl Reader {
    pub(super) fn convert_top_k(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axis = dims::axis(node, node.int("axis", -1), input.dims.len())?;
        let width = input.dims.get(axis).copied().unwrap_or_default();
        let count = self.element_count(node, width)?;
        let mut dims = input.dims.clone();
        if let Some(extent) = dims.get_mut(axis) {
            *extent = count;
        }
        let rows = self.rows(node, &input, &[axis])?;
        let (row_count, shape) = (rows.count, rows.shape(node)?);
        let mut values = self.push_in_rows(node, input.index, &rows)?;
        let is_smallest = node.int("largest", 1) == 0;
        if is_smallest {
            values = self.push_node(FloatNode {
                inputs: vec![values],
                shape,
                operation: FloatOperation::Negate,
            })?;
        }
        let ranks = self.push_ranks(node, values, row_count, width)?;
        let mut tensors = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for rank in 0..count {
            let equals_rank =
                Function::Variable.with(Binary::Equal, Function::Constant(rank as f64));
            let selection = self.push_mapped(ranks, equals_rank)?;
            let operation = FloatOperation::Multiply;
            let mut value =
                self.push_node(FloatNode { inputs: vec![selection, values], shape, operation })?;
            value = self.push_row_sums(node, value, &Rows::in_order(row_count, width), 0)?;
            let position = self.push_positions(node, selection, row_count, width)?;
            for (part, tensor) in tensors.iter_mut().zip([value, position]) {
                part.push(tensor);
            }
        }
        let [values, positions] = tensors;
        let values = self.push_concatenated(node, values, axis, &dims, is_smallest)?;
        let positions = self.push_concatenated(node, positions, axis, &dims, false)?;
        for (name, tensor) in node.output.iter().zip([values, positions]) {
            if !name.is_empty() {
                super::define(&mut self.values, name, Value::Tensor(tensor, dims.clone()))?;
            }
        }
        self.element_types
            .extend(node.output.get(1).map(|name| (name.clone(), ElementType::Integer)));
        Ok(())
    }

    /// Returns K, the number of elements to select from an axis with extent `width`.
    fn element_count(&self, node: &NodeProto, width: usize) -> Result<usize, OnnxError> {
        let (attribute, input) =
            (node.attribute("k").map(|attribute| vec![attribute.i]), self.integers(node, 1)?);
        let misplaced = if self.opset < 10 { input.is_some() } else { attribute.is_some() };
        let count = attribute.or(input).filter(|_| !misplaced).unwrap_or_default();
        match count[..] {
            [count] if count > 0 && count <= width.cast_signed() as i64 => Ok(count as usize),
            _ => Err(unsupported(
                node,
                format!("the number of elements is not a constant of 1 to {width}"),
            )),
        }
    }

    /// Appends the rank of each element within its row, and returns the tensor. Equal elements rank
    /// in their order.
    fn push_ranks(
        &mut self,
        node: &NodeProto,
        values: usize,
        row_count: usize,
        width: usize,
    ) -> Result<usize, OnnxError> {
        let shape_error = invalid_shape(node);
        if width == 1 {
            // The only element of each row: no other is larger.
            return self.push_mapped(values, Function::Constant(0.0));
        }
        // Each pair adds 1 to the rank of one of its elements.
        let pairs = width * (width - 1) / 2;
        Self::check_elements(node, &[row_count, width, width])?;
        let mut pair_indices =
            [Vec::with_capacity(row_count * pairs), Vec::with_capacity(row_count * pairs)];
        for row in 0..row_count {
            for left in 0..width {
                for right in left + 1..width {
                    for (indices, column) in pair_indices.iter_mut().zip([left, right]) {
                        indices.push((row * width + column) as u32);
                    }
                }
            }
        }
        let shape = Shape::new(row_count, pairs, 1).map_err(&shape_error)?;
        let [first, second] = pair_indices;
        let first = self.push_moved(node, vec![values], first, 0.0, shape)?;
        let second = self.push_moved(node, vec![values], second, 0.0, shape)?;
        let operation = FloatOperation::Subtract;
        let difference =
            self.push_node(FloatNode { inputs: vec![first, second], shape, operation })?;
        let compare_with_zero =
            |operation| Function::Variable.with(operation, Function::Constant(0.0));
        // Whether the second element of a pair comes after the first one, or before it.
        let is_after = self.push_mapped(difference, compare_with_zero(Binary::GreaterOrEqual))?;
        let is_before = self.push_mapped(difference, compare_with_zero(Binary::Less))?;
        let pair = |left: usize, right: usize| left * (2 * width - left - 1) / 2 + right - left - 1;
        let mut terms = Vec::with_capacity(row_count * width * (width - 1));
        for row in 0..row_count {
            for element in 0..width {
                let pairs_with_earlier =
                    (0..element).map(|other| row * pairs + pair(other, element));
                let pairs_with_later = (element + 1..width)
                    .map(|other| (row_count + row) * pairs + pair(element, other));
                terms.extend(pairs_with_earlier.chain(pairs_with_later).map(|index| index as u32));
            }
        }
        let terms_shape = Shape::new(row_count * width, width - 1, 1).map_err(&shape_error)?;
        let terms = self.push_moved(node, vec![is_after, is_before], terms, 0.0, terms_shape)?;
        let ranks =
            self.push_row_sums(node, terms, &Rows::in_order(row_count * width, width - 1), 0)?;
        let in_order = (0..(row_count * width) as u32).collect();
        self.push_moved(
            node,
            vec![ranks],
            in_order,
            0.0,
            Shape::new(row_count, width, 1).map_err(&shape_error)?,
        )
    }

    /// Appends the position of the selected element of each row, and returns the tensor.
    fn push_positions(
        &mut self,
        node: &NodeProto,
        selection: usize,
        row_count: usize,
        width: usize,
    ) -> Result<usize, OnnxError> {
        let shape_error = invalid_shape(node);
        let shape = Shape::new(width, row_count, 1).map_err(&shape_error)?;
        let columns = self.push_moved(
            node,
            vec![selection],
            dims::transposed_positions(&[row_count, width], &[1, 0]),
            0.0,
            shape,
        )?;
        let factors = (0..i32::try_from(width).unwrap_or(i32::MAX)).collect();
        let operation = FloatOperation::ChannelAffine { factors, offsets: vec![0; width] };
        let positions = self.push_node(FloatNode { inputs: vec![columns], shape, operation })?;
        let operation = FloatOperation::ChannelSum { shift: 0 };
        self.push_node(FloatNode {
            inputs: vec![positions],
            shape: Shape { channels: 1, ..shape },
            operation,
        })
    }

    /// Appends the concatenation of tensors along an axis, negated if `is_negative`, and returns
    /// it.
    fn push_concatenated(
        &mut self,
        node: &NodeProto,
        tensors: Vec<usize>,
        axis: usize,
        dims: &[usize],
        is_negative: bool,
    ) -> Result<usize, OnnxError> {
        let shape = dims::shape(dims).map_err(invalid_shape(node))?;
        let (count, inner) = (tensors.len(), dims.iter().skip(axis + 1).product::<usize>());
        let row_count = shape.elements() / count;
        // The rows are in the order of the other axes.
        let sources = (0..shape.elements()).map(|element| {
            let (outer, within) = (element / (count * inner), element % (count * inner));
            ((within / inner) * row_count + outer * inner + within % inner) as u32
        });
        let index = self.push_moved(node, tensors, sources.collect(), 0.0, shape)?;
        if !is_negative {
            return Ok(index);
        }
        self.push_node(FloatNode { inputs: vec![index], shape, operation: FloatOperation::Negate })
    }
}
