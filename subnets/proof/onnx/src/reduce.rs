//! Conversion of reductions over axes, and of maxima and minima of several tensors. They become
//! moves, which cost nothing, with sums of channels and max pools between them.

use taonet_proof_core::float::{Binary, FloatNode, FloatOperation, Function, Unary};
use taonet_proof_core::{Shape, Window};

use super::dims;
use super::logic::BranchOperand;
use super::node::{Operand, output_name};
use super::proto::NodeProto;
use super::{OnnxError, Reader, Value, invalid_shape, unsupported};

/// The elements of a tensor in rows: a row has those along some axes, for one position along the
/// others.
pub(super) struct Rows {
    /// Position in the tensor of each element, row by row.
    positions: Vec<u32>,
    pub(super) count: usize,
    pub(super) width: usize,
}

impl Rows {
    /// Arranges the elements of a computed tensor with these dimensions.
    fn new(dims: &[usize], axes: &[usize]) -> Self {
        let others = (0..dims.len()).filter(|axis| !axes.contains(axis));
        let order: Vec<usize> = others.chain(axes.iter().copied()).collect();
        let positions = dims::transposed_positions(dims, &order);
        let width = axes.iter().filter_map(|&axis| dims.get(axis)).product::<usize>().max(1);
        Self { count: positions.len() / width, width, positions }
    }

    /// Arranges the elements of a tensor that has these rows.
    pub(super) fn in_order(count: usize, width: usize) -> Self {
        Self { positions: (0..(count * width) as u32).collect(), count, width }
    }

    /// Returns the position in the tensor of each element, row by row.
    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Returns the shape of a tensor of which each row is a channel.
    pub(super) fn shape(&self, node: &NodeProto) -> Result<Shape, OnnxError> {
        row_shape(node, self.count, self.width)
    }

    fn is_in_order(&self) -> bool {
        self.positions.iter().copied().eq(0..self.positions.len() as u32)
    }

    /// Returns the position in the rows of each element of the tensor.
    fn row_positions(&self) -> Vec<u32> {
        let mut row_positions = vec![0; self.positions.len()];
        for (&position, index) in self.positions.iter().zip(0..) {
            if let Some(slot) = row_positions.get_mut(position as usize) {
                *slot = index;
            }
        }
        row_positions
    }
}

impl Reader {
    /// Arranges the elements of a computed tensor in rows along these axes.
    pub(super) fn rows(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        axes: &[usize],
    ) -> Result<Rows, OnnxError> {
        self.count_moved(node, input.shape.elements())?;
        Ok(Rows::new(&input.dims, axes))
    }

    pub(super) fn convert_reduction(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axes = self.reduced_axes(node, input.dims.len())?;
        if axes.is_empty() {
            return self.rename(node, None);
        }
        let dims = reduced_dims(node, &input.dims, &axes);
        let Shape { channels, height, width } = input.shape;
        let is_image_mean = node.op_type == "ReduceMean"
            && axes == [2, 3]
            && input.dims == [1, channels, height, width];
        if is_image_mean {
            let window = Window { kernel: [height, width], stride: [1, 1], padding: [0; 4] };
            let shape = Shape { height: 1, width: 1, ..input.shape };
            let operation = FloatOperation::AveragePool(window);
            return self.push(
                output_name(node)?,
                FloatNode { inputs: vec![input.index], shape, operation },
                dims,
            );
        }
        let rows = self.rows(node, &input, &axes)?;
        let tensor = match node.op_type.as_str() {
            "ReduceMax" => self.push_row_maxima(node, input.index, &rows)?,
            "ReduceMin" => {
                let negative = self.push_negated(input.index)?;
                let largest = self.push_row_maxima(node, negative, &rows)?;
                self.push_negated(largest)?
            }
            "ReduceSum" => self.push_row_sums(node, input.index, &rows, 0)?,
            _ => self.push_row_means(node, input.index, &rows)?,
        };
        super::define(&mut self.values, output_name(node)?, Value::Tensor(tensor, dims))
    }

    /// Returns the axes that a node reduces; none if it changes nothing.
    pub(super) fn reduced_axes(
        &self,
        node: &NodeProto,
        rank: usize,
    ) -> Result<Vec<usize>, OnnxError> {
        let min_opset = if node.op_type == "ReduceSum" { 13 } else { 18 };
        let axes = self.attribute_or_input(node, "axes", "axes", 1, min_opset)?.unwrap_or_default();
        match (axes.is_empty(), node.int("noop_with_empty_axes", 0) != 0) {
            (false, _) => dims::unique_axes(node, &axes, rank),
            (true, false) => Ok((0..rank).collect()),
            (true, true) => Ok(Vec::new()),
        }
    }

    /// Appends a move of a tensor's elements into rows, and returns it.
    pub(super) fn push_in_rows(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
    ) -> Result<usize, OnnxError> {
        let shape = rows.shape(node)?;
        if rows.is_in_order() && self.network.shape(tensor) == Some(shape) {
            return Ok(tensor);
        }
        self.push_moved(node, vec![tensor], rows.positions.clone(), 0.0, shape)
    }

