//! Circuits whose verification key is that of another network: a proof verifies for a key, so such
//! a circuit proves outputs that its network does not have.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

use std::path::Path;
use std::sync::Arc;

use taonet_primitives::Hotkey;
use taonet_proof_backends::stark::Stark;
use taonet_proof_backends::{Backend as _, Keys, ProofWithOutputs, Statement};
use taonet_proof_circuits::{
    Backends, Bundle, Catalogue, CircuitDirectory, CircuitError, Compiled, CompiledSlices,
    ModelBundle, ShippedModel, SlicedBundle, StoredChecks,
};
use taonet_proof_core::metadata::{
    FILE, MetadataError, NETWORK, PROVING_KEY, TRANSCRIPT, VERIFICATION_KEY,
};
use taonet_proof_core::network::{Network, Operation};
use taonet_proof_core::{Binding, Digest};

/// The output of the false network.
const FALSE_OUTPUT: i64 = 4242;
const MINER: Hotkey = Hotkey::from_bytes([5; 32]);
/// Error for a circuit with the key of another network.
const REFUSAL: &str = "the verification key does not match the network";

/// Changes a circuit.
type Change = fn(&mut Compiled);

fn compile_honest(backend: &str) -> Compiled {
    ShippedModel::DiabetesRegression.compile(backend).unwrap()
}

/// Replaces a file and its hash in the metadata.
fn replace(compiled: &mut Compiled, name: &str, contents: Vec<u8>) {
    compiled.metadata.files.insert(name.to_owned(), Digest::of(&contents));
    compiled.files.insert(name.to_owned(), contents);
}

/// Returns a network with the same shapes whose output is always the same.
fn constant_network(compiled: &Compiled) -> Network {
    let mut network = Network::from_bytes(&compiled.files[NETWORK]).unwrap();
    let Operation::Dense { weights, bias } = &mut network.layers.last_mut().unwrap().operation
    else {
        panic!("a dense layer")
    };
    weights.fill(0);
    *bias = vec![FALSE_OUTPUT];
    network
}

/// A circuit with an honest network and the key of a false one, and a bundle of a false output that
/// verifies for it.
struct ForgedCircuit {
    circuit: Compiled,
    bundle: Bundle,
}

impl ForgedCircuit {
    fn new() -> Self {
        let inputs = &ShippedModel::DiabetesRegression.sample().unwrap().inputs[0];
        Self::with_nonce(compile_honest("stark"), inputs, |_| Digest::of(b"a request"))
    }

    /// Gives a circuit the key of a false network, and proves its output for `inputs`. The nonce
    /// may depend on the changed circuit.
    fn with_nonce(
        mut circuit: Compiled,
        inputs: &[i64],
        nonce: impl FnOnce(&Compiled) -> Digest,
    ) -> Self {
        let network = circuit.files[NETWORK].clone();
        let other = Arc::new(constant_network(&circuit).lower().unwrap());
        let verification = Stark.setup(&other).unwrap().verification;
        replace(&mut circuit, VERIFICATION_KEY, verification.clone());
        let (nonce, miner, inputs) = (nonce(&circuit), MINER, inputs.to_vec());
        let binding = Binding {
            nonce,
            miner,
            circuit: circuit.metadata.id().unwrap(),
            verification_key: Digest::of(&verification),
        };
        let keys = Keys { proving: Vec::new(), verification: verification.clone() };
        let ProofWithOutputs { proof, outputs } =
            Stark.prover(other, &keys).unwrap().prove(&inputs, &binding).unwrap();
        assert_eq!(outputs, [FALSE_OUTPUT]);
        // The proof itself is valid for this key.
        let statement = Statement { binding, inputs: inputs.clone(), outputs: outputs.clone() };
        Stark.verifier(&verification).unwrap().verify(&statement, &proof).unwrap();
        let bundle = Bundle {
            version: 2,
            circuit: circuit.metadata.clone(),
            nonce,
            miner,
            inputs,
            outputs,
            network: Some(hex::encode(network)),
            verification_key: hex::encode(&verification),
            proof: hex::encode(proof),
        };
        Self { circuit, bundle }
    }

