//! Convolutions and pools over any number of axes, by the formulas of the standard. They share
//! only the attribute check with the converter.

use super::elements::all_coordinates;
use super::{Operands, Tensor};
use crate::OnnxError;
use crate::window::SlidingWindow;

/// A position of the kernel, and the element of a channel that it covers.
type Tap = (usize, usize);

impl Operands<'_> {
    pub(super) fn evaluate_convolution(&self) -> Result<Tensor, OnnxError> {
        let (input, weights) = (self.operand(0)?, self.operand(1)?);
        let (&[1, channels, ref extents @ ..], &[outputs, inner, ref kernel @ ..]) =
            (&input.dims[..], &weights.dims[..])
        else {
            return Err(self.evaluation_error("the operands do not have channels and a batch of 1"));
        };
        let groups = usize::try_from(self.node.int("group", 1)).unwrap_or_default();
        if inner.checked_mul(groups) != Some(channels) || !outputs.is_multiple_of(groups.max(1)) {
            return Err(self.evaluation_error("the groups do not fit the channels"));
        }
        let bias = self
            .optional_operand(2)
            .map_or_else(|| vec![0.0; outputs], |bias| bias.into_owned().values);
        if bias.len() != outputs {
            return Err(self.evaluation_error("the bias does not fit"));
        }
        let window = SlidingWindow::parse(self.node, kernel, extents)?;
        let (plane, area) = (extents.iter().product::<usize>(), kernel.iter().product::<usize>());
        let taps: Vec<Vec<Tap>> = all_coordinates(&window.positions)
            .map(|coordinates| covered_elements(&window, extents, &coordinates))
            .collect();
        let mut values = Vec::with_capacity(outputs * taps.len());
        for (output, bias) in bias.iter().enumerate() {
            let first = output / (outputs / groups) * inner;
            let kernel = &weights.values[output * inner * area..][..inner * area];
            values.extend(taps.iter().map(|taps| {
                let channel_output = |channel: usize| {
                    let (weights, elements) =
                        (&kernel[channel * area..], &input.values[(first + channel) * plane..]);
                    taps.iter().map(|&(tap, element)| weights[tap] * elements[element]).sum::<f64>()
                };
                bias + (0..inner).map(channel_output).sum::<f64>()
            }));
        }
        Ok(Tensor { dims: [&[1, outputs][..], &window.positions].concat(), values })
    }

    pub(super) fn evaluate_pool(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let &[1, channels, ref extents @ ..] = &input.dims[..] else {
            return Err(
                self.evaluation_error("the operand does not have channels and a batch of 1")
            );
        };
        let kernel = if self.node.op_type.starts_with("Global") {
            extents.to_vec()
        } else {
            let sizes = self.node.ints("kernel_shape").unwrap_or_default().iter();
            let sizes =
                sizes.map(|&size| usize::try_from(size).ok()).collect::<Option<Vec<usize>>>();
            sizes.ok_or_else(|| self.evaluation_error("kernel_shape is malformed"))?
        };
        let window = SlidingWindow::parse(self.node, &kernel, extents)?;
        let is_max = self.node.op_type.ends_with("MaxPool");
        let counts_padding = self.node.int("count_include_pad", 0) != 0;
        let windows: Vec<(Vec<Tap>, usize)> = all_coordinates(&window.positions)
            .map(|coordinates| {
                let taps = covered_elements(&window, extents, &coordinates);
                let count = if counts_padding {
                    padded_count(&window, extents, &coordinates)
                } else {
                    taps.len()
                };
                (taps, count)
            })
            .collect();
        let mut values = Vec::with_capacity(channels * windows.len());
        for plane in input.values.chunks(extents.iter().product::<usize>().max(1)) {
            values.extend(windows.iter().map(|(taps, count)| {
                let covered = taps.iter().map(|&(_, element)| plane[element]);
                if is_max {
                    covered.fold(f64::NEG_INFINITY, f64::max)
                } else {
                    covered.sum::<f64>() / *count as f64
                }
            }));
        }
        Ok(Tensor { dims: [&[1, channels][..], &window.positions].concat(), values })
    }
}

/// Returns the elements that a window covers at a position, without padding.
fn covered_elements(window: &SlidingWindow, extents: &[usize], coordinates: &[usize]) -> Vec<Tap> {
    let taps = all_coordinates(&window.kernel).enumerate().filter_map(|(tap, offset)| {
        let mut element = 0;
        for (axis, &extent) in extents.iter().enumerate() {
            let coordinate =
                coordinates[axis] * window.stride[axis] + offset[axis] * window.dilation[axis];
            let coordinate = coordinate
                .checked_sub(window.before[axis])
                .filter(|&coordinate| coordinate < extent)?;
            element = element * extent + coordinate;
        }
        Some((tap, element))
    });
    taps.collect()
}

/// Returns the number of elements and of padding that a window covers at a position.
fn padded_count(window: &SlidingWindow, extents: &[usize], coordinates: &[usize]) -> usize {
    let counts = extents.iter().enumerate().map(|(axis, &extent)| {
        let end = window.before[axis] + extent + window.after[axis];
        let coordinate = |offset: usize| {
            coordinates[axis] * window.stride[axis] + offset * window.dilation[axis]
        };
        (0..window.kernel[axis]).filter(|&offset| coordinate(offset) < end).count()
    });
    counts.product()
}
