//! Contracts that verify proofs of `groth16`: compiled by solc, deployed and called in an Ethereum
//! Virtual Machine.
//!
//! solc is a peer, from npm: no crate of it builds from source in reasonable time. Without its
//! default features, revm has no C library, and it uses the versions of arkworks that the backends
//! use.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ark_bn254::{Fq, Fq2, G2Affine};
use ark_ff::{BigInteger as _, One as _, PrimeField as _};
use revm::context::TxEnv;
use revm::database::InMemoryDB;
use revm::handler::MainnetContext;
use revm::primitives::{Address, TxKind, U256};
use revm::{
    Context, ExecuteCommitEvm as _, ExecuteEvm as _, MainBuilder as _, MainContext as _, MainnetEvm,
};
use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_proof_backends::groth16::Groth16;
use taonet_proof_backends::groth16::evm::{Call, EvmVerifier, FUNCTION, MAX_VALUES, Word};
use taonet_proof_backends::{Backend as _, BackendError, Keys, ProofWithOutputs, Statement};
use taonet_proof_circuits::{
    Backends, Bundle, CircuitDirectory, CircuitError, CompileOptions, ModelBundle, ShippedModel,
    compile, solidity_call, solidity_contract,
};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::network::{FORMAT, Input, Layer, Network, Operation};
use taonet_proof_core::{Binding, Digest, Range, Shape};
use taonet_testing::{peer_directory, query_program};
use tempfile::TempDir;

/// Modulus of the coordinates of points.
fn modulus() -> U256 {
    U256::from_be_slice(&Fq::MODULUS.to_bytes_be())
}

/// Modulus of the public values.
fn scalar_modulus() -> U256 {
    U256::from_be_slice(&ark_bn254::Fr::MODULUS.to_bytes_be())
}

fn to_number(word: &Word) -> U256 {
    U256::from_be_bytes(*word)
}

/// A deployed contract.
struct Contract {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    address: Address,
    /// Selectors of the functions by signature, in hexadecimal.
    selectors: Value,
    /// Size of the code, in bytes.
    size: usize,
}

impl Contract {
    fn deploy(solc: &Path, source: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/solc.mjs");
        let request = json!({ "source": source, "contract": "ProofVerifier" });
        let compiled = query_program(Command::new("node").arg(script).arg(solc), &request);
        assert_eq!(compiled["messages"], json!([]), "{source}");
        let code = |name: &str| hex::decode(compiled[name].as_str().unwrap()).unwrap();
        let mut evm = Context::mainnet().with_db(InMemoryDB::default()).build_mainnet();
        let transaction =
            TxEnv::builder().kind(TxKind::Create).data(code("code").into()).gas_limit(10_000_000);
        let creation = evm.transact_commit(transaction.build().unwrap()).unwrap();
        assert!(creation.is_success(), "{creation:?}");
        let address = creation.created_address().unwrap();
        Self {
            evm,
            address,
            selectors: compiled["selectors"].clone(),
            size: code("deployed").len(),
        }
    }

    /// Calls a function. Returns the 32 bytes that it returns, and the gas of the transaction.
    fn call(&mut self, data: Vec<u8>) -> (U256, u64) {
        let transaction = TxEnv::builder()
            .kind(TxKind::Call(self.address))
            .data(data.into())
            .gas_limit(10_000_000);
        let result = self.evm.transact(transaction.nonce(1).build().unwrap()).unwrap().result;
        assert!(result.is_success(), "{result:?}");
        (U256::from_be_slice(result.output().unwrap()), result.tx_gas_used())
    }

    fn accepts(&mut self, call: &Call) -> bool {
        let (result, _) = self.call(call.data());
        assert!(result <= U256::ONE);
        result == U256::ONE
    }

    /// Returns the binding that the contract computes.
    fn binding(&mut self, bundle: &Bundle) -> U256 {
        let selector = self.selectors["binding(bytes32,bytes32,int64[])"].as_str().unwrap();
        let mut data = hex::decode(selector).unwrap();
        data.extend(bundle.nonce.as_bytes());
        data.extend(bundle.miner.as_bytes());
        for word in [96, bundle.inputs.len() as u64] {
            data.extend(U256::from(word).to_be_bytes::<32>());
        }
        for &input in &bundle.inputs {
            // Negative integers in two's complement.
            let (magnitude, is_negative) = (U256::from(input.unsigned_abs()), input < 0);
            data.extend(
                if is_negative { magnitude.wrapping_neg() } else { magnitude }.to_be_bytes::<32>(),
            );
        }
        self.call(data).0
    }
}

