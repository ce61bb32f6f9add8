//! Terminal output of circuits and outcomes.

use serde_json::json;
use taonet_primitives::counted;
use taonet_proof_backends::groth16::ceremony::Transcript;
use taonet_proof_circuits::{Catalogue, CircuitDirectory};
use taonet_proof_core::metadata::TensorDescription;
use taonet_proof_core::quantise::QuantisationReport;
use taonet_proof_core::scoring::Tally;
use taonet_proof_validator::Book;

use super::validator::tally_document;
use crate::context::Context;
use crate::table::{Cell, decimals};
use crate::tables::PROOF_TALLIES;

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

/// Prints a sliced model.
pub(super) fn show_slices(catalogue: &Catalogue, context: &Context) -> anyhow::Result<()> {
    for (id, model) in catalogue.models() {
        if context.json {
            context.print_json(&json!({ "id": id, "model": **model }))?;
            continue;
        }
        let mut lines = vec![
            format!("{:<14}{id}", "model"),
            format!("{:<14}{}", "name", model.name),
            format!("{:<14}{}", "input", tensor(&model.input)),
            format!("{:<14}{}", "output", tensor(&model.output)),
        ];
        let slices = model.slices.iter().filter_map(|slice| catalogue.get(slice));
        lines.extend(
            slices.map(|slice| {
                format!("{:<14}{}  {} multiply-adds", "slice", slice.id(), slice.metadata().multiply_adds)
            }),
        );
        context.print(&lines.join("\n"))?;
    }
    Ok(())
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
        "{:<14}errors on {}: mean {:.5}, largest {:.5}",
        "quantisation",
        counted(report.samples, "sample"),
        report.mean_error,
        report.largest_error
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

/// Formats the contributions to a trusted setup.
pub(super) fn transcript(transcript: &Transcript) -> String {
    let first = format!("1  {}  {} (created the key)", transcript.initial_key, transcript.initial);
    let others = transcript
        .contributions
        .iter()
        .zip(2..)
        .map(|(contribution, number)| format!("{number}  {}  {}", contribution.key, contribution.contributor));
    std::iter::once(first).chain(others).collect::<Vec<_>>().join("\n")
}

/// Prints the request outcomes of each miner.
pub(super) fn show_tallies(book: &Book, context: &Context) -> anyhow::Result<()> {
    let tallies = book.read(|board| board.tallies().clone());
    if context.json {
        let miners: Vec<_> = tallies.iter().map(|(hotkey, tally)| tally_document(hotkey, tally)).collect();
        return context.print_json(&json!({ "miners": miners }));
    }
    let mut rows = crate::table::table(&PROOF_TALLIES);
    for (hotkey, tally) in &tallies {
        rows.add_row([
            Cell::from(hotkey.to_string()),
            tally.verified.to_string().into(),
            (tally.answers() - tally.verified).to_string().into(),
            mean_seconds(tally).into(),
            mean_bytes(tally).into(),
            reasons(tally).into(),
        ]);
    }
    context.print(&rows.to_string())
}

/// Mean time of the proofs that verified.
pub(super) fn mean_seconds(tally: &Tally) -> String {
    decimals((tally.verified > 0).then(|| tally.time.as_secs_f64() / tally.verified as f64), 2)
}

/// Mean size of the proofs that verified.
pub(super) fn mean_bytes(tally: &Tally) -> String {
    tally.bytes.checked_div(tally.verified).map_or_else(|| "–".to_owned(), |bytes| bytes.to_string())
}

/// Failures with their counts.
pub(super) fn reasons(tally: &Tally) -> String {
    let counts = tally.faults.iter().map(|(fault, count)| format!("{fault}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}
