//! Mixed precision: chooses the smallest bit width of each tensor's activations with which the
//! outputs stay within a maximum error.
//!
//! Each tensor has a loss: how much an output changes if only the values of this tensor are
//! rounded. Each additional bit halves it. The tensors with the largest losses get extra bits
//! first, until all losses are about equal, and then all of them, until the error of the integer
//! network is at most the maximum error.

use serde::{Deserialize, Serialize};

use super::layers::{MAX_BITS, Quantiser, integer_bits, tensors_requiring_exactness};
use super::report::round_to_nine_digits;
use super::{QuantiseError, QuantiseOptions, checked_magnitudes, power};
use crate::float::{FloatError, FloatNetwork, FloatNode, FloatOperation};
use crate::network::Network;
use crate::saturation::LayerDescription;

/// Number of sample rows on which the losses are measured.
const SAMPLE_ROWS: usize = 4;
/// Maximum number of times that the largest loss is halved. Even smaller losses do not matter.
const MAX_HALVINGS: u32 = 40;
/// Maximum bits of a sum, without the sign, that fit the field of `stark` together with the bias.
const MAX_SUM_BITS: f64 = 29.0;
/// Maximum bits of each factor of a product: products of up to 28 bits fit the field of `stark`.
const MAX_FACTOR_BITS: f64 = 14.0;
/// Bits by which the sum of a small average pool exceeds its output.
const POOL_BITS: f64 = 4.0;

/// Bit widths of activations with which the outputs stay within a maximum error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Largest permitted difference between an output of the float network and its integer
    /// counterpart, in real units.
    pub max_error: f64,
    /// Smallest and largest bit width of the rounded activations.
    pub bits: [u8; 2],
    /// Node with the largest error; absent if no node has an error on the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<NodeError>,
}

/// The error of a single node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeError {
    /// The node of the model, such as `Gelu 'act'`.
    pub node: String,
    /// Largest change of an output if only the values of this node are rounded, in real units.
    pub error: f64,
}

/// Quantises a network like [`quantise_described`](super::quantise_described) with `sample`, and
/// gives each tensor the extra bits with which no output on `rows` differs from that of the float
/// network by more than `max_error`.
///
/// # Errors
/// As [`quantise`](super::quantise), and when no bit width keeps within the maximum error, or it is
/// not positive.
pub fn quantise_within(
    network: &FloatNetwork,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
    rows: &[Vec<i64>],
    max_error: f64,
) -> Result<(Network, Vec<LayerDescription>, Precision), QuantiseError> {
    if !max_error.is_finite() || max_error <= 0.0 {
        return Err(QuantiseError::MaxError(max_error));
    }
    let magnitudes = checked_magnitudes(network, options, sample)?;
    let outputs = rows.iter().map(|row| {
        let mut tensors = network.run(&options.dequantise_inputs(network, row))?;
        Ok::<_, FloatError>(tensors.pop().unwrap_or_default())
    });
    let expected = outputs.collect::<Result<Vec<Vec<f32>>, _>>()?;
    let losses = RoundingLosses::measure(network, options, &magnitudes, sample)?;
    let (mut previous_extra_bits, mut smallest_error): (Option<Vec<u8>>, f64) =
        (None, f64::INFINITY);
    for halvings in 0..=MAX_HALVINGS {
        let extra_bits = losses.extra_bits(halvings);
        if previous_extra_bits.as_ref() == Some(&extra_bits) {
            continue;
        }
        let quantiser = Quantiser::new(network, options, &magnitudes);
        let (quantised, layers) = quantiser.with_extra_bits(extra_bits.clone()).run()?;
        let error = largest_error(&quantised, rows, &expected)?;
        if error <= max_error {
            let precision = losses.precision(network, &extra_bits, max_error);
            return Ok((quantised, layers, precision));
        }
        smallest_error = smallest_error.min(error);
        previous_extra_bits = Some(extra_bits);
    }
    let worst = losses.worst_node(network, &previous_extra_bits.unwrap_or_default());
    let node = worst.map_or_else(|| "no node".to_owned(), |worst| worst.node);
    Err(QuantiseError::Imprecise { error: smallest_error, max_error, node })
}

