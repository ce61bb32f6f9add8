//! Conversion of layers that slide a window over the axes after batch and channels, and of batch
//! norms, which are folded into the preceding layer.

use taonet_proof_core::float::{FloatNode, FloatOperation};
use taonet_proof_core::{Shape, ShapeError, Window};
use taonet_proof_onnx_file::window::SlidingWindow;

use super::elementwise::Affine;
use super::expansion::Expansion;
use super::linear::first_input;
use super::node::{Operand, has_more_outputs, output_name};
use super::proto::NodeProto;
use super::{OnnxError, Reader, Value, dims, invalid_shape, unsupported};

/// The kernels of a convolution.
struct Kernels {
    window: SlidingWindow,
    groups: usize,
    /// Weights by output channel, input channel within the group, and position in the kernel.
    weights: Vec<f32>,
    /// One bias for each output channel.
    bias: Vec<f32>,
}

impl Reader {
    /// Returns the first input of a node that slides a window over one axis, or over rows and
    /// columns.
    pub(super) fn image_operand(&mut self, node: &NodeProto) -> Result<Operand, OnnxError> {
        let input = self.tensor(node, 0)?;
        check_batch(node, &input.dims)?;
        if !matches!(input.dims.len(), 3 | 4) {
            let dims = &input.dims;
            return Err(unsupported(
                node,
                format!(
                    "the input has dimensions {dims:?}, expected batch, channels, and one or two axes"
                ),
            ));
        }
        let shape = dims::shape(&input.dims).map_err(invalid_shape(node))?;
        let index = self.broadcast(node, &input, &input.dims, shape)?;
        Ok(Operand { index, shape, dims: input.dims })
    }

    /// Appends a node whose output has as many axes as its input.
    pub(super) fn define_image(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        shape: Shape,
        operation: FloatOperation,
    ) -> Result<(), OnnxError> {
        let dims = image_dims(input, shape);
        self.push(
            output_name(node)?,
            FloatNode { inputs: vec![input.index], shape, operation },
            dims,
        )
    }

    pub(super) fn convert_convolution(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        check_batch(node, &input.dims)?;
        let kernels = self.convolution_kernels(node, &input.dims)?;
        if input.dims.len() == 5 {
            return self.convert_volume_convolution(node, &input, kernels);
        }
        let input = self.image_operand(node)?;
        let Kernels { window: sliding, groups, weights, bias } = kernels;
        let weights = dilated_weights(node, weights, &sliding)?;
        let window = plane_window(&sliding);
        let shape = image_shape(node, window.output(&input.shape), bias.len())?;
        self.define_image(
            node,
            &input,
            shape,
            FloatOperation::Convolution { window, groups, weights, bias },
        )
    }

    /// Returns the kernels of a convolution over an input with these dimensions.
    fn convolution_kernels(
        &self,
        node: &NodeProto,
        input_dims: &[usize],
    ) -> Result<Kernels, OnnxError> {
        let dims = self.weights(node, 1)?.map(|constant| constant.dims.clone()).unwrap_or_default();
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let (&[outputs, inputs_per_group, ref kernel @ ..], &[_, channels, ref extents @ ..]) =
            (&dims[..], input_dims)
        else {
            return Err(unsupported(
                node,
                format!("weights {dims:?} do not match an input of {input_dims:?}"),
            ));
        };
        if kernel.len() != extents.len() || !(1..=3).contains(&kernel.len()) {
            return Err(unsupported(
                node,
                format!(
                    "weights {dims:?} do not match an input of {input_dims:?} with one to three axes"
                ),
            ));
        }
        let fits_groups = groups > 0
            && inputs_per_group.checked_mul(groups) == Some(channels)
            && outputs.is_multiple_of(groups);
        if !fits_groups || outputs == 0 {
            return Err(unsupported(
                node,
                format!("weights {dims:?} in {groups} groups do not match {channels} channels"),
            ));
        }
        let window = SlidingWindow::parse(node, kernel, extents)?;
        let weights = self.floats(node, 1, &dims)?;
        let bias = if self.weights(node, 2)?.is_some() {
            self.floats(node, 2, &[outputs])?
        } else {
            vec![0.0; outputs]
        };
        Ok(Kernels { window, groups, weights, bias })
    }

