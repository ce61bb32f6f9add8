mod elements;
mod random;

use ark_bn254::{Bn254, Fq, Fq2, G1Affine, G2Affine};
use ark_ec::AffineRepr as _;
use ark_ff::One as _;
use ark_groth16::Proof;
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize};
use taonet_primitives::Hotkey;
use taonet_proof_core::network::{FORMAT, Input, Layer, Network, NetworkError, Operation};
use taonet_proof_core::{Clamp, Range, Rescale, Shape};

use super::*;
use crate::testing::{self, LayerKind, TestSetup, check_binding, check_flips};
use crate::{Statement, VerifyError};

#[test]
fn proofs_verify_for_their_statement_only() {
    check_binding(&TestSetup::new(&Groth16, &testing::network(1)));
}

#[test]
fn proofs_with_hashed_inputs_verify_for_their_statement_only() {
    let test_setup = TestSetup::new(&Groth16HashedInputs, &testing::network(1));
    check_binding(&test_setup);
    // The circuit's other keys have the inputs themselves, and are larger.
    let other = Groth16.setup(&test_setup.circuit).unwrap();
    assert!(other.verification.len() > test_setup.keys.verification.len());
}

/// Why a calling contract has to compare the digest of the inputs: a proof for other inputs can
/// have the binding of a request. A contract computes what the single equation does, from public
/// values that it is given, and accepts the proof. The verifier computes binding and digest from
/// the same inputs, and rejects the proof for either of them.
#[test]
fn verifier_rejects_proof_with_binding_of_other_inputs() {
    let test_setup = TestSetup::new(&Groth16HashedInputs, &testing::network(1));
    let prover = Groth16Prover::new(Arc::clone(&test_setup.circuit), &test_setup.keys).unwrap();
    let [requested, proven] = [1, 2].map(|seed| testing::inputs(&test_setup.circuit, seed));
    let execution = test_setup.circuit.execute(&proven).unwrap();
    let binding = test_setup.binding.digest(&requested);
    let assignment =
        circuit::assign(&test_setup.circuit, &prover.layout, &binding, &proven, &execution);
    let proof = prover.prove_assignment(&assignment).unwrap();

    let public = |inputs: &[i64]| {
        let outputs = test_setup.circuit.execute(inputs).unwrap().outputs(&test_setup.circuit);
        prover.layout.public_values(&test_setup.binding.digest(inputs), inputs, &outputs)
    };
    let (requested_public, proven_public) = (public(&requested), public(&proven));
    let values: Vec<Fr> =
        requested_public[..1].iter().chain(&proven_public[1..]).copied().collect();
    let groth16_verifier = verifier::Groth16Verifier::new(&test_setup.keys.verification).unwrap();
    let verify = |values: &[Fr]| {
        let proof = Proof::<Bn254>::deserialize_compressed(proof.as_slice()).unwrap();
        groth16_verifier.verify_single(&(values.to_vec(), proof))
    };
    assert_eq!(verify(&values), Ok(()));
    // The binding, four outputs and the digest: that of the request's inputs does not verify.
    assert_eq!(
        (values.len(), values[5] == proven_public[5], values[5] == requested_public[5]),
        (6, true, false)
    );
    let with_digest = [&values[..5], &requested_public[5..]].concat();
    assert_eq!(verify(&with_digest), Err(VerifyError::Invalid));
    let outputs = execution.outputs(&test_setup.circuit);
    for inputs in [requested, proven] {
        let statement =
            Statement { binding: test_setup.binding.clone(), inputs, outputs: outputs.clone() };
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Err(VerifyError::Invalid));
    }
}

#[test]
fn convolutions_over_padding_only_are_proven() {
    check_binding(&TestSetup::new(&Groth16, &testing::wide_padding()));
}

