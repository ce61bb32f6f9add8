use ark_bn254::Bn254;
use ark_ff::One as _;
use ark_groth16::Proof;
use ark_serialize::CanonicalDeserialize as _;
use taonet_primitives::Hotkey;
use taonet_proof_core::Range;

use super::*;
use crate::testing::{self, Bench, check_binding, check_flips};
use crate::{Statement, VerifyError};

#[test]
fn proofs_verify_for_their_statement_only() {
    check_binding(&Bench::new(&Groth16, &testing::network(1)));
}

#[test]
fn no_flipped_bit_is_accepted() {
    check_flips(&Groth16, &Bench::new(&Groth16, &testing::network(1)), 1200);
}

#[test]
fn copies_that_are_randomised_again_are_bound_as_well() {
    let bench = Bench::new(&Groth16, &testing::network(1));
    let (statement, proof) = bench.prove(&testing::inputs(&bench.circuit, 1));
    let file = VerificationKeyFile::from_bytes(&bench.keys.verification).unwrap();
    let original = Proof::<Bn254>::deserialize_compressed(proof.as_slice()).unwrap();
    let copy = Scheme::rerandomize_proof(&file.key, &original, &mut generator().unwrap());
    let mut bytes = Vec::new();
    copy.serialize_compressed(&mut bytes).unwrap();
    assert_ne!(bytes, proof);
    // A re-randomised proof verifies for the same miner only.
    assert_eq!(bench.verifier.verify(&statement, &bytes), Ok(()));
    let thief = Binding { miner: Hotkey::from_bytes([9; 32]), ..statement.binding.clone() };
    assert_eq!(bench.verifier.verify(&Statement { binding: thief, ..statement }, &bytes), Err(VerifyError::Invalid));
}

/// The assignment of an execution satisfies the constraints at the extremes of every layer, and no sum's decomposition
/// comes near the field's size: nothing wraps around.
#[test]
fn extremes_of_every_layer_satisfy_the_constraints() {
    for network in testing::extreme_layers() {
        let circuit = network.lower().unwrap();
        assert!(circuit.magnitude() <= circuit::MAX_MAGNITUDE);
        let cs = circuit::constrain(&circuit, MAX_PUBLIC_INPUTS).unwrap();
        for inputs in testing::extremes(&network) {
            let execution = circuit.execute(&inputs).unwrap();
            let sums = circuit.linear_stages().next().unwrap().sums;
            assert!(execution.sums[0].iter().all(|&sum| sums.contains(sum)));
            let assignment = circuit::assign(&circuit, MAX_PUBLIC_INPUTS, &Digest::of(b"x"), &inputs, &execution);
            assert_eq!(assignment.len(), cs.variables);
            assert_eq!(cs.broken(&assignment), None, "{network:?} {inputs:?}");
        }
    }
}

#[test]
fn widths_hold_their_intervals_and_stay_far_from_the_field() {
    use super::gadgets::Width;
    for (low, high, bits, signed) in [
        (0, 0, 0, false),
        (0, 1, 1, false),
        (0, 255, 8, false),
        (0, 256, 9, false),
        (-1, 0, 0, true),
        (-128, 127, 7, true),
        (-129, 127, 8, true),
        (-1, 128, 8, true),
    ] {
        assert_eq!(Width::of(Range { low, high }), Width { bits, signed }, "{low} {high}");
    }
    let most = circuit::MAX_MAGNITUDE.cast_signed();
    let widest = Width::of(Range { low: -most, high: most });
    // Bits and sign of the largest sum, against the field's 254.
    assert!(widest.bits + 1 < 100);
}

/// Changes each witness value individually: bits, signs, remainders, activations, maxima.
#[test]
fn every_changed_witness_value_breaks_a_constraint() {
    let circuit = testing::network(5).lower().unwrap();
    let cs = circuit::constrain(&circuit, MAX_PUBLIC_INPUTS).unwrap();
    let inputs = testing::inputs(&circuit, 4);
    let execution = circuit.execute(&inputs).unwrap();
    let honest = circuit::assign(&circuit, MAX_PUBLIC_INPUTS, &Digest::of(b"x"), &inputs, &execution);
    assert_eq!(cs.broken(&honest), None);
    let mut free = 0;
    for position in 1..honest.len() {
        for change in [Fr::one(), -Fr::one()] {
            let mut wrong = honest.clone();
            wrong[position] += change;
            if cs.broken(&wrong).is_none() {
                free += 1;
                // The inverse of zero may be anything; nothing depends on it.
                assert!(honest[position] == Fr::from(0), "variable {position}");
                let uses: Vec<usize> =
                    (0..cs.constraints()).filter(|&row| cs.b[row].iter().any(|&(_, var)| var == position)).collect();
                assert_eq!(uses.len(), 1, "variable {position}");
            }
        }
    }
    assert!(free < honest.len() / 4);
}

