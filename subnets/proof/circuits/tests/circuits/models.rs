//! Tests of the shipped models: from ONNX to proofs with both backends, with every integer compared
//! with onnxruntime.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use crate::onnxruntime::{python, run_onnx};
use taonet_primitives::Hotkey;
use taonet_proof_backends::Seed;
use taonet_proof_circuits::{
    Backends, Bundle, CircuitDirectory, CircuitError, Compiled, Opening, ShippedModel, contribute,
    verify_contributions,
};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{NETWORK, PROVING_KEY, TRANSCRIPT, VERIFICATION_KEY};
use taonet_proof_core::quantise::{Sample, quantise};
use taonet_proof_onnx as onnx;

/// Maximum size of the proof of a shipped model, in bytes.
const MAX_PROOF: usize = 400_000;
/// Maximum size of a proof by `stark` that hides values, in bytes.
const MAX_HIDDEN_PROOF: usize = 800_000;

fn compiled(model: ShippedModel, backend: &str) -> Compiled {
    model.compile(backend).unwrap()
}

fn sample(model: ShippedModel) -> Sample {
    model.sample().unwrap()
}

fn nonce() -> Digest {
    Digest::of(b"a request")
}

fn miner() -> Hotkey {
    Hotkey::from_bytes([5; 32])
}

#[test]
fn quantisation_loses_little_accuracy() {
    for model in ShippedModel::ALL {
        let name = model.name();
        let report = compiled(model, "stark").metadata.quantisation.unwrap();
        // Half of the rows determine the scales; the error is measured on the other half.
        assert_eq!((report.samples, report.calibration_samples), (30, Some(30)), "{name}");
        if let Some([float, integer]) = report.accuracy {
            // At most one of the 30 rows is classified differently.
            assert!(float >= 0.95 && integer >= float - 0.034, "{name}: {report:?}");
            assert!(
                report.agreement.is_some_and(|agreement| agreement >= 0.966),
                "{name}: {report:?}"
            );
        }
        if let Some([float, integer]) = report.root_mean_square {
            assert!(integer <= float * 1.02, "{name}: {report:?}");
        }
    }
}

fn prove_and_verify(model: ShippedModel, backend: &str) {
    let bundle = check_proof(model, &compiled(model, backend), MAX_PROOF);
    assert_eq!(bundle.hides_values().unwrap(), Some(backend == "groth16"));
}

fn check_proof(model: ShippedModel, compiled: &Compiled, max_bytes: usize) -> Bundle {
    let (name, backend) = (model.name(), &compiled.metadata.backend);
    let folder = tempfile::tempdir().unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), compiled).unwrap();
    let inputs = &sample(model).inputs[0];
    let bundle = Bundle::prove(&directory, inputs, nonce(), miner()).unwrap();
    assert_eq!(bundle.hides_values().unwrap(), directory.hides_values().unwrap());
    let execution = directory.circuit().execute(inputs).unwrap();
    assert_eq!(bundle.outputs, execution.outputs(directory.circuit()));
    let bytes = bundle.proof.len() / 2;
    assert!(bytes < max_bytes, "{name} {backend}: {bytes} bytes");
    // Verify without the directory, like another process.
    drop(folder);
    let text = serde_json::to_vec(&bundle).unwrap();
    let read = Bundle::from_json(&text).unwrap();
    assert_eq!(read, bundle);
    let with_byte_order_mark = [&b"\xef\xbb\xbf"[..], &text].concat();
    assert_eq!(
        Bundle::from_json(&with_byte_order_mark).unwrap(),
        bundle,
        "a byte order mark is ignored"
    );
    read.verify().unwrap();
    for change in [
        |bundle: &mut Bundle| bundle.outputs[0] += 1,
        |bundle: &mut Bundle| bundle.inputs[0] += 1,
        |bundle: &mut Bundle| bundle.nonce = Digest::of(b"another request"),
        |bundle: &mut Bundle| bundle.miner = Hotkey::from_bytes([6; 32]),
        |bundle: &mut Bundle| bundle.circuit.name.push('x'),
        |bundle: &mut Bundle| "none".clone_into(&mut bundle.circuit.backend),
        |bundle: &mut Bundle| bundle.verification_key.replace_range(0..2, "ff"),
        |bundle: &mut Bundle| bundle.proof.truncate(100),
    ] {
        let mut other_bundle = bundle.clone();
        change(&mut other_bundle);
        assert!(other_bundle.verify().is_err(), "{name} {backend}");
    }
    bundle
}

