//! Every kind of layer, with inputs that drive its sums to both ends of their interval.

use taonet_proof_core::circuit::{Circuit, Linear, StageKind};
use taonet_proof_core::network::{FORMAT, Input, Layer, Network, Operation};
use taonet_proof_core::{Clamp, Range, Rescale, Shape};

use super::{one_layer, window};

/// Kinds of layers of a model. A batch norm is folded into the convolution before it or becomes a
/// depthwise convolution, and a flattening is a dense layer that reads a tensor with rows and
/// columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    Dense,
    Flatten,
    Convolution,
    BatchNorm,
    AveragePool,
    Add,
    Relu,
    MaxPool,
}

impl LayerKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Dense,
        Self::Flatten,
        Self::Convolution,
        Self::BatchNorm,
        Self::AveragePool,
        Self::Add,
        Self::Relu,
        Self::MaxPool,
    ];

    /// Returns a network with a layer of this kind, whose largest sum is about `factor` times the
    /// largest input, and whose smallest sum is about `factor` times the smallest. `rescale`
    /// applies to sums; max pooling ignores it.
    pub(crate) fn network(self, range: Range, factor: i32, rescale: Option<Rescale>) -> Network {
        let image = Shape::new(2, 4, 4).unwrap();
        let vector = Shape::vector(5).unwrap();
        // Nine weights that add up to the factor.
        let weights_of_factor: Vec<i32> =
            (0..9).map(|index| factor / 9 + i32::from(index < factor % 9)).collect();
        let (shape, operations) = match self {
            Self::Dense => (vector, vec![dense(5, factor, 3)]),
            Self::Flatten => (image, vec![dense(32, factor, 2)]),
            Self::Convolution => {
                // Each output reads one channel, the second one with negative weights.
                let weights = [
                    &weights_of_factor[..],
                    &[0; 9],
                    &[0; 9],
                    &weights_of_factor.iter().map(|weight| -weight).collect::<Vec<_>>(),
                ];
                (image, vec![convolution(3, 1, 1, weights.concat(), vec![-1, 1])])
            }
            Self::BatchNorm => {
                (image, vec![convolution(1, 0, 2, vec![factor, -factor], vec![1, -1])])
            }
            Self::AveragePool => (
                image,
                vec![convolution(
                    3,
                    0,
                    2,
                    [&weights_of_factor[..], &weights_of_factor].concat(),
                    vec![0, 0],
                )],
            ),
            Self::Relu => (image, vec![Operation::Sum { factors: vec![factor] }]),
            // Subtracts the negated input from the input, so that the extremes of both tensors meet
            // in one sum.
            Self::Add => {
                let half = factor / 2;
                let negation = convolution(1, 0, 2, vec![-1, -1], vec![0, 0]);
                (image, vec![negation, Operation::Sum { factors: vec![factor - half, -half] }])
            }
            Self::MaxPool => (image, vec![Operation::MaxPool { window: window(2, 2, 0) }]),
        };
        let last = operations.len() - 1;
        let layers = operations.into_iter().enumerate().map(|(index, operation)| {
            let inputs = if matches!(&operation, Operation::Sum { factors } if factors.len() == 2) {
                vec![0, 1]
            } else {
                vec![0]
            };
            let rescale = rescale.filter(|_| index == last && self != Self::MaxPool);
            Layer { inputs, operation, rescale, scale: 0 }
        });
        Network {
            format: FORMAT,
            input: Input { shape, range, scale: 0 },
            layers: layers.collect(),
        }
    }
}

/// Creates a dense layer: a row whose weights add up to the factor, a row with the negative factor,
/// and rows of small mixed weights.
fn dense(inputs: usize, factor: i32, mixed: usize) -> Operation {
    let mut weights = vec![0; inputs * 2];
    weights[0] = factor - 1;
    weights[1] = 1;
    weights[2 * inputs - 1] = -factor;
    weights.extend((-2..=2).cycle().take(inputs * mixed));
    Operation::Dense { weights, bias: (0..).take(2 + mixed).collect() }
}

fn convolution(
    kernel: usize,
    padding: usize,
    groups: usize,
    weights: Vec<i32>,
    bias: Vec<i64>,
) -> Operation {
    Operation::Convolution { window: window(kernel, 1, padding), groups, weights, bias }
}

/// Returns dense layers with all kinds of rescales.
pub(crate) fn rescaled_layers() -> Vec<Network> {
    let clamps = [
        Clamp::Unsigned(4),
        Clamp::Signed(4),
        Clamp::Unsigned(12),
        Clamp::Signed(12),
        Clamp::Signed(0),
    ];
    let ranges = [Range { low: 0, high: 255 }, Range { low: -128, high: 127 }];
    let mut networks = Vec::new();
    for clamp in clamps {
        for shift in [0, 1, 5] {
            for range in ranges {
                // All weights positive, all negative, mixed; the last one is always zero.
                let weights = vec![3, 5, -3, -5, 7, -7, 0, 0];
                networks.push(one_layer(
                    Some(Rescale { shift, clamp }),
                    weights,
                    vec![9, -9, 0, 1],
                    range,
                ));
            }
        }
    }
    networks
}