fn circuit(folder: &TempDir, model: ShippedModel, backends: Backends) -> CircuitDirectory {
    let options = CompileOptions {
        name: model.name().to_owned(),
        backend: "groth16".to_owned(),
        backends,
        quantise: model.quantise_options(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let compiled = compile(model.onnx(), &model.sample().unwrap(), &options).unwrap();
    CircuitDirectory::create(
        &folder.path().join(compiled.metadata.id().unwrap().to_string()),
        &compiled,
    )
    .unwrap()
}

fn prove(circuit: &CircuitDirectory, inputs: &[i64]) -> (Bundle, Call) {
    let bundle =
        Bundle::prove(circuit, inputs, Digest::of(b"nonce"), Hotkey::from_bytes([7; 32])).unwrap();
    let call = solidity_call(&ModelBundle::Single(Box::new(bundle.clone()))).unwrap();
    (bundle, call)
}

/// Returns a point of the twisted curve outside of the subgroup in which pairings are defined.
fn outside_of_subgroup() -> [Word; 4] {
    let points = (0_u64..).filter_map(|x| {
        G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(x), Fq::one()), false)
    });
    let point =
        points.into_iter().find(|point| !point.is_in_correct_subgroup_assuming_on_curve()).unwrap();
    [point.x.c1, point.x.c0, point.y.c1, point.y.c0]
        .map(|coordinate| coordinate.into_bigint().to_bytes_be().try_into().unwrap())
}

#[test]
fn contract_accepts_valid_proofs_only() {
    let Some(solc) = peer_directory("solc") else { return };
    let folder = TempDir::new().unwrap();
    let circuit = circuit(&folder, ShippedModel::DiabetesRegression, Backends::default());
    let mut contract = Contract::deploy(&solc, &solidity_contract(&circuit).unwrap());
    assert_eq!(
        contract.selectors[FUNCTION],
        hex::encode(&Call { proof: [[0; 32]; 8], values: Vec::new() }.data()[..4])
    );
    let inputs = [-256, 255, 0, 1, -1, 17, -42, 100, -100, 3];
    let (bundle, call) = prove(&circuit, &inputs);
    assert!(contract.accepts(&call));
    let (_, gas) = contract.call(call.data());
    println!("12 public values: {gas} gas, {} bytes of code", contract.size);
    assert!(gas < 310_000 && contract.size < 24_576, "{gas} gas, {} bytes", contract.size);
    assert_eq!(contract.binding(&bundle), to_number(&call.values[0]));
    let other = Bundle { miner: Hotkey::from_bytes([8; 32]), ..bundle.clone() };
    assert_ne!(contract.binding(&other), to_number(&call.values[0]));

    let mut invalid_calls = Vec::new();
    for position in 0..call.values.len() {
        let value = to_number(&call.values[position]);
        let other_values = [
            value.wrapping_add(U256::ONE),
            value.wrapping_sub(U256::ONE),
            value + scalar_modulus(),
            scalar_modulus(),
            U256::MAX,
        ];
        invalid_calls.extend(other_values.map(|other| with_value(&call, position, other)));
    }
    let (_, second_call) = prove(&circuit, &[1; 10]);
    let outside_subgroup = outside_of_subgroup();
    for (first, count) in [(0, 2), (2, 4), (6, 2)] {
        // The point of another valid proof, the negative, infinity, and coordinates above the
        // modulus.
        invalid_calls.push(with_words(&call, first, &second_call.proof[first..first + count]));
        let negated_ordinates =
            call.proof[first + count / 2..first + count].iter().map(|y| modulus() - to_number(y));
        invalid_calls.push(with_words(
            &call,
            first + count / 2,
            &negated_ordinates.map(|y| y.to_be_bytes()).collect::<Vec<Word>>(),
        ));
        invalid_calls.push(with_words(&call, first, &vec![[0; 32]; count]));
        for position in first..first + count {
            let coordinate = to_number(&call.proof[position]);
            // Not on the curve, and the same coordinate modulo the modulus.
            for other in [coordinate.wrapping_add(U256::ONE), coordinate + modulus(), U256::MAX] {
                invalid_calls.push(with_words(&call, position, &[other.to_be_bytes()]));
            }
        }
    }
    invalid_calls.push(with_words(&call, 2, &outside_subgroup));
    invalid_calls.push(with_words(&call, 0, &[call.proof[6], call.proof[7]]));
    invalid_calls.push(Call { values: call.values[..11].to_vec(), ..call.clone() });
    invalid_calls
        .push(Call { values: [call.values.clone(), vec![[0; 32]]].concat(), ..call.clone() });
    invalid_calls.push(Call { values: second_call.values.clone(), ..call.clone() });
    for (index, invalid_call) in invalid_calls.iter().enumerate() {
        assert!(
            !contract.accepts(invalid_call),
            "call {index} of {} was accepted: {invalid_call:?}",
            call.values.len()
        );
    }
    assert!(contract.accepts(&second_call) && contract.accepts(&call));
}

