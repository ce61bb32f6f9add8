//! The bits of each tensor's activations: as few as a maximum error of the outputs permits.
//!
//! Each tensor has a loss: how much an output changes if only the values of this tensor are
//! rounded. A bit more halves it. The tensors with the largest losses get further bits first, until
//! all losses are about equal, and then all of them, until the integer network holds the maximum
//! error.

use serde::{Deserialize, Serialize};

use super::layers::{MAX_BITS, Quantiser, deciding_tensors, integer_bits};
use super::report::rounded;
use super::{QuantiseError, QuantiseOptions, checked_magnitudes, power};
use crate::float::{FloatError, FloatNetwork, FloatNode, FloatOperation};
use crate::network::Network;
use crate::saturation::LayerDescription;

/// Number of rows of the sample on which the losses are measured.
const ROWS: usize = 4;
/// Maximum number of times that the largest loss is halved. Losses that are smaller still have no
/// effect.
const MAX_HALVINGS: u32 = 40;
/// Bits of a sum, without the sign, that the field of `stark` holds with its bias.
const SUM_BITS: f64 = 29.0;
/// Maximum number of bits of a factor of a product, of which the field of `stark` holds 28 bits.
const FACTOR_BITS: f64 = 14.0;
/// Bits of the sums of a small average pool that are not rounded.
const POOL_BITS: f64 = 4.0;

/// The bits of activations that hold a maximum error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Largest permitted difference between an output of the float network and its integer
    /// counterpart, in real units.
    pub max_error: f64,
    /// The fewest and the most bits of an activation that is rounded.
    pub bits: [u8; 2],
    /// The node that loses most; absent if no node loses anything on the sample.
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
/// gives each tensor as many bits beyond the usual ones as `rows` need: no output then differs from
/// that of the float network by more than `max_error`.
///
/// # Errors
/// As [`quantise`](super::quantise), and when no number of bits holds the maximum error, or it is
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
    let losses = Losses::measure(network, options, &magnitudes, sample)?;
    let (mut before, mut smallest): (Option<Vec<u8>>, f64) = (None, f64::INFINITY);
    for halvings in 0..=MAX_HALVINGS {
        let further = losses.further_bits(halvings);
        if before.as_ref() == Some(&further) {
            continue;
        }
        let quantiser = Quantiser::new(network, options, &magnitudes);
        let (quantised, layers) = quantiser.with_further_bits(further.clone()).run()?;
        let error = largest_error(&quantised, rows, &expected)?;
        if error <= max_error {
            let precision = losses.precision(network, &further, max_error);
            return Ok((quantised, layers, precision));
        }
        smallest = smallest.min(error);
        before = Some(further);
    }
    let worst = losses.worst(network, &before.unwrap_or_default());
    let node = worst.map_or_else(|| "no node".to_owned(), |worst| worst.node);
    Err(QuantiseError::Imprecise { error: smallest, max_error, node })
}

/// Returns the largest difference of an output, in real units.
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

/// The loss of each float tensor with the usual bits; 0 for those that are not rounded.
struct Losses {
    of_tensors: Vec<f64>,
    /// Usual bits of each tensor, without those that the sample does not need.
    usual: Vec<u8>,
    /// Maximum number of further bits of each tensor.
    most: Vec<u8>,
    is_rounded: Vec<bool>,
}

impl Losses {
    fn measure(
        network: &FloatNetwork,
        options: &QuantiseOptions,
        magnitudes: &[f32],
        sample: &[Vec<i64>],
    ) -> Result<Self, FloatError> {
        let quantiser = Quantiser::new(network, options, magnitudes);
        let bits: Vec<(u8, u8)> =
            (0..magnitudes.len()).map(|tensor| quantiser.bits(tensor)).collect();
        let usual: Vec<u8> =
            bits.iter().map(|(bits, headroom)| bits.saturating_sub(*headroom)).collect();
        let provable = provable_bits(network, options.weight_bits);
        let most = bits.iter().zip(provable).map(|((bits, _), most)| most.saturating_sub(*bits));
        let most = most.collect();
        let mut of_tensors = vec![0.0_f64; magnitudes.len()];
        let (is_deciding, is_rounded) = (deciding_tensors(network), rounded_tensors(network));
        for row in sample.iter().take(ROWS) {
            let mut tensors = network.run(&options.dequantise_inputs(network, row))?;
            let outputs = tensors.last().cloned().unwrap_or_default();
            for tensor in 1..tensors.len() {
                let Some(values) = tensors.get(tensor) else { continue };
                let is_exact = is_deciding.get(tensor) == Some(&true)
                    && values.iter().all(|value| value.fract().abs() <= 0.0);
                if is_exact || is_rounded.get(tensor) != Some(&true) {
                    continue;
                }
                let of_integers = magnitudes.get(tensor).copied().map_or(0, integer_bits);
                let bits = usual.get(tensor).copied().unwrap_or_default();
                let unit = power(of_integers - i32::from(bits));
                let round = |&value: &f32| ((f64::from(value) / unit).round() * unit) as f32;
                let changed = values.iter().map(round).collect();
                let changed = network.output_with(&mut tensors, tensor, changed);
                let differences = outputs.iter().zip(&changed).map(|(a, b)| f64::from(a - b).abs());
                if let Some(loss) = of_tensors.get_mut(tensor) {
                    *loss = differences.fold(*loss, f64::max);
                }
            }
        }
        Ok(Self { of_tensors, usual, most, is_rounded })
    }

