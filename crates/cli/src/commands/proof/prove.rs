//! `tao proof prove` and `verify`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_proof_circuits::{Bundle, CircuitDirectory};
use taonet_proof_core::query::integers;
use taonet_proof_core::{Digest, messages};

use crate::context::Context;

/// Run a circuit on an input and prove the output
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// Directory of the circuit
    circuit: PathBuf,
    /// JSON file with the input's integers, as a list or under "input_data", "input", "data" or "inputs"
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Hotkey that the proof is bound to
    #[arg(long, value_name = "SS58")]
    miner: Hotkey,
    /// Nonce of the request, 64 hexadecimal digits; a random one by default
    #[arg(long, value_name = "HEX")]
    nonce: Option<Digest>,
    /// File for the bundle
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
    let directory = CircuitDirectory::open(&args.circuit)?;
    let nonce = args.nonce.unwrap_or_else(|| Digest::from_bytes(rand::random()));
    let began = Instant::now();
    let bundle = Bundle::prove(&directory, &inputs, nonce, args.miner)?;
    let seconds = began.elapsed().as_secs_f64();
    let text = serde_json::to_vec(&bundle).context("the bundle does not fit into JSON")?;
    std::fs::write(&args.output, text).with_context(|| format!("cannot write {}", args.output.display()))?;
    context.say(&format!("proven in {seconds:.2} s, keys included: {}", args.output.display()));
    show(&bundle, context)
}

/// Verify a proof bundle offline
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The bundle
    bundle: PathBuf,
    /// Refuse a proof of any other circuit than this one
    #[arg(long, value_name = "HEX")]
    circuit: Option<Digest>,
}

pub(crate) fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let text = std::fs::read(&args.bundle).with_context(|| format!("cannot read {}", args.bundle.display()))?;
    let bundle = Bundle::from_json(&text)?;
    let circuit = bundle.circuit_id()?;
    if let Some(expected) = args.circuit.filter(|expected| *expected != circuit) {
        anyhow::bail!("the proof is of circuit {circuit}, expected {expected}");
    }
    let began = Instant::now();
    bundle.verify()?;
    context.say(&format!("verified in {:.1} ms", began.elapsed().as_secs_f64() * 1000.0));
    show(&bundle, context)
}

fn show(bundle: &Bundle, context: &Context) -> anyhow::Result<()> {
    let (circuit, outputs) = (bundle.circuit_id()?, bundle.real_outputs());
    let bytes = bundle.proof.len() / 2;
    if context.json {
        return context.print_json(&json!({
            "circuit": circuit,
            "verification_key": bundle.circuit.verification_key()?,
            "nonce": bundle.nonce,
            "miner": bundle.miner,
            "outputs": bundle.outputs,
            "real_outputs": outputs,
            "proof_bytes": bytes,
        }));
    }
    let outputs: Vec<String> = outputs.iter().map(|output| format!("{output:.4}")).collect();
    context.print(&format!(
        "circuit  {circuit}\nminer    {}\nnonce    {}\nproof    {bytes} bytes\noutputs  {}",
        bundle.miner,
        bundle.nonce,
        outputs.join(" ")
    ))
}
