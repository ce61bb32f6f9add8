//! Circuits of the backend `external`, proven and verified by a program outside of this process.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_primitives::Hotkey;
use taonet_proof_backends::external::External;
use taonet_proof_backends::{BackendError, Capabilities, VerifyError};
use taonet_proof_circuits::{
    Backends, Bundle, Catalogue, CircuitDirectory, CircuitError, CompileOptions, ModelBundle,
    ShippedModel, SkippedEntry, SlicedBundle, compile, compile_slices,
};
use taonet_proof_core::Digest;

/// Returns the path of examples/rerun.py, a proof system whose verifier runs the network again.
fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../backends/examples/rerun.py")
        .canonicalize()
        .unwrap()
}

fn backends_with_program(program: &Path) -> Backends {
    Backends::with_external(
        External::new(program, Duration::from_mins(2), Capabilities::UNKNOWN).unwrap(),
    )
}

fn options(model: ShippedModel, backends: &Backends) -> CompileOptions {
    CompileOptions {
        name: model.name().to_owned(),
        backend: "external".to_owned(),
        backends: backends.clone(),
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    }
}

fn request() -> (Digest, Hotkey) {
    (Digest::of(b"a request"), Hotkey::from_bytes([5; 32]))
}

/// The program implements the network independently: it computes the executor's outputs, and
/// rejects changed ones.
#[test]
fn external_program_proves_and_verifies_models() {
    let backends = backends_with_program(&program());
    let (nonce, miner) = request();
    for model in [ShippedModel::DiabetesRegression, ShippedModel::DigitsLenet] {
        let (name, sample) = (model.name(), model.sample().unwrap());
        let compiled = compile(model.onnx(), &sample, &options(model, &backends)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let directory =
            CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
        assert!(matches!(directory.prover(), Err(CircuitError::NoProgram)), "{name}");
        let directory = directory.with_backends(&backends);
        let bundle = Bundle::prove(&directory, &sample.inputs[0], nonce, miner).unwrap();
        bundle.verify_with(&backends).unwrap();
        assert!(matches!(bundle.verify(), Err(CircuitError::NoProgram)), "{name}");
        for change in [
            |bundle: &mut Bundle| bundle.outputs[0] += 1,
            |bundle: &mut Bundle| bundle.inputs[0] += 1,
            |bundle: &mut Bundle| bundle.nonce = Digest::of(b"another request"),
            |bundle: &mut Bundle| bundle.miner = Hotkey::from_bytes([6; 32]),
            |bundle: &mut Bundle| bundle.proof.replace_range(0..2, "zz"),
            |bundle: &mut Bundle| bundle.proof.truncate(10),
        ] {
            let mut other = bundle.clone();
            change(&mut other);
            assert!(other.verify_with(&backends).is_err(), "{name}");
        }
    }
}

/// A circuit's own program takes precedence; circuits without a program are not served.
#[test]
fn program_of_a_circuit_takes_precedence() {
    let (model, temp_dir) = (ShippedModel::DiabetesRegression, tempfile::tempdir().unwrap());
    let compiled = compile(
        model.onnx(),
        &model.sample().unwrap(),
        &options(model, &backends_with_program(&program())),
    )
    .unwrap();
    let external_id =
        CircuitDirectory::create(&temp_dir.path().join("external"), &compiled).unwrap().id();
    let no_programs = Backends::default();
    assert!(matches!(
        Catalogue::open_usable(temp_dir.path(), &no_programs),
        Err(CircuitError::NoProgram)
    ));

    let built_in =
        CircuitDirectory::create(&temp_dir.path().join("stark"), &model.compile("stark").unwrap())
            .unwrap();
    let (catalogue, skipped) = Catalogue::open_usable(temp_dir.path(), &no_programs).unwrap();
    assert!(matches!(
        &skipped[..],
        [SkippedEntry { path, error: CircuitError::NoProgram }] if path.ends_with("external")
    ));
    assert_eq!(
        catalogue.circuits().map(|circuit| circuit.id()).collect::<Vec<_>>(),
        [built_in.id()]
    );

    let failing =
        External::new(Path::new("/bin/false"), Duration::from_mins(1), Capabilities::UNKNOWN)
            .unwrap();
    let working = External::new(&program(), Duration::from_mins(1), Capabilities::UNKNOWN).unwrap();
    let backends = Backends::with_external(failing).with_program_of(external_id, working);
    let (catalogue, skipped) = Catalogue::open_usable(temp_dir.path(), &backends).unwrap();
    assert!(skipped.is_empty(), "{skipped:?}");
    let (nonce, miner) = request();
    let inputs = model.sample().unwrap().inputs[0].clone();
    let bundle =
        Bundle::prove(catalogue.get(&external_id).unwrap(), &inputs, nonce, miner).unwrap();
    bundle.verify_with(&backends).unwrap();
}

#[test]
fn external_programs_prove_slices() {
    let backends = backends_with_program(&program());
    let (nonce, miner) = request();
    let model = ShippedModel::DiabetesRegression;
    let sample = model.sample().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sliced");
    compile_slices(model.onnx(), &sample, &options(model, &backends), 2)
        .unwrap()
        .write(&path)
        .unwrap();
    let catalogue = Catalogue::open_with(&path, &backends).unwrap();
    let (_, sliced) = catalogue.models().next().unwrap();
    let circuits: Vec<&CircuitDirectory> =
        sliced.slices.iter().map(|id| &**catalogue.get(id).unwrap()).collect();
    let bundle = SlicedBundle::prove(sliced, &circuits, &sample.inputs[0], nonce, miner).unwrap();
    ModelBundle::Sliced(Box::new(bundle.clone())).verify_with(&backends).unwrap();
    assert!(matches!(bundle.verify(), Err(CircuitError::NoProgram)));
}

/// A program that fails neither proves nor rejects anything.
#[test]
fn failing_external_program_neither_proves_nor_rejects() {
    let model = ShippedModel::DiabetesRegression;
    let sample = model.sample().unwrap();
    let failing = backends_with_program(Path::new("/bin/false"));
    let compiled = compile(model.onnx(), &sample, &options(model, &failing));
    assert!(matches!(compiled, Err(CircuitError::Prover(BackendError::External(_)))));

    let folder = tempfile::tempdir().unwrap();
    let compiled =
        compile(model.onnx(), &sample, &options(model, &backends_with_program(&program())))
            .unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
    let directory = directory.with_backends(&backends_with_program(&program()));
    let (nonce, miner) = request();
    let bundle = Bundle::prove(&directory, &sample.inputs[0], nonce, miner).unwrap();
    let result = bundle.verify_with(&failing);
    assert!(matches!(&result, Err(CircuitError::Verify(VerifyError::Verifier(_)))), "{result:?}");
}
