//! `tao proof verify` of several bundles.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::key_values;
use taonet_primitives::{counted, with_causes};
use taonet_proof_circuits::{Bundle, CircuitError, ModelBundle, read_bundle, verify_all};
use taonet_proof_core::Digest;
use taonet_proof_lm::ProofBundle;

use super::{
    ExpectedCircuit, VerifyArgs, bundle_document, check_circuit_id, checks, circuit_id_in,
};

/// A bundle that was read, with the proof of the model's outputs.
struct OpenedBundle {
    file: ProofBundle,
    model: ModelBundle,
}

/// Verifies all bundles on all cores. An invalid one does not prevent the verification of the
/// others.
pub(super) fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let backends = checks::with_stored_checks(args.external.backends()?);
    let expected = match &args.circuit {
        None => None,
        Some(ExpectedCircuit::Id(id)) => Some(*id),
        Some(ExpectedCircuit::Directory(path)) => Some(circuit_id_in(path, &backends)?),
    };
    let start = Instant::now();
    let opened: Vec<_> =
        args.bundles.iter().map(|path| open_bundle(args, path, expected.as_ref())).collect();
    let models: Vec<&ModelBundle> = opened.iter().flatten().map(|opened| &opened.model).collect();
    let mut verification_results = verify_all(&models, &backends).into_iter();
    let (mut documents, mut rejected, mut files) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = key_values();
    for (path, opened) in args.bundles.iter().zip(opened) {
        let outcome = opened.and_then(|opened| {
            let document = check_text(args, &opened, verification_results.next())?;
            files.push((path, opened.file));
            Ok(document)
        });
        let name = path.display().to_string();
        let error = outcome.as_ref().err().map(|error| with_causes(&**error));
        rows.add_row([name.as_str(), error.as_deref().unwrap_or("valid")]);
        documents.push(outcome_document(&name, outcome.ok(), error.as_deref()));
        if error.is_some() {
            rejected.push(name);
        }
    }
    if rejected.is_empty() {
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        context.print_notice(&format!("verified in {milliseconds:.1} ms"));
    }
    let files: Vec<_> = files.iter().map(|(path, file)| (*path, file)).collect();
    args.report_missing_expectations(&files, context);
    if context.json {
        context.print_json(&json!({ "proofs": documents }))?;
    } else {
        context.print(&rows.to_string())?;
    }
    let count = counted(args.bundles.len(), "bundle");
    anyhow::ensure!(
        rejected.is_empty(),
        "{} of {count} rejected: {}",
        rejected.len(),
        rejected.join(", ")
    );
    Ok(())
}

/// Reads a bundle, and rejects it if it is for another circuit, input, miner or request than the
/// expected one.
fn open_bundle(
    args: &VerifyArgs,
    path: &Path,
    expected: Option<&Digest>,
) -> anyhow::Result<OpenedBundle> {
    let file = ProofBundle::from_json(&read_bundle(path)?)?;
    let model = file.model();
    args.check_expectations(&model)?;
    if let Some(expected) = expected {
        check_circuit_id(&model, expected)?;
    }
    if matches!(args.circuit, Some(ExpectedCircuit::Id(_)))
        && model.proofs().iter().any(Bundle::lacks_network)
    {
        return Err(CircuitError::NoNetwork.into());
    }
    Ok(OpenedBundle { file, model })
}

/// Checks the verified text of a language model. Returns the bundle's JSON document.
fn check_text(
    args: &VerifyArgs,
    opened: &OpenedBundle,
    verified: Option<Result<(), CircuitError>>,
) -> anyhow::Result<Value> {
    verified.context("the bundle was not verified")??;
    // The answer of a language model follows from the outputs, which are proven now.
    let text = opened.file.text()?;
    args.check_prompt(text.as_ref())?;
    bundle_document(&opened.model, text.as_ref())
}

/// Returns a JSON document of a verified or rejected bundle.
fn outcome_document(name: &str, document: Option<Value>, error: Option<&str>) -> Value {
    let mut outcome = document.unwrap_or_else(|| json!({}));
    if let Some(fields) = outcome.as_object_mut() {
        fields.insert("bundle".to_owned(), json!(name));
        fields.insert("valid".to_owned(), json!(error.is_none()));
        fields.extend(error.map(|error| ("error".to_owned(), json!(error))));
    }
    outcome
}
