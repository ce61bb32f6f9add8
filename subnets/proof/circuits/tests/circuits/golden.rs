//! Bundles of released formats in vectors/proof, one of each kind. Every later version must accept
//! them, because a proof may be verified years after its request.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use taonet_primitives::Hotkey;
use taonet_proof_circuits::{
    Backends, Bundle, Catalogue, CircuitDirectory, Compiled, ModelBundle, Opening, ShippedModel,
    SlicedBundle,
};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::{NETWORK, VERIFICATION_KEY};

/// Names of the bundles: the kind, the format of the verification key and, since version 2, that of
/// the bundle. None has a key of format 6, which only networks with more than 134 million weights
/// had.
const BUNDLES: [&str; 8] = [
    "groth16-1.json",
    "sliced-groth16-1.json",
    "stark-3-bundle-2.json",
    "stark-3.json",
    POLYNOMIALS,
    "stark-5-bundle-2.json",
    HIDDEN_INPUTS,
    BOUNDED,
];
/// A bundle with a key of format 4.
const POLYNOMIALS: &str = "stark-4-bundle-2.json";
/// A bundle with the same network and a key of format 8.
const BOUNDED: &str = "stark-8-bundle-2.json";
/// Its key, which a test of `taonet-proof-backends` creates: `key_of_format_8_is_written`.
const BOUNDED_KEY: &str = "key-8.hex";
/// A bundle with hidden inputs.
const HIDDEN_INPUTS: &str = "stark-7-bundle-2.json";
/// The opening of its commitment to them.
const OPENING: &str = "opening-1.json";

/// Returns the model of a bundle. Keys of formats 4 and 8 are those of models with convolutions.
fn model(name: &str) -> ShippedModel {
    if name == POLYNOMIALS || name == BOUNDED {
        ShippedModel::DigitsLenet
    } else {
        ShippedModel::DiabetesRegression
    }
}

fn vectors_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/proof")
}

/// Changes an output of the last proof.
fn with_changed_output(bundle: &ModelBundle) -> ModelBundle {
    let mut bundle = bundle.clone();
    let last = match &mut bundle {
        ModelBundle::Single(whole) => &mut **whole,
        ModelBundle::Sliced(sliced) => sliced.slices.last_mut().unwrap(),
    };
    last.outputs[0] += 1;
    bundle
}

#[test]
fn bundles_of_all_released_formats_verify() {
    let entries = std::fs::read_dir(vectors_directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = entries.filter(|name| name != "README.md").collect();
    let known_files = BUNDLES.into_iter().chain([OPENING, BOUNDED_KEY]).map(str::to_owned);
    let known_files: BTreeSet<String> = known_files.collect();
    assert_eq!(files, known_files, "every file is a known bundle, its opening or its key");
    for name in BUNDLES {
        let bundle =
            ModelBundle::from_json(&std::fs::read(vectors_directory().join(name)).unwrap())
                .unwrap();
        bundle.verify().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(with_changed_output(&bundle).verify().is_err(), "{name}");
    }
}

/// The random numbers of a commitment follow from its seed in the same way in every version:
/// columns and their order, random generators, salts.
#[test]
fn opening_of_released_format_is_valid() {
    let read = |name: &str| std::fs::read(vectors_directory().join(name)).unwrap();
    let bundle = Bundle::from_json(&read(HIDDEN_INPUTS)).unwrap();
    let mut opening = Opening::from_json(&read(OPENING)).unwrap();
    assert_eq!(opening.inputs, model(HIDDEN_INPUTS).sample().unwrap().inputs[0]);
    bundle.verify_opening(&opening, &Backends::default()).unwrap();
    opening.inputs[0] ^= 1;
    assert!(bundle.verify_opening(&opening, &Backends::default()).is_err());
}

/// Returns the circuit of the bundle of format 4 with the key of format 8. New keys of this format
/// are those of networks with more than 134 million weights.
fn with_bounded_key() -> Compiled {
    let read = |name: &str| std::fs::read(vectors_directory().join(name)).unwrap();
    let bundle = Bundle::from_json(&read(POLYNOMIALS)).unwrap();
    let key = read(BOUNDED_KEY);
    let (mut metadata, network) = (bundle.circuit, bundle.network.unwrap());
    let files =
        [(NETWORK, hex::decode(network).unwrap()), (VERIFICATION_KEY, hex::decode(key).unwrap())];
    let digest = |(name, contents): &(&str, Vec<u8>)| ((*name).to_owned(), Digest::of(contents));
    metadata.files = files.iter().map(digest).collect();
    let files = files.into_iter().map(|(name, contents)| (name.to_owned(), contents)).collect();
    Compiled { metadata, files }
}

/// The two bundles differ in the format of their keys, and have the same outputs.
#[test]
fn bundle_of_format_8_has_the_outputs_of_format_4() {
    let read = |name: &str| std::fs::read(vectors_directory().join(name)).unwrap();
    let [four, eight] = [POLYNOMIALS, BOUNDED].map(|name| Bundle::from_json(&read(name)).unwrap());
    assert_eq!((&four.inputs, &four.outputs), (&eight.inputs, &eight.outputs));
    assert_eq!(four.network, eight.network);
    assert_eq!([&four, &eight].map(|bundle| bundle.verification_key[..2].to_owned()), ["04", "08"]);
}

/// Creates the bundles that do not exist; never replaces one. Run it after adding the name of a new
/// format: `cargo test -p taonet-proof-circuits --test circuits golden -- --ignored`.
#[test]
#[ignore = "writes to vectors/proof"]
fn create_missing_bundles() {
    let (miner, nonce) = (Hotkey::from_bytes([7; 32]), Digest::of(b"a request that is years old"));
    for name in BUNDLES {
        let path = vectors_directory().join(name);
        if path.exists() {
            continue;
        }
        let model = model(name);
        let inputs = &model.sample().unwrap().inputs[0];
        let directory = tempfile::tempdir().unwrap();
        let circuit = directory.path().join("circuit");
        let bundle = if name.starts_with("sliced") {
            model.compile_slices("groth16", 2).unwrap().write(&circuit).unwrap();
            let catalogue = Catalogue::open(&circuit).unwrap();
            let (_, sliced) = catalogue.models().next().unwrap();
            let slices: Vec<&CircuitDirectory> =
                sliced.slices.iter().map(|id| &**catalogue.get(id).unwrap()).collect();
            ModelBundle::Sliced(Box::new(
                SlicedBundle::prove(sliced, &slices, inputs, nonce, miner).unwrap(),
            ))
        } else {
            let (backend, _) = name.split_once('-').unwrap();
            // Keys of format 5 are those of proofs that hide values.
            let backends = match name {
                "stark-5-bundle-2.json" => Backends::default().with_hidden_values(),
                HIDDEN_INPUTS => Backends::default().with_hidden_inputs(),
                _ => Backends::default(),
            };
            let compiled = match name {
                BOUNDED => with_bounded_key(),
                _ => model.compile_with(backend, &backends).unwrap(),
            };
            let circuit = CircuitDirectory::create(&circuit, &compiled).unwrap();
            let (bundle, opening) =
                Bundle::prove_with_opening(&circuit, inputs, nonce, miner).unwrap();
            if let Some(opening) = opening {
                std::fs::write(vectors_directory().join(OPENING), opening.to_json().unwrap())
                    .unwrap();
            }
            ModelBundle::Single(Box::new(bundle))
        };
        std::fs::write(path, serde_json::to_vec(&bundle).unwrap()).unwrap();
    }
}