#[test]
fn models_are_proven_with_groth16() {
    for model in [ShippedModel::DigitsMlp, ShippedModel::DiabetesRegression] {
        prove_and_verify(model, "groth16");
    }
}

#[test]
fn lenet_is_proven_with_groth16() {
    prove_and_verify(ShippedModel::DigitsLenet, "groth16");
}

#[test]
fn models_are_proven_with_stark() {
    for model in ShippedModel::ALL {
        prove_and_verify(model, "stark");
    }
}

#[test]
fn models_are_proven_with_hidden_values() {
    let hiding = Backends::default().with_hidden_values();
    for model in ShippedModel::ALL {
        let compiled = model.compile_with("stark", &hiding).unwrap();
        let bundle = check_proof(model, &compiled, MAX_HIDDEN_PROOF);
        assert_eq!(bundle.hides_values().unwrap(), Some(true));
        // The same network, and another circuit.
        let plain = model.compile("stark").unwrap();
        assert_eq!(compiled.files[NETWORK], plain.files[NETWORK]);
        assert_ne!(compiled.metadata.id().unwrap(), plain.metadata.id().unwrap());
    }
}

/// Proves a model with hidden inputs. Returns the inputs, the bundle and its opening.
fn prove_with_hidden_inputs(model: ShippedModel) -> (Vec<i64>, Bundle, Opening) {
    let hiding = Backends::default().with_hidden_inputs();
    let compiled = model.compile_with("stark", &hiding).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
    assert!(directory.hides_inputs().unwrap());
    let inputs = sample(model).inputs.remove(0);
    let (bundle, opening) =
        Bundle::prove_with_opening(&directory, &inputs, nonce(), miner()).unwrap();
    let execution = directory.circuit().execute(&inputs).unwrap();
    assert_eq!(bundle.outputs, execution.outputs(directory.circuit()));
    (inputs, bundle, opening.unwrap())
}

#[test]
fn models_are_proven_with_hidden_inputs() {
    for model in ShippedModel::ALL {
        let (inputs, bundle, opening) = prove_with_hidden_inputs(model);
        let text = serde_json::to_vec(&bundle).unwrap();
        assert!(bundle.proof.len() / 2 < MAX_HIDDEN_PROOF, "{} bytes", bundle.proof.len() / 2);
        let read = Bundle::from_json(&text).unwrap();
        assert_eq!(read, bundle);
        assert!(read.inputs.is_empty());
        assert_eq!(read.hides_values().unwrap(), Some(true));
        assert_eq!(read.input_commitment().unwrap(), Some(opening.commitment));
        read.verify().unwrap();
        let opening = Opening::from_json(&opening.to_json().unwrap()).unwrap();
        assert_eq!(opening.inputs, inputs);
        read.verify_opening(&opening, &Backends::default()).unwrap();
        for change in [
            |bundle: &mut Bundle, _: &[i64]| bundle.outputs[0] += 1,
            |bundle: &mut Bundle, inputs: &[i64]| bundle.inputs = inputs.to_vec(),
            |bundle: &mut Bundle, _: &[i64]| bundle.inputs.push(0),
            |bundle: &mut Bundle, _: &[i64]| bundle.nonce = Digest::of(b"another request"),
            |bundle: &mut Bundle, _: &[i64]| bundle.miner = Hotkey::from_bytes([6; 32]),
        ] {
            let mut other = bundle.clone();
            change(&mut other, &inputs);
            assert!(other.verify().is_err(), "{}", model.name());
            assert!(other.verify_opening(&opening, &Backends::default()).is_err());
        }
    }
}

