//! Keys of formats 4 and 8, which no later version changes, and of format 6.

use taonet_proof_core::network::Matrices;
use taonet_testing::is_exhaustive;

use super::super::config::{BOUNDED, LARGE, POLYNOMIALS};
use super::*;
use crate::testing::{matrices, moved, small, table};

const fn rescale(shift: u8) -> Rescale {
    Rescale { shift, clamp: Clamp::Signed(8) }
}

/// Creates a convolution of 3×3 with a padding of one.
fn convolution(tensor: u32, channels: [usize; 2], groups: usize, stride: usize) -> Layer {
    let mut generator = testing::generator(u64::from(tensor));
    let count = channels[0] / groups * channels[1] * 9;
    let weights = (0..count).map(|_| generator.random_range(-9..=9)).collect();
    let window = Window { kernel: [3; 2], stride: [stride; 2], padding: [1; 4] };
    let operation = Operation::Convolution { window, groups, weights, bias: vec![3; channels[1]] };
    Layer { inputs: vec![tensor], operation, rescale: Some(rescale(6)), scale: 0 }
}

fn network(shape: Shape, layers: Vec<Layer>) -> Network {
    Network {
        format: FORMAT,
        input: Input { shape, range: Range { low: 0, high: 255 }, scale: 0 },
        layers,
    }
}

fn residual() -> Network {
    let sum = Operation::Sum { factors: vec![1, 2] };
    let layers = vec![
        convolution(0, [8, 8], 1, 1),
        convolution(1, [8, 8], 1, 1),
        Layer { inputs: vec![1, 2], operation: sum, rescale: Some(rescale(1)), scale: 0 },
    ];
    network(Shape::new(8, 16, 16).unwrap(), layers)
}

/// Two groups with a stride of two, on an input whose extents differ.
fn groups_and_stride() -> Network {
    network(Shape::new(8, 33, 30).unwrap(), vec![convolution(0, [8, 16], 2, 2)])
}

/// Two heads of 9 tokens with 4 elements each: queries, keys and values are the inputs.
fn attention() -> Network {
    let product = |inputs: [u32; 2], inner: usize, columns: usize, rescale: Option<Rescale>| {
        let operation = Operation::MatrixProduct(Matrices { count: 2, rows: 9, inner, columns });
        Layer { inputs: inputs.to_vec(), operation, rescale, scale: 0 }
    };
    let [queries, keys, values] =
        [0, 72, 144].map(|first| moved(&[0], &(first..first + 72).collect::<Vec<u32>>(), 0));
    let scores = product([1, 2], 4, 9, Some(rescale(10)));
    let weights = table(4, 0, (0..256).map(|argument| argument * argument / 512));
    small(216, vec![queries, keys, values, scores, weights, product([5, 3], 9, 4, None)])
}

/// The method of these networks' keys when format 4 was released. New keys of the same networks
/// have another tile, which is part of the key.
const RELEASED: Method =
    Method { tile: Tile { inputs: 8, outputs: 8 }, format: KeyFormat::Polynomials };

fn key_with(network: &Network, method: Method) -> Vec<u8> {
    let circuit = network.lower().unwrap();
    create_keys(&circuit, Plan::with_method(&circuit, method).unwrap()).unwrap().verification
}

/// Proves the circuit of a network with a key.
fn prove_with_key(network: &Network, circuit: &Arc<Circuit>, key: &[u8]) -> (Statement, Vec<u8>) {
    let keys = Keys { proving: Vec::new(), verification: key.to_vec() };
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(key),
    };
    let inputs = testing::inputs(circuit, 1);
    let prover = Stark.prover(Arc::clone(circuit), &keys).unwrap();
    let ProofWithOutputs { proof, outputs } = prover.prove(&inputs, &binding).unwrap();
    (Statement { binding, inputs, outputs }, proof)
}

