//! The `tao wallet sign` command.

use anyhow::bail;
use clap::{ArgGroup, Args};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use taonet_cli_base::context::Context;
use taonet_cli_base::password::PasswordArgs;
use taonet_cli_base::prompt;
use taonet_cli_base::wallet_args::KeyArgs;
use taonet_primitives::counted;
use taonet_wallet::CryptoType;

use super::message::MessageArgs;
use super::validator_info::ValidatorInfo;

/// Sign a message with the coldkey, or with the hotkey if --use-hotkey is set
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true).args(["message", "message_file", "validator_name"]))]
pub struct SignArgs {
    /// Do not ask for confirmation before signing a message that is not UTF-8 text
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    message: MessageArgs,
    #[command(flatten)]
    validator: ValidatorArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments with a validator's public information
#[derive(Debug, Args)]
#[command(next_help_heading = "Validator information, signed by the hotkey (instead of a message)")]
struct ValidatorArgs {
    /// Name of the validator
    #[arg(id = "validator_name", long = "validator-name", value_name = "TEXT")]
    name: Option<String>,
    /// Website of the validator
    #[arg(
        id = "validator_url",
        long = "validator-url",
        value_name = "URL",
        default_value = "",
        conflicts_with_all = ["message", "message_file"]
    )]
    url: String,
    /// One-sentence description of the validator
    #[arg(
        id = "validator_description",
        long = "validator-description",
        value_name = "TEXT",
        default_value = "",
        conflicts_with_all = ["message", "message_file"]
    )]
    description: String,
}

pub(crate) fn run(args: &SignArgs, context: &Context) -> anyhow::Result<()> {
    if let Some(name) = &args.validator.name {
        return sign_validator_info(name, args, context);
    }
    let Some(message) = args.message.read()? else {
        bail!("no message given\nhint: use --message or --message-file")
    };
    if str::from_utf8(&message).is_err() {
        let (length, hash) = (message.len(), hex::encode(Sha256::digest(&message)));
        // Extrinsics are never valid text: they contain hashes.
        let question = format!(
            "The message is not UTF-8 text ({}, SHA-256 {hash}); it could be a transaction. Sign it?",
            counted(length, "byte")
        );
        prompt::confirm(&question, args.yes)?;
    }
    let keypair = args.key.unlock(&args.password)?;
    let signature = keypair.sign(&message).to_bare_hex();
    let signer = keypair.public();
    if context.json {
        return context.print_json(
            &json!({ "signed_message": signature, "signer_address": signer.to_string() }),
        );
    }
    context.print(&format!("signer     {signer}\nsignature  {signature}"))
}

fn sign_validator_info(name: &str, args: &SignArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.hotkey().unlock(&args.password)?;
    if keypair.crypto_type() != CryptoType::Sr25519 {
        bail!(
            "validator information requires an sr25519 key, and {} is an {} key",
            keypair.public(),
            keypair.crypto_type()
        );
    }
    let ValidatorArgs { url, description, .. } = &args.validator;
    let info = ValidatorInfo::new(keypair.hotkey(), name, url, description);
    let message = info.message();
    let signature = keypair.sign(message.as_bytes());
    if context.json {
        return context.print_json(&info.entry(&signature));
    }
    context.print(&format!(
        "message    {message}\nsigner     {}\nsignature  {}",
        info.hotkey,
        signature.to_bare_hex()
    ))
}
