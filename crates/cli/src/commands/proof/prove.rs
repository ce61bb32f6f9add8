//! `tao proof prove` and `verify`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_proof_circuits::{Bundle, Catalogue, CircuitDirectory, ModelBundle, SlicedBundle};
use taonet_proof_core::query::integers;
use taonet_proof_core::{Digest, messages, slices};

use crate::context::Context;

/// Run a circuit or sliced model on an input and prove the output
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Directory of the circuit or sliced model
    circuit: PathBuf,
    /// JSON file with the input's integers, as a list or under "input_data", "input", "data" or "inputs"
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Hotkey that the proof is bound to
    #[arg(long, value_name = "SS58")]
    miner: Hotkey,
    /// Nonce of the request, 64 hexadecimal digits [default: random]
    #[arg(long, value_name = "HEX")]
    nonce: Option<Digest>,
    /// Output file for the bundle
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(crate) fn prove(args: &ProveArgs, context: &Context) -> anyhow::Result<()> {
    let text = std::fs::read(&args.input).with_context(|| format!("cannot read {}", args.input.display()))?;
    let query: Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", args.input.display()))?;
    let inputs = messages::input_of(&query)
        .and_then(integers)
        .with_context(|| format!("{} has no list of integers", args.input.display()))?;
    let nonce = args.nonce.unwrap_or_else(|| Digest::from_bytes(rand::random()));
    let began = Instant::now();
    let bundle = if args.circuit.join(slices::FILE).is_file() {
        ModelBundle::Sliced(Box::new(prove_slices(&Catalogue::open(&args.circuit)?, &inputs, nonce, args.miner)?))
    } else {
        let directory = CircuitDirectory::open(&args.circuit)?;
        ModelBundle::Whole(Box::new(Bundle::prove(&directory, &inputs, nonce, args.miner)?))
    };
    let seconds = began.elapsed().as_secs_f64();
    let text = serde_json::to_vec(&bundle).context("cannot encode the bundle as JSON")?;
    std::fs::write(&args.output, text).with_context(|| format!("cannot write {}", args.output.display()))?;
    context.say(&format!("proven in {seconds:.2} s, keys included: {}", args.output.display()));
    show(&bundle, context)
}

/// Proves the only sliced model of a directory.
fn prove_slices(catalogue: &Catalogue, inputs: &[i64], nonce: Digest, miner: Hotkey) -> anyhow::Result<SlicedBundle> {
    let (_, model) = catalogue.models().next().context("the directory has no sliced model")?;
    let circuit = |id| catalogue.get(id).map(|circuit| &**circuit).context("a slice is missing");
    let circuits = model.slices.iter().map(circuit).collect::<anyhow::Result<Vec<&CircuitDirectory>>>()?;
    Ok(SlicedBundle::prove(model, &circuits, inputs, nonce, miner)?)
}

/// Verify a proof bundle offline
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Bundle file
    bundle: PathBuf,
    /// Identity of the expected circuit or sliced model; other proofs are rejected
    #[arg(long, value_name = "HEX")]
    circuit: Option<Digest>,
}

pub(crate) fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let text = std::fs::read(&args.bundle).with_context(|| format!("cannot read {}", args.bundle.display()))?;
    let bundle = ModelBundle::from_json(&text)?;
    let circuit = bundle.id()?;
    if let Some(expected) = args.circuit.filter(|expected| *expected != circuit) {
        anyhow::bail!("the proof is of circuit {circuit}, expected {expected}");
    }
    let began = Instant::now();
    bundle.verify()?;
    context.say(&format!("verified in {:.1} ms", began.elapsed().as_secs_f64() * 1000.0));
    show(&bundle, context)
}

fn show(bundle: &ModelBundle, context: &Context) -> anyhow::Result<()> {
    let proofs = bundle.proofs();
    let last = proofs.last().context("the bundle has no proof")?;
    let (circuit, outputs) = (bundle.id()?, last.real_outputs());
    let bytes: usize = proofs.iter().map(|proof| proof.proof.len() / 2).sum();
    if context.json {
        let keys = proofs.iter().map(|proof| proof.circuit.verification_key()).collect::<Result<Vec<_>, _>>()?;
        let mut document = json!({
            "circuit": circuit,
            "verification_key": keys.last(),
            "nonce": bundle.nonce(),
            "miner": last.miner,
            "outputs": last.outputs,
            "real_outputs": outputs,
            "proof_bytes": bytes,
        });
        if let (ModelBundle::Sliced(sliced), Some(document)) = (bundle, document.as_object_mut()) {
            let slice = |(proof, key): (&Bundle, &Digest)| json!({ "miner": proof.miner, "verification_key": key });
            let slices: Vec<_> = sliced.slices.iter().zip(&keys).map(slice).collect();
            document.insert("slices".to_owned(), json!(slices));
        }
        return context.print_json(&document);
    }
    let outputs: Vec<String> = outputs.iter().map(|output| format!("{output:.4}")).collect();
    let miners: Vec<String> = proofs.iter().map(|proof| format!("miner    {}", proof.miner)).collect();
    context.print(&format!(
        "circuit  {circuit}\n{}\nnonce    {}\nproof    {bytes} bytes\noutputs  {}",
        miners.join("\n"),
        bundle.nonce(),
        outputs.join(" ")
    ))
}
