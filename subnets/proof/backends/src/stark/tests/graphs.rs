//! Random ONNX graphs of nodes of all kinds, read and quantised: their traces satisfy the
//! constraints, some of them are proven, and onnxruntime computes the same integers from the
//! exported networks.

mod drawing;

use drawing::{NODES, file_of};
use proptest::prelude::*;
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::quantise::{QuantiseOptions, quantise};

use super::constraints::broken;
use super::random::{assert_equals_onnxruntime, tries};
use super::*;
use crate::testing::check_flipped_proof;

/// Number of bits that are flipped in the proof of each kind: 1000 for all of them.
const FLIPS: usize = 1000_usize.div_ceil(NODES);
/// Maximum number of kinds in a graph.
const STEPS: usize = 4;
/// Interval of the inputs.
const INPUTS: Range = Range { low: -100, high: 100 };

/// Returns the integer network of a graph; `None` if it is refused, such as for tensors that are
/// too small or too large for their scales.
fn network_of(seed: u64, kinds: &[usize]) -> Option<Network> {
    let float = taonet_proof_onnx::read(&file_of(seed, kinds))
        .unwrap_or_else(|error| panic!("seed {seed}, kinds {kinds:?}: {error}"));
    let options = QuantiseOptions { input_range: INPUTS, ..QuantiseOptions::default() };
    let network = quantise(&float, &options, &rows_of(float.input.elements())).ok()?;
    Plan::new(&network.lower().unwrap()).ok()?;
    Some(network)
}

/// Returns rows of inputs that cover their interval.
fn rows_of(length: usize) -> Vec<Vec<i64>> {
    let row = |seed: usize| {
        (0..length).map(|index| (seed * 71 + index * 37).cast_signed() as i64 % 201 - 100).collect()
    };
    (0..6).map(row).collect()
}

/// Returns a row of the sample and the ends of the interval.
fn inputs_of(circuit: &Circuit) -> [Vec<i64>; 3] {
    let [low, high] = [INPUTS.low, INPUTS.high].map(|value| vec![value; circuit.inputs]);
    [rows_of(circuit.inputs).swap_remove(0), low, high]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(tries(32) as u32))]

    #[test]
    fn traces_of_random_graphs_satisfy_the_constraints(
        seed: u64,
        kinds in prop::collection::vec(0..NODES, 1..=STEPS),
    ) {
        let Some(network) = network_of(seed, &kinds) else {
            return Err(TestCaseError::reject("the network is refused"));
        };
        let circuit = network.lower().unwrap();
        let plan = Plan::new(&circuit).unwrap();
        for inputs in inputs_of(&circuit) {
            let execution = circuit.execute(&inputs).unwrap();
            let traces = trace::fill(&plan, &circuit, &execution).unwrap();
            let outputs = execution.outputs(&circuit);
            prop_assert_eq!(broken(&plan, &traces, &inputs, &outputs), None);
        }
    }
}

/// Returns a network for each kind of node, after a product with weights. Some seeds have a network
/// that is refused, such as a division by an interval that contains 0.
fn network_of_each_kind() -> impl Iterator<Item = (usize, Network)> {
    (0..NODES).map(|kind| {
        let network = (0..100).find_map(|seed| network_of(seed, &[0, kind]));
        (kind, network.unwrap_or_else(|| panic!("kind {kind} is always refused")))
    })
}

#[test]
fn graph_of_each_kind_of_node_is_proven() {
    for (kind, network) in network_of_each_kind() {
        println!("kind {kind}");
        let bench = Bench::new(&Stark, &network);
        for (index, inputs) in inputs_of(&bench.circuit).iter().enumerate() {
            let (statement, proof) = bench.prove(inputs);
            assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()));
            if index == 0 {
                let mut generator = testing::generator(kind as u64);
                check_flipped_proof(&bench, &statement, &proof, FLIPS, &mut generator);
            }
        }
        check_binding(&bench);
    }
}

#[test]
fn graphs_of_all_node_types_match_onnxruntime() {
    let circuits = network_of_each_kind().map(|(_, network)| {
        let circuit = network.lower().unwrap();
        let inputs = inputs_of(&circuit);
        (circuit, inputs)
    });
    assert_equals_onnxruntime(&circuits.collect::<Vec<_>>());
}
