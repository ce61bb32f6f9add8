use std::panic::{AssertUnwindSafe, catch_unwind};

use taonet_primitives::Hotkey;
use taonet_proof_core::{Clamp, Range, Rescale};

use super::*;
use crate::testing::{self, Bench, check_binding, check_flips};

#[test]
fn proofs_verify_for_their_statement_only() {
    check_binding(&Bench::new(&Stark, &testing::network(1)));
}

#[test]
fn no_flipped_bit_is_accepted() {
    check_flips(&Stark, &Bench::new(&Stark, &testing::network(1)), 1200);
}

#[test]
fn extremes_of_every_layer_are_proven() {
    for network in testing::extreme_layers().into_iter().step_by(5) {
        let bench = Bench::new(&Stark, &network);
        assert!(bench.circuit.magnitude() < plan::MAX_MAGNITUDE);
        for inputs in testing::extremes(&network).into_iter().step_by(3) {
            let (statement, proof) = bench.prove(&inputs);
            assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()));
        }
    }
}

/// Circuits with a sum that could wrap around are rejected, however small the layer.
#[test]
fn circuits_beyond_the_field_are_refused() {
    let rescale = Rescale { shift: 20, clamp: Clamp::Unsigned(8) };
    let range = Range { low: 0, high: 1 << 20 };
    let fits = testing::one_layer(Some(rescale), vec![1 << 9], vec![0], range);
    let wraps = testing::one_layer(Some(rescale), vec![1 << 10], vec![0], range);
    assert!(Stark.estimate(&fits.lower().unwrap()).is_ok());
    assert!(matches!(Stark.estimate(&wraps.lower().unwrap()), Err(BackendError::Magnitude { .. })));
}

/// Proves the original outputs with one changed trace value; returns whether the proof verifies.
fn forge(table: usize, position: usize, change: Val) -> bool {
    let network = testing::network(5);
    let circuit = Arc::new(network.lower().unwrap());
    let plan = Plan::new(&circuit).unwrap();
    let config = config();
    let prepared = prepare(&config, &plan).unwrap();
    let file = VerificationKeyFile::new(&circuit, &plan, &prepared).unwrap();
    let key = file.to_bytes().unwrap();
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&key),
    };
    let inputs = testing::inputs(&circuit, 1);
    let execution = circuit.execute(&inputs).unwrap();
    let outputs = execution.outputs(&circuit);
    let mut traces = trace::fill(&plan, &circuit, &execution).unwrap();
    let values = &mut traces[table].values;
    let position = position % values.len();
    values[position] += change;
    let digest = binding.digest(&inputs);
    let prover = StarkProver { circuit, plan, config, prepared, key_digest: Digest::of(&key) };
    // With debug assertions the library's prover panics at a trace that breaks a constraint.
    let proof = catch_unwind(AssertUnwindSafe(|| prover.prove_traces(&traces, &inputs, &outputs, &digest)));
    let Ok(Ok(proof)) = proof else { return false };
    let verifier = Stark.verifier(&key).unwrap();
    verifier.verify(&Statement { binding, inputs, outputs }, &proof).is_ok()
}

/// Values, sums, quotients, remainders, activations, maxima and counts: any change makes the proof fail.
#[test]
fn changed_trace_values_are_refused() {
    assert!(forge(1, 0, Val::ZERO), "an unchanged trace is proven");
    for table in 0..5 {
        for position in [0, 1, 2, 3, 7, 11, 40, 101] {
            assert!(!forge(table, position, Val::ONE), "table {table}, value {position}");
        }
    }
}

#[test]
fn keys_follow_from_the_network() {
    let circuit = Arc::new(testing::network(1).lower().unwrap());
    let keys = Stark.setup(&circuit).unwrap();
    assert_eq!(Stark.setup(&circuit).unwrap().verification, keys.verification);
    assert!(keys.verification.len() < 200);
    let other = Stark.setup(&testing::network(2).lower().unwrap()).unwrap();
    assert_ne!(other.verification, keys.verification);
    assert!(Stark.prover(circuit, &other).is_err());
}

#[test]
fn proofs_are_short() {
    let bench = Bench::new(&Stark, &testing::network(1));
    let (_, proof) = bench.prove(&testing::inputs(&bench.circuit, 1));
    assert!(proof.len() < 400_000, "{} bytes", proof.len());
}
