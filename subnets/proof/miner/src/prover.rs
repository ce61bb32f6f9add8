use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taonet_primitives::Hotkey;
use taonet_proof_backends::{ProofWithOutputs, Prover};
use taonet_proof_circuits::{Catalogue, CircuitDirectory, CircuitError, InputCheck};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::query::{ProofAnswer, ProofQuery, SliceQuery};
use taonet_proof_core::{Binding, Digest};
use tokio::sync::Semaphore;

use crate::metrics::ProofGuard;
use crate::{Behaviour, Refusal, metrics};

/// Settings of a [`Miner`].
#[derive(Clone, Debug)]
pub struct MinerSettings {
    /// The hotkey that proofs are bound to.
    pub hotkey: Hotkey,
    /// Maximum number of concurrent proofs, at least 1. Further requests are refused.
    pub concurrency: usize,
    /// Timeout of a request.
    pub timeout: Duration,
    /// Behaviour of the miner.
    pub behaviour: Behaviour,
}

impl MinerSettings {
    /// Creates default settings: one concurrent proof per two cores, a timeout of 180 s, honest
    /// behaviour.
    pub fn new(hotkey: Hotkey) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            hotkey,
            concurrency: (cores / 2).max(1),
            timeout: Duration::from_mins(3),
            behaviour: Behaviour::default(),
        }
    }
}

/// A miner with its provers loaded. Clones share the same state.
#[derive(Clone)]
pub struct Miner(Arc<Inner>);

struct Inner {
    settings: MinerSettings,
    circuits: Arc<BTreeMap<Digest, ServedCircuit>>,
    /// Circuits of each sliced model.
    models: Arc<BTreeMap<Digest, Vec<Digest>>>,
    proof_slots: Arc<Semaphore>,
    /// First proof of each circuit, for [`Behaviour::Replay`].
    first_proofs: Mutex<BTreeMap<Digest, ProofWithOutputs>>,
}

struct ServedCircuit {
    circuit: Arc<Circuit>,
    prover: Arc<dyn Prover>,
    input_check: Arc<InputCheck>,
    verification_key: Digest,
    output_scale: i32,
}

