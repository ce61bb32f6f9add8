//! Conversion of transposed convolutions: convolutions, with the kernel turned round, of the input
//! with zeros between its rows and columns.

use taonet_proof_core::float::FloatOperation;
use taonet_proof_core::{Shape, Window};
use taonet_proof_onnx_file::transposed::TransposedConvolution;

use super::proto::NodeProto;
use super::windows::image_shape;
use super::{OnnxError, Reader, invalid_shape, unsupported};

impl Reader {
    pub(super) fn convert_transposed_convolution(
        &mut self,
        node: &NodeProto,
    ) -> Result<(), OnnxError> {
        let input = self.image_operand(node)?;
        let Shape { channels, height, width } = input.shape;
        let dims = self.weights(node, 1)?.map(|constant| constant.dims.clone()).unwrap_or_default();
        let (&[inputs, outputs_per_group, rows, columns], 4) = (&dims[..], input.dims.len()) else {
            return Err(unsupported(
                node,
                format!("weights {dims:?} do not match a 2-D transposed convolution"),
            ));
        };
        let sizes = TransposedConvolution::parse(node, [rows, columns])?;
        let outputs = outputs_per_group.checked_mul(sizes.groups).filter(|&outputs| outputs > 0);
        let outputs =
            outputs.filter(|_| inputs == channels && channels.is_multiple_of(sizes.groups));
        let outputs = outputs.ok_or_else(|| {
            unsupported(
                node,
                format!(
                    "weights {dims:?} in {} groups do not match {channels} channels",
                    sizes.groups
                ),
            )
        })?;
        let weights =
            flipped_kernels(&self.floats(node, 1, &dims)?, &sizes, inputs, outputs_per_group);
        let bias = match self.weights(node, 2)? {
            Some(_) => self.floats(node, 2, &[outputs])?,
            None => vec![0.0; outputs],
        };
        // A kernel covers the zeros before, between and after the elements.
        let extents = [(0, height), (1, width)].map(|(axis, extent)| sizes.extent(axis, extent));
        let [Some(height_with), Some(width_with)] = extents else {
            return Err(unsupported(node, "the output is too large".to_owned()));
        };
        let (spread_rows, spread_columns) = (height_with + rows - 1, width_with + columns - 1);
        Self::check_elements(node, &[channels, spread_rows, spread_columns])?;
        let row = input_positions(height, spread_rows, sizes.stride[0], rows - 1);
        let column = input_positions(width, spread_columns, sizes.stride[1], columns - 1);
        let [top, left, bottom, right] = sizes.padding;
        let cropped = if top + bottom < height_with && left + right < width_with {
            row.get(top..spread_rows - bottom).zip(column.get(left..spread_columns - right))
        } else {
            None
        };
        let Some((row, column)) = cropped else {
            return Err(unsupported(node, "the pads remove all elements".to_owned()));
        };
        let zero = input.shape.elements() as u32;
        let element = |channel: usize, at: (Option<usize>, Option<usize>)| match at {
            (Some(y), Some(x)) => ((channel * height + y) * width + x) as u32,
            _ => zero,
        };
        let mut indices = Vec::with_capacity(channels * row.len() * column.len());
        for channel in 0..channels {
            for &y in row {
                indices.extend(column.iter().map(|&x| element(channel, (y, x))));
            }
        }
        let shape_error = invalid_shape(node);
        let shape = Shape::new(channels, row.len(), column.len()).map_err(shape_error)?;
        let dilated = self.push_moved(node, vec![input.index], indices, 0.0, shape)?;
        let window = Window { kernel: [rows, columns], stride: [1, 1], padding: [0; 4] };
        let shape = image_shape(node, window.output(&shape), outputs)?;
        let input = super::node::Operand { index: dilated, ..input };
        let operation = FloatOperation::Convolution { window, groups: sizes.groups, weights, bias };
        self.define_image(node, &input, shape, operation)
    }
}

/// Returns the element at each row or column of the input with zeros; `None` for zeros.
fn input_positions(
    extent: usize,
    output_extent: usize,
    stride: usize,
    before: usize,
) -> Vec<Option<usize>> {
    let source_index = |position: usize| {
        let distance =
            position.checked_sub(before).filter(|distance| distance.is_multiple_of(stride))?;
        Some(distance / stride).filter(|&input| input < extent)
    };
    (0..output_extent).map(source_index).collect()
}

/// Returns the weights by output, input of its group, row and column, with rows and columns in
/// reverse. In the file, the input comes first.
fn flipped_kernels(
    weights: &[f32],
    sizes: &TransposedConvolution,
    inputs: usize,
    outputs_per_group: usize,
) -> Vec<f32> {
    let area = sizes.kernel[0] * sizes.kernel[1];
    let width = inputs / sizes.groups;
    let mut flipped = Vec::with_capacity(weights.len());
    for group in 0..sizes.groups {
        for output in 0..outputs_per_group {
            for input in group * width..(group + 1) * width {
                let start = (input * outputs_per_group + output) * area;
                flipped.extend(weights.get(start..start + area).unwrap_or_default().iter().rev());
            }
        }
    }
    flipped
}
