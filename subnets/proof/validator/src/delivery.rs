//! User requests: miners prove all slices of a model, and failed slices are retried with other
//! miners.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use taonet_primitives::Hotkey;
use taonet_proof_backends::BackendError;
use taonet_proof_circuits::{
    BUNDLE_VERSION, Bundle, CircuitDirectory, CircuitError, ModelBundle, SlicedBundle,
};
use taonet_proof_core::messages::ProofSystem;
use taonet_proof_core::metadata::{CircuitMetadata, TensorDescription};
use taonet_proof_core::query::{ProofQuery, SliceQuery};
use taonet_proof_core::scoring::Fault;
use taonet_proof_core::slices::SlicedModel;
use taonet_proof_core::{Digest, ExecutionError};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Examiner;
use crate::dispatch::Assignment;
use crate::examiner::create_bundle;
use crate::request::{LoadedCircuit, ProofRequest, RequestError, UnverifiedProof};

/// Maximum number of miners that may fail one slice.
const MAX_ATTEMPTS: usize = 20;
/// Maximum number of miners that work on the same slice concurrently: one, and those that are
/// overdue.
const MAX_PARALLEL_MINERS: usize = 4;
/// Pause after a miner reports that it is at capacity.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// A progress event of a user's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// A request was sent to a miner.
    Asked {
        /// Index of the slice; 0 for a model that is not sliced.
        slice: usize,
        /// The miner that received the request.
        miner: Hotkey,
    },
    /// A miner failed; the slice is retried with another miner, if there is one.
    Failed {
        /// Index of the slice; 0 for a model that is not sliced.
        slice: usize,
        /// The miner that failed.
        miner: Hotkey,
        /// Reason for the failure.
        fault: Fault,
    },
    /// The answer of a miner is overdue; the slice is also sent to another miner, if there is one.
    Overdue {
        /// Index of the slice; 0 for a model that is not sliced.
        slice: usize,
        /// The miner whose answer is overdue.
        miner: Hotkey,
    },
    /// The proof of a slice verified.
    Verified {
        /// Index of the slice; 0 for a model that is not sliced.
        slice: usize,
        /// The miner that created the proof.
        miner: Hotkey,
    },
}

/// Callback for the progress events of a user's request.
pub type ProgressCallback = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why a user's request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// No circuit and no sliced model has this identity.
    #[error("no circuit or sliced model {0} is served")]
    UnknownModel(Digest),
    /// The inputs do not fit the model.
    #[error(transparent)]
    Inputs(#[from] ExecutionError),
    /// Values of the model are beyond the range of its sample: they saturate, or have no proof. The
    /// error names their tensors.
    #[error(transparent)]
    Unprovable(CircuitError),
    /// Every miner failed, or there are no miners.
    #[error("no miner proved slice {slice}")]
    NoMiner {
        /// Index of the slice; 0 for a model that is not sliced.
        slice: usize,
    },
    /// An internal error on this machine.
    #[error("request processing failed: {0}")]
    Local(String),
}

impl From<CircuitError> for DeliveryError {
    fn from(error: CircuitError) -> Self {
        match error {
            CircuitError::Prover(BackendError::Execution(error)) => Self::Inputs(error),
            error @ (CircuitError::Saturated(_) | CircuitError::Unprovable { .. }) => {
                Self::Unprovable(error)
            }
            other => Self::Local(other.to_string()),
        }
    }
}

/// A circuit or sliced model that users may request.
#[derive(Clone, Copy, Debug)]
pub struct ServedModel<'a> {
    /// Identity of the circuit or sliced model.
    pub id: Digest,
    /// Name of the model, for users.
    pub name: &'a str,
    /// Input of the model.
    pub input: &'a TensorDescription,
    /// Output of the model.
    pub output: &'a TensorDescription,
    /// Number of slices; 1 for a circuit.
    pub slices: usize,
}

