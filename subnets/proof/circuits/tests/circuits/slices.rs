//! Models in slices: the chain of proofs verifies as a whole, and no link can be replaced.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use taonet_primitives::Hotkey;
use taonet_proof_circuits::{
    Backends, Catalogue, CircuitDirectory, CircuitError, CompileOptions, ModelBundle, ShippedModel,
    SlicedBundle, compile_slices,
};
use taonet_proof_core::{Digest, slices};

fn miner() -> Hotkey {
    Hotkey::from_bytes([5; 32])
}

fn prove(catalogue: &Catalogue, inputs: &[i64], nonce: &[u8]) -> SlicedBundle {
    let (_, model) = catalogue.models().next().unwrap();
    let circuits: Vec<&CircuitDirectory> =
        model.slices.iter().map(|id| &**catalogue.get(id).unwrap()).collect();
    SlicedBundle::prove(model, &circuits, inputs, Digest::of(nonce), miner()).unwrap()
}

#[test]
fn inputs_of_slices_cannot_be_hidden() {
    let model = ShippedModel::DiabetesRegression;
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../models/diabetes-regression/model.onnx");
    let options = CompileOptions {
        name: model.name().to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default().with_hidden_inputs(),
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let sample = model.sample().unwrap();
    let result = compile_slices(&std::fs::read(file).unwrap(), &sample, &options, 2);
    assert!(matches!(result, Err(CircuitError::SlicedInputs)), "{:?}", result.err());
}

#[test]
fn chain_of_slices_proves_lenet() {
    let folder = tempfile::tempdir().unwrap();
    let model = ShippedModel::DigitsLenet;
    model.compile_slices("stark", 3).unwrap().write(&folder.path().join("lenet")).unwrap();
    let catalogue = Catalogue::open(folder.path()).unwrap();
    assert_eq!(catalogue.circuits().count(), 3);
    let inputs = &model.sample().unwrap().inputs;
    let bundle = prove(&catalogue, &inputs[0], b"one");
    bundle.verify().unwrap();

    // The whole network in one circuit computes the same outputs.
    let whole_model = model.compile("stark").unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("whole"), &whole_model).unwrap();
    let execution = directory.circuit().execute(&inputs[0]).unwrap();
    assert_eq!(bundle.slices[2].outputs, execution.outputs(directory.circuit()));
    assert_eq!(bundle.model.output, directory.metadata().output);

    let text = serde_json::to_vec(&bundle).unwrap();
    let read = ModelBundle::from_json(&text).unwrap();
    assert_eq!(read, ModelBundle::Sliced(Box::new(bundle.clone())));
    let with_byte_order_mark = [&b"\xef\xbb\xbf"[..], &text].concat();
    assert_eq!(
        ModelBundle::from_json(&with_byte_order_mark).unwrap(),
        read,
        "a byte order mark is ignored"
    );
    assert_eq!(read.id().unwrap(), bundle.model_id().unwrap());

    let error_of_change = |change: &dyn Fn(&mut SlicedBundle)| {
        let mut changed = bundle.clone();
        change(&mut changed);
        changed.verify().unwrap_err()
    };
    // A slice from a different run is rejected: its activations are correct, but for a different
    // input.
    let other_run = prove(&catalogue, &inputs[1], b"one");
    other_run.verify().unwrap();
    for slice in 0..3 {
        let error =
            error_of_change(&|changed| changed.slices[slice] = other_run.slices[slice].clone());
        assert!(
            matches!(
                error,
                CircuitError::Bundle("adjacent slices differ in their common boundary")
            ),
            "{error}"
        );
    }
    // A value is changed on both sides of a boundary, so that both slices still agree on it.
    let error = error_of_change(&|changed| {
        changed.slices[0].outputs[0] ^= 1;
        changed.slices[1].inputs[0] ^= 1;
    });
    assert!(
        matches!(error, CircuitError::Bundle("nonce of a slice does not match the request")),
        "{error}"
    );
    let error = error_of_change(&|changed| {
        changed.slices[0].outputs[0] ^= 1;
        changed.slices[1].inputs[0] ^= 1;
        for index in [0, 1] {
            let slice = &changed.slices[index];
            let nonce =
                changed.model.nonce(&changed.nonce, index, &slice.inputs, &slice.outputs).unwrap();
            changed.slices[index].nonce = nonce;
        }
    });
    assert!(matches!(error, CircuitError::Verify(_)), "{error}");
    // Each change is rejected: a different request, a missing slice, slices in a different order, a
    // different model.
    error_of_change(&|changed| changed.nonce = Digest::of(b"two"));
    error_of_change(&|changed| drop(changed.slices.pop()));
    error_of_change(&|changed| changed.slices.swap(0, 1));
    error_of_change(&|changed| changed.model.slices[1] = Digest::of(b"other"));
    error_of_change(&|changed| changed.model.output.scale += 1);
    error_of_change(&|changed| changed.slices.clear());
}

#[test]
fn groth16_slices_form_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let model = ShippedModel::DiabetesRegression;
    model.compile_slices("groth16", 2).unwrap().write(&folder.path().join("regression")).unwrap();
    let catalogue = Catalogue::open(&folder.path().join("regression")).unwrap();
    prove(&catalogue, &model.sample().unwrap().inputs[0], b"one").verify().unwrap();
}

#[test]
fn model_with_a_missing_slice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("regression");
    let compiled = ShippedModel::DiabetesRegression.compile_slices("stark", 2).unwrap();
    compiled.write(&target).unwrap();
    assert!(compiled.write(&target).is_err(), "nothing is overwritten");
    std::fs::remove_dir_all(target.join("slice_1")).unwrap();
    assert!(matches!(Catalogue::open(&target), Err(CircuitError::NoSlice { .. })));
    std::fs::write(target.join(slices::FILE), b"{").unwrap();
    assert!(matches!(Catalogue::open(&target), Err(CircuitError::Slices(_))));
}
