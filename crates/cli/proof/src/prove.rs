//! `tao proof prove`, `verify` and `reveal`.

mod checks;
mod reveal;
mod saturated;
mod verify_many;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::key_values;
use taonet_primitives::{Hotkey, counted};
use taonet_proof_circuits::{
    Backends, Bundle, Catalogue, CircuitDirectory, ModelBundle, SlicedBundle, read_bundle,
};
use taonet_proof_core::saturation::Saturation;
use taonet_proof_core::{Digest, slices};
use taonet_proof_lm::{Finish, ProofBundle, Text, TextBundle};
use taonet_service::{Access, atomic_write};

use super::circuit::sliced_model;
use super::external::ExternalArgs;
use super::inputs::{InputFormat, read_inputs};
use super::table;
pub(crate) use reveal::{RevealArgs, reveal};

/// Run a circuit or sliced model on an input and prove the output
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).multiple(false))]
pub struct ProveArgs {
    /// Directory of the circuit or sliced model
    circuit: PathBuf,
    /// JSON file with the input's integers, as a list or under "input_data", "input", "data" or
    /// "inputs"
    #[arg(long, value_name = "FILE", group = "source")]
    input: Option<PathBuf>,
    /// Text that a language model continues, in place of an input: the answer is proven
    #[arg(long, value_name = "TEXT", group = "source")]
    prompt: Option<String>,
    /// Hotkey that the proof is bound to
    #[arg(long, value_name = "SS58")]
    miner: Hotkey,
    /// Nonce of the request, 64 hexadecimal digits [default: random]
    #[arg(long, value_name = "HEX")]
    nonce: Option<Digest>,
    /// Fail if the proof may reveal the values between inputs and outputs, as those of sliced
    /// models do, those of stark unless the model was compiled with --hide, and possibly those of
    /// an external program
    #[arg(long)]
    hide: bool,
    /// Output file for the bundle
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Output file for the opening of the commitment to the inputs, which `reveal` takes; for
    /// circuits compiled with --hide-inputs. Whoever has it can see the inputs
    #[arg(long, value_name = "FILE")]
    opening: Option<PathBuf>,
    /// Prove an input even if a value is beyond the range of the model's sample and saturates,
    /// with a warning
    #[arg(long)]
    allow_saturated: bool,
    #[command(flatten)]
    external: ExternalArgs,
}

/// A proof, and the tensors whose values saturate.
type Proven<T> = (T, Vec<Saturation>);

