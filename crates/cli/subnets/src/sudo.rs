//! `tao sudo …`: hyperparameters, and other calls of root or of a subnet's owner.

mod trigger_epoch;
mod trim;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use taonet_chain::{Hyperparameter, calls};
use taonet_cli_base::chain::{
    AtArgs, ColdkeyArgs, NetworkArgs, Plan, TxArgs, block_json, chain_error, parse_argument,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_wallet::stake::burn;
use taonet_primitives::{NetUid, counted};

const ADMIN: &str = "AdminUtils";

/// The commands of `tao sudo`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show one hyperparameter of a subnet
    Get(GetArgs),
    Set(SetArgs),
    Trim(trim::TrimArgs),
    TriggerEpoch(trigger_epoch::TriggerEpochArgs),
    StakeBurn(burn::StakeBurnArgs),
}

/// Show one hyperparameter of a subnet
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Name of the hyperparameter, as in `tao subnets hyperparameters`
    name: String,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Set a hyperparameter, as root or as the subnet's owner.
///
/// The name of a hyperparameter is that of the chain's call without `sudo_set_`: `tempo` stands for
/// AdminUtils.sudo_set_tempo. `tao subnets hyperparameters` shows the names and values.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the hyperparameter, such as tempo or commit_reveal_weights_enabled
    name: String,
    /// One or more values: integers, true, false, or amounts such as 0.5tao
    #[arg(required = true, allow_negative_numbers = true)]
    values: Vec<String>,
    /// Netuid of the subnet, for hyperparameters of a subnet
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    /// Sign as the subnet's owner instead of as root
    #[arg(long)]
    owner: bool,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Runs a command of `tao sudo`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Get(args) => get(args, context),
        Command::Set(args) => set(args, context),
        Command::Trim(args) => trim::run(args, context),
        Command::TriggerEpoch(args) => trigger_epoch::run(args, context),
        Command::StakeBurn(args) => burn::run(args, context),
    }
}

fn get(args: &GetArgs, context: &Context) -> anyhow::Result<()> {
    let name = args.name.replace('-', "_");
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let parameters =
            chain.hyperparameters(args.netuid, block.into()).await.map_err(chain_error)?;
        let Some(value) = parameters.get(&name) else {
            let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
            bail!("unknown hyperparameter {name}\nhint: use one of {}", names.join(", "));
        };
        if context.json {
            let document = json!({ "block": block_json(block), "netuid": args.netuid, "name": name, "value": value });
            return context.print_json(&document);
        }
        let unit = if matches!(value, Hyperparameter::Amount { .. }) { " TAO" } else { "" };
        context.print(&format!("{value}{unit}"))
    })
}

fn set(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    let name = call_name(&args.name);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let Some(fields) = chain.call_fields(ADMIN, &name).await.map_err(chain_error)? else {
            bail!("unknown call {ADMIN}.{name}\nhint: list the names with `tao subnets hyperparameters`");
        };
        let arguments = call_arguments(&fields, args.netuid, &args.values)?;
        let call =
            chain.call(ADMIN, &name, &Value::Object(arguments.clone())).await.map_err(chain_error)?;
        let call = if args.owner { call } else { calls::sudo(call) };
        let key = args.tx.unlock()?;
        let details = json!({ "call": format!("{ADMIN}.{name}"), "arguments": arguments, "as_owner": args.owner });
        let subnet = args.netuid.map(|netuid| format!(" on subnet {netuid}")).unwrap_or_default();
        let description = format!("Set {} to {}{subnet}", args.name, args.values.join(" "));
        args.tx.submit.submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}

/// Returns the name of the AdminUtils call that sets a hyperparameter.
fn call_name(name: &str) -> String {
    let name = name.replace('-', "_");
    if name.starts_with("sudo_") { name } else { format!("sudo_set_{name}") }
}

/// Returns the arguments of the call by name, with the netuid first if the call takes one.
fn call_arguments(
    fields: &[String],
    netuid: Option<NetUid>,
    values: &[String],
) -> anyhow::Result<Map<String, Value>> {
    let mut arguments = Map::new();
    let mut names = fields;
    if let Some((first, others)) = fields.split_first().filter(|(first, _)| *first == "netuid") {
        let netuid = netuid.ok_or_else(|| {
            ClassifiedError::usage("this hyperparameter belongs to a subnet: --netuid is required")
        })?;
        arguments.insert(first.clone(), json!(netuid));
        names = others;
    } else if netuid.is_some() {
        return Err(ClassifiedError::usage(
            "this hyperparameter belongs to the chain: --netuid is not allowed",
        ));
    }
    if names.len() != values.len() {
        let text = format!(
            "expected {} ({}), not {}",
            counted(names.len(), "value"),
            names.join(", "),
            values.len()
        );
        return Err(ClassifiedError::usage(text));
    }
    for (name, text) in names.iter().zip(values) {
        let value = parse_argument(text).map_err(ClassifiedError::usage);
        arguments.insert(name.clone(), value.with_context(|| format!("invalid value for {name}"))?);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn hyperparameter_names_map_to_calls() {
        for (name, call) in [
            ("tempo", "sudo_set_tempo"),
            ("commit-reveal-weights-enabled", "sudo_set_commit_reveal_weights_enabled"),
            ("sudo_trim_to_max_allowed_uids", "sudo_trim_to_max_allowed_uids"),
        ] {
            assert_eq!(call_name(name), call);
        }
    }

    #[test]
    fn hyperparameter_values_become_call_arguments() {
        let subnet = Some(NetUid(2));
        for (names, netuid, values, expected) in [
            (&["netuid", "tempo"][..], subnet, &["20"][..], json!({ "netuid": 2, "tempo": 20 })),
            (&["netuid", "on"], subnet, &["true"], json!({ "netuid": 2, "on": true })),
            (
                &["netuid", "min_burn"],
                subnet,
                &["0.0005TAO"],
                json!({ "netuid": 2, "min_burn": 500_000 }),
            ),
            (&["netuid", "steepness"], subnet, &["-5"], json!({ "netuid": 2, "steepness": -5 })),
            (
                &["netuid", "low", "high"],
                subnet,
                &["1", "2"],
                json!({ "netuid": 2, "low": 1, "high": 2 }),
            ),
            (&["rate_limit"], None, &["0"], json!({ "rate_limit": 0 })),
        ] {
            let values = fields(values);
            assert_eq!(
                Value::Object(call_arguments(&fields(names), netuid, &values).unwrap()),
                expected
            );
        }
    }

    #[test]
    fn invalid_hyperparameter_arguments_are_refused() {
        for (names, netuid, values, words) in [
            (&["netuid", "tempo"][..], None, &["20"][..], "--netuid is required"),
            (&["rate_limit"], Some(NetUid(2)), &["0"], "--netuid is not allowed"),
            (
                &["netuid", "low", "high"],
                Some(NetUid(2)),
                &["1"],
                "expected 2 values (low, high), not 1",
            ),
            (&["rate_limit"], None, &["1.0000000001tao"], "invalid value for rate_limit"),
        ] {
            let error = call_arguments(&fields(names), netuid, &fields(values)).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
    }
}
