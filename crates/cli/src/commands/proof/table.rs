//! How circuits look in the terminal.

use serde_json::json;
use taonet_proof_backends::groth16::ceremony::Transcript;
use taonet_proof_circuits::CircuitDirectory;
use taonet_proof_core::metadata::TensorDescription;
use taonet_proof_core::quantise::QuantisationReport;

use crate::context::Context;

/// Prints a circuit.
pub(super) fn show(directory: &CircuitDirectory, context: &Context) -> anyhow::Result<()> {
    let metadata = directory.metadata();
    if context.json {
        return context.print_json(&json!({ "id": directory.id(), "metadata": metadata }));
    }
    let mut lines = vec![
        format!("{:<14}{}", "circuit", directory.id()),
        format!("{:<14}{}", "name", metadata.name),
        format!("{:<14}{}", "backend", metadata.backend),
        format!("{:<14}{}", "input", tensor(&metadata.input)),
        format!("{:<14}{}", "output", tensor(&metadata.output)),
        format!("{:<14}{}", "multiply-adds", metadata.multiply_adds),
        format!("{:<14}{}", "constraints", metadata.constraints),
    ];
    lines.extend(metadata.quantisation.iter().flat_map(quantisation));
    lines.extend(metadata.notes.iter().map(|note| format!("{:<14}{note}", "note")));
    lines.extend(metadata.files.iter().map(|(name, digest)| format!("{:<14}{digest}  {name}", "file")));
    context.print(&lines.join("\n"))
}

fn tensor(description: &TensorDescription) -> String {
    let shape = description.shape;
    let range = description.range;
    format!(
        "{}×{}×{}, integers of {}..={}, divided by 2^{}",
        shape.channels, shape.height, shape.width, range.low, range.high, description.scale
    )
}

fn quantisation(report: &QuantisationReport) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<14}errors on {} samples: mean {:.5}, largest {:.5}",
        "quantisation", report.samples, report.mean_error, report.largest_error
    )];
    if let Some(agreement) = report.agreement {
        lines.push(format!("{:<14}{:.1} % of the samples have the same largest output", "", agreement * 100.0));
    }
    if let Some([float, integer]) = report.accuracy {
        lines.push(format!("{:<14}accuracy {:.2} % before, {:.2} % after", "", float * 100.0, integer * 100.0));
    }
    if let Some([float, integer]) = report.root_mean_square {
        lines.push(format!("{:<14}root mean square error {float:.4} before, {integer:.4} after", ""));
    }
    lines
}

/// The contributions to a trusted setup.
pub(super) fn transcript(transcript: &Transcript) -> String {
    let first = format!("1  {}  {} (made the key)", transcript.initial_key, transcript.initial);
    let others = transcript
        .contributions
        .iter()
        .zip(2..)
        .map(|(contribution, number)| format!("{number}  {}  {}", contribution.key, contribution.contributor));
    std::iter::once(first).chain(others).collect::<Vec<_>>().join("\n")
}
