//! Models whose ONNX file means something else than a simple reader would compile.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::path::{Path, PathBuf};

use taonet_proof_circuits::{
    Backends, CircuitError, CompileOptions, Compiled, ShippedModel, compile,
};
use taonet_proof_core::metadata::NETWORK;
use taonet_proof_core::network::Network;
use taonet_proof_core::quantise::{QuantiseOptions, Sample, quantise};
use taonet_proof_onnx::{Attribute, CompareError, GraphWriter, Model, OnnxError, compare};

fn vector_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx").join(name)
}

fn compile_files(model: &str, sample: &str) -> Result<Compiled, CircuitError> {
    let options = CompileOptions {
        name: model.to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: QuantiseOptions::default(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let sample: Sample =
        serde_json::from_slice(&std::fs::read(vector_path(sample)).unwrap()).unwrap();
    compile(&std::fs::read(vector_path(model)).unwrap(), &sample, &options)
}

/// onnxruntime or the standard compute other outputs, or refuse the file, where an earlier version
/// compiled it.
#[test]
fn ambiguous_onnx_attributes_are_refused() {
    for (model, sample, expected) in [
        ("bn-training.onnx", "bn-training.json", "training mode is unsupported"),
        (
            "maxpool-valid-pads.onnx",
            "valid-pads.json",
            "auto_pad VALID and pads exclude each other",
        ),
        (
            "avgpool-valid-pads.onnx",
            "valid-pads.json",
            "auto_pad VALID and pads exclude each other",
        ),
        ("conv-valid-pads.onnx", "valid-pads.json", "auto_pad VALID and pads exclude each other"),
    ] {
        let error =
            compile_files(model, sample).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{model}: {error}");
    }
}

/// Four sums become one channel, of which the pool is the mean: an earlier version compiled four
/// channels of one element.
#[test]
fn windows_over_reshaped_inputs_cover_their_dimensions() {
    let compiled = compile_files("unsqueeze-gap.onnx", "unsqueeze-gap.json").unwrap();
    let sample: Sample =
        serde_json::from_slice(&std::fs::read(vector_path("unsqueeze-gap.json")).unwrap()).unwrap();
    let model = Model::decode(&std::fs::read(vector_path("unsqueeze-gap.onnx")).unwrap()).unwrap();
    let network = Network::from_bytes(&compiled.files[NETWORK]).unwrap();
    let (circuit, unit) = (network.lower().unwrap(), f64::from(-network.output_scale()).exp2());
    for row in &sample.inputs {
        let input: Vec<f32> = row.iter().map(|&value| value as f32).collect();
        let (evaluation, outputs) =
            (model.evaluate(&input).unwrap(), circuit.execute(row).unwrap().outputs(&circuit));
        assert_eq!((evaluation.outputs.len(), outputs.len()), (1, 1));
        let (expected, output) = (evaluation.outputs[0], outputs[0] as f64 * unit);
        assert!((output - expected).abs() < 0.01 * evaluation.magnitude, "{output} {expected}");
    }
}

/// A small classifier as `onnxconverter-common` 1.16 converts it to half precision: entirely, and
/// with batch norm and addition kept in single precision. The expected values are the arguments of
/// its softmax in onnxruntime 1.32.
#[test]
fn half_precision_exports_are_compiled() {
    let expected = [[-50.843_75, -18.921_875, 27.171_875], [-95.5625, 6.429_687_5, 87.25]];
    let sample: Sample =
        serde_json::from_slice(&std::fs::read(vector_path("fp16.json")).unwrap()).unwrap();
    for name in ["fp16.onnx", "fp16-mixed.onnx"] {
        let compiled = compile_files(name, "fp16.json").unwrap();
        assert_eq!(compiled.metadata.notes.len(), 1, "{name}: the softmax is omitted");
        let model = Model::decode(&std::fs::read(vector_path(name)).unwrap()).unwrap();
        let network = Network::from_bytes(&compiled.files[NETWORK]).unwrap();
        let (circuit, unit) = (network.lower().unwrap(), f64::from(-network.output_scale()).exp2());
        for (row, expected) in sample.inputs.iter().zip(expected) {
            let input: Vec<f32> = row.iter().map(|&value| value as f32).collect();
            let evaluation = model.evaluate(&input).unwrap();
            let integers = circuit.execute(row).unwrap().outputs(&circuit);
            for ((float, integer), expected) in
                evaluation.outputs.iter().zip(integers).zip(expected)
            {
                // Half precision has 11 bits.
                let rounding = evaluation.magnitude / 2048.0;
                assert!((float - expected).abs() < rounding, "{name}: {float} {expected}");
                assert!(
                    (integer as f64 * unit - expected).abs() < 16.0 * rounding,
                    "{name}: {integer} {expected}"
                );
            }
        }
    }
}

/// Creates a graph of a sigmoid between two products with weights that are not rounded.
fn sigmoid() -> Vec<u8> {
    let mut graph = GraphWriter::new("x", &[1, 4]);
    let weights = |graph: &mut GraphWriter, factor: f32| {
        graph.floats(&[4, 4], (0..16_u8).map(|index| (f32::from(index * 7 % 5) - 2.0) * factor))
    };
    let [first, second] = [0.5, 4.0].map(|factor| weights(&mut graph, factor));
    let unit = graph.floats(&[], [1.0 / 256.0]);
    let floats = graph.node("Cast", &["x"], &[Attribute::Int("to", 1)]);
    let scaled = graph.node("Mul", &[&floats, &unit], &[]);
    let sums = graph.node("MatMul", &[&scaled, &first], &[]);
    let activations = graph.node("Sigmoid", &[&sums], &[]);
    graph.node("MatMul", &[&activations, &second], &[]);
    graph.finish("y", &[1, 4], false, 17)
}

/// The bits follow from the whole sample, so the error on the test rows holds the maximum, too.
#[test]
fn compiled_network_stays_within_the_maximum_error() {
    let row = |row: i64| (0..4).map(|index| (index * 71 + row * row * 37 + 11) % 256).collect();
    let sample = Sample { inputs: (0..16).map(row).collect(), ..Sample::default() };
    let report = |max_error| {
        let options = CompileOptions {
            name: "sigmoid".to_owned(),
            backend: "stark".to_owned(),
            backends: Backends::default(),
            quantise: QuantiseOptions::default(),
            max_error,
            contributor: "anonymous".to_owned(),
        };
        let compiled = compile(&sigmoid(), &sample, &options)?;
        Ok::<_, CircuitError>(compiled.metadata.quantisation.unwrap())
    };
    let default_report = report(None).unwrap();
    assert!(
        default_report.precision.is_none() && default_report.largest_error > 0.0,
        "{default_report:?}"
    );
    let max_error = default_report.largest_error / 8.0;
    let limited_report = report(Some(max_error)).unwrap();
    assert!(limited_report.largest_error <= max_error, "{limited_report:?}");
    let precision = limited_report.precision.unwrap();
    assert!(precision.bits[1] > 8 && precision.worst.is_some(), "{precision:?}");
    let error = report(Some(1e-12)).unwrap_err().to_string();
    assert!(error.contains("more than the maximum error of"), "{error}");
}

/// A network that the quantiser or reader would get wrong is refused with the largest difference.
#[test]
fn network_that_differs_from_its_file_is_refused() {
    let shipped = ShippedModel::DiabetesRegression;
    let (options, inputs) = (shipped.quantise_options(), shipped.sample().unwrap().inputs);
    let model = Model::decode(shipped.onnx()).unwrap();
    let float = model.network().unwrap();
    let network = quantise(&float, &options, &inputs).unwrap();
    compare(&model, &float, &network, &options, &inputs).unwrap();

    // The reader has another network than the file: half a unit at an output.
    let mut other = float.clone();
    let taonet_proof_core::float::FloatOperation::Dense { bias, .. } =
        &mut other.nodes.last_mut().unwrap().operation
    else {
        panic!("a dense layer")
    };
    bias[0] += 0.5;
    let error = compare(&model, &other, &network, &options, &inputs).unwrap_err();
    let CompareError::Difference { representation: "float", difference, tolerance, .. } = &error
    else {
        panic!("{error}")
    };
    assert!((difference - 0.5).abs() < 0.01 && *tolerance < 0.1, "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("the difference {difference} exceeds the tolerance {tolerance}")),
        "{text}"
    );

    // The integer network computes something else.
    let mut other = network.clone();
    let taonet_proof_core::network::Operation::Dense { bias, .. } =
        &mut other.layers.last_mut().unwrap().operation
    else {
        panic!("a dense layer")
    };
    bias[0] += 1 << 20;
    let error = compare(&model, &float, &other, &options, &inputs).unwrap_err();
    assert!(matches!(error, CompareError::Difference { representation: "integer", .. }), "{error}");
    assert!(matches!(Model::decode(b"no model"), Err(OnnxError::Malformed(_))));
}