impl Miner {
    /// Loads the prover of every circuit. A circuit whose prover cannot be loaded is logged and not
    /// served.
    ///
    /// # Errors
    /// When no prover can be loaded: the error of the first.
    pub fn load(catalogue: &Catalogue, settings: MinerSettings) -> Result<Self, CircuitError> {
        let load_circuit = |directory: &Arc<CircuitDirectory>| -> Result<_, CircuitError> {
            let metadata = directory.metadata();
            let served = ServedCircuit {
                circuit: Arc::clone(directory.circuit()),
                prover: directory.prover()?.into(),
                input_check: Arc::new(directory.input_check()?),
                verification_key: metadata.verification_key()?,
                output_scale: metadata.output.scale,
            };
            Ok((directory.id(), served))
        };
        let (mut circuits, mut first_error) = (BTreeMap::new(), None);
        for directory in catalogue.circuits() {
            match load_circuit(directory) {
                Ok((id, served)) => {
                    circuits.insert(id, served);
                }
                Err(error) => {
                    let path = directory.path().display();
                    tracing::warn!(circuit = %directory.id(), %path, %error, "circuit not served: cannot load its prover");
                    first_error.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first_error.filter(|_| circuits.is_empty()) {
            return Err(error);
        }
        let models = catalogue
            .models()
            .filter(|(_, model)| model.slices.iter().all(|slice| circuits.contains_key(slice)));
        let models = models.map(|(id, model)| (*id, model.slices.clone())).collect();
        Ok(Self::new(Arc::new(circuits), Arc::new(models), settings))
    }

    /// Creates another miner that shares the loaded provers.
    #[must_use]
    pub fn with_settings(&self, settings: MinerSettings) -> Self {
        Self::new(Arc::clone(&self.0.circuits), Arc::clone(&self.0.models), settings)
    }

    fn new(
        circuits: Arc<BTreeMap<Digest, ServedCircuit>>,
        models: Arc<BTreeMap<Digest, Vec<Digest>>>,
        settings: MinerSettings,
    ) -> Self {
        let proof_slots =
            Arc::new(Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner {
            settings,
            circuits,
            models,
            proof_slots,
            first_proofs: Mutex::default(),
        }))
    }

    /// Iterates over the identities of the served circuits.
    pub fn circuits(&self) -> impl Iterator<Item = &Digest> {
        self.0.circuits.keys()
    }

    /// Returns the largest number of inputs of a circuit.
    pub(crate) fn largest_input(&self) -> usize {
        self.0.circuits.values().map(|served| served.circuit.inputs).max().unwrap_or_default()
    }

    /// Proves a circuit's outputs for one request.
    ///
    /// # Errors
    /// [`Refusal`]: the inputs do not fit, values saturate, the miner is at capacity, or the proof
    /// times out.
    pub async fn answer(&self, query: &ProofQuery) -> Result<ProofAnswer, Refusal> {
        let served = self.0.served_circuit(&query.circuit)?;
        let mut proven = match &self.0.settings.behaviour {
            Behaviour::Honest | Behaviour::WrongOutput => self.prove(query).await?,
            Behaviour::Slow(pause) => {
                tokio::time::sleep(*pause).await;
                self.prove(query).await?
            }
            Behaviour::Replay => self.replay(query).await?,
            Behaviour::OtherCircuit => {
                let accepts_inputs = |circuit: &&Digest| {
                    **circuit != query.circuit
                        && self
                            .0
                            .served_circuit(circuit)
                            .is_ok_and(|served| served.accepts(&query.inputs))
                };
                let other_circuit =
                    self.circuits().find(accepts_inputs).copied().unwrap_or(query.circuit);
                // Its values may saturate, which the request does not disclose.
                self.prove_unchecked(&ProofQuery { circuit: other_circuit, ..query.clone() })
                    .await?
            }
            Behaviour::Copy(other_miner) => other_miner.prove(query).await?,
        };
        if let (Behaviour::WrongOutput, Some(output)) =
            (&self.0.settings.behaviour, proven.outputs.first_mut())
        {
            *output += 1;
        }
        Ok(ProofAnswer::new(&proven.proof, &proven.outputs, served.output_scale)?)
    }

    /// Proves the outputs of one slice of a model.
    ///
    /// # Errors
    /// When [`Miner::answer`] fails, or the slice has a different circuit.
    pub async fn answer_slice(&self, query: &SliceQuery) -> Result<ProofAnswer, Refusal> {
        let slice = self.0.models.get(&query.model).and_then(|slices| slices.get(query.slice));
        if slice != Some(&query.query.circuit) {
            return Err(Refusal::UnknownSlice { model: query.model, slice: query.slice });
        }
        self.answer(&query.query).await
    }

    /// Proves the outputs of inputs for which no value saturates.
    async fn prove(&self, query: &ProofQuery) -> Result<ProofWithOutputs, Refusal> {
        self.prove_with_precheck(query, |check, inputs| check.execute(inputs).map(drop)).await
    }

    /// Proves the outputs even if values saturate, as dishonest miners do.
    async fn prove_unchecked(&self, query: &ProofQuery) -> Result<ProofWithOutputs, Refusal> {
        self.prove_with_precheck(query, |_, _| Ok(())).await
    }

    async fn prove_with_precheck(
        &self,
        query: &ProofQuery,
        precheck: impl FnOnce(&InputCheck, &[i64]) -> Result<(), CircuitError> + Send + 'static,
    ) -> Result<ProofWithOutputs, Refusal> {
        let ServedCircuit { circuit, prover, input_check, verification_key, .. } =
            self.0.served_circuit(&query.circuit)?;
        circuit.check_inputs(&query.inputs)?;
        let permit =
            Arc::clone(&self.0.proof_slots).try_acquire_owned().map_err(|_| Refusal::Full)?;
        let binding = Binding {
            nonce: query.nonce,
            miner: self.0.settings.hotkey,
            circuit: query.circuit,
            verification_key: *verification_key,
        };
        let (prover, input_check, inputs) =
            (Arc::clone(prover), Arc::clone(input_check), query.inputs.clone());
        // A proof continues after its caller disconnects, and holds its permit until it ends.
        let proof_task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            precheck(&input_check, &inputs)?;
            let (_proving, start) = (ProofGuard::begin(), Instant::now());
            let proven = prover.prove(&inputs, &binding);
            metrics::record_proof(start.elapsed());
            proven.map_err(|error| input_check.with_tensor(error))
        });
        let timeout = self.0.settings.timeout;
        let proven = tokio::time::timeout(timeout, proof_task)
            .await
            .map_err(|_| Refusal::Timeout(timeout))?;
        Ok(proven.map_err(|_| Refusal::TaskFailed)??)
    }

    async fn replay(&self, query: &ProofQuery) -> Result<ProofWithOutputs, Refusal> {
        let proofs = || self.0.first_proofs.lock().unwrap_or_else(PoisonError::into_inner);
        let first_proof = proofs().get(&query.circuit).cloned();
        if let Some(proven) = first_proof {
            return Ok(proven);
        }
        let proven = self.prove(query).await?;
        proofs().insert(query.circuit, proven.clone());
        Ok(proven)
    }
}

impl Inner {
    fn served_circuit(&self, circuit: &Digest) -> Result<&ServedCircuit, Refusal> {
        self.circuits.get(circuit).ok_or(Refusal::UnknownCircuit(*circuit))
    }
}

impl ServedCircuit {
    fn accepts(&self, inputs: &[i64]) -> bool {
        self.circuit.check_inputs(inputs).is_ok()
    }
}

impl fmt::Debug for Miner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Miner").field("hotkey", &self.0.settings.hotkey).finish_non_exhaustive()
    }
}
