//! Elements that indices choose, and other moves, by the formulas of the standard. They share no
//! code with the reader's positions.

use taonet_proof_core::MAX_ELEMENTS;

use super::elements::{all_coordinates, existing_axis, tensor_from_fn};
use super::reduced::map_lines;
use super::{Operands, Tensor};
use crate::OnnxError;

impl Operands<'_> {
    /// Returns the number of elements of the operand, as a tensor without dimensions.
    pub(super) fn evaluate_size(&self) -> Result<Tensor, OnnxError> {
        Ok(Tensor { dims: Vec::new(), values: vec![self.operand(0)?.values.len() as f64] })
    }

    /// Returns the number at an input position.
    fn number_operand(&self, position: usize) -> Result<f64, OnnxError> {
        self.operand(position)?
            .values
            .first()
            .copied()
            .ok_or_else(|| self.evaluation_error("an operand is empty"))
    }

    /// Refuses dimensions of more elements than a tensor may have.
    fn check_size(&self, dims: &[usize]) -> Result<(), OnnxError> {
        let count = dims.iter().try_fold(1_usize, |count, &extent| count.checked_mul(extent));
        if count.is_some_and(|count| count <= MAX_ELEMENTS) {
            Ok(())
        } else {
            Err(self.evaluation_error("the output is too large"))
        }
    }

    /// Returns the numbers from the first operand to below the second one.
    pub(super) fn evaluate_range(&self) -> Result<Tensor, OnnxError> {
        let (start, limit, step) =
            (self.number_operand(0)?, self.number_operand(1)?, self.number_operand(2)?);
        let count = ((limit - start) / step).ceil().max(0.0);
        if !count.is_finite() || count > MAX_ELEMENTS as f64 {
            return Err(self.evaluation_error("the output is too large"));
        }
        let values: Vec<f64> =
            (0..count as usize).map(|index| start + index as f64 * step).collect();
        Ok(Tensor { dims: vec![values.len()], values })
    }

    /// Returns the positions of elements other than 0, a row for each axis.
    pub(super) fn evaluate_non_zero(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let nonzero: Vec<Vec<usize>> = all_coordinates(&input.dims)
            .zip(&input.values)
            .filter(|(_, value)| value.abs() > 0.0)
            .map(|(coordinates, _)| coordinates)
            .collect();
        let dims = vec![input.dims.len(), nonzero.len()];
        Ok(tensor_from_fn(dims, |coordinates| nonzero[coordinates[1]][coordinates[0]] as f64))
    }

    pub(super) fn evaluate_tile(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let repeats: Option<Vec<usize>> = self
            .integers(1)
            .unwrap_or_default()
            .into_iter()
            .map(|count| usize::try_from(count).ok())
            .collect();
        let repeats = repeats.filter(|repeats| repeats.len() == input.dims.len());
        let repeats = repeats.ok_or_else(|| self.evaluation_error("the repeats are malformed"))?;
        let dims: Vec<usize> = input
            .dims
            .iter()
            .zip(&repeats)
            .map(|(&extent, &count)| extent.saturating_mul(count))
            .collect();
        self.check_size(&dims)?;
        Ok(tensor_from_fn(dims, |coordinates| {
            let source: Vec<usize> = coordinates
                .iter()
                .zip(&input.dims)
                .map(|(&coordinate, &extent)| coordinate % extent)
                .collect();
            input.at(&source)
        }))
    }

    /// Keeps the upper or the lower triangle of each matrix.
    pub(super) fn evaluate_triangle(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let shift = self.integers(1).and_then(|shift| shift.first().copied()).unwrap_or(0);
        let keeps_upper = self.node.int("upper", 1) != 0;
        if input.dims.len() < 2 {
            return Err(self.evaluation_error("the operand has no matrices"));
        }
        Ok(tensor_from_fn(input.dims.clone(), |coordinates| {
            let [.., row, column] = coordinates else { return f64::NAN };
            let distance = (column.cast_signed() as i64)
                .saturating_sub(row.cast_signed() as i64)
                .saturating_sub(shift);
            let is_kept = if keeps_upper { distance >= 0 } else { distance <= 0 };
            if is_kept { input.at(coordinates) } else { 0.0 }
        }))
    }

    /// Returns an index of an axis with this extent, which counts from the end if it is negative;
    /// `None` if there is none.
    fn resolve_index(value: f64, extent: usize) -> Option<usize> {
        let index = if value < 0.0 { value + extent as f64 } else { value };
        (0.0..extent as f64).contains(&index).then_some(index as usize)
    }

    pub(super) fn evaluate_gather_elements(&self) -> Result<Tensor, OnnxError> {
        let (input, indices) = (self.operand(0)?, self.operand(1)?);
        let axis = self.axis(0, &input.dims)?;
        self.check_covered(&input.dims, &indices.dims, axis)?;
        Ok(tensor_from_fn(indices.dims.clone(), |coordinates| {
            let mut source = coordinates.to_vec();
            // A computed index that does not exist has no value.
            match Self::resolve_index(indices.at(coordinates), input.dims[axis]) {
                Some(index) => source[axis] = index,
                None => return f64::NAN,
            }
            input.at(&source)
        }))
    }

    /// Refuses indices that do not have a position in the data along all other axes.
    fn check_covered(
        &self,
        data_dims: &[usize],
        indices_dims: &[usize],
        axis: usize,
    ) -> Result<(), OnnxError> {
        let mut extents = data_dims.iter().zip(indices_dims).enumerate();
        if data_dims.len() == indices_dims.len()
            && extents.all(|(dimension, (extent, indices))| dimension == axis || indices <= extent)
        {
            Ok(())
        } else {
            Err(self.evaluation_error("the indices do not fit"))
        }
    }

    fn check_reduction(&self) -> Result<(), OnnxError> {
        if self.node.text("reduction").unwrap_or(b"none") == b"none" {
            Ok(())
        } else {
            Err(self.evaluation_error("a reduction is unsupported"))
        }
    }

    /// Splits the dimensions of a GatherND or ScatterND: those before the last one of the indices,
    /// and the number of axes that an index names.
    fn split_tuple_dims(
        &self,
        indices: &Tensor,
        rank: usize,
    ) -> Result<(Vec<usize>, usize), OnnxError> {
        let (&width, outer) = indices
            .dims
            .split_last()
            .ok_or_else(|| self.evaluation_error("the indices have no dimension"))?;
        if width == 0 || width > rank {
            Err(self.evaluation_error("the indices do not fit"))
        } else {
            Ok((outer.to_vec(), width))
        }
    }

    pub(super) fn evaluate_gather_slices(&self) -> Result<Tensor, OnnxError> {
        let (input, indices) = (self.operand(0)?, self.operand(1)?);
        let batch = usize::try_from(self.node.int("batch_dims", 0)).unwrap_or(usize::MAX);
        let rank = input
            .dims
            .len()
            .checked_sub(batch)
            .ok_or_else(|| self.evaluation_error("batch_dims do not fit"))?;
        let (outer, width) = self.split_tuple_dims(&indices, rank)?;
        if outer.get(..batch) != input.dims.get(..batch) {
            return Err(self.evaluation_error("batch_dims do not fit"));
        }
        let dims = [&outer[..], &input.dims[batch + width..]].concat();
        self.check_size(&dims)?;
        Ok(tensor_from_fn(dims, |coordinates| {
            let (tuple, inner) = coordinates.split_at(outer.len());
            let mut source = tuple[..batch].to_vec();
            for position in 0..width {
                let value = indices.at(&[tuple, &[position]].concat());
                match Self::resolve_index(value, input.dims[batch + position]) {
                    Some(index) => source.push(index),
                    None => return f64::NAN,
                }
            }
            source.extend(inner);
            input.at(&source)
        }))
    }

    pub(super) fn evaluate_scatter_elements(&self) -> Result<Tensor, OnnxError> {
        self.check_reduction()?;
        let (mut output, indices, updates) =
            (self.operand(0)?.into_owned(), self.operand(1)?, self.operand(2)?);
        let axis = self.axis(0, &output.dims)?;
        self.check_covered(&output.dims, &indices.dims, axis)?;
        if indices.dims != updates.dims {
            return Err(self.evaluation_error("the operands do not fit each other"));
        }
        for (mut coordinates, &update) in all_coordinates(&updates.dims).zip(&updates.values) {
            let index = Self::resolve_index(indices.at(&coordinates), output.dims[axis]);
            coordinates[axis] = index.unwrap_or(usize::MAX);
            // A computed index that does not exist changes nothing.
            if coordinates
                .iter()
                .zip(&output.dims)
                .all(|(&coordinate, &extent)| coordinate < extent)
            {
                *output.at_mut(&coordinates) = update;
            }
        }
        Ok(output)
    }

    pub(super) fn evaluate_scatter_slices(&self) -> Result<Tensor, OnnxError> {
        self.check_reduction()?;
        let (mut output, indices, updates) =
            (self.operand(0)?.into_owned(), self.operand(1)?, self.operand(2)?);
        let (outer, width) = self.split_tuple_dims(&indices, output.dims.len())?;
        if updates.dims != [&outer[..], &output.dims[width..]].concat() {
            return Err(self.evaluation_error("the operands do not fit each other"));
        }
        for (coordinates, &update) in all_coordinates(&updates.dims).zip(&updates.values) {
            let (tuple, inner) = coordinates.split_at(outer.len());
            let index = |position: usize| {
                Self::resolve_index(
                    indices.at(&[tuple, &[position]].concat()),
                    output.dims[position],
                )
            };
            let target = (0..width).map(index).collect::<Option<Vec<usize>>>();
            if let Some(target) = target {
                *output.at_mut(&[&target[..], inner].concat()) = update;
            }
        }
        Ok(output)
    }

    pub(super) fn evaluate_one_hot(&self) -> Result<Tensor, OnnxError> {
        let (indices, values) = (self.operand(0)?, self.operand(2)?);
        let depth = self.number_operand(1)?;
        let (&[off, on], true) = (&values.values[..], (1.0..=MAX_ELEMENTS as f64).contains(&depth))
        else {
            return Err(self.evaluation_error("the depth or the values are malformed"));
        };
        let depth = depth as usize;
        let mut dims = indices.dims.clone();
        let axis = self.node.int("axis", -1);
        let axis = if axis < 0 { axis + dims.len().cast_signed() as i64 + 1 } else { axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis <= dims.len());
        let axis = axis.ok_or_else(|| self.evaluation_error("the axis does not exist"))?;
        dims.insert(axis, depth);
        self.check_size(&dims)?;
        Ok(tensor_from_fn(dims, |coordinates| {
            let mut source = coordinates.to_vec();
            let position = source.remove(axis);
            if Self::resolve_index(indices.at(&source), depth) == Some(position) { on } else { off }
        }))
    }

    /// Repeats the nearest elements until an image has another size. Extents and coordinates are in
    /// single precision, like the scales: 0.7 times 10 elements are 7, and not 6.999.
    pub(super) fn evaluate_resize(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let rank = input.dims.len();
        let is_upsample = self.node.op_type == "Upsample";
        // Before version 11, the scales come second, and before version 9, they are an attribute.
        let scales_position = if is_upsample || self.opset < 11 { 1 } else { 2 };
        let scales_input = self
            .node
            .floats("scales")
            .map(|scales| scales.iter().copied().map(f64::from).collect());
        let scales = scales_input
            .or_else(|| {
                self.optional_operand(scales_position).map(|scales| scales.into_owned().values)
            })
            .unwrap_or_default();
        let sizes = if scales_position == 2 {
            self.optional_operand(3).map(|sizes| sizes.into_owned().values)
        } else {
            None
        };
        let axes = self
            .node
            .ints("axes")
            .map(|axes| axes.iter().map(|&axis| existing_axis(axis, &input.dims)).collect());
        let axes: Option<Vec<usize>> = axes.unwrap_or_else(|| Some((0..rank).collect()));
        let axes = axes.ok_or_else(|| self.evaluation_error("an axis does not exist"))?;
        let (mut dims, mut factors) = (input.dims.clone(), vec![1.0_f32; rank]);
        for (index, &axis) in axes.iter().enumerate() {
            let extent = input.dims[axis] as f32;
            let (size, factor) =
                match (sizes.as_ref().and_then(|sizes| sizes.get(index)), scales.get(index)) {
                    (Some(&size), _) => (size, size as f32 / extent),
                    (None, Some(&scale)) => {
                        (f64::from((extent * scale as f32).floor()), scale as f32)
                    }
                    (None, None) => {
                        return Err(self.evaluation_error("scales and sizes are missing"));
                    }
                };
            dims[axis] = size.clamp(0.0, MAX_ELEMENTS as f64) as usize;
            factors[axis] = factor;
        }
        self.check_size(&dims)?;
        let text = |name: &str, default: &'static str| {
            self.node.text(name).map_or_else(
                || default.to_owned(),
                |text| String::from_utf8_lossy(text).into_owned(),
            )
        };
        let (mode, rounding) = if is_upsample || self.opset < 11 {
            ("asymmetric".to_owned(), "floor".to_owned())
        } else {
            (
                text("coordinate_transformation_mode", "half_pixel"),
                text("nearest_mode", "round_prefer_floor"),
            )
        };
        Ok(tensor_from_fn(dims.clone(), |coordinates| {
            let mut source = Vec::with_capacity(rank);
            for (axis, &coordinate) in coordinates.iter().enumerate() {
                let (extent, size, factor, coordinate) =
                    (input.dims[axis] as f32, dims[axis] as f32, factors[axis], coordinate as f32);
                let original = f64::from(match mode.as_str() {
                    _ if (factor - 1.0).abs() <= 0.0 => coordinate,
                    "asymmetric" => coordinate / factor,
                    "align_corners" if size > 1.0 => coordinate * (extent - 1.0) / (size - 1.0),
                    "align_corners" => 0.0,
                    "pytorch_half_pixel" if size <= 1.0 => 0.0,
                    _ => (coordinate + 0.5) / factor - 0.5,
                });
                let nearest = match rounding.as_str() {
                    "floor" => original.floor(),
                    "ceil" => original.ceil(),
                    "round_prefer_ceil" => (original + 0.5).floor(),
                    _ => (original - 0.5).ceil(),
                };
                source.push(nearest.clamp(0.0, f64::from(extent) - 1.0) as usize);
            }
            input.at(&source)
        }))
    }

    /// Adds the elements along an axis one by one.
    pub(super) fn evaluate_cumulative_sum(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let axis = existing_axis(self.number_operand(1)? as i64, &tensor.dims);
        let axis = axis.ok_or_else(|| self.evaluation_error("the axis does not exist"))?;
        let (is_reverse, is_exclusive) =
            (self.node.int("reverse", 0) != 0, self.node.int("exclusive", 0) != 0);
        let (width, inner) = (tensor.dims[axis], tensor.dims[axis + 1..].iter().product::<usize>());
        map_lines(&mut tensor.values, width, inner, |line| {
            if is_reverse {
                line.reverse();
            }
            let mut sum = 0.0;
            for value in &mut *line {
                let next = sum + *value;
                *value = if is_exclusive { sum } else { next };
                sum = next;
            }
            if is_reverse {
                line.reverse();
            }
        });
        Ok(tensor)
    }

    /// Moves blocks of channels to rows and columns, or back.
    pub(super) fn evaluate_blocks(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let size = usize::try_from(self.node.int("blocksize", 0)).unwrap_or_default();
        let &[batch, channels, height, width] = &input.dims[..] else {
            return Err(self.evaluation_error("the operand does not have four dimensions"));
        };
        if !(1..=MAX_ELEMENTS).contains(&size) {
            return Err(self.evaluation_error("the size of the blocks is malformed"));
        }
        let area = size.saturating_mul(size);
        let is_space_to_depth = self.node.op_type == "SpaceToDepth";
        let fits = if is_space_to_depth {
            height.is_multiple_of(size) && width.is_multiple_of(size)
        } else {
            channels.is_multiple_of(area)
        };
        if !fits {
            return Err(self.evaluation_error("the blocks do not fit"));
        }
        if is_space_to_depth {
            let dims = vec![batch, channels.saturating_mul(area), height / size, width / size];
            self.check_size(&dims)?;
            return Ok(tensor_from_fn(dims, |coordinates| {
                let (block, channel) = (coordinates[1] / channels, coordinates[1] % channels);
                input.at(&[
                    coordinates[0],
                    channel,
                    coordinates[2] * size + block / size,
                    coordinates[3] * size + block % size,
                ])
            }));
        }
        let dims =
            vec![batch, channels / area, height.saturating_mul(size), width.saturating_mul(size)];
        self.check_size(&dims)?;
        let is_by_column = match self.node.text("mode").unwrap_or(b"DCR") {
            b"DCR" => false,
            b"CRD" => true,
            _ => return Err(self.evaluation_error("mode is neither DCR nor CRD")),
        };
        let block_channels = channels / area;
        Ok(tensor_from_fn(dims, |coordinates| {
            let block = coordinates[2] % size * size + coordinates[3] % size;
            let channel = if is_by_column {
                coordinates[1] * area + block
            } else {
                block * block_channels + coordinates[1]
            };
            input.at(&[coordinates[0], channel, coordinates[2] / size, coordinates[3] / size])
        }))
    }
}