/// Every choice of the layout is part of the format: which stages are products of polynomials, the
/// jobs that share tiles, the order of rows, taps and gaps. If this test fails, keys, proofs and
/// bundles of format 4 are no longer valid: revert the change, or add a format.
#[test]
fn keys_of_format_4_are_unchanged() {
    let networks = [
        ("residual", residual()),
        ("groups and stride", groups_and_stride()),
        ("attention", attention()),
    ];
    let keys = networks.map(|(name, network)| {
        let key = key_with(&network, RELEASED);
        assert_eq!(u32::from(key[0]), POLYNOMIALS.format, "{name}");
        format!("{name}: {}", Digest::of(&key))
    });
    let expected = [
        "residual: 1eeb3b6782a022cd07bc08fc3a2d79082ad55d47f3bb2734bc3bafa3c714253d",
        "groups and stride: f2e25af15b6a8fa7be9e51ce3e22283b1984b1910bc4d7b8eab44c6d1b613167",
        "attention: f38199fbdbdc1a5a6c4c74e57d80df02b49090bb6902b72587715ca95060e08d",
    ];
    assert_eq!(keys, expected);
}

/// Like that of format 4, the layout of format 8 never changes: the intervals of quotients and the
/// divisors that share them are part of it. If this test fails, keys, proofs and bundles of format
/// 8 are no longer valid: revert the change, or add a format.
#[test]
fn keys_of_format_8_are_unchanged() {
    let method = Method { format: KeyFormat::Bounded, ..RELEASED };
    let networks = [
        ("residual", residual()),
        ("groups and stride", groups_and_stride()),
        ("attention", attention()),
        ("bounded product", bounded_product().0),
    ];
    let keys = networks.map(|(name, network)| {
        let key = key_with(&network, method);
        assert_eq!(u32::from(key[0]), BOUNDED.format, "{name}");
        format!("{name}: {}", Digest::of(&key))
    });
    let expected = [
        "residual: b7c522c2364e91f7215b3351192ffc4836977d70db5b04b7a0a5d7f655efdc23",
        "groups and stride: 3a11efb79be890bbfcb0fe0dc1420b2448f778baa32bac569c0820fe3fc7c9e4",
        "attention: 70c816f03161def84b336c9372e06ddc8e066fde10c3fff0333f47ed6510601d",
        "bounded product: eace247563cdb3a02200e73d2120cd43c4a58ee7db8eca8995fed9dbc6627682",
    ];
    assert_eq!(keys, expected);
}

/// The key of format 8 for the bundle of this format in `vectors/proof`, in hexadecimal digits. New
/// keys of this format are those of networks with more than 134 million weights.
const KEY_8: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../vectors/proof/key-8.hex");
/// A bundle with the network of that key.
const BUNDLE_4: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../vectors/proof/stark-4-bundle-2.json");

/// Computes the key of format 8 of the network in the bundle of format 4.
fn format_8_key() -> String {
    let bundle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(BUNDLE_4).unwrap()).unwrap();
    let network = hex::decode(bundle["network"].as_str().unwrap()).unwrap();
    let network = Network::from_bytes(&network).unwrap();
    hex::encode(key_with(&network, Method { format: KeyFormat::Bounded, ..RELEASED }))
}

#[test]
fn stored_key_of_format_8_matches_its_network() {
    let key = std::fs::read_to_string(KEY_8).expect("run key_of_format_8_is_written");
    assert_eq!(key, format_8_key(), "keys of format 8 changed: revert the change, or add a format");
}

/// Creates the key, from which `golden.rs` of `taonet-proof-circuits` creates the bundle; never
/// replaces it:
/// `cargo test -p taonet-proof-backends --lib key_of_format_8_is_written -- --ignored`.
#[test]
#[ignore = "writes to vectors/proof"]
fn key_of_format_8_is_written() {
    if !std::path::Path::new(KEY_8).exists() {
        std::fs::write(KEY_8, format_8_key()).unwrap();
    }
}