#[test]
fn many_inputs_are_hashed() {
    let network = testing::network(2);
    let circuit = Arc::new(network.lower().unwrap());
    let keys = setup(&circuit, 8).unwrap();
    let prover = Groth16Prover::new(Arc::clone(&circuit), 8, &keys).unwrap();
    let verifier = verifier::Groth16Verifier::new(&keys.verification).unwrap();
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&keys.verification),
    };
    let inputs = testing::inputs(&circuit, 6);
    let Proven { proof, outputs } = prover.prove(&inputs, &binding).unwrap();
    let statement = Statement { binding, inputs, outputs };
    assert_eq!(verifier.verify(&statement, &proof), Ok(()));
    // Binding, four outputs and one digest besides the constant one.
    assert_eq!(VerificationKeyFile::from_bytes(&keys.verification).unwrap().key.gamma_abc_g1.len(), 7);
    let mut other = statement;
    other.inputs[3] ^= 1;
    assert_eq!(verifier.verify(&other, &proof), Err(VerifyError::Invalid));
}

#[test]
fn proofs_are_verified_together() {
    let bench = Bench::new(&Groth16, &testing::network(1));
    let mut proofs: Vec<_> = (0..5).map(|seed| bench.prove(&testing::inputs(&bench.circuit, seed))).collect();
    assert!(bench.verifier.verify_all(&proofs).iter().all(Result::is_ok));
    proofs[2].0.outputs[0] += 1;
    proofs[3].1.truncate(100);
    let results = bench.verifier.verify_all(&proofs);
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false, true]);
    assert!(bench.verifier.verify_all(&[]).is_empty());
}

#[test]
fn other_circuits_keys_are_refused() {
    let (a, b) = (testing::network(1), testing::network(2));
    let circuit = Arc::new(a.lower().unwrap());
    let keys = Groth16.setup(&circuit).unwrap();
    let other = Groth16.setup(&b.lower().unwrap()).unwrap();
    let mixed = Keys { proving: keys.proving.clone(), verification: other.verification.clone() };
    assert!(Groth16.prover(Arc::clone(&circuit), &mixed).is_err());
    // Proofs of one network do not verify with the other's key.
    let bench = Bench::new(&Groth16, &a);
    let (mut statement, proof) = bench.prove(&testing::inputs(&circuit, 1));
    let verifier = Groth16.verifier(&other.verification).unwrap();
    statement.binding.verification_key = Digest::of(&other.verification);
    assert_eq!(verifier.verify(&statement, &proof), Err(VerifyError::Invalid));
}

#[test]
fn contributions_are_recorded_and_checked() {
    use super::ceremony::{Transcript, contribute, verify};
    let network = testing::network(1);
    let circuit = Arc::new(network.lower().unwrap());
    let first = Groth16.setup(&circuit).unwrap();
    let mut transcript = Transcript::new("Ada", &first);
    let second = contribute(&first, "Grace", &mut transcript).unwrap();
    let third = contribute(&second, "Emmy", &mut transcript).unwrap();
    verify(&first, &third, &transcript).unwrap();

    // The new keys prove and verify; proofs of the old keys do not.
    let prover = Groth16.prover(Arc::clone(&circuit), &third).unwrap();
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: Digest::of(b"c"),
        verification_key: Digest::of(&third.verification),
    };
    let inputs = testing::inputs(&circuit, 1);
    let Proven { proof, outputs } = prover.prove(&inputs, &binding).unwrap();
    let statement = Statement { binding, inputs, outputs };
    assert_eq!(Groth16.verifier(&third.verification).unwrap().verify(&statement, &proof), Ok(()));

    let mut left_out = transcript.clone();
    left_out.contributions.remove(0);
    assert!(verify(&first, &third, &left_out).is_err());
    let mut renamed = transcript.clone();
    renamed.contributions[0].contributor = "Mallory".to_owned();
    assert!(verify(&first, &third, &renamed).is_err());
    assert!(verify(&first, &second, &transcript).is_err());
    let unrelated = Groth16.setup(&circuit).unwrap();
    let mut forged = transcript.clone();
    forged.contributions[1].key = Digest::of(&unrelated.proving);
    assert!(verify(&first, &unrelated, &forged).is_err());
}
