//! Conversion of ONNX nodes that only move elements.

use taonet_proof_core::float::{FloatNode, FloatOperation};
use taonet_proof_core::{MAX_ELEMENTS, Shape};

use super::dims::{self, Span};
use super::expansion::{Expansion, permutation_attribute};
use super::linear::first_input;
use super::node::output_name;
use super::proto::NodeProto;
use super::{MAX_MOVED_ELEMENTS, MAX_RANK, OnnxError, Reader, Value, invalid_shape, unsupported};

impl Reader {
    /// Appends a move without a name; returns its tensor.
    pub(super) fn push_moved(
        &mut self,
        node: &NodeProto,
        inputs: Vec<usize>,
        indices: Vec<u32>,
        constant: f32,
        shape: Shape,
    ) -> Result<usize, OnnxError> {
        self.count_moved(node, indices.len())?;
        self.push_node(FloatNode {
            inputs,
            shape,
            operation: FloatOperation::Move { indices, constant },
        })
    }

    /// Counts elements whose positions are listed.
    pub(super) fn count_moved(
        &mut self,
        node: &NodeProto,
        elements: usize,
    ) -> Result<(), OnnxError> {
        self.moved_elements = self.moved_elements.saturating_add(elements);
        if self.moved_elements > MAX_MOVED_ELEMENTS {
            return Err(unsupported(
                node,
                format!("more than {MAX_MOVED_ELEMENTS} elements are moved by all nodes together"),
            ));
        }
        Ok(())
    }

    /// Appends a move whose output has these dimensions.
    pub(super) fn define_moved(
        &mut self,
        node: &NodeProto,
        inputs: Vec<usize>,
        indices: Vec<u32>,
        constant: f32,
        dims: Vec<usize>,
    ) -> Result<(), OnnxError> {
        let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
        let tensor = self.push_moved(node, inputs, indices, constant, shape)?;
        super::define(&mut self.values, output_name(node)?, Value::Tensor(tensor, dims))
    }

    /// Checks the numbers of dimensions and elements before positions are listed.
    pub(super) fn check_elements(node: &NodeProto, dims: &[usize]) -> Result<(), OnnxError> {
        match dims::elements(dims) {
            _ if dims.len() > MAX_RANK => {
                Err(unsupported(node, format!("the output has more than {MAX_RANK} dimensions")))
            }
            Some(1..=MAX_ELEMENTS) => Ok(()),
            _ => Err(unsupported(
                node,
                format!("the output has dimensions {dims:?}: it is empty or too large"),
            )),
        }
    }

    pub(super) fn convert_transpose(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let order = dims::permutation(node, input.dims.len())?;
        let dims: Vec<usize> =
            order.iter().filter_map(|&axis| input.dims.get(axis).copied()).collect();
        Self::check_elements(node, &dims)?;
        let indices = dims::transposed_positions(&input.dims, &order);
        self.define_moved(node, vec![input.index], indices, 0.0, dims)
    }

    pub(super) fn convert_slice(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let spans = self.slice_spans(node, &input.dims)?;
        let positions: Vec<Vec<Option<usize>>> =
            spans.iter().map(|span| span.positions().map(Some).collect()).collect();
        self.define_selection(node, input.index, &input.dims, &positions, 0.0)
    }

    /// Returns the part of each axis that a Slice keeps.
    fn slice_spans(&self, node: &NodeProto, dims: &[usize]) -> Result<Vec<Span>, OnnxError> {
        let mut parts = [const { None }; 4];
        for ((part, name), position) in
            parts.iter_mut().zip(["starts", "ends", "axes", ""]).zip(1..)
        {
            *part = self.attribute_or_input(node, "limits", name, position, 10)?;
        }
        let [Some(starts), Some(ends), axes, steps] = parts else {
            return Err(unsupported(node, "starts or ends are not constant".to_owned()));
        };
        dims::spans(node, dims, &starts, &ends, axes.as_deref(), steps.as_deref())
    }