/// Keys with the tiles of an earlier version stay valid, and their proofs are longer.
#[test]
fn networks_without_dense_layers_get_the_smallest_tiles() {
    for (name, network) in [("residual", residual()), ("attention", attention())] {
        let circuit = Arc::new(network.lower().unwrap());
        let smallest = Tile { inputs: 1, outputs: 1 };
        assert_eq!(
            Plan::new(&circuit).unwrap().method,
            Method { tile: smallest, ..RELEASED },
            "{name}"
        );
        let lengths = [RELEASED, Method { tile: smallest, ..RELEASED }].map(|method| {
            let key = key_with(&network, method);
            let (statement, proof) = prove_with_key(&network, &circuit, &key);
            assert_eq!(Stark.verifier(&key).unwrap().verify(&statement, &proof), Ok(()), "{name}");
            proof.len()
        });
        assert!(lengths[1] + 30_000 < lengths[0], "{name}: {lengths:?} bytes");
    }
}

/// Multiply-adds for which no products of polynomials are cheaper keep larger tiles.
#[test]
fn networks_with_dense_layers_keep_their_tiles() {
    let mut network = residual();
    let dense = Operation::Dense { weights: vec![1; 2048 * 10], bias: vec![0; 10] };
    network.layers.push(Layer { inputs: vec![3], operation: dense, rescale: None, scale: 0 });
    let circuit = network.lower().unwrap();
    assert_eq!(Plan::new(&circuit).unwrap().method, RELEASED);
}

/// Formats 4 and 6 differ in the transcript, but not in the layout of circuits that both permit.
#[test]
fn keys_of_large_circuits_have_a_separate_format() {
    for (name, network) in [("residual", residual()), ("attention", attention())] {
        let circuit = Arc::new(network.lower().unwrap());
        assert!(!Plan::new(&circuit).unwrap().method.format.is_large(), "{name}");
        let key = key_with(&network, Method { format: KeyFormat::Large, ..RELEASED });
        assert_eq!(u32::from(key[0]), LARGE.format, "{name}");
        assert_eq!(key[1..], key_with(&network, RELEASED)[1..], "{name}");
        Stark.check_key(&circuit, &key).unwrap();
        let (mut statement, proof) = prove_with_key(&network, &circuit, &key);
        let verifier = Stark.verifier(&key).unwrap();
        assert_eq!(verifier.verify(&statement, &proof), Ok(()), "{name}");
        let mut format_4_key = key.clone();
        format_4_key[0] = POLYNOMIALS.format as u8;
        let other = Stark.verifier(&format_4_key).unwrap();
        assert!(other.verify(&statement, &proof).is_err(), "{name}");
        statement.binding.verification_key = Digest::of(&format_4_key);
        assert!(other.verify(&statement, &proof).is_err(), "{name}");
        statement.binding.verification_key = Digest::of(&key);
        statement.outputs[0] += 1;
        assert!(verifier.verify(&statement, &proof).is_err(), "{name}");
    }
}

/// The key of a product of two inputs whose quotients are bounded.
fn bounded_product() -> (Network, Vec<u8>) {
    let rescale = Rescale { shift: 2, clamp: Clamp::Signed(4) };
    let sizes = Matrices { count: 1, rows: 1, inner: 1, columns: 1 };
    let network = matrices(sizes, Some(rescale));
    let key = key_with(&network, Method { format: KeyFormat::Bounded, ..RELEASED });
    (network, key)
}

/// A clamp to -16..=15 has quotients in -128..=127, of up to 16 256 that the inputs could have.
#[test]
fn bounded_clamps_have_few_entries() {
    let (network, key) = bounded_product();
    assert_eq!(u32::from(key[0]), BOUNDED.format);
    let circuit = network.lower().unwrap();
    let count_entries = |format| {
        let plan = Plan::with_method(&circuit, Method { format, ..RELEASED }).unwrap();
        plan.functions.used_entries()
    };
    let removed_entries = count_entries(KeyFormat::Large) - count_entries(KeyFormat::Bounded);
    // No product is negative.
    assert_eq!(removed_entries, (255 * 255 + 2) / 4 - 127);
    Stark.check_key(&circuit, &key).unwrap();
    let mut key_of_format_6 = key.clone();
    key_of_format_6[0] = LARGE.format as u8;
    assert!(Stark.check_key(&circuit, &key_of_format_6).is_err());
}

