//! Checks of inputs before they are proven.

use std::sync::Arc;

use taonet_proof_backends::{BackendError, Verifier};
use taonet_proof_core::circuit::{Circuit, Execution};
use taonet_proof_core::saturation::{
    LayerDescription, SampleSaturation, describe, sample_saturation, saturations, tensor_name,
};

use crate::{CircuitDirectory, CircuitError};

/// Checks that inputs of a circuit can be proven, and that no value saturates. Everyone with the
/// same circuit gets the same result, because its identity covers all that the checks depend on.
#[derive(Clone, Debug)]
pub struct InputCheck {
    circuit: Arc<Circuit>,
    layers: Vec<LayerDescription>,
}

impl InputCheck {
    pub(crate) fn new(circuit: Arc<Circuit>, layers: Vec<LayerDescription>) -> Self {
        Self { circuit, layers }
    }

    /// Runs the circuit. CPU-bound.
    ///
    /// # Errors
    /// [`CircuitError::Saturated`] when values are beyond the range of the sample, and when the
    /// inputs do not fit the circuit.
    pub fn execute(&self, inputs: &[i64]) -> Result<Execution, CircuitError> {
        let execution = self.circuit.execute(inputs).map_err(BackendError::from)?;
        match describe(&saturations(&self.circuit, &execution, &self.layers)) {
            Some(tensors) => Err(CircuitError::Saturated(tensors)),
            None => Ok(execution),
        }
    }

    /// Runs the circuit, and checks that its verification key permits a proof. Returns the outputs.
    /// CPU-bound.
    ///
    /// # Errors
    /// [`CircuitError::Unprovable`] when a value has no proof, and when [`Self::execute`] fails.
    pub fn outputs(
        &self,
        inputs: &[i64],
        verifier: &dyn Verifier,
    ) -> Result<Vec<i64>, CircuitError> {
        let execution = self.execute(inputs)?;
        verifier
            .check_execution(&self.circuit, &execution)
            .map_err(|error| self.with_tensor(error))?;
        Ok(execution.outputs(&self.circuit))
    }

    /// Converts an error of the circuit's prover: names the tensor of a value that has no proof.
    pub fn with_tensor(&self, error: BackendError) -> CircuitError {
        match error {
            BackendError::Unprovable { layer, value } => {
                CircuitError::Unprovable { tensor: tensor_name(&self.layers, layer), value }
            }
            other => other.into(),
        }
    }
}

/// Executes the circuits of a model's slices, or the circuit of a whole model, on the sample that
/// the model was compiled with, and counts the rows in which values saturate. CPU-bound.
///
/// # Errors
/// When a row is not an input of the model, or the descriptions of the layers are missing, too
/// large, modified or malformed.
pub fn saturated_rows(
    slices: &[&CircuitDirectory],
    sample: &[Vec<i64>],
) -> Result<SampleSaturation, CircuitError> {
    let circuits = slices
        .iter()
        .map(|slice| Ok::<_, CircuitError>((&**slice.circuit(), slice.layer_descriptions()?)));
    let circuits = circuits.collect::<Result<Vec<_>, _>>()?;
    Ok(sample_saturation(&circuits, sample).map_err(BackendError::from)?)
}