/// Without rescales, each sum of the second layer has as many terms as the two layers have
/// multiply-adds for it.
#[test]
fn terms_of_sums_have_a_memory_limit() {
    let size = 400;
    let layer = |tensor| Layer {
        inputs: vec![tensor],
        operation: Operation::Dense { weights: vec![1; size * size], bias: vec![0; size] },
        rescale: None,
        scale: 0,
    };
    let input =
        Input { shape: Shape::vector(size).unwrap(), range: Range { low: 0, high: 1 }, scale: 0 };
    let circuit =
        Network { format: FORMAT, input, layers: vec![layer(0), layer(1)] }.lower().unwrap();
    let Err(BackendError::Memory(error)) = Groth16.estimate(&circuit) else {
        panic!("expected a memory error")
    };
    assert_eq!(error.limit, circuit.memory.limit());
    assert!(error.needed > 2 * error.limit, "{error}");
}

#[test]
fn flipped_bit_is_rejected() {
    check_flips(&Groth16, &TestSetup::new(&Groth16, &testing::network(1)));
}

#[test]
fn rerandomised_proof_is_bound_to_its_statement() {
    let test_setup = TestSetup::new(&Groth16, &testing::network(1));
    let (statement, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
    let file = VerificationKeyFile::from_bytes(&test_setup.keys.verification).unwrap();
    let original = Proof::<Bn254>::deserialize_compressed(proof.as_slice()).unwrap();
    let rerandomised = Scheme::rerandomize_proof(&file.key, &original, &mut os_rng().unwrap());
    let bytes = compressed(&rerandomised);
    assert_ne!(bytes, proof);
    // A re-randomised proof verifies for the same miner only.
    assert_eq!(test_setup.verifier.verify(&statement, &bytes), Ok(()));
    let other_binding = Binding { miner: Hotkey::from_bytes([9; 32]), ..statement.binding.clone() };
    assert_eq!(
        test_setup.verifier.verify(&Statement { binding: other_binding, ..statement }, &bytes),
        Err(VerifyError::Invalid)
    );
}

fn compressed(value: &impl CanonicalSerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.serialize_compressed(&mut bytes).unwrap();
    bytes
}

/// Points off the curve, outside of the subgroup and at infinity are rejected in proofs and keys.
#[test]
fn points_outside_the_curve_groups_are_rejected() {
    let test_setup = TestSetup::new(&Groth16, &testing::network(1));
    let (statement, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
    // Without the flag of the ordinate's sign, the encoding of a point is that of its abscissa.
    let off_g1 = (1_u64..100)
        .map(Fq::from)
        .find(|x| G1Affine::get_point_from_x_unchecked(*x, true).is_none())
        .unwrap();
    let abscissas = || (1_u64..100).map(|x| Fq2::new(Fq::from(x), Fq::one()));
    let off_g2 =
        abscissas().find(|x| G2Affine::get_point_from_x_unchecked(*x, true).is_none()).unwrap();
    let mut points = abscissas().filter_map(|x| G2Affine::get_point_from_x_unchecked(x, true));
    let outside_subgroup =
        points.find(|point| !point.is_in_correct_subgroup_assuming_on_curve()).unwrap();
    assert!(outside_subgroup.is_on_curve());
    let replacements = [
        (0, compressed(&off_g1)),
        (32, compressed(&off_g2)),
        (96, compressed(&off_g1)),
        (32, compressed(&outside_subgroup)),
        (0, compressed(&G1Affine::zero())),
        (32, compressed(&G2Affine::zero())),
    ];
    for (offset, point) in replacements {
        let mut changed_proof = proof.clone();
        changed_proof[offset..offset + point.len()].copy_from_slice(&point);
        let result = test_setup.verifier.verify(&statement, &changed_proof);
        assert!(matches!(result, Err(VerifyError::Malformed(_))), "{offset}: {result:?}");
    }
    let key = |change: fn(&mut VerificationKeyFile, G2Affine)| {
        let mut file = VerificationKeyFile::from_bytes(&test_setup.keys.verification).unwrap();
        change(&mut file, outside_subgroup);
        Groth16.verifier(&file.to_bytes().unwrap())
    };
    assert!(key(|_, _| {}).is_ok());
    assert!(key(|file, outside_subgroup| file.key.beta_g2 = outside_subgroup).is_err());
    assert!(key(|file, outside_subgroup| file.key.gamma_g2 = outside_subgroup).is_err());
    assert!(key(|file, outside_subgroup| file.key.delta_g2 = outside_subgroup).is_err());
}

/// Checks that the assignment of an execution satisfies the constraints at both ends of the
/// circuit's intervals.
fn check_extremes(network: &Network) {
    let circuit = network.lower().unwrap();
    assert!(circuit.magnitude() <= circuit::MAX_MAGNITUDE);
    let layout = Layout::of(&circuit, MAX_PUBLIC_VALUES);
    let cs = circuit::constrain(&circuit, &layout).unwrap();
    for inputs in testing::extremes(&circuit) {
        let execution = circuit.execute(&inputs).unwrap();
        let assignment = circuit::assign(&circuit, &layout, &Digest::of(b"x"), &inputs, &execution);
        assert_eq!(assignment.len(), cs.variables);
        assert_eq!(cs.violated_constraint(&assignment), None, "{network:?} {inputs:?}");
    }
}

#[test]
fn extremes_of_every_rescale_satisfy_the_constraints() {
    testing::rescaled_layers().iter().for_each(check_extremes);
}

/// Sums of every kind of layer satisfy the constraints close to the largest magnitude that a
/// network may have, 2^56. The field has 2^253 on each side of zero, so nothing wraps around.
/// Networks with larger sums are invalid.
#[test]
fn extremes_of_every_layer_satisfy_the_constraints() {
    let range_of_bits = |bits: u32| Range { low: -(1 << bits), high: (1 << bits) - 1 };
    for kind in LayerKind::ALL {
        let (fitting_bits, overflowing_bits) =
            if kind == LayerKind::MaxPool { (56, 57) } else { (25, 27) };
        for clamp in [None, Some(Clamp::Unsigned(30)), Some(Clamp::Signed(8))] {
            let rescale = clamp.map(|clamp| Rescale { shift: 20, clamp });
            check_extremes(&kind.network(range_of_bits(fitting_bits), 1 << 30, rescale));
            let result = kind.network(range_of_bits(overflowing_bits), 1 << 30, rescale).lower();
            let expected =
                matches!(result, Err(NetworkError::Overflow(_) | NetworkError::InputRange(_)));
            assert!(expected, "{kind:?}: {result:?}");
        }
    }
}

#[test]
fn bit_widths_cover_their_intervals_and_fit_the_field() {
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
    let maximum = circuit::MAX_MAGNITUDE.cast_signed();
    let max_width = Width::of(Range { low: -maximum, high: maximum });
    // The largest sum has far fewer bits, sign included, than the field's 254.
    assert!(max_width.bits + 1 < 100);
}

/// Changes each witness value individually: bits, signs, remainders, activations, maxima, hashes.
#[test]
fn every_changed_witness_value_breaks_a_constraint() {
    check_witness(MAX_PUBLIC_VALUES, 1);
    // With hashes there are many more variables.
    check_witness(0, 7);
}

fn check_witness(max_public: usize, step: usize) {
    let circuit = testing::network(5).lower().unwrap();
    let layout = Layout::of(&circuit, max_public);
    let cs = circuit::constrain(&circuit, &layout).unwrap();
    let inputs = testing::inputs(&circuit, 4);
    let execution = circuit.execute(&inputs).unwrap();
    let honest = circuit::assign(&circuit, &layout, &Digest::of(b"x"), &inputs, &execution);
    assert_eq!(cs.violated_constraint(&honest), None);
    let mut unconstrained = 0;
    for position in (1..honest.len()).step_by(step) {
        for change in [Fr::one(), -Fr::one()] {
            let mut changed = honest.clone();
            changed[position] += change;
            if cs.violated_constraint(&changed).is_none() {
                unconstrained += 1;
                // A variable for the inverse of zero may have any value; nothing depends on it.
                assert!(honest[position] == Fr::from(0), "variable {position}");
                let constraint_rows: Vec<usize> = (0..cs.constraint_count())
                    .filter(|&row| cs.b[row].iter().any(|&(_, var)| var == position))
                    .collect();
                assert_eq!(constraint_rows.len(), 1, "variable {position}");
            }
        }
    }
    assert!(unconstrained < honest.len() / 4);
}

/// The prover accepts any assignment; the verifier rejects the proofs of changed witnesses.
#[test]
fn proofs_of_changed_witnesses_are_rejected() {
    let network = testing::network(5);
    let circuit = Arc::new(network.lower().unwrap());
    let keys = Groth16.setup(&circuit).unwrap();
    let prover = Groth16Prover::new(Arc::clone(&circuit), &keys).unwrap();
    let verifier = Groth16.verifier(&keys.verification).unwrap();
    let layout = prover.layout;
    let cs = circuit::constrain(&circuit, &layout).unwrap();
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&keys.verification),
    };
    let inputs = testing::inputs(&circuit, 4);
    let execution = circuit.execute(&inputs).unwrap();
    let honest = circuit::assign(&circuit, &layout, &binding.digest(&inputs), &inputs, &execution);
    let statement = Statement { binding, inputs, outputs: execution.outputs(&circuit) };
    let proof = prover.prove_assignment(&honest).unwrap();
    assert_eq!(verifier.verify(&statement, &proof), Ok(()));
    let witness = cs.instance_variables..honest.len();
    for position in witness.clone().step_by(witness.len() / 16) {
        let mut changed = honest.clone();
        changed[position] += Fr::one();
        // A variable for the inverse of zero may have any value.
        if cs.violated_constraint(&changed).is_some() {
            let proof = prover.prove_assignment(&changed).unwrap();
            assert_eq!(
                verifier.verify(&statement, &proof),
                Err(VerifyError::Invalid),
                "variable {position}"
            );
        }
    }
}

