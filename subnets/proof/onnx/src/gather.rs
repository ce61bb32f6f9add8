//! Conversion of nodes that choose elements by indices. Constant indices become moves. A computed
//! index is compared with every position: the sum of all elements, each times whether it is the
//! chosen one, is the chosen element.

use std::iter::repeat_n;

use taonet_proof_core::float::{Binary, FloatNode, FloatOperation, Function};
use taonet_proof_core::network::Matrices;
use taonet_proof_core::{MAX_ELEMENTS, Shape};

use super::node::{Operand, output_name};
use super::proto::NodeProto;
use super::reduce::row_shape;
use super::tensor::Constant;
use super::{ElementType, OnnxError, Reader, Value, dims, invalid_shape, unsupported};

impl Reader {
    pub(super) fn convert_gather(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if self.weights(node, 0).is_ok() {
            return self.convert_embedding(node);
        }
        let input = self.tensor(node, 0)?;
        let axis = dims::axis(node, node.int("axis", 0), input.dims.len())?;
        let extent = input.dims.get(axis).copied().unwrap_or_default();
        let Some(indices) = self.constant_indices(node)? else {
            return self.convert_computed_gather(node, &input, axis, extent);
        };
        let mut positions: Vec<Vec<Option<usize>>> =
            input.dims.iter().map(|&extent| (0..extent).map(Some).collect()).collect();
        let checked_indices =
            indices.iter().map(|&index| dims::index(node, index, extent).map(Some));
        let checked_indices = checked_indices.collect::<Result<Vec<_>, _>>()?;
        if let Some(axis_positions) = positions.get_mut(axis) {
            *axis_positions = checked_indices;
        }
        let extents: Vec<usize> = positions.iter().map(Vec::len).collect();
        Self::check_elements(node, &extents)?;
        let moved_positions = dims::selected_positions(&input.dims, &positions);
        // The axis is replaced by the dimensions of the indices.
        let mut dims = input.dims;
        dims.splice(axis..=axis, self.dims_of(node, 1)?);
        self.define_moved(node, vec![input.index], moved_positions, 0.0, dims)
    }

    /// Selects slices of a computed tensor by computed integers: a matrix product with one-hot
    /// rows.
    fn convert_computed_gather(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        axis: usize,
        extent: usize,
    ) -> Result<(), OnnxError> {
        let index = self.computed_indices(node, 1)?;
        let count = index.shape.elements();
        let (before, after) = input.dims.split_at_checked(axis).unwrap_or_default();
        let after = after.get(1..).unwrap_or_default();
        let (outer, inner) = (before.iter().product::<usize>(), after.iter().product::<usize>());
        let dims = [before, &index.dims, after].concat();
        Self::check_elements(node, &dims)?;
        Self::check_elements(node, &[outer, count, extent])?;
        let one_hot = self.push_one_hot(node, &index, extent, [0.0, 1.0])?;
        let by_row = dims::transposed_positions(&[extent, count], &[1, 0]);
        let shape = Shape::new(outer, count, extent).map_err(invalid_shape(node))?;
        let left = self.push_moved(node, vec![one_hot], by_row.repeat(outer), 0.0, shape)?;
        let sizes = Matrices { count: outer, rows: count, inner: extent, columns: inner };
        let shape = Shape::new(outer, count, inner).map_err(invalid_shape(node))?;
        let operation = FloatOperation::MatrixProduct(sizes);
        self.push(
            output_name(node)?,
            FloatNode { inputs: vec![left, input.index], shape, operation },
            dims,
        )
    }

