//! Directories with circuits of other versions: a daemon serves the rest.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use taonet_proof_backends::BackendError;
use taonet_proof_circuits::{
    Backends, Catalogue, CircuitDirectory, CircuitError, Compiled, ShippedModel, SkippedEntry,
};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{FILE, NETWORK, VERIFICATION_KEY};

/// Changes the format of a circuit's verification key, and its hash in the metadata.
fn with_other_key_format(mut circuit: Compiled) -> Compiled {
    let key = circuit.files.get_mut(VERIFICATION_KEY).unwrap();
    // The format is the first byte of the key.
    key[0] = 100;
    circuit.metadata.files.insert(VERIFICATION_KEY.to_owned(), Digest::of(key));
    circuit
}

/// A network of 25 bytes whose pool has 2.4 thousand million taps.
const LARGE: [u8; 25] =
    [1, 1, 0x80, 4, 0x80, 4, 0, 2, 0, 1, 1, 0, 3, 0x80, 1, 0x80, 1, 1, 1, 0, 0, 0, 0, 0, 0];

#[test]
fn circuit_that_would_take_too_much_memory_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let mut large = ShippedModel::DiabetesRegression.compile("stark").unwrap();
    large.metadata.files.insert(NETWORK.to_owned(), Digest::of(&LARGE));
    large.files.insert(NETWORK.to_owned(), LARGE.to_vec());
    CircuitDirectory::create(&folder.path().join("large"), &large).unwrap_err();
    let good = ShippedModel::DiabetesRegression.compile("stark").unwrap();
    let good = CircuitDirectory::create(&folder.path().join("good"), &good).unwrap();
    let (catalogue, skipped) = Catalogue::open_usable(folder.path(), &Backends::default()).unwrap();
    assert!(catalogue.circuits().count() == 1 && catalogue.get(&good.id()).is_some());
    let [SkippedEntry { path, error }] = &skipped[..] else { panic!("{skipped:?}") };
    assert!(
        path.ends_with("large") && error.to_string().contains("more than the limit of"),
        "{error}"
    );
}

/// Requests to miners contain the inputs.
#[test]
fn circuits_with_hidden_inputs_are_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let model = ShippedModel::DiabetesRegression;
    let hiding = Backends::default().with_hidden_inputs();
    for (name, backends) in [("good", &Backends::default()), ("hidden", &hiding)] {
        let compiled = model.compile_with("stark", backends).unwrap();
        CircuitDirectory::create(&folder.path().join(name), &compiled).unwrap();
    }
    let (catalogue, skipped) = Catalogue::open_usable(folder.path(), &Backends::default()).unwrap();
    assert_eq!(catalogue.circuits().count(), 1);
    let [SkippedEntry { path, error }] = &skipped[..] else { panic!("{skipped:?}") };
    assert!(
        path.ends_with("hidden") && matches!(error, CircuitError::HiddenInputs),
        "{}: {error}",
        path.display()
    );
    assert_eq!(Catalogue::open(folder.path()).unwrap().circuits().count(), 2);
}

#[test]
fn circuits_of_other_versions_are_skipped_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let model = ShippedModel::DiabetesRegression;
    let good =
        CircuitDirectory::create(&folder.path().join("good"), &model.compile("stark").unwrap())
            .unwrap();
    for backend in ["groth16", "stark"] {
        let old = with_other_key_format(model.compile(backend).unwrap());
        CircuitDirectory::create(&folder.path().join(format!("old-{backend}")), &old).unwrap();
    }
    let foreign_path = folder.path().join("foreign");
    std::fs::create_dir(&foreign_path).unwrap();
    std::fs::write(foreign_path.join(FILE), br#"{"version": 2, "fields": []}"#).unwrap();
    let sliced = folder.path().join("sliced");
    model.compile_slices("stark", 2).unwrap().write(&sliced).unwrap();
    std::fs::remove_dir_all(sliced.join("slice_1")).unwrap();

    let (catalogue, skipped) = Catalogue::open_usable(folder.path(), &Backends::default()).unwrap();
    // The first slice of the incomplete model is a separate circuit.
    assert!(catalogue.circuits().count() == 2 && catalogue.get(&good.id()).is_some());
    assert_eq!(catalogue.models().count(), 0);
    let mut names: Vec<_> =
        skipped.iter().map(|skipped| skipped.path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["foreign", "old-groth16", "old-stark", "sliced"]);
    for SkippedEntry { path, error } in &skipped {
        let has_hint = error.to_string().contains("compile the model again");
        assert!(
            has_hint || matches!(error, CircuitError::NoSlice { .. }),
            "{}: {error}",
            path.display()
        );
    }
    // A list has all circuits with readable metadata, usable or not: the good one, two old ones and
    // the slice.
    let listed_circuits = Catalogue::list(folder.path()).unwrap();
    assert_eq!(
        (listed_circuits.len(), listed_circuits.get(&good.id())),
        (4, Some(good.metadata()))
    );
    assert!(matches!(Catalogue::list(&sliced.join("slice_1")), Err(CircuitError::File { .. })));
    assert!(
        Catalogue::open(folder.path()).is_err(),
        "commands on the directory do not skip anything"
    );

    // Without any usable circuit, the first error is reported.
    let old = Catalogue::open_usable(&folder.path().join("old-stark"), &Backends::default());
    assert!(
        matches!(old, Err(CircuitError::Prover(BackendError::Format { format: 100, .. }))),
        "{old:?}"
    );
}