/// Returns inputs that minimise and maximise each sum or maximum of the last stage. Stages before
/// it must have no rescale: then each sum is a linear function of the inputs.
///
/// # Panics
/// If no input reaches an end of the interval that the circuit's compiler computed, so a test with
/// these inputs would miss the extremes.
pub(crate) fn extremes(circuit: &Circuit) -> Vec<Vec<i64>> {
    let range = circuit.input_range;
    let (last, earlier) = circuit.stages.split_last().unwrap();
    let mut cells: Vec<Vec<i64>> = (0..circuit.inputs)
        .map(|input| (0..circuit.inputs).map(|index| i64::from(index == input)).collect())
        .collect();
    for stage in earlier {
        let StageKind::Linear(linear) = &stage.kind else {
            panic!("a maximum before the last stage")
        };
        assert!(linear.rescale.is_none());
        let sums = coefficients(linear, &cells);
        cells.extend(sums);
    }
    let inputs: Vec<Vec<i64>> = match &last.kind {
        StageKind::Linear(linear) => {
            let end = |row: &[i64], up: bool| -> Vec<i64> {
                row.iter()
                    .map(|&weight| if (weight > 0) == up { range.high } else { range.low })
                    .collect()
            };
            coefficients(linear, &cells)
                .iter()
                .flat_map(|row| [end(row, false), end(row, true)])
                .collect()
        }
        // In each group, one cell differs from the others: by the whole range in either direction,
        // or by one.
        StageKind::Max(max) => {
            let width = max.groups.iter().map(Vec::len).max().unwrap();
            let with_one_high = |position: usize, low: i64, high: i64| {
                let mut values = vec![low; circuit.inputs];
                for group in &max.groups {
                    values[group[position % group.len()] as usize] = high;
                }
                values
            };
            let ends =
                [(range.low, range.high), (range.high, range.low), (range.high - 1, range.high)];
            let ends = (0..width)
                .flat_map(|position| ends.map(|(low, high)| with_one_high(position, low, high)));
            ends.chain([vec![range.low; circuit.inputs], vec![range.high; circuit.inputs]])
                .collect()
        }
        StageKind::Table(_) | StageKind::Product(_) | StageKind::MatrixProduct(_) => {
            panic!("tables and products have tests of their own")
        }
    };
    let reached_sums: Vec<i64> =
        inputs.iter().flat_map(|inputs| last_sums(circuit, inputs)).collect();
    let interval = match &last.kind {
        StageKind::Linear(linear) => linear.sums,
        StageKind::Max(max) => max.operands,
        StageKind::Table(_) | StageKind::Product(_) | StageKind::MatrixProduct(_) => {
            panic!("tables and products have tests of their own")
        }
    };
    let ends = Range {
        low: *reached_sums.iter().min().unwrap(),
        high: *reached_sums.iter().max().unwrap(),
    };
    assert_eq!(ends, interval, "the inputs miss the extremes");
    inputs
}

/// Returns the inputs of [`extremes`] that reach the lowest and the highest sum.
pub(crate) fn extreme_sum_inputs(circuit: &Circuit) -> [Vec<i64>; 2] {
    let inputs = extremes(circuit);
    let lowest = inputs.iter().min_by_key(|inputs| last_sums(circuit, inputs).into_iter().min());
    let highest = inputs.iter().max_by_key(|inputs| last_sums(circuit, inputs).into_iter().max());
    [lowest.unwrap().clone(), highest.unwrap().clone()]
}

/// Returns the sums of the last stage before rescaling, or its maxima.
fn last_sums(circuit: &Circuit, inputs: &[i64]) -> Vec<i64> {
    let mut execution = circuit.execute(inputs).unwrap();
    match execution.sums.pop().unwrap() {
        sums if sums.is_empty() => execution.outputs(circuit),
        sums => sums,
    }
}

/// Returns each sum's coefficients of the circuit's inputs, without constants.
fn coefficients(linear: &Linear, cells: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let mut sums = vec![vec![0; cells[0].len()]; linear.bias.len()];
    for job in &linear.jobs {
        for (row, &output) in job.outputs.iter().enumerate() {
            let weights = linear.kernels[job.kernel].row(row);
            for tap in &job.taps {
                let weight = i64::from(weights[tap.slot as usize]);
                for (sum, coefficient) in
                    sums[output as usize].iter_mut().zip(&cells[tap.cell as usize])
                {
                    *sum += weight * coefficient;
                }
            }
        }
    }
    sums
}