#[test]
fn openings_of_other_inputs_are_rejected() {
    type Change<'a> = &'a dyn Fn(&mut Opening);

    let model = ShippedModel::DiabetesRegression;
    let (_, bundle, opening) = prove_with_hidden_inputs(model);
    let (_, other_bundle, other_opening) = prove_with_hidden_inputs(model);
    let error_of = |change: &dyn Fn(&mut Opening)| {
        let mut changed = opening.clone();
        change(&mut changed);
        bundle.verify_opening(&changed, &Backends::default()).unwrap_err().to_string()
    };
    let changes: [(Change<'_>, &str); 7] = [
        (&|opening| opening.inputs[0] ^= 1, "other inputs"),
        (&|opening| opening.seed = Seed::from_bytes([1; 32]), "other inputs"),
        (&|opening| opening.seed = other_opening.seed.clone(), "other inputs"),
        (&|opening| opening.commitment = Digest::of(b"other"), "another proof"),
        (&|opening| *opening = other_opening.clone(), "another proof"),
        (&|opening| opening.inputs[0] = 1 << 40, "input 0 is"),
        (&|opening| opening.inputs.truncate(1), "1 input values"),
    ];
    for (change, expected) in changes {
        let error = error_of(change);
        assert!(error.contains(expected), "{error}");
    }
    // Two proofs of the same inputs have different commitments.
    assert_eq!(other_opening.inputs, opening.inputs);
    other_bundle.verify_opening(&other_opening, &Backends::default()).unwrap();
    let mut no_network = bundle.clone();
    no_network.network = None;
    let error = no_network.verify_opening(&opening, &Backends::default()).unwrap_err();
    assert!(matches!(error, CircuitError::NoNetwork), "{error}");
    // Without hidden inputs, there is nothing to open.
    let folder = tempfile::tempdir().unwrap();
    let plain = compiled(model, "stark");
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), &plain).unwrap();
    let inputs = &sample(model).inputs[0];
    let (plain, no_opening) =
        Bundle::prove_with_opening(&directory, inputs, nonce(), miner()).unwrap();
    assert!(no_opening.is_none() && plain.input_commitment().unwrap().is_none());
    let error = plain.verify_opening(&opening, &Backends::default()).unwrap_err();
    assert!(error.to_string().contains("inputs are public"), "{error}");
}

#[test]
fn changed_and_missing_files_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("circuit");
    let compiled = compiled(ShippedModel::DiabetesRegression, "stark");
    CircuitDirectory::create(&path, &compiled).unwrap();
    assert!(matches!(CircuitDirectory::create(&path, &compiled), Err(CircuitError::NotEmpty(_))));
    for name in [NETWORK, VERIFICATION_KEY] {
        let original = std::fs::read(path.join(name)).unwrap();
        let mut changed = original.clone();
        changed[original.len() / 2] ^= 1;
        for contents in [&changed[..], &original[..original.len() - 1], &[]] {
            std::fs::write(path.join(name), contents).unwrap();
            let opened = CircuitDirectory::open(&path).and_then(|directory| directory.keys());
            assert!(matches!(opened, Err(CircuitError::Metadata(_))), "{name}");
        }
        std::fs::remove_file(path.join(name)).unwrap();
        let opened = CircuitDirectory::open(&path).and_then(|directory| directory.keys());
        assert!(matches!(opened, Err(CircuitError::File { .. })), "{name}");
        std::fs::write(path.join(name), original).unwrap();
    }
    CircuitDirectory::open(&path).unwrap().verifier().unwrap();
}

#[test]
fn contribution_changes_the_circuit_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("circuit");
    let first =
        CircuitDirectory::create(&path, &compiled(ShippedModel::DiabetesRegression, "groth16"))
            .unwrap();
    let id = first.id();
    let second = first.replace(&contribute(&first, "Grace").unwrap()).unwrap();
    assert_ne!(second.id(), id);
    let transcript = second.transcript().unwrap().unwrap();
    assert_eq!(transcript.initial, "anonymous");
    assert_eq!(transcript.contributions[0].contributor, "Grace");
    let inputs = &sample(ShippedModel::DiabetesRegression).inputs[0];
    Bundle::prove(&second, inputs, nonce(), miner()).unwrap().verify().unwrap();
}

