// Shapes and weight counts were checked when the network was read; the inner loops index by them.
#![allow(clippy::indexing_slicing)]

use std::borrow::Cow;

use thiserror::Error;

use super::{FloatNetwork, FloatNode, FloatOperation};
use crate::network::Matrices;
use crate::quantise::power;
use crate::{Shape, Window};

/// Why the execution of a floating-point network failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum FloatError {
    /// The number of values differs from the number of inputs.
    #[error("{actual} input values, expected {expected}")]
    Length {
        /// Number of inputs of the network.
        expected: usize,
        /// Number of values given.
        actual: usize,
    },
    /// A value is not a finite number.
    #[error("input {index} is not finite: {value}")]
    NotFinite {
        /// Index of the value.
        index: usize,
        /// The invalid value.
        value: f32,
    },
}

impl FloatNetwork {
    /// Runs the network and returns all tensors: the input, then each node's output.
    ///
    /// # Errors
    /// When the number of inputs is wrong or an input is not finite.
    pub fn run(&self, input: &[f32]) -> Result<Vec<Vec<f32>>, FloatError> {
        let expected = self.input.elements();
        if input.len() != expected {
            return Err(FloatError::Length { expected, actual: input.len() });
        }
        if let Some(index) = input.iter().position(|value| !value.is_finite()) {
            return Err(FloatError::NotFinite { index, value: input[index] });
        }
        let mut tensors = vec![input.to_vec()];
        for node in &self.nodes {
            let output = node.run(self, &tensors);
            tensors.push(output);
        }
        Ok(tensors)
    }

    /// Returns the network's output if the values of a tensor were others. `tensors` are those of a
    /// run, and remain as they are.
    pub(crate) fn output_with(
        &self,
        tensors: &mut [Vec<f32>],
        tensor: usize,
        values: Vec<f32>,
    ) -> Vec<f32> {
        let mut is_changed = vec![false; tensors.len()];
        is_changed[tensor] = true;
        let mut original_tensors = vec![(tensor, std::mem::replace(&mut tensors[tensor], values))];
        for (index, node) in self.nodes.iter().enumerate().skip(tensor) {
            if node.inputs.iter().any(|&input| is_changed[input]) {
                let output = node.run(self, tensors);
                is_changed[index + 1] = output != tensors[index + 1];
                original_tensors
                    .push((index + 1, std::mem::replace(&mut tensors[index + 1], output)));
            }
        }
        let output = tensors.last().cloned().unwrap_or_default();
        for (tensor, values) in original_tensors {
            tensors[tensor] = values;
        }
        output
    }
}

impl FloatNode {
    fn run(&self, network: &FloatNetwork, tensors: &[Vec<f32>]) -> Vec<f32> {
        let input = &tensors[self.inputs[0]];
        let shape = network.shape(self.inputs[0]).unwrap_or(network.input);
        match &self.operation {
            FloatOperation::Dense { weights, bias } => {
                let rows = weights.chunks(input.len()).zip(bias);
                rows.map(|(row, bias)| {
                    bias + row.iter().zip(input).map(|(a, b)| a * b).sum::<f32>()
                })
                .collect()
            }
            FloatOperation::Convolution { window, groups, weights, bias } => {
                convolve(input, shape, self.shape, window, *groups, weights, bias)
            }
            FloatOperation::Add => {
                input.iter().zip(&tensors[self.inputs[1]]).map(|(a, b)| a + b).collect()
            }
            FloatOperation::Subtract => {
                input.iter().zip(&tensors[self.inputs[1]]).map(|(a, b)| a - b).collect()
            }
            FloatOperation::Multiply => {
                input.iter().zip(&tensors[self.inputs[1]]).map(|(a, b)| a * b).collect()
            }
            FloatOperation::MatrixProduct(sizes) => {
                multiply_matrices(input, &tensors[self.inputs[1]], sizes)
            }
            FloatOperation::Function(function) => {
                input.iter().map(|&value| function.apply(f64::from(value)) as f32).collect()
            }
            FloatOperation::Move { indices, constant } => {
                let elements: Cow<'_, [f32]> = match &self.inputs[..] {
                    // Many small parts of a large tensor must not copy it.
                    &[input] => Cow::Borrowed(&tensors[input]),
                    inputs => inputs.iter().flat_map(|&input| &tensors[input]).copied().collect(),
                };
                indices
                    .iter()
                    .map(|&index| elements.get(index as usize).copied().unwrap_or(*constant))
                    .collect()
            }
            FloatOperation::Constant(values) => values.clone(),
            FloatOperation::Part { start, .. } => {
                input[*start..*start + self.shape.elements()].to_vec()
            }
            FloatOperation::Compare { limits, is_above } => {
                let conditions = input.iter().zip(limits).zip(is_above);
                let holds = |((&value, &limit), &is_above)| (f64::from(value) > limit) == is_above;
                conditions.map(|condition| f32::from(u8::from(holds(condition)))).collect()
            }
            FloatOperation::Negate => input.iter().map(|value| -value).collect(),
            FloatOperation::ChannelAffine { factors, offsets } => {
                let channels =
                    input.chunks(input.len() / factors.len()).zip(factors.iter().zip(offsets));
                let scale_channel = |(channel, (&factor, &offset)): (&[f32], (&i32, &i32))| {
                    let (factor, offset) = (factor as f32, offset as f32);
                    channel.iter().map(move |value| value * factor + offset).collect::<Vec<f32>>()
                };
                channels.flat_map(scale_channel).collect()
            }
            FloatOperation::ChannelSum { shift } => {
                sum_channels(input, self.shape.elements(), *shift)
            }
            FloatOperation::Relu => input.iter().map(|value| value.max(0.0)).collect(),
            FloatOperation::MaxPool(window) => {
                pool_windows(shape, self.shape, window, |plane, taps| {
                    taps.iter().map(|&tap| input[plane + tap]).fold(f32::NEG_INFINITY, f32::max)
                })
            }
            FloatOperation::AveragePool(window) => {
                let count = (window.kernel[0] * window.kernel[1]) as f32;
                pool_windows(shape, self.shape, window, |plane, taps| {
                    taps.iter().map(|&tap| input[plane + tap]).sum::<f32>() / count
                })
            }
        }
    }
}

