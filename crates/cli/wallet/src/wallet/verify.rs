//! The `tao wallet verify` command.

use std::path::{Path, PathBuf};
use taonet_primitives::counted;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::input;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{status_cell, table};
use taonet_cli_base::tables::VALIDATOR_INFO;
use taonet_cli_base::wallet_args::KeyArgs;
use taonet_wallet::{CryptoType, PublicKey, Signature};

use super::message::MessageArgs;
use super::validator_info::ValidatorInfo;

/// Verify a signature; exit code 1 when it is invalid
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true).args(["message", "message_file", "validator_info"]))]
pub struct VerifyArgs {
    #[command(flatten)]
    message: MessageArgs,
    /// Signature as 128 hex digits, with or without 0x
    #[arg(long, value_name = "HEX", required_unless_present = "validator_info")]
    signature: Option<Signature>,
    /// Address or public key of the signer [default: the wallet's coldkey, or hotkey with --use-hotkey]
    #[arg(
        long,
        visible_alias = "address",
        value_name = "ADDRESS|KEY",
        conflicts_with = "validator_info"
    )]
    ss58: Option<String>,
    /// Signature scheme of the key in --ss58
    #[arg(long, default_value_t = CryptoType::Sr25519, value_name = "SCHEME")]
    crypto_type: CryptoType,
    /// Verify a JSON file of signed validator information instead of a message: {"hotkey": {"name",
    /// "url", "description", "signature"}, …}; the signature of a single entry can come from --signature
    #[arg(long, value_name = "FILE")]
    validator_info: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    if let Some(file) = &args.validator_info {
        return verify_validators(&read_list(file)?, args.signature, context);
    }
    let (Some(message), Some(signature)) = (args.message.read()?, args.signature) else {
        bail!("--signature and a message are required");
    };
    let signer = match &args.ss58 {
        Some(text) => PublicKey::parse(text, args.crypto_type)
            .context("--ss58 is not a valid address or public key")?,
        None => args.key.public_key()?,
    };
    let verified = signer.verify_wrapped(&message, &signature);
    if context.json {
        context
            .print_json(&json!({ "verified": verified, "signer_address": signer.to_string() }))?;
    } else if verified {
        context.print(&format!("valid signature: {signer} signed this message"))?;
    }
    if !verified {
        bail!("invalid signature: {signer} did not sign this message");
    }
    Ok(())
}

fn read_list(file: &Path) -> anyhow::Result<Vec<ValidatorInfo>> {
    let text = input::read_text(file)?;
    let list = ValidatorInfo::read_list(&text)
        .with_context(|| format!("{} is not a list of validators", file.display()))?;
    if list.is_empty() {
        bail!("{} contains no validator", file.display());
    }
    Ok(list)
}

/// Verifies every entry; `signature` applies to a single entry.
fn verify_validators(
    list: &[ValidatorInfo],
    signature: Option<Signature>,
    context: &Context,
) -> anyhow::Result<()> {
    if signature.is_some() && list.len() > 1 {
        bail!(
            "--signature applies to a single entry, but the file has {} entries\nhint: put a signature \
             into each entry",
            list.len()
        );
    }
    let results = list.iter().map(|info| {
        let signature = signature.or(info.signature);
        let signature = signature.with_context(|| format!("{} has no signature", info.hotkey))?;
        let verified =
            taonet_wallet::verify_wrapped(&info.hotkey, info.message().as_bytes(), &signature);
        Ok((info, verified))
    });
    let results = results.collect::<anyhow::Result<Vec<_>>>()?;
    if context.json {
        let entries = results.iter().map(
            |(info, verified)| json!({ "signer_address": info.hotkey, "name": info.name(), "verified": verified }),
        );
        context.print_json(&json!({ "validators": entries.collect::<Vec<_>>() }))?;
    } else {
        let mut rows = table(&VALIDATOR_INFO);
        for (info, verified) in &results {
            let name = info.name().map_or("–".into(), printable);
            let state = status_cell(if *verified { "valid" } else { "invalid" }, *verified);
            rows.add_row([state, info.hotkey.into(), name.into()]);
        }
        context.print(&rows.to_string())?;
    }
    match results.iter().filter(|(_, verified)| !verified).count() {
        0 => Ok(()),
        1 => bail!("1 of {} is invalid", counted(results.len(), "signature")),
        invalid => bail!("{invalid} of {} are invalid", counted(results.len(), "signature")),
    }
}
