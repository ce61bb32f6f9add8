//! Networks and checks that the tests of all backends share.

mod elements;
mod layers;
mod random;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::index;
use rand::{Rng as _, SeedableRng as _};
use taonet_primitives::Hotkey;
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::network::{FORMAT, Input, Layer, Network, Operation};
use taonet_proof_core::{Binding, Clamp, Digest, Range, Rescale, Shape, Window};

use crate::{Backend, Keys, ProofWithOutputs, Prover, Statement, Verifier};
pub(crate) use elements::{elements, matrices, moved, product, small, table};
pub(crate) use layers::{LayerKind, extreme_sum_inputs, extremes, rescaled_layers};
pub(crate) use random::{KINDS, kind, random_network};

/// Number of bits of a proof that [`check_flips`] flips.
const FLIPS: usize = 1000;

pub(crate) fn generator(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn window(kernel: usize, stride: usize, padding: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 4] }
}

fn weights(generator: &mut StdRng, count: usize) -> Vec<i32> {
    (0..count).map(|_| generator.random_range(-127..=127)).collect()
}

/// Creates a network with every kind of layer on a 2×6×6 input: a padded convolution with a
/// saturating ReLU, a maximum, a residual addition with a signed clamp that saturates, an average
/// as a plain sum, and a dense layer.
pub(crate) fn network(seed: u64) -> Network {
    let mut generator = generator(seed);
    let layers = vec![
        Layer {
            inputs: vec![0],
            operation: Operation::Convolution {
                window: window(3, 1, 1),
                groups: 1,
                weights: weights(&mut generator, 3 * 2 * 9),
                bias: vec![-500, 0, 12_345],
            },
            rescale: Some(Rescale { shift: 7, clamp: Clamp::Unsigned(6) }),
            scale: 4,
        },
        Layer {
            inputs: vec![1],
            operation: Operation::Convolution {
                window: window(1, 1, 0),
                groups: 3,
                weights: weights(&mut generator, 3),
                bias: vec![7, -7, 0],
            },
            rescale: Some(Rescale { shift: 3, clamp: Clamp::Signed(6) }),
            scale: 4,
        },
        Layer {
            inputs: vec![1, 2],
            operation: Operation::Sum { factors: vec![3, -2] },
            rescale: Some(Rescale { shift: 1, clamp: Clamp::Signed(5) }),
            scale: 3,
        },
        Layer {
            inputs: vec![3],
            operation: Operation::MaxPool { window: window(3, 2, 1) },
            rescale: None,
            scale: 3,
        },
        Layer {
            inputs: vec![4],
            operation: Operation::Convolution {
                window: window(2, 1, 0),
                groups: 3,
                weights: vec![1; 12],
                bias: vec![0; 3],
            },
            rescale: None,
            scale: 5,
        },
        Layer {
            inputs: vec![5],
            operation: Operation::Dense {
                weights: weights(&mut generator, 4 * 12),
                bias: vec![1, -2, 3, -4],
            },
            rescale: None,
            scale: 12,
        },
    ];
    let shape = Shape::new(2, 6, 6).unwrap();
    Network {
        format: FORMAT,
        input: Input { shape, range: Range { low: 0, high: 255 }, scale: 0 },
        layers,
    }
}

/// Creates a network whose first layer has 1296 outputs for 16 inputs, and whose second layer has 3
/// outputs.
pub(crate) fn wide_boundary() -> Network {
    let (mut generator, width) = (generator(7), 1296);
    let rescale = Some(Rescale { shift: 7, clamp: Clamp::Unsigned(6) });
    let first =
        Operation::Dense { weights: weights(&mut generator, width * 16), bias: vec![0; width] };
    let second =
        Operation::Dense { weights: weights(&mut generator, 3 * width), bias: vec![1, -2, 3] };
    let layers = vec![
        Layer { inputs: vec![0], operation: first, rescale, scale: 4 },
        Layer { inputs: vec![1], operation: second, rescale: None, scale: 8 },
    ];
    let input =
        Input { shape: Shape::vector(16).unwrap(), range: Range { low: 0, high: 255 }, scale: 0 };
    Network { format: FORMAT, input, layers }
}

