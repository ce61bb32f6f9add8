//! Values beyond the range of the sample, which `tao proof prove` refuses.

use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_proof_circuits::CircuitDirectory;
use taonet_proof_core::saturation::{Saturation, describe};

/// Executes a circuit, or the slices of a model, and refuses values that saturate, or warns of them
/// if they are allowed. Returns their tensors.
pub(super) fn check(
    circuits: &[&CircuitDirectory],
    inputs: &[i64],
    are_allowed: bool,
    context: &Context,
) -> anyhow::Result<Vec<Saturation>> {
    let (mut saturations, mut values) = (Vec::new(), inputs.to_vec());
    for directory in circuits {
        let execution = directory.circuit().execute(&values)?;
        saturations.extend(directory.saturations(&execution)?);
        values = execution.outputs(directory.circuit());
    }
    if let Some(description) = describe(&saturations) {
        let description = printable(&description);
        anyhow::ensure!(
            are_allowed,
            "{description}; hint: compile the model with a sample that has inputs like this one, or pass --allow-saturated \
             for outputs that can be far from those of the model"
        );
        context.print_notice(&format!(
            "warning: {description}. The proof is valid, but its outputs can be far from those of the model"
        ));
    }
    Ok(saturations)
}