    fn write(&self, path: &Path) -> CircuitDirectory {
        CircuitDirectory::create(path, &self.circuit).unwrap()
    }
}

#[test]
fn circuit_with_another_networks_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("false");
    let created = ForgedCircuit::new().write(&path);
    let to_prove = CircuitDirectory::open_to_prove(&path, &Backends::default()).unwrap();
    for result in [
        created.verifier().err(),
        CircuitDirectory::open(&path).err(),
        Catalogue::open(&path).err(),
        to_prove.prover().err(),
        to_prove.verifier().err(),
    ] {
        let error = result.unwrap().to_string();
        assert!(error.contains(REFUSAL), "{error}");
    }
    // Among other circuits, only this one is not served.
    let good_circuit =
        CircuitDirectory::create(&folder.path().join("good"), &compile_honest("stark")).unwrap();
    let (catalogue, skipped) = Catalogue::open_usable(folder.path(), &Backends::default()).unwrap();
    assert_eq!(
        catalogue.circuits().map(|circuit| circuit.id()).collect::<Vec<_>>(),
        [good_circuit.id()]
    );
    assert!(skipped.len() == 1 && skipped[0].error.to_string().contains(REFUSAL), "{skipped:?}");
}

/// A directory stores the checks of honest circuits. Who can create files there is trusted, and
/// nobody else: the name of each file has a circuit and a program.
#[test]
fn stored_check_replaces_the_comparison_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("checks");
    let backends_of = |program: &str| {
        Backends::default().with_stored_checks(StoredChecks::open(&directory, program).unwrap())
    };
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    // No other test of this process compares the key of this circuit.
    let mut compiled = compile_honest("stark");
    "with a name of its own".clone_into(&mut compiled.metadata.name);
    let circuit = CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
    let inputs = &ShippedModel::DiabetesRegression.sample().unwrap().inputs[0];
    let bundle = Bundle::prove(&circuit, inputs, Digest::of(b"a request"), MINER).unwrap();
    bundle.verify_with(&backends_of("one")).unwrap();
    let files = names();
    let version = files[0].strip_prefix(&circuit.id().to_string()).unwrap();
    assert_eq!(files.len(), 1);
    let mut changed = bundle.clone();
    changed.outputs[0] += 1;
    assert!(matches!(changed.verify_with(&backends_of("one")), Err(CircuitError::Verify(_))));

    let forgery = ForgedCircuit::new();
    let false_circuit = folder.path().join("false");
    forgery.write(&false_circuit);
    let assert_refused = |backends: &Backends| {
        let open_error = CircuitDirectory::open_with(&false_circuit, backends).err();
        for error in [forgery.bundle.verify_with(backends).unwrap_err(), open_error.unwrap()] {
            assert!(error.to_string().contains(REFUSAL), "{error}");
        }
    };
    assert_refused(&backends_of("one"));
    assert_eq!(names(), files);
    // With the permissions of the other file.
    let forged = format!("{}{version}", forgery.bundle.circuit_id().unwrap());
    std::fs::copy(directory.join(&files[0]), directory.join(forged)).unwrap();
    forgery.bundle.verify_with(&backends_of("one")).unwrap();
    CircuitDirectory::open_with(&false_circuit, &backends_of("one")).unwrap();
    assert_refused(&backends_of("two"));
    assert_refused(&Backends::default());
}

/// Files as a cheat published them: the output would always be 424242.
#[test]
fn published_circuit_with_another_networks_key_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/false-key");
    let error = CircuitDirectory::open(&path).unwrap_err().to_string();
    assert!(error.contains(REFUSAL), "{error}");
}