/// Creates a network of a convolution and a maximum, in which some windows of the convolution cover
/// padding only.
pub(crate) fn wide_padding() -> Network {
    let mut generator = generator(11);
    let convolution = Operation::Convolution {
        window: window(2, 1, 3),
        groups: 1,
        weights: weights(&mut generator, 3 * 2 * 4),
        bias: vec![-500, 0, 1234],
    };
    let rescale = Some(Rescale { shift: 7, clamp: Clamp::Signed(8) });
    let layers = vec![
        Layer { inputs: vec![0], operation: convolution, rescale, scale: 4 },
        Layer {
            inputs: vec![1],
            operation: Operation::MaxPool { window: window(2, 2, 0) },
            rescale: None,
            scale: 4,
        },
    ];
    let shape = Shape::new(2, 3, 3).unwrap();
    Network {
        format: FORMAT,
        input: Input { shape, range: Range { low: 0, high: 255 }, scale: 0 },
        layers,
    }
}

/// Creates a network of 8 filters of 3×3 and a pool on an image of 128×128, which has few
/// parameters for its size.
pub(crate) fn large_image() -> Network {
    let mut generator = generator(12);
    let convolution = Operation::Convolution {
        window: window(3, 1, 1),
        groups: 1,
        weights: weights(&mut generator, 8 * 9),
        bias: vec![0; 8],
    };
    let rescale = Some(Rescale { shift: 7, clamp: Clamp::Unsigned(8) });
    let layers = vec![
        Layer { inputs: vec![0], operation: convolution, rescale, scale: 4 },
        Layer {
            inputs: vec![1],
            operation: Operation::MaxPool { window: window(2, 2, 0) },
            rescale: None,
            scale: 4,
        },
    ];
    let shape = Shape::new(1, 128, 128).unwrap();
    Network {
        format: FORMAT,
        input: Input { shape, range: Range { low: 0, high: 255 }, scale: 0 },
        layers,
    }
}

/// Creates a network of a single dense layer with this rescale.
pub(crate) fn one_layer(
    rescale: Option<Rescale>,
    weights: Vec<i32>,
    bias: Vec<i64>,
    range: Range,
) -> Network {
    let inputs = weights.len() / bias.len();
    let layer =
        Layer { inputs: vec![0], operation: Operation::Dense { weights, bias }, rescale, scale: 0 };
    let input = Input { shape: Shape::vector(inputs).unwrap(), range, scale: 0 };
    Network { format: FORMAT, input, layers: vec![layer] }
}

pub(crate) fn inputs(circuit: &Circuit, seed: u64) -> Vec<i64> {
    let mut generator = generator(seed);
    let range = circuit.input_range;
    (0..circuit.inputs).map(|_| generator.random_range(range.low..=range.high)).collect()
}

/// A circuit with keys, a prover and a verifier.
pub(crate) struct TestSetup {
    pub(crate) circuit: Arc<Circuit>,
    pub(crate) keys: Keys,
    pub(crate) prover: Box<dyn Prover>,
    pub(crate) verifier: Box<dyn Verifier>,
    pub(crate) binding: Binding,
}

impl TestSetup {
    pub(crate) fn new(backend: &dyn Backend, network: &Network) -> Self {
        let circuit = Arc::new(network.lower().unwrap());
        let keys = backend.setup(&circuit).unwrap();
        let prover = backend.prover(Arc::clone(&circuit), &keys).unwrap();
        let verifier = backend.verifier(&keys.verification).unwrap();
        let binding = Binding {
            nonce: Digest::of(b"request"),
            miner: Hotkey::from_bytes([7; 32]),
            circuit: network.digest().unwrap(),
            verification_key: Digest::of(&keys.verification),
        };
        Self { circuit, keys, prover, verifier, binding }
    }

    pub(crate) fn prove(&self, inputs: &[i64]) -> (Statement, Vec<u8>) {
        let ProofWithOutputs { proof, outputs } = self.prover.prove(inputs, &self.binding).unwrap();
        (Statement { binding: self.binding.clone(), inputs: inputs.to_vec(), outputs }, proof)
    }
}

/// Returns the outputs of a network's circuit for inputs.
pub(crate) fn outputs(network: &Network, inputs: &[i64]) -> Vec<i64> {
    let circuit = network.lower().unwrap();
    circuit.execute(inputs).unwrap().outputs(&circuit)
}