fn with_value(call: &Call, position: usize, value: U256) -> Call {
    let mut call = call.clone();
    call.values[position] = value.to_be_bytes();
    call
}

fn with_words(call: &Call, first: usize, words: &[Word]) -> Call {
    let mut call = call.clone();
    call.proof[first..first + words.len()].copy_from_slice(words);
    call
}

/// The proof is valid, but a value is outside of the range for which the circuit's sums are
/// bounded.
#[test]
fn contract_rejects_values_out_of_range() {
    let Some(solc) = peer_directory("solc") else { return };
    let folder = TempDir::new().unwrap();
    let circuit = circuit(&folder, ShippedModel::DiabetesRegression, Backends::default());
    let source = solidity_contract(&circuit).unwrap();
    let (inputs, offset) = ("inRange(values, 2, 12, 0x", format!("{:064x}, ", 256));
    assert!(source.contains(&format!("{inputs}{offset}511)")), "{source}");
    assert!(
        source.contains(&format!("inRange(values, 1, 2, 0x{:064x}, {})", 1_u64 << 60, 1_u64 << 61)),
        "{source}"
    );
    let (_, call) = prove(&circuit, &[-100, 100, 0, 0, 0, 0, 0, 0, 0, 0]);
    // The smallest input of this proof is -100, the largest 100.
    for (low, high, accepted) in [(-100, 100, true), (-99, 255, false), (-256, 99, false)] {
        let (offset, span) = (format!("{:064x}, ", -low), high - low);
        let narrowed_source = source
            .replace(&format!("{inputs}{:064x}, 511)", 256), &format!("{inputs}{offset}{span})"));
        assert_eq!(
            Contract::deploy(&solc, &narrowed_source).accepts(&call),
            accepted,
            "{low}..={high}"
        );
    }
}

/// Returns a circuit of a single output, and its keys.
fn linear_circuit(inputs: usize) -> (Arc<Circuit>, Keys) {
    let weights = (1..=7).cycle().take(inputs).collect();
    let operation = Operation::Dense { weights, bias: vec![5] };
    let layer = Layer { inputs: vec![0], operation, rescale: None, scale: 0 };
    let input = Input {
        shape: Shape::vector(inputs).unwrap(),
        range: Range { low: -128, high: 127 },
        scale: 0,
    };
    let circuit = Network { format: FORMAT, input, layers: vec![layer] }.lower().unwrap();
    let keys = Groth16.setup(&circuit).unwrap();
    (Arc::new(circuit), keys)
}