pub(crate) fn prove(args: &ProveArgs, context: &Context) -> anyhow::Result<()> {
    let nonce = args.nonce.unwrap_or_else(|| Digest::from_bytes(rand::random()));
    let backends = args.external.backends()?;
    let start = Instant::now();
    let (bundle, saturations) = match (&args.prompt, &args.input) {
        (Some(prompt), _) => {
            let directory = CircuitDirectory::open_to_prove(&args.circuit, &backends)?;
            args.check_hidden(&directory)?;
            let inputs = TextBundle::inputs(&directory, prompt)?;
            let (proof, saturations) = prove_circuit(args, &directory, &inputs, nonce, context)?;
            let bundle = TextBundle::new(&directory, prompt, proof)?;
            (ProofBundle::Text(Box::new(bundle)), saturations)
        }
        (None, input) => {
            let input = input.as_ref().context("neither an input nor a prompt is given")?;
            let (bundle, saturations) = prove_model(args, input, nonce, &backends, context)?;
            (ProofBundle::Model(bundle), saturations)
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let text = bundle.text()?;
    let encoded = serde_json::to_vec(&bundle).context("cannot encode the bundle as JSON")?;
    std::fs::write(&args.output, encoded)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    context.print_notice(&format!(
        "proven in {seconds:.2} s, including the loading of the keys: {}",
        args.output.display()
    ));
    print_bundle(&bundle.model(), text.as_ref(), Some(&saturations), context)
}

/// Proves a circuit or a sliced model for the inputs in a file.
fn prove_model(
    args: &ProveArgs,
    input: &Path,
    nonce: Digest,
    backends: &Backends,
    context: &Context,
) -> anyhow::Result<Proven<ModelBundle>> {
    if args.circuit.join(slices::FILE).is_file() {
        anyhow::ensure!(
            !args.hide,
            "the proof of a sliced model has the values between its slices; hint: compile the \
             model with --hide and without --slices, or omit --hide"
        );
        anyhow::ensure!(args.opening.is_none(), "{PUBLIC_INPUTS_MESSAGE}");
        let catalogue = Catalogue::open_with(&args.circuit, backends)?;
        let (bundle, saturations) = prove_slices(args, &catalogue, input, nonce, context)?;
        return Ok((ModelBundle::Sliced(Box::new(bundle)), saturations));
    }
    let directory = CircuitDirectory::open_to_prove(&args.circuit, backends)?;
    args.check_hidden(&directory)?;
    let inputs = InputFormat::of_circuit(&directory).read(input)?;
    let (bundle, saturations) = prove_circuit(args, &directory, &inputs, nonce, context)?;
    Ok((ModelBundle::Single(Box::new(bundle)), saturations))
}

/// Proves a circuit.
fn prove_circuit(
    args: &ProveArgs,
    directory: &CircuitDirectory,
    inputs: &[i64],
    nonce: Digest,
    context: &Context,
) -> anyhow::Result<Proven<Bundle>> {
    let path = args.opening_path(directory)?;
    let saturations = saturated::check(&[directory], inputs, args.allow_saturated, context)?;
    let (bundle, opening) = Bundle::prove_with_opening(directory, inputs, nonce, args.miner)?;
    if let (Some(path), Some(opening)) = (path, opening) {
        // Before the bundle: without the opening, nobody can check which inputs it has.
        atomic_write(path, &opening.to_json()?, Access::Owner)?;
        context.print_notice(&format!("{} reveals the inputs: keep it secret", path.display()));
    }
    Ok((bundle, saturations))
}

/// Why there is no opening of a proof.
const PUBLIC_INPUTS_MESSAGE: &str = "the inputs of the proof are public, so there is no opening; \
                             hint: omit --opening, or compile the model with --hide-inputs";

impl ProveArgs {
    /// Rejects a circuit whose proofs may reveal what they should hide.
    fn check_hidden(&self, directory: &CircuitDirectory) -> anyhow::Result<()> {
        if !self.hide {
            return Ok(());
        }
        let path = directory.path().display();
        match directory.hides_values()? {
            Some(true) => Ok(()),
            Some(false) => anyhow::bail!(
                "a proof of {path} may reveal the values between inputs and outputs; hint: compile \
                 the model again with --hide"
            ),
            // Only the program's author knows: no value that it returns could be checked.
            None => anyhow::bail!(
                "the external program of {path} determines what its proofs reveal, which --hide \
                 cannot check; hint: compile the model with --backend stark --hide, or omit --hide \
                 if you know that the program hides the values"
            ),
        }
    }

    /// Returns the file for the opening of the commitment to the inputs; `None` if they are public.
    fn opening_path(&self, directory: &CircuitDirectory) -> anyhow::Result<Option<&Path>> {
        let hides_inputs = directory.hides_inputs()?;
        anyhow::ensure!(hides_inputs || self.opening.is_none(), "{PUBLIC_INPUTS_MESSAGE}");
        let path = self.opening.as_deref();
        anyhow::ensure!(
            !hides_inputs || path.is_some(),
            "proofs of {} hide the inputs; hint: pass --opening FILE, for the file that reveals \
             them",
            directory.path().display()
        );
        anyhow::ensure!(
            path != Some(&*self.output),
            "--opening and --output name the same file; hint: the bundle is public, the opening is \
             secret"
        );
        Ok(path)
    }
}

/// Proves the only sliced model of a directory.
fn prove_slices(
    args: &ProveArgs,
    catalogue: &Catalogue,
    input: &Path,
    nonce: Digest,
    context: &Context,
) -> anyhow::Result<Proven<SlicedBundle>> {
    let (model, circuits) = sliced_model(catalogue)?;
    let first = circuits.first().context("the model has no slices")?;
    let inputs = InputFormat::of_circuit(first).read(input)?;
    let saturations = saturated::check(&circuits, &inputs, args.allow_saturated, context)?;
    Ok((SlicedBundle::prove(model, &circuits, &inputs, nonce, args.miner)?, saturations))
}

/// Verify proof bundles offline
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Bundle files; several are verified at once, on all cores
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// Expected circuit or sliced model, as its identity or its directory; other proofs are
    /// rejected
    #[arg(long, value_name = "ID|DIR")]
    circuit: Option<ExpectedCircuit>,
    /// JSON file with the expected input, as for `prove`; proofs of another input are rejected
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Expected prompt of a language model; proofs of answers to another prompt are rejected
    #[arg(long, value_name = "TEXT", conflicts_with = "input")]
    prompt: Option<String>,
    /// Hotkey of the expected miner; proofs, and slices, of other miners are rejected
    #[arg(long, value_name = "SS58")]
    miner: Option<Hotkey>,
    /// Nonce of the expected request; proofs for other requests are rejected
    #[arg(long, value_name = "HEX")]
    nonce: Option<Digest>,
    #[command(flatten)]
    external: ExternalArgs,
}

pub(crate) fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let [path] = args.bundles.as_slice() else { return verify_many::verify(args, context) };
    let file = ProofBundle::from_json(&read_bundle(path)?)?;
    let bundle = file.model();
    args.check_expectations(&bundle)?;
    let backends = checks::with_stored_checks(args.external.backends()?);
    let start = Instant::now();
    match &args.circuit {
        None => bundle.verify_with(&backends)?,
        Some(ExpectedCircuit::Id(id)) => bundle.verify_for(id, &backends)?,
        Some(ExpectedCircuit::Directory(path)) => {
            check_circuit_id(&bundle, &circuit_id_in(path, &backends)?)?;
            bundle.verify_with(&backends)?;
        }
    }
    // The answer of a language model follows from the outputs, which are proven now.
    let text = file.text()?;
    args.check_prompt(text.as_ref())?;
    context.print_notice(&format!("verified in {:.1} ms", start.elapsed().as_secs_f64() * 1000.0));
    args.report_missing_expectations(&[(path, &file)], context);
    print_bundle(&bundle, text.as_ref(), None, context)
}