/// Checks that a proof verifies for its own statement and for no other: each field, each input and
/// each output is changed alone.
pub(crate) fn check_binding(test_setup: &TestSetup) {
    let (statement, proof) = test_setup.prove(&inputs(&test_setup.circuit, 1));
    assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
    let witness = test_setup.prover.witness(&statement.inputs, &statement.binding).unwrap();
    assert!(
        witness > test_setup.circuit.cells(),
        "the witness has {witness} values, one for each cell and more"
    );
    // Without `..`, so that a new field is not forgotten here.
    let Statement { binding, inputs, outputs } = &statement;
    let Binding { nonce, miner, circuit, verification_key } = binding;
    let (other, other_miner) = (Digest::of(b"other"), Hotkey::from_bytes([8; 32]));
    assert!(![nonce, circuit, verification_key].contains(&&other) && *miner != other_miner);
    let bindings = [
        Binding { nonce: other, ..binding.clone() },
        Binding { miner: other_miner, ..binding.clone() },
        Binding { circuit: other, ..binding.clone() },
        Binding { verification_key: other, ..binding.clone() },
    ];
    let mut others: Vec<Statement> =
        bindings.map(|binding| Statement { binding, ..statement.clone() }).to_vec();
    for values in other_lengths(inputs) {
        others.push(Statement { inputs: values, ..statement.clone() });
    }
    for values in other_lengths(outputs) {
        others.push(Statement { outputs: values, ..statement.clone() });
    }
    for position in 0..outputs.len() {
        for change in [1, -1] {
            let mut other = statement.clone();
            other.outputs[position] += change;
            others.push(other);
        }
    }
    let range = test_setup.circuit.input_range;
    for (position, value) in inputs.iter().enumerate() {
        // The last one equals the true value in a field of 31 bits.
        for other_value in [value ^ 1, range.low - 1, range.high + 1, value + 2_130_706_433] {
            let mut other = statement.clone();
            other.inputs[position] = other_value;
            others.push(other);
        }
    }
    for other in others {
        assert!(test_setup.verifier.verify(&other, &proof).is_err(), "{other:?}");
    }
}

/// Returns the values without the last one, with another one, and none.
fn other_lengths(values: &[i64]) -> [Vec<i64>; 3] {
    [values[..values.len() - 1].to_vec(), [values, &[0]].concat(), Vec::new()]
}

/// Flips [`FLIPS`] bits of a proof, one at a time, or all of a shorter proof, and a third as many
/// bits of the verification key and of the public values. Checks that every change is rejected.
pub(crate) fn check_flips(backend: &dyn Backend, test_setup: &TestSetup) {
    let (statement, proof) = test_setup.prove(&inputs(&test_setup.circuit, 2));
    let mut generator = generator(3);
    check_flipped_proof(test_setup, &statement, &proof, FLIPS, &mut generator);
    for (bit, key) in flipped_bits(&test_setup.keys.verification, FLIPS / 3, &mut generator) {
        let Ok(other) = backend.verifier(&key) else { continue };
        // Even a verifier that trusts the changed key must reject the proof.
        let binding = Binding { verification_key: Digest::of(&key), ..statement.binding.clone() };
        let statement_of_changed_key = Statement { binding, ..statement.clone() };
        for statement in [&statement, &statement_of_changed_key] {
            assert!(other.verify(statement, &proof).is_err(), "bit {bit} of the key");
        }
    }
    for _ in 0..FLIPS / 3 {
        let mut other = statement.clone();
        let position = generator.random_range(0..other.inputs.len() + other.outputs.len());
        let bit = generator.random_range(0..63);
        match other.inputs.get_mut(position) {
            Some(value) => *value ^= 1 << bit,
            None => other.outputs[position - statement.inputs.len()] ^= 1 << bit,
        }
        assert!(
            test_setup.verifier.verify(&other, &proof).is_err(),
            "bit {bit} of the public value {position}"
        );
    }
    for length in [0, 1, proof.len() / 2, proof.len() - 1] {
        assert!(test_setup.verifier.verify(&statement, &proof[..length]).is_err());
        assert!(
            backend
                .verifier(
                    &test_setup.keys.verification
                        [..length.min(test_setup.keys.verification.len() - 1)]
                )
                .is_err()
        );
    }
    assert!(test_setup.verifier.verify(&statement, &[proof.as_slice(), &[0]].concat()).is_err());
}

/// Flips bits of a proof, one at a time, and checks that every change is rejected.
pub(crate) fn check_flipped_proof(
    test_setup: &TestSetup,
    statement: &Statement,
    proof: &[u8],
    flips: usize,
    generator: &mut StdRng,
) {
    for (bit, flipped) in flipped_bits(proof, flips, generator) {
        assert!(test_setup.verifier.verify(statement, &flipped).is_err(), "bit {bit} of the proof");
    }
}

/// Returns the positions of up to `max_bits` different bits, each with a copy of the bytes in which
/// this bit is flipped.
fn flipped_bits(
    bytes: &[u8],
    max_bits: usize,
    generator: &mut StdRng,
) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let bits = bytes.len() * 8;
    index::sample(generator, bits, max_bits.min(bits)).into_iter().map(move |bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}