    pub(super) fn convert_gather_elements(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [data_dims, indices_dims] = [self.dims_of(node, 0)?, self.dims_of(node, 1)?];
        let axis = dims::axis(node, node.int("axis", 0), data_dims.len())?;
        check_covered(node, &data_dims, &indices_dims, axis)?;
        let extent = data_dims.get(axis).copied().unwrap_or_default();
        let source = |coordinates: &[usize], index: usize| {
            position(&data_dims, coordinates, Some((axis, index)))
        };
        if let Some(indices) = self.constant_indices(node)? {
            let sources = all_coordinates(&indices_dims).zip(indices);
            let sources = sources.map(|(coordinates, index)| {
                dims::index(node, index, extent).map(|index| source(&coordinates, index))
            });
            let sources = sources.collect::<Result<Vec<_>, _>>()?;
            let data = self.operand(node, 0)?;
            return self.define_moved(node, vec![data.index], sources, 0.0, indices_dims);
        }
        let index = self.computed_indices(node, 1)?;
        let count = index.shape.elements();
        let shape = row_shape(node, count, extent)?;
        let one_hot = self.push_one_hot(node, &index, extent, [0.0, 1.0])?;
        let candidates = all_coordinates(&indices_dims);
        let candidates = candidates
            .flat_map(|coordinates| (0..extent).map(move |index| (coordinates.clone(), index)));
        let candidates =
            candidates.map(|(coordinates, index)| source(&coordinates, index)).collect();
        let data = self.operand(node, 0)?;
        let candidates = self.push_moved(node, vec![data.index], candidates, 0.0, shape)?;
        let gathered = self.push_chosen_rows(node, candidates, one_hot, [count, extent, 1])?;
        super::define(&mut self.values, output_name(node)?, Value::Tensor(gathered, indices_dims))
    }

    /// Converts a GatherND, whose indices name positions along several axes.
    pub(super) fn convert_gather_slices(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [data_dims, indices_dims] = [self.dims_of(node, 0)?, self.dims_of(node, 1)?];
        let mismatch = || {
            unsupported(
                node,
                format!("indices of {indices_dims:?} do not fit an input of {data_dims:?}"),
            )
        };
        let batch = usize::try_from(node.int("batch_dims", 0)).map_err(|_| mismatch())?;
        let (&width, outer) = indices_dims.split_last().ok_or_else(mismatch)?;
        let (batch_dims, remaining) = data_dims.split_at_checked(batch).ok_or_else(mismatch)?;
        let (indexed_dims, inner) = remaining.split_at_checked(width).ok_or_else(mismatch)?;
        if width == 0 || outer.get(..batch) != Some(batch_dims) {
            return Err(mismatch());
        }
        let dims = [outer, inner].concat();
        Self::check_elements(node, &dims)?;
        let [tuples, batches, area, slice] =
            [outer, batch_dims, indexed_dims, inner].map(|part| part.iter().product::<usize>());
        // Position of the first element of a slice, given its tuple and its position among those of
        // its batch.
        let start = |tuple: usize, slice_index: usize| {
            (tuple / (tuples / batches) * area + slice_index) * slice
        };
        if let Some(indices) = self.constant_indices(node)? {
            let mut sources = Vec::with_capacity(tuples * slice);
            for (tuple, indices) in indices.chunks(width).enumerate() {
                let first = start(tuple, slice_of(node, indices, indexed_dims)?);
                sources.extend((first..first + slice).map(|element| element as u32));
            }
            let data = self.operand(node, 0)?;
            return self.define_moved(node, vec![data.index], sources, 0.0, dims);
        }
        let index = self.computed_indices(node, 1)?;
        Self::check_elements(node, &[tuples, area, slice])?;
        let candidates = (0..tuples)
            .flat_map(|tuple| start(tuple, 0)..start(tuple, area))
            .map(|element| element as u32);
        let data = self.operand(node, 0)?;
        let shape = row_shape(node, tuples, area * slice)?;
        let mut gathered =
            self.push_moved(node, vec![data.index], candidates.collect(), 0.0, shape)?;
        let mut row_size = area * slice;
        for (one_hot, &extent) in
            self.push_tuple_one_hots(node, &index, indexed_dims)?.into_iter().zip(indexed_dims)
        {
            row_size /= extent;
            gathered =
                self.push_chosen_rows(node, gathered, one_hot, [tuples, extent, row_size])?;
        }
        super::define(&mut self.values, output_name(node)?, Value::Tensor(gathered, dims))
    }

