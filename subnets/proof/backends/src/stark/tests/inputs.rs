//! Proofs that hide the inputs.

use taonet_proof_core::network::Matrices;

use super::super::config::HIDING_INPUTS;
use super::constraints::find_violation;
use super::*;
use crate::testing::{check_flipped_proof, elements};

fn matrices() -> Network {
    let sizes = Matrices { count: 2, rows: 3, inner: 4, columns: 5 };
    testing::matrices(sizes, Some(Rescale { shift: 6, clamp: Clamp::Signed(8) }))
}

/// Networks with and without products of polynomials, which have two stages.
fn networks() -> [Network; 4] {
    [testing::network(1), testing::wide_padding(), elements(1, true), matrices()]
}

fn test_setup(network: &Network) -> TestSetup {
    TestSetup::new(&StarkHidingInputs, network)
}

/// Proves the outputs on inputs. Returns the statement, which has no inputs, and the proof.
fn prove_with_seed(test_setup: &TestSetup, inputs: &[i64], seed: &Seed) -> (Statement, Vec<u8>) {
    let ProofWithOutputs { proof, outputs } =
        test_setup.prover.prove_with(inputs, &test_setup.binding, seed).unwrap();
    (Statement { binding: test_setup.binding.clone(), inputs: Vec::new(), outputs }, proof)
}

fn forger(network: &Network) -> Forger<Hiding> {
    let circuit = Arc::new(network.lower().unwrap());
    let plan = Plan::hiding_inputs(&circuit).unwrap();
    Forger::with_plan(network, circuit, plan)
}

#[test]
fn proofs_with_hidden_inputs_verify_for_their_statement_only() {
    for network in networks() {
        let test_setup = test_setup(&network);
        assert_eq!(u32::from(test_setup.keys.verification[0]), HIDING_INPUTS.format);
        let inputs = testing::inputs(&test_setup.circuit, 1);
        let (statement, proof) = prove_with_seed(&test_setup, &inputs, &Seed::random().unwrap());
        assert_eq!(statement.outputs, testing::outputs(&network, &inputs));
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
        let Binding { nonce, miner, circuit, verification_key } = statement.binding;
        let other = Digest::of(b"other");
        let bindings = [
            Binding { nonce: other, ..statement.binding.clone() },
            Binding { miner: Hotkey::from_bytes([8; 32]), ..statement.binding.clone() },
            Binding { circuit: other, ..statement.binding.clone() },
            Binding { verification_key: other, ..statement.binding.clone() },
        ];
        assert!(![nonce, circuit, verification_key].contains(&other));
        assert_ne!(miner, Hotkey::from_bytes([8; 32]));
        let mut others =
            bindings.map(|binding| Statement { binding, ..statement.clone() }).to_vec();
        // Those of the proof, too: a statement has no inputs that the proof does not prove.
        others.push(Statement { inputs, ..statement.clone() });
        others.push(Statement { inputs: vec![0], ..statement.clone() });
        for position in 0..statement.outputs.len() {
            let mut other = statement.clone();
            other.outputs[position] += 1;
            others.push(other);
        }
        for other in others {
            assert!(test_setup.verifier.verify(&other, &proof).is_err(), "{other:?}");
        }
    }
}

#[test]
fn flipped_bit_of_proof_with_hidden_inputs_is_rejected() {
    for network in [testing::network(1), matrices()] {
        let test_setup = test_setup(&network);
        let inputs = testing::inputs(&test_setup.circuit, 2);
        let (statement, proof) = prove_with_seed(&test_setup, &inputs, &Seed::random().unwrap());
        check_flipped_proof(&test_setup, &statement, &proof, 500, &mut testing::generator(3));
    }
}

/// Returns random inputs, and those at both ends of their range.
fn inputs_of(circuit: &Circuit) -> [Vec<i64>; 3] {
    let Range { low, high } = circuit.input_range;
    [testing::inputs(circuit, 1), vec![low; circuit.inputs], vec![high; circuit.inputs]]
}