    /// Converts a Split, whose outputs are parts of its input.
    pub(super) fn convert_split(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axis = dims::axis(node, node.int("axis", 0), input.dims.len())?;
        let declared_sizes = self.attribute_or_input(node, "parts", "split", 1, 13)?;
        let extent = input.dims.get(axis).copied().unwrap_or_default();
        let parts = dims::split_sizes(node, extent, declared_sizes.as_deref(), self.opset)?;
        let mut start = 0;
        for (name, part) in node.output.iter().zip(parts) {
            let axis_indices = input.dims.iter().enumerate().map(|(index, &extent)| {
                let part_range = if index == axis { start..start + part } else { 0..extent };
                part_range.map(Some).collect::<Vec<Option<usize>>>()
            });
            let axis_indices: Vec<Vec<Option<usize>>> = axis_indices.collect();
            start += part;
            let dims: Vec<usize> = axis_indices.iter().map(Vec::len).collect();
            Self::check_elements(node, &dims)?;
            let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
            let indices = dims::selected_positions(&input.dims, &axis_indices);
            let tensor = self.push_moved(node, vec![input.index], indices, 0.0, shape)?;
            if !name.is_empty() {
                super::define(&mut self.values, name, Value::Tensor(tensor, dims))?;
            }
        }
        Ok(())
    }

    /// Converts an Expand, which repeats elements.
    pub(super) fn convert_expand(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let target_shape = self.integers(node, 1)?;
        let target_shape = target_shape
            .ok_or_else(|| unsupported(node, "the dimensions are not constant".to_owned()))?;
        let mismatch = || {
            unsupported(node, format!("{:?} cannot be repeated to {target_shape:?}", input.dims))
        };
        let target = target_shape
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect::<Option<Vec<usize>>>();
        let dims = target
            .and_then(|target| dims::common_dims(&[&input.dims, &target]))
            .ok_or_else(mismatch)?;
        if dims == input.dims {
            return self.rename(node, None);
        }
        Self::check_elements(node, &dims)?;
        let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
        let tensor = self.try_broadcast(node, &input, &dims, shape)?.ok_or_else(mismatch)?;
        super::define(&mut self.values, output_name(node)?, Value::Tensor(tensor, dims))
    }

    pub(super) fn convert_concat(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let operands = (0..node.input.len()).map(|position| self.operand(node, position));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let all_dims: Vec<&[usize]> = operands.iter().map(|operand| &operand.dims[..]).collect();
        let (axis, dims) = dims::concatenated_dims(node, &all_dims)?;
        Self::check_elements(node, &dims)?;
        let indices = dims::interleaved_positions(&all_dims, axis);
        self.define_moved(
            node,
            operands.iter().map(|operand| operand.index).collect(),
            indices,
            0.0,
            dims,
        )
    }

    /// Converts a Tile, which repeats all elements along each axis.
    pub(super) fn convert_tile(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let repeats = self.integers(node, 1)?;
        let repeats =
            repeats.ok_or_else(|| unsupported(node, "the repeats are not constant".to_owned()))?;
        let extents = input.dims.iter().zip(&repeats);
        let extents =
            extents.map(|(&extent, &count)| usize::try_from(count).ok()?.checked_mul(extent));
        let dims =
            extents.collect::<Option<Vec<usize>>>().filter(|_| repeats.len() == input.dims.len());
        let dims = dims.ok_or_else(|| {
            unsupported(node, format!("repeats {repeats:?} do not fit {:?}", input.dims))
        })?;
        Self::check_elements(node, &dims)?;
        let along = input.dims.iter().zip(&dims);
        let positions = along.map(|(&extent, &repeated)| {
            (0..repeated).map(|position| Some(position % extent)).collect()
        });
        let positions: Vec<Vec<Option<usize>>> = positions.collect();
        self.define_selection(node, input.index, &input.dims, &positions, 0.0)
    }

    /// Converts a Trilu: elements of each matrix above or below a diagonal become 0.
    pub(super) fn convert_triangle(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let shift = match self.integers(node, 1)?.as_deref() {
            None => 0,
            Some(&[shift]) => shift,
            Some(diagonal) => {
                return Err(unsupported(
                    node,
                    format!("the diagonal {diagonal:?} is not one integer"),
                ));
            }
        };
        let &[.., rows, columns] = &input.dims[..] else {
            return Err(unsupported(
                node,
                format!("the input has dimensions {:?}, expected matrices", input.dims),
            ));
        };
        let keeps_upper = node.int("upper", 1) != 0;
        let zero = input.shape.elements() as u32;
        let indices = (0..zero).map(|index| {
            let (row, column) = (index as usize / columns % rows, index as usize % columns);
            let diagonal = (row.cast_signed() as i64).saturating_add(shift);
            let column = column.cast_signed() as i64;
            let is_kept = if keeps_upper { column >= diagonal } else { column <= diagonal };
            if is_kept { index } else { zero }
        });
        self.define_moved(node, vec![input.index], indices.collect(), 0.0, input.dims)
    }