impl Examiner {
    /// Iterates over all circuits, then all sliced models.
    pub fn served(&self) -> impl Iterator<Item = ServedModel<'_>> {
        let circuits = self.circuits.iter().map(|loaded| {
            let CircuitMetadata { name, input, output, .. } = loaded.directory.metadata();
            ServedModel { id: loaded.directory.id(), name, input, output, slices: 1 }
        });
        let models = self.models.iter().map(|(id, model)| {
            let SlicedModel { name, input, output, slices, .. } = &**model;
            ServedModel { id: *id, name, input, output, slices: slices.len() }
        });
        circuits.chain(models)
    }

    /// Returns the circuit with this identity.
    pub fn circuit(&self, id: &Digest) -> Option<&Arc<CircuitDirectory>> {
        self.circuits.iter().map(|loaded| &loaded.directory).find(|directory| directory.id() == *id)
    }

    /// Checks the number and range of a model's inputs.
    ///
    /// # Errors
    /// When the model is unknown or the inputs do not fit.
    pub fn check_inputs(&self, id: &Digest, inputs: &[i64]) -> Result<(), DeliveryError> {
        let first_circuit =
            self.models.get(id).and_then(|model| model.slices.first()).unwrap_or(id);
        Ok(self
            .circuit(first_circuit)
            .ok_or(DeliveryError::UnknownModel(*id))?
            .circuit()
            .check_inputs(inputs)?)
    }

    /// Checks a model's inputs like [`Self::check_inputs`], and that miners can prove them: no
    /// value saturates or has no proof. Runs the model, so it is CPU-bound.
    ///
    /// # Errors
    /// When the model is unknown, the inputs do not fit, or they cannot be proven.
    pub fn check_provable(&self, id: &Digest, inputs: &[i64]) -> Result<(), DeliveryError> {
        self.check_inputs(id, inputs)?;
        let circuits =
            self.models.get(id).map_or(std::slice::from_ref(id), |model| model.slices.as_slice());
        let mut values = inputs.to_vec();
        for circuit in circuits {
            values = self.find_loaded(circuit)?.1.outputs(&values)?;
        }
        Ok(())
    }

    /// Returns the position of a circuit, and the circuit with its verifier.
    fn find_loaded(&self, id: &Digest) -> Result<(usize, &LoadedCircuit), DeliveryError> {
        let mut circuits = self.circuits.iter().enumerate();
        circuits
            .find(|(_, loaded)| loaded.directory.id() == *id)
            .ok_or(DeliveryError::UnknownModel(*id))
    }

    /// Obtains proofs of the outputs of a circuit or sliced model from the miners of the current
    /// list, all slices in parallel. Each proof is verified and scored like that of a benchmark
    /// request. Calls `report` with every progress event.
    ///
    /// # Errors
    /// When the model is unknown, the inputs do not fit or cannot be proven, or every miner fails.
    pub async fn deliver(
        self: &Arc<Self>,
        id: &Digest,
        inputs: &[i64],
        report: ProgressCallback,
    ) -> Result<ModelBundle, DeliveryError> {
        let nonce = Digest::from_bytes(rand::random());
        self.check_inputs(id, inputs)?;
        if let Ok((position, _)) = self.find_loaded(id) {
            let (examiner, circuit, values) = (Arc::clone(self), *id, inputs.to_vec());
            self.execute_model(move || examiner.check_provable(&circuit, &values)).await?;
            let proof_request =
                ProofRequest::Circuit(ProofQuery { circuit: *id, nonce, inputs: inputs.to_vec() });
            let bundle = self.obtain_proof(position, proof_request, &report).await?;
            return Ok(ModelBundle::Single(Box::new(bundle)));
        }
        let model = self.models.get(id).ok_or(DeliveryError::UnknownModel(*id))?;
        let proof_requests = {
            let (examiner, model, inputs) = (Arc::clone(self), Arc::clone(model), inputs.to_vec());
            self.execute_model(move || examiner.split_requests(&model, nonce, inputs)).await?
        };
        let mut in_flight_slices = JoinSet::new();
        for (position, proof_request) in proof_requests {
            let (examiner, report) = (Arc::clone(self), Arc::clone(&report));
            in_flight_slices.spawn(async move {
                (
                    proof_request.slice(),
                    examiner.obtain_proof(position, proof_request, &report).await,
                )
            });
        }
        let mut slices = Vec::with_capacity(model.slices.len());
        while let Some(slice) = in_flight_slices.join_next().await {
            let (slice, bundle) = slice.map_err(|error| DeliveryError::Local(error.to_string()))?;
            slices.push((slice, bundle?));
        }
        slices.sort_by_key(|(slice, _)| *slice);
        let slices = slices.into_iter().map(|(_, bundle)| bundle).collect();
        Ok(ModelBundle::Sliced(Box::new(SlicedBundle {
            version: BUNDLE_VERSION,
            model: SlicedModel::clone(model),
            nonce,
            slices,
        })))
    }

    /// Runs an operation that executes circuits.
    async fn execute_model<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> Result<T, DeliveryError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let execution_error = || DeliveryError::Local("an execution failed".to_owned());
        self.execute(operation).await.ok_or_else(execution_error)?
    }

    /// Runs the model to compute every boundary tensor, so that all slices can be proven in
    /// parallel. CPU-bound.
    fn split_requests(
        &self,
        model: &SlicedModel,
        run: Digest,
        inputs: Vec<i64>,
    ) -> Result<Vec<(usize, ProofRequest)>, DeliveryError> {
        let id = model.id().map_err(|error| DeliveryError::Local(error.to_string()))?;
        let mut slice_inputs = inputs;
        let mut proof_requests = Vec::with_capacity(model.slices.len());
        for (slice, circuit) in model.slices.iter().enumerate() {
            let (position, loaded) = self.find_loaded(circuit)?;
            let slice_outputs = loaded.outputs(&slice_inputs)?;
            let nonce = model.nonce(&run, slice, &slice_inputs, &slice_outputs);
            let nonce = nonce.map_err(|error| DeliveryError::Local(error.to_string()))?;
            let backend = &loaded.directory.metadata().backend;
            let system = ProofSystem::for_backend(backend)
                .ok_or_else(|| DeliveryError::Local(format!("backend {backend}")))?;
            let query = ProofQuery { circuit: *circuit, nonce, inputs: slice_inputs };
            proof_requests.push((
                position,
                ProofRequest::Slice(SliceQuery { model: id, slice, query }, system),
            ));
            slice_inputs = slice_outputs;
        }
        Ok(proof_requests)
    }

    /// Sends a request to one miner after another until a proof verifies. The next miner receives
    /// it when the previous miner fails or its answer is overdue. Requests whose proofs are no
    /// longer needed continue, and count towards their miners' scores.
    async fn obtain_proof(
        self: &Arc<Self>,
        position: usize,
        proof_request: ProofRequest,
        report: &ProgressCallback,
    ) -> Result<Bundle, DeliveryError> {
        let (slice, proof_request) = (proof_request.slice(), Arc::new(proof_request));
        // Each attempt sends at most two messages.
        let (sender, mut attempts) = mpsc::channel(2 * MAX_ATTEMPTS);
        let (mut tried_miners, mut awaited_miners) = (BTreeSet::new(), BTreeSet::new());
        let (mut in_flight, mut busy_time) = (0, Duration::ZERO);
        loop {
            let may_send = awaited_miners.is_empty()
                && in_flight < MAX_PARALLEL_MINERS
                && tried_miners.len() < MAX_ATTEMPTS
                && busy_time < self.settings.timeout;
            let assignment = if may_send {
                self.dispatcher.assign_user_request(
                    position,
                    &self.miners(),
                    &tried_miners,
                    Instant::now(),
                )
            } else {
                None
            };
            if let Some(assignment) = assignment {
                let miner = *assignment.miner.hotkey();
                report(Progress::Asked { slice, miner });
                tried_miners.insert(miner);
                awaited_miners.insert(miner);
                in_flight += 1;
                self.send_attempt(assignment, Arc::clone(&proof_request), sender.clone());
            } else if in_flight == 0 {
                return Err(DeliveryError::NoMiner { slice });
            }
            let (miner, message) = attempts.recv().await.ok_or(DeliveryError::NoMiner { slice })?;
            awaited_miners.remove(&miner);
            let AttemptMessage::Finished(result) = message else {
                report(Progress::Overdue { slice, miner });
                continue;
            };
            in_flight -= 1;
            match result {
                Ok(proof) => {
                    report(Progress::Verified { slice, miner });
                    let loaded =
                        self.circuits.get(position).ok_or(DeliveryError::NoMiner { slice })?;
                    return Ok(create_bundle(loaded, &proof)?);
                }
                Err(RequestError::Fault(fault)) => report(Progress::Failed { slice, miner, fault }),
                Err(RequestError::Busy) => {
                    tried_miners.remove(&miner);
                    tokio::time::sleep(BUSY_PAUSE).await;
                    busy_time += BUSY_PAUSE;
                }
                Err(RequestError::Local(error)) => return Err(DeliveryError::Local(error)),
            }
        }
    }

    /// Sends the request to one miner in the background.
    fn send_attempt(
        self: &Arc<Self>,
        assignment: Assignment,
        proof_request: Arc<ProofRequest>,
        messages: mpsc::Sender<(Hotkey, AttemptMessage)>,
    ) {
        let (examiner, miner) = (Arc::clone(self), *assignment.miner.hotkey());
        tokio::spawn(async move {
            let report_overdue = || drop(messages.try_send((miner, AttemptMessage::Overdue)));
            let result = examiner
                .request(assignment, &proof_request, report_overdue)
                .await
                .map(|(_, proof)| proof);
            // The receiver is dropped once another miner's proof has verified.
            drop(messages.send((miner, AttemptMessage::Finished(result))).await);
        });
    }
}

/// Message from an attempt.
enum AttemptMessage {
    /// The answer is overdue.
    Overdue,
    /// The attempt ended: with a verified proof, or without one.
    Finished(Result<Arc<UnverifiedProof>, RequestError>),
}
