//! Terminal output of circuits and outcomes.

use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{Cell, decimals, key_values, table};
use taonet_cli_base::tables::{CONTRIBUTIONS, PROOF_FILES, PROOF_SLICES, PROOF_TALLIES};
use taonet_primitives::counted;
use taonet_proof_backends::groth16::ceremony::Transcript;
use taonet_proof_circuits::{Catalogue, CircuitDirectory, CircuitError};
use taonet_proof_core::metadata::{TensorDescription, TensorPart};
use taonet_proof_core::quantise::QuantisationReport;
use taonet_proof_core::saturation::SampleSaturation;
use taonet_proof_core::scoring::Tally;
use taonet_proof_validator::ScoreStore;

use super::validator::tally_document;

/// Prints the properties of a circuit and, in JSON, the rows of its sample that saturate if it was
/// just compiled.
pub(crate) fn print_circuit(
    directory: &CircuitDirectory,
    saturation: Option<&SampleSaturation>,
    context: &Context,
) -> anyhow::Result<()> {
    let metadata = directory.metadata();
    let (hides_values, hides_inputs) = (directory.hides_values()?, directory.hides_inputs()?);
    if context.json {
        let document = json!({
            "id": directory.id(),
            "metadata": metadata,
            "zero_knowledge": hides_values,
            "hides_inputs": hides_inputs,
        });
        return context.print_json(&with_saturation(document, saturation));
    }
    let mut rows = key_values();
    rows.add_row(["circuit", &directory.id().to_string()]);
    rows.add_row(["name", &metadata.name]);
    rows.add_row(["backend", &metadata.backend]);
    rows.add_row([
        "hidden",
        if hides_inputs { HIDDEN_INPUTS } else { describe_hidden(hides_values, 1) },
    ]);
    rows.add_row(["input", &format_tensor(&metadata.input)]);
    for part in &metadata.inputs {
        rows.add_row(["input from", &format_tensor_part(part)]);
    }
    rows.add_row(["output", &format_tensor(&metadata.output)]);
    for part in &metadata.outputs {
        rows.add_row(["output from", &format_tensor_part(part)]);
    }
    rows.add_row(["multiply-adds", &metadata.multiply_adds.to_string()]);
    rows.add_row(["constraints", &metadata.constraints.to_string()]);
    if let Some(report) = &metadata.quantisation {
        rows.add_row(["quantisation", &format_quantisation(report)]);
    }
    for note in &metadata.notes {
        rows.add_row(["note", note]);
    }
    let mut files = table(&PROOF_FILES);
    for (name, digest) in &metadata.files {
        files.add_row([name.clone(), digest.to_string()]);
    }
    context.print(&format!("{rows}\n\n{files}"))
}

/// Describes what proofs with hidden inputs hide.
pub(crate) const HIDDEN_INPUTS: &str = "the inputs, and the values between inputs and outputs";

/// Describes which values proofs with public inputs hide, given whether each proof of a model hides
/// those between its inputs and outputs; `None` if that depends on an external program.
pub(crate) const fn describe_hidden(hides: Option<bool>, slices: usize) -> &'static str {
    match (hides, slices) {
        (None, _) => "unknown: depends on the external program",
        (Some(false), _) => "nothing: a proof may reveal the values between inputs and outputs",
        (Some(true), 1) => "the values between inputs and outputs",
        (Some(true), _) => "the values within each slice, but not those between slices",
    }
}

/// Returns whether proofs of a model hide all values between its inputs and outputs, given whether
/// each of them hides those of its slice. The proof of a sliced model has the values between
/// slices.
pub(crate) fn hides_all(hides: Option<bool>, slices: usize) -> Option<bool> {
    hides.map(|hides| hides && slices == 1)
}

/// Combines the results of several proofs or circuits: whether all hide the values between their
/// inputs and outputs; `None` if that depends on an external program for one of them.
pub(crate) fn all_hide(
    hides: impl Iterator<Item = Result<Option<bool>, CircuitError>>,
) -> Result<Option<bool>, CircuitError> {
    let hides: Option<Vec<bool>> = hides.collect::<Result<_, _>>()?;
    Ok(hides.map(|hides| hides.into_iter().all(|is_hidden| is_hidden)))
}

/// Adds the rows of a sample that saturate to a document.
fn with_saturation(mut document: Value, saturation: Option<&SampleSaturation>) -> Value {
    if let (Some(saturation), Some(document)) = (saturation, document.as_object_mut()) {
        document.insert("saturated".to_owned(), json!(saturation));
    }
    document
}