    /// Converts a move of blocks of channels to rows and columns, or back.
    pub(super) fn convert_blocks(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let dims = self.tensor(node, 0)?.dims;
        let size = usize::try_from(node.int("blocksize", 0)).unwrap_or_default();
        let mismatch =
            || unsupported(node, format!("blocks of {size} do not fit an input of {dims:?}"));
        let (&[batch, channels, height, width], Some(area)) = (&dims[..], size.checked_mul(size))
        else {
            return Err(mismatch());
        };
        let is_space_to_depth = node.op_type == "SpaceToDepth";
        let fits = if is_space_to_depth {
            size > 0 && height.is_multiple_of(size) && width.is_multiple_of(size)
        } else {
            area > 0 && channels.is_multiple_of(area)
        };
        if !fits {
            return Err(mismatch());
        }
        // The axes of the blocks, their new order, and the dimensions after that.
        let (split, order, merged_dims) = if is_space_to_depth {
            let split = [batch, channels, height / size, size, width / size, size];
            (split, [0, 3, 5, 1, 2, 4], [batch, channels * area, height / size, width / size])
        } else {
            let merged_dims = [batch, channels / area, height * size, width * size];
            match node.text("mode").unwrap_or(b"DCR") {
                b"DCR" => (
                    [batch, size, size, channels / area, height, width],
                    [0, 3, 4, 1, 5, 2],
                    merged_dims,
                ),
                b"CRD" => (
                    [batch, channels / area, size, size, height, width],
                    [0, 1, 4, 2, 5, 3],
                    merged_dims,
                ),
                _ => return Err(unsupported(node, "mode is neither DCR nor CRD".to_owned())),
            }
        };
        let mut expansion = Expansion::new(self, node);
        let blocks = expansion.reshape(first_input(node)?, &split)?;
        let transposed = expansion.node_with("Transpose", &[&blocks], permutation_attribute(order));
        expansion.reshape_named(output_name(node)?, &transposed, &merged_dims)?;
        expansion.finish()
    }

    pub(super) fn convert_pad(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let (attribute, pads) = (node.ints("pads").map(<[i64]>::to_vec), self.integers(node, 1)?);
        let value = self.padding_value(node)?;
        let declared_by =
            (node.attribute("value").is_some() || attribute.is_some(), pads.is_some());
        if declared_by != (self.opset < 11, self.opset >= 11) {
            return Err(unsupported(
                node,
                format!("pads are missing or misplaced for operator set {}", self.opset),
            ));
        }
        let axes = self.integers(node, 3)?;
        let pads = dims::pads(
            node,
            input.dims.len(),
            &attribute.or(pads).unwrap_or_default(),
            axes.as_deref(),
        )?;
        let mode = node.attribute("mode").map_or(&b"constant"[..], |attribute| &attribute.s);
        let extents =
            input.dims.iter().zip(&pads).map(|(&extent, &pads)| dims::padded_extent(extent, pads));
        Self::check_elements(
            node,
            &extents.collect::<Option<Vec<usize>>>().unwrap_or_else(|| vec![0]),
        )?;
        let positions = input
            .dims
            .iter()
            .zip(&pads)
            .map(|(&extent, &pads)| dims::padded_positions(node, extent, pads, mode));
        let positions = positions.collect::<Result<Vec<_>, _>>()?;
        self.define_selection(node, input.index, &input.dims, &positions, value)
    }

    /// Returns the value of padding.
    fn padding_value(&self, node: &NodeProto) -> Result<f32, OnnxError> {
        let Some(constant) = self.weights(node, 2)? else { return Ok(node.float("value", 0.0)) };
        match constant.floats() {
            Some(&[value]) => Ok(value),
            _ => Err(unsupported(node, "the value of the padding is not one number".to_owned())),
        }
    }

    /// Appends a move that selects positions along each axis; `None` stands for the constant.
    pub(super) fn define_selection(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        dims: &[usize],
        positions: &[Vec<Option<usize>>],
        constant: f32,
    ) -> Result<(), OnnxError> {
        let extents: Vec<usize> = positions.iter().map(Vec::len).collect();
        Self::check_elements(node, &extents)?;
        self.define_moved(
            node,
            vec![tensor],
            dims::selected_positions(dims, positions),
            constant,
            extents,
        )
    }
}