    /// Converts a OneHot of computed indices.
    pub(super) fn convert_one_hot(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let index = self.computed_indices(node, 0)?;
        let depth = match self.integers(node, 1)?.as_deref() {
            Some(&[depth]) => {
                usize::try_from(depth).ok().filter(|depth| (1..=MAX_ELEMENTS).contains(depth))
            }
            _ => None,
        };
        let depth = depth
            .ok_or_else(|| unsupported(node, "the depth is not one constant integer".to_owned()))?;
        let values = match self.weights(node, 2)?.and_then(Constant::to_floats).as_deref() {
            Some(&[off, on]) => [off, on].map(f64::from),
            _ => {
                return Err(unsupported(
                    node,
                    "the values are not two constant numbers".to_owned(),
                ));
            }
        };
        let rank = index.dims.len();
        let axis = dims::axis(node, node.int("axis", -1), rank + 1)?;
        let mut dims = index.dims.clone();
        dims.insert(axis, depth);
        Self::check_elements(node, &dims)?;
        let one_hot = self.push_one_hot(node, &index, depth, values)?;
        // The positions come first.
        let order: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..=rank).collect();
        let moved_positions =
            dims::transposed_positions(&[&[depth][..], &index.dims].concat(), &order);
        self.define_moved(node, vec![one_hot], moved_positions, 0.0, dims)
    }

    /// Returns the constant indices of a node; `None` if they are computed.
    pub(super) fn constant_indices(&self, node: &NodeProto) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(constant) = self.weights(node, 1).ok().flatten() else { return Ok(None) };
        match constant.integers() {
            Some(indices) => Ok(Some(indices.to_vec())),
            None => Err(unsupported(node, "the indices are not integers".to_owned())),
        }
    }

    /// Returns the computed integers at an input position.
    pub(super) fn computed_indices(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Operand, OnnxError> {
        if self.element_type_of(node, position) != ElementType::Integer {
            return Err(unsupported(node, "the indices are not integers".to_owned()));
        }
        self.tensor(node, position)
    }

    /// Appends whether each position of an axis is that of each index: a row for each position. An
    /// index that is negative counts from the end.
    pub(super) fn push_one_hot(
        &mut self,
        node: &NodeProto,
        index: &Operand,
        extent: usize,
        [off, on]: [f64; 2],
    ) -> Result<usize, OnnxError> {
        let count = index.shape.elements();
        Self::check_elements(node, &[extent, count])?;
        let shape = row_shape(node, extent, count)?;
        let repeated_indices = (0..count as u32).collect::<Vec<u32>>().repeat(extent);
        let repeated_indices =
            self.push_moved(node, vec![index.index], repeated_indices, 0.0, shape)?;
        let offsets = (0..i32::try_from(extent).unwrap_or(i32::MAX)).map(|value| -value).collect();
        let operation = FloatOperation::ChannelAffine { factors: vec![1; extent], offsets };
        let distance =
            self.push_node(FloatNode { inputs: vec![repeated_indices], shape, operation })?;
        // The distance from the position is 0, or minus the extent.
        let distance_plus_extent =
            Function::Variable.with(Binary::Add, Function::Constant(extent as f64));
        let is_zero = Function::Variable
            .with(Binary::Multiply, distance_plus_extent)
            .with(Binary::Equal, Function::Constant(0.0));
        let is_zero_one = off.abs() <= 0.0 && (on - 1.0).abs() <= 0.0;
        let function = if is_zero_one {
            is_zero
        } else {
            is_zero.select(Function::Constant(on), Function::Constant(off))
        };
        self.push_mapped(distance, function)
    }

    /// Appends one-hot rows for each axis that tuples of computed integers index.
    pub(super) fn push_tuple_one_hots(
        &mut self,
        node: &NodeProto,
        index: &Operand,
        extents: &[usize],
    ) -> Result<Vec<usize>, OnnxError> {
        let tuples = index.shape.elements() / extents.len().max(1);
        let shape = Shape::vector(tuples).map_err(invalid_shape(node))?;
        let mut one_hots = Vec::with_capacity(extents.len());
        for (axis, &extent) in extents.iter().enumerate() {
            let axis_index =
                (0..tuples).map(|tuple| (tuple * extents.len() + axis) as u32).collect();
            let axis_index = self.push_moved(node, vec![index.index], axis_index, 0.0, shape)?;
            let axis_index = Operand { index: axis_index, shape, dims: vec![tuples] };
            one_hots.push(self.push_one_hot(node, &axis_index, extent, [0.0, 1.0])?);
        }
        Ok(one_hots)
    }

    /// Appends the row of each block of a tensor that is chosen, given the numbers of blocks, of
    /// the rows of each, and of the elements of each row.
    fn push_chosen_rows(
        &mut self,
        node: &NodeProto,
        values: usize,
        one_hot: usize,
        [blocks, rows, width]: [usize; 3],
    ) -> Result<usize, OnnxError> {
        let shape = row_shape(node, rows, blocks * width)?;
        let by_row = dims::transposed_positions(&[blocks, rows, width], &[1, 0, 2]);
        let values = self.push_moved(node, vec![values], by_row, 0.0, shape)?;
        let repeated_choices =
            (0..(rows * blocks) as u32).flat_map(|choice| repeat_n(choice, width)).collect();
        let one_hot = self.push_moved(node, vec![one_hot], repeated_choices, 0.0, shape)?;
        let operation = FloatOperation::Multiply;
        let masked_values =
            self.push_node(FloatNode { inputs: vec![one_hot, values], shape, operation })?;
        let operation = FloatOperation::ChannelSum { shift: 0 };
        self.push_node(FloatNode {
            inputs: vec![masked_values],
            shape: Shape { channels: 1, ..shape },
            operation,
        })
    }
}

