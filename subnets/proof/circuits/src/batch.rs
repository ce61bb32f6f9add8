use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use taonet_proof_backends::Verifier;
use taonet_proof_core::Digest;

use crate::bundle::Claim;
use crate::{Backends, Bundle, CircuitError, ModelBundle};

/// Maximum number of proofs that a thread verifies in a row.
const MAX_BATCH: usize = 64;

/// Verifies many bundles on all cores. Each circuit's key is checked and loaded once for all of its
/// proofs, and proofs of `groth16` share a pairing equation. Returns a result for each bundle, in
/// their order, like
/// [`ModelBundle::verify_with`]: a sliced model has the error of its first invalid slice.
pub fn verify_all(bundles: &[&ModelBundle], backends: &Backends) -> Vec<Result<(), CircuitError>> {
    let mut results: Vec<Result<(), CircuitError>> =
        bundles.iter().map(|bundle| check_chain(bundle)).collect();
    let mut groups: BTreeMap<Option<Digest>, ProofGroup<'_>> = BTreeMap::new();
    for (position, bundle) in bundles.iter().enumerate() {
        for (slice, proof) in bundle.proofs().iter().enumerate() {
            let group = groups.entry(proof.circuit_id().ok()).or_default();
            group.proofs.push(Proof { proof_index: ProofIndex { position, slice }, bundle: proof });
        }
    }
    let proof_count: usize = groups.values().map(|group| group.proofs.len()).sum();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(proof_count.max(1));
    let max_batch = proof_count.div_ceil(threads).clamp(1, MAX_BATCH);
    let tasks: Vec<_> = groups
        .values()
        .flat_map(|group| group.proofs.chunks(max_batch).map(move |proofs| (group, proofs)))
        .collect();
    let next_task = AtomicUsize::new(0);
    let verify_tasks = || {
        let mut results = Vec::new();
        while let Some((group, proofs)) = tasks.get(next_task.fetch_add(1, Ordering::Relaxed)) {
            results.extend(group.verify(proofs, backends));
        }
        results
    };
    // Not rayon: a thread that waits for another one to load a key must not be needed to load it.
    let mut proof_results = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(verify_tasks)).collect();
        let joined_results = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined_results.flatten().collect::<Vec<_>>()
    });
    // Report the first invalid slice of a model, in whatever order the threads have finished.
    proof_results.sort_by_key(|(proof_index, _)| *proof_index);
    for (proof_index, proof_result) in proof_results {
        if let Some(result) = results.get_mut(proof_index.position).filter(|result| result.is_ok())
        {
            *result = proof_result;
        }
    }
    results
}

fn check_chain(bundle: &ModelBundle) -> Result<(), CircuitError> {
    match bundle {
        ModelBundle::Single(_) => Ok(()),
        ModelBundle::Sliced(bundle) => bundle.check_chain(),
    }
}

/// Position of a proof among the bundles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ProofIndex {
    /// Position of its bundle.
    position: usize,
    /// Position in the bundle.
    slice: usize,
}

struct Proof<'a> {
    proof_index: ProofIndex,
    bundle: &'a Bundle,
}

/// The proofs of one circuit.
#[derive(Default)]
struct ProofGroup<'a> {
    proofs: Vec<Proof<'a>>,
    /// The circuit's verifier; `None` if no proof has a valid key or the backend is missing.
    verifier: OnceLock<Option<Box<dyn Verifier>>>,
}