#[test]
fn values_far_beyond_a_bounded_clamp_have_no_proof() {
    let (network, key) = bounded_product();
    let circuit = Arc::new(network.lower().unwrap());
    let keys = Keys { proving: Vec::new(), verification: key.clone() };
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&key),
    };
    let prover = Stark.prover(Arc::clone(&circuit), &keys).unwrap();
    // The last one saturates.
    for (inputs, output) in [([3, 5], 4), ([10, 25], 15)] {
        let ProofWithOutputs { proof, outputs } = prover.prove(&inputs, &binding).unwrap();
        assert_eq!(outputs, [output]);
        let binding = binding.clone();
        let statement = Statement { binding, inputs: inputs.to_vec(), outputs };
        assert_eq!(Stark.verifier(&key).unwrap().verify(&statement, &proof), Ok(()));
    }
    let error = prover.prove(&[16, 32], &binding).map(|_| ()).unwrap_err();
    assert!(matches!(error, BackendError::Unprovable { layer: 2, value: 128 }), "{error}");
}

/// Clamps with the same bits share their entries, unless quotients and remainders would not be
/// distinct field elements. A table reads a sum with a bias without an activation of its own.
#[test]
fn bounded_circuits_share_clamps_and_shift_arguments() {
    let sizes = Matrices { count: 1, rows: 1, inner: 1, columns: 1 };
    let clamped_layer = |shift| Layer {
        inputs: vec![3],
        operation: Operation::Sum { factors: vec![1] },
        rescale: Some(Rescale { shift, clamp: Clamp::Signed(4) }),
        scale: 0,
    };
    let mut network = matrices(sizes, None);
    network.layers.extend([clamped_layer(2), clamped_layer(5), clamped_layer(9)]);
    let dense = Operation::Dense { weights: vec![1], bias: vec![-7] };
    network.layers.push(Layer { inputs: vec![6], operation: dense, rescale: None, scale: 0 });
    network.layers.push(table(7, -40, (-40..40).map(|argument| argument * 2)));
    let circuit = Arc::new(network.lower().unwrap());
    let plan = |format| Plan::with_method(&circuit, Method { format, ..RELEASED }).unwrap();
    let [large, bounded] = [plan(KeyFormat::Large), plan(KeyFormat::Bounded)];
    assert_eq!(bounded.activations.len() + 1, large.activations.len());
    // The quotients of all three divisors, the remainders of each, the table for the arguments that
    // it can have, and the two functions of every circuit.
    assert_eq!(bounded.functions.used_entries(), 128 + (4 + 32 + 512) + 16 + 2);
    let key = key_with(&network, Method { format: KeyFormat::Bounded, ..RELEASED });
    let keys = Keys { proving: Vec::new(), verification: key.clone() };
    let binding = Binding {
        nonce: Digest::of(b"n"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&key),
    };
    let prover = Stark.prover(Arc::clone(&circuit), &keys).unwrap();
    let ProofWithOutputs { proof, outputs } = prover.prove(&[20, 20], &binding).unwrap();
    // 400 is 1 in units of 512.
    assert_eq!(outputs, [-12]);
    let mut statement = Statement { binding, inputs: vec![20, 20], outputs };
    let verifier = Stark.verifier(&key).unwrap();
    assert_eq!(verifier.verify(&statement, &proof), Ok(()));
    statement.outputs[0] += 2;
    assert!(verifier.verify(&statement, &proof).is_err());
}