#[test]
fn bundle_with_another_networks_key_is_refused() {
    let bundle = ForgedCircuit::new().bundle;
    let id = bundle.circuit_id().unwrap();
    let model_bundle = |bundle: &Bundle| ModelBundle::Single(Box::new(bundle.clone()));
    for error in [
        bundle.verify().unwrap_err(),
        model_bundle(&bundle).verify_for(&id, &Backends::default()).unwrap_err(),
    ] {
        assert!(error.to_string().contains(REFUSAL), "{error}");
    }
    // A bundle of version 1 has no network: its proof verifies, but nobody can tell for which
    // network.
    let old_bundle = Bundle { version: 1, network: None, ..bundle.clone() };
    assert!(old_bundle.lacks_network());
    old_bundle.verify().unwrap();
    let result = model_bundle(&old_bundle).verify_for(&id, &Backends::default());
    assert!(matches!(result, Err(CircuitError::NoNetwork)), "{result:?}");
    // Nor does another network help.
    let other = hex::encode(constant_network(&compile_honest("stark")).to_bytes().unwrap());
    let result = Bundle { network: Some(other), ..bundle }.verify();
    assert!(
        matches!(result, Err(CircuitError::Metadata(MetadataError::Mismatch { .. }))),
        "{result:?}"
    );
}

#[test]
fn sliced_bundle_with_another_networks_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shipped_model = ShippedModel::DiabetesRegression;
    let CompiledSlices { mut model, mut slices } =
        shipped_model.compile_slices("stark", 2).unwrap();
    let first = CircuitDirectory::create(&folder.path().join("first"), &slices[0]).unwrap();
    let (inputs, nonce) = (&shipped_model.sample().unwrap().inputs[0], Digest::of(b"a request"));
    let boundary_values = first.circuit().execute(inputs).unwrap().outputs(first.circuit());
    let forgery = ForgedCircuit::with_nonce(slices.remove(1), &boundary_values, |circuit| {
        model.slices[1] = circuit.metadata.id().unwrap();
        model.nonce(&nonce, 1, &boundary_values, &[FALSE_OUTPUT]).unwrap()
    });
    let honest_bundle = Bundle::prove(
        &first,
        inputs,
        model.nonce(&nonce, 0, inputs, &boundary_values).unwrap(),
        MINER,
    )
    .unwrap();
    let bundle =
        SlicedBundle { version: 2, model, nonce, slices: vec![honest_bundle, forgery.bundle] };
    let id = bundle.model_id().unwrap();
    let model_bundle = ModelBundle::Sliced(Box::new(bundle.clone()));
    for error in [
        bundle.verify().unwrap_err(),
        model_bundle.verify_for(&id, &Backends::default()).unwrap_err(),
    ] {
        assert!(error.to_string().contains(REFUSAL), "{error}");
    }
}

#[test]
fn honest_bundle_is_verified_for_its_circuit() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = &ShippedModel::DiabetesRegression.sample().unwrap().inputs[0];
    for (backend, has_network) in [("stark", true), ("groth16", false)] {
        let directory =
            CircuitDirectory::create(&folder.path().join(backend), &compile_honest(backend))
                .unwrap();
        let bundle = Bundle::prove(
            &directory,
            inputs,
            Digest::of(b"a request"),
            Hotkey::from_bytes([5; 32]),
        )
        .unwrap();
        assert_eq!(
            (bundle.network.is_some(), bundle.lacks_network()),
            (has_network, false),
            "{backend}"
        );
        let bundle = ModelBundle::Single(Box::new(bundle));
        bundle.verify_for(&directory.id(), &Backends::default()).unwrap();
        let other = Digest::of(b"another circuit");
        let result = bundle.verify_for(&other, &Backends::default());
        assert!(matches!(result, Err(CircuitError::IdMismatch { .. })), "{result:?}");
    }
}