    /// Converts a convolution over three axes to one over rows and columns. Its channels are those
    /// of the input at each depth of the kernel, and the rows of all positions along the depth are
    /// one after the other. Rows that cover two of these are dropped.
    fn convert_volume_convolution(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        kernels: Kernels,
    ) -> Result<(), OnnxError> {
        let Kernels { window: sliding, groups, weights, bias } = kernels;
        let mismatch =
            || unsupported(node, format!("a window does not match an input of {:?}", input.dims));
        let &[_, channels, depth, height, width] = &input.dims[..] else { return Err(mismatch()) };
        let (
            &[taps, ..],
            &[steps, down, ..],
            &[spacing, ..],
            &[front, top, ..],
            &[_, bottom, ..],
            &[window_count, rows, _],
        ) = (
            &sliding.kernel[..],
            &sliding.stride[..],
            &sliding.dilation[..],
            &sliding.before[..],
            &sliding.after[..],
            &sliding.positions[..],
        )
        else {
            return Err(mismatch());
        };
        // Windows of the next position begin after a multiple of the stride.
        let block = (top + height + bottom).next_multiple_of(down);
        Self::check_elements(node, &[channels, taps, window_count, block, width])?;
        let zero = input.shape.elements() as u32;
        let mut indices = Vec::with_capacity(channels * taps * window_count * block * width);
        for (channel, tap) in
            (0..channels).flat_map(|channel| (0..taps).map(move |tap| (channel, tap)))
        {
            for (position, row) in
                (0..window_count).flat_map(|position| (0..block).map(move |row| (position, row)))
            {
                let plane = (position * steps + tap * spacing)
                    .checked_sub(front)
                    .filter(|&plane| plane < depth);
                let row = row.checked_sub(top).filter(|&row| row < height);
                let start = plane
                    .zip(row)
                    .map(|(plane, row)| ((channel * depth + plane) * height + row) * width);
                indices.extend(
                    (0..width).map(|column| start.map_or(zero, |start| (start + column) as u32)),
                );
            }
        }
        let shape = Shape::new(channels * taps, window_count * block, width)
            .map_err(invalid_shape(node))?;
        let image = self.push_moved(node, vec![input.index], indices, 0.0, shape)?;
        let weights = dilated_weights(node, weights, &sliding)?;
        let Window { kernel, stride, padding: [_, left, _, right] } = plane_window(&sliding);
        let window = Window { kernel, stride, padding: [0, left, 0, right] };
        let outputs = bias.len();
        let shape = image_shape(node, window.output(&shape), outputs)?;
        let operation = FloatOperation::Convolution { window, groups, weights, bias };
        let convolved = self.push_node(FloatNode { inputs: vec![image], shape, operation })?;
        let dims = vec![1, outputs, window_count, rows, shape.width];
        Self::check_elements(node, &dims)?;
        let mut source_indices = Vec::with_capacity(outputs * window_count * rows * shape.width);
        for (output, position) in (0..outputs)
            .flat_map(|output| (0..window_count).map(move |position| (output, position)))
        {
            let start = (output * shape.height + position * (block / down)) * shape.width;
            source_indices
                .extend((start..start + rows * shape.width).map(|element| element as u32));
        }
        self.define_moved(node, vec![convolved], source_indices, 0.0, dims)
    }

    pub(super) fn convert_pool(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if node.int("storage_order", 0) != 0 || has_more_outputs(node) {
            return Err(unsupported(
                node,
                "storage_order or a second output is unsupported".to_owned(),
            ));
        }
        let input = self.image_operand(node)?;
        let extents = input.dims.get(2..).unwrap_or_default();
        let kernel = node
            .ints("kernel_shape")
            .unwrap_or_default()
            .iter()
            .map(|&size| usize::try_from(size).ok());
        let kernel = kernel.collect::<Option<Vec<usize>>>();
        let kernel =
            kernel.ok_or_else(|| unsupported(node, "kernel_shape is malformed".to_owned()))?;
        let sliding = SlidingWindow::parse(node, &kernel, extents)?;
        if !sliding.is_dense() {
            return Err(unsupported(node, "dilations of a pool are unsupported".to_owned()));
        }
        let window = plane_window(&sliding);
        let shape = image_shape(node, window.pool_output(&input.shape), input.shape.channels)?;
        if node.op_type == "MaxPool" {
            return self.define_image(node, &input, shape, FloatOperation::MaxPool(window));
        }
        // The mean of a whole window, times the quotient of all elements and those that count.
        let factors = mean_factors(node, &sliding, extents);
        if factors.iter().all(|factor| (factor - 1.0).abs() <= 0.0) {
            return self.define_image(node, &input, shape, FloatOperation::AveragePool(window));
        }
        let operation = FloatOperation::AveragePool(window);
        let index = self.push_node(FloatNode { inputs: vec![input.index], shape, operation })?;
        let dims = image_dims(&input, shape);
        let affine = Affine {
            factors: factors.repeat(shape.channels),
            offsets: vec![0.0; shape.elements()],
        };
        self.convert_scale(node, &Operand { index, shape, dims }, &affine)
    }

