//! Random ONNX graphs of nodes of all kinds, read and quantised: their traces satisfy the
//! constraints, onnxruntime computes the same integers from the exported networks, and one graph of
//! each kind is proven.

mod drawing;

use drawing::{NODES, file_of};
use proptest::prelude::*;
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::quantise::{QuantiseOptions, quantise};

use super::constraints::find_violation;
use super::random::{assert_equals_onnxruntime, attempts};
use super::*;
use crate::testing::check_flipped_proof;

/// Number of bits that are flipped in the proof of each kind: 1000 for all of them.
const FLIPS: usize = 1000_usize.div_ceil(NODES);
/// Maximum number of kinds in a graph.
const MAX_STEPS: usize = 4;
/// Number of graphs that onnxruntime executes at once.
const GRAPHS: usize = 32;
/// Interval of the inputs.
const INPUT_RANGE: Range = Range { low: -100, high: 100 };

/// Returns the integer network of a graph; `None` if it is refused, such as for tensors that are
/// too small or too large for their scales.
fn network_of(seed: u64, kinds: &[usize]) -> Option<Network> {
    let float = taonet_proof_onnx::read(&file_of(seed, kinds))
        .unwrap_or_else(|error| panic!("seed {seed}, kinds {kinds:?}: {error}"));
    let options = QuantiseOptions { input_range: INPUT_RANGE, ..QuantiseOptions::default() };
    let network = quantise(&float, &options, &rows_of(float.input.elements())).ok()?;
    Plan::new(&network.lower().unwrap()).ok()?;
    Some(network)
}

/// Returns the integer network of the first graph of these kinds that is not refused. Some seeds
/// have a graph that is, such as for a division by an interval that contains 0.
fn network_from(seed: u64, kinds: &[usize]) -> Option<Network> {
    (0..100).find_map(|offset| network_of(seed.wrapping_add(offset), kinds))
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
    let [low, high] = [INPUT_RANGE.low, INPUT_RANGE.high].map(|value| vec![value; circuit.inputs]);
    [rows_of(circuit.inputs).swap_remove(0), low, high]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(attempts(1) as u32))]

    /// The values of the executor satisfy the constraints, and onnxruntime has the same outputs.
    #[test]
    fn random_graphs_satisfy_the_constraints_and_match_onnxruntime(
        graphs in prop::collection::vec(
            (any::<u64>(), prop::collection::vec(0..NODES, 1..=MAX_STEPS)),
            GRAPHS,
        ),
    ) {
        let mut circuits = Vec::new();
        for (seed, kinds) in &graphs {
            let Some(network) = network_from(*seed, kinds) else { continue };
            println!("circuit {}: seed {seed}, kinds {kinds:?}", circuits.len());
            let circuit = network.lower().unwrap();
            let plan = Plan::new(&circuit).unwrap();
            let all_inputs = inputs_of(&circuit);
            for inputs in &all_inputs {
                let execution = circuit.execute(inputs).unwrap();
                let traces = trace::fill_traces(&plan, &circuit, &execution).unwrap();
                let outputs = execution.outputs(&circuit);
                prop_assert_eq!(find_violation(&plan, &traces, inputs, &outputs), None);
            }
            circuits.push((circuit, all_inputs));
        }
        // Hardly any kinds are refused with all seeds.
        prop_assert!(2 * circuits.len() > GRAPHS, "{} of {GRAPHS} graphs", circuits.len());
        assert_equals_onnxruntime(&circuits);
    }
}

/// Returns a network for each kind of node, after a product with weights.
fn network_of_each_kind() -> impl Iterator<Item = (usize, Network)> {
    (0..NODES).map(|kind| {
        let network = network_from(0, &[0, kind]);
        (kind, network.unwrap_or_else(|| panic!("kind {kind} is always refused")))
    })
}

#[test]
fn graph_of_each_node_kind_is_proven() {
    for (kind, network) in network_of_each_kind() {
        println!("kind {kind}");
        let test_setup = TestSetup::new(&Stark, &network);
        for (index, inputs) in inputs_of(&test_setup.circuit).iter().enumerate() {
            let (statement, proof) = test_setup.prove(inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
            if index == 0 {
                let mut generator = testing::generator(kind as u64);
                check_flipped_proof(&test_setup, &statement, &proof, FLIPS, &mut generator);
            }
        }
        check_binding(&test_setup);
    }
}

#[test]
fn graph_of_each_node_kind_matches_onnxruntime() {
    let circuits = network_of_each_kind().map(|(_, network)| {
        let circuit = network.lower().unwrap();
        let inputs = inputs_of(&circuit);
        (circuit, inputs)
    });
    assert_equals_onnxruntime(&circuits.collect::<Vec<_>>());
}
