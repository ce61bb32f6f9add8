//! Verification of proofs on a bounded number of threads, in batches where that is cheaper.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use taonet_proof_backends::VerifyError;
use taonet_proof_core::scoring::Outcome;
use tokio::sync::{Semaphore, oneshot};

use super::save_bundle;
use crate::diagnosis::{ProofHistory, diagnose};
use crate::request::{LoadedCircuit, UnverifiedProof};
use crate::{ProofMiner, metrics};

/// Verifies proofs. Queued proofs of one circuit are verified as a batch if that is faster with the
/// backend.
pub(super) struct Verifications {
    context: Arc<VerifierContext>,
    threads: Arc<Semaphore>,
    /// Proofs queued for a thread, by the circuit's position.
    queues: Vec<Mutex<VecDeque<QueuedProof>>>,
}

struct VerifierContext {
    circuits: Arc<Vec<LoadedCircuit>>,
    proof_history: Arc<ProofHistory>,
    bundles: Option<PathBuf>,
}

/// A queued proof. If its channel closes without an outcome, the verifier itself failed.
struct QueuedProof {
    claim: Arc<UnverifiedProof>,
    outcome: oneshot::Sender<Outcome>,
}

impl Verifications {
    /// Creates a queue for each circuit. Proofs that verify are stored in the directory `bundles`,
    /// if there is one.
    pub(super) fn new(
        circuits: &Arc<Vec<LoadedCircuit>>,
        proof_history: &Arc<ProofHistory>,
        threads: usize,
        bundles: Option<PathBuf>,
    ) -> Self {
        let queues = circuits.iter().map(|_| Mutex::default()).collect();
        let context = VerifierContext {
            circuits: Arc::clone(circuits),
            proof_history: Arc::clone(proof_history),
            bundles,
        };
        let threads = Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS)));
        Self { context: Arc::new(context), threads, queues }
    }

    /// Verifies a proof for the circuit at `position`. `miners` is the current list, for the
    /// diagnosis of a rejected proof. Returns `None` if the verifier itself failed.
    pub(super) async fn verify(
        &self,
        position: usize,
        claim: Arc<UnverifiedProof>,
        miners: Arc<Vec<ProofMiner>>,
    ) -> Option<Outcome> {
        let max_proofs = self.context.circuits.get(position)?.verifier.max_batch_size().max(1);
        let queue = self.queues.get(position)?;
        let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, outcome) = oneshot::channel();
        lock().push_back(QueuedProof { claim: Arc::clone(&claim), outcome: sender });
        let permit = Arc::clone(&self.threads).acquire_owned().await.ok()?;
        let proofs = take_batch(&mut lock(), &claim, max_proofs);
        if proofs.is_empty() {
            // Another request's thread has taken this proof.
            drop(permit);
        } else {
            let context = Arc::clone(&self.context);
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                context.verify(position, proofs, &miners);
            });
        }
        outcome.await.ok()
    }
}

/// Removes a proof from the queue, with up to `max_proofs` - 1 others. Returns no proofs if the
/// proof is not in the queue.
fn take_batch(
    queue: &mut VecDeque<QueuedProof>,
    claim: &Arc<UnverifiedProof>,
    max_proofs: usize,
) -> Vec<QueuedProof> {
    // Drop the proofs of abandoned requests.
    queue.retain(|queued| !queued.outcome.is_closed());
    let position = queue.iter().position(|queued| Arc::ptr_eq(&queued.claim, claim));
    let Some(proof) = position.and_then(|position| queue.remove(position)) else {
        return Vec::new();
    };
    let other_count = queue.len().min(max_proofs.saturating_sub(1));
    std::iter::once(proof).chain(queue.drain(..other_count)).collect()
}

impl VerifierContext {
    /// Verifies proofs for one circuit, and sends their outcomes. Valid proofs do not wait for the
    /// diagnosis of others.
    fn verify(&self, position: usize, proofs: Vec<QueuedProof>, miners: &[ProofMiner]) {
        let Some(loaded) = self.circuits.get(position) else { return };
        let (start, count) = (Instant::now(), proofs.len());
        let results = verify_all(loaded, &proofs);
        let time_per_proof = start.elapsed() / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let mut rejected = Vec::new();
        for (QueuedProof { claim, outcome }, result) in proofs.into_iter().zip(results) {
            metrics::record_verification(time_per_proof);
            match result {
                Ok(()) => {
                    if let Some(Err(error)) =
                        self.bundles.as_deref().map(|path| save_bundle(path, loaded, &claim))
                    {
                        tracing::warn!(%error, "cannot write a bundle");
                    }
                    self.proof_history.add(claim.statement.clone(), &claim.proof);
                    let bytes = claim.proof.len() as u64;
                    // The request may have been abandoned.
                    let _ = outcome.send(Outcome::Verified { time: claim.time, bytes });
                }
                Err(error) if error.is_local() => tracing::error!(%error, "cannot verify a proof"),
                Err(error) => rejected.push((claim, outcome, error)),
            }
        }
        for (claim, outcome, error) in rejected {
            let fault =
                diagnose(loaded, &self.circuits, &claim, &error, &self.proof_history, miners);
            tracing::info!(miner = %claim.statement.binding.miner, %error, %fault, "proof rejected");
            let _ = outcome.send(Outcome::Failed(fault));
        }
    }
}

