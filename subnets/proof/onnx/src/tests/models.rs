//! Models of `vectors/proof-models`: read, evaluated, quantised, and compared with onnxruntime's
//! outputs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use taonet_proof_core::Range;
use taonet_proof_core::network::Network;
use taonet_proof_core::quantise::{QuantiseOptions, quantise};

use crate::Model;
use crate::compare;

/// A model with integer inputs and onnxruntime's outputs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedCase {
    name: String,
    scale: i32,
    low: i64,
    high: i64,
    /// Whether the softmax at the end is omitted.
    softmax: bool,
    /// Whether the outputs are scores of classes.
    classifier: bool,
    /// Bits of activations and weights.
    bits: u8,
    /// The largest permitted difference of the integer network, as a part of the largest output.
    bound: f64,
    inputs: Vec<Vec<i64>>,
    outputs: Vec<Vec<f64>>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/proof-models")
}

fn cases() -> Vec<RecordedCase> {
    serde_json::from_slice(&std::fs::read(directory().join("models.json")).unwrap()).unwrap()
}

impl RecordedCase {
    fn model(&self) -> Model {
        let file = std::fs::read(directory().join(format!("{}.onnx", self.name))).unwrap();
        Model::decode(&file).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn options(&self) -> QuantiseOptions {
        let input_range = Range { low: self.low, high: self.high };
        let (activation_bits, weight_bits) = (self.bits, self.bits);
        QuantiseOptions {
            activation_bits,
            weight_bits,
            input_range,
            input_scale: self.scale,
            ..QuantiseOptions::default()
        }
    }

    fn quantised(&self, model: &Model) -> Network {
        let float = model.network().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let options = self.options();
        let network = quantise(&float, &options, &self.inputs)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let result = compare(model, &float, &network, &options, &self.inputs);
        result.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        network
    }

    fn largest(&self) -> f64 {
        self.outputs.iter().flatten().fold(0.0_f64, |largest, value| largest.max(value.abs()))
    }
}

fn softmax(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = values.iter().map(|value| (value - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn largest_difference(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    actual
        .iter()
        .zip(expected)
        .map(|(actual, expected)| (actual - expected).abs())
        .fold(0.0, f64::max)
}

#[test]
fn every_model_file_has_a_recorded_case() {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let models = files.filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    let models: BTreeSet<String> =
        models.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let cases: BTreeSet<String> = cases().into_iter().map(|case| case.name).collect();
    assert_eq!(models, cases);
}

/// The evaluation computes with double precision, onnxruntime with single precision.
#[test]
fn evaluation_equals_onnxruntime() {
    for case in cases() {
        let model = case.model();
        let unit = f64::from(-case.scale).exp2();
        for (row, expected) in case.inputs.iter().zip(&case.outputs) {
            let input: Vec<f32> = row.iter().map(|&value| (value as f64 * unit) as f32).collect();
            let outputs = model
                .evaluate(&input)
                .unwrap_or_else(|error| panic!("{}: {error}", case.name))
                .outputs;
            let outputs = if case.softmax { softmax(&outputs) } else { outputs };
            let difference = largest_difference(&outputs, expected);
            let bound = if case.name == "svc-probability" { 0.01 } else { 1e-5 };
            assert!(
                difference <= bound * case.largest(),
                "{}: {outputs:?} {expected:?}",
                case.name
            );
        }
    }
}

/// Integer networks have outputs close to onnxruntime's. At most one row, whose scores are close to
/// each other, has another class.
#[test]
fn integer_networks_are_close_to_onnxruntime() {
    let mut failures = Vec::new();
    for case in cases() {
        let network = case.quantised(&case.model());
        let (circuit, unit) = (network.lower().unwrap(), f64::from(-network.output_scale()).exp2());
        let (mut largest, mut classes) = (0.0_f64, 0);
        for (row, expected) in case.inputs.iter().zip(&case.outputs) {
            let integers = circuit.execute(row).unwrap().outputs(&circuit);
            let outputs: Vec<f64> = integers.iter().map(|&value| value as f64 * unit).collect();
            let outputs = if case.softmax { softmax(&outputs) } else { outputs };
            largest = largest.max(largest_difference(&outputs, expected) / case.largest());
            classes += usize::from(index_of_largest(&outputs) != index_of_largest(expected));
        }
        println!("{}: {largest:.5} of {}, {classes} other classes", case.name, case.bound);
        if largest > case.bound || (case.classifier && classes > 1) {
            failures.push(format!(
                "{}: {largest} of the largest output, {classes} other classes",
                case.name
            ));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Returns the position of the largest score.
fn index_of_largest(scores: &[f64]) -> Option<usize> {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)))
}