#[test]
fn extremes_are_proven_with_hidden_inputs() {
    let test_setup = test_setup(&testing::network(1));
    for inputs in inputs_of(&test_setup.circuit) {
        let (statement, proof) = prove_with_seed(&test_setup, &inputs, &Seed::random().unwrap());
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
    }
}

#[test]
fn commitment_opens_with_its_inputs_and_seed_only() {
    for network in networks() {
        let test_setup = test_setup(&network);
        let (inputs, others) =
            (testing::inputs(&test_setup.circuit, 1), testing::inputs(&test_setup.circuit, 2));
        let [seed, other_seed] = [(); 2].map(|()| Seed::random().unwrap());
        let (statement, proof) = prove_with_seed(&test_setup, &inputs, &seed);
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
        let commitment = test_setup.verifier.input_commitment(&proof).unwrap();
        assert!(commitment.is_some());
        let commitment_of = |inputs: &[i64], binding: &Binding, seed: &Seed| {
            test_setup.prover.input_commitment(inputs, binding, seed).unwrap()
        };
        assert_eq!(commitment_of(&inputs, &test_setup.binding, &seed), commitment);
        assert_ne!(commitment_of(&others, &test_setup.binding, &seed), commitment);
        assert_ne!(commitment_of(&inputs, &test_setup.binding, &other_seed), commitment);
        let mut changed = inputs.clone();
        changed[0] ^= 1;
        assert_ne!(commitment_of(&changed, &test_setup.binding, &seed), commitment);
        // Another proof of the same inputs has another commitment.
        let (_, proof_with_other_seed) = prove_with_seed(&test_setup, &inputs, &other_seed);
        assert_ne!(
            test_setup.verifier.input_commitment(&proof_with_other_seed).unwrap(),
            commitment
        );
    }
}

/// Two inputs with the same output: the commitment is to one of them.
#[test]
fn commitment_distinguishes_inputs_with_the_same_outputs() {
    let network = testing::one_layer(None, vec![1, 1], vec![0], Range { low: 0, high: 3 });
    let test_setup = test_setup(&network);
    let seed = Seed::random().unwrap();
    let (statement, proof) = prove_with_seed(&test_setup, &[3, 0], &seed);
    assert_eq!(statement.outputs, [3]);
    let commitment = test_setup.verifier.input_commitment(&proof).unwrap();
    let commitment_of = |inputs: [i64; 2]| {
        test_setup.prover.input_commitment(&inputs, &test_setup.binding, &seed).unwrap()
    };
    assert_eq!(commitment_of([3, 0]), commitment);
    assert!([[0, 3], [2, 1], [1, 2]].into_iter().all(|inputs| commitment_of(inputs) != commitment));
}

#[test]
fn proofs_with_public_inputs_have_no_commitment() {
    for backend in [&Stark as &dyn Backend, &StarkHiding] {
        let test_setup = TestSetup::new(backend, &testing::network(1));
        let inputs = testing::inputs(&test_setup.circuit, 1);
        let (statement, proof) = test_setup.prove(&inputs);
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
        assert_eq!(test_setup.verifier.input_commitment(&proof), Ok(None));
        let seed = Seed::random().unwrap();
        let result = test_setup.prover.input_commitment(&inputs, &test_setup.binding, &seed);
        assert_eq!(result.unwrap(), None);
    }
}

#[test]
fn malformed_proof_has_no_commitment() {
    let test_setup = test_setup(&testing::network(1));
    for proof in [&[][..], &[1, 2, 3]] {
        let error = test_setup.verifier.input_commitment(proof);
        assert!(matches!(error, Err(VerifyError::Malformed(_))), "{error:?}");
    }
}

