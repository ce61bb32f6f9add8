use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taonet_proof_backends::external::External;
use taonet_proof_backends::{Capabilities, Verifier};
use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions, ShippedModel, compile};
use taonet_wire::Peer;

use super::*;
use crate::Wire;

/// A verifier that counts its calls.
struct CountingVerifier(Box<dyn Verifier>, Arc<AtomicUsize>);

impl Verifier for CountingVerifier {
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(statement, proof)
    }
}

fn key(number: u16) -> Hotkey {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    Hotkey::from_bytes(bytes)
}

struct Fixture {
    circuits: Vec<LoadedCircuit>,
    miners: Vec<ProofMiner>,
    count: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

/// Returns a model with both built-in backends, and 256 miners of which the first shares its host
/// with the last.
fn fixture() -> Fixture {
    fixture_with(["stark", "groth16"])
}

/// Returns a model with two backends, and 256 miners.
fn fixture_with(backends: [&str; 2]) -> Fixture {
    let (folder, count) = (tempfile::tempdir().unwrap(), Arc::<AtomicUsize>::default());
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../backends/examples/rerun.py")
        .canonicalize()
        .unwrap();
    let program = External::new(&program, MINUTE, Capabilities::UNKNOWN).unwrap();
    let model = ShippedModel::DiabetesRegression;
    let circuits = backends.map(|backend| {
        let options = CompileOptions {
            name: model.name().to_owned(),
            backend: backend.to_owned(),
            backends: Backends::with_external(program.clone()),
            quantise: model.quantise_options(),
            max_error: None,
            contributor: "anonymous".to_owned(),
        };
        let compiled = compile(model.onnx(), &model.sample().unwrap(), &options).unwrap();
        let directory = CircuitDirectory::create(&folder.path().join(backend), &compiled).unwrap();
        let directory = Arc::new(directory.with_backends(&options.backends));
        let loaded = LoadedCircuit::load(&directory).unwrap();
        LoadedCircuit {
            verifier: Box::new(CountingVerifier(loaded.verifier, Arc::clone(&count))),
            ..loaded
        }
    });
    let miners = (0..256_u16).map(|number| {
        let host = if number == 0 || number == 255 {
            "10.9.9.9".to_owned()
        } else {
            format!("10.0.0.{number}")
        };
        ProofMiner { peer: Peer::new(key(number), host, 1).unwrap(), wire: Wire::Http }
    });
    Fixture { circuits: circuits.into(), miners: miners.collect(), count, _folder: folder }
}

impl Fixture {
    /// Returns a proof by `prover` that `claimant` claims, for the same or a different request.
    fn claim(
        &self,
        circuit: usize,
        prover: u16,
        claimant: u16,
        nonces: [&[u8]; 2],
    ) -> UnverifiedProof {
        let loaded = &self.circuits[circuit];
        let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
        let [proven_nonce, claimed_nonce] = nonces.map(Digest::of);
        let proof = loaded.directory.prover().unwrap();
        let proof = proof.prove(&inputs, &loaded.binding(proven_nonce, key(prover))).unwrap();
        let statement = Statement {
            binding: loaded.binding(claimed_nonce, key(claimant)),
            inputs,
            outputs: proof.outputs,
        };
        UnverifiedProof { statement, proof: proof.proof, time: Duration::from_secs(1) }
    }