/// Proves a network whose inputs and outputs are public values up to this number, and checks that
/// changed ones are rejected. Returns the verification key.
fn check_layout(network: &Network, max_public: usize) -> Keys {
    let circuit = Arc::new(network.lower().unwrap());
    let keys = setup(&circuit, Layout::of(&circuit, max_public)).unwrap();
    let prover = Groth16Prover::new(Arc::clone(&circuit), &keys).unwrap();
    let verifier = verifier::Groth16Verifier::new(&keys.verification).unwrap();
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&keys.verification),
    };
    let inputs = testing::inputs(&circuit, 6);
    let ProofWithOutputs { proof, outputs } = prover.prove(&inputs, &binding).unwrap();
    let statement = Statement { binding, inputs, outputs };
    assert_eq!(verifier.verify(&statement, &proof), Ok(()));
    let (last_input, last_output) = (statement.inputs.len() - 1, statement.outputs.len() - 1);
    for position in [0, last_input] {
        let mut other = statement.clone();
        other.inputs[position] ^= 1;
        assert_eq!(verifier.verify(&other, &proof), Err(VerifyError::Invalid), "input {position}");
    }
    for position in [0, last_output] {
        let mut other = statement.clone();
        other.outputs[position] ^= 1;
        assert_eq!(verifier.verify(&other, &proof), Err(VerifyError::Invalid), "output {position}");
    }
    keys
}