/// A dense layer is a product of polynomials in a circuit whose kernels take most rows.
#[test]
fn bounded_circuits_multiply_dense_layers_as_polynomials() {
    let sizes = Matrices { count: 1, rows: 16, inner: 1, columns: 32 };
    let mut network = matrices(sizes, Some(rescale(8)));
    let mut generator = testing::generator(3);
    let weights = (0..512 * 300).map(|_| generator.random_range(-9..=9)).collect();
    let operation = Operation::Dense { weights, bias: (0..300).collect() };
    network.layers.push(Layer { inputs: vec![3], operation, rescale: None, scale: 0 });
    let circuit = Arc::new(network.lower().unwrap());
    let rows = |format| {
        let plan = Plan::with_method(&circuit, Method { format, ..RELEASED }).unwrap();
        plan.tables.iter().zip(plan.log_rows).find_map(|(table, log_rows)| {
            matches!(table.kind, TableKind::Products(_)).then_some(log_rows)
        })
    };
    assert_eq!([rows(KeyFormat::Large), rows(KeyFormat::Bounded)], [Some(12), Some(4)]);
    let key = key_with(&network, Method { format: KeyFormat::Bounded, ..RELEASED });
    let (mut statement, proof) = prove_with_key(&network, &circuit, &key);
    let verifier = Stark.verifier(&key).unwrap();
    assert_eq!(verifier.verify(&statement, &proof), Ok(()));
    statement.outputs[299] += 1;
    assert!(verifier.verify(&statement, &proof).is_err());
}

/// 151 million weights, for which `TAONET_TEST_ALL` needs 5 GB of memory: those of nine matrices,
/// and 16 positions. 2^22 rows have room for 134 million.
#[test]
fn network_beyond_other_formats_uses_the_bounded_format() {
    if !is_exhaustive() {
        return;
    }
    let layers = (0..9).map(|tensor| {
        let weights = (0..1 << 24).map(|index| index % 3 - 1).collect();
        let window = Window { kernel: [1; 2], stride: [1; 2], padding: [0; 4] };
        let operation =
            Operation::Convolution { window, groups: 1, weights, bias: vec![0; 1 << 12] };
        Layer { inputs: vec![tensor], operation, rescale: Some(rescale(10)), scale: 0 }
    });
    let network = network(Shape::new(1 << 12, 16, 1).unwrap(), layers.collect());
    let circuit = network.lower().unwrap();
    drop(network);
    let plan = Plan::new(&circuit).unwrap();
    let method = plan.method;
    assert_eq!(method.format, KeyFormat::Bounded);
    assert_eq!(plan.log_rows.iter().max(), Some(&23));
    drop(plan);
    let Err(error) =
        Plan::with_method(&circuit, Method { format: KeyFormat::Polynomials, ..method })
    else {
        panic!("a table of format 4 has 2^22 rows at most")
    };
    assert!(matches!(error, BackendError::Size { limit, .. } if limit == 1 << 22), "{error}");
}

/// A seed of the fuzz target `proof_networks`.
const SEED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../fuzz/seeds/proof_networks/key_4_and_network.bin"
);

/// Returns a network with a product of matrices after its key: a byte 0, the length of the key, the
/// key, the network.
fn seed() -> Vec<u8> {
    let network = testing::matrices(Matrices { count: 1, rows: 2, inner: 3, columns: 2 }, None);
    let key = key_with(&network, RELEASED);
    let length = u8::try_from(key.len()).unwrap();
    [vec![0, length], key, network.to_bytes().unwrap()].concat()
}

#[test]
fn fuzz_seed_has_the_key_of_its_network() {
    assert_eq!(std::fs::read(SEED).unwrap(), seed(), "run fuzz_seed_is_written");
}

/// Run it if the encoding of networks or keys changes:
/// `cargo test -p taonet-proof-backends --lib fuzz_seed_is_written -- --ignored`.
#[test]
#[ignore = "writes to fuzz/seeds"]
fn fuzz_seed_is_written() {
    std::fs::write(SEED, seed()).unwrap();
}