fn verify_all(loaded: &LoadedCircuit, proofs: &[QueuedProof]) -> Vec<Result<(), VerifyError>> {
    let verify = |claim: &UnverifiedProof| loaded.verifier.verify(&claim.statement, &claim.proof);
    let results = match proofs {
        [only] => vec![verify(&only.claim)],
        several => {
            let pair =
                |queued: &QueuedProof| (queued.claim.statement.clone(), queued.claim.proof.clone());
            loaded.verifier.verify_all(&several.iter().map(pair).collect::<Vec<_>>())
        }
    };
    let recheck = |(queued, result): (&QueuedProof, Result<(), VerifyError>)| match result {
        // An error of the local verifier is not the miner's fault. An external program has used its
        // timeout, so it is not run again.
        Err(error) if error.is_local() && !loaded.is_external() => verify(&queued.claim),
        result => result,
    };
    proofs.iter().zip(results).map(recheck).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use taonet_primitives::Hotkey;
    use taonet_proof_backends::{Statement, Verifier};
    use taonet_proof_circuits::{CircuitDirectory, ShippedModel};
    use taonet_proof_core::Digest;
    use taonet_proof_core::scoring::Fault;
    use tokio::task::JoinSet;

    use super::*;

    /// A verifier that counts how often it verifies several proofs together.
    struct CountingVerifier(Box<dyn Verifier>, Arc<AtomicUsize>);

    impl Verifier for CountingVerifier {
        fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<(), VerifyError> {
            self.0.verify(statement, proof)
        }

        fn max_batch_size(&self) -> usize {
            self.0.max_batch_size()
        }

        fn verify_all(&self, proofs: &[(Statement, Vec<u8>)]) -> Vec<Result<(), VerifyError>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.verify_all(proofs)
        }
    }

    /// Verifies eight proofs, of which the last has a wrong output, while the only thread is busy
    /// at first. Returns the outcomes in this order, and how often several proofs were verified
    /// together.
    async fn verify_eight(backend: &str) -> (Vec<Option<Outcome>>, usize) {
        let (folder, count) = (tempfile::tempdir().unwrap(), Arc::<AtomicUsize>::default());
        let model = ShippedModel::DiabetesRegression;
        let compiled = model.compile(backend).unwrap();
        let directory =
            Arc::new(CircuitDirectory::create(&folder.path().join(backend), &compiled).unwrap());
        let loaded = LoadedCircuit::load(&directory).unwrap();
        let prover = directory.prover().unwrap();
        let claims = (0..8_u8).map(|number| {
            let inputs = model.sample().unwrap().inputs[usize::from(number)].clone();
            let binding = loaded.binding(Digest::of(&[number]), Hotkey::from_bytes([number; 32]));
            let mut proven = prover.prove(&inputs, &binding).unwrap();
            proven.outputs[0] += i64::from(number == 7);
            let statement = Statement { binding, inputs, outputs: proven.outputs };
            Arc::new(UnverifiedProof {
                statement,
                proof: proven.proof,
                time: Duration::from_secs(1),
            })
        });
        let claims: Vec<Arc<UnverifiedProof>> = claims.collect();
        let loaded = LoadedCircuit {
            verifier: Box::new(CountingVerifier(loaded.verifier, Arc::clone(&count))),
            ..loaded
        };
        let verifications =
            Arc::new(Verifications::new(&Arc::new(vec![loaded]), &Arc::default(), 1, None));
        let busy_permit = Arc::clone(&verifications.threads).acquire_owned().await.unwrap();
        let mut tasks = JoinSet::new();
        for (number, claim) in claims.into_iter().enumerate() {
            let verifications = Arc::clone(&verifications);
            tasks.spawn(
                async move { (number, verifications.verify(0, claim, Arc::default()).await) },
            );
        }
        while verifications.queues[0].lock().unwrap().len() < 8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(busy_permit);
        let mut outcomes = tasks.join_all().await;
        outcomes.sort_by_key(|(number, _)| *number);
        (outcomes.into_iter().map(|(_, outcome)| outcome).collect(), count.load(Ordering::Relaxed))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn proofs_that_wait_for_a_thread_are_verified_together() {
        for (backend, together) in [("groth16", 1), ("stark", 0)] {
            let (outcomes, count) = verify_eight(backend).await;
            assert_eq!(count, together, "{backend}");
            let (last, valid) = outcomes.split_last().unwrap();
            assert!(
                valid.iter().all(|outcome| matches!(outcome, Some(Outcome::Verified { .. }))),
                "{backend}"
            );
            assert_eq!(*last, Some(Outcome::Failed(Fault::WrongOutput)), "{backend}");
        }
    }
}