/// The circuit or sliced model that a bundle should be for.
#[derive(Clone, Debug)]
enum ExpectedCircuit {
    /// Its identity.
    Id(Digest),
    /// Its directory.
    Directory(PathBuf),
}

impl FromStr for ExpectedCircuit {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Directory(text.into()), Self::Id))
    }
}

/// Rejects a bundle that is for another circuit than the expected one.
fn check_circuit_id(bundle: &ModelBundle, expected: &Digest) -> anyhow::Result<()> {
    let actual = bundle.id()?;
    anyhow::ensure!(actual == *expected, "the proof is for circuit {actual}, expected {expected}");
    Ok(())
}

/// Returns the identity of the circuit or sliced model in a directory, whose keys are compared with
/// its networks.
fn circuit_id_in(path: &Path, backends: &Backends) -> anyhow::Result<Digest> {
    if !path.is_dir() {
        anyhow::bail!(
            "--circuit {} is neither an identity of 64 hexadecimal digits nor a directory",
            path.display()
        );
    }
    if path.join(slices::FILE).is_file() {
        let catalogue = Catalogue::open_with(path, backends)?;
        let (id, _) = catalogue.models().next().context("the directory has no sliced model")?;
        return Ok(*id);
    }
    Ok(CircuitDirectory::open_with(path, backends)?.id())
}

