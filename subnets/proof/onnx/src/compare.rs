//! Comparison of a compiled network with its ONNX file. The file is evaluated node by node,
//! independently of the float network from which the integer network is computed.
//!
//! - The float network must equal the evaluation up to rounding: [`FLOAT_TOLERANCE`] of the largest
//!   intermediate value.
//! - The integer network may differ by as much as rounding and saturation can change its outputs
//!   for this input. The largest possible change is propagated through the layers: half a unit for
//!   every weight, bias and activation, what saturation cuts off, and as much as a function changes
//!   over the interval of its possible arguments.
// Cells, slots and outputs are bounded when a network is lowered.
#![allow(clippy::indexing_slicing)]

use taonet_proof_core::circuit::{Cell, Circuit, Execution, Linear, Product, StageKind, Table};
use taonet_proof_core::float::{FloatError, FloatNetwork, FloatOperation, Function};
use taonet_proof_core::network::{Layer, Network, NetworkError, Operation};
use taonet_proof_core::quantise::{QuantiseOptions, power};
use taonet_proof_core::{Clamp, ExecutionError, Rescale};
use thiserror::Error;

use crate::{Model, OnnxError};

/// Maximum difference between the float network and the evaluation, as a part of the largest
/// intermediate value: the rounding of single precision over long sums.
const FLOAT_TOLERANCE: f64 = 1e-4;
/// Number of steps between the smallest and the largest possible argument of a function.
const FUNCTION_SAMPLES: u32 = 16;
/// Argument that is compared besides the steps: a table for `a == b` has the argument `a - b`, and
/// only at 0 its value is 1.
const EQUALITY_ARGUMENT: f64 = 0.0;

/// Why a network differs from its ONNX file, or cannot be compared with it.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The file cannot be evaluated.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A network has another number of outputs than its ONNX file.
    #[error(
        "the {representation} network has {actual} outputs, but the ONNX file has {expected}; hint: report this model"
    )]
    Outputs {
        /// `float` or `integer`.
        representation: &'static str,
        /// Number of outputs of the network.
        actual: usize,
        /// Number of outputs of the file.
        expected: usize,
    },
    /// An output of a network differs from the evaluation of its ONNX file by more than rounding
    /// can explain.
    #[error(
        "the {representation} network differs from the ONNX file: for sample {sample}, output {output} is {actual}, but the file \
         computes {expected}; the difference {difference} exceeds the tolerance {tolerance}; hint: report this model"
    )]
    Difference {
        /// `float` or `integer`.
        representation: &'static str,
        /// Index of the sample input.
        sample: usize,
        /// Index of the output.
        output: usize,
        /// Output of the network.
        actual: f64,
        /// Output of the file.
        expected: f64,
        /// Absolute difference between the two: the largest one in the sample.
        difference: f64,
        /// The largest permitted difference.
        tolerance: f64,
    },
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
    /// The integer network is invalid.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Compares the float and the integer network with the evaluation of their file on sample inputs.
///
/// # Errors
/// [`CompareError::Difference`] for the largest difference above its tolerance; also when the file
/// cannot be evaluated, or the sample or the network is invalid.
pub fn compare(
    model: &Model,
    float_network: &FloatNetwork,
    network: &Network,
    options: &QuantiseOptions,
    sample: &[Vec<i64>],
) -> Result<(), CompareError> {
    let circuit = network.lower()?;
    let unit = power(-network.output_scale());
    let mut largest_difference: Option<(f64, CompareError)> = None;
    for (index, values) in sample.iter().enumerate() {
        let input = options.dequantise_inputs(float_network, values);
        let evaluation = model.evaluate(&input)?;
        let expected = &evaluation.outputs;
        let float_tolerance = evaluation.magnitude * FLOAT_TOLERANCE;
        let float_outputs = float_network
            .run(&input)?
            .pop()
            .unwrap_or_default()
            .into_iter()
            .map(f64::from)
            .collect::<Vec<_>>();
        let execution =
            circuit.execute(values).map_err(|source| CompareError::Sample { index, source })?;
        let integer_outputs: Vec<f64> =
            execution.outputs(&circuit).iter().map(|&value| value as f64 * unit).collect();
        let errors = largest_errors(float_network, network, options, &circuit, &execution);
        let tolerances: Vec<f64> = circuit
            .outputs
            .iter()
            .map(|&cell| errors[cell as usize] * unit + float_tolerance)
            .collect();
        for (representation, actual, tolerances) in [
            ("float", &float_outputs, &vec![float_tolerance; float_outputs.len()]),
            ("integer", &integer_outputs, &tolerances),
        ] {
            if actual.len() != expected.len() {
                return Err(CompareError::Outputs {
                    representation,
                    actual: actual.len(),
                    expected: expected.len(),
                });
            }
            for (output, ((&actual, &expected), &tolerance)) in
                actual.iter().zip(expected).zip(tolerances).enumerate()
            {
                let difference = (actual - expected).abs();
                let is_exceeded = difference > tolerance || difference.is_nan();
                if is_exceeded
                    && largest_difference.as_ref().is_none_or(|(largest, _)| difference > *largest)
                {
                    let error = CompareError::Difference {
                        representation,
                        sample: index,
                        output,
                        actual,
                        expected,
                        difference,
                        tolerance,
                    };
                    largest_difference = Some((difference, error));
                }
            }
        }
    }
    largest_difference.map_or(Ok(()), |(_, error)| Err(error))
}