/// Returns the products of pairs of matrices, one after the other.
fn multiply_matrices(a: &[f32], b: &[f32], sizes: &Matrices) -> Vec<f32> {
    let Matrices { rows, inner, columns, .. } = *sizes;
    let pairs = a.chunks(rows * inner).zip(b.chunks(inner * columns));
    let products = pairs.flat_map(|(a, b)| {
        a.chunks(inner).flat_map(move |row| {
            (0..columns).map(move |column| {
                row.iter()
                    .zip(b.iter().skip(column).step_by(columns))
                    .map(|(a, b)| a * b)
                    .sum::<f32>()
            })
        })
    });
    products.collect()
}

/// Returns the sum of all channels, divided by `2^shift`. Adds in double precision, because a mean
/// can have many values.
fn sum_channels(input: &[f32], plane: usize, shift: u8) -> Vec<f32> {
    let mut sums = vec![0.0_f64; plane];
    for channel in input.chunks(plane) {
        for (sum, &value) in sums.iter_mut().zip(channel) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter().map(|sum| (sum * power(-i32::from(shift))) as f32).collect()
}

fn pool_windows(
    input: Shape,
    output: Shape,
    window: &Window,
    reduce: impl Fn(usize, &[usize]) -> f32,
) -> Vec<f32> {
    let plane = input.height * input.width;
    let mut values = Vec::with_capacity(output.elements());
    for channel in 0..output.channels {
        for row in 0..output.height {
            for column in 0..output.width {
                let taps: Vec<usize> =
                    window.taps(&input, row, column).map(|(_, index)| index).collect();
                values.push(reduce(channel * plane, &taps));
            }
        }
    }
    values
}

fn convolve(
    values: &[f32],
    input: Shape,
    output: Shape,
    window: &Window,
    groups: usize,
    weights: &[f32],
    bias: &[f32],
) -> Vec<f32> {
    let (plane, area) = (input.height * input.width, window.kernel[0] * window.kernel[1]);
    let (channels, outputs) = (input.channels / groups, output.channels / groups);
    let positions = output.height * output.width;
    let mut result: Vec<f32> =
        bias.iter().flat_map(|&value| std::iter::repeat_n(value, positions)).collect();
    for row in 0..output.height {
        for column in 0..output.width {
            let taps: Vec<(usize, usize)> = window.taps(&input, row, column).collect();
            for output_channel in 0..output.channels {
                let first_channel = output_channel / outputs * channels;
                let kernel = &weights
                    [output_channel * channels * area..(output_channel + 1) * channels * area];
                let sum: f32 = (0..channels)
                    .map(|channel| {
                        let source = &values[(first_channel + channel) * plane
                            ..(first_channel + channel + 1) * plane];
                        let kernel = &kernel[channel * area..(channel + 1) * area];
                        taps.iter()
                            .map(|&(offset, index)| kernel[offset] * source[index])
                            .sum::<f32>()
                    })
                    .sum();
                result[output_channel * positions + row * output.width + column] += sum;
            }
        }
    }
    result
}
