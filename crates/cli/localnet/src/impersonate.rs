//! `tao localnet as`: calls of any account, without its key.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{Chain as _, Client};
use taonet_cli_base::chain::{Account, chain_error, report_impersonated_call};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::{BlockNumber, ExtrinsicHash};

use super::control::{TargetArgs, connect};
use super::rpc::{call_control_method, number};

/// Make a call as any account, without its key
#[derive(Debug, Args)]
pub(crate) struct AsArgs {
    /// SS58 address of the account, or a development key such as //Bob
    account: Account,
    /// Name of the call, such as Balances.transfer_keep_alive
    #[arg(
        value_name = "PALLET.CALL",
        required_unless_present = "encoded",
        conflicts_with = "encoded"
    )]
    name: Option<String>,
    /// Arguments of the call, as a JSON object; omit them for a call without arguments
    #[arg(value_name = "JSON", requires = "name")]
    arguments: Option<String>,
    /// SCALE-encoded call in hex, instead of its name and arguments
    #[arg(long = "call", value_name = "HEX")]
    encoded: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
}

pub(crate) fn run(args: &AsArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let (url, chain) = connect(&args.target).await?;
        let call = args.call(&chain).await?;
        let response = call_control_method(&url, "dev_impersonate", json!([args.account.to_string(), call])).await?;
        let block = u32::try_from(number(&response, "number")?).context("the block number is out of range")?;
        let hash = response["extrinsic"]["hash"].as_str().and_then(|hash| hash.parse::<ExtrinsicHash>().ok());
        let hash =
            hash.context("the localnet's response lacks the hash\nhint: the localnet may have a different version")?;
        let block = BlockNumber::new(block);
        let outcome = chain.lookup(hash, block, block).await.map_err(chain_error)?;
        let outcome =
            outcome.with_context(|| format!("block {block} does not have the call\nhint: was the chain reverted?"))?;
        report_impersonated_call(args.account.id(), &outcome, context)
    })
}

impl AsArgs {
    /// Returns the encoded call in hex.
    async fn call(&self, chain: &Client) -> anyhow::Result<String> {
        let Some(name) = &self.name else { return Ok(self.encoded.clone().unwrap_or_default()) };
        let (pallet, call) = name.split_once('.').ok_or_else(|| {
            ClassifiedError::usage(format!(
                "{name}: expected a call such as Balances.transfer_keep_alive"
            ))
        })?;
        let arguments = match &self.arguments {
            None => json!({}),
            Some(text) => match serde_json::from_str(text) {
                Ok(arguments @ Value::Object(_)) => arguments,
                _ => {
                    return Err(ClassifiedError::usage(format!(
                        "{text}: expected a JSON object such as {{\"netuid\": 1}}"
                    )));
                }
            },
        };
        let call = chain.call(pallet, call, &arguments).await.map_err(chain_error)?;
        Ok(format!("0x{}", hex::encode(chain.decoded(&call).await.map_err(chain_error)?.data)))
    }
}