impl VerifyArgs {
    /// Rejects a bundle that is for another input, miner or request than the expected one.
    fn check_expectations(&self, bundle: &ModelBundle) -> anyhow::Result<()> {
        let nonce = bundle.nonce();
        if let Some(expected) = self.nonce.filter(|expected| *expected != nonce) {
            anyhow::bail!("the proof is for nonce {nonce}, expected {expected}");
        }
        if let Some(expected) = self.miner
            && let Some(other) = bundle.proofs().iter().find(|proof| proof.miner != expected)
        {
            anyhow::bail!("the proof is by miner {}, expected {expected}", other.miner);
        }
        if let Some(path) = &self.input {
            let first = bundle.proofs().first();
            let tensors = first.map(|first| first.circuit.inputs.as_slice()).unwrap_or_default();
            let (actual, expected) = (bundle.inputs(), read_inputs(path, tensors)?);
            anyhow::ensure!(
                !actual.is_empty(),
                "the proof hides its inputs, which cannot be compared with {}; hint: omit --input, \
                 and use tao proof reveal if you have the opening",
                path.display()
            );
            if actual.len() != expected.len() {
                let (actual, expected) =
                    (counted(actual.len(), "integer"), counted(expected.len(), "integer"));
                anyhow::bail!(
                    "the proof is for an input of {actual}, expected {expected} as in {}",
                    path.display()
                );
            }
            let first_difference = actual
                .iter()
                .zip(&expected)
                .enumerate()
                .find(|(_, (actual, expected))| actual != expected);
            if let Some((index, (actual, expected))) = first_difference {
                let difference = format!(
                    "integer {index} is {actual}, expected {expected} as in {}",
                    path.display()
                );
                anyhow::bail!("the proof is for another input: {difference}");
            }
        }
        Ok(())
    }

    /// Reports which expectations are missing, and whether a verification key was not compared with
    /// its circuit.
    fn report_missing_expectations(&self, files: &[(&PathBuf, &ProofBundle)], context: &Context) {
        let has_inputs = files.iter().any(|(_, file)| match file {
            ProofBundle::Model(bundle) => !bundle.inputs().is_empty(),
            ProofBundle::Text(_) => false,
        });
        let has_text = files.iter().any(|(_, file)| matches!(file, ProofBundle::Text(_)));
        let expectations = [
            ("--circuit", self.circuit.is_none()),
            ("--input", self.input.is_none() && has_inputs),
            ("--prompt", self.prompt.is_none() && self.input.is_none() && has_text),
        ];
        let missing: Vec<&str> = expectations
            .iter()
            .filter(|(_, missing)| *missing)
            .map(|(option, _)| *option)
            .collect();
        if !missing.is_empty() {
            let options = missing.join(" and ");
            context.print_notice(&format!(
                "hint: to reject proofs for other requests than yours, pass {options}"
            ));
        }
        let without_network =
            files.iter().filter(|(_, file)| file.proofs().iter().any(Bundle::lacks_network));
        let names: Vec<String> =
            without_network.map(|(path, _)| path.display().to_string()).collect();
        if self.circuit.is_none() && !names.is_empty() {
            let consequence = if names.len() == 1 {
                "has no network, so its verification key was not compared with the circuit; to compare it"
            } else {
                "have no network, so their verification keys were not compared with the circuit; to compare them"
            };
            let names = names.join(", ");
            context.print_notice(&format!(
                "warning: {names} {consequence}, pass the circuit's directory with --circuit"
            ));
        }
    }

    /// Rejects an answer to another prompt than the expected one.
    fn check_prompt(&self, text: Option<&Text>) -> anyhow::Result<()> {
        let Some(expected) = &self.prompt else { return Ok(()) };
        let text =
            text.context("the proof is not of a language model's answer; hint: omit --prompt")?;
        // Without the other prompt: its text could pass for a hint.
        anyhow::ensure!(
            text.prompt == *expected,
            "the proof is for another prompt, expected {expected:?}"
        );
        Ok(())
    }
}

