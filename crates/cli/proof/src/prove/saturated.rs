//! Values beyond the range of the sample, which `tao proof prove` refuses.

use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_primitives::counted;
use taonet_proof_circuits::CircuitDirectory;
use taonet_proof_core::saturation::Saturation;

/// Number of tensors that a message names.
const MAX_NAMED_TENSORS: usize = 3;

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
    if let Some(described) = describe(&saturations) {
        anyhow::ensure!(
            are_allowed,
            "{described}; hint: compile the model with a sample that has inputs like this one, or pass --allow-saturated \
             for outputs that can be far from those of the model"
        );
        context.print_notice(&format!(
            "warning: {described}. The proof is valid, but its outputs can be far from those of the model"
        ));
    }
    Ok(saturations)
}

/// Describes tensors with values that saturate; `None` if there are none.
fn describe(saturations: &[Saturation]) -> Option<String> {
    let named = saturations.iter().take(MAX_NAMED_TENSORS).map(|saturation| {
        let Saturation { tensor, values, of, .. } = saturation;
        format!("{} ({values} of {})", printable(tensor), counted(*of, "value"))
    });
    let named: Vec<String> = named.collect();
    let others = match saturations.len().saturating_sub(MAX_NAMED_TENSORS) {
        0 => String::new(),
        others => format!(" and {}", counted(others, "other tensor")),
    };
    let begin = "values are beyond the range of the model's sample and saturate";
    (!named.is_empty()).then(|| format!("{begin}: {}{others}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturating_tensors_are_reported() {
        let saturation = |layer: usize| Saturation {
            layer,
            tensor: format!("Relu 'r{layer}'"),
            values: 3,
            of: 128,
        };
        let saturations: Vec<Saturation> = (0..5).map(saturation).collect();
        let begin = "values are beyond the range of the model's sample and saturate: Relu 'r0' (3 of 128 values)";
        assert_eq!(describe(&[]), None);
        assert_eq!(describe(&saturations[..1]).as_deref(), Some(begin));
        let two = format!("{begin}, Relu 'r1' (3 of 128 values)");
        assert_eq!(describe(&saturations[..2]), Some(two.clone()));
        let all = format!("{two}, Relu 'r2' (3 of 128 values) and 2 other tensors");
        assert_eq!(describe(&saturations), Some(all));
    }
}
