//! `tao commitment …`: texts that neurons publish on the chain.

use clap::{Args, Subcommand};
use serde_json::json;
use taonet_chain::calls::{self, CommitmentText};
use taonet_cli_base::chain::{
    Account, AtArgs, NetworkArgs, Plan, SigningHotkeyArgs, TxArgs, block_json, chain_error,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::COMMITMENTS;
use taonet_primitives::{NetUid, counted};

/// The commands of `tao commitment`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a commitment for a hotkey
    Set(SetArgs),
    /// Show the commitments of neurons
    Get(GetArgs),
}

/// Publish a commitment for a hotkey
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Text of the commitment, at most 512 bytes
    #[arg(value_parser = |text: &str| CommitmentText::new(text))]
    text: CommitmentText,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<SigningHotkeyArgs>,
}

/// Show the commitments of neurons
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Hotkey address [default: all neurons of the subnet]
    #[arg(value_name = "HOTKEY")]
    hotkey: Option<Account>,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs a command of `tao commitment`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Set(args) => set(args, context),
        Command::Get(args) => get(args, context),
    }
}

fn set(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let call = calls::set_commitment(args.netuid, &args.text);
        let details = json!({ "netuid": args.netuid, "hotkey": args.tx.submit.hotkey(&key), "text": args.text.as_str() });
        let description = format!(
            "Publish a commitment of {} on subnet {}",
            counted(args.text.as_str().len(), "byte"),
            args.netuid
        );
        args.tx.submit.confirm_and_submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}

fn get(args: &GetArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let commitments = match args.hotkey {
            None => chain.commitments(args.netuid, block.into()).await.map_err(chain_error)?,
            Some(account) => {
                let text = chain
                    .commitment(args.netuid, account.hotkey(), block.into())
                    .await
                    .map_err(chain_error)?;
                text.map(|text| (account.hotkey(), text)).into_iter().collect()
            }
        };
        if context.json {
            let list: Vec<_> = commitments
                .iter()
                .map(|(hotkey, text)| json!({ "hotkey": hotkey, "text": text }))
                .collect();
            return context.print_json(
                &json!({ "block": block_json(block), "netuid": args.netuid, "commitments": list }),
            );
        }
        if commitments.is_empty() {
            context.print_notice("no commitments");
            return Ok(());
        }
        let mut rows = table(&COMMITMENTS);
        for (hotkey, text) in &commitments {
            rows.add_row([hotkey.to_string(), text.clone()]);
        }
        context.print(&rows.to_string())
    })
}