/// Returns the format of a verification key and its number of public values, the constant one
/// included.
fn format_and_points(keys: &Keys) -> (u8, usize) {
    // The format is the first byte of the key.
    (
        keys.verification[0],
        VerificationKeyFile::from_bytes(&keys.verification).unwrap().key.gamma_abc_g1.len(),
    )
}

#[test]
fn many_inputs_and_outputs_are_hashed() {
    let network = testing::network(2);
    let circuit = network.lower().unwrap();
    // The constant one, the binding, 4 outputs and 72 inputs; a digest takes the place of either.
    for (max_public, expected) in [(MAX_PUBLIC_VALUES, (1, 78)), (8, (1, 7)), (3, (2, 4))] {
        let keys = check_layout(&network, max_public);
        assert_eq!(format_and_points(&keys), expected);
        // The format of the key is not that of its contents.
        let mut other = keys.verification.clone();
        other[0] = 3 - other[0];
        assert!(Groth16.verifier(&other).is_err());
    }
    // Verification needs the range: packed outputs beyond it could equal packed valid ones.
    let outputs = Layout::of(&circuit, 3).outputs;
    assert_eq!((outputs.range, outputs.hashed), (circuit.output_range(), true));
}

/// A key of an older version has more outputs as public values than a new key would have.
#[test]
fn keys_with_older_layouts_are_accepted() {
    let circuit = Arc::new(testing::network(2).lower().unwrap());
    let new = Layout::of(&circuit, 3);
    let old = Layout { outputs: Layout::of(&circuit, MAX_PUBLIC_VALUES).outputs, ..new };
    assert!(new.inputs.hashed && new.outputs.hashed && !old.outputs.hashed);
    assert!(new.fits(&circuit) && old.fits(&circuit));
    let keys = setup(&circuit, old).unwrap();
    assert_eq!(format_and_points(&keys).0, 1);
    assert!(Groth16Prover::new(Arc::clone(&circuit), &keys).is_ok());
    let mut other = new;
    other.outputs.range.high += 1;
    assert!(!other.fits(&circuit));
}

