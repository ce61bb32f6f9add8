//! `tao wallet ss58 …`.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::headerless_table;
use taonet_cli_base::tables::CONVERTED_KEYS;
use taonet_primitives::{Ss58, Ss58Prefix};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert addresses and public keys to addresses of a network
    Convert(ConvertArgs),
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Addresses of any network, or public keys as 0x and 64 hex digits
    #[arg(required = true, value_name = "ADDRESS|KEY")]
    keys: Vec<String>,
    /// SS58 prefix of the network: 42 is Bittensor and generic Substrate, 0 Polkadot, 2 Kusama
    #[arg(long, default_value_t = Ss58Prefix::BITTENSOR.get(), value_name = "NUMBER")]
    prefix: u16,
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    let Command::Convert(args) = command;
    let prefix = Ss58Prefix::new(args.prefix)
        .map_err(|error| ClassifiedError::usage(format!("--prefix {}: {error}", args.prefix)))?;
    let converted = args.keys.iter().zip(1..).map(|(text, number)| {
        // The argument is not echoed: it could be a secret passed by mistake.
        let address = parse_address(text).with_context(|| {
            format!("argument {number} is neither an SS58 address nor a public key")
        })?;
        Ok((text, address.with_prefix(prefix)))
    });
    let converted = converted.collect::<anyhow::Result<Vec<_>>>()?;
    if context.json {
        let keys: Vec<_> = converted
            .iter()
            .map(|(from, to)| json!({ "from": from, "address": to.to_string(), "public_key": public_key(to), "prefix": prefix.get() }))
            .collect();
        return context.print_json(&json!({ "keys": keys }));
    }
    let mut rows = headerless_table(&CONVERTED_KEYS);
    for (_, to) in &converted {
        rows.add_row([to.to_string(), public_key(to)]);
    }
    context.print(&rows.to_string())
}

fn public_key(address: &Ss58) -> String {
    format!("0x{}", hex::encode(address.key()))
}

/// Parses an address of any network, or a public key.
fn parse_address(text: &str) -> anyhow::Result<Ss58> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(text.parse()?);
    };
    let mut key = [0; 32];
    hex::decode_to_slice(digits, &mut key)
        .context("expected a public key as 0x and 64 hex digits")?;
    Ok(Ss58::new(key, Ss58Prefix::BITTENSOR))
}