/// Returns the largest difference between an output and the expected one, in real units.
fn largest_error(
    network: &Network,
    rows: &[Vec<i64>],
    expected: &[Vec<f32>],
) -> Result<f64, QuantiseError> {
    let (circuit, unit) = (network.lower()?, power(-network.output_scale()));
    let mut largest = 0.0_f64;
    for (index, (row, expected)) in rows.iter().zip(expected).enumerate() {
        let execution =
            circuit.execute(row).map_err(|source| QuantiseError::Sample { index, source })?;
        for (&output, &expected) in execution.outputs(&circuit).iter().zip(expected) {
            largest = largest.max((output as f64 * unit - f64::from(expected)).abs());
        }
    }
    Ok(largest)
}

/// Rounding losses of the float tensors.
struct RoundingLosses {
    /// Loss of each tensor with its default bits, in real units; 0 if it is not rounded.
    per_tensor: Vec<f64>,
    /// Default bits of each tensor, without those that the sample does not need.
    default_bits: Vec<u8>,
    /// Maximum number of extra bits of each tensor.
    max_extra_bits: Vec<u8>,
    is_rounded: Vec<bool>,
}

impl RoundingLosses {
    fn measure(
        network: &FloatNetwork,
        options: &QuantiseOptions,
        magnitudes: &[f32],
        sample: &[Vec<i64>],
    ) -> Result<Self, FloatError> {
        let quantiser = Quantiser::new(network, options, magnitudes);
        let bits: Vec<(u8, u8)> =
            (0..magnitudes.len()).map(|tensor| quantiser.bits(tensor)).collect();
        let default_bits: Vec<u8> =
            bits.iter().map(|(bits, headroom)| bits.saturating_sub(*headroom)).collect();
        let bit_limits = provable_bits(network, options.weight_bits);
        let max_extra_bits =
            bits.iter().zip(bit_limits).map(|((bits, _), limit)| limit.saturating_sub(*bits));
        let max_extra_bits = max_extra_bits.collect();
        let mut per_tensor = vec![0.0_f64; magnitudes.len()];
        let (requires_exactness, is_rounded) =
            (tensors_requiring_exactness(network), rounded_tensors(network));
        for row in sample.iter().take(SAMPLE_ROWS) {
            let mut tensors = network.run(&options.dequantise_inputs(network, row))?;
            let outputs = tensors.last().cloned().unwrap_or_default();
            for tensor in 1..tensors.len() {
                let Some(values) = tensors.get(tensor) else { continue };
                let is_exact = requires_exactness.get(tensor) == Some(&true)
                    && values.iter().all(|value| value.fract().abs() <= 0.0);
                if is_exact || is_rounded.get(tensor) != Some(&true) {
                    continue;
                }
                let integer_part_bits = magnitudes.get(tensor).copied().map_or(0, integer_bits);
                let bits = default_bits.get(tensor).copied().unwrap_or_default();
                let unit = power(integer_part_bits - i32::from(bits));
                let round = |&value: &f32| ((f64::from(value) / unit).round() * unit) as f32;
                let rounded_values = values.iter().map(round).collect();
                let changed_outputs = network.output_with(&mut tensors, tensor, rounded_values);
                let differences =
                    outputs.iter().zip(&changed_outputs).map(|(a, b)| f64::from(a - b).abs());
                if let Some(loss) = per_tensor.get_mut(tensor) {
                    *loss = differences.fold(*loss, f64::max);
                }
            }
        }
        Ok(Self { per_tensor, default_bits, max_extra_bits, is_rounded })
    }

    /// Returns the extra bits of each tensor with which no loss exceeds the largest one divided by
    /// two to the power of `halvings`, at most [`Self::max_extra_bits`].
    fn extra_bits(&self, halvings: u32) -> Vec<u8> {
        let largest = self.per_tensor.iter().copied().fold(0.0, f64::max);
        let extra =
            self.per_tensor.iter().zip(&self.max_extra_bits).map(|(&loss, &max_extra_bits)| {
                let needed = f64::from(halvings) - libm::log2(largest / loss);
                // Nothing is needed for a loss of 0.
                needed.ceil().clamp(0.0, f64::from(max_extra_bits)) as u8
            });
        extra.collect()
    }

    /// Returns the node with the largest loss with these extra bits; `None` if all losses are 0.
    fn worst_node(&self, network: &FloatNetwork, extra_bits: &[u8]) -> Option<NodeError> {
        let losses = self.per_tensor.iter().enumerate().skip(1).map(|(tensor, &loss)| {
            let extra = extra_bits.get(tensor).copied().unwrap_or_default();
            (tensor - 1, loss * power(-i32::from(extra)))
        });
        let (node, error) = losses.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let name = network.node_name(node);
        (error > 0.0).then(|| NodeError { node: name, error: round_to_nine_digits(error) })
    }

