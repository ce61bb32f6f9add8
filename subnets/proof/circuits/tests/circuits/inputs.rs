//! Tests of inputs whose values are beyond the range of the sample.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use taonet_proof_backends::BackendError;
use taonet_proof_circuits::{
    Backends, CircuitDirectory, CircuitError, CompileOptions, InputCheck, ShippedModel, compile,
};
use taonet_proof_core::quantise::Sample;
use tempfile::TempDir;

/// Compiles digits-mlp for pictures that have a sixteenth of the brightness. Returns the directory,
/// and the first picture with its full brightness.
fn digits_for_dim_images(folder: &TempDir, backend: &str) -> (CircuitDirectory, Vec<i64>) {
    let model = ShippedModel::DigitsMlp;
    let bright_images = model.sample().unwrap().inputs;
    let dim_images =
        bright_images.iter().map(|image| image.iter().map(|pixel| pixel / 16).collect());
    let sample = Sample { inputs: dim_images.collect(), ..Sample::default() };
    let options = CompileOptions {
        name: model.name().to_owned(),
        backend: backend.to_owned(),
        backends: Backends::default(),
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let compiled = compile(model.onnx(), &sample, &options).unwrap();
    let directory = CircuitDirectory::create(&folder.path().join(backend), &compiled).unwrap();
    (directory, bright_images[0].clone())
}

#[test]
fn saturation_error_names_the_tensor() {
    for backend in ["stark", "groth16"] {
        let folder = TempDir::new().unwrap();
        let (directory, bright_image) = digits_for_dim_images(&folder, backend);
        let check: InputCheck = directory.input_check().unwrap();
        let verifier = directory.verifier().unwrap();
        for error in [
            check.execute(&bright_image).unwrap_err(),
            check.outputs(&bright_image, &*verifier).unwrap_err(),
        ] {
            assert!(matches!(error, CircuitError::Saturated(_)), "{error}");
            let error = error.to_string();
            let expected = "beyond the range of the model's sample and saturate: Relu '";
            assert!(error.contains(expected) && error.contains("hint: "), "{error}");
        }
        let black_image = vec![0; bright_image.len()];
        let execution = check.execute(&black_image).unwrap();
        let outputs = check.outputs(&black_image, &*verifier).unwrap();
        assert_eq!(outputs, execution.outputs(directory.circuit()));
        assert!(check.execute(&black_image[1..]).is_err());
        // A value without an entry in a key of format 8.
        let error = check.with_tensor(BackendError::Unprovable { layer: 0, value: 9000 });
        let error = error.to_string();
        assert!(error.starts_with("a value of Relu '") && error.contains("9000 units"), "{error}");
        let unknown = check.with_tensor(BackendError::Unprovable { layer: 99, value: 1 });
        assert!(unknown.to_string().starts_with("a value of layer 99 is 1 units"), "{unknown}");
    }
}

/// Each picture of the demonstration can be proven.
#[test]
fn sample_of_the_digits_does_not_saturate() {
    for model in [ShippedModel::DigitsMlp, ShippedModel::DigitsLenet] {
        let folder = TempDir::new().unwrap();
        let compiled = model.compile("stark").unwrap();
        let directory =
            CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
        let check = directory.input_check().unwrap();
        for (row, inputs) in model.sample().unwrap().inputs.iter().enumerate() {
            check.execute(inputs).unwrap_or_else(|error| panic!("{model:?}, row {row}: {error}"));
        }
    }
}

/// Circuits without descriptions of their layers, which earlier versions compiled, have no names
/// for them.
#[test]
fn tensors_of_circuits_without_descriptions_are_named_by_layer() {
    let folder = TempDir::new().unwrap();
    let (directory, bright_image) = digits_for_dim_images(&folder, "stark");
    let saturations = {
        let execution = directory.circuit().execute(&bright_image).unwrap();
        taonet_proof_core::saturation::saturations(directory.circuit(), &execution, &[])
    };
    assert!(saturations[0].tensor.starts_with("layer "), "{saturations:?}");
}
