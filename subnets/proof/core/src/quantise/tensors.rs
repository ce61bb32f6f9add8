//! Errors of all tensors of an integer network, to find where precision is lost.

use super::{QuantiseError, QuantiseOptions, checked_magnitudes, layers, power};
use crate::float::FloatNetwork;
use crate::network::Network;

/// The error of a node's values in the integer network: that of the node's own rounding, and what
/// its inputs bring with them.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorError {
    /// The node of the model, such as `Gelu 'act'`.
    pub node: String,
    /// Root mean square of the differences from the values of the float network, divided by that of
    /// these values.
    pub error: f64,
}

/// Quantises a network like [`quantise`](super::quantise), and measures the errors of its tensors on
/// some inputs, in the order of the nodes. Nodes that only move elements have none of their own.
///
/// # Errors
/// As [`quantise`](super::quantise), and when an input is invalid.
pub fn quantise_measured(
    network: &FloatNetwork,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
    rows: &[Vec<i64>],
) -> Result<(Network, Vec<TensorError>), QuantiseError> {
    let magnitudes = checked_magnitudes(network, options, sample)?;
    let (quantised, _, tensors) =
        layers::Quantiser::new(network, options, &magnitudes).run_with_tensors()?;
    let circuit = quantised.lower()?;
    let mut squares = vec![[0.0_f64; 2]; tensors.len()];
    for (index, row) in rows.iter().enumerate() {
        let floats = network.run(&options.dequantise_inputs(network, row))?;
        let execution =
            circuit.execute(row).map_err(|source| QuantiseError::Sample { index, source })?;
        for ((squares, floats), &(tensor, scale)) in squares.iter_mut().zip(&floats).zip(&tensors) {
            let stage =
                (tensor as usize).checked_sub(1).and_then(|layer| circuit.stages.get(layer));
            // A move has no cells but its constant.
            let Some(stage) = stage.filter(|stage| stage.count == floats.len()) else { continue };
            let cells = execution.cells.iter().skip(stage.first as usize);
            let [differences, values] = squares;
            for (&float, &cell) in floats.iter().zip(cells) {
                let float = f64::from(float);
                *differences += (cell as f64 * power(-scale) - float).powi(2);
                *values += float.powi(2);
            }
        }
    }
    let errors = squares.iter().zip(&tensors).enumerate().skip(1).filter_map(|(tensor, pair)| {
        let (&[differences, values], &(index, _)) = pair;
        // A ReLU shares its tensor with the node before.
        let is_merged = tensors.get(tensor + 1).is_some_and(|&(next, _)| next == index);
        let node = network.names.get(tensor - 1).cloned().unwrap_or_default();
        let error = (differences / values).sqrt();
        (values > 0.0 && !is_merged).then_some(TensorError { node, error })
    });
    Ok((quantised, errors.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::{FloatNode, FloatOperation};
    use crate::{Range, Shape};

    #[test]
    fn weight_errors_are_those_of_rounding() {
        let shape = Shape::vector(2).unwrap();
        let dense = |weights: &[f32]| FloatOperation::Dense {
            weights: weights.to_vec(),
            bias: vec![0.0; 2],
        };
        let node = |input, operation| FloatNode { inputs: vec![input], shape, operation };
        let nodes = vec![
            node(0, dense(&[1.0, 0.0, 0.0, 1.0])),
            node(1, FloatOperation::Move { indices: vec![1, 0], constant: 0.0 }),
            node(2, dense(&[0.5, 0.0, 0.0, 0.5])),
        ];
        let mut network = FloatNetwork::new(shape, nodes);
        network.names = ["first", "moved", "last"].map(str::to_owned).to_vec();
        let options = QuantiseOptions {
            activation_bits: 4,
            input_range: Range { low: 0, high: 255 },
            ..QuantiseOptions::default()
        };
        // The unit of the first layer is 16, and 8 rounds to 16.
        let rows = [vec![248, 8]];
        let (quantised, errors) = quantise_measured(&network, &options, &rows, &rows).unwrap();
        assert_eq!(quantised.layers.len(), 3);
        let nodes: Vec<&str> = errors.iter().map(|error| error.node.as_str()).collect();
        assert_eq!(nodes, ["first", "last"]);
        // 248 saturates at 15 units.
        let expected = (2.0 * 8.0_f64.powi(2)).sqrt() / 248.0_f64.hypot(8.0);
        assert!(errors.iter().all(|error| (error.error - expected).abs() < 1e-9), "{errors:?}");
    }
}