    fn precision(&self, network: &FloatNetwork, extra_bits: &[u8], max_error: f64) -> Precision {
        let bits = self.default_bits.iter().zip(extra_bits).zip(&self.is_rounded);
        let bits = bits.filter(|(_, is_rounded)| **is_rounded);
        let bits: Vec<u8> = bits.map(|((default_bits, extra), _)| default_bits + extra).collect();
        let [min_bits, max_bits] =
            [bits.iter().min(), bits.iter().max()].map(|bits| bits.copied().unwrap_or_default());
        Precision {
            max_error: round_to_nine_digits(max_error),
            bits: [min_bits, max_bits],
            worst: self.worst_node(network, extra_bits),
        }
    }
}

/// Returns whether the values of each tensor are activations that are rounded to their bits: not
/// those of moves and maxima, nor sums into whose rescale a ReLU is merged, nor the output.
fn rounded_tensors(network: &FloatNetwork) -> Vec<bool> {
    let reader_counts = network.reader_counts();
    (0..=network.nodes.len()).map(|tensor| is_rounded(network, &reader_counts, tensor)).collect()
}

fn is_rounded(network: &FloatNetwork, reader_counts: &[usize], tensor: usize) -> bool {
    let last = network.nodes.len();
    let producer = tensor.checked_sub(1).and_then(|node| network.nodes.get(node));
    let Some(FloatNode { operation, .. }) = producer else { return false };
    let next = network.nodes.get(tensor).filter(|node| node.inputs == [tensor]);
    let next = next.map(|node| &node.operation);
    let is_moved = tensor + 1 == last && matches!(next, Some(FloatOperation::Move { .. }));
    let is_merged = operation.has_sums()
        && reader_counts.get(tensor) == Some(&1)
        && matches!(next, Some(FloatOperation::Relu));
    let is_exact = matches!(
        operation,
        FloatOperation::ChannelAffine { .. }
            | FloatOperation::Compare { .. }
            | FloatOperation::MaxPool(_)
            | FloatOperation::Move { .. }
            | FloatOperation::Negate
            | FloatOperation::Part { .. }
    );
    tensor != last && !is_moved && !is_merged && !is_exact
}

/// Returns the maximum number of bits of each tensor with which the sums and products of its
/// readers are provable.
fn provable_bits(network: &FloatNetwork, weight_bits: u8) -> Vec<u8> {
    let mut limits = vec![f64::from(MAX_BITS); network.nodes.len() + 1];
    // The readers of a tensor come after it, so that its own limit is final here.
    for (index, node) in network.nodes.iter().enumerate().rev() {
        let output_limit = limits.get(index + 1).copied().unwrap_or_default();
        let limit = match &node.operation {
            FloatOperation::Dense { weights, bias }
            | FloatOperation::Convolution { weights, bias, .. } => {
                MAX_SUM_BITS - libm::log2(max_row_weight_sum(weights, bias.len(), weight_bits))
            }
            FloatOperation::Multiply => MAX_FACTOR_BITS,
            FloatOperation::MatrixProduct(sizes) => {
                ((MAX_SUM_BITS - libm::log2(sizes.inner as f64)) / 2.0).min(MAX_FACTOR_BITS)
            }
            FloatOperation::AveragePool(_) => output_limit - POOL_BITS,
            FloatOperation::MaxPool(_) | FloatOperation::Move { .. } | FloatOperation::Negate => {
                output_limit
            }
            _ => f64::from(MAX_BITS),
        };
        for &input in &node.inputs {
            if let Some(input_limit) = limits.get_mut(input) {
                *input_limit = input_limit.min(limit);
            }
        }
    }
    limits.into_iter().map(|bits| bits.max(0.0) as u8).collect()
}

/// Returns the largest sum of a row's integer weights without their signs; at least 1.
fn max_row_weight_sum(weights: &[f32], rows: usize, weight_bits: u8) -> f64 {
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let width = weights.len().checked_div(rows).unwrap_or_default().max(1);
    let totals = weights
        .chunks(width)
        .map(|row| row.iter().map(|weight| f64::from(weight.abs())).sum::<f64>());
    let total = totals.fold(0.0, f64::max);
    let unit = f64::from(largest) / (power(i32::from(weight_bits) - 1) - 1.0);
    if unit > 0.0 { (total / unit).max(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests;