/// Keys are accepted only if they follow from those of an earlier copy by the contributions made
/// since then.
#[test]
fn contributions_are_verified_against_an_earlier_key() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |directory: &CircuitDirectory, name: &str, change: &dyn Fn(&mut Compiled)| {
        let names: Vec<String> = directory.metadata().files.keys().cloned().collect();
        let file =
            |name: String| (name.clone(), std::fs::read(directory.path().join(name)).unwrap());
        let mut compiled = Compiled {
            metadata: directory.metadata().clone(),
            files: names.into_iter().map(file).collect(),
        };
        change(&mut compiled);
        let digests =
            compiled.files.iter().map(|(name, contents)| (name.clone(), Digest::of(contents)));
        compiled.metadata.files = digests.collect();
        CircuitDirectory::create(&folder.path().join(name), &compiled).unwrap()
    };
    let compiled_once = compiled(ShippedModel::DiabetesRegression, "groth16");
    let first = CircuitDirectory::create(&folder.path().join("first"), &compiled_once).unwrap();
    let after_grace =
        copy(&first, "grace", &|_| ()).replace(&contribute(&first, "Grace").unwrap()).unwrap();
    let after_ada = copy(&after_grace, "last", &|_| ())
        .replace(&contribute(&after_grace, "Ada").unwrap())
        .unwrap();
    assert_eq!(verify_contributions(&first, &after_ada).unwrap(), ["Grace", "Ada"]);
    assert_eq!(verify_contributions(&after_grace, &after_ada).unwrap(), ["Ada"]);
    assert!(verify_contributions(&after_ada, &after_ada).unwrap().is_empty());

    // Each of these is rejected: a different setup, swapped copies, a changed contributor, a
    // changed name, and a circuit without a setup.
    let other = compiled(ShippedModel::DiabetesRegression, "groth16");
    let other = CircuitDirectory::create(&folder.path().join("other"), &other).unwrap();
    let renamed = copy(&after_ada, "renamed", &|compiled| compiled.metadata.name.push('x'));
    let with_other_keys = copy(&after_ada, "foreign", &|compiled| {
        for name in [PROVING_KEY, VERIFICATION_KEY] {
            compiled.files.insert(name.to_owned(), other.file(name).unwrap());
        }
    });
    let with_other_contributor = copy(&after_ada, "credited", &|compiled| {
        let text = String::from_utf8(compiled.files[TRANSCRIPT].clone()).unwrap();
        compiled.files.insert(TRANSCRIPT.to_owned(), text.replace("Grace", "Grete").into_bytes());
    });
    let stark = compiled(ShippedModel::DiabetesRegression, "stark");
    let stark = CircuitDirectory::create(&folder.path().join("stark"), &stark).unwrap();
    for (earlier, later) in [
        (&other, &after_ada),
        (&after_ada, &first),
        (&first, &with_other_keys),
        (&first, &with_other_contributor),
    ] {
        let result = verify_contributions(earlier, later);
        assert!(matches!(result, Err(CircuitError::Ceremony(_))), "{result:?}");
    }
    assert!(matches!(verify_contributions(&first, &renamed), Err(CircuitError::OtherCircuit(_))));
    assert!(matches!(verify_contributions(&stark, &stark), Err(CircuitError::NoSetup(_))));
}

/// The exported network computes the same integers in onnxruntime, and the outputs of the float
/// model differ from them by the reported error.
#[test]
fn outputs_match_onnxruntime() {
    let Some(python) = python() else { return };
    for model in ShippedModel::ALL {
        let name = model.name();
        let (calibration, test) = sample(model).split();
        let inputs = &test.inputs;
        let float = onnx::read(model.onnx()).unwrap();
        let network = quantise(&float, &model.quantise_options(), &calibration).unwrap();
        let circuit = network.lower().unwrap();
        let integer_outputs: Vec<Vec<f64>> = inputs
            .iter()
            .map(|values| {
                circuit
                    .execute(values)
                    .unwrap()
                    .outputs(&circuit)
                    .iter()
                    .map(|&value| value as f64)
                    .collect()
            })
            .collect();
        let runs =
            [onnx::export(&circuit), model.onnx().to_vec()].map(|file| (file, inputs.clone()));
        let [exported, expected]: [Vec<Vec<f64>>; 2] = run_onnx(&python, &runs).try_into().unwrap();
        assert_eq!(exported, integer_outputs, "{name}");

        let report = compiled(model, "stark").metadata.quantisation.unwrap();
        let scale = f64::from(-network.output_scale()).exp2();
        for (float, integer) in expected.iter().flatten().zip(integer_outputs.iter().flatten()) {
            assert!(
                (float - integer * scale).abs() <= report.largest_error * 1.001 + 1e-3,
                "{name}"
            );
        }
    }
}
