use std::fmt::Display;
use std::sync::Arc;

use taonet_proof_circuits::{CircuitDirectory, ModelBundle};
use taonet_proof_core::Digest;
use taonet_proof_lm::{LmError, ProofBundle, TextBundle};
use taonet_proof_validator::{DeliveryError, Examiner, ProgressCallback};
use tokio::sync::Semaphore;

use super::Submission;

/// Obtains the proof of a submission from the miners. The answer to a prompt is computed first, by
/// one task at a time.
pub(super) async fn deliver(
    examiner: &Arc<Examiner>,
    answer_slot: &Arc<Semaphore>,
    circuit: Digest,
    submission: Submission,
    report: ProgressCallback,
) -> Result<ProofBundle, DeliveryError> {
    let prompt = match submission {
        Submission::Inputs(inputs) => {
            return Ok(ProofBundle::Model(examiner.deliver(&circuit, &inputs, report).await?));
        }
        Submission::Prompt(prompt) => prompt,
    };
    let directory = examiner.circuit(&circuit).ok_or(DeliveryError::UnknownModel(circuit))?;
    let inputs = {
        let (permit, prompt) =
            (Arc::clone(answer_slot).acquire_owned().await.map_err(local_error)?, prompt.clone());
        let compute_inputs = move |directory: &CircuitDirectory| {
            // Held until the computation ends, even if the request is interrupted.
            let _permit = permit;
            TextBundle::inputs(directory, &prompt)
        };
        run_blocking(directory, compute_inputs).await?
    };
    let ModelBundle::Single(proof) = examiner.deliver(&circuit, &inputs, report).await? else {
        return Err(local_error("a language model has slices"));
    };
    let bundle =
        run_blocking(directory, move |directory| TextBundle::new(directory, &prompt, *proof))
            .await?;
    Ok(ProofBundle::Text(Box::new(bundle)))
}

/// Runs an operation on a circuit that takes long or reads files, on a blocking thread.
async fn run_blocking<T: Send + 'static>(
    directory: &Arc<CircuitDirectory>,
    operation: impl FnOnce(&CircuitDirectory) -> Result<T, LmError> + Send + 'static,
) -> Result<T, DeliveryError> {
    let directory = Arc::clone(directory);
    tokio::task::spawn_blocking(move || operation(&directory))
        .await
        .map_err(local_error)?
        .map_err(local_error)
}

fn local_error(error: impl Display) -> DeliveryError {
    DeliveryError::Local(error.to_string())
}
