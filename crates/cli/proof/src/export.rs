//! `tao proof export-verifier`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_proof_backends::groth16::evm::{FUNCTION, Word};
use taonet_proof_circuits::{
    CircuitDirectory, CircuitError, read_bundle, solidity_call, solidity_contract,
};
use taonet_proof_lm::ProofBundle;

/// Write a contract that verifies proofs of a groth16 circuit on a blockchain, or its call for a
/// proof
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("format").required(true).args(["solidity", "calldata"]))]
pub struct ExportArgs {
    /// Directory of the circuit
    circuit: PathBuf,
    /// Write the contract, in Solidity
    #[arg(long)]
    solidity: bool,
    /// Verify the proof in this bundle, and write the call data with which the contract verifies it
    #[arg(long, value_name = "BUNDLE")]
    calldata: Option<PathBuf>,
    /// Output file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &ExportArgs, context: &Context) -> anyhow::Result<()> {
    let directory = CircuitDirectory::open(&args.circuit)?;
    let (text, document) = match (args.solidity, &args.calldata) {
        (false, Some(bundle)) => call(&directory, bundle)?,
        _ => contract(&directory)?,
    };
    if let Some(path) = &args.output {
        std::fs::write(path, format!("{}\n", text.trim_end()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        context.print_notice(&format!("wrote {}", path.display()));
    }
    if context.json {
        return context.print_json(&document);
    }
    if args.output.is_none() { context.print(text.trim_end()) } else { Ok(()) }
}

/// Returns the contract and its JSON document.
fn contract(directory: &CircuitDirectory) -> anyhow::Result<(String, Value)> {
    let source = solidity_contract(directory)?;
    let document = json!({
        "circuit": directory.id(),
        "verification_key": directory.metadata().verification_key()?,
        "function": FUNCTION,
        "source": source,
    });
    Ok((source, document))
}

/// Returns the call data for the proof of a bundle, and their JSON document.
fn call(directory: &CircuitDirectory, bundle: &Path) -> anyhow::Result<(String, Value)> {
    let bundle = ProofBundle::from_json(&read_bundle(bundle)?)?.model();
    let (actual, expected) = (bundle.id()?, directory.id());
    if actual != expected {
        return Err(CircuitError::IdMismatch { actual, expected }.into());
    }
    let call = solidity_call(&bundle)?;
    let data = format!("0x{}", hex::encode(call.data()));
    let document = json!({
        "circuit": actual,
        "function": FUNCTION,
        "proof": format_words(&call.proof),
        "values": format_words(&call.values),
        "calldata": data,
    });
    Ok((data, document))
}

fn format_words(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| format!("0x{}", hex::encode(word))).collect()
}