    /// Converts a pool over all axes but batch and channels.
    pub(super) fn convert_global_pool(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let dims = self.tensor(node, 0)?.dims;
        check_batch(node, &dims)?;
        let rank = dims.len();
        let is_max = node.op_type == "GlobalMaxPool";
        if rank > 4 {
            let operator = if is_max { "ReduceMax" } else { "ReduceMean" };
            let axes: Vec<i64> = (2..rank.cast_signed() as i64).collect();
            let mut expansion = Expansion::new(self, node);
            let reduced = expansion.reduce_over(operator, first_input(node)?, &axes, true)?;
            expansion.node_named(output_name(node)?, "Identity", &[&reduced], Vec::new());
            return expansion.finish();
        }
        let input = self.image_operand(node)?;
        let window = Window {
            kernel: [input.shape.height, input.shape.width],
            stride: [1, 1],
            padding: [0; 4],
        };
        let operation = if is_max {
            FloatOperation::MaxPool(window)
        } else {
            FloatOperation::AveragePool(window)
        };
        self.define_image(node, &input, Shape { height: 1, width: 1, ..input.shape }, operation)
    }

    /// Converts `(x - mean) / sqrt(variance + epsilon) * scale + shift` per channel to a depthwise
    /// 1×1 convolution, or folds it into the weights of a directly preceding layer.
    pub(super) fn convert_batch_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        // Further outputs are those of training, which normalises with the batch's own mean and
        // variance.
        if node.int("training_mode", 0) != 0 || has_more_outputs(node) {
            return Err(unsupported(
                node,
                "training mode is unsupported; hint: export the model for inference".to_owned(),
            ));
        }
        let channels = input.dims.get(1).copied().filter(|_| node.int("spatial", 1) == 1);
        let channels = channels.ok_or_else(|| {
            unsupported(
                node,
                format!("the input has dimensions {:?}, expected batch and channels", input.dims),
            )
        })?;
        let mut parts = Vec::with_capacity(4);
        for position in 1..=4 {
            parts.push(self.floats(node, position, &[channels])?);
        }
        let [scale, shift, mean, variance] = &parts[..] else { return Err(OnnxError::Empty) };
        let epsilon = node.float("epsilon", 1e-5);
        let factors: Vec<f32> = scale
            .iter()
            .zip(variance)
            .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
            .collect();
        if factors.iter().any(|factor| !factor.is_finite()) {
            return Err(unsupported(node, "a variance is not positive".to_owned()));
        }
        let offsets = factors
            .iter()
            .zip(mean)
            .zip(shift)
            .map(|((factor, mean), shift)| shift - mean * factor);
        let offsets: Vec<f32> = offsets.collect();
        let (area, count) = (input.dims.iter().skip(2).product::<usize>(), input.shape.elements());
        self.count_computed(count)?;
        let per_element = |channel_values: &[f32]| {
            (0..count)
                .filter_map(|index| channel_values.get(index / area % channels).copied())
                .collect::<Vec<f32>>()
        };
        let affine = Affine { factors: per_element(&factors), offsets: per_element(&offsets) };
        if self.is_only_reader_of_last(node, 0) && self.fold_into_last(&affine) {
            return super::define(
                &mut self.values,
                output_name(node)?,
                Value::Tensor(input.index, input.dims),
            );
        }
        self.convert_scale(node, &input, &affine)
    }
}