/// Iterates over the positions along the axes of all elements, in order.
pub(super) fn all_coordinates(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let count = dims.iter().product::<usize>();
    (0..count).map(move |element| {
        let mut remaining = element;
        let mut coordinates: Vec<usize> = dims
            .iter()
            .rev()
            .map(|&extent| {
                let coordinate = remaining % extent;
                remaining /= extent;
                coordinate
            })
            .collect();
        coordinates.reverse();
        coordinates
    })
}

/// Returns the position of an element in the order of all elements, where the position along one
/// axis can be another.
pub(super) fn position(
    dims: &[usize],
    coordinates: &[usize],
    along: Option<(usize, usize)>,
) -> u32 {
    let moved = coordinates.iter().enumerate().map(|(axis, &coordinate)| match along {
        Some((other, index)) if other == axis => index,
        _ => coordinate,
    });
    moved.zip(dims).fold(0, |position, (coordinate, &extent)| position * extent + coordinate) as u32
}

/// Returns the position of the slice that a constant index of several axes names.
pub(super) fn slice_of(
    node: &NodeProto,
    indices: &[i64],
    extents: &[usize],
) -> Result<usize, OnnxError> {
    let mut pairs = indices.iter().zip(extents);
    pairs.try_fold(0, |position, (&index, &extent)| {
        Ok(position * extent + dims::index(node, index, extent)?)
    })
}

/// Refuses indices that do not have a position in the data along all other axes.
pub(super) fn check_covered(
    node: &NodeProto,
    data_dims: &[usize],
    indices_dims: &[usize],
    axis: usize,
) -> Result<(), OnnxError> {
    let mut pairs = data_dims.iter().zip(indices_dims).enumerate();
    let fits = data_dims.len() == indices_dims.len()
        && pairs.all(|(along, (&extent, &indices))| along == axis || indices <= extent);
    if !fits {
        return Err(unsupported(
            node,
            format!("indices of {indices_dims:?} do not fit an input of {data_dims:?}"),
        ));
    }
    Reader::check_elements(node, indices_dims)
}
