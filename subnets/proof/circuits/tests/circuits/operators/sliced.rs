//! Transformers and recurrent networks in slices.

use taonet_primitives::Hotkey;
use taonet_proof_circuits::{
    Backends, Catalogue, CircuitDirectory, CircuitError, SlicedBundle, compile_slices,
};
use taonet_proof_core::Digest;

use super::TestModel;
use super::blocks::transformer;
use super::remaining::recurrent;

/// Number of slices.
const SLICES: usize = 2;

/// Checks that the slices of a model together prove the outputs of the whole network, and that a
/// value between them cannot be changed, nor an output.
fn check_slices(model: &TestModel) {
    let options = model.options("stark", Backends::default());
    let compiled = compile_slices(&model.file, &model.sample(), &options, SLICES)
        .unwrap_or_else(|error| panic!("{}: {error}", model.name));
    let folder = tempfile::tempdir().unwrap();
    compiled.write(&folder.path().join("model")).unwrap();
    let catalogue = Catalogue::open(folder.path()).unwrap();
    let (_, sliced) = catalogue.models().next().unwrap();
    let circuits: Vec<&CircuitDirectory> =
        sliced.slices.iter().map(|id| &**catalogue.get(id).unwrap()).collect();
    let inputs = &model.sample().inputs[0];
    let (nonce, miner) = (Digest::of(b"a request"), Hotkey::from_bytes([5; 32]));
    let bundle = SlicedBundle::prove(sliced, &circuits, inputs, nonce, miner).unwrap();
    bundle.verify().unwrap();
    let (circuit, _) = model.circuit();
    let outputs = circuit.execute(inputs).unwrap().outputs(&circuit);
    assert_eq!(bundle.slices[SLICES - 1].outputs, outputs, "{}", model.name);
    // Both slices agree on another value between them, or the last one has another output. The
    // nonces are those of the changed values.
    for is_boundary in [true, false] {
        let mut changed = bundle.clone();
        if is_boundary {
            changed.slices[0].outputs[0] ^= 1;
            changed.slices[1].inputs[0] ^= 1;
        } else {
            changed.slices[1].outputs[0] += 1;
        }
        for (index, slice) in changed.slices.iter_mut().enumerate() {
            slice.nonce = sliced.nonce(&nonce, index, &slice.inputs, &slice.outputs).unwrap();
        }
        let error = changed.verify().unwrap_err();
        assert!(matches!(error, CircuitError::Verify(_)), "{}: {error}", model.name);
    }
}

#[test]
fn slices_of_transformer_are_proven() {
    check_slices(&transformer());
}

#[test]
fn slices_of_recurrent_networks_are_proven() {
    for (operator, gates) in [("RNN", 1), ("GRU", 3), ("LSTM", 4)] {
        check_slices(&recurrent(operator, gates));
    }
}