/// The boundary between two slices has more values than can be public: one proof hashes them as
/// outputs, the next one as inputs.
#[test]
fn large_slice_boundaries_are_hashed() {
    let network = testing::wide_boundary();
    let slices = network.slices(2).unwrap();
    let widths: Vec<usize> =
        slices.iter().map(|slice| slice.lower().unwrap().outputs.len()).collect();
    assert_eq!(widths, [1296, 3]);
    let expected = [(2, 2 + 1 + 16), (1, 2 + 3 + 1)];
    for (slice, expected) in slices.iter().zip(expected) {
        assert_eq!(format_and_points(&check_layout(slice, MAX_PUBLIC_VALUES)), expected);
    }
}

#[test]
fn batch_verification_identifies_invalid_proofs() {
    let test_setup = TestSetup::new(&Groth16, &testing::network(1));
    let mut proofs: Vec<_> =
        (0..5).map(|seed| test_setup.prove(&testing::inputs(&test_setup.circuit, seed))).collect();
    assert!(test_setup.verifier.verify_all(&proofs).iter().all(Result::is_ok));
    proofs[2].0.outputs[0] += 1;
    proofs[3].1.truncate(100);
    let results = test_setup.verifier.verify_all(&proofs);
    let is_valid: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(is_valid, [true, true, false, false, true]);
    assert!(test_setup.verifier.verify_all(&[]).is_empty());
}

#[test]
fn other_circuits_keys_are_rejected() {
    let (a, b) = (testing::network(1), testing::network(2));
    let circuit = Arc::new(a.lower().unwrap());
    let keys = Groth16.setup(&circuit).unwrap();
    let other = Groth16.setup(&b.lower().unwrap()).unwrap();
    let mixed_keys =
        Keys { proving: keys.proving.clone(), verification: other.verification.clone() };
    assert!(Groth16.prover(Arc::clone(&circuit), &mixed_keys).is_err());
    // Proofs of one network do not verify with the other's key.
    let test_setup = TestSetup::new(&Groth16, &a);
    let (mut statement, proof) = test_setup.prove(&testing::inputs(&circuit, 1));
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

    // The new keys prove and verify.
    let prover = Groth16.prover(Arc::clone(&circuit), &third).unwrap();
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: Digest::of(b"c"),
        verification_key: Digest::of(&third.verification),
    };
    let inputs = testing::inputs(&circuit, 1);
    let ProofWithOutputs { proof, outputs } = prover.prove(&inputs, &binding).unwrap();
    let statement = Statement { binding, inputs, outputs };
    assert_eq!(Groth16.verifier(&third.verification).unwrap().verify(&statement, &proof), Ok(()));

    let mut without_first = transcript.clone();
    without_first.contributions.remove(0);
    assert!(verify(&first, &third, &without_first).is_err());
    let mut renamed = transcript.clone();
    renamed.contributions[0].contributor = "Mallory".to_owned();
    assert!(verify(&first, &third, &renamed).is_err());
    assert!(verify(&first, &second, &transcript).is_err());
    let unrelated = Groth16.setup(&circuit).unwrap();
    let mut forged = transcript.clone();
    forged.contributions[1].key = Digest::of(&unrelated.proving);
    assert!(verify(&first, &unrelated, &forged).is_err());
}