/// Refuses a batch of several inputs.
pub(super) fn check_batch(node: &NodeProto, dims: &[usize]) -> Result<(), OnnxError> {
    match dims {
        [1, _, _, ..] => Ok(()),
        [batch, _, _, ..] => Err(unsupported(
            node,
            format!("a batch of {batch} is unsupported; hint: export the model with a batch of 1"),
        )),
        _ => Err(unsupported(
            node,
            format!("the input has dimensions {dims:?}, expected batch, channels and axes"),
        )),
    }
}

/// Returns the shape of an output with these rows and columns.
pub(super) fn image_shape(
    node: &NodeProto,
    extents: Result<[usize; 2], ShapeError>,
    channels: usize,
) -> Result<Shape, OnnxError> {
    let shape = extents.and_then(|[rows, columns]| Shape::new(channels, rows, columns));
    shape.map_err(invalid_shape(node))
}

/// Returns the dimensions of an output of this shape, with as many axes as the input.
fn image_dims(input: &Operand, shape: Shape) -> Vec<usize> {
    let mut dims = vec![1, shape.channels, shape.height, shape.width];
    dims.truncate(input.dims.len());
    dims
}

/// Returns the values of rows and columns: the last two axes, or the only one and a default.
fn plane_values(values: &[usize], default: usize) -> [usize; 2] {
    match *values {
        [.., rows, columns] => [rows, columns],
        [rows] => [rows, default],
        [] => [default; 2],
    }
}

/// Returns the window over rows and columns, whose kernel has all elements from the first to the
/// last position.
fn plane_window(sliding: &SlidingWindow) -> Window {
    let after: Vec<usize> =
        sliding.after.iter().zip(&sliding.excess).map(|(after, excess)| after + excess).collect();
    let ([top, left], [bottom, right]) =
        (plane_values(&sliding.before, 0), plane_values(&after, 0));
    let (kernel, stride) = (plane_values(&sliding.spans(), 1), plane_values(&sliding.stride, 1));
    Window { kernel, stride, padding: [top, left, bottom, right] }
}

/// Returns the weights with zeros between the rows and columns of a dilated kernel.
fn dilated_weights(
    node: &NodeProto,
    weights: Vec<f32>,
    sliding: &SlidingWindow,
) -> Result<Vec<f32>, OnnxError> {
    let ([rows, columns], [row_dilation, column_dilation]) =
        (plane_values(&sliding.kernel, 1), plane_values(&sliding.dilation, 1));
    if (row_dilation, column_dilation) == (1, 1) {
        return Ok(weights);
    }
    let [height, width] = plane_values(&sliding.spans(), 1);
    let (area, count) = (height.saturating_mul(width), weights.len() / (rows * columns));
    Reader::check_elements(node, &[count, height, width])?;
    let mut dilated = vec![0.0; count * area];
    for (kernel, target) in weights.chunks(rows * columns).zip(dilated.chunks_mut(area)) {
        for (position, &weight) in kernel.iter().enumerate() {
            if let Some(slot) = target.get_mut(
                position / columns * row_dilation * width + position % columns * column_dilation,
            ) {
                *slot = weight;
            }
        }
    }
    Ok(dilated)
}

/// Returns the factor of the mean at each position of a window: the number of elements of the
/// kernel, divided by the number of those that count.
fn mean_factors(node: &NodeProto, sliding: &SlidingWindow, extents: &[usize]) -> Vec<f32> {
    let counts_padding = node.int("count_include_pad", 0) != 0;
    let mut factors = vec![1.0_f64];
    for (axis, &extent) in extents.iter().enumerate() {
        let at_axis = |values: &[usize]| values.get(axis).copied().unwrap_or_default();
        let (kernel, stride, before) =
            (at_axis(&sliding.kernel), at_axis(&sliding.stride), at_axis(&sliding.before));
        let counted_range = if counts_padding {
            0..before + extent + at_axis(&sliding.after)
        } else {
            before..before + extent
        };
        let axis_factors = (0..at_axis(&sliding.positions)).map(|position| {
            let covered_range = position * stride..position * stride + kernel;
            let count = covered_range
                .end
                .min(counted_range.end)
                .saturating_sub(covered_range.start.max(counted_range.start));
            kernel as f64 / count as f64
        });
        let axis_factors: Vec<f64> = axis_factors.collect();
        factors = factors
            .iter()
            .flat_map(|factor| axis_factors.iter().map(move |other| factor * other))
            .collect();
    }
    factors.into_iter().map(|factor| factor as f32).collect()
}