/// Prints a bundle, and for a new one the tensors whose values saturate, in JSON.
fn print_bundle(
    bundle: &ModelBundle,
    text: Option<&Text>,
    saturations: Option<&[Saturation]>,
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        let mut document = bundle_document(bundle, text)?;
        if let (Some(saturations), Some(document)) = (saturations, document.as_object_mut()) {
            document.insert("saturated".to_owned(), json!(saturations));
        }
        return context.print_json(&document);
    }
    let proofs = bundle.proofs();
    let last = proofs.last().context("the bundle has no proof")?;
    let mut rows = key_values();
    rows.add_row(["circuit", &bundle.id()?.to_string()]);
    for proof in proofs {
        rows.add_row(["miner", &proof.miner.to_string()]);
    }
    rows.add_row(["nonce", &bundle.nonce().to_string()]);
    rows.add_row(["proof", &counted(proof_bytes(bundle), "byte")]);
    let commitment = input_commitment(bundle)?;
    let hidden_values = match commitment {
        Some(_) => table::HIDDEN_INPUTS,
        None => table::describe_hidden(hides_values(bundle)?, proofs.len()),
    };
    rows.add_row(["hidden", hidden_values]);
    if let Some(text) = text {
        // A separate row: an answer can end with any text.
        let end = match text.finish {
            Finish::Stop => "chosen by the model",
            Finish::Length => "the circuit has no more tokens",
            _ => "cut by the prover",
        };
        rows.add_row(["prompt", &printable(&text.prompt)]);
        rows.add_row(["answer", &printable(&text.answer)]);
        rows.add_row(["end", end]);
        return context.print(&rows.to_string());
    }
    let outputs: Vec<String> = last
        .real_outputs()
        .iter()
        .take(MAX_PRINTED_VALUES)
        .map(|output| format!("{output:.4}"))
        .collect();
    if let Some(commitment) = commitment {
        rows.add_row(["commitment to the inputs", &commitment.to_string()]);
    } else {
        rows.add_row([
            "inputs",
            &shorten_values(bundle.inputs().len(), &format_first(bundle.inputs())),
        ]);
    }
    rows.add_row(["outputs", &shorten_values(last.outputs.len(), &outputs)]);
    context.print(&rows.to_string())
}

fn bundle_document(bundle: &ModelBundle, text: Option<&Text>) -> anyhow::Result<Value> {
    let proofs = bundle.proofs();
    let last = proofs.last().context("the bundle has no proof")?;
    let keys = proofs
        .iter()
        .map(|proof| proof.circuit.verification_key())
        .collect::<Result<Vec<_>, _>>()?;
    let mut document = json!({
        "circuit": bundle.id()?,
        "verification_key": keys.last(),
        "nonce": bundle.nonce(),
        "miner": last.miner,
        "inputs": bundle.inputs(),
        "outputs": last.outputs,
        "real_outputs": last.real_outputs(),
        "proof_bytes": proof_bytes(bundle),
        "zero_knowledge": table::hides_all(hides_values(bundle)?, proofs.len()),
        "input_commitment": input_commitment(bundle)?,
    });
    if let (ModelBundle::Sliced(sliced), Some(document)) = (bundle, document.as_object_mut()) {
        let slices = sliced
            .slices
            .iter()
            .zip(&keys)
            .map(|(proof, key)| json!({ "miner": proof.miner, "verification_key": key }));
        let slices: Vec<_> = slices.collect();
        document.insert("slices".to_owned(), json!(slices));
    }
    if let (Some(text), Some(document)) = (text, document.as_object_mut()) {
        document.insert("text".to_owned(), json!(text));
    }
    Ok(document)
}

/// Returns the size of all proofs, in bytes.
fn proof_bytes(bundle: &ModelBundle) -> usize {
    bundle.proofs().iter().map(|proof| proof.proof.len() / 2).sum()
}

/// Returns whether all proofs hide the values between their inputs and outputs; `None` if that
/// depends on an external program.
fn hides_values(bundle: &ModelBundle) -> anyhow::Result<Option<bool>> {
    Ok(table::all_hide(bundle.proofs().iter().map(Bundle::hides_values))?)
}

/// Returns the commitment to the inputs that the proof hides; `None` if they are public, as those
/// of sliced models are.
fn input_commitment(bundle: &ModelBundle) -> anyhow::Result<Option<Digest>> {
    Ok(match bundle {
        ModelBundle::Single(bundle) => bundle.input_commitment()?,
        ModelBundle::Sliced(_) => None,
    })
}

/// Number of inputs and outputs that are printed.
const MAX_PRINTED_VALUES: usize = 10;

fn format_first(inputs: &[i64]) -> Vec<String> {
    inputs.iter().take(MAX_PRINTED_VALUES).map(ToString::to_string).collect()
}

/// Formats the number of values and the first of them.
fn shorten_values(count: usize, first: &[String]) -> String {
    let ellipsis = if count > MAX_PRINTED_VALUES { " …" } else { "" };
    format!("{}: {}{ellipsis}", counted(count, "number"), first.join(" "))
}