/// A contract has a point for each public value: the binding, the output and the inputs. With the
/// most that are permitted, it can be deployed and verifies a proof.
#[test]
fn contract_is_limited_to_256_public_values() {
    let id = Digest::of(b"a circuit");
    let (_, keys) = linear_circuit(255);
    let error = EvmVerifier::new(&keys.verification).unwrap().contract(&id).unwrap_err();
    assert!(matches!(error, BackendError::Contract { values: 257, limit: 256 }), "{error}");
    let (circuit, keys) = linear_circuit(254);
    let verifier = EvmVerifier::new(&keys.verification).unwrap();
    let source = verifier.contract(&id).unwrap();
    let Some(solc) = peer_directory("solc") else { return };
    let mut contract = Contract::deploy(&solc, &source);
    let binding = Binding {
        nonce: Digest::of(b"nonce"),
        miner: Hotkey::from_bytes([7; 32]),
        circuit: id,
        verification_key: Digest::of(&keys.verification),
    };
    let inputs: Vec<i64> = (-127..127).collect();
    let ProofWithOutputs { proof, outputs } =
        Groth16.prover(circuit, &keys).unwrap().prove(&inputs, &binding).unwrap();
    let call = verifier.call(&Statement { binding, inputs, outputs }, &proof).unwrap();
    assert_eq!(call.values.len(), MAX_VALUES);
    assert!(contract.accepts(&call));
    let (_, gas) = contract.call(call.data());
    println!("256 public values: {gas} gas, {} bytes of code", contract.size);
    let last = to_number(&call.values[255]).wrapping_add(U256::ONE);
    assert!(!contract.accepts(&with_value(&call, 255, last)));
}

/// Pictures have too many values for a contract, unless their digest is public in their place.
#[test]
fn contract_verifies_hashed_inputs() {
    let folder = TempDir::new().unwrap();
    let model = ShippedModel::DigitsMlp;
    let error =
        solidity_contract(&circuit(&folder, model, Backends::default())).unwrap_err().to_string();
    assert!(error.contains("795 public values") && error.contains("--hash-inputs"), "{error}");
    let Some(solc) = peer_directory("solc") else { return };
    let circuit = circuit(&folder, model, Backends::default().with_hashed_inputs());
    let source = solidity_contract(&circuit).unwrap();
    assert!(
        source.contains("the binding, 10 outputs and the Poseidon digest of 784 inputs"),
        "{source}"
    );
    let mut contract = Contract::deploy(&solc, &source);
    let inputs = &model.sample().unwrap().inputs;
    let (bundle, call) = prove(&circuit, &inputs[0]);
    assert!(contract.accepts(&call));
    let (_, gas) = contract.call(call.data());
    println!("784 hashed inputs: {gas} gas, {} bytes of code", contract.size);
    assert!(gas < 310_000, "{gas} gas");
    assert_eq!(contract.binding(&bundle), to_number(&call.values[0]));
    let (_, other) = prove(&circuit, &inputs[1]);
    // The digest of another picture, and another output.
    assert!(!contract.accepts(&with_value(&call, 11, to_number(&other.values[11]))));
    assert!(!contract.accepts(&with_value(
        &call,
        1,
        to_number(&call.values[1]).wrapping_add(U256::ONE)
    )));
    assert!(contract.accepts(&other));
}

#[test]
fn stark_circuit_has_no_contract() {
    let folder = TempDir::new().unwrap();
    let compiled = ShippedModel::DiabetesRegression.compile("stark").unwrap();
    let circuit = CircuitDirectory::create(&folder.path().join("stark"), &compiled).unwrap();
    let error = solidity_contract(&circuit).unwrap_err();
    assert!(matches!(&error, CircuitError::NoContract(backend) if backend == "stark"), "{error}");
    let bundle =
        Bundle::prove(&circuit, &[0; 10], Digest::of(b"nonce"), Hotkey::from_bytes([7; 32]))
            .unwrap();
    let error = solidity_call(&ModelBundle::Single(Box::new(bundle))).unwrap_err();
    assert!(matches!(error, CircuitError::NoContract(_)), "{error}");
}

/// A bundle is verified before its call is returned.
#[test]
fn invalid_proof_has_no_call() {
    let folder = TempDir::new().unwrap();
    let circuit = circuit(&folder, ShippedModel::DiabetesRegression, Backends::default());
    let (mut bundle, _) = prove(&circuit, &[0; 10]);
    bundle.outputs[0] += 1;
    let error = solidity_call(&ModelBundle::Single(Box::new(bundle))).unwrap_err();
    assert!(matches!(error, CircuitError::Verify(_)), "{error}");
}