impl ProofGroup<'_> {
    fn verify(
        &self,
        proofs: &[Proof<'_>],
        backends: &Backends,
    ) -> Vec<(ProofIndex, Result<(), CircuitError>)> {
        let Some(verifier) = self.verifier.get_or_init(|| self.load_verifier(backends)) else {
            // Fails for each proof, with its own error.
            return proofs
                .iter()
                .map(|proof| (proof.proof_index, proof.bundle.verify_with(backends)))
                .collect();
        };
        let (mut results, mut proof_indices, mut claims) = (Vec::new(), Vec::new(), Vec::new());
        for proof in proofs {
            match proof.bundle.decode_claim(backends) {
                Ok(Claim { statement, proof: bytes, .. }) => {
                    proof_indices.push(proof.proof_index);
                    claims.push((statement, bytes));
                }
                Err(error) => results.push((proof.proof_index, Err(error))),
            }
        }
        let claim_results = verifier.verify_all(&claims).into_iter().map(|result| Ok(result?));
        results.extend(proof_indices.into_iter().zip(claim_results));
        results
    }

    /// Loads the verifier from the first proof that has the circuit's key. All other proofs of the
    /// circuit have the same key.
    fn load_verifier(&self, backends: &Backends) -> Option<Box<dyn Verifier>> {
        let mut claims = self
            .proofs
            .iter()
            .filter_map(|proof| Some((proof.bundle.decode_claim(backends).ok()?, proof.bundle)));
        let (claim, bundle) = claims.next()?;
        let backend =
            backends.for_circuit(&claim.statement.binding.circuit, &bundle.circuit.backend).ok()?;
        backend.verifier(&claim.key).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use taonet_primitives::Hotkey;
    use tempfile::TempDir;

    use super::*;
    use crate::{Catalogue, CircuitDirectory, ShippedModel, SlicedBundle};

    fn circuit(folder: &Path, backend: &str) -> CircuitDirectory {
        let compiled = ShippedModel::DiabetesRegression.compile(backend).unwrap();
        CircuitDirectory::create(&folder.join(backend), &compiled).unwrap()
    }

    fn prove(circuit: &CircuitDirectory, input: i64) -> Bundle {
        let inputs = vec![input; circuit.circuit().inputs];
        Bundle::prove(
            circuit,
            &inputs,
            Digest::of(&input.to_le_bytes()),
            Hotkey::from_bytes([7; 32]),
        )
        .unwrap()
    }

    fn verify(bundles: &[ModelBundle]) -> Vec<Result<(), CircuitError>> {
        verify_all(&bundles.iter().collect::<Vec<_>>(), &Backends::default())
    }

    /// Changes the nonce of each listed bundle, and checks that exactly these are rejected.
    fn check(bundles: &[Bundle], wrong: &[usize]) {
        let mut bundles = bundles.to_vec();
        for &position in wrong {
            bundles[position].nonce = Digest::of(b"other");
        }
        let bundles: Vec<ModelBundle> =
            bundles.into_iter().map(|bundle| ModelBundle::Single(Box::new(bundle))).collect();
        let results = verify(&bundles);
        for (position, (result, bundle)) in results.iter().zip(&bundles).enumerate() {
            assert_eq!(result.is_err(), wrong.contains(&position), "{position}: {result:?}");
            let single_error = bundle.verify().map_err(|error| error.to_string());
            assert_eq!(
                result.as_ref().map_err(ToString::to_string),
                single_error.as_ref().map(|()| &()).map_err(Clone::clone)
            );
        }
        assert_eq!(results.len(), bundles.len());
    }

    #[test]
    fn invalid_bundles_of_several_circuits_are_reported() {
        let folder = TempDir::new().unwrap();
        let circuits = ["stark", "groth16"].map(|backend| circuit(folder.path(), backend));
        let bundles: Vec<Bundle> =
            (0..10).map(|number| prove(&circuits[number as usize % 2], number)).collect();
        check(&bundles, &[]);
        check(&bundles, &[0]);
        check(&bundles, &[3, 4, 9]);
        check(&bundles[..1], &[0]);
        assert!(verify_all(&[], &Backends::default()).is_empty());
    }

    /// Returns bundles of the same model in two slices, for different inputs.
    fn sliced(folder: &Path, count: usize) -> Vec<SlicedBundle> {
        let compiled = ShippedModel::DiabetesRegression.compile_slices("stark", 2).unwrap();
        compiled.write(&folder.join("sliced")).unwrap();
        let catalogue = Catalogue::open(&folder.join("sliced")).unwrap();
        let (_, model) = catalogue.models().next().unwrap();
        let circuits: Vec<_> =
            model.slices.iter().map(|id| &**catalogue.get(id).unwrap()).collect();
        let inputs = &ShippedModel::DiabetesRegression.sample().unwrap().inputs;
        let (nonce, miner) = (Digest::of(b"nonce"), Hotkey::from_bytes([7; 32]));
        let prove = |inputs: &Vec<i64>| {
            SlicedBundle::prove(model, &circuits, inputs, nonce, miner).unwrap()
        };
        inputs.iter().take(count).map(prove).collect()
    }

    /// Verifies the bundles, of which the second one is changed, and returns its error.
    fn error_of_second(bundles: &[SlicedBundle], change: impl FnOnce(&mut SlicedBundle)) -> String {
        let mut bundles = bundles.to_vec();
        change(&mut bundles[1]);
        let bundles: Vec<_> =
            bundles.into_iter().map(|bundle| ModelBundle::Sliced(Box::new(bundle))).collect();
        let results = verify(&bundles);
        assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
        let error = results[1].as_ref().unwrap_err().to_string();
        assert_eq!(error, bundles[1].verify().unwrap_err().to_string());
        error
    }

    #[test]
    fn tampered_sliced_bundle_rejects_no_other_one() {
        let folder = TempDir::new().unwrap();
        let bundles = sliced(folder.path(), 3);
        assert!(bundles[0] != bundles[1]);
        let unchanged: Vec<_> =
            bundles.iter().map(|bundle| ModelBundle::Sliced(Box::new(bundle.clone()))).collect();
        assert!(verify(&unchanged).iter().all(Result::is_ok));
        let error = error_of_second(&bundles, |bundle| bundle.slices[1].outputs[0] += 1);
        assert_eq!(error, "the bundle's nonce of a slice does not match the request");
        let other = bundles[0].slices[1].proof.clone();
        let error = error_of_second(&bundles, |bundle| bundle.slices[1].proof = other);
        assert_eq!(error, "the proof does not verify");
    }

    /// The threads and the order of the circuits' identities do not matter: both orders of the two
    /// errors occur.
    #[test]
    fn first_invalid_slice_is_reported() {
        let folder = TempDir::new().unwrap();
        let bundles = sliced(folder.path(), 3);
        let other = bundles[0].clone();
        for (first, second, expected) in [
            (
                "zz".to_owned(),
                other.slices[1].proof.clone(),
                "the bundle's proof is not hexadecimal",
            ),
            (other.slices[0].proof.clone(), "zz".to_owned(), "the proof does not verify"),
        ] {
            for _ in 0..10 {
                let error = error_of_second(&bundles, |bundle| {
                    bundle.slices[0].proof.clone_from(&first);
                    bundle.slices[1].proof.clone_from(&second);
                });
                assert_eq!(error, expected);
            }
        }
    }

    /// Bundles of a circuit share the key of the first one, which is wrong here.
    #[test]
    fn bundle_with_wrong_key_rejects_no_other_bundle() {
        let folder = TempDir::new().unwrap();
        let circuit = circuit(folder.path(), "groth16");
        let mut bundles: Vec<Bundle> = (0..3).map(|number| prove(&circuit, number)).collect();
        bundles[0].verification_key = "00".to_owned();
        let bundles: Vec<ModelBundle> =
            bundles.into_iter().map(|bundle| ModelBundle::Single(Box::new(bundle))).collect();
        let results = verify(&bundles);
        let error = results[0].as_ref().unwrap_err().to_string();
        assert_eq!(error, "the bundle's verification key does not match the circuit");
        assert!(results[1].is_ok() && results[2].is_ok());
    }
}
