use proptest::prelude::*;

use super::*;
use crate::float::{FloatNode, FloatOperation, Function, Unary};
use crate::network::Operation;
use crate::saturation::saturations;
use crate::{Clamp, Shape, Window};

/// Convolution with ReLU, residual addition, maximum, mean, dense layer.
fn network() -> FloatNetwork {
    let input = Shape::new(1, 6, 6).unwrap();
    let grid = Shape::new(2, 6, 6).unwrap();
    let half_shape = Shape::new(2, 3, 3).unwrap();
    let window = |kernel: usize, stride, padding| Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 4],
    };
    let convolution = |channels: usize| FloatOperation::Convolution {
        window: window(3, 1, 1),
        groups: 1,
        weights: (0..2 * channels * 9)
            .map(|index| ((index * 7 % 13) as f32 - 6.0) / 20.0)
            .collect(),
        bias: vec![0.1, -0.2],
    };
    FloatNetwork::new(
        input,
        vec![
            FloatNode { inputs: vec![0], shape: grid, operation: convolution(1) },
            FloatNode { inputs: vec![1], shape: grid, operation: FloatOperation::Relu },
            FloatNode { inputs: vec![2], shape: grid, operation: convolution(2) },
            FloatNode { inputs: vec![2, 3], shape: grid, operation: FloatOperation::Add },
            FloatNode { inputs: vec![4], shape: grid, operation: FloatOperation::Relu },
            FloatNode {
                inputs: vec![5],
                shape: half_shape,
                operation: FloatOperation::MaxPool(window(2, 2, 0)),
            },
            FloatNode {
                inputs: vec![6],
                shape: Shape::vector(2).unwrap(),
                operation: FloatOperation::AveragePool(window(3, 1, 0)),
            },
            FloatNode {
                inputs: vec![7],
                shape: Shape::vector(3).unwrap(),
                operation: FloatOperation::Dense {
                    weights: vec![0.5, -0.25, 1.0, 0.75, -0.5, 0.125],
                    bias: vec![0.1, 0.2, 0.3],
                },
            },
        ],
    )
}

fn options() -> QuantiseOptions {
    QuantiseOptions { input_scale: 8, ..QuantiseOptions::default() }
}

fn sample(count: i64) -> Vec<Vec<i64>> {
    (0..count).map(|seed| (0..36).map(|index| (index * 37 + seed * 91) % 256).collect()).collect()
}

#[test]
fn quantised_outputs_approximate_float_outputs() {
    let float = network();
    for (bits, tolerance) in [(6, 0.25), (8, 0.06), (12, 0.006)] {
        let options = QuantiseOptions { activation_bits: bits, weight_bits: bits, ..options() };
        let sample = Sample { inputs: sample(20), labels: vec![0; 20], targets: Vec::new() };
        let integer = quantise(&float, &options, &sample.inputs).unwrap();
        let report = QuantisationReport::measure(&float, &integer, &options, &sample).unwrap();
        assert!(report.largest_error < tolerance, "{bits} bits: {report:?}");
        assert_eq!(report.samples, 20);
        assert!(
            report.agreement.is_some()
                && report.accuracy.is_some()
                && report.root_mean_square.is_none()
        );
    }
}

/// A report on the calibration rows would hide saturation.
#[test]
fn calibration_and_test_rows_are_disjoint() {
    for count in [2, 3, 6, 7] {
        let rows = i64::try_from(count).unwrap();
        let full_sample = Sample {
            inputs: (0..rows).map(|row| vec![row]).collect(),
            labels: (0..count).collect(),
            targets: (0..count).map(|row| row as f64).collect(),
        };
        let (calibration, test) = full_sample.split();
        assert_eq!(calibration.len() + test.inputs.len(), count);
        assert!(!calibration.is_empty() && test.inputs.len() >= calibration.len());
        assert!(test.inputs.iter().all(|row| !calibration.contains(row)));
        for ((input, label), target) in test.inputs.iter().zip(&test.labels).zip(&test.targets) {
            assert_eq!((input[0], *target), (i64::try_from(*label).unwrap(), *label as f64));
        }
    }
    let single_row = Sample { inputs: vec![vec![1]], ..Sample::default() };
    assert_eq!(single_row.split(), (single_row.inputs.clone(), single_row));
}

/// Scales chosen with dim inputs saturate on bright ones, and the report shows that.
#[test]
fn quantisation_error_on_test_rows_is_reported() {
    let float = network();
    let bright_inputs = sample(1);
    let dim_inputs: Vec<Vec<i64>> =
        bright_inputs.iter().map(|row| row.iter().map(|value| value / 25).collect()).collect();
    let network = quantise(&float, &options(), &dim_inputs).unwrap();
    let report_of = |inputs: Vec<Vec<i64>>| {
        let sample = Sample { inputs, ..Sample::default() };
        QuantisationReport::measure(&float, &network, &options(), &sample).unwrap().largest_error
    };
    let (same_report, other_report) = (report_of(dim_inputs.clone()), report_of(bright_inputs));
    assert!(other_report > 10.0 * same_report, "{same_report} {other_report}");
}