    /// Diagnoses a rejected proof, and returns the number of verifications that it cost.
    fn diagnose(
        &self,
        circuit: usize,
        claim: &UnverifiedProof,
        proof_history: &ProofHistory,
    ) -> (Fault, usize) {
        let before = self.count.load(Ordering::Relaxed);
        let loaded = &self.circuits[circuit];
        let fault = diagnose(
            loaded,
            &self.circuits,
            claim,
            &VerifyError::Invalid,
            proof_history,
            &self.miners,
        );
        (fault, self.count.load(Ordering::Relaxed) - before)
    }
}

#[test]
fn diagnosis_costs_a_bounded_number_of_verifications() {
    let fixture = fixture();
    let proof_history = ProofHistory::default();
    // Every miner has four statements.
    let honest = fixture.claim(0, 1, 1, [b"honest"; 2]);
    for miner in 0..256 {
        for nonce in [&b"1"[..], b"2", b"3", b"4"] {
            let binding = fixture.circuits[0].binding(Digest::of(nonce), key(miner));
            proof_history.add(
                Statement { binding, ..honest.statement.clone() },
                &[nonce, &miner.to_le_bytes()].concat(),
            );
        }
    }
    // The proof is bound to an unknown request of an unknown miner, so every trial fails.
    let invalid_claim = fixture.claim(0, 999, 5, [b"a", b"b"]);
    let mut total = 0;
    for _ in 0..20 {
        let (fault, trials) = fixture.diagnose(0, &invalid_claim, &proof_history);
        assert_eq!(fault, Fault::Invalid);
        assert!(trials <= MAX_TRIALS, "{trials} verifications for one proof");
        total += trials;
    }
    assert_eq!(
        total, MAX_TRIALS_PER_MINUTE,
        "20 proofs of a miner cost no more than a minute's allowance"
    );
    // Another miner has its own allowance.
    let other_claim = fixture.claim(0, 999, 6, [b"a", b"b"]);
    assert_eq!(fixture.diagnose(0, &other_claim, &proof_history), (Fault::Invalid, MAX_TRIALS));
    // The allowance is renewed after a minute.
    let later = Instant::now() + MINUTE;
    assert_eq!(proof_history.allowance(&key(5), later), MAX_TRIALS);
}

#[test]
fn common_faults_are_diagnosed_with_few_verifications() {
    let fixture = fixture();
    let proof_history = ProofHistory::default();
    // A verbatim replay and a verbatim copy of a verified proof cost nothing.
    let first_claim = fixture.claim(0, 1, 1, [b"first"; 2]);
    proof_history.add(first_claim.statement.clone(), &first_claim.proof);
    let second_claim = |miner: u16| {
        let binding = fixture.circuits[0].binding(Digest::of(b"second"), key(miner));
        let statement = Statement { binding, ..first_claim.statement.clone() };
        UnverifiedProof { statement, proof: first_claim.proof.clone(), time: first_claim.time }
    };
    assert_eq!(fixture.diagnose(0, &second_claim(1), &proof_history), (Fault::ReplayedProof, 0));
    assert_eq!(fixture.diagnose(0, &second_claim(2), &proof_history), (Fault::CopiedProof, 0));
    // A new proof by the miner on the same host, one of 256 miners, is recognised in two trials:
    // with the other circuit, then with that miner.
    let copied_claim = fixture.claim(0, 255, 0, [b"third"; 2]);
    assert_eq!(fixture.diagnose(0, &copied_claim, &proof_history), (Fault::CopiedProof, 2));
    // A proof for the other circuit is recognised in one trial.
    let mut other_claim = fixture.claim(1, 3, 3, [b"fourth"; 2]);
    other_claim.statement.binding = fixture.circuits[0].binding(Digest::of(b"fourth"), key(3));
    assert_eq!(fixture.diagnose(0, &other_claim, &proof_history), (Fault::OtherCircuit, 1));
}

/// A verification by an external program may take minutes, so only the built-in backend is tried.
#[test]
fn diagnosis_skips_external_verifiers() {
    let fixture = fixture_with(["external", "stark"]);
    let proof_history = ProofHistory::default();
    let honest = fixture.claim(0, 1, 1, [b"honest"; 2]);
    proof_history.add(honest.statement, &honest.proof);
    let invalid_claim = fixture.claim(0, 1, 5, [b"a", b"b"]);
    assert_eq!(fixture.diagnose(0, &invalid_claim, &proof_history), (Fault::Invalid, 1));
}
