//! The `tao call` command: any call of the chain, from its metadata.

use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value, json};
use taonet_chain::{Call, CallInfo, Client, calls};
use taonet_cli_base::chain::{
    AnyKeyArgs, JsonArguments, NamedArgument, NamedCallChecks, Plan, TxArgs, chain_error,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::CALLS;

/// Submit any call of the chain, or list the calls
#[derive(Debug, Args)]
pub struct CallArgs {
    /// Call as PALLET.NAME, such as Balances.transfer_keep_alive; only PALLET lists its calls
    /// [default: list all calls]
    #[arg(value_name = "CALL")]
    call: Option<CallOrPallet>,
    /// Arguments: integers, true, false, addresses, text, 0x…, JSON, or amounts such as 0.5tao
    #[arg(value_name = "NAME=VALUE", conflicts_with = "arguments")]
    named: Vec<NamedArgument>,
    /// All arguments, as one JSON object
    #[arg(long = "args", value_name = "JSON")]
    arguments: Option<JsonArguments>,
    /// Run the call as root; sign with the chain's sudo key
    #[arg(long)]
    sudo: bool,
    #[command(flatten)]
    tx: TxArgs<AnyKeyArgs>,
}

/// A call, or all calls of a pallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOrPallet {
    /// All calls of a pallet.
    Pallet(String),
    /// A call.
    Call {
        /// Name of the pallet.
        pallet: String,
        /// Name of the call.
        name: String,
    },
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

impl FromStr for CallOrPallet {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            None if is_name(text) => Ok(Self::Pallet(text.to_owned())),
            Some((pallet, name)) if is_name(pallet) && is_name(name) => {
                Ok(Self::Call { pallet: pallet.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected PALLET.NAME, such as Balances.transfer_keep_alive, or PALLET"),
        }
    }
}

/// Runs `tao call`.
pub fn run(args: &CallArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let (pallet, name) = match &args.call {
            Some(CallOrPallet::Call { pallet, name }) => (pallet, name),
            None => return list_calls(args, None, context).await,
            Some(CallOrPallet::Pallet(pallet)) => {
                return list_calls(args, Some(pallet), context).await;
            }
        };
        let arguments = args.arguments()?;
        let chain = args.tx.connect().await?;
        let (call, arguments) = build_call(&chain, pallet, name, arguments).await?;
        let key = args.tx.unlock()?;
        let call = if args.sudo { calls::sudo(call) } else { call };
        let target = format!("{pallet}.{name}");
        let checks = if args.sudo {
            NamedCallChecks::default()
        } else {
            NamedCallChecks::run(
                &chain,
                args.tx.submit.coldkey(&key),
                [(target.as_str(), &arguments)],
            )
            .await?
        };
        let details = json!({
            "call": target,
            "arguments": arguments,
            "signer": key.coldkey(),
            "as_root": args.sudo,
            "proxy_for": args.tx.submit.proxy_for(),
        });
        let as_root = if args.sudo { " as root" } else { "" };
        let description = format!("Call {pallet}.{name} {arguments}{as_root}");
        let plan = Plan::new(call, description, details).with_checks(checks);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

impl CallArgs {
    fn arguments(&self) -> anyhow::Result<Map<String, Value>> {
        if let Some(JsonArguments(object)) = &self.arguments {
            return Ok(object.clone());
        }
        argument_object(&self.named)
    }
}

/// Returns the arguments as one object.
pub fn argument_object(named: &[NamedArgument]) -> anyhow::Result<Map<String, Value>> {
    let mut merged = Map::new();
    for NamedArgument { name, value } in named {
        if merged.insert(name.clone(), value.clone()).is_some() {
            return Err(ClassifiedError::usage(format!("duplicate argument {name}")));
        }
    }
    Ok(merged)
}

/// Builds a call. Returns it with its arguments as the chain reads them, which may differ from what
/// the user wrote.
pub async fn build_call(
    chain: &Client,
    pallet: &str,
    name: &str,
    arguments: Map<String, Value>,
) -> anyhow::Result<(Call, Value)> {
    check_call_exists(chain, pallet, name).await?;
    let call = chain.call(pallet, name, &Value::Object(arguments)).await.map_err(chain_error)?;
    let decoded = chain.decoded(&call).await.map_err(chain_error)?;
    Ok((call, decoded.args))
}

/// Returns an error unless the chain has the call, with the command that lists its calls as a hint.
async fn check_call_exists(chain: &Client, pallet: &str, name: &str) -> anyhow::Result<()> {
    let metadata = chain.calls().await.map_err(chain_error)?;
    if metadata.iter().any(|call| call.pallet == pallet && call.name == name) {
        return Ok(());
    }
    if metadata.iter().any(|call| call.pallet == pallet) {
        bail!(
            "the chain has no call {pallet}.{name}\nhint: list the calls with `tao call {pallet}`"
        );
    }
    bail!("{}", no_pallet_message(pallet, &metadata));
}

fn no_pallet_message(pallet: &str, calls: &[CallInfo]) -> String {
    let mut names: Vec<&str> = calls.iter().map(|call| call.pallet.as_str()).collect();
    names.dedup();
    format!("the chain has no pallet {pallet} with calls\nhint: use one of {}", names.join(", "))
}

async fn list_calls(
    args: &CallArgs,
    pallet: Option<&str>,
    context: &Context,
) -> anyhow::Result<()> {
    if args.tx.submit.is_dry_run() || !args.named.is_empty() || args.arguments.is_some() {
        return Err(ClassifiedError::usage(
            "expected PALLET.NAME\nhint: list the names with `tao call`",
        ));
    }
    let chain = args.tx.connect().await?;
    let metadata = chain.calls().await.map_err(chain_error)?;
    let calls: Vec<&CallInfo> =
        metadata.iter().filter(|call| pallet.is_none_or(|pallet| call.pallet == pallet)).collect();
    if let Some(pallet) = pallet.filter(|_| calls.is_empty()) {
        bail!("{}", no_pallet_message(pallet, &metadata));
    }
    if context.json {
        return context.print_json(&json!({ "calls": calls }));
    }
    let mut rows = table(&CALLS);
    for call in calls {
        let arguments = call.arguments.iter().map(|argument| argument.name.as_str());
        rows.add_row([
            format!("{}.{}", call.pallet, call.name),
            arguments.collect::<Vec<_>>().join(" "),
            call.summary.clone(),
        ]);
    }
    context.print(&rows.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_targets_are_parsed_as_pallet_or_pallet_and_name() {
        let call = |pallet: &str, name: &str| CallOrPallet::Call {
            pallet: pallet.to_owned(),
            name: name.to_owned(),
        };
        for (text, target) in [
            ("Balances.transfer_all", call("Balances", "transfer_all")),
            ("EVM.call", call("EVM", "call")),
            ("Balances", CallOrPallet::Pallet("Balances".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(target));
        }
        for text in [
            "",
            ".",
            "Balances.",
            ".transfer_all",
            "Balances.transfer.all",
            "Balances transfer_all",
        ] {
            assert!(text.parse::<CallOrPallet>().is_err(), "{text}");
        }
    }
}
