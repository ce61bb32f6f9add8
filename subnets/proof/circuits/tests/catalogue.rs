//! Directories with circuits of other versions: a daemon serves the rest.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test helper panics as a test does")]

use taonet_proof_backends::BackendError;
use taonet_proof_circuits::{Backends, Catalogue, CircuitDirectory, CircuitError, Compiled, ShippedModel, Skipped};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{FILE, VERIFICATION_KEY};

/// Changes the format of a circuit's verification key, and its hash in the metadata.
fn of_another_version(mut circuit: Compiled) -> Compiled {
    let key = circuit.files.get_mut(VERIFICATION_KEY).unwrap();
    // The format is the first byte of the key.
    key[0] = 100;
    circuit.metadata.files.insert(VERIFICATION_KEY.to_owned(), Digest::of(key));
    circuit
}

#[test]
fn circuits_of_other_versions_are_skipped_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let model = ShippedModel::DiabetesRegression;
    let good = CircuitDirectory::create(&place.path().join("good"), &model.compile("stark").unwrap()).unwrap();
    for backend in ["groth16", "stark"] {
        let old = of_another_version(model.compile(backend).unwrap());
        CircuitDirectory::create(&place.path().join(format!("old-{backend}")), &old).unwrap();
    }
    let foreign = place.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join(FILE), br#"{"version": 2, "fields": []}"#).unwrap();
    let sliced = place.path().join("sliced");
    model.compile_slices("stark", 2).unwrap().write(&sliced).unwrap();
    std::fs::remove_dir_all(sliced.join("slice_1")).unwrap();

    let (catalogue, skipped) = Catalogue::open_usable(place.path(), &Backends::default()).unwrap();
    // The first slice of the incomplete model is a circuit of its own.
    assert!(catalogue.circuits().count() == 2 && catalogue.get(&good.id()).is_some());
    assert_eq!(catalogue.models().count(), 0);
    let mut names: Vec<_> = skipped.iter().map(|skipped| skipped.path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["foreign", "old-groth16", "old-stark", "sliced"]);
    for Skipped { path, error } in &skipped {
        let advises = error.to_string().contains("compile the model again");
        assert!(advises || matches!(error, CircuitError::NoSlice { .. }), "{}: {error}", path.display());
    }
    assert!(Catalogue::open(place.path()).is_err(), "commands on the directory do not skip anything");

    // Without any usable circuit, the first error is reported.
    let old = Catalogue::open_usable(&place.path().join("old-stark"), &Backends::default());
    assert!(matches!(old, Err(CircuitError::Prover(BackendError::Format { format: 100, .. }))), "{old:?}");
}
