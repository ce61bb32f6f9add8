//! Quantisation: each tensor gets a power-of-two scale, each layer gets integer weights and a
//! rescale.
//!
//! Scales are derived from the largest magnitudes on sample inputs. Larger values saturate, as in
//! any fixed-point network, and never wrap.

mod layers;
mod precision;
mod report;
mod tensors;

pub use precision::{NodeError, Precision, quantise_within};
pub use report::{QuantisationReport, Sample};
pub use tensors::{TensorError, quantise_measured};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::layers::MAX_BITS;
use crate::float::{ElementType, FloatError, FloatNetwork, FloatOperation};
use crate::network::{Network, NetworkError};
use crate::saturation::LayerDescription;
use crate::{ExecutionError, Range};

/// Maximum number of operations of all tables' values: enough for an embedding of 50 000 tokens in
/// 2 600 dimensions.
pub const MAX_TABLE_WORK: u64 = 1 << 28;

/// Quantisation options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantiseOptions {
    /// Bits of an activation, excluding the sign: `2..=16`.
    pub activation_bits: u8,
    /// Bits of a weight, including the sign: `2..=16`.
    pub weight_bits: u8,
    /// Bits of sums that are added to further sums, such as those of the layers of a transformer,
    /// and of their addends, excluding the sign: `2..=16`. Absent if they have no more bits than
    /// other activations.
    pub residual_bits: Option<u8>,
    /// Interval of the input integers. Without 0, it may be one for which functions such as the
    /// logarithm have no value.
    pub input_range: Range,
    /// Scale of the input: the real number is the integer divided by `2^input_scale`.
    pub input_scale: i32,
}

impl Default for QuantiseOptions {
    /// Returns the defaults: eight-bit activations and weights, and pixels of `0..=255`.
    fn default() -> Self {
        Self {
            activation_bits: 8,
            weight_bits: 8,
            residual_bits: None,
            input_range: Range { low: 0, high: 255 },
            input_scale: 0,
        }
    }
}

/// Why quantisation failed.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum QuantiseError {
    /// A bit width is not in `2..=16`.
    #[error("unsupported bit width {0}, expected 2 to 16")]
    Bits(u8),
    /// The input range is empty or exceeds 31 bits, or its scale exceeds ±30.
    #[error("unsupported input range {}..={} with scale {scale}", range.low, range.high)]
    Input {
        /// The input range.
        range: Range,
        /// The scale of the input.
        scale: i32,
    },
    /// The model's input has integers, and the options give it a scale.
    #[error("the model's input has integers, so its scale must be 0, not {0}")]
    IntegerInput(i32),
    /// The model's input has booleans, and the options permit other numbers.
    #[error("the model's input has booleans, so its range must be 0..=1, not {}..={}", .0.low, .0.high)]
    BooleanInput(Range),
    /// There are no sample inputs to derive scales from.
    #[error("no sample inputs; hint: pass sample inputs, which determine the scales")]
    NoSample,
    /// A sample is not a valid input of the network.
    #[error("sample {index}: {source}")]
    Sample {
        /// Index of the input in the sample.
        index: usize,
        /// Why the input is invalid.
        source: ExecutionError,
    },
    /// The float network failed.
    #[error(transparent)]
    Float(#[from] FloatError),
    /// A node's weights or activations are too large for the supported scales.
    #[error("{node}: unsupported magnitude {magnitude}")]
    Magnitude {
        /// The node, such as `Sqrt 'root'`.
        node: String,
        /// The largest magnitude of the weights or activations.
        magnitude: f32,
    },
    /// A function has no value for an argument that its input can have.
    #[error(
        "{node}: the function is undefined for {argument}, which its input can have; hint: restrict its input, such as \
         with a Relu, Clip or Abs before a Sqrt, add a small number, or limit the inputs to the rows of an embedding"
    )]
    Undefined {
        /// The node, such as `Sqrt 'root'`.
        node: String,
        /// The argument.
        argument: f64,
    },
    /// The tables of all functions together take too many operations.
    #[error(
        "the tables of all functions take at least {0} operations, more than the maximum of {MAX_TABLE_WORK}; hint: use a \
         smaller input range, or fewer activation bits"
    )]
    Tables(u64),
    /// Integers that choose rows of a table would be rounded or saturated.
    #[error(
        "{node}: the integers that choose rows of a table would be rounded; hint: compute them from the input by \
         operations on fewer than 2^18 integers"
    )]
    Rounded {
        /// The node, such as `Sqrt 'root'`.
        node: String,
    },
    /// The maximum error of an output is not a positive number.
    #[error("unsupported maximum error {0}, expected a positive number")]
    MaxError(f64),
    /// The error of an output exceeds its maximum with as many bits as activations can have.
    #[error(
        "an output differs from that of the model by {error}, more than the maximum error of {max_error}, with up to \
         {MAX_BITS} bits per activation, of which those of {node} lose most; hint: use more bits per weight, a finer \
         input, a larger maximum, or a sample whose values do not grow from row to row"
    )]
    Imprecise {
        /// The smallest largest error of an output.
        error: f64,
        /// The maximum error.
        max_error: f64,
        /// The node of the model whose rounding changes the outputs most.
        node: String,
    },
    /// The integer network is invalid.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Quantises a network with integer sample inputs.