/// Returns how far the value of each cell can be from that of the network before quantisation, in
/// units of the cell.
fn largest_errors(
    float_network: &FloatNetwork,
    network: &Network,
    options: &QuantiseOptions,
    circuit: &Circuit,
    execution: &Execution,
) -> Vec<f64> {
    let mut errors = vec![0.0; circuit.inputs];
    let is_read_for_sign = is_read_for_sign_only(float_network, network);
    let mut functions = functions(float_network);
    let layers = network.layers.iter().zip(is_read_for_sign);
    for ((stage, (layer, is_for_sign)), sums) in
        circuit.stages.iter().zip(layers).zip(&execution.sums)
    {
        let rescaled =
            |rescale, (error, &sum): (f64, &i64)| rescaled_error(rescale, error, sum, is_for_sign);
        let stage_errors: Vec<f64> = match &stage.kind {
            StageKind::Linear(linear) => {
                let is_exact = is_exact(&layer.operation, options.weight_bits)
                    || linear.rescale.is_some_and(is_comparison);
                let rounding = if is_exact { 0.0 } else { 0.5 };
                let sum_errors = linear_errors(linear, rounding, &errors, &execution.cells);
                sum_errors.into_iter().zip(sums).map(|sum| rescaled(linear.rescale, sum)).collect()
            }
            StageKind::Max(max) => {
                let largest = |group: &Vec<u32>| {
                    group.iter().map(|&cell| errors[cell as usize]).fold(0.0, f64::max)
                };
                max.groups.iter().map(largest).collect()
            }
            StageKind::Table(table) => {
                let units = [input_scale(network, layer), layer.scale].map(|scale| power(-scale));
                let function = functions.next().unwrap_or(&Function::Variable);
                table_errors(table, function, units, &errors, &execution.cells)
            }
            StageKind::Product(product) => {
                let output_errors = product_errors(product, &errors, &execution.cells);
                output_errors
                    .into_iter()
                    .zip(sums)
                    .map(|sum| rescaled(product.rescale, sum))
                    .collect()
            }
            StageKind::MatrixProduct(product) => {
                let sum_error = |output| {
                    product
                        .pairs(output)
                        .map(|pair| largest_error(pair, &errors, &execution.cells))
                        .sum::<f64>()
                };
                (0..product.outputs())
                    .map(sum_error)
                    .zip(sums)
                    .map(|sum| rescaled(product.rescale, sum))
                    .collect()
            }
        };
        errors.extend(stage_errors);
    }
    errors
}

/// Returns the functions of the float network. Each is one table of the integer network, in the
/// same order.
fn functions(float_network: &FloatNetwork) -> impl Iterator<Item = &Function> {
    float_network.nodes.iter().filter_map(|node| match &node.operation {
        FloatOperation::Function(function) => Some(function),
        _ => None,
    })
}

/// Returns whether the readers of each layer depend on nothing but the signs of its values.
fn is_read_for_sign_only(float_network: &FloatNetwork, network: &Network) -> Vec<bool> {
    let mut functions = functions(float_network);
    let mut readers = vec![(0, 0); network.layers.len() + 1];
    for layer in &network.layers {
        let is_table = matches!(layer.operation, Operation::Table { .. });
        let is_function_of_sign =
            is_table && functions.next().is_some_and(Function::is_function_of_sign);
        for &input in &layer.inputs {
            let (reader_count, sign_reader_count) = &mut readers[input as usize];
            *reader_count += 1;
            *sign_reader_count += usize::from(is_function_of_sign);
        }
    }
    readers
        .into_iter()
        .skip(1)
        .map(|(reader_count, sign_reader_count)| {
            reader_count > 0 && reader_count == sign_reader_count
        })
        .collect()
}

/// Returns whether no weight of the operation was rounded, given the bits of a weight. The largest
/// weight of a layer is at least 2 if weights have more than two bits, so a layer whose weights are
/// 1 adds.
fn is_exact(operation: &Operation, weight_bits: u8) -> bool {
    operation.only_adds() && (weight_bits > 2 || matches!(operation, Operation::Sum { .. }))
}

