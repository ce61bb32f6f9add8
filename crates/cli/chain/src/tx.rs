//! `tao tx …`: extrinsics and calls, decoded.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use taonet_chain::{Chain as _, Decoded, DecodedCall, DecodedExtrinsic, Extrinsic};
use taonet_cli_base::chain::{AtArgs, HexBytes, NetworkArgs, block_json, chain_error, hex_text};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{key_values, table};
use taonet_cli_base::tables::EXTRINSICS;

/// The commands of `tao tx`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decode an extrinsic or a call
    Inspect(InspectArgs),
    /// List the extrinsics of a block with their results
    List(ListArgs),
}

/// Decode an extrinsic or a call
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Encoded extrinsic with its length prefix, or encoded call, in hexadecimal digits
    #[arg(value_name = "HEX")]
    bytes: HexBytes,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// List the extrinsics of a block with their results
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs a command of `tao tx`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Inspect(args) => inspect(args, context),
        Command::List(args) => list(args, context),
    }
}

fn inspect(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let decoded = chain.inspect(&args.bytes.0, block.into()).await.map_err(chain_error)?;
        if context.json {
            return context.print_json(&document(&decoded));
        }
        let mut rows = key_values();
        let call = match &decoded {
            Decoded::Call(call) => call,
            Decoded::Extrinsic(extrinsic) => {
                for (name, value) in envelope(extrinsic) {
                    rows.add_row([name.to_owned(), value]);
                }
                &extrinsic.call
            }
        };
        rows.add_row(["call".to_owned(), format!("{}.{}", call.pallet, call.name)]);
        for (name, value) in call.args.as_object().into_iter().flatten() {
            rows.add_row([
                format!("· {name}"),
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            ]);
        }
        rows.add_row(["call hash".to_owned(), hex_text(&call.hash())]);
        context.print(&rows.to_string())
    })
}

/// Returns the names and values of an extrinsic's fields besides its call.
fn envelope(extrinsic: &DecodedExtrinsic) -> Vec<(&'static str, String)> {
    let mut fields = vec![("extrinsic", extrinsic.hash.to_string())];
    let Some(signer) = extrinsic.signer else {
        fields.push(("signer", "none".to_owned()));
        return fields;
    };
    let era = extrinsic.era.map_or_else(
        || "immortal".to_owned(),
        |era| {
            format!(
                "{} blocks, from a block whose number modulo {} is {}",
                era.period, era.period, era.phase
            )
        },
    );
    fields.extend([
        ("signer", signer.to_string()),
        ("nonce", extrinsic.nonce.map_or_else(|| "–".to_owned(), |nonce| nonce.to_string())),
        ("tip", extrinsic.tip.map_or_else(|| "–".to_owned(), |tip| format!("{tip} TAO"))),
        ("era", era),
    ]);
    fields
}

fn document(decoded: &Decoded) -> Value {
    match decoded {
        Decoded::Call(call) => json!({ "kind": "call", "call": call_document(call) }),
        Decoded::Extrinsic(extrinsic) => json!({
            "kind": "extrinsic",
            "extrinsic": extrinsic.hash,
            "signer": extrinsic.signer,
            "nonce": extrinsic.nonce,
            "tip_rao": extrinsic.tip,
            "era": extrinsic.era,
            "call": call_document(&extrinsic.call),
        }),
    }
}

fn call_document(call: &DecodedCall) -> Value {
    json!({
        "pallet": call.pallet,
        "name": call.name,
        "args": call.args,
        "data": hex_text(&call.data),
        "hash": hex_text(&call.hash()),
    })
}

fn list(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let extrinsics = chain.extrinsics(block.into()).await.map_err(chain_error)?;
        if context.json {
            let list: Vec<Value> = extrinsics.iter().map(extrinsic_document).collect();
            return context.print_json(&json!({ "block": block_json(block), "extrinsics": list }));
        }
        let mut rows = table(&EXTRINSICS);
        for extrinsic in &extrinsics {
            rows.add_row([
                extrinsic.index.to_string(),
                format!("{}.{}", extrinsic.pallet, extrinsic.name),
                extrinsic.signer.map_or_else(|| "–".to_owned(), |signer| signer.to_string()),
                extrinsic.fee.map_or_else(|| "–".to_owned(), |fee| fee.to_string()),
                match &extrinsic.result {
                    None => "–".to_owned(),
                    Some(Ok(())) => "ok".to_owned(),
                    Some(Err(error)) => error.to_string(),
                },
                extrinsic.args.to_string(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

fn extrinsic_document(extrinsic: &Extrinsic) -> Value {
    let error = extrinsic.result.as_ref().and_then(|result| result.as_ref().err());
    json!({
        "index": extrinsic.index,
        "extrinsic": extrinsic.hash,
        "signer": extrinsic.signer,
        "pallet": extrinsic.pallet,
        "name": extrinsic.name,
        "args": extrinsic.args,
        "fee_rao": extrinsic.fee,
        "success": extrinsic.result.as_ref().map(Result::is_ok),
        "error": error.map(ToString::to_string),
    })
}
