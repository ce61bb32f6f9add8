//! The `tao batch` command: several calls in one extrinsic.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};
use taonet_chain::calls;
use taonet_cli_base::chain::{
    AnyKeyArgs, JsonArguments, NamedArgument, NamedCallChecks, Plan, TxArgs,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::input;
use taonet_primitives::counted;

use crate::any_call::{self, CallOrPallet};

/// Submit several calls at once: if one fails, none has an effect
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// Call with its arguments, in one word: 'PALLET.NAME NAME=VALUE…' as in `tao call`, or
    /// 'PALLET.NAME {JSON}'
    #[arg(value_name = "CALL", required_unless_present = "file", conflicts_with = "file")]
    calls: Vec<BatchedCall>,
    /// File with one call per line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    tx: TxArgs<AnyKeyArgs>,
}

/// A call with its arguments.
#[derive(Debug, Clone, PartialEq)]
struct BatchedCall {
    pallet: String,
    name: String,
    arguments: Map<String, Value>,
}

impl FromStr for BatchedCall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (target, arguments_text) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let CallOrPallet::Call { pallet, name } = target.parse::<CallOrPallet>()? else {
            return Err("expected PALLET.NAME, such as Balances.transfer_keep_alive".to_owned());
        };
        let arguments_text = arguments_text.trim();
        let arguments = if arguments_text.starts_with('{') {
            let JsonArguments(arguments) = arguments_text.parse::<JsonArguments>()?;
            arguments
        } else {
            let named: Result<Vec<_>, _> =
                arguments_text.split_whitespace().map(str::parse::<NamedArgument>).collect();
            any_call::argument_object(&named?).map_err(|error| error.to_string())?
        };
        Ok(Self { pallet, name, arguments })
    }
}

impl BatchArgs {
    /// Returns the calls, from the command line or the file.
    fn calls(&self) -> anyhow::Result<Vec<BatchedCall>> {
        let Some(file) = &self.file else { return Ok(self.calls.clone()) };
        let path = file.display();
        let text = input::read_text(file)?;
        let mut calls = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let call = line.parse::<BatchedCall>().map_err(|error| {
                ClassifiedError::usage(format!("{path}, line {}: {error}", index + 1))
            })?;
            calls.push(call);
        }
        if calls.is_empty() {
            return Err(ClassifiedError::usage(format!("{path} contains no calls")));
        }
        Ok(calls)
    }
}

/// Runs `tao batch`.
pub fn run(args: &BatchArgs, context: &Context) -> anyhow::Result<()> {
    let parsed_calls = args.calls()?;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let (mut batched_calls, mut named_calls, mut descriptions) =
            (Vec::new(), Vec::new(), Vec::new());
        for BatchedCall { pallet, name, arguments } in parsed_calls {
            let (call, arguments) =
                any_call::build_call(&chain, &pallet, &name, arguments).await.with_context(
                    || format!("call {} of the batch, {pallet}.{name}", batched_calls.len() + 1),
                )?;
            batched_calls.push(call);
            descriptions.push(format!("{pallet}.{name} {arguments}"));
            named_calls.push((format!("{pallet}.{name}"), arguments));
        }
        let key = args.tx.unlock()?;
        let calls_to_check = named_calls.iter().map(|(name, arguments)| (name.as_str(), arguments));
        let checks =
            NamedCallChecks::run(&chain, args.tx.submit.coldkey(&key), calls_to_check).await?;
        let call_documents: Vec<Value> = named_calls
            .into_iter()
            .map(|(name, arguments)| json!({ "call": name, "arguments": arguments }))
            .collect();
        let details = json!({ "calls": call_documents, "signer": key.coldkey() });
        let description = format!(
            "Make {} at once: {}",
            counted(batched_calls.len(), "call"),
            descriptions.join(", ")
        );
        let plan =
            Plan::new(calls::batch_all(batched_calls), description, details).with_checks(checks);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batched_call_is_parsed_from_one_argument() {
        let call = |arguments: Value| {
            let arguments = arguments.as_object().unwrap().clone();
            BatchedCall { pallet: "Balances".to_owned(), name: "burn".to_owned(), arguments }
        };
        for (text, arguments) in [
            ("Balances.burn", json!({})),
            (
                " Balances.burn  value=1tao keep_alive=true ",
                json!({ "value": 1_000_000_000, "keep_alive": true }),
            ),
            (
                r#"Balances.burn {"value": 1, "text": "two words"}"#,
                json!({ "value": 1, "text": "two words" }),
            ),
        ] {
            assert_eq!(text.parse::<BatchedCall>(), Ok(call(arguments)), "{text}");
        }
        for (text, words) in [
            ("", "PALLET"),
            ("Balances", "expected PALLET.NAME"),
            ("Balances.burn value", "expected NAME=VALUE"),
            ("Balances.burn value=1 value=2", "duplicate argument value"),
            ("Balances.burn {", "expected a JSON object"),
        ] {
            let error = text.parse::<BatchedCall>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