///
/// # Errors
/// When an option is out of range, the sample is empty or invalid, or the network cannot be scaled.
pub fn quantise(
    network: &FloatNetwork,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
) -> Result<Network, QuantiseError> {
    quantise_described(network, options, sample).map(|(network, _)| network)
}

/// Quantises a network like [`quantise`]. Returns a description of each layer, too, with which
/// [`saturations`](crate::saturation::saturations) names the tensors whose values saturate.
///
/// # Errors
/// As [`quantise`].
pub fn quantise_described(
    network: &FloatNetwork,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
) -> Result<(Network, Vec<LayerDescription>), QuantiseError> {
    let magnitudes = checked_magnitudes(network, options, sample)?;
    layers::Quantiser::new(network, options, &magnitudes).run()
}

/// Checks the options for a network, and returns the largest magnitude of every tensor over the
/// sample.
fn checked_magnitudes(
    network: &FloatNetwork,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
) -> Result<Vec<f32>, QuantiseError> {
    options.check()?;
    if network.input_type != ElementType::Float && options.input_scale != 0 {
        return Err(QuantiseError::IntegerInput(options.input_scale));
    }
    let Range { low, high } = options.input_range;
    if network.has_boolean_inputs() && (low < 0 || high > 1) {
        return Err(QuantiseError::BooleanInput(options.input_range));
    }
    if sample.is_empty() {
        return Err(QuantiseError::NoSample);
    }
    measure_magnitudes(network, options, sample)
}

impl QuantiseOptions {
    /// Converts integer inputs to real numbers.
    pub fn dequantise_input(&self, values: &[i64]) -> Vec<f32> {
        values.iter().map(|&value| (value as f64 * power(-self.input_scale)) as f32).collect()
    }

    /// Converts the integer inputs of a network to real numbers. If it has several inputs, the
    /// scale applies to those of floats only.
    pub fn dequantise_inputs(&self, network: &FloatNetwork, values: &[i64]) -> Vec<f32> {
        let mut inputs = self.dequantise_input(values);
        for node in &network.nodes {
            if let FloatOperation::Part { start, element } = &node.operation
                && *element != ElementType::Float
            {
                let part = *start..*start + node.shape.elements();
                let integers = values.get(part.clone()).unwrap_or_default();
                for (input, &integer) in
                    inputs.get_mut(part).unwrap_or_default().iter_mut().zip(integers)
                {
                    *input = integer as f32;
                }
            }
        }
        inputs
    }

    fn check(&self) -> Result<(), QuantiseError> {
        for bits in [self.activation_bits, self.weight_bits].into_iter().chain(self.residual_bits) {
            if !(2..=16).contains(&bits) {
                return Err(QuantiseError::Bits(bits));
            }
        }
        let (range, scale) = (self.input_range, self.input_scale);
        if range.low > range.high || range.magnitude() > 1 << 30 || scale.abs() > 30 {
            return Err(QuantiseError::Input { range, scale });
        }
        Ok(())
    }
}

/// Returns the largest magnitude of every tensor over the sample.
fn measure_magnitudes(
    network: &FloatNetwork,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
) -> Result<Vec<f32>, QuantiseError> {
    let mut magnitudes = vec![0.0_f32; network.nodes.len() + 1];
    for (index, values) in sample.iter().enumerate() {
        if let Some(position) =
            values.iter().position(|&value| !options.input_range.contains(value))
        {
            let value = values.get(position).copied().unwrap_or_default();
            let source =
                ExecutionError::OutOfRange { index: position, value, range: options.input_range };
            return Err(QuantiseError::Sample { index, source });
        }
        let tensors = network.run(&options.dequantise_inputs(network, values))?;
        for (magnitude, tensor) in magnitudes.iter_mut().zip(&tensors) {
            *magnitude = tensor.iter().fold(*magnitude, |largest, value| largest.max(value.abs()));
        }
    }
    Ok(magnitudes)
}

/// Returns `2^exponent`, such as the unit of integers with the scale `-exponent`.
pub fn power(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}

#[cfg(test)]
mod tests;