#[test]
fn metadata_of_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let changes: [(&str, Change); 5] = [
        ("output", |compiled| compiled.metadata.output.scale += 1),
        ("output", |compiled| compiled.metadata.output.shape.channels += 1),
        ("output", |compiled| compiled.metadata.output.range.high += 1),
        ("input", |compiled| compiled.metadata.input.range.low -= 1),
        ("number of multiply-adds", |compiled| compiled.metadata.multiply_adds = 0),
    ];
    for (index, (part, change)) in changes.into_iter().enumerate() {
        let mut compiled = compile_honest("stark");
        change(&mut compiled);
        let path = folder.path().join(index.to_string());
        let created = CircuitDirectory::create(&path, &compiled);
        assert!(
            matches!(&created, Err(CircuitError::Metadata(MetadataError::Description(name))) if *name == part)
        );
        assert!(path.join(FILE).is_file() && CircuitDirectory::open(&path).is_err(), "{part}");
    }
}

/// No bundle is created, although the directory was opened without a comparison.
#[test]
fn circuit_with_another_networks_key_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("false");
    ForgedCircuit::new().write(&path);
    let inputs = &ShippedModel::DiabetesRegression.sample().unwrap().inputs[0];
    let directory = CircuitDirectory::open_to_prove(&path, &Backends::default()).unwrap();
    let error =
        Bundle::prove(&directory, inputs, Digest::of(b"a request"), MINER).unwrap_err().to_string();
    assert!(error.contains(REFUSAL), "{error}");
}

/// The keys of a trusted setup do not follow from the network: their shapes and their transcript
/// are compared.
#[test]
fn groth16_key_or_transcript_of_another_circuit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut other_shapes = compile_honest("groth16");
    let digits = ShippedModel::DigitsMlp.compile("groth16").unwrap();
    replace(&mut other_shapes, VERIFICATION_KEY, digits.files[VERIFICATION_KEY].clone());
    let mut other_transcript = compile_honest("groth16");
    let text = compile_honest("groth16").files[TRANSCRIPT].clone();
    replace(&mut other_transcript, TRANSCRIPT, text);
    // Of another setup for the same circuit, so with equal shapes.
    let mut other_setup = compile_honest("groth16");
    replace(
        &mut other_setup,
        VERIFICATION_KEY,
        compile_honest("groth16").files[VERIFICATION_KEY].clone(),
    );
    let without_field = |name: &str| {
        let mut circuit = compile_honest("groth16");
        circuit.metadata.files.remove(name).unwrap();
        circuit.files.remove(name);
        circuit
    };
    for (name, compiled, expected) in [
        ("shapes", other_shapes, "the inputs or outputs in the verification key differ"),
        ("transcript", other_transcript, "the proving key does not match the transcript"),
        ("setup", other_setup, "the proving key does not match the verification key"),
        (
            "no-transcript",
            without_field(TRANSCRIPT),
            "transcript.json is not listed in the metadata",
        ),
        ("no-proving-key", without_field(PROVING_KEY), "proving_key.bin"),
    ] {
        let path = folder.path().join(name);
        CircuitDirectory::create(&path, &compiled).unwrap();
        for result in [
            CircuitDirectory::open(&path),
            CircuitDirectory::open_to_prove(&path, &Backends::default()),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

/// A bundle has no transcript, so the circuit's transcript is compared although the bundle's key
/// was.
#[test]
fn groth16_bundle_with_a_network_does_not_skip_the_transcript() {
    let folder = tempfile::tempdir().unwrap();
    let mut circuit = compile_honest("groth16");
    replace(&mut circuit, TRANSCRIPT, compile_honest("groth16").files[TRANSCRIPT].clone());
    let path = folder.path().join("circuit");
    let directory = CircuitDirectory::create(&path, &circuit).unwrap();
    let inputs = &ShippedModel::DiabetesRegression.sample().unwrap().inputs[0];
    let bundle =
        Bundle::prove(&directory, inputs, Digest::of(b"a request"), Hotkey::from_bytes([5; 32]))
            .unwrap();
    let bundle = Bundle { network: Some(hex::encode(&circuit.files[NETWORK])), ..bundle };
    bundle.verify().unwrap();
    let error = CircuitDirectory::open(&path).unwrap_err().to_string();
    assert!(error.contains("the proving key does not match the transcript"), "{error}");
}