#[test]
fn keys_of_hidden_inputs_are_derived_from_the_network() {
    let circuit = testing::network(1).lower().unwrap();
    let key = |backend: &dyn Backend| backend.setup(&circuit).unwrap().verification;
    let hidden = key(&StarkHidingInputs);
    assert_eq!(key(&StarkHidingInputs), hidden);
    Stark.check_key(&circuit, &hidden).unwrap();
    let hides = |key: &[u8]| {
        let Capabilities { zero_knowledge, hides_inputs, .. } = Stark.capabilities_of(key).unwrap();
        [zero_knowledge, hides_inputs]
    };
    assert_eq!(hides(&hidden), [true, true]);
    assert_eq!(hides(&key(&StarkHiding)), [true, false]);
    assert_eq!(hides(&key(&Stark)), [false, false]);
    let other = StarkHidingInputs.setup(&testing::network(2).lower().unwrap()).unwrap();
    assert!(Stark.check_key(&circuit, &other.verification).is_err());
}

#[test]
fn traces_with_hidden_inputs_satisfy_the_constraints() {
    for network in networks() {
        let circuit = network.lower().unwrap();
        let plan = Plan::hiding_inputs(&circuit).unwrap();
        for inputs in inputs_of(&circuit) {
            let execution = circuit.execute(&inputs).unwrap();
            let outputs = execution.outputs(&circuit);
            let mut traces = trace::fill_traces(&plan, &circuit, &execution).unwrap();
            assert_eq!(find_violation(&plan, &traces, &[], &outputs), None);
            let table =
                plan.tables.iter().position(|table| table.kind == TableKind::Inputs).unwrap();
            traces.tables[table].values[0] += Val::ONE;
            assert!(find_violation(&plan, &traces, &[], &outputs).is_some());
        }
    }
}

/// The columns include that of the inputs.
#[test]
fn every_changed_column_with_hidden_inputs_is_rejected() {
    check_columns(&forger(&testing::network(5)));
}

/// The product of an input beyond its range agrees with it, and so do the output and the counts of
/// the other lookups. Where sums are close to half of the field, such an input would wrap around.
#[test]
fn hidden_inputs_out_of_range_are_rejected() {
    let network = |high: i64| testing::one_layer(None, vec![1, 1], vec![0], Range { low: 0, high });
    let (mut honest, mut wide) = (forger(&network(3)), forger(&network(7)));
    honest.change_inputs(&[3, 0]);
    wide.change_inputs(&[4, 0]);
    let [inputs, functions] =
        [TableKind::Inputs, TableKind::Functions].map(|kind| honest.table(kind));
    let plan = &honest.prover.system.plan;
    // The layouts differ in the function table only.
    for (table, (narrow, other)) in
        plan.tables.iter().zip(&wide.prover.system.plan.tables).enumerate()
    {
        assert_eq!(narrow.fixed == other.fixed, table != functions, "{:?}", narrow.kind);
    }
    let fixed = plan.tables[inputs].fixed.as_deref().unwrap();
    let range = fixed.values[1].as_canonical_u32();
    assert_eq!(plan.functions.row(range, 4), None);
    let row = plan.functions.row(range, 3).unwrap();
    let forged = |is_counted: bool| {
        honest.forge_outputs(vec![4], |traces| {
            for (table, columns) in traces.iter_mut().enumerate() {
                if table != functions {
                    columns.clone_from(&wide.traces.tables[table]);
                }
            }
            if is_counted {
                traces[functions].values[row] -= Val::ONE;
            }
        })
    };
    assert_eq!([true, false].map(forged), [Err(VerifyError::Invalid), Err(VerifyError::Invalid)]);
    // The same output on inputs in range.
    honest.change_inputs(&[3, 1]);
    assert_eq!(honest.forge(|_| ()), Ok(()));
    assert_eq!(honest.statement.outputs, [4]);
}

/// The function table has a row for each value of an input.
#[test]
fn wide_ranges_of_hidden_inputs_are_rejected() {
    let network = testing::one_layer(None, vec![1], vec![0], Range { low: 0, high: 1 << 21 });
    let circuit = network.lower().unwrap();
    StarkHiding.estimate(&circuit).unwrap();
    let error = StarkHidingInputs.estimate(&circuit).unwrap_err();
    assert!(matches!(error, BackendError::Size { .. }), "{error}");
    assert!(error.to_string().contains("--input-high"), "{error}");
}
