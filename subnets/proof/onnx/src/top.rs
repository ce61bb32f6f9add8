//! Conversion of TopK. Each pair of elements is compared, so that each element has a rank: the
//! number of elements before it. The element and the position with a rank are sums, in which all
//! other terms are 0.

use taonet_proof_core::Shape;
use taonet_proof_core::float::{Binary, FloatNode, FloatOperation, Function};

use super::dims;
use super::proto::NodeProto;
use super::reduce::Rows;
use super::{ElementType, OnnxError, Reader, Value, invalid_shape, unsupported};

impl Reader {
    pub(super) fn largest(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axis = dims::axis(node, node.int("axis", -1), input.dims.len())?;
        let width = input.dims.get(axis).copied().unwrap_or_default();
        let count = self.number_of_largest(node, width)?;
        let mut dims = input.dims.clone();
        if let Some(extent) = dims.get_mut(axis) {
            *extent = count;
        }
        let rows = self.rows(node, &input, &[axis])?;
        let (lines, shape) = (rows.count, rows.shape(node)?);
        let mut values = self.in_rows(node, input.index, &rows)?;
        let is_smallest = node.int("largest", 1) == 0;
        if is_smallest {
            values = self.push_node(FloatNode {
                inputs: vec![values],
                shape,
                operation: FloatOperation::Negate,
            })?;
        }
        let ranks = self.ranks(node, values, lines, width)?;
        let mut parts = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for rank in 0..count {
            let has_rank = Function::Variable.with(Binary::Equal, Function::Constant(rank as f64));
            let chosen = self.push_mapped(ranks, has_rank)?;
            let operation = FloatOperation::Multiply;
            let mut value =
                self.push_node(FloatNode { inputs: vec![chosen, values], shape, operation })?;
            value = self.row_sums(node, value, &Rows::in_order(lines, width), 0)?;
            let position = self.positions_of(node, chosen, lines, width)?;
            for (part, tensor) in parts.iter_mut().zip([value, position]) {
                part.push(tensor);
            }
        }
        let [values, positions] = parts;
        let values = self.along_axis(node, values, axis, &dims, is_smallest)?;
        let positions = self.along_axis(node, positions, axis, &dims, false)?;
        for (name, tensor) in node.output.iter().zip([values, positions]) {
            if !name.is_empty() {
                super::define(&mut self.values, name, Value::Tensor(tensor, dims.clone()))?;
            }
        }
        self.types.extend(node.output.get(1).map(|name| (name.clone(), ElementType::Integer)));
        Ok(())
    }

    /// Returns the number of elements to return of an axis with this extent.
    fn number_of_largest(&self, node: &NodeProto, width: usize) -> Result<usize, OnnxError> {
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

    /// Appends the rank of each element of its row. Of equal elements, the first one has the first
    /// rank.
    fn ranks(
        &mut self,
        node: &NodeProto,
        values: usize,
        lines: usize,
        width: usize,
    ) -> Result<usize, OnnxError> {
        let refuse = invalid_shape(node);
        if width == 1 {
            // The only element of each row: no other is larger.
            return self.push_mapped(values, Function::Constant(0.0));
        }
        // Each pair counts for one of both elements.
        let pairs = width * (width - 1) / 2;
        Self::check_elements(node, &[lines, width, width])?;
        let mut sides = [Vec::with_capacity(lines * pairs), Vec::with_capacity(lines * pairs)];
        for line in 0..lines {
            for one in 0..width {
                for other in one + 1..width {
                    for (side, at) in sides.iter_mut().zip([one, other]) {
                        side.push((line * width + at) as u32);
                    }
                }
            }
        }
        let shape = Shape::new(lines, pairs, 1).map_err(&refuse)?;
        let [first, second] = sides;
        let first = self.push_moved(node, vec![values], first, 0.0, shape)?;
        let second = self.push_moved(node, vec![values], second, 0.0, shape)?;
        let operation = FloatOperation::Subtract;
        let difference =
            self.push_node(FloatNode { inputs: vec![first, second], shape, operation })?;
        let compared = |operation| Function::Variable.with(operation, Function::Constant(0.0));
        // Whether the second element of a pair comes after the first one, or before it.
        let after = self.push_mapped(difference, compared(Binary::GreaterOrEqual))?;
        let before = self.push_mapped(difference, compared(Binary::Less))?;
        let pair = |one: usize, other: usize| one * (2 * width - one - 1) / 2 + other - one - 1;
        let mut terms = Vec::with_capacity(lines * width * (width - 1));
        for line in 0..lines {
            for element in 0..width {
                let earlier = (0..element).map(|other| line * pairs + pair(other, element));
                let later =
                    (element + 1..width).map(|other| (lines + line) * pairs + pair(element, other));
                terms.extend(earlier.chain(later).map(|index| index as u32));
            }
        }
        let of_terms = Shape::new(lines * width, width - 1, 1).map_err(&refuse)?;
        let terms = self.push_moved(node, vec![after, before], terms, 0.0, of_terms)?;
        let ranks = self.row_sums(node, terms, &Rows::in_order(lines * width, width - 1), 0)?;
        let in_order = (0..(lines * width) as u32).collect();
        self.push_moved(
            node,
            vec![ranks],
            in_order,
            0.0,
            Shape::new(lines, width, 1).map_err(&refuse)?,
        )
    }

    /// Appends the position of the element of each row that is chosen.
    fn positions_of(
        &mut self,
        node: &NodeProto,
        chosen: usize,
        lines: usize,
        width: usize,
    ) -> Result<usize, OnnxError> {
        let refuse = invalid_shape(node);
        let shape = Shape::new(width, lines, 1).map_err(&refuse)?;
        let columns = self.push_moved(
            node,
            vec![chosen],
            dims::transposed(&[lines, width], &[1, 0]),
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

    /// Appends a tensor whose elements along an axis are those of several tensors.
    fn along_axis(
        &mut self,
        node: &NodeProto,
        parts: Vec<usize>,
        axis: usize,
        dims: &[usize],
        is_negative: bool,
    ) -> Result<usize, OnnxError> {
        let shape = dims::shape(dims).map_err(invalid_shape(node))?;
        let (count, inner) = (parts.len(), dims.iter().skip(axis + 1).product::<usize>());
        let lines = shape.elements() / count;
        // The rows are in the order of the other axes.
        let places = (0..shape.elements()).map(|at| {
            let (outer, within) = (at / (count * inner), at % (count * inner));
            ((within / inner) * lines + outer * inner + within % inner) as u32
        });
        let index = self.push_moved(node, parts, places.collect(), 0.0, shape)?;
        if !is_negative {
            return Ok(index);
        }
        self.push_node(FloatNode { inputs: vec![index], shape, operation: FloatOperation::Negate })
    }
}
