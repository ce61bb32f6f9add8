//! `tao yuma`: one epoch of consensus from a file.

mod tables;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::input;
use taonet_consensus::classic::{ClassicEpoch, Curve};
use taonet_consensus::{Case, Epoch, I32F32, Matrix, Sparse};

/// Compute one epoch of Yuma consensus.
#[derive(Debug, Args)]
pub struct YumaArgs {
    /// JSON document {"id": …, "input": {…}}, as in vectors/yuma/cases.json
    file: PathBuf,
    /// Show every step: stake, weights, consensus, clipped weights, incentive, bonds, dividends
    #[arg(long)]
    explain: bool,
    /// Use Bittensor's original formulation with rank, trust and a consensus curve; always shows
    /// every step
    #[arg(long)]
    classic: bool,
    /// Steepness of the classic consensus curve
    #[arg(
        long,
        requires = "classic",
        default_value_t = Curve::default().rho,
        value_parser = parse_finite
    )]
    rho: f64,
    /// Trust at which the classic consensus curve is 0.5
    #[arg(
        long,
        requires = "classic",
        default_value_t = Curve::default().kappa,
        value_parser = parse_finite
    )]
    kappa: f64,
}

/// Runs `tao yuma`.
pub fn run(args: &YumaArgs, context: &Context) -> anyhow::Result<()> {
    let document = input::read(&args.file)?;
    let case = Case::from_json(&document)
        .with_context(|| format!("{} is not an epoch document", args.file.display()))?;
    if args.classic {
        let epoch = ClassicEpoch::of(&case.input, Curve { rho: args.rho, kappa: args.kappa })?;
        return if context.json {
            context.print_json(&epoch)
        } else {
            context.print(tables::format_classic(&epoch).trim_end())
        };
    }
    let epoch = Epoch::<Sparse>::compute(&case.input)?;
    if !context.json {
        let steps =
            if args.explain { tables::format_steps(&case.input, &epoch) } else { String::new() };
        return context.print((steps + &tables::format_result(&epoch.into_output())).trim_end());
    }
    let steps = args.explain.then(|| steps_document(&epoch));
    let mut result = serde_json::to_value(epoch.into_output())?;
    if let (Some(steps), Some(result)) = (steps, result.as_object_mut()) {
        result.insert("steps".to_owned(), steps);
    }
    context.print_json(&result)
}

/// Returns the intermediate results as fractions; a matrix is one array of [uid, fraction] per
/// validator.
fn steps_document(epoch: &Epoch<Sparse>) -> Value {
    json!({
        "stake": vector(&epoch.stake),
        "active_stake": vector(&epoch.active_stake),
        "weights": rows(&epoch.weights),
        "consensus": vector(&epoch.consensus),
        "clipped_weights": rows(&epoch.clipped_weights),
        "validator_trust": vector(&epoch.validator_trust),
        "rank": vector(&epoch.rank),
        "incentive": vector(&epoch.incentive),
        "bond_weights": rows(&epoch.bond_weights),
        "old_bonds": rows(&epoch.old_bonds),
        "bonds": rows(&epoch.bonds),
        "dividends": vector(&epoch.dividends),
    })
}

fn vector(shares: &[I32F32]) -> Vec<f64> {
    shares.iter().map(|share| share.to_f64()).collect()
}

fn rows(matrix: &Sparse) -> Vec<Vec<(u16, f64)>> {
    (0..matrix.rows())
        .map(|row| matrix.row(row).map(|(column, entry)| (column, entry.to_f64())).collect())
        .collect()
}

fn parse_finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("not a finite number".to_owned()),
    }
}

#[cfg(test)]
mod tests;