    /// Appends a tensor that repeats the value of each row for all elements of the row, and returns
    /// it.
    pub(super) fn push_repeated(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
    ) -> Result<usize, OnnxError> {
        let indices =
            (0..rows.count as u32).flat_map(|row| std::iter::repeat_n(row, rows.width)).collect();
        self.push_moved(node, vec![tensor], indices, 0.0, rows.shape(node)?)
    }

    /// Appends a move of rows back to the shape and order of a tensor with these dimensions, and
    /// returns it.
    pub(super) fn push_restored(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
        dims: &[usize],
    ) -> Result<usize, OnnxError> {
        let shape = dims::shape(dims).map_err(invalid_shape(node))?;
        if rows.is_in_order() && self.network.shape(tensor) == Some(shape) {
            return Ok(tensor);
        }
        self.push_moved(node, vec![tensor], rows.row_positions(), 0.0, shape)
    }

    /// Appends the maximum of each row of a tensor, and returns it.
    pub(super) fn push_row_maxima(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
    ) -> Result<usize, OnnxError> {
        let shape = row_shape(node, rows.count, 1)?;
        let inputs = vec![self.push_in_rows(node, tensor, rows)?];
        let window = Window { kernel: [rows.width, 1], stride: [1, 1], padding: [0; 4] };
        self.push_node(FloatNode { inputs, shape, operation: FloatOperation::MaxPool(window) })
    }

    /// Appends the sum of each row of a tensor, divided by `2^shift`, and returns it.
    pub(super) fn push_row_sums(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
        shift: u8,
    ) -> Result<usize, OnnxError> {
        let Rows { positions, count, width } = rows;
        let shape = row_shape(node, *width, *count)?;
        // The elements of a row are channels.
        let columns = dims::transposed_positions(&[*count, *width], &[1, 0]);
        let columns = columns
            .into_iter()
            .filter_map(|index| positions.get(index as usize).copied())
            .collect();
        let inputs = vec![self.push_moved(node, vec![tensor], columns, 0.0, shape)?];
        let (shape, operation) =
            (Shape { channels: 1, ..shape }, FloatOperation::ChannelSum { shift });
        self.push_node(FloatNode { inputs, shape, operation })
    }

    /// Appends the mean of each row of a tensor, and returns it. A division by another number than
    /// a power of two is a function of the sum, which is often part of a longer one.
    pub(super) fn push_row_means(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
    ) -> Result<usize, OnnxError> {
        if rows.width.is_power_of_two() {
            return self.push_row_sums(node, tensor, rows, rows.width.trailing_zeros() as u8);
        }
        let sums = self.push_row_sums(node, tensor, rows, 0)?;
        self.push_mapped(
            sums,
            Function::Variable.with(Binary::Divide, Function::Constant(rows.width as f64)),
        )
    }

    /// Appends a function of a tensor, and returns it.
    pub(super) fn push_mapped(
        &mut self,
        tensor: usize,
        function: Function,
    ) -> Result<usize, OnnxError> {
        if function == Function::Variable {
            return Ok(tensor);
        }
        let shape = self.network.shape(tensor).unwrap_or(self.network.input);
        self.push_node(FloatNode {
            inputs: vec![tensor],
            shape,
            operation: FloatOperation::Function(function),
        })
    }

    /// Appends a tensor with the opposite sign, and returns it.
    fn push_negated(&mut self, tensor: usize) -> Result<usize, OnnxError> {
        let shape = self.network.shape(tensor).unwrap_or(self.network.input);
        self.push_node(FloatNode { inputs: vec![tensor], shape, operation: FloatOperation::Negate })
    }

