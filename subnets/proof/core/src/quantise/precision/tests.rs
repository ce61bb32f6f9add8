use super::*;
use crate::Shape;
use crate::quantise::{QuantisationReport, Sample, quantise};

fn dense(input: usize, outputs: usize, weights: Vec<f32>) -> FloatNode {
    FloatNode {
        inputs: vec![input],
        shape: Shape::vector(outputs).unwrap(),
        operation: FloatOperation::Dense { weights, bias: vec![0.0; outputs] },
    }
}

/// The sum of two branches. Errors of the second one are multiplied by 4, those of the first one
/// divided by 64. No weight is rounded.
fn branches() -> FloatNetwork {
    let mixed = |seed: u16, factor: f32| {
        let odd = |index: u16| f32::from((index * 37 + seed) % 64) * 2.0 - 63.0;
        (0..16).map(|index| odd(index) / 64.0 * factor).collect::<Vec<f32>>()
    };
    let nodes = vec![
        dense(0, 4, mixed(11, 0.25)),
        dense(0, 4, mixed(30, 0.25)),
        dense(1, 4, mixed(5, 1.0 / 64.0)),
        dense(2, 4, mixed(50, 4.0)),
        FloatNode {
            inputs: vec![3, 4],
            shape: Shape::vector(4).unwrap(),
            operation: FloatOperation::Add,
        },
    ];
    let names = ["a", "b", "little", "much", "sum"].map(|name| format!("Gemm '{name}'")).to_vec();
    FloatNetwork { names, ..FloatNetwork::new(Shape::vector(4).unwrap(), nodes) }
}

fn options() -> QuantiseOptions {
    QuantiseOptions { input_scale: 8, ..QuantiseOptions::default() }
}

fn rows() -> Vec<Vec<i64>> {
    (0..12)
        .map(|row| (0..4).map(|index| (index * 71 + row * row * 37 + 11) % 256).collect())
        .collect()
}

fn error_of(network: &Network) -> f64 {
    let sample = Sample { inputs: rows(), ..Sample::default() };
    QuantisationReport::measure(&branches(), network, &options(), &sample).unwrap().largest_error
}

#[test]
fn tensors_have_as_many_bits_as_the_maximum_error_needs() {
    let (float, rows) = (branches(), rows());
    let default_precision = quantise(&float, &options(), &rows).unwrap();
    let error = error_of(&default_precision);
    assert!(error > 0.002_5, "{error}");
    let mut previous_max_bits = 8;
    for max_error in [0.002_5, 0.000_5] {
        let (network, layers, precision) =
            quantise_within(&float, &options(), &rows, &rows, max_error).unwrap();
        let error = error_of(&network);
        assert!(error <= max_error, "{error}");
        assert_eq!((layers.len(), precision.max_error), (network.layers.len(), max_error));
        // The branch that matters little keeps its bits.
        let [min_bits, max_bits] = precision.bits;
        assert!(
            min_bits < max_bits && max_bits > previous_max_bits && max_bits <= MAX_BITS,
            "{precision:?}"
        );
        previous_max_bits = max_bits;
        let worst = precision.worst.unwrap();
        assert!(float.names.contains(&worst.node) && worst.error > 0.0, "{worst:?}");
    }
    // Nothing changes if the usual bits suffice.
    let (network, _, precision) = quantise_within(&float, &options(), &rows, &rows, 10.0).unwrap();
    assert_eq!(network, default_precision);
    assert!(["Gemm 'b'", "Gemm 'much'"].contains(&precision.worst.unwrap().node.as_str()));
}

#[test]
fn unattainable_maximum_errors_are_refused() {
    let (float, rows) = (branches(), rows());
    let quantise_with = |max_error| quantise_within(&float, &options(), &rows, &rows, max_error);
    let quantise_error = quantise_with(1e-9).unwrap_err();
    assert!(
        matches!(quantise_error, QuantiseError::Imprecise { error, .. } if error > 1e-9),
        "{quantise_error}"
    );
    assert!(quantise_error.to_string().contains("more bits per weight"), "{quantise_error}");
    for max_error in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(quantise_with(max_error), Err(QuantiseError::MaxError(_))), "{max_error}");
    }
}

#[test]
fn output_with_replaced_tensor_leaves_the_run_unchanged() {
    let float = branches();
    let mut tensors = float.run(&[0.5, 0.25, -1.0, 2.0]).unwrap();
    let original_tensors = tensors.clone();
    let other: Vec<f32> = tensors[3].iter().map(|value| value + 1.0).collect();
    let output = float.output_with(&mut tensors, 3, other);
    let difference = output.iter().zip(&original_tensors[5]).map(|(a, b)| (a - b - 1.0).abs());
    assert!(difference.fold(0.0, f32::max) < 1e-5, "{output:?}");
    assert_eq!(tensors, original_tensors);
}

#[test]
fn bits_are_limited_by_sums_and_products() {
    let shape = Shape::vector(4096).unwrap();
    let nodes = vec![
        FloatNode { inputs: vec![0], shape, operation: FloatOperation::Relu },
        FloatNode { inputs: vec![1, 1], shape, operation: FloatOperation::Multiply },
        dense(2, 1, vec![1.0; 4096]),
    ];
    assert_eq!(provable_bits(&FloatNetwork::new(shape, nodes), 8), [16, 14, 10, 16]);
}
