//! Random networks: their traces satisfy the constraints, some of them are proven, and onnxruntime
//! computes the same integers from the exported networks.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use taonet_proof_core::circuit::Circuit;
use taonet_testing::{is_exhaustive, peer_directory, query_program};

use super::constraints::find_violation;
use super::*;
use crate::testing::{KINDS, kind, random_network};

/// Maximum number of layers.
const MAX_LAYERS: usize = 8;
/// Products of polynomials wherever they are possible.
const POLYNOMIALS_ONLY: Method =
    Method { tile: Tile { inputs: 1, outputs: 1 }, format: KeyFormat::Polynomials };

/// Returns random inputs, and those at both ends of their interval.
pub(super) fn inputs_of(circuit: &Circuit, seed: u64) -> [Vec<i64>; 3] {
    let Range { low, high } = circuit.input_range;
    [testing::inputs(circuit, seed), vec![low; circuit.inputs], vec![high; circuit.inputs]]
}

/// Returns how many networks are tried in place of `default` ones.
pub(super) fn attempts(default: u64) -> u64 {
    if is_exhaustive() { 20 * default } else { default }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(attempts(200) as u32))]

    /// Every execution satisfies the constraints, with tiles and with products of polynomials. A
    /// change of any value breaks one of them.
    #[test]
    fn traces_of_random_networks_satisfy_the_constraints(
        seed: u64,
        layers in 1..=MAX_LAYERS,
        changed: prop::sample::Index,
    ) {
        let circuit = random_network(seed, layers, true).lower().unwrap();
        let plans = [Plan::new(&circuit), Plan::with_method(&circuit, POLYNOMIALS_ONLY)];
        for plan in plans.map(Result::unwrap) {
            for inputs in inputs_of(&circuit, seed) {
                let execution = circuit.execute(&inputs).unwrap();
                let outputs = execution.outputs(&circuit);
                let mut traces = trace::fill_traces(&plan, &circuit, &execution).unwrap();
                prop_assert_eq!(find_violation(&plan, &traces, &inputs, &outputs), None);
                let count: usize = traces.tables.iter().map(|table| table.values.len()).sum();
                let mut values = traces.tables.iter_mut().flat_map(|table| &mut table.values);
                *values.nth(changed.index(count)).unwrap() += Val::ONE;
                prop_assert_ne!(find_violation(&plan, &traces, &inputs, &outputs), None);
            }
        }
    }
}

/// Every kind of layer is among the random ones, as the last layer and before it.
#[test]
fn random_networks_have_layers_of_every_kind() {
    let mut counts = [[0; 2]; KINDS];
    for seed in 0..400 {
        let network = random_network(seed, MAX_LAYERS, true);
        for (index, layer) in network.layers.iter().enumerate() {
            counts[kind(&layer.operation)][usize::from(index + 1 == MAX_LAYERS)] += 1;
        }
    }
    assert!(counts.iter().flatten().all(|&count| count >= 5), "{counts:?}");
}

#[test]
fn random_networks_are_proven() {
    check_random_networks(&Stark);
}

#[test]
fn random_networks_are_proven_with_hidden_values() {
    check_random_networks(&StarkHiding);
}

fn check_random_networks(backend: &dyn Backend) {
    for seed in 0..attempts(6) {
        let test_setup = TestSetup::new(backend, &random_network(seed, MAX_LAYERS, true));
        for inputs in inputs_of(&test_setup.circuit, seed) {
            let (mut statement, proof) = test_setup.prove(&inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "seed {seed}");
            statement.outputs[0] += 1;
            assert!(test_setup.verifier.verify(&statement, &proof).is_err(), "seed {seed}");
        }
    }
}

#[test]
fn random_networks_match_onnxruntime() {
    let circuits = (0..attempts(100)).map(|seed| {
        let circuit = random_network(seed, 1 + seed as usize % MAX_LAYERS, true).lower().unwrap();
        let inputs = inputs_of(&circuit, seed);
        (circuit, inputs)
    });
    assert_equals_onnxruntime(&circuits.collect::<Vec<_>>());
}

/// Checks that onnxruntime computes the same integers from the exported circuits for these inputs,
/// if it is installed. All of them are sent at once, because Python starts slowly.
pub(super) fn assert_equals_onnxruntime(circuits: &[(Circuit, [Vec<i64>; 3])]) {
    let Some(directory) = peer_directory("onnx") else { return };
    let requests = circuits.iter().map(|(circuit, inputs)| {
        let model = BASE64_STANDARD.encode(taonet_proof_onnx::export(circuit));
        json!({ "model": model, "inputs": inputs })
    });
    let requests: Value = requests.collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../circuits/tests/peers/run_onnx.py");
    let responses =
        query_program(Command::new(directory.join("bin/python")).arg(script), &requests);
    let responses: Vec<Vec<Vec<i64>>> = serde_json::from_value(responses).unwrap();
    assert_eq!(responses.len(), circuits.len());
    for (index, ((circuit, inputs), expected)) in circuits.iter().zip(responses).enumerate() {
        let actual =
            inputs.each_ref().map(|inputs| circuit.execute(inputs).unwrap().outputs(circuit));
        assert_eq!(expected, actual, "circuit {index}");
    }
}