/// Returns the scale of a layer's first input.
fn input_scale(network: &Network, layer: &Layer) -> i32 {
    let producer = layer
        .inputs
        .first()
        .and_then(|&tensor| network.layers.get((tensor as usize).checked_sub(1)?));
    producer.map_or(network.input.scale, |producer| producer.scale)
}

/// Returns the largest error of each value, in units of the value: its distance from any value that
/// the function has between the smallest and the largest possible argument.
fn table_errors(
    table: &Table,
    function: &Function,
    units: [f64; 2],
    errors: &[f64],
    cells: &[i64],
) -> Vec<f64> {
    let [argument_unit, value_unit] = units;
    let outputs = table.cells.iter().map(|&cell| {
        let (argument, error) = (cells[cell as usize] as f64, errors[cell as usize]);
        let value = table.value(cells[cell as usize]).unwrap_or_default() as f64 * value_unit;
        let sampled_values = (0..=FUNCTION_SAMPLES).map(|index| {
            let offset = error * (2.0 * f64::from(index) / f64::from(FUNCTION_SAMPLES) - 1.0);
            function.apply((argument + offset) * argument_unit)
        });
        let sampled_values: Vec<f64> = sampled_values.collect();
        let can_be_equal =
            (argument * argument_unit - EQUALITY_ARGUMENT).abs() <= error * argument_unit;
        // Without poles, such as that of a logarithm, which would tolerate any output.
        let equality_errors = can_be_equal
            .then(|| function.apply(EQUALITY_ARGUMENT))
            .filter(|value| value.is_finite());
        let distance = sampled_values
            .iter()
            .chain(&equality_errors)
            .map(|other| (other - value).abs())
            .fold(0.0, f64::max);
        // Between two samples, the function can leave their interval by about their difference.
        let step =
            sampled_values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
        (distance + step) / value_unit
    });
    outputs.collect()
}

/// Returns the largest error of each product.
fn product_errors(product: &Product, errors: &[f64], cells: &[i64]) -> Vec<f64> {
    product.pairs.iter().map(|&pair| largest_error(pair, errors, cells)).collect()
}

/// Returns the largest error of the product of two cells.
fn largest_error(pair: [Cell; 2], errors: &[f64], cells: &[i64]) -> f64 {
    let [(a, error_a), (b, error_b)] =
        pair.map(|cell| (cells[cell as usize].unsigned_abs() as f64, errors[cell as usize]));
    a * error_b + b * error_a + error_a * error_b
}

/// Returns the largest error of each sum, where every weight and bias is off by up to `rounding`.
fn linear_errors(linear: &Linear, rounding: f64, errors: &[f64], cells: &[i64]) -> Vec<f64> {
    let mut sums = vec![rounding; linear.bias.len()];
    for job in &linear.jobs {
        let kernel = &linear.kernels[job.kernel];
        for (row, &output) in job.outputs.iter().enumerate() {
            let weights = kernel.row(row);
            let tap_errors = job.taps.iter().map(|tap| {
                let (weight, error) =
                    (f64::from(weights[tap.slot as usize].abs()), errors[tap.cell as usize]);
                let value = cells[tap.cell as usize].unsigned_abs() as f64;
                weight * error + rounding * (value + error)
            });
            sums[output as usize] += tap_errors.sum::<f64>();
        }
    }
    sums
}

/// Returns whether a layer compares its inputs with constants: no activation has a single bit.
fn is_comparison(rescale: Rescale) -> bool {
    rescale == Rescale { shift: 0, clamp: Clamp::Unsigned(1) }
}

/// Returns the largest error of an activation whose sum has the largest error `error`. Saturation
/// does not count if only signs are read.
fn rescaled_error(rescale: Option<Rescale>, error: f64, sum: i64, is_for_sign: bool) -> f64 {
    let Some(rescale) = rescale else { return error };
    if is_comparison(rescale) {
        // The condition holds for sums from 1 on, and its limit is less than one unit away from the
        // first of them.
        let distance = if sum > 0 { sum - 1 } else { -sum };
        return f64::from(u8::from(error > distance as f64));
    }
    let quotient = rescale.split(sum).0;
    let saturation = quotient - rescale.clamp.apply(quotient);
    // An unsigned clamp is a ReLU, which cuts negative values off in the float network, too.
    let saturation = if matches!(rescale.clamp, Clamp::Unsigned(_)) {
        saturation.max(0)
    } else {
        saturation.abs()
    };
    let saturation = if is_for_sign { 0 } else { saturation };
    // Without a shift, nothing is rounded.
    let rounding = if rescale.shift == 0 { 0.0 } else { 0.5 };
    error * power(-i32::from(rescale.shift)) + rounding + saturation as f64
}