    /// Returns the further bits of each tensor with which no loss exceeds the largest one, divided
    /// by two so many times, as far as the tensors can have them.
    fn further_bits(&self, halvings: u32) -> Vec<u8> {
        let largest = self.of_tensors.iter().copied().fold(0.0, f64::max);
        let further = self.of_tensors.iter().zip(&self.most).map(|(&loss, &most)| {
            let needed = f64::from(halvings) - libm::log2(largest / loss);
            // Nothing is needed for a loss of 0.
            needed.ceil().clamp(0.0, f64::from(most)) as u8
        });
        further.collect()
    }

    /// Returns the node that loses most with these further bits.
    fn worst(&self, network: &FloatNetwork, further: &[u8]) -> Option<NodeError> {
        let losses = self.of_tensors.iter().enumerate().skip(1).map(|(tensor, &loss)| {
            let further = further.get(tensor).copied().unwrap_or_default();
            (tensor - 1, loss * power(-i32::from(further)))
        });
        let (node, error) = losses.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let name = network.names.get(node).cloned().unwrap_or_else(|| format!("node {node}"));
        (error > 0.0).then(|| NodeError { node: name, error: rounded(error) })
    }

    fn precision(&self, network: &FloatNetwork, further: &[u8], max_error: f64) -> Precision {
        let bits = self.usual.iter().zip(further).zip(&self.is_rounded);
        let bits = bits.filter(|(_, is_rounded)| **is_rounded);
        let bits: Vec<u8> = bits.map(|((usual, further), _)| usual + further).collect();
        let [fewest, most] =
            [bits.iter().min(), bits.iter().max()].map(|bits| bits.copied().unwrap_or_default());
        Precision {
            max_error: rounded(max_error),
            bits: [fewest, most],
            worst: self.worst(network, further),
        }
    }
}

/// Returns whether the values of each tensor are activations that are rounded to their bits: not
/// those of moves and maxima, nor sums that a ReLU becomes part of, or that are the output.
fn rounded_tensors(network: &FloatNetwork) -> Vec<bool> {
    let readers = network.readers();
    (0..=network.nodes.len()).map(|tensor| is_rounded(network, &readers, tensor)).collect()
}

fn is_rounded(network: &FloatNetwork, readers: &[usize], tensor: usize) -> bool {
    let last = network.nodes.len();
    let producer = tensor.checked_sub(1).and_then(|node| network.nodes.get(node));
    let Some(FloatNode { operation, .. }) = producer else { return false };
    let next = network.nodes.get(tensor).filter(|node| node.inputs == [tensor]);
    let next = next.map(|node| &node.operation);
    let is_moved = tensor + 1 == last && matches!(next, Some(FloatOperation::Move { .. }));
    let is_merged = operation.has_sums()
        && readers.get(tensor) == Some(&1)
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
    let mut most = vec![f64::from(MAX_BITS); network.nodes.len() + 1];
    // All readers of a tensor come later.
    for (index, node) in network.nodes.iter().enumerate().rev() {
        let of_output = most.get(index + 1).copied().unwrap_or_default();
        let limit = match &node.operation {
            FloatOperation::Dense { weights, bias }
            | FloatOperation::Convolution { weights, bias, .. } => {
                SUM_BITS - libm::log2(largest_total(weights, bias.len(), weight_bits))
            }
            FloatOperation::Multiply => FACTOR_BITS,
            FloatOperation::MatrixProduct(sizes) => {
                ((SUM_BITS - libm::log2(sizes.inner as f64)) / 2.0).min(FACTOR_BITS)
            }
            FloatOperation::AveragePool(_) => of_output - POOL_BITS,
            FloatOperation::MaxPool(_) | FloatOperation::Move { .. } | FloatOperation::Negate => {
                of_output
            }
            _ => f64::from(MAX_BITS),
        };
        for &input in &node.inputs {
            if let Some(most) = most.get_mut(input) {
                *most = most.min(limit);
            }
        }
    }
    most.into_iter().map(|bits| bits.max(0.0) as u8).collect()
}

/// Returns the largest sum of a row's integer weights without their signs; at least 1.
fn largest_total(weights: &[f32], rows: usize, weight_bits: u8) -> f64 {
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