/// Prints the properties of the sliced models in a directory and, in JSON, the rows of the sample
/// that saturate if one was just compiled.
pub(crate) fn print_sliced_models(
    catalogue: &Catalogue,
    saturation: Option<&SampleSaturation>,
    context: &Context,
) -> anyhow::Result<()> {
    for (id, model) in catalogue.models() {
        let circuits: Vec<_> =
            model.slices.iter().filter_map(|slice| catalogue.get(slice)).collect();
        let hides = all_hide(circuits.iter().map(|circuit| circuit.hides_values()))?;
        // The first slice has the report of the whole model.
        let report = circuits.first().and_then(|first| first.metadata().quantisation.as_ref());
        if context.json {
            let document = json!({
                "id": id,
                "model": **model,
                "zero_knowledge": hides_all(hides, circuits.len()),
                "quantisation": report,
            });
            context.print_json(&with_saturation(document, saturation))?;
            continue;
        }
        let mut rows = key_values();
        rows.add_row(["model", &id.to_string()]);
        rows.add_row(["name", &model.name]);
        rows.add_row(["hidden", describe_hidden(hides, circuits.len())]);
        rows.add_row(["input", &format_tensor(&model.input)]);
        rows.add_row(["output", &format_tensor(&model.output)]);
        if let Some(report) = report {
            rows.add_row(["quantisation", &format_quantisation(report)]);
        }
        let mut slices = table(&PROOF_SLICES);
        for slice in circuits {
            slices.add_row([slice.id().to_string(), slice.metadata().multiply_adds.to_string()]);
        }
        context.print(&format!("{rows}\n\n{slices}"))?;
    }
    Ok(())
}

fn format_tensor(description: &TensorDescription) -> String {
    let shape = description.shape;
    let range = description.range;
    format!(
        "{}×{}×{}, integers of {}..={}, divided by 2^{}",
        shape.channels, shape.height, shape.width, range.low, range.high, description.scale
    )
}

/// Formats one of several inputs or outputs: the position of its first element, its name and its
/// dimensions.
fn format_tensor_part(part: &TensorPart) -> String {
    let dims: Vec<String> = part.dims.iter().map(usize::to_string).collect();
    format!(
        "{}: '{}', {}",
        part.offset,
        part.name,
        if dims.is_empty() { "1".to_owned() } else { dims.join("×") }
    )
}

/// Formats quantisation errors, one line per measure.
fn format_quantisation(report: &QuantisationReport) -> String {
    let calibration = report
        .calibration_samples
        .map(|count| format!(", calibrated on {}", counted(count, "other")));
    let mut lines = vec![format!(
        "errors on {}{}: mean {:.5}, largest {:.5}",
        counted(report.samples, "sample"),
        calibration.unwrap_or_default(),
        report.mean_error,
        report.largest_error
    )];
    if let Some(precision) = &report.precision {
        let [min_bits, max_bits] = precision.bits;
        let worst = precision.worst.as_ref();
        let worst = worst.map(|worst| format!("; {} loses most: {:.5}", worst.node, worst.error));
        lines.push(format!(
            "{min_bits} to {max_bits} bits per activation, for errors of at most {}{}",
            precision.max_error,
            worst.unwrap_or_default()
        ));
    }
    if let Some(agreement) = report.agreement {
        lines.push(format!(
            "{:.1} % of the samples have the same largest output",
            agreement * 100.0
        ));
    }
    if let Some([float, integer]) = report.accuracy {
        lines.push(format!(
            "accuracy {:.2} % before, {:.2} % after",
            float * 100.0,
            integer * 100.0
        ));
    }
    if let Some([float, integer]) = report.root_mean_square {
        lines.push(format!("root mean square error {float:.4} before, {integer:.4} after"));
    }
    lines.join("\n")
}

/// Formats the contributions to a trusted setup.
pub(crate) fn format_transcript(transcript: &Transcript) -> String {
    let mut rows = table(&CONTRIBUTIONS);
    let first = format!("{} (created the key)", transcript.initial);
    rows.add_row(["1", &transcript.initial_key.to_string(), &first]);
    for (contribution, number) in transcript.contributions.iter().zip(2_u32..) {
        rows.add_row([
            &number.to_string(),
            &contribution.key.to_string(),
            &contribution.contributor,
        ]);
    }
    rows.to_string()
}

/// Prints the request outcomes of each miner.
pub(crate) fn print_tallies(score_store: &ScoreStore, context: &Context) -> anyhow::Result<()> {
    let tallies = score_store.read(|board| board.tallies().clone());
    if context.json {
        let miners: Vec<_> =
            tallies.iter().map(|(hotkey, tally)| tally_document(hotkey, tally)).collect();
        return context.print_json(&json!({ "miners": miners }));
    }
    let mut rows = table(&PROOF_TALLIES);
    for (hotkey, tally) in &tallies {
        rows.add_row([
            Cell::from(hotkey.to_string()),
            tally.verified.to_string().into(),
            (tally.answers() - tally.verified).to_string().into(),
            mean_seconds(tally).into(),
            mean_bytes(tally).into(),
            format_faults(tally).into(),
        ]);
    }
    context.print(&rows.to_string())
}

/// Formats the mean time of the verified proofs, in seconds.
pub(crate) fn mean_seconds(tally: &Tally) -> String {
    decimals((tally.verified > 0).then(|| tally.time.as_secs_f64() / tally.verified as f64), 2)
}

/// Formats the mean size of the verified proofs, in bytes.
pub(crate) fn mean_bytes(tally: &Tally) -> String {
    tally
        .bytes
        .checked_div(tally.verified)
        .map_or_else(|| "–".to_owned(), |bytes| bytes.to_string())
}

/// Formats the failures of a miner with their counts.
pub(crate) fn format_faults(tally: &Tally) -> String {
    let counts = tally.faults.iter().map(|(fault, count)| format!("{fault}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}