#[test]
fn activations_are_fused_into_layers_where_possible() {
    let network = quantise(&network(), &options(), &sample(5)).unwrap();
    // Two convolutions, the addition with its ReLU, the maximum, the mean, the dense layer.
    assert_eq!(network.layers.len(), 6);
    let clamps: Vec<Option<Clamp>> =
        network.layers.iter().map(|layer| layer.rescale.map(|rescale| rescale.clamp)).collect();
    let (relu_clamp, signed_clamp) = (Some(Clamp::Unsigned(8)), Some(Clamp::Signed(8)));
    // Nine is not a power of two, so the mean is rounded; the outputs are exact sums.
    assert_eq!(clamps, [relu_clamp, signed_clamp, relu_clamp, None, signed_clamp, None]);
    assert!(matches!(network.layers[3].operation, Operation::MaxPool { .. }));
    let bytes = network.to_bytes().unwrap();
    assert_eq!(Network::from_bytes(&bytes).unwrap(), network);
}

#[test]
fn values_beyond_the_sample_saturate() {
    let float = network();
    let dim_inputs: Vec<Vec<i64>> = vec![vec![10; 36]];
    let network = quantise(&float, &options(), &dim_inputs).unwrap();
    let circuit = network.lower().unwrap();
    let execution = circuit.execute(&[255; 36]).unwrap();
    let first = &circuit.stages[0];
    let cells = &execution.cells[first.first as usize..first.first as usize + first.count];
    assert_eq!(cells.iter().max(), Some(&255));
}

/// Each layer has the name of its node, or of the ReLU that is merged with it.
#[test]
fn saturating_tensors_have_the_names_of_their_nodes() {
    let mut float = network();
    float.names = (0..float.nodes.len()).map(|node| format!("node {node}")).collect();
    let (network, layers) = quantise_described(&float, &options(), &[vec![10; 36]]).unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer.node.as_str()).collect();
    assert_eq!(names, ["node 1", "node 2", "node 4", "node 5", "node 6", "node 7"]);
    let circuit = network.lower().unwrap();
    let execution = circuit.execute(&[255; 36]).unwrap();
    let first = &saturations(&circuit, &execution, &layers)[0];
    assert_eq!((first.layer, first.tensor.as_str(), first.of), (0, "node 1", 72));
    assert!(first.values > 0, "{first:?}");
    let unnamed = &saturations(&circuit, &execution, &[])[0];
    assert_eq!((unnamed.tensor.as_str(), unnamed.values), ("layer 0", first.values));
}

/// The sample has e^2, so the table has values below 8, and cuts off those of further arguments.
#[test]
fn saturating_arguments_of_a_function_are_described() {
    let input = Shape::vector(1).unwrap();
    let operation = FloatOperation::Function(Function::Variable.then(Unary::Exp));
    let mut float =
        FloatNetwork::new(input, vec![FloatNode { inputs: vec![0], shape: input, operation }]);
    float.name_nodes("Exp 'e'");
    let options = QuantiseOptions { input_scale: 5, ..QuantiseOptions::default() };
    let (network, layers) = quantise_described(&float, &options, &[vec![64]]).unwrap();
    assert_eq!(layers[0].saturated, [Range { low: 67, high: 255 }]);
    let circuit = network.lower().unwrap();
    for (argument, expected) in [(64, 0), (66, 0), (67, 1), (255, 1)] {
        let execution = circuit.execute(&[argument]).unwrap();
        let actual = saturations(&circuit, &execution, &layers);
        assert_eq!(actual.len(), expected, "{argument}: {actual:?}");
        assert!(actual.iter().all(|actual| actual.tensor == "Exp 'e'"), "{actual:?}");
    }
}

#[test]
fn invalid_options_and_samples_are_refused() {
    let float = network();
    assert!(matches!(quantise(&float, &options(), &[]), Err(QuantiseError::NoSample)));
    assert!(matches!(quantise(&float, &options(), &[vec![0; 3]]), Err(QuantiseError::Float(_))));
    assert!(matches!(
        quantise(&float, &options(), &[vec![256; 36]]),
        Err(QuantiseError::Sample { .. })
    ));
    for bits in [0, 1, 17, 255] {
        let options = QuantiseOptions { activation_bits: bits, ..options() };
        assert_eq!(quantise(&float, &options, &sample(1)), Err(QuantiseError::Bits(bits)));
    }
    let options = QuantiseOptions { input_range: Range { low: 2, high: 1 }, ..options() };
    assert!(matches!(quantise(&float, &options, &sample(1)), Err(QuantiseError::Input { .. })));
}

proptest! {
    /// For any input, every value lies in the interval computed by lowering.
    #[test]
    fn circuit_values_stay_within_lowered_intervals(inputs in prop::collection::vec(0_i64..=255, 36)) {
        let circuit = quantise(&network(), &options(), &sample(3)).unwrap().lower().unwrap();
        let execution = circuit.execute(&inputs).unwrap();
        for (stage, sums) in circuit.stages.iter().zip(&execution.sums) {
            let first = stage.first as usize;
            for value in &execution.cells[first..first + stage.count] {
                prop_assert!(stage.range.contains(*value));
            }
            if let crate::circuit::StageKind::Linear(linear) = &stage.kind {
                prop_assert!(sums.iter().all(|&sum| linear.sums.contains(sum)));
            }
        }
    }

    #[test]
    fn broken_network_files_do_not_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = quantise(&network(), &options(), &sample(1)).unwrap().to_bytes().unwrap();
        for (index, byte) in flips {
            let offset = index.index(bytes.len());
            bytes[offset] = byte;
        }
        if let Ok(circuit) = Network::from_bytes(&bytes).and_then(|network| network.lower())
            && circuit.inputs <= 1000
        {
            let _ = circuit.execute(&vec![0; circuit.inputs]);
        }
    }
}
