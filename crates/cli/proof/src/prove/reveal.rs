//! `tao proof reveal`: which inputs a proof hides.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::table::key_values;
use taonet_proof_circuits::{Backends, ModelBundle, Opening, read_bundle, read_user_file};
use taonet_proof_lm::ProofBundle;

use super::{
    ExpectedCircuit, check_circuit_id, checks, circuit_id_in, format_first, shorten_values,
};

/// Verify which inputs a proof hides
#[derive(Debug, Args)]
pub struct RevealArgs {
    /// Bundle file
    bundle: PathBuf,
    /// File that `prove --opening` wrote for this bundle
    #[arg(long, value_name = "FILE")]
    opening: PathBuf,
    /// Expected circuit, as its identity or its directory; other proofs are rejected
    #[arg(long, value_name = "ID|DIR")]
    circuit: Option<ExpectedCircuit>,
}

pub(crate) fn reveal(args: &RevealArgs, context: &Context) -> anyhow::Result<()> {
    let model = ProofBundle::from_json(&read_bundle(&args.bundle)?)?.model();
    let ModelBundle::Single(bundle) = &model else {
        anyhow::bail!("the inputs of a sliced model are public; hint: use tao proof verify");
    };
    let opening = Opening::from_json(&read_user_file(&args.opening)?)
        .with_context(|| format!("cannot read {}", args.opening.display()))?;
    let backends = checks::with_stored_checks(Backends::default());
    match &args.circuit {
        None => context
            .print_notice("hint: to reject proofs of other circuits than yours, pass --circuit"),
        Some(ExpectedCircuit::Id(id)) => check_circuit_id(&model, id)?,
        Some(ExpectedCircuit::Directory(path)) => {
            check_circuit_id(&model, &circuit_id_in(path, &backends)?)?;
        }
    }
    bundle.verify_opening(&opening, &backends)?;
    if context.json {
        return context.print_json(&json!({
            "circuit": model.id()?,
            "nonce": bundle.nonce,
            "miner": bundle.miner,
            "input_commitment": opening.commitment,
            "inputs": opening.inputs,
            "outputs": bundle.outputs,
            "real_outputs": bundle.real_outputs(),
        }));
    }
    let inputs = &opening.inputs;
    let outputs: Vec<String> = bundle.outputs.iter().map(ToString::to_string).collect();
    let mut rows = key_values();
    rows.add_row(["circuit", &model.id()?.to_string()]);
    rows.add_row(["miner", &bundle.miner.to_string()]);
    rows.add_row(["nonce", &bundle.nonce.to_string()]);
    rows.add_row(["commitment to the inputs", &opening.commitment.to_string()]);
    rows.add_row(["inputs", &shorten_values(inputs.len(), &format_first(inputs))]);
    rows.add_row(["outputs", &shorten_values(outputs.len(), &outputs)]);
    context.print(&rows.to_string())
}