    /// Converts the position of the maximum or minimum along an axis: the first one of several, or
    /// the last one. It follows from the largest rank of an element that equals the maximum.
    pub(super) fn convert_position_of_extremum(
        &mut self,
        node: &NodeProto,
    ) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axes = [dims::axis(node, node.int("axis", 0), input.dims.len())?];
        let dims = reduced_dims(node, &input.dims, &axes);
        let rows = self.rows(node, &input, &axes)?;
        let (count, width, shape) = (rows.count, rows.width, rows.shape(node)?);
        let length = i32::try_from(width).unwrap_or(i32::MAX);
        let tensor =
            if node.op_type == "ArgMin" { self.push_negated(input.index)? } else { input.index };
        let (values, rows) =
            (self.push_in_rows(node, tensor, &rows)?, Rows::in_order(count, width));
        let largest = self.push_row_maxima(node, values, &rows)?;
        // In this order, a difference of one is not rounded to 0.
        let inputs = vec![self.push_repeated(node, largest, &rows)?, values];
        let distance =
            self.push_node(FloatNode { inputs, shape, operation: FloatOperation::Subtract })?;
        let is_largest = Function::Variable.with(Binary::Equal, Function::Constant(0.0));
        let is_largest = self.push_mapped(distance, is_largest)?;
        // The smallest rank is 0, like that of what is not largest, since an element always is: the
        // interval of the positions is then that of the elements, whose row a table may have.
        let takes_last = node.int("select_last_index", 0) != 0;
        let ranks =
            (0..length).map(|index| if takes_last { index } else { length - 1 - index }).collect();
        let columns = row_shape(node, width, count)?;
        let inputs = vec![self.push_moved(
            node,
            vec![is_largest],
            dims::transposed_positions(&[count, width], &[1, 0]),
            0.0,
            columns,
        )?];
        let operation = FloatOperation::ChannelAffine { factors: ranks, offsets: vec![0; width] };
        let ranked = self.push_node(FloatNode { inputs, shape: columns, operation })?;
        let ranked = self.push_moved(
            node,
            vec![ranked],
            dims::transposed_positions(&[width, count], &[1, 0]),
            0.0,
            shape,
        )?;
        let inputs = vec![self.push_row_maxima(node, ranked, &rows)?];
        let (factor, offset) = if takes_last { (1, 0) } else { (-1, length - 1) };
        let operation = FloatOperation::ChannelAffine {
            factors: vec![factor; count],
            offsets: vec![offset; count],
        };
        let index =
            self.push_node(FloatNode { inputs, shape: row_shape(node, count, 1)?, operation })?;
        super::define(&mut self.values, output_name(node)?, Value::Tensor(index, dims))
    }

    /// Converts the maximum or minimum of several operands, of which constants are limits.
    pub(super) fn convert_extremum(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let is_max = node.op_type != "Min";
        let (mut operands, mut limit, mut limit_dims) = (Vec::new(), None, Vec::new());
        for position in 0..node.input.len() {
            match self.branch_operand(node, position)? {
                BranchOperand::Tensor(operand) => operands.push(operand),
                BranchOperand::Number(value, dims) => {
                    limit_dims.push(dims);
                    let tighter =
                        |limit: f64| if is_max { limit.max(value) } else { limit.min(value) };
                    limit = Some(limit.map_or(value, tighter));
                }
            }
        }
        let operand = match &operands[..] {
            [] => return Err(unsupported(node, "all operands are constant".to_owned())),
            [_] if limit.is_none() => return self.rename(node, None),
            [single] => single.clone(),
            several => self.push_extremum(node, several, is_max)?,
        };
        if limit_dims
            .iter()
            .any(|dims| dims::common_dims(&[&operand.dims, dims]).as_ref() != Some(&operand.dims))
        {
            return Err(unsupported(
                node,
                format!("a constant has other dimensions than {:?}", operand.dims),
            ));
        }
        let Some(limit) = limit else {
            return super::define(
                &mut self.values,
                output_name(node)?,
                Value::Tensor(operand.index, operand.dims),
            );
        };
        let unlimited = if is_max { f64::INFINITY } else { f64::NEG_INFINITY };
        let (low, high) = if is_max { (limit, unlimited) } else { (unlimited, limit) };
        let (root, function) = self.root_and_function(operand.index);
        self.define_function(node, root, function.then(Unary::Clip { low, high }), &operand)
    }

    /// Appends the maximum or minimum of several tensors, which are repeated to the dimensions of
    /// the largest one.
    fn push_extremum(
        &mut self,
        node: &NodeProto,
        operands: &[Operand],
        is_max: bool,
    ) -> Result<Operand, OnnxError> {
        let largest =
            operands.iter().max_by_key(|operand| (operand.shape.elements(), operand.dims.len()));
        let largest =
            largest.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        let (dims, shape) = (largest.dims.clone(), largest.shape);
        let mut tensors = Vec::with_capacity(operands.len());
        for operand in operands {
            let tensor = self.broadcast(node, operand, &dims, shape)?;
            tensors.push(if is_max { tensor } else { self.push_negated(tensor)? });
        }
        // Each element is a row of the operands' elements.
        let count = shape.elements();
        let joined_shape = row_shape(node, count, tensors.len())?;
        let indices = dims::transposed_positions(&[tensors.len(), count], &[1, 0]);
        let rows = Rows::in_order(count, tensors.len());
        let joined_tensor = self.push_moved(node, tensors, indices, 0.0, joined_shape)?;
        let mut index = self.push_row_maxima(node, joined_tensor, &rows)?;
        if !is_max {
            index = self.push_negated(index)?;
        }
        if self.network.shape(index) != Some(shape) {
            index = self.push_moved(node, vec![index], (0..count as u32).collect(), 0.0, shape)?;
        }
        Ok(Operand { index, shape, dims })
    }
}

/// Returns the dimensions after a reduction: without the axes, or with an extent of 1 for them.
pub(super) fn reduced_dims(node: &NodeProto, dims: &[usize], axes: &[usize]) -> Vec<usize> {
    let keeps_dims = node.int("keepdims", 1) != 0;
    let extents = dims.iter().enumerate();
    extents
        .filter_map(
            |(axis, &extent)| {
                if axes.contains(&axis) { keeps_dims.then_some(1) } else { Some(extent) }
            },
        )
        .collect()
}

/// Returns the shape of a tensor of which each row is a channel.
pub(super) fn row_shape(node: &NodeProto, count: usize, width: usize) -> Result<Shape, OnnxError> {
    Shape::new(count, width, 1).map_err(invalid_shape(node))
}
